//! What the scanned process does with the key it is given.

use std::{
    fs::File,
    io::{Read, Write},
};

use alloy::primitives::{Address, B256};
use session_keys::{
    P256Key, SecretKey, SessionKey,
    session_key::Curve,
    store::{Binding, Passphrase, StoredKey},
};
use zeroize::Zeroizing;

/// Everything that a key can go through.
pub(crate) const STAGES: [&str; 4] = ["secp256k1", "p256", "store", "thread"];

/// Reads a key, uses it, says so and waits; drops it, says so and waits.
pub(crate) fn play(stage: &str) {
    let key = {
        let mut text = Zeroizing::new([0; 64]);
        input().read_exact(text.as_mut_slice()).unwrap();
        read(stage, std::str::from_utf8(text.as_slice()).unwrap())
    };
    match stage {
        "store" => store(&key),
        "thread" => {
            let copy = key.clone();
            std::thread::spawn(move || use_often(&copy)).join().unwrap();
        }
        _ => use_often(&key),
    }
    say("alive");
    drop(key);
    say("dropped");
}

fn read(stage: &str, text: &str) -> SessionKey {
    match stage {
        "p256" => SessionKey::P256(P256Key::from_hex(text).unwrap()),
        _ => SessionKey::Secp256k1(SecretKey::from_hex(text).unwrap()),
    }
}

fn use_often(key: &SessionKey) {
    for byte in 0..8 {
        key.sign(B256::repeat_byte(byte)).unwrap();
    }
    let copies: Vec<_> = (0..8).map(|_| key.clone()).collect();
    copies[7].sign(B256::ZERO).unwrap();
    if let SessionKey::Secp256k1(key) = key {
        assert_eq!(key.expose_hex().len(), 66);
    }
    assert!(!format!("{key:?}").is_empty());
}

/// To rest and back, as the signing service does it.
fn store(key: &SessionKey) {
    let binding = Binding {
        account: Address::repeat_byte(1),
        chain_id: 8453,
        policy: B256::repeat_byte(2),
        valid_until: 1_000,
        curve: Curve::Secp256k1,
    };
    let wrapper = Passphrase::with_cost("correct", 1024, 1).unwrap();
    let stored = StoredKey::seal(key, binding, &wrapper).unwrap();
    let stored: StoredKey = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
    use_often(&stored.open(&binding, 0, &wrapper).unwrap());
    assert!(stored.open(&binding, 0, &Passphrase::with_cost("other", 1024, 1).unwrap()).is_err());
}

/// Without the buffers of the standard library, which would keep what passes through them.
fn input() -> File {
    File::open("/dev/stdin").unwrap()
}

fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().unwrap();
    input().read_exact(&mut [0]).unwrap();
}
