//! The clients that apps use, sponsored by our service on every EntryPoint: viem, permissionless, Base Account's SDK.

use tests::{Proxy, Stack};

use crate::accounts::{assert_holds, run};

const VERSIONS: [&str; 4] = ["v0.6", "v0.7", "v0.8", "v0.9"];
const CLIENTS: [&str; 2] = ["viem", "permissionless"];

/// That each client's check of this name held, on each version.
fn assert_all_hold(text: &str, name: &str) {
    let checks: Vec<_> =
        VERSIONS.iter().flat_map(|version| CLIENTS.map(|client| format!("{client}, {version}: {name}"))).collect();
    assert_holds(text, &checks.iter().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn viem_and_permissionless_are_sponsored_on_every_entry_point() {
    let stack = Stack::start(&[]).await.unwrap();
    assert_all_hold(&run("clients", &stack, None).await, "an account without ETH acts, sponsored");
}

#[tokio::test(flavor = "multi_thread")]
async fn viem_and_permissionless_pay_in_usdc_on_every_entry_point() {
    let stack = Stack::start(&["--token-price", "3000"]).await.unwrap();
    let text = run("tokenClients", &stack, None).await;
    let (each, permit) = text.trim_end().rsplit_once('\n').unwrap();
    assert_all_hold(each, "an account without ETH pays in USDC");
    assert_holds(permit, &["viem, v0.8: an account permits and pays in one operation"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_told_by_the_client_and_asked_for_once() {
    let stack = Stack::start(&[]).await.unwrap();
    let proxy = Proxy::start(&stack.node.url).await.unwrap();
    assert_all_hold(&run("denials", &stack, Some(&proxy.url)).await, "the error says why");
    let asked = proxy.methods();
    let denials = (VERSIONS.len() * CLIENTS.len()) as u64;
    assert_eq!(asked.get("pm_getPaymasterStubData"), Some(&denials), "{asked:?}");
    for method in ["pm_getPaymasterData", "eth_estimateUserOperationGas", "eth_sendUserOperation"] {
        assert_eq!(asked.get(method), None, "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn base_account_s_sdk_is_sponsored_and_hears_of_a_denial_once() {
    let stack = Stack::start(&[]).await.unwrap();
    let proxy = Proxy::start(&stack.node.url).await.unwrap();
    let text = run("baseAccount", &stack, Some(&proxy.url)).await;
    let checks = [
        "the SDK's account acts in viem's client, sponsored on v0.6",
        "wallet_sendCalls with our URL as its paymasterService is sponsored",
        "a denial reaches whoever called wallet_sendCalls, with its reason",
    ];
    assert_holds(&text, &checks);
    let asked = proxy.methods();
    // Two that were sponsored, and the denial.
    assert_eq!((asked["pm_getPaymasterStubData"], asked["pm_getPaymasterData"]), (3, 2), "{asked:?}");
}
