//! Estimates are exact, and what is estimated is admitted and executes (`make accuracy` for more of them).

use tests::{Stack, accuracy};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_estimated_is_admitted_and_executes_and_less_would_not_do() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |it| it.parse().unwrap());
    let (seed, count) = (number("FABSTIR_SEED", 7), number("FABSTIR_OPERATIONS", 320));
    println!("seed {seed}");
    let stack = Stack::start(&accuracy::ARGUMENTS).await.unwrap();
    let report = accuracy::run(&stack, seed, usize::try_from(count).unwrap()).await.unwrap();
    println!("{report}");
    assert!(report.count() >= usize::try_from(count).unwrap());
    assert_eq!(report.failures(), Vec::<String>::new(), "seed {seed}");
    // Gas is no matter of time: these are the same on any machine.
    assert!(report.over(50) <= 2.0 && report.over(95) <= 10.0, "seed {seed}\n{report}");
    assert!(report.tight() >= 95.0, "seed {seed}\n{report}");
}
