//! The connection to Redis, and what our keys there are called.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use alloy::primitives::Address;
use futures::FutureExt;
use redis::{
    Arg, Cmd, Pipeline, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

use super::{ClusterConfig, ClusterError};
use crate::world;

/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Milliseconds that replicas have to take a write.
const REPLICATION: u64 = 1_000;

/// See [`Connection::open`]. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    manager: Redis,
    chain: u64,
    config: Arc<ClusterConfig>,
    instance: Arc<str>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, {:?})", self.instance, self.config)
    }
}

/// What commands are sent to.
#[derive(Clone)]
pub(crate) enum Redis {
    /// A server.
    Real(ConnectionManager),
    /// What stands for one.
    Simulated(Arc<dyn world::Redis>),
}

impl ConnectionLike for Redis {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Real(manager) => manager.req_packed_command(cmd),
            Self::Simulated(redis) => {
                let asked = redis.ask(vec![arguments(cmd)]);
                asked.map(|answers| Ok(answers?.pop().unwrap_or(Value::Nil))).boxed()
            }
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Real(manager) => manager.req_packed_commands(pipeline, offset, count),
            Self::Simulated(redis) => {
                let asked = redis.ask(pipeline.cmd_iter().map(arguments).collect());
                asked.map(move |answers| Ok(answers?.into_iter().skip(offset).take(count).collect())).boxed()
            }
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Real(manager) => manager.get_db(),
            Self::Simulated(_) => 0,
        }
    }
}

fn arguments(cmd: &Cmd) -> Vec<Vec<u8>> {
    let text = |argument| match argument {
        Arg::Simple(text) => <[u8]>::to_vec(text),
        // Of a scan that begins; there are none of ours.
        _ => b"0".to_vec(),
    };
    cmd.args_iter().map(text).collect()
}

async fn connect(config: &ClusterConfig) -> Result<Redis, ClusterError> {
    if let Some(redis) = &config.simulated {
        return Ok(Redis::Simulated(Arc::clone(redis)));
    }
    let client = redis::Client::open(config.url.as_str())?;
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(PATIENCE))
        .set_connection_timeout(Some(PATIENCE))
        .set_number_of_retries(2);
    Ok(Redis::Real(client.get_connection_manager_with_config(config).await?))
}

impl Connection {
    /// Connects, and holds our settings against those of the others.
    ///
    /// # Errors
    /// If Redis does not answer, or others deal the senders out otherwise.
    pub(crate) async fn open(config: ClusterConfig, chain: u64) -> Result<Self, ClusterError> {
        let manager = connect(&config).await?;
        let since = world::unix().as_nanos();
        let instance = format!("{:x}-{since:x}", world::process()).into();
        let this = Self { manager, chain, config: Arc::new(config), instance };
        this.agree().await?;
        if !this.syncs().await {
            tracing::warn!("redis does not sync each write (appendonly yes, appendfsync always): a crash may forget");
        }
        Ok(this)
    }

    /// The first process says how many partitions there are.
    async fn agree(&self) -> Result<(), ClusterError> {
        let key = format!("{{fabstir:{}}}:partitions", self.chain);
        let mut redis = self.redis();
        let configured = self.config.partitions;
        let _: Option<String> = redis::cmd("SET").arg(&key).arg(configured).arg("NX").query_async(&mut redis).await?;
        let found: String = redis::cmd("GET").arg(&key).query_async(&mut redis).await?;
        if found == configured.to_string() { Ok(()) } else { Err(ClusterError::Partitions { found, configured }) }
    }

    /// Whether a write that was answered outlives a crash of Redis; false too if it does not tell.
    async fn syncs(&self) -> bool {
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("appendonly").arg("appendfsync");
        let settings: HashMap<String, String> = ask.query_async(&mut self.redis()).await.unwrap_or_default();
        let is = |name: &str, value: &str| settings.get(name).is_some_and(|set| set == value);
        is("appendonly", "yes") && is("appendfsync", "always")
    }

    /// Says what is in the way of accepting operations: Redis, or a partition that nobody holds.
    ///
    /// # Errors
    /// With that.
    pub(crate) async fn vacancy(&self) -> Result<(), String> {
        for partition in 0..self.config.partitions {
            let held: Result<bool, _> =
                redis::cmd("EXISTS").arg(self.key(partition, "lease")).query_async(&mut self.redis()).await;
            match held {
                Ok(true) => {}
                Ok(false) => return Err(format!("no builder holds partition {partition}")),
                Err(error) => return Err(format!("redis: {}", error.category())),
            }
        }
        Ok(())
    }

    /// Runs a script, and has as many replicas as wanted confirm what it writes: its answer, and whether they have. Both go
    /// over one connection, or neither: a server that has taken over meanwhile would confirm what it never heard of.
    ///
    /// # Errors
    /// If Redis does not answer; whether it has run is not known then.
    pub(crate) async fn write(
        &self,
        script: &str,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<(u64, bool), redis::RedisError> {
        let wanted = self.config.replicas;
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(script).arg(keys.len()).arg(keys).arg(arguments);
        if wanted == 0 {
            let (answer,): (u64,) = pipe.query_async(&mut self.redis()).await?;
            return Ok((answer, true));
        }
        pipe.cmd("WAIT").arg(wanted).arg(REPLICATION);
        let (answer, have): (u64, u32) = pipe.query_async(&mut self.redis()).await?;
        Ok((answer, have >= wanted))
    }

    /// To ask with.
    pub(crate) fn redis(&self) -> Redis {
        self.manager.clone()
    }

    /// One of its own, for commands that wait.
    pub(crate) async fn waiting(&self) -> Result<Redis, ClusterError> {
        connect(&self.config).await
    }

    pub(crate) fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// This process, among all that ever were.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Whose partition this is.
    pub(crate) fn partition_of(&self, sender: Address) -> u16 {
        let last = u16::from_be_bytes([sender[18], sender[19]]);
        last % self.config.partitions.max(1)
    }

    /// A key of a partition's.
    pub(crate) fn key(&self, partition: u16, name: &str) -> String {
        format!("{{fabstir:{}:{partition}}}:{name}", self.chain)
    }

    /// Where a partition's answers for this process go.
    pub(crate) fn answers(&self, partition: u16) -> String {
        self.key(partition, &format!("answers:{}", self.instance))
    }

    /// Milliseconds since 1970 by the clock of Redis, which numbers the requests.
    pub(crate) async fn now(&self) -> Result<u64, ClusterError> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.redis()).await?;
        Ok(seconds * 1_000 + micros / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{
        Lease,
        tests::{CHAIN, Server},
    };

    impl Connection {
        /// The same process, when it wants so many replicas to have what it writes.
        pub(in crate::cluster) fn wanting(&self, replicas: u32) -> Self {
            Self { config: Arc::new(ClusterConfig { replicas, ..(*self.config).clone() }), ..self.clone() }
        }
    }

    #[tokio::test]
    async fn the_first_says_how_many_partitions_there_are() {
        let server = Server::start().await;
        let (one, two) = (server.process().await, server.process().await);
        assert_ne!(one.instance(), two.instance(), "each process is itself");
        assert_ne!(one.answers(0), two.answers(0));
        let config = ClusterConfig { partitions: 3, ..server.config() };
        let refused = Connection::open(config.clone(), CHAIN).await.unwrap_err();
        assert!(matches!(&refused, ClusterError::Partitions { found, configured: 3 } if found == "2"), "{refused}");
        Connection::open(config, CHAIN + 1).await.expect("another chain is another matter");
    }

    #[tokio::test]
    async fn nothing_is_accepted_while_a_partition_is_nobody_s() {
        let server = Server::start().await;
        let connection = server.process().await;
        assert_eq!(connection.vacancy().await, Err("no builder holds partition 0".into()));
        let _first = Lease::take(&connection, 0).await.unwrap().unwrap();
        assert_eq!(connection.vacancy().await, Err("no builder holds partition 1".into()));
        let last = Lease::take(&connection, 1).await.unwrap().unwrap();
        assert_eq!(connection.vacancy().await, Ok(()));
        last.release().await;
        assert!(connection.vacancy().await.is_err());
        drop(server);
        assert!(connection.vacancy().await.unwrap_err().starts_with("redis: "));
    }

    #[tokio::test]
    async fn a_sender_s_partition_is_the_same_for_everybody() {
        let server = Server::start().await;
        let connection = server.process().await;
        let of = |last: [u8; 2]| {
            let mut sender = Address::repeat_byte(0xff);
            sender.0[18..].copy_from_slice(&last);
            connection.partition_of(sender)
        };
        assert_eq!([of([0, 0]), of([0, 1]), of([1, 0]), of([1, 1]), of([0xff, 0xff])], [0, 1, 0, 1, 1]);
        assert_eq!(connection.key(1, "lease"), "{fabstir:31337:1}:lease");
        // By the same machine's clock, in milliseconds.
        let (here, there) = (world::unix().as_millis(), u128::from(connection.now().await.unwrap()));
        assert!(here.abs_diff(there) < 60_000, "{here} and {there}");
    }
}
