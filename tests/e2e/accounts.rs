//! Every kind of account and operation by viem clients, accepted by the bundler with all rules of ERC-7562 on.

use fabstir::host;
use serde_json::json;
use session_keys::SecretKey;
use tests::{Stack, stack::root};
use tokio::process::Command;

/// Runs a program of `tests/viem/src/suite` on a stack of its own; all of these checks must have held, in this order.
async fn holds(program: &str, checks: &[&str]) {
    assert_holds(&output(program).await, checks);
}

/// That these checks held, in this order.
pub(crate) fn assert_holds(text: &str, checks: &[&str]) {
    let held: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("holds: ")).collect();
    assert_eq!(held, checks);
}

/// What a program of `tests/viem` prints, on a stack with a registered host; it must end well.
async fn output(program: &str) -> String {
    // Some of what they send is to revert when it is executed, and not before.
    run(program, &Stack::start(&["--sponsor-unrehearsed"]).await.unwrap(), None).await
}

/// The same on this stack, its node at another URL if one is given.
pub(crate) async fn run(program: &str, stack: &Stack, rpc_url: Option<&str>) -> String {
    let key = SecretKey::generate();
    let client = stack.client(key.clone(), 100_000_000).await.unwrap();
    let offer = host::Offer {
        model: fabstir::deploy::DEMO_MODEL.into(),
        price: 600_000,
        stake: 100_000_000,
        capacity: 8,
        endpoint: "https://host.example/v1".into(),
    };
    host::register(&client, &stack.deployment, &offer).await.unwrap();

    let session = stack.deployment_file.with_extension("session");
    let mut told = stack.session(client.account, &key);
    if let Some(url) = rpc_url {
        told["rpcUrl"] = json!(url);
    }
    std::fs::write(&session, told.to_string()).unwrap();
    let output = Command::new("npm")
        .args(["--silent", "--prefix", "tests/viem", "run", program])
        .current_dir(root())
        .env("FABSTIR_DEV", &session)
        .output()
        .await
        .unwrap();
    std::fs::remove_file(&session).unwrap();

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_a_program_that_runs() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let shown = format!("```ts\n{}```", read("tests/viem/accounts.ts"));
    assert!(read("README.md").contains(&shown), "README.md shows another program than tests/viem/accounts.ts");
    assert_eq!(output("accounts").await, "success: true\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_owns_an_account() {
    let checks = [
        "a passkey's first operation creates its account and hires a host, sponsored",
        "the passkey acts again without the factory",
        "what the passkey did not sign is refused as a wrong signature",
    ];
    holds("passkey", &checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_key_spends_within_its_policy_on_the_real_marketplace() {
    let checks = [
        "the policy is that of MarketplacePolicy.sol",
        "one sponsored operation creates the account, enables the session and posts a job",
        "operations of different lanes do not wait for each other",
        "what would go over the day's limit is refused, naming limit and amount",
        "calls that the policy does not list are refused, wherever they stand",
        "the session cancels its job, and the refund goes to the account and nobody else",
        "another key's signature for the session is refused",
        "a P-256 key that cannot leave WebCrypto is a session's key as well, and another one is not",
        "a session that no owner signed is refused",
        "a new day brings a new limit, until the session's own is reached",
        "a revoked session is refused",
    ];
    holds("sessions", &checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_done_as_a_whole_or_not_at_all() {
    let checks = [
        "one operation approves, posts two jobs and takes the rest of the approval back",
        "a call that fails takes back those before it, and says which it was",
    ];
    holds("batch", &checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eoa_delegates_to_our_account_sponsored() {
    let checks = [
        "a delegation to anything else is not sponsored",
        "an EOA delegates and hires a host in its first operation, sponsored",
        "it acts again without an authorization, and never held ETH",
        "another key's signature is refused",
    ];
    holds("delegate", &checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_is_paid_in_usdc() {
    let checks = [
        "an account without ETH permits the paymaster and pays for a job's gas in USDC, in one operation",
        "it pays again from the allowance that is left, with the limits that the bundler estimates",
        "a passkey's account permits and pays alike",
        "a price that the signer did not promise is refused",
        "more tokens than the account allows are not taken",
        "a twin of the paymaster that has no stake is refused by rule",
        "a token that does not keep balances in plain mappings pays for no gas, whoever has a stake",
    ];
    holds("tokenGas", &checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_accounts_for_entry_points_v07_and_v09_keep_the_rules_too() {
    let checks = ["v0.7", "v0.9"].map(|version| {
        [
            format!("{version}: a passkey creates its account and posts a job"),
            format!("{version}: another passkey is refused"),
            format!("{version}: a session is enabled, used within its limits, and revoked"),
            format!("{version}: gas is paid in USDC"),
        ]
    });
    holds("versions", &checks.iter().flatten().map(String::as_str).collect::<Vec<_>>()).await;
}

tests::on_base!(a_session_key_spends_within_its_policy_on_the_real_marketplace,);
