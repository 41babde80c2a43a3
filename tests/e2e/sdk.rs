//! The TypeScript package against `fabstir dev`: its README's example as it is written, and a host with a payer who
//! tries not to pay.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tests::stack::{fabstir, root};
use tokio::process::Command;

/// Runs a program of `sdk/` while `fabstir dev` is up; what it printed.
async fn beside_dev(program: &str) -> String {
    let name = program.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let folder = std::env::temp_dir().join(format!("fabstir-sdk{name}-{}", std::process::id()));
    let run = format!("cd sdk && node_modules/.bin/tsx {program}");
    let dev = Command::new(fabstir())
        .args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--once", "--run", &run, "--folder"])
        .arg(&folder)
        .current_dir(root())
        .env("FABSTIR_ANVIL", tests::anvil::program().unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(180), dev).await.unwrap().unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text.into_owned()
}

/// A file in the package's folder, where its own name and viem are found; gone with this value.
struct Program(PathBuf);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_example_runs_as_it_is_written() {
    let readme = std::fs::read_to_string(root().join("sdk/README.md")).unwrap();
    let mut blocks = readme.split("```ts\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let example = blocks.next().expect("the README shows no example");
    assert_eq!(blocks.next(), None, "the README shows two examples: which one?");
    let name = format!(".readme-{}.ts", std::process::id());
    let program = Program(root().join("sdk").join(&name));
    std::fs::write(&program.0, example).unwrap();
    let text = beside_dev(&name).await;
    for told in [
        "the owner allows up to 2 tUSDC a day on SessionMarketplace, ",
        "You asked: why is the sky blue\n",
        "paid 0.00615 of 1 test USDC; the user's ETH balance is 0\n",
    ] {
        assert!(text.contains(told), "{told:?} is missing in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_serves_what_is_paid_for_and_settles_without_gas() {
    let text = beside_dev("test/host.ts").await;
    let held: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("holds: ")).collect();
    let checks = [
        "a conversation that nobody opened is not served",
        "one chunk is served on credit, and none after it unpaid",
        "a voucher for less, by another key, or of another conversation pays for nothing",
        "a good voucher pays for the next chunk, once",
        "the service signs no voucher above the permission",
        "the host settles the last good voucher by a gasless operation, and loses the one unpaid chunk",
        "a revoked permission signs nothing more",
    ];
    assert_eq!(held, checks);
}
