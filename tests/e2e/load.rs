//! A few seconds of hostile load: nobody honest is refused, nobody hostile is served beyond the rules, nothing grows.

use std::time::Duration;

use tests::{
    Stack,
    load::{self, Plan},
};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_operations_are_refused_and_cost_no_memory() {
    let stack = Stack::start(&load::ARGUMENTS).await.unwrap();
    let plan = Plan { seed: 7, rate: 20, accounts: 12, quiet: Duration::from_secs(1), hostile: Duration::from_secs(4) };
    let report = load::run(&stack, plan).await.unwrap();
    println!("{report}");
    assert_eq!(report.honest_refused, Vec::<String>::new());
    assert_eq!(report.loaded.count(), 80);

    let only = |nuisance: &str, codes: &[&str]| {
        let told = &report.hostile[nuisance];
        assert!(told.keys().all(|answer| codes.contains(&answer.as_str())), "{nuisance}: {told:?}");
    };
    only("violate a rule", &["-32502"]);
    // A machine that is busy stops it by the time that it takes, before its gas is used up.
    only("burn to the gas cap", &["-32500", "-32502"]);
    only("malformed", &["-32602", "-32700"]);
    // The first is as good as any; then the nonce is used, or the pending one not outbid.
    only("flood one sender", &["accepted", "-32602", "-32500"]);
    assert!(report.hostile["flood one sender"].get("accepted").is_none_or(|count| *count <= 1));
    // Unstaked, with a deposit for little.
    only("flood one paymaster", &["accepted", "-32505", "-32508"]);
    assert!(report.memory.most < 256 * 1024, "{} KiB", report.memory.most);
}
