//! After a key was used and dropped, no byte of it is left in the process's memory.
//!
//! Each test is a process of its own: nextest or not, the program starts itself again with the curve to try. What is
//! looked for is kept in disguise, or the search would find itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{fs::File, os::unix::fs::FileExt, process::Command};

use alloy::primitives::{Address, B256};
use session_keys::{
    SecretKey, SessionKey,
    session_key::Curve,
    store::{Binding, Passphrase, StoredKey},
};
use zeroize::Zeroize;

const MASK: u8 = 0x5a;
const CHUNK: usize = 1 << 16;

/// A secret as it may lie in memory, each byte masked.
struct Disguised {
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Disguised {
    fn of(key: &SecretKey) -> Self {
        let text = key.expose_hex();
        let hex: Vec<u8> = text.bytes().skip(2).map(|byte| byte ^ MASK).collect();
        let digit = |masked: u8| (char::from(masked ^ MASK)).to_digit(16).unwrap() as u8;
        let big: Vec<u8> = hex.chunks(2).map(|pair| (digit(pair[0]) << 4 | digit(pair[1])) ^ MASK).collect();
        let little = big.iter().rev().copied().collect();
        Self { forms: vec![("big-endian", big), ("little-endian", little), ("hex", hex)] }
    }

    /// Where it is found, by form.
    fn found(&self) -> Vec<&'static str> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let mut buffer = vec![0_u8; CHUNK + 64];
        let mut found = Vec::new();
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let (mut at, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            while at < to {
                let length = usize::try_from((to - at).min(buffer.len() as u64)).unwrap();
                let read = memory.read_at(&mut buffer[..length], at).unwrap_or(0);
                for (name, form) in &self.forms {
                    let same = |window: &[u8]| window.iter().zip(form).all(|(byte, masked)| byte ^ MASK == *masked);
                    found.extend(buffer[..read].windows(form.len()).filter(|window| same(window)).map(|_| *name));
                }
                // The copies that the search itself makes are no finding.
                buffer.zeroize();
                at += CHUNK as u64;
            }
        }
        found
    }
}

fn exercise(curve: Curve) {
    let (secret, disguised) = {
        // The one way to learn a key's bytes is that of secp256k1; they make a key on the other curve as well.
        let known = SecretKey::generate();
        let disguised = Disguised::of(&known);
        match curve {
            Curve::Secp256k1 => (SessionKey::Secp256k1(known), disguised),
            Curve::P256 => (SessionKey::P256(session_keys::P256Key::from_hex(&known.expose_hex()).unwrap()), disguised),
        }
    };
    assert!(disguised.found().contains(&"big-endian"), "the search does not find a living key");
    for n in 0..20 {
        secret.sign(B256::repeat_byte(n)).unwrap();
    }
    let binding = Binding {
        account: Address::repeat_byte(1),
        chain_id: 1,
        policy: B256::repeat_byte(2),
        valid_until: u64::MAX,
        curve,
    };
    let passphrase = Passphrase::with_cost("correct", 64, 1).unwrap();
    let stored = StoredKey::seal(&secret, binding, &passphrase).unwrap();
    let opened = stored.open(&binding, 0, &passphrase).unwrap();
    opened.sign(B256::repeat_byte(9)).unwrap();
    let shown = format!("{secret:?} {opened:?} {stored:?} {passphrase:?}");
    assert!(!shown.is_empty());
    assert!(disguised.found().len() >= 2, "two living keys");
    drop(secret);
    drop(opened);
    assert_eq!(disguised.found(), [""; 0], "bytes of a dropped key are left");
}

#[test]
fn no_byte_of_a_dropped_key_is_left_in_memory() {
    const CHILD: &str = "FABSTIR_MEMORY_CURVE";
    match std::env::var(CHILD).as_deref() {
        Ok("p256") => return exercise(Curve::P256),
        Ok(_) => return exercise(Curve::Secp256k1),
        Err(_) => {}
    }
    for curve in ["secp256k1", "p256"] {
        let child = Command::new(std::env::current_exe().unwrap()).env(CHILD, curve).output().unwrap();
        assert!(child.status.success(), "{curve}: {}", String::from_utf8_lossy(&child.stdout));
    }
}
