//! The oracle of ERC-7562: each rule kept and broken by twins taken from its text.

mod bench;
mod calls;
mod creation;
mod delegation;
mod limits;
mod opcodes;
mod storage;

use std::collections::BTreeSet;

use bench::{Bench, Scene};
use tests::oracle::Opinion;

/// Judged, and nothing found.
#[track_caller]
fn lawful(what: &str, opinion: &Opinion) {
    breaks(what, opinion, &[]);
}

/// These rules are broken by these entities, and no others.
#[track_caller]
fn breaks(what: &str, opinion: &Opinion, rules: &[(&str, &str)]) {
    let rules: BTreeSet<_> = rules.iter().map(|(rule, entity)| ((*rule).to_owned(), (*entity).to_owned())).collect();
    assert_eq!(*opinion, Opinion::Judged(rules), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_entry_point_refuses_is_not_judged() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        let revert = Scene { account: vec![0x5f, 0x5f, 0xfd], ..Scene::default() };
        let refused = bench.judge(version, &revert).await;
        assert!(matches!(refused, Opinion::Failed(_)), "{version}: {refused:?}");
        // Signature failure: 1.
        let unsigned = Scene { answer: Some(vec![0x60, 1, 0x5f, 0x52, 0x60, 32, 0x5f, 0xf3]), ..Scene::default() };
        let refused = bench.judge(version, &unsigned).await;
        assert!(matches!(refused, Opinion::Failed(_)), "{version}: {refused:?}");
        lawful("nothing", &bench.judge(version, &Scene::default()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn execution_is_under_no_rule() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        // Without calldata, as it is called in execution, it looks at the time and stops.
        let account = [&[0x36, 0x60, 6, 0x57, 0x42, 0x00][..], &[0x5b]].concat();
        let scene = Scene { account, ..Scene::default() };
        lawful(&format!("{version}"), &bench.judge(version, &scene).await);
    }
}
