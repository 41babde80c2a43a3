//! Redis 7: any number of processes, each commit a Lua script that writes all or nothing.
//!
//! The arithmetic is not in Lua, whose numbers are too small for wei: the script holds the version of the whole
//! against the one that was read, and writes what the same core as redb's made of it. All keys share one hash tag, so
//! that on a cluster they live in one place. Durable as far as Redis is: run it with `appendonly yes` and
//! `appendfsync always`.

use std::{collections::HashMap, fmt};

use redis::{Script, aio::ConnectionManager};

use super::{Committed, StoreError};
use crate::ledger::overlay::Records;

/// KEYS: version, then records. ARGV: version expected, how many are written, their values; the rest is removed.
const COMMIT: &str = r"
local version = redis.call('GET', KEYS[1]) or '0'
if version ~= ARGV[1] then return -1 end
local written = tonumber(ARGV[2])
for i = 1, written do redis.call('SET', KEYS[i + 1], ARGV[i + 2]) end
for i = written + 2, #KEYS do redis.call('DEL', KEYS[i]) end
return redis.call('INCR', KEYS[1])
";

/// See [`Store::redis`](super::Store::redis).
pub struct Shared {
    connection: ConnectionManager,
    commit: Script,
    prefix: String,
}

impl fmt::Debug for Shared {
    // Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.prefix)
    }
}

fn failed(error: redis::RedisError) -> StoreError {
    StoreError::Unavailable(format!("redis: {}", error.category()))
}

impl Shared {
    pub(super) async fn connect(url: &str, prefix: &str) -> Result<Self, StoreError> {
        let open = |error: redis::RedisError| StoreError::Open(format!("redis: {}", error.category()));
        let client = redis::Client::open(url).map_err(open)?;
        let connection = client.get_connection_manager().await.map_err(open)?;
        let store = Self { connection, commit: Script::new(COMMIT), prefix: format!("{{{prefix}}}:") };
        if !store.syncs().await {
            tracing::warn!("redis does not sync each write (appendonly yes, appendfsync always): a crash may forget");
        }
        Ok(store)
    }

    /// Whether a write that was answered outlives a crash of Redis; false too if it does not tell.
    async fn syncs(&self) -> bool {
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("appendonly").arg("appendfsync");
        let settings: HashMap<String, String> = ask.query_async(&mut self.connection.clone()).await.unwrap_or_default();
        let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set == value);
        is("appendonly", "yes") && is("appendfsync", "always")
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(super) async fn read(&self, keys: &[String]) -> Result<(u64, Vec<Option<Vec<u8>>>), StoreError> {
        let mut mget = redis::cmd("MGET");
        mget.arg(self.key("version"));
        for key in keys {
            mget.arg(self.key(key));
        }
        let mut values: Vec<Option<Vec<u8>>> = mget.query_async(&mut self.connection.clone()).await.map_err(failed)?;
        if values.len() != keys.len() + 1 {
            return Err(StoreError::Corrupt("MGET".into()));
        }
        let version = match values.remove(0) {
            None => 0,
            Some(digits) => std::str::from_utf8(&digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| StoreError::Corrupt("version".into()))?,
        };
        Ok((version, values))
    }

    pub(super) async fn commit(&self, version: u64, records: Records) -> Result<Committed, StoreError> {
        let (written, removed): (Vec<_>, Vec<_>) = records.into_iter().partition(|(_, value)| value.is_some());
        let mut call = self.commit.prepare_invoke();
        call.key(self.key("version")).arg(version).arg(written.len());
        for (key, value) in written {
            call.key(self.key(&key)).arg(value.unwrap_or_default());
        }
        for (key, _) in removed {
            call.key(self.key(&key));
        }
        let answer: i64 = call.invoke_async(&mut self.connection.clone()).await.map_err(failed)?;
        Ok(u64::try_from(answer).map_or(Committed::Outdated, Committed::Yes))
    }
}
