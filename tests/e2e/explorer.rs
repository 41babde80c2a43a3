//! What the explorer's page is told, where a browser's test does not come: what is pending; and that nobody is told unasked.

use std::time::Duration;

use serde_json::json;
use tests::{Stack, prometheus::get};

use crate::attacks::sponsored;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_and_in_which_bundle_is_seen_while_it_is() {
    let stack = Stack::start(&["--explorer"]).await.unwrap();
    let (client, op) = sponsored(&stack).await;
    stack.anvil.ask("evm_setAutomine", vec![json!(false)]).await.unwrap();
    let hash = client.send(&client.sign(op).unwrap()).await.unwrap();
    let submitted = async {
        loop {
            let seen = stack.node.ask("fabstir_explorerOverview", vec![]).await.unwrap();
            if let Some(bundle) = seen["bundles"].get(0) {
                return (seen.clone(), bundle.clone());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (seen, bundle) = tokio::time::timeout(Duration::from_secs(20), submitted).await.unwrap();
    assert_eq!((&seen["poolSize"], &seen["openNonces"]), (&json!(1), &json!(1)));
    let pending = &seen["pool"][0];
    assert_eq!((&pending["userOpHash"], &pending["sender"]), (&json!(hash), &json!(client.account)));
    assert_eq!((&pending["stage"], &pending["transactionHash"]), (&json!("submitted"), &bundle["transactionHash"]));
    assert_eq!(bundle["operations"], json!([hash]));
    let found = stack.node.ask("fabstir_explorerSearch", vec![json!(hash)]).await.unwrap();
    assert_eq!(found["kind"], "operation");

    stack.anvil.ask("evm_mine", vec![]).await.unwrap();
    client.wait(hash).await.unwrap();
    let seen = stack.node.ask("fabstir_explorerOverview", vec![]).await.unwrap();
    assert_eq!((&seen["pool"], &seen["bundles"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_for_there_is_no_explorer() {
    let stack = Stack::start(&[]).await.unwrap();
    assert_eq!(get(&format!("{}/explorer/", stack.node.url)).await.unwrap().0, 404);
    for method in ["fabstir_explorerOverview", "fabstir_explorerSearch", "fabstir_explorerOperation"] {
        let refused = stack.node.ask(method, vec![json!("x")]).await.unwrap_err();
        assert!(refused.to_string().contains("MethodNotFound"), "{refused}");
    }
    // What is no secret is there all the same.
    assert_eq!(get(&format!("{}/live", stack.node.url)).await.unwrap().0, 200);
    let (status, body) = get(&format!("{}/ready", stack.node.url)).await.unwrap();
    assert!(matches!(status, 200 | 503) && body.contains("\"checks\""), "{status} {body}");
}
