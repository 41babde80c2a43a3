//! What an operation would do to what its sender has, told before it is signed.

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, abi::test_usdc};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use tests::{Stack, accounts::SimpleAccount};

#[tokio::test(flavor = "multi_thread")]
async fn ether_and_tokens_that_come_and_go_are_told_and_what_reverts_changes_nothing() {
    let stack = Stack::start(&[]).await.unwrap();
    let token = stack.deployment.token;
    for version in EntryPointVersion::ALL {
        let account = SimpleAccount::new(&stack, version, parse_ether("1").unwrap()).await.unwrap();
        let somebody = Address::repeat_byte(0x5a);
        let asked = async |to: Address, value: u64, data: Vec<u8>| {
            let op = account.operation(&stack, to, U256::from(value), Bytes::from(data)).await.unwrap();
            stack.node.ask("pimlico_simulateAssetChanges", vec![op, json!(account.entry_point), json!("0x0")]).await
        };
        let ether = asked(somebody, 5, vec![]).await.unwrap();
        let sent = json!({ "token": { "tokenType": "NATIVE" }, "value": { "diff": "-0x5" } });
        assert_eq!(ether, json!({ "assetChanges": [sent] }), "{version}");

        let mint = |to, amount: u64| test_usdc::mintCall { to, amount: U256::from(amount) }.abi_encode();
        let minted = asked(token, 0, mint(account.address, 7)).await.unwrap();
        let got = json!({ "token": { "tokenType": "ERC-20", "address": token }, "value": { "diff": "0x7" } });
        assert_eq!(minted, json!({ "assetChanges": [got] }), "{version}");
        let of_others = asked(token, 0, mint(somebody, 7)).await.unwrap();
        assert_eq!(of_others["assetChanges"], json!([]), "{version}: that is nobody's business");

        let Err(ClientError::Call(refused)) = asked(token, 5, vec![]).await else { panic!("{version}: it reverts") };
        assert_eq!(refused.code(), -32_521, "{version}: {}", refused.message());
        // It was a dry run.
        assert_eq!(stack.anvil.balance(somebody).await.unwrap(), U256::ZERO);
        let pending =
            stack.node.ask("rundler_getPendingUserOperationBySenderNonce", vec![json!(account.address), json!("0x0")]);
        assert_eq!(pending.await.unwrap(), Value::Null);
    }
}
