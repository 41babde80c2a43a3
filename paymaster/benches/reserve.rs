//! How many reservations a second the ledger takes, durably: on Redis that syncs each write, and on a redb file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench")]

#[path = "../tests/budgets/redis.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod redis_server;

use std::time::Instant;

use alloy::primitives::{Address, U256};
use paymaster::ledger::{Charge, Ledger, Place, Reservation, Rules, Store, Unit};

const RESERVATIONS: u64 = 20_000;
const CLIENTS: u64 = 256;

fn reservation(number: u64) -> Reservation {
    let sender = Address::left_padding_from(&(number % 1_000).to_be_bytes());
    let charge = |bucket: String| Charge { bucket, unit: Unit::Wei, limit: U256::MAX, period: 86_400 };
    Reservation {
        place: Place { entry_point: Address::ZERO, sender, nonce: U256::from(number) },
        cost: U256::from(1_000_000 + number),
        valid_until: 1_000_120,
        charges: vec![charge("all".into()), charge("policy/bench".into()), charge(format!("sender/{sender}"))],
        price: None,
        now: 1_000_000,
    }
}

async fn measure(name: &str, store: Store) -> f64 {
    let ledger = Ledger::start(store, Rules::default());
    let start = Instant::now();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for number in (client..RESERVATIONS).step_by(usize::try_from(CLIENTS).unwrap()) {
                    ledger.reserve(reservation(number)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rate = RESERVATIONS as f64 / start.elapsed().as_secs_f64();
    println!("reserve, {name}: {rate:.0} a second ({RESERVATIONS} by {CLIENTS} clients, three buckets each)");
    rate
}

#[tokio::main]
async fn main() {
    let folder = std::env::temp_dir().join(format!("fabstir-reserve-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.to_str().unwrap();
    let synced = ["--dir", path, "--appendonly", "yes", "--appendfsync", "always"];
    let server = redis_server::Server::start_with(&synced).await;
    let redis = measure("redis, fsync always", Store::redis(&server.url, "bench").await.unwrap()).await;
    drop(server);
    let redb = measure("redb", Store::file(&folder.join("budgets.redb")).unwrap()).await;
    println!("redis / redb: {:.2}", redis / redb);
    std::fs::remove_dir_all(&folder).unwrap();
}
