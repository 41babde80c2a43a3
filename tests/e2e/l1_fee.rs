//! On a chain of the OP stack an operation pays for its data on L1 too, or is told how much it lacks.

use alloy::{
    primitives::{Address, Bytes, U256, address, hex, keccak256},
    sol,
    sol_types::{SolCall, SolValue},
};
use bundler::l1_fee::{L1Prices, compressed};
use erc4337::{EntryPointVersion, UserOperation, pack};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use tests::{Anvil, Stack, accounts::SimpleAccount, programs::Dice, stack::root};

const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");
/// Whom the predeploys obey.
const DEPOSITOR: Address = address!("0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001");

sol! {
    function setEcotone() external;
    function setFjord() external;
    function setL1BlockValuesEcotone() external;
    function getL1Fee(bytes data) external view returns (uint256);
    function getL1FeeUpperBound(uint256 size) external view returns (uint256);
}

/// Puts the OP stack's own contract where it belongs.
async fn predeploy(anvil: &Anvil, name: &str, at: Address) {
    let package = "contracts/node_modules/@eth-optimism/contracts-bedrock/forge-artifacts";
    let artifact = std::fs::read_to_string(root().join(format!("{package}/{name}.sol/{name}.json"))).unwrap();
    let artifact: Value = serde_json::from_str(&artifact).unwrap();
    anvil.ask("anvil_setCode", vec![json!(at), artifact["deployedBytecode"]["object"].clone()]).await.unwrap();
}

/// What the first transaction of every block does: the contract stores these values where it keeps them.
async fn set_prices(anvil: &Anvil, prices: &L1Prices) {
    let call = [
        setL1BlockValuesEcotoneCall::SELECTOR.as_slice(),
        &prices.base_fee_scalar.to_be_bytes(),
        &prices.blob_base_fee_scalar.to_be_bytes(),
        // Sequence number, and L1's timestamp and number.
        &[1; 24],
        &U256::from(prices.base_fee).to_be_bytes::<32>(),
        &U256::from(prices.blob_base_fee).to_be_bytes::<32>(),
        // Hashes of L1's block and of the batcher.
        &[2; 64],
    ];
    anvil.transact_as(DEPOSITOR, L1_BLOCK, call.concat()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fee_is_what_the_gas_price_oracle_of_the_op_stack_says() {
    let seed = std::env::var("FABSTIR_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let anvil = Anvil::start_with(&["--chain-id", "8453"]).await.unwrap();
    predeploy(&anvil, "L1Block", L1_BLOCK).await;
    predeploy(&anvil, "GasPriceOracle", GAS_PRICE_ORACLE).await;
    anvil.transact_as(DEPOSITOR, GAS_PRICE_ORACLE, setEcotoneCall {}.abi_encode()).await.unwrap();
    anvil.transact_as(DEPOSITOR, GAS_PRICE_ORACLE, setFjordCall {}.abi_encode()).await.unwrap();
    let ask = async |data: Vec<u8>| {
        let call = json!({ "to": GAS_PRICE_ORACLE, "data": Bytes::from(data) });
        let answer = anvil.ask("eth_call", vec![call, json!("latest")]).await.unwrap();
        U256::abi_decode(&serde_json::from_value::<Bytes>(answer).unwrap()).unwrap()
    };

    let (mut compared, mut least) = (0, 0);
    for _ in 0..12 {
        let prices = L1Prices {
            base_fee: u128::from(dice.throw() % 1_000_000_000_000),
            blob_base_fee: u128::from(dice.throw() % 1_000_000_000_000),
            // The contract multiplies it by 16 in 32 bits.
            base_fee_scalar: dice.throw() as u32 >> 4,
            blob_base_fee_scalar: dice.throw() as u32,
        };
        set_prices(&anvil, &prices).await;
        for _ in 0..20 {
            let payload = payload(&mut dice);
            // The contract is given unsigned transactions, and adds 68 bytes that no compression saves.
            let left = compressed(&payload) + 68;
            let theirs = ask(getL1FeeCall { data: payload.clone().into() }.abi_encode()).await;
            assert_eq!(U256::from(prices.fee_of(left)), theirs, "seed {seed}: {}", hex::encode(&payload));

            let size = payload.len() as u32 + 68;
            let bound = ask(getL1FeeUpperBoundCall { size: U256::from(payload.len()) }.abi_encode()).await;
            assert_eq!(U256::from(prices.fee_of(size + size / 255 + 16)), bound, "seed {seed}: {size} bytes");
            compared += 1;
            least += usize::from(theirs == U256::from(prices.fee_of(0)));
        }
    }
    println!("{compared} transactions, {least} of them at the least fee");
    assert!(compared >= 200 && least > 0 && least < compared / 2, "seed {seed}: {least} of {compared}");
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
    predeploy(&stack.anvil, "L1Block", L1_BLOCK).await;
    let prices = L1Prices {
        base_fee: 10_000_000_000,
        blob_base_fee: 1_000_000_000,
        base_fee_scalar: 20_000,
        blob_base_fee_scalar: 800_000,
    };
    set_prices(&stack.anvil, &prices).await;
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

tests::on_base!(data_on_l1_is_paid_for_by_pre_verification_gas_on_base,);
