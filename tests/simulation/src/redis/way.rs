//! What is between one process and Redis.

use std::{future::pending, time::Duration};

use bundler::world;
use futures::{FutureExt, future::BoxFuture};
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use super::{Redis, Text};
use crate::{clock::Clock, life::Life};

/// Milliseconds that the client waits for an answer.
const PATIENCE: u64 = 5_000;

/// See the module; of one life of the process.
pub struct RedisWay {
    redis: Redis,
    clock: Clock,
    life: Life,
    number: u64,
}

impl std::fmt::Debug for RedisWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisWay")
    }
}

fn broken(what: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, what).into()
}

impl RedisWay {
    /// Of the life that is now.
    pub fn new(redis: &Redis, clock: &Clock, life: &Life) -> Self {
        Self { redis: redis.clone(), clock: clock.clone(), life: life.clone(), number: life.number() }
    }

    fn is_dead(&self) -> bool {
        self.life.number() != self.number || self.life.is_over()
    }

    /// On the way, and as long as the process stands still.
    async fn pass(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.life.thaw(&self.clock).await;
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    /// Whether the process dies at this script.
    fn dies(&self, command: &[Text], after: bool) -> bool {
        if command.first().is_none_or(|name| !name.starts_with(b"EVAL")) {
            return false;
        }
        let mut server = self.redis.lock();
        let Some((others, when)) = server.deadly.filter(|(_, when)| *when == after) else { return false };
        server.deadly = others.checked_sub(1).map(|others| (others, when));
        if server.deadly.is_none() {
            self.life.end();
        }
        server.deadly.is_none()
    }

    async fn one(&self, command: &[Text]) -> Result<Value, RedisError> {
        let number = |index: usize| {
            let text = command.get(index).map(|text| String::from_utf8_lossy(text).into_owned());
            text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
        };
        let waits = match command.first().map(|name| String::from_utf8_lossy(name).to_uppercase()).as_deref() {
            Some("WAIT") => return Ok(self.replicas(number(2) as u64).await),
            Some("BLMPOP") => (number(1) * 1_000.0) as u64,
            Some("XREAD") => number(4) as u64,
            _ => 0,
        };
        let until = self.clock.now() + waits;
        if self.dies(command, false) {
            return pending().await;
        }
        loop {
            let changed = self.redis.changed.notified();
            let (now, unix) = (self.clock.now(), self.clock.start * 1_000 + self.clock.now());
            let done = self.redis.lock().run(command, now, unix);
            let done = done.map_err(|refused| {
                let kind = if refused.starts_with("NOSCRIPT") {
                    ServerErrorKind::NoScript
                } else {
                    ServerErrorKind::ResponseError
                };
                RedisError::from((ErrorKind::Server(kind), "refused", refused))
            })?;
            if let Some(done) = done {
                self.redis.changed.notify_waiters();
                if self.dies(command, true) {
                    return pending().await;
                }
                return Ok(done);
            }
            let left = until.saturating_sub(self.clock.now());
            if left == 0 || tokio::time::timeout(Duration::from_millis(left), changed).await.is_err() {
                return Ok(Value::Nil);
            }
        }
    }

    /// How many replicas have all of it, within so many milliseconds.
    async fn replicas(&self, patience: u64) -> Value {
        let now = self.clock.now();
        let at = self.redis.lock().replicated_at().filter(|at| *at <= now + patience);
        tokio::time::sleep(Duration::from_millis(at.unwrap_or(now + patience).saturating_sub(now))).await;
        let there = at.is_some() && self.redis.lock().cut_since.is_none();
        Value::Int(there.into())
    }

    fn draw(&self) -> (u64, u64, [u64; 2], bool) {
        let mut server = self.redis.lock();
        let ills = server.ills;
        let (drawn, longest) = (server.random.below(1_000), ills.slow.max(2));
        let ways = [(); 2].map(|()| server.random.between(0, longest));
        (
            if drawn < ills.broken { 1 } else { 0 },
            u64::from(drawn >= 1_000 - ills.unanswered.min(1_000)),
            ways,
            ills.away,
        )
    }
}

impl world::Redis for RedisWay {
    fn ask(&self, commands: Vec<Vec<Vec<u8>>>) -> BoxFuture<'_, Result<Vec<Value>, RedisError>> {
        async move {
            let (lost, unanswered, [there, back], away) = self.draw();
            self.pass(there).await;
            if away || lost > 0 {
                self.pass(50).await;
                return Err(broken("connection refused"));
            }
            let failovers = self.redis.lock().failovers;
            let all = async {
                let mut answers = Vec::new();
                for command in &commands {
                    let command: Vec<Text> = command.iter().map(|text| Text::from(text.as_slice())).collect();
                    answers.push(self.one(&command).await?);
                }
                Ok(answers)
            };
            let answers = match tokio::time::timeout(Duration::from_millis(PATIENCE), all).await {
                Ok(answers) => answers,
                Err(_) => Err(broken("timed out")),
            };
            self.pass(back).await;
            if unanswered > 0 || self.redis.lock().failovers != failovers {
                return Err(broken("connection reset"));
            }
            answers
        }
        .boxed()
    }
}
