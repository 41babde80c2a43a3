//! On a chain of the OP stack an operation pays for its data on L1 too, or is told how much it lacks.

use alloy::primitives::{Address, B256, Bytes, U256, address};
use erc4337::EntryPointVersion;
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use tests::{Anvil, Stack, accounts::SimpleAccount};

const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");

#[tokio::test(flavor = "multi_thread")]
async fn data_on_l1_is_paid_for_by_pre_verification_gas_on_base() {
    let anvil = Anvil::start_with(&["--chain-id", "8453"]).await.unwrap();
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &[]).await.unwrap();
    let account =
        SimpleAccount::new(&stack, EntryPointVersion::V0_8, U256::from(10).pow(U256::from(18))).await.unwrap();
    let op = account.operation(&stack, Address::repeat_byte(7), U256::from(1), Bytes::new()).await.unwrap();
    let entry_point = json!(account.entry_point);
    let estimate = async || {
        let gas = stack.node.ask("eth_estimateUserOperationGas", vec![op.clone(), entry_point.clone()]).await.unwrap();
        let needed: U256 = serde_json::from_value(gas["preVerificationGas"].clone()).unwrap();
        (gas, needed)
    };
    let send = async |gas: &Value| {
        let mut op = op.clone();
        op.as_object_mut().unwrap().extend(gas.as_object().unwrap().clone());
        account.sign(&mut op).unwrap();
        stack.node.ask("eth_sendUserOperation", vec![op, entry_point.clone()]).await
    };
    // Nothing is known of L1 yet: its values are zero.
    let (free, free_gas) = estimate().await;

    // 10 gwei on L1, 1 gwei for blobs, at 2 % and 80 %.
    let scalars = U256::from(20_000) << 96_usize | U256::from(800_000) << 64_usize;
    let slots = [(1, U256::from(10_000_000_000_u64)), (3, scalars), (7, U256::from(1_000_000_000))];
    for (slot, value) in slots {
        let params = vec![json!(L1_BLOCK), json!(B256::from(U256::from(slot))), json!(B256::from(value))];
        stack.anvil.ask("anvil_setStorageAt", params).await.unwrap();
    }
    stack.anvil.ask("evm_mine", vec![]).await.unwrap();
    let (paid, paid_gas) = loop {
        let (gas, needed) = estimate().await;
        if needed > free_gas {
            break (gas, needed);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    // At least 100 bytes at 10 gwei × 16 × 2 % + 1 gwei × 80 %, paid in gas at no more than 3 gwei.
    let least =
        U256::from(100) * (U256::from(3_200_000_000_u64) + U256::from(800_000_000)) / U256::from(3_000_000_000_u64);
    assert!(paid_gas - free_gas > least, "{free_gas} without, {paid_gas} with");

    let ClientError::Call(refused) = send(&free).await.unwrap_err() else { panic!("no JSON-RPC error") };
    assert_eq!(refused.code(), -32602);
    assert!(refused.message().starts_with("preVerificationGas: "), "{}", refused.message());
    send(&paid).await.unwrap();
}
