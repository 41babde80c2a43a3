//! The journal of a partition on Redis: a hash, which only the holder of the lease can write.

use std::collections::HashMap;

use futures::{FutureExt, future::BoxFuture};
use redis::Script;

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
        let script = Script::new(COMMIT);
        let mut call = script.prepare_invoke();
        call.key(self.lease.key("holder")).key(self.lease.key("journal")).key(self.lease.key("refused"));
        call.arg(self.lease.holder()).arg(rows.values().flatten().count());
        for (key, value) in rows {
            if let Some(value) = value {
                call.arg(key).arg(value);
            }
        }
        for (key, _) in rows.iter().filter(|(_, value)| value.is_none()) {
            call.arg(key);
        }
        let mut redis = self.lease.connection().redis();
        let written: u8 = call.invoke_async(&mut redis).await.map_err(|error| failed(&error))?;
        if written == 0 {
            self.lease.lose();
            return Err(JournalError::Fenced { place: self.place(), token: self.lease.token() });
        }
        crash_point("amid commit");
        if !self.lease.connection().replicated().await.map_err(|error| failed(&error))? {
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
