//! A Redis with one replica that is a little behind: replies lost, the replica cut off, failovers that lose what it did
//! not have. Scripts are the product's own.

mod data;
mod script;
mod way;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::hex;
use redis::Value;
use tokio::sync::Notify;

use data::{Data, Refused, Text};
pub use way::RedisWay;

use crate::random::Random;

/// Milliseconds for which states are remembered.
const REMEMBERED: u64 = 20_000;

/// What goes wrong with it now; each for so many of 1,000 requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisIlls {
    /// Nobody is there.
    pub away: bool,
    /// The replica hears nothing.
    pub cut: bool,
    /// Requests that break off before they are there.
    pub broken: u64,
    /// Those that break off after.
    pub unanswered: u64,
    /// Longest way, in milliseconds.
    pub slow: u64,
}

/// See the module. Cheap to clone: the same server.
#[derive(Clone, Debug)]
pub struct Redis {
    server: Arc<Mutex<Server>>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Server {
    data: Data,
    /// What it was after each change, and when that was.
    states: VecDeque<(u64, Data)>,
    scripts: BTreeMap<String, String>,
    random: Random,
    ills: RedisIlls,
    /// Milliseconds that the replica is behind.
    lag: u64,
    /// Since when it hears nothing.
    cut_since: Option<u64>,
    /// Whether a write counts only when the replica has it.
    replicated: bool,
    /// The process that sends it dies at this script: so many others before it; before or after it is run.
    deadly: Option<(u64, bool)>,
    failovers: u64,
}

/// Commands that change nothing.
const READING: [&str; 9] = ["GET", "EXISTS", "HGETALL", "XLEN", "XREAD", "TIME", "CONFIG", "WAIT", "SCRIPT"];

impl Server {
    fn run(&mut self, command: &[Text], now: u64, unix: u64) -> Result<Option<Value>, Refused> {
        let name = command.first().map(|name| String::from_utf8_lossy(name).to_uppercase()).unwrap_or_default();
        let done = match name.as_str() {
            "SCRIPT" => {
                let source = String::from_utf8_lossy(&command[2]).into_owned();
                let digest = hex::encode(sha1(source.as_bytes()));
                self.scripts.insert(digest.clone(), source);
                return Ok(Some(Value::BulkString(digest.into_bytes())));
            }
            "EVALSHA" | "EVAL" => {
                let text = String::from_utf8_lossy(&command[1]).into_owned();
                let known = if name == "EVAL" { Some(text) } else { self.scripts.get(&text).cloned() };
                let source = known.ok_or("NOSCRIPT No matching script")?;
                let keys: usize = String::from_utf8_lossy(&command[2]).parse().map_err(|_| "ERR keys")?;
                let (keys, arguments) = command[3..].split_at(keys);
                Some(script::run(&source, keys, arguments, &mut self.data, (now, unix))?)
            }
            _ => self.data.run(command, now, unix)?,
        };
        if !READING.contains(&name.as_str()) && done.is_some() {
            self.states.push_back((now, self.data.clone()));
            while self.states.len() > 1 && self.states[1].0 + REMEMBERED < now {
                self.states.pop_front();
            }
        }
        Ok(done)
    }

    /// What the replica has.
    fn replica(&self, now: u64) -> Data {
        let until = now.saturating_sub(self.lag).min(self.cut_since.unwrap_or(u64::MAX));
        let state = self.states.iter().rev().find(|(at, _)| *at <= until);
        state.map(|(_, data)| data.clone()).unwrap_or_default()
    }

    /// When the replica has all that there is now; `None` if it will not.
    fn replicated_at(&self) -> Option<u64> {
        let last = self.states.back().map_or(0, |(at, _)| *at);
        match self.cut_since {
            Some(since) if last > since => None,
            _ => Some(last + self.lag),
        }
    }
}

impl Redis {
    /// An empty one.
    pub fn new(seed: u64, replicated: bool) -> Self {
        let mut random = Random::new(seed, "redis");
        let lag = random.between(1, 150);
        let server = Server {
            data: Data::default(),
            states: VecDeque::new(),
            scripts: BTreeMap::new(),
            random,
            ills: RedisIlls::default(),
            lag,
            cut_since: None,
            replicated,
            deadly: None,
            failovers: 0,
        };
        Self { server: Arc::new(Mutex::new(server)), changed: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on.
    pub fn set_ills(&self, ills: RedisIlls, now: u64) {
        let mut server = self.lock();
        server.cut_since = ills.cut.then(|| server.cut_since.unwrap_or(now));
        server.ills = ills;
    }

    /// Whoever sends this script dies: so many others after now; `after` it is run or before.
    pub fn set_deadly(&self, deadly: Option<(u64, bool)>) {
        self.lock().deadly = deadly;
    }

    /// The replica takes over with what it has.
    pub fn fail_over(&self, now: u64) {
        let mut server = self.lock();
        server.data = server.replica(now);
        let data = server.data.clone();
        // Another replica has all of it from the start.
        server.states = VecDeque::from([(0, data)]);
        server.cut_since = server.ills.cut.then_some(now);
        server.failovers += 1;
        self.changed.notify_waiters();
    }

    /// Whether the loss of the server that answers would leave these bytes in a journal.
    pub fn is_durable(&self, bytes: &[u8], now: u64) -> bool {
        let server = self.lock();
        if server.replicated { server.replica(now).has(bytes) } else { server.data.has(bytes) }
    }

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.lock().data.size()
    }
}

/// FIPS 180-4, by which scripts are named.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |value, byte| (value << 8) | u32::from(*byte));
        }
        for index in 16..80 {
            words[index] = (words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (index, word) in words.iter().enumerate() {
            let (mixed, constant) = match index / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (word, value) in state.iter_mut().zip([a, b, c, d, e]) {
            *word = word.wrapping_add(value);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}
