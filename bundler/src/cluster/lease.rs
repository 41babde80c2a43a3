//! Who may write a partition's journal: a lease that expires, and a token that does not.

use std::time::Duration;

use redis::Script;
use tokio::sync::watch;

use super::{ClusterError, Connection};

/// KEYS: lease, token, holder. ARGV: who, milliseconds. The token that was taken; 0 if the lease is held.
const TAKE: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local token = redis.call('INCR', KEYS[2])
local holder = token .. ':' .. ARGV[1]
redis.call('SET', KEYS[3], holder)
redis.call('SET', KEYS[1], holder, 'PX', ARGV[2])
return token
";

/// KEYS: lease, holder. ARGV: holder, milliseconds. An expired lease that nobody took is still ours.
const RENEW: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// KEYS: lease, holder. ARGV: holder.
const RELEASE: &str = r"
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
";

/// A partition that is ours until somebody else takes it.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    connection: Connection,
    partition: u16,
    token: u64,
    lost: watch::Sender<bool>,
}

impl Lease {
    /// Takes it, if nobody holds it.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub(crate) async fn take(connection: &Connection, partition: u16) -> Result<Option<Self>, ClusterError> {
        let keys = ["lease", "token", "holder"].map(|name| connection.key(partition, name));
        let lasts = millis(connection.config().lease).to_string();
        // Its replication is waited for before anything is told by it: a failover that forgot it would give the partition
        // back to whoever had it before.
        let arguments = [connection.instance().as_bytes(), lasts.as_bytes()];
        let (token, replicated) = connection.write(TAKE, &keys, &arguments).await?;
        if token == 0 {
            return Ok(None);
        }
        let (connection, lost) = (connection.clone(), watch::Sender::new(false));
        let lease = Self { connection, partition, token, lost };
        if !replicated {
            lease.release().await;
            return Err(ClusterError::Redis("too few replicas have the lease".into()));
        }
        Ok(Some(lease))
    }

    /// The token: each holder's is greater than those of all before it.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn partition(&self) -> u16 {
        self.partition
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn key(&self, name: &str) -> String {
        self.connection.key(self.partition, name)
    }

    /// What every write is held against.
    pub(crate) fn holder(&self) -> String {
        format!("{}:{}", self.token, self.connection.instance())
    }

    /// Renews it until it is lost. Redis away is no loss: nobody else can take it then either.
    pub(crate) async fn keep(self) {
        let every = self.connection.config().lease / 3;
        while !*self.lost.borrow() {
            tokio::time::sleep(every).await;
            match self.renew().await {
                Ok(true) => {}
                Ok(false) => self.lose(),
                Err(error) => tracing::warn!(%error, self.partition, "the lease could not be renewed"),
            }
        }
    }

    async fn renew(&self) -> Result<bool, ClusterError> {
        let mut call = Script::new(RENEW);
        let renewed: u8 = call_on(&mut call, self)
            .arg(millis(self.connection.config().lease))
            .invoke_async(&mut self.connection.redis())
            .await?;
        Ok(renewed == 1)
    }

    /// Lets others have it.
    pub(crate) async fn release(&self) {
        let mut call = Script::new(RELEASE);
        let released: Result<u8, _> = call_on(&mut call, self).invoke_async(&mut self.connection.redis()).await;
        if let Err(error) = released {
            tracing::warn!(error = error.category(), self.partition, "the lease was not given back: it expires");
        }
    }

    /// The store said that it is somebody else's.
    pub(crate) fn lose(&self) {
        if !self.lost.send_replace(true) {
            tracing::error!(self.partition, self.token, "another builder has taken this partition: given up");
        }
    }

    /// Returns when it is lost.
    pub(crate) async fn lost(&self) {
        // The sender is held by this very value.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }
}

fn call_on<'a>(script: &'a mut Script, lease: &Lease) -> redis::ScriptInvocation<'a> {
    let mut call = script.prepare_invoke();
    call.key(lease.key("lease")).key(lease.key("holder")).arg(lease.holder());
    call
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ClusterConfig, tests::Server};

    async fn short(server: &Server) -> Connection {
        let config = ClusterConfig { lease: Duration::from_millis(60), ..server.config() };
        Connection::open(config, crate::cluster::tests::CHAIN).await.unwrap()
    }

    /// Longer than a short lease.
    async fn expire() {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    #[tokio::test]
    async fn one_holds_it_and_whoever_is_next_has_a_greater_token() {
        let server = Server::start().await;
        let (one, two) = (server.process().await, server.process().await);
        let first = Lease::take(&one, 1).await.unwrap().unwrap();
        assert!(Lease::take(&two, 1).await.unwrap().is_none());
        assert!(Lease::take(&one, 1).await.unwrap().is_none(), "not twice by the same either");
        assert!(first.renew().await.unwrap() && first.renew().await.unwrap());
        let other = Lease::take(&two, 0).await.unwrap().unwrap();
        assert_eq!((other.partition(), other.token()), (0, 1), "partitions are counted apart");
        first.release().await;
        let second = Lease::take(&two, 1).await.unwrap().unwrap();
        assert!(second.token() > first.token());
        assert!(!first.renew().await.unwrap(), "what was given back is not renewed");
        assert!(second.renew().await.unwrap());
    }

    impl Lease {
        pub(in crate::cluster) fn is_lost(&self) -> bool {
            *self.lost.borrow()
        }

        pub(in crate::cluster) fn through(self, connection: Connection) -> Self {
            Self { connection, ..self }
        }
    }

    #[tokio::test]
    async fn an_expired_one_that_nobody_took_is_still_ours() {
        let server = Server::start().await;
        let (one, two) = (short(&server).await, server.process().await);
        let lease = Lease::take(&one, 0).await.unwrap().unwrap();
        expire().await;
        assert!(lease.renew().await.unwrap());
        assert!(Lease::take(&two, 0).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_expired_one_that_another_took_is_lost_and_not_given_back_for_him() {
        let server = Server::start().await;
        let (one, two) = (short(&server).await, server.process().await);
        let lost = Lease::take(&one, 0).await.unwrap().unwrap();
        expire().await;
        let held = Lease::take(&two, 0).await.unwrap().unwrap();
        assert!(!lost.renew().await.unwrap() && !lost.is_lost(), "nobody has said so yet");
        lost.clone().keep().await;
        assert!(lost.is_lost());
        lost.lost().await;
        lost.release().await;
        assert!(Lease::take(&one, 0).await.unwrap().is_none());
        assert!(held.renew().await.unwrap() && !held.is_lost());
    }

    #[tokio::test]
    async fn it_is_kept_for_as_long_as_it_is_renewed() {
        let server = Server::start().await;
        let (one, two) = (short(&server).await, server.process().await);
        let lease = Lease::take(&one, 0).await.unwrap().unwrap();
        let keeping = tokio::spawn(lease.clone().keep());
        for _ in 0..5 {
            expire().await;
            assert!(lease.renew().await.unwrap());
        }
        assert!(!lease.is_lost() && !keeping.is_finished());
        keeping.abort();
        expire().await;
        assert!(Lease::take(&two, 0).await.unwrap().is_some(), "and no longer");
    }

    #[test]
    fn a_lease_lasts_a_millisecond_at_least() {
        assert_eq!([0, 1, 5_000].map(|it| millis(Duration::from_millis(it))), [1, 1, 5_000]);
    }
}
