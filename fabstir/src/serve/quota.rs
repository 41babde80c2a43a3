//! How much a caller has had lately, counted by all rpc nodes together: a generic cell rate algorithm on Redis.

use std::{fmt, net::IpAddr};

use anyhow::{Context, Result};
use redis::{
    Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

/// KEYS: caller. ARGV: microseconds of a unit, microseconds of a burst, units. By the clock of Redis alone.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + ARGV[1] * ARGV[3]
if due - now > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1)
return 1
";

/// KEYS: caller. ARGV: microseconds of a unit, microseconds that may be owed, units. They have been had already.
const CHARGE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + ARGV[1] * ARGV[3]
due = math.min(due, now + tonumber(ARGV[2]))
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1)
return 1
";

/// Microseconds that a caller may be ahead of its rate.
const BURST: u64 = 1_000_000;
/// A call does not wait longer for its turn to be counted.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(200);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct SharedQuota {
    connection: ConnectionManager,
    take: Script,
    charge: Script,
    /// Before the caller's address.
    prefix: String,
}

impl fmt::Debug for SharedQuota {
    // Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedQuota({})", self.prefix)
    }
}

impl SharedQuota {
    /// On the Redis at this URL, for nodes of this chain.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn connect(url: &str, chain_id: u64) -> Result<Self> {
        let open = |error: redis::RedisError| anyhow::anyhow!("redis: {}", error.category());
        let client = redis::Client::open(url).map_err(open)?;
        let config = ConnectionManagerConfig::new().set_response_timeout(Some(PATIENCE)).set_number_of_retries(1);
        let connection =
            client.get_connection_manager_with_config(config).await.map_err(open).context("rate limits")?;
        Ok(Self {
            connection,
            take: Script::new(TAKE),
            charge: Script::new(CHARGE),
            prefix: format!("fabstir:{chain_id}:caller:"),
        })
    }

    /// Whether this caller may have so many more units of `per_second`; nothing if Redis does not say.
    pub(super) async fn admits(&self, caller: IpAddr, units: u32, per_second: u32) -> Option<bool> {
        let unit = BURST / u64::from(per_second.max(1));
        let mut call = self.take.key(format!("{}{caller}", self.prefix));
        call.arg(unit).arg(BURST).arg(units);
        let taken: Result<u8, _> = call.invoke_async(&mut self.connection.clone()).await;
        taken.ok().map(|taken| taken == 1)
    }

    /// Holds units against this caller that it has had already, of which it may come to owe so much; whether Redis did.
    pub(super) async fn charge(&self, caller: IpAddr, units: u32, per_second: u32, most: std::time::Duration) -> bool {
        let unit = BURST / u64::from(per_second.max(1));
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        let mut call = self.charge.key(format!("{}{caller}", self.prefix));
        call.arg(unit).arg(most).arg(units);
        call.invoke_async::<u8>(&mut self.connection.clone()).await.is_ok()
    }
}
