//! Estimates for every account of the table in docs/clients.md, as its client asks for them: with a dummy signature, for calls
//! of many shapes. What is estimated is admitted and executes, and little less would not be admitted (`make
//! client-estimates` for that, and for more of them).

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::client_table::Clients;

/// How long one client may take for each round.
const ROUND: Duration = Duration::from_secs(600);

/// What tests/clients/src/estimates.mjs says of one operation.
#[derive(Debug, Deserialize)]
struct Line {
    client: String,
    account: String,
    /// Our estimate of `verificationGasLimit`; none where the client asks for none.
    estimated: Option<String>,
    /// The share by which it is above the least that is admitted, if that was measured.
    over: Option<f64>,
    failure: Option<String>,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |it| it.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_estimated_for_the_clients_accounts_is_admitted_and_executes_and_little_less_is_not_admitted() {
    let (seed, rounds) = (number("FABSTIR_SEED", 1), number("FABSTIR_ROUNDS", 0));
    let clients = Clients::start("client-estimates", &["--calls-per-second", "0"]).await;
    let told = [("FABSTIR_ESTIMATES", rounds.to_string()), ("FABSTIR_SEED", seed.to_string())];
    let said = clients.all(&told, ROUND * (rounds as u32 + 1)).await;
    let lines: Vec<Line> =
        said.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();

    let mut rows: BTreeMap<(&str, &str), (usize, usize, Vec<f64>)> = BTreeMap::new();
    for line in &lines {
        let (operations, estimated, over) = rows.entry((&line.client, &line.account)).or_default();
        *operations += 1;
        *estimated += usize::from(line.estimated.is_some());
        over.extend(line.over);
    }
    println!("{:<28}{:<22} operations  estimated  over the least that is admitted", "client", "account");
    for ((client, account), (operations, estimated, over)) in &mut rows {
        print!("{client:<28}{account:<22}{operations:>11}{estimated:>11}");
        match median(over) {
            Some(median) => println!("  median {:.1} %, most {:.1} %", 100.0 * median, 100.0 * over[over.len() - 1]),
            None => println!("  not measured"),
        }
    }
    let mut over: Vec<f64> = lines.iter().filter_map(|line| line.over).collect();
    let of_all = median(&mut over);
    println!("seed {seed}: {} operations, {} with room measured: median {of_all:?}", lines.len(), over.len());

    let failures: Vec<&Line> = lines.iter().filter(|line| line.failure.is_some()).collect();
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
    // Every row of the table, whichever client and account.
    assert!(rows.len() >= 27, "{rows:?}");
    let shapes = |rounds: usize| if rounds == 0 { 1 } else { 2 * rounds };
    assert!(rows.values().all(|(operations, ..)| *operations >= shapes(rounds as usize)), "{rows:?}");
    if rounds > 0 {
        assert!(lines.len() >= 150 * rounds as usize, "{} operations", lines.len());
        assert!(over.len() * 4 >= lines.len() * 3, "{} of {} measured", over.len(), lines.len());
        assert!(of_all.is_some_and(|median| median <= 0.05), "seed {seed}: {of_all:?}");
    }
}

/// Of these, which come out in order.
fn median(of: &mut [f64]) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied()
}
