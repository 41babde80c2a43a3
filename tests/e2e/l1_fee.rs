//! On a chain of the OP stack an operation pays for what is charged beside gas, or is told how much it lacks.

use std::sync::Arc;

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::{BlockNumberOrTag, eip2718::Decodable2718},
    primitives::{Address, B256, Bytes, U256, hex, keccak256},
    sol,
    sol_types::{SolCall, SolValue},
};
use bundler::{
    evm::{Shared, StateView},
    l1_fee::{L1Prices, Upgrade, compressed},
    node::NodeClient,
};
use erc4337::{EntryPointVersion, UserOperation, pack};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use tests::{
    Anvil, Stack,
    accounts::{SimpleAccount, delegate, receipt},
    op_stack::{GAS_PRICE_ORACLE, L1_BLOCK, set_prices},
    patience::found,
    programs::Dice,
    stack::root,
};

sol! {
    function getL1Fee(bytes data) external view returns (uint256);
    function getL1FeeUpperBound(uint256 size) external view returns (uint256);
}

/// Transactions that are compared for each upgrade.
const COMPARED: usize = 1_000;

/// Puts the OP stack's own contract where it belongs.
async fn predeploy(anvil: &Anvil, name: &str, at: Address) {
    let package = "contracts/node_modules/@eth-optimism/contracts-bedrock/forge-artifacts";
    let artifact = std::fs::read_to_string(root().join(format!("{package}/{name}.sol/{name}.json"))).unwrap();
    let artifact: Value = serde_json::from_str(&artifact).unwrap();
    anvil.ask("anvil_setCode", vec![json!(at), artifact["deployedBytecode"]["object"].clone()]).await.unwrap();
}

/// What the bundler reads at the newest block.
async fn read_prices(anvil: &Anvil) -> L1Prices {
    let node = NodeClient::new(&anvil.url).unwrap();
    let block = node.block(BlockNumberOrTag::Latest).await.unwrap().unwrap().header.hash;
    L1Prices::read(&StateView::new(node, block, 0, Arc::<Shared>::default())).await.unwrap()
}

/// Any prices. The oracle multiplies the first scalar by 16 in 32 bits.
fn prices(dice: &mut Dice, upgrade: Upgrade) -> L1Prices {
    L1Prices {
        upgrade,
        base_fee: u128::from(dice.throw() % 1_000_000_000_000),
        blob_base_fee: u128::from(dice.throw() % 1_000_000_000_000),
        base_fee_scalar: dice.throw() as u32 >> 4,
        blob_base_fee_scalar: dice.throw() as u32,
        bedrock: (U256::from(dice.throw() % 10_000), U256::from(dice.throw() % 2_000_000)),
        operator_fee_scalar: dice.throw() as u32,
        operator_fee_constant: dice.throw(),
        footprint_scalar: dice.throw() as u16,
    }
}

/// The operator's fee by the words of the upgrades' texts.
fn operator_fee_by_the_text(prices: &L1Prices, gas: u64) -> U256 {
    let (gas, scalar) = (U256::from(gas), U256::from(prices.operator_fee_scalar));
    let constant = U256::from(prices.operator_fee_constant);
    match prices.upgrade {
        Upgrade::Isthmus => gas * scalar / U256::from(1_000_000) + constant,
        Upgrade::Jovian => gas * scalar * U256::from(100) + constant,
        _ => U256::ZERO,
    }
}

/// What a transaction counts for in its block, by Jovian's text: bytes are whole before they are weighed.
fn footprint_by_the_text(prices: &L1Prices, compressed: u32) -> u64 {
    if prices.upgrade != Upgrade::Jovian {
        return 0;
    }
    let scalar = if prices.footprint_scalar == 0 { 400 } else { u64::from(prices.footprint_scalar) };
    let millionths = (i64::from(compressed) * 836_500 - 42_585_600).max(100_000_000);
    millionths as u64 / 1_000_000 * scalar
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fee_is_what_the_gas_price_oracle_of_the_op_stack_says() {
    let seed = std::env::var("FABSTIR_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let anvil = Anvil::start_with(&["--chain-id", "8453"]).await.unwrap();
    predeploy(&anvil, "L1Block", L1_BLOCK).await;
    // Its formulas end with Fjord's, which those after it have left as they were.
    predeploy(&anvil, "GasPriceOracle", GAS_PRICE_ORACLE).await;
    let ask = async |data: Vec<u8>| {
        let call = json!({ "to": GAS_PRICE_ORACLE, "data": Bytes::from(data), "gas": "0x1c9c380" });
        let answer = anvil.ask("eth_call", vec![call, json!("latest")]).await.unwrap();
        U256::abi_decode(&serde_json::from_value::<Bytes>(answer).unwrap()).unwrap()
    };

    for upgrade in [Upgrade::Bedrock, Upgrade::Ecotone, Upgrade::Fjord, Upgrade::Isthmus, Upgrade::Jovian] {
        let (mut compared, mut least) = (0, 0);
        while compared < COMPARED {
            let set = prices(&mut dice, upgrade);
            set_prices(&anvil, &set).await.unwrap();
            let prices = read_prices(&anvil).await;
            assert_eq!(prices.upgrade, upgrade);
            for _ in 0..50 {
                let payload = payload(&mut dice);
                // The contract is given unsigned transactions, and adds 68 bytes that no compression saves.
                let left = compressed(&payload) + 68;
                let ours = if upgrade >= Upgrade::Fjord {
                    prices.fee_of(left)
                } else {
                    prices.fee(&[&payload[..], &[0xff; 68]].concat())
                };
                let theirs = ask(getL1FeeCall { data: payload.clone().into() }.abi_encode()).await;
                assert_eq!(U256::from(ours), theirs, "seed {seed}, {upgrade:?}: {}", hex::encode(&payload));
                if upgrade >= Upgrade::Fjord && compared.is_multiple_of(5) {
                    let size = payload.len() as u32 + 68;
                    let bound = ask(getL1FeeUpperBoundCall { size: U256::from(payload.len()) }.abi_encode()).await;
                    assert_eq!(U256::from(prices.fee_of(size + size / 255 + 16)), bound, "seed {seed}: {size} bytes");
                }
                let gas = dice.throw() % 16_777_217;
                assert_eq!(U256::from(prices.operator_fee(gas.into())), operator_fee_by_the_text(&set, gas), "{set:?}");
                assert_eq!(prices.footprint(left), footprint_by_the_text(&set, left), "{set:?}");
                compared += 1;
                least += usize::from(ours == prices.fee_of(0));
            }
        }
        println!("{upgrade:?}: {compared} transactions, {least} of them at the least fee");
        assert!(upgrade < Upgrade::Fjord || (least > 0 && least < compared / 2), "seed {seed}: {least} of {compared}");
    }
}

/// The client itself: what it takes from the sender's balance for signed transactions. Anvil has Isthmus' rules.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_reckoned_for_a_signed_transaction_is_what_a_client_of_the_op_stack_takes() {
    let mut dice = Dice::new(11);
    let anvil = Anvil::start_with(&["--network", "optimism", "--hardfork", "isthmus"]).await.unwrap();
    let sender: Address = serde_json::from_value(anvil.ask("eth_accounts", vec![]).await.unwrap()[0].clone()).unwrap();
    let mut left = U256::from(10).pow(U256::from(30));
    anvil.ask("anvil_setBalance", vec![json!(sender), json!(left)]).await.unwrap();
    let (mut compared, mut by_operator) = (0, 0);
    while compared < COMPARED {
        // Some chains have no operator's fee.
        let mut set = prices(&mut dice, Upgrade::Isthmus);
        if dice.chance(25) {
            (set.operator_fee_scalar, set.operator_fee_constant) = (0, 0);
        }
        set_prices(&anvil, &set).await.unwrap();
        let prices = read_prices(&anvil).await;
        for _ in 0..25 {
            let data = payload(&mut dice);
            let receipt = anvil.send(sender, Some(Address::repeat_byte(0x11)), data.into(), U256::ZERO).await.unwrap();
            let raw = anvil.ask("eth_getRawTransactionByHash", vec![receipt["transactionHash"].clone()]).await.unwrap();
            let raw: Bytes = serde_json::from_value(raw).unwrap();
            let number = |field: &str| serde_json::from_value::<U256>(receipt[field].clone()).unwrap();
            let (gas, now) = (number("gasUsed"), anvil.balance(sender).await.unwrap());
            let taken = left - now - gas * number("effectiveGasPrice");
            let operator = prices.operator_fee(gas.to());
            assert_eq!(U256::from(prices.fee(&raw)) + U256::from(operator), taken, "{set:?}: {raw}");
            (left, compared) = (now, compared + 1);
            by_operator += usize::from(operator > 0);
        }
    }
    println!("{compared} transactions, {by_operator} of them with an operator's fee");
    assert!(by_operator > compared / 2 && by_operator < compared);
}

/// Noise, zeros, repetition, a bundle, or some of each.
fn payload(dice: &mut Dice) -> Vec<u8> {
    let mut payload = Vec::new();
    for _ in 0..=dice.below(3) {
        let length = dice.below(1_500);
        let seed = dice.throw();
        let noise = |length: usize| -> Vec<u8> {
            let words = (0..length as u64).step_by(32).flat_map(|word| keccak256((seed ^ word).to_be_bytes()).0);
            words.take(length).collect()
        };
        match dice.below(5) {
            0 => payload.extend(noise(length)),
            1 => payload.extend(vec![0; length]),
            2 => payload.extend(noise(dice.below(60) + 1).into_iter().cycle().take(length)),
            3 => payload.extend(noise(length).into_iter().map(|byte| byte & 3)),
            _ => {
                let version = dice.pick(&EntryPointVersion::ALL);
                let op = UserOperation {
                    sender: Address::from_slice(&noise(20)),
                    nonce: U256::from(seed),
                    initializer: None,
                    call_data: noise(length).into(),
                    call_gas_limit: u128::from(seed >> 40),
                    verification_gas_limit: 100_000,
                    pre_verification_gas: 50_000,
                    max_fee_per_gas: 3_000_000_000,
                    max_priority_fee_per_gas: 1_000_000_000,
                    paymaster: None,
                    signature: noise(65).into(),
                    eip7702_auth: None,
                };
                payload.extend(pack::handle_ops(version, [&op], Address::repeat_byte(0xbb)));
            }
        }
    }
    payload
}

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
    let prices = L1Prices {
        upgrade: Upgrade::Fjord,
        base_fee: 10_000_000_000,
        blob_base_fee: 1_000_000_000,
        base_fee_scalar: 20_000,
        blob_base_fee_scalar: 800_000,
        ..L1Prices::default()
    };
    set_prices(&stack.anvil, &prices).await.unwrap();
    let (paid, paid_gas) = found("the fee on L1", async || {
        let (gas, needed) = estimate().await;
        (needed > free_gas).then_some((gas, needed))
    })
    .await;
    // At least 100 bytes at 10 gwei × 16 × 2 % + 1 gwei × 80 %, paid in gas at no more than 3 gwei.
    let least =
        U256::from(100) * (U256::from(3_200_000_000_u64) + U256::from(800_000_000)) / U256::from(3_000_000_000_u64);
    assert!(paid_gas - free_gas > least, "{free_gas} without, {paid_gas} with");

    let ClientError::Call(refused) = send(&free).await.unwrap_err() else { panic!("no JSON-RPC error") };
    assert_eq!(refused.code(), -32602);
    assert!(refused.message().starts_with("preVerificationGas: "), "{}", refused.message());
    send(&paid).await.unwrap();
}

/// A day on which L1 is as dear beside gas at a gwei as it would be at 100 gwei beside Base's, and an operator that
/// charges.
const DEAR: L1Prices = L1Prices {
    upgrade: Upgrade::Jovian,
    base_fee: 20_000_000_000_000,
    blob_base_fee: 4_000_000_000_000,
    base_fee_scalar: 2_269,
    blob_base_fee_scalar: 1_055_762,
    bedrock: (U256::ZERO, U256::ZERO),
    operator_fee_scalar: 400_000,
    operator_fee_constant: 1_000_000_000_000,
    footprint_scalar: 400,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_offers_exactly_what_it_is_asked_for_is_sent_and_its_bundle_costs_no_more_than_it_pays() {
    // Without a base fee, operation and bundle pay one price, block after block.
    let anvil = Anvil::start_with(&["--chain-id", "8453", "--base-fee", "0"]).await.unwrap();
    set_prices(&anvil, &DEAR).await.unwrap();
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &[]).await.unwrap();
    let wei = U256::from(10).pow(U256::from(18));
    let mut accounts = Vec::new();
    for version in EntryPointVersion::ALL {
        accounts.push(SimpleAccount::new(&stack, version, wei).await.unwrap());
    }
    accounts.push(SimpleAccount::eip7702(&stack, EntryPointVersion::V0_8, wei).await.unwrap());
    let delegate = delegate(&stack, EntryPointVersion::V0_8).await.unwrap();
    for (index, account) in accounts.iter().enumerate() {
        let data = Bytes::from(keccak256([index as u8]).repeat(5));
        let mut op = account.operation(&stack, Address::repeat_byte(7), U256::ZERO, data).await.unwrap();
        if index == 4 {
            op["factory"] = json!("0x7702");
            op["factoryData"] = json!("0x");
            op["eip7702Auth"] = account.authorize(delegate, 0).unwrap();
        }
        account.finish(&stack, &mut op).await.unwrap();
        let (estimated, entry_point) = (op["preVerificationGas"].clone(), json!(account.entry_point));
        op["preVerificationGas"] = json!("0x1");
        account.sign(&mut op).unwrap();
        let refused = stack.node.ask("eth_sendUserOperation", vec![op.clone(), entry_point.clone()]).await;
        let ClientError::Call(refused) = refused.unwrap_err() else { panic!("no JSON-RPC error") };
        let refused: Value = serde_json::from_str(refused.data().unwrap().get()).unwrap();
        assert_eq!(refused["field"], "preVerificationGas", "{refused}");
        op["preVerificationGas"] = refused["required"].clone();
        let [asked, estimated] =
            [&op["preVerificationGas"], &estimated].map(|gas| serde_json::from_value::<U256>(gas.clone()).unwrap());
        assert!(asked < estimated, "{asked} asked, {estimated} estimated");
        account.sign(&mut op).unwrap();
        let hash = stack.node.ask("eth_sendUserOperation", vec![op, entry_point]).await.unwrap();
        let included = receipt(&stack, serde_json::from_value::<B256>(hash).unwrap()).await.unwrap();

        let number = |value: &Value| serde_json::from_value::<U256>(value.clone()).unwrap();
        let (paid, mined) = (number(&included["actualGasCost"]), &included["receipt"]);
        let raw = stack.anvil.ask("eth_getRawTransactionByHash", vec![mined["transactionHash"].clone()]).await.unwrap();
        let raw: Bytes = serde_json::from_value(raw).unwrap();
        let sent = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        assert_eq!(sent.authorization_list().is_some(), index == 4);
        let gas = number(&mined["gasUsed"]);
        let l1 = U256::from(DEAR.fee(&raw));
        let cost = gas * number(&mined["effectiveGasPrice"]) + l1 + U256::from(DEAR.operator_fee(gas.to()));
        println!("{} {index}: paid {paid}, cost {cost}, of that {l1} for data", account.version);
        assert!(l1 * U256::from(3) > cost, "data is not what decides");
        assert!(paid >= cost, "{} {index}: {paid} paid, {cost} wei lost", account.version);
        assert!(paid * U256::from(10) < cost * U256::from(13), "{} {index}: {paid} for {cost}", account.version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_no_node_or_block_takes_is_refused_by_the_field_that_is_too_long() {
    let anvil = Anvil::start_with(&["--chain-id", "8453", "--gas-limit", "40000000"]).await.unwrap();
    set_prices(&anvil, &L1Prices { upgrade: Upgrade::Jovian, footprint_scalar: 400, ..L1Prices::default() })
        .await
        .unwrap();
    let url = anvil.url.clone();
    let stack = Stack::on(anvil, &url, &[]).await.unwrap();
    let account =
        SimpleAccount::new(&stack, EntryPointVersion::V0_8, U256::from(10).pow(U256::from(18))).await.unwrap();
    let refusal = async |length: usize, noisy: bool| {
        let data: Vec<u8> = (0..length as u64 / 32)
            .flat_map(|word| if noisy { keccak256(word.to_be_bytes()).0 } else { [7; 32] })
            .collect();
        let mut op = account.operation(&stack, Address::repeat_byte(7), U256::ZERO, data.into()).await.unwrap();
        for (field, gas) in
            [("callGasLimit", 50_000), ("verificationGasLimit", 400_000), ("preVerificationGas", 9_000_000)]
        {
            op[field] = json!(U256::from(gas));
        }
        account.sign(&mut op).unwrap();
        let refused = stack.node.ask("eth_sendUserOperation", vec![op, json!(account.entry_point)]).await;
        let Err(ClientError::Call(refused)) = refused else { panic!("{refused:?}") };
        assert_eq!(refused.code(), -32602, "{}", refused.message());
        assert!(refused.data().unwrap().get().contains("\"field\":\"callData\""), "{}", refused.message());
        refused.message().to_owned()
    };
    let message = refusal(130_800, false).await;
    assert!(message.contains("bytes") && message.contains("131072"), "{message}");
    // It would be taken by a node, but 400 gas for each of its bytes is more than a block has.
    let message = refusal(124_000, true).await;
    assert!(message.contains("data counts for") && message.contains("40000000"), "{message}");
}
tests::on_base!(data_on_l1_is_paid_for_by_pre_verification_gas_on_base,);
