//! A node that is killed in the middle of an attack: what is told apart in memory alone is told apart anew.

use erc4337::EntryPointVersion::V0_8;

use super::field::{Field, YES};

#[tokio::test(flavor = "multi_thread")]
async fn innocents_of_a_halved_bundle_carry_no_mark_across_a_kill_and_none_is_executed_twice() {
    let folder = tests::chain::own("siege-restart");
    let _ = std::fs::remove_dir_all(&folder);
    let data = folder.to_string_lossy().into_owned();
    let mut field = Field::with(&["--data-dir", &data]).await;
    let stand = field.stand().await;
    let (mut honest, mut hashes) = (Vec::new(), Vec::new());
    for round in 0..3 {
        field.bundling("manual").await;
        let sender = field.account(V0_8, &YES).await;
        field.proxy.harden(|hard| hard.filtered.push(sender));
        field.send(V0_8, &field.operation(sender)).await.unwrap();
        let now = field.honest_round().await;
        hashes.extend(now.iter().map(|it| it.hash));
        honest.extend(now);
        let refused = field.proxy.refused();
        field.bundling("auto").await;
        // Killed when a first bundle was refused, and its halves are on their way or are not. Without a new head no more
        // than so many are tried, so that what comes after the first is waited for in vain now and then.
        for (wanted, tries) in [(0, 15_000), (round, 500)] {
            for _ in 0..tries {
                if field.proxy.refused() > refused + wanted {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        assert!(field.proxy.refused() > refused, "round {round}: nothing was refused");
        field.restart(&["--data-dir", &data]).await;
        field.seal().await;
    }
    field.finish(&hashes).await;
    let report = field.report(stand, &honest, &[]).await;
    println!("{}\n{}", super::Report::HEAD, report.row("restart"));
    assert!(report.lost.is_empty() && report.reverted == 0, "{report:?}");
    // What was signed when the process died may have been taken or not: its nonce is cancelled once for each kill at most.
    assert!(report.losing == report.cancelled && report.cancelled <= 3, "{report:?}");
    let _ = std::fs::remove_dir_all(&folder);
}
