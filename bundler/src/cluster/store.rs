//! The journal of a partition on Redis: a hash, which only the holder of the lease can write.

use std::collections::HashMap;

use futures::{FutureExt, future::BoxFuture};

use super::Lease;
use crate::journal::{FORMAT, Found, JournalError, JournalStore, Rows, crash_point};

/// KEYS: holder, journal, refused. ARGV: holder, how many rows are written, these as key and value; the rest are keys
/// to delete. All or nothing: nothing of a script is lost between two others.
const COMMIT: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  redis.call('INCR', KEYS[3])
  return 0
end
local written = tonumber(ARGV[2])
for i = 1, written do redis.call('HSET', KEYS[2], ARGV[2 * i + 1], ARGV[2 * i + 2]) end
for i = 2 * written + 3, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return 1
";

/// See [`SharedStore::open`].
#[derive(Debug)]
pub(crate) struct SharedStore {
    lease: Lease,
    chain: u64,
}

fn failed(error: &redis::RedisError) -> JournalError {
    JournalError::Storage(format!("redis: {}", error.category()))
}

impl SharedStore {
    /// The journal of the partition that this lease is for.
    pub(crate) fn new(lease: Lease, chain: u64) -> Self {
        Self { lease, chain }
    }

    /// For messages.
    pub(crate) fn place(&self) -> String {
        format!("on redis, partition {}", self.lease.partition())
    }

    /// Writes the format into a new journal, and holds an old one to it.
    async fn check(&self, rows: &Found) -> Result<(), JournalError> {
        let mut redis = self.lease.connection().redis();
        let key = self.lease.key("format");
        let found: HashMap<String, u64> =
            redis::cmd("HGETALL").arg(&key).query_async(&mut redis).await.map_err(|error| failed(&error))?;
        let place = self.place();
        match (found.get("format"), found.get("chain")) {
            (Some(&FORMAT), Some(&chain)) if chain == self.chain => Ok(()),
            (Some(&FORMAT), Some(&found)) => Err(JournalError::Chain { place, found, configured: self.chain }),
            (Some(&found), _) => Err(JournalError::Format { place, found, reads: FORMAT }),
            (None, _) if !rows.is_empty() => {
                Err(JournalError::Corrupt { place, reason: "rows without a format".into() })
            }
            (None, _) => {
                let mut stamp = redis::cmd("HSET");
                stamp.arg(&key).arg("format").arg(FORMAT).arg("chain").arg(self.chain);
                stamp.query_async::<()>(&mut redis).await.map_err(|error| failed(&error))
            }
        }
    }

    async fn read(&self) -> Result<Found, JournalError> {
        let mut ask = redis::cmd("HGETALL");
        let rows: HashMap<Vec<u8>, Vec<u8>> = ask
            .arg(self.lease.key("journal"))
            .query_async(&mut self.lease.connection().redis())
            .await
            .map_err(|error| failed(&error))?;
        let rows = rows.into_iter().collect();
        self.check(&rows).await?;
        Ok(rows)
    }

    async fn write(&self, rows: &Rows) -> Result<(), JournalError> {
        crash_point("before commit");
        let keys = ["holder", "journal", "refused"].map(|name| self.lease.key(name));
        let (holder, written) = (self.lease.holder(), rows.values().flatten().count().to_string());
        let set = rows.iter().filter_map(|(key, value)| Some([key.as_slice(), value.as_deref()?]));
        let deleted = rows.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_slice());
        let arguments: Vec<&[u8]> =
            [holder.as_bytes(), written.as_bytes()].into_iter().chain(set.flatten()).chain(deleted).collect();
        let done = self.lease.connection().write(COMMIT, &keys, &arguments).await;
        let (written, replicated) = done.map_err(|error| failed(&error))?;
        if written == 0 {
            self.lease.lose();
            return Err(JournalError::Fenced { place: self.place(), token: self.lease.token() });
        }
        crash_point("amid commit");
        if !replicated {
            return Err(JournalError::Storage("too few replicas of redis have the write".into()));
        }
        crash_point("after commit");
        Ok(())
    }
}

impl JournalStore for SharedStore {
    fn load(&self) -> BoxFuture<'_, Result<Found, JournalError>> {
        self.read().boxed()
    }

    fn commit<'a>(&'a self, rows: &'a Rows) -> BoxFuture<'a, Result<(), JournalError>> {
        self.write(rows).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{
        Connection,
        tests::{CHAIN, Server},
    };

    async fn store(connection: &Connection) -> SharedStore {
        SharedStore::new(Lease::take(connection, 1).await.unwrap().unwrap(), CHAIN)
    }

    fn rows(rows: &[(&str, Option<&str>)]) -> Rows {
        rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.map(|it| it.as_bytes().to_vec()))).collect()
    }

    fn found(rows: &[(&str, &str)]) -> Found {
        rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    async fn set(connection: &Connection, hash: &str, field: &str, value: u64) {
        let mut set = redis::cmd("HSET");
        set.arg(connection.key(1, hash)).arg(field).arg(value);
        set.query_async::<()>(&mut connection.redis()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_written_is_found_by_whoever_comes_next_and_what_is_deleted_is_not() {
        let server = Server::start().await;
        let (one, two) = (server.process().await, server.process().await);
        let first = store(&one).await;
        assert_eq!(first.load().await.unwrap(), found(&[]));
        first.commit(&rows(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))])).await.unwrap();
        first.commit(&rows(&[("a", Some("4")), ("b", None), ("d", None)])).await.unwrap();
        first.lease.release().await;
        let second = store(&two).await;
        assert_eq!(second.load().await.unwrap(), found(&[("a", "4"), ("c", "3")]));
    }

    #[tokio::test]
    async fn whoever_has_lost_the_lease_writes_nothing_and_learns_of_it() {
        let server = Server::start().await;
        let (one, two) = (server.process().await, server.process().await);
        let late = store(&one).await;
        late.load().await.unwrap();
        late.commit(&rows(&[("a", Some("1"))])).await.unwrap();
        late.lease.release().await;
        let now = store(&two).await;
        let fenced = late.commit(&rows(&[("a", Some("2")), ("b", Some("3"))])).await.unwrap_err();
        assert!(matches!(fenced, JournalError::Fenced { token: 1, .. }), "{fenced}");
        assert!(late.lease.is_lost() && !now.lease.is_lost());
        assert_eq!(now.load().await.unwrap(), found(&[("a", "1")]));
        let refused: u64 = redis::cmd("GET").arg(one.key(1, "refused")).query_async(&mut one.redis()).await.unwrap();
        assert_eq!(refused, 1);
    }

    #[tokio::test]
    async fn a_journal_of_another_chain_or_release_or_without_a_format_is_not_read() {
        let server = Server::start().await;
        let connection = server.process().await;
        let store = store(&connection).await;
        set(&connection, "journal", "row", 1).await;
        assert!(matches!(store.load().await.unwrap_err(), JournalError::Corrupt { .. }));
        set(&connection, "format", "format", FORMAT).await;
        set(&connection, "format", "chain", CHAIN + 1).await;
        let other = store.load().await.unwrap_err();
        assert!(matches!(other, JournalError::Chain { found, configured: CHAIN, .. } if found == CHAIN + 1));
        set(&connection, "format", "chain", CHAIN).await;
        assert_eq!(store.load().await.unwrap(), found(&[("row", "1")]));
        set(&connection, "format", "format", FORMAT + 1).await;
        let other = store.load().await.unwrap_err();
        assert!(matches!(other, JournalError::Format { found, reads: FORMAT, .. } if found == FORMAT + 1));
    }

    #[tokio::test]
    async fn a_lease_that_too_few_replicas_have_does_not_count_and_is_given_back() {
        let server = Server::start().await;
        let process = server.process().await;
        let wanting = process.wanting(1);
        let refused = Lease::take(&wanting, 1).await.unwrap_err().to_string();
        assert!(refused.contains("too few replicas"), "{refused}");
        // It was given back, and whoever wants no replica has it.
        let lease = Lease::take(&process, 1).await.unwrap().unwrap();
        let store = SharedStore::new(lease.through(wanting), CHAIN);
        let error = store.commit(&rows(&[("a", Some("1"))])).await.unwrap_err().to_string();
        assert!(error.contains("too few replicas"), "{error}");
        assert!(!store.lease.is_lost(), "it is still ours to write");
    }
}
