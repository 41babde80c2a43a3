//! After its use, no byte of a key is left in the memory of the process that used it.
//!
//! The process is a child, scanned from outside: a scan from inside would find what it looks for in its own hands. It is
//! this program again, told so by its environment. Each of its stages is scanned while it waits: first with the key in
//! use, which must be found, or the scan would prove nothing; then after the drop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod scan;
mod user;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use alloy::{hex, primitives::B256};
use session_keys::SecretKey;

use crate::{scan::found, user::STAGES};

/// Says which stage the child plays.
const STAGE: &str = "FABSTIR_MEMORY_STAGE";

fn main() {
    if let Ok(stage) = std::env::var(STAGE) {
        return user::play(&stage);
    }
    // Over and over: what a register keeps comes to light by chance.
    let rounds = std::env::var("FABSTIR_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    for stage in STAGES.into_iter().cycle().take(rounds * STAGES.len()) {
        // Any key: it is in range on both curves.
        let secret: B256 = SecretKey::generate().expose_hex().parse().unwrap();
        let mut user = User::start(stage, secret);
        user.wait_for("alive");
        let alive = found(user.child.id(), &secret);
        assert!(!alive.is_empty(), "{stage}: the key is in use, and the scan does not find it");
        user.go_on();
        user.wait_for("dropped");
        let left = found(user.child.id(), &secret);
        assert!(left.is_empty(), "{stage}: after the drop, in memory: {left:#?}");
        println!("{stage}: {} traces of the key while it is in use, none after the drop", alive.len());
        user.go_on();
        assert!(user.child.wait().unwrap().success());
    }
}

/// The process that has the key.
struct User {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl User {
    fn start(stage: &str, secret: B256) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(STAGE, stage)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        input.write_all(hex::encode(secret).as_bytes()).unwrap();
        Self { child, input, output }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word);
    }

    fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }
}
