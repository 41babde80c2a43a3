//! The web console and the explorer in a real browser, on the stack of `fabstir dev`.

use std::{process::Stdio, time::Duration};

use tests::stack::{fabstir, root};
use tokio::process::Command;

use crate::accounts::assert_holds;

/// What a program of `tests/browser` prints, run by `fabstir dev`.
async fn run(program: &str) -> String {
    let folder = std::env::temp_dir().join(format!("fabstir-browser-{program}-{}", std::process::id()));
    let browse = format!("npm --silent --prefix tests/browser run {program}");
    let dev = Command::new(fabstir())
        .args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--once", "--run", &browse])
        .arg("--folder")
        .arg(&folder)
        .current_dir(root())
        .env("FABSTIR_ANVIL", tests::anvil::program().unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(300), dev).await.unwrap().unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_does_for_an_operator_what_the_admin_api_does_in_a_real_browser() {
    let checks = [
        "a wrong key opens nothing, and says so",
        "the key opens the console, and is kept in its tab alone",
        "what is promised is in the figures of policy, user and budget",
        "a denial over JSON-RPC is seen as it happens, with its reason",
        "a bad line is marked with its number and cannot be saved",
        "a dry run under a text that is not in force says which rule denies what",
        "a saved policy is in force at once",
        "a pause is asked about, and then nothing is sponsored until it ends",
        "deposits are those of the chain, and the log says who did what",
        "every page fits a phone, and axe finds nothing serious in it",
        "logging out forgets the key",
        "no script failed, no content was refused, nothing was loaded from elsewhere",
    ];
    assert_holds(&run("console").await, &checks);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_explorer_shows_everybody_what_became_of_an_operation() {
    let checks = [
        "what is going on is seen without asking",
        "an operation is found by its hash, with every stage and its time",
        "its calls, who paid, its gas and its validation are in words",
        "its account leads to all of its operations, and its transaction to those in it",
        "a job and a session lead to what was done about them, by whom",
        "what is no such thing is said to be none",
        "a refused operation says why",
        "every page fits a phone, and axe finds nothing serious in it",
        "all of it is done by keyboard alone",
        "no script failed, no content was refused, nothing was loaded from elsewhere",
    ];
    assert_holds(&run("explorer").await, &checks);
}
