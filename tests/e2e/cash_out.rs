//! Whether a sponsored operation can be turned into money by whoever bundles it with a key of his own: on the default
//! settings, with everything as high as it is signed for, and the tip that the chain asks for.
//!
//! The first rows of the table in `docs/paymaster.md`.

use alloy::primitives::{Address, Bytes, U256};
use erc4337::{EntryPointVersion, UserOperation, UserOperationRequest, calls::Call, pack};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Stack, accounts::SimpleAccount, stack::any_account};

use crate::attacks::{approval, of_key, sponsored};

/// What a bundle of several saves for each operation of it.
const SAVED: u64 = 21_000;
/// Gas by which our own reckoning of a bundle of one is above what it takes, so that no bundler loses by it.
const ROOM: u64 = 600;

struct Attacker<'a> {
    stack: &'a Stack,
    address: Address,
}

/// What a bundle came to.
#[derive(Debug)]
struct Outcome {
    /// Wei that the attacker has more, or less.
    gain: i128,
    /// Wei that the paymaster paid.
    paid: U256,
    /// Wei for each gas of the attacker's transaction.
    price: u128,
}

impl<'a> Attacker<'a> {
    async fn new(stack: &'a Stack) -> Self {
        let address = Address::repeat_byte(0xa7);
        stack.anvil.ask("anvil_impersonateAccount", vec![json!(address)]).await.unwrap();
        stack
            .anvil
            .ask("anvil_setBalance", vec![json!(address), json!(U256::from(10).pow(U256::from(18)))])
            .await
            .unwrap();
        Self { stack, address }
    }

    async fn number(&self, method: &str, params: Vec<Value>) -> U256 {
        serde_json::from_value(self.stack.anvil.ask(method, params).await.unwrap()).unwrap()
    }

    /// Bundles these, at the tip that the chain asks for.
    async fn bundle(&self, version: EntryPointVersion, ops: &[UserOperation]) -> Outcome {
        let entry_point = self.stack.deployment.entry_points[&version.to_string()];
        let tip = self.number("eth_maxPriorityFeePerGas", vec![]).await;
        let data = Bytes::from(pack::handle_ops(version, ops, self.address));
        let tx = json!({
            "from": self.address, "to": entry_point, "data": data, "gas": "0xf42400",
            "maxFeePerGas": tip + U256::from(10_000_000_000_u64), "maxPriorityFeePerGas": tip,
        });
        let before = self.stack.anvil.balance(self.address).await.unwrap();
        let hash = self.stack.anvil.ask("eth_sendTransaction", vec![tx]).await.unwrap();
        let receipt = loop {
            let receipt = self.stack.anvil.ask("eth_getTransactionReceipt", vec![hash.clone()]).await.unwrap();
            if !receipt.is_null() {
                break receipt;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        assert_eq!(receipt["status"], "0x1", "{version}: the EntryPoint takes it");
        let word = |field: &str| serde_json::from_value::<U256>(receipt[field].clone()).unwrap();
        let price: u128 = word("effectiveGasPrice").to();
        let after = self.stack.anvil.balance(self.address).await.unwrap();
        let gain = i128::try_from(after).unwrap() - i128::try_from(before).unwrap();
        let paid = (after + word("gasUsed") * U256::from(price)) - before;
        Outcome { gain, paid, price }
    }

    /// Has it signed for with each of these fields as high as it goes, which every refusal tells.
    async fn at_most(&self, version: EntryPointVersion, op: &Value) -> Value {
        let entry_point = self.stack.deployment.entry_points[&version.to_string()];
        let mut op = op.clone();
        let mut fields = vec!["maxPriorityFeePerGas", "maxFeePerGas", "preVerificationGas", "callGasLimit"];
        if version.is_packed() {
            fields.extend(["verificationGasLimit", "paymasterVerificationGasLimit", "paymasterPostOpGasLimit"]);
        }
        for field in &fields {
            op[*field] = json!(U256::from(1_000_000_000_000_u64));
        }
        // A limit is held against what a run with it needs, and what is far too high is not run.
        for field in ["preVerificationGas", "callGasLimit", "verificationGasLimit", "paymasterVerificationGasLimit"] {
            if fields.contains(&field) {
                op[field] = json!(U256::from(290_000));
            }
        }
        op["paymasterPostOpGasLimit"] = json!(U256::from(100_000));
        for _ in 0..40 {
            let chain = U256::from(self.stack.deployment.chain_id);
            let params = vec![op.clone(), json!(entry_point), json!(chain), Value::Null];
            match self.stack.node.ask("pm_getPaymasterData", params).await {
                Ok(answer) => {
                    op.as_object_mut().unwrap().extend(answer.as_object().cloned().unwrap());
                    return op;
                }
                Err(ClientError::Call(error)) => {
                    let data: Value = serde_json::from_str(error.data().unwrap().get()).unwrap();
                    let field = data["field"].as_str().unwrap_or_else(|| panic!("{version}: {error:?}"));
                    assert_eq!(error.code(), -32050, "{error:?}");
                    op[field] = data["limit"].clone();
                }
                Err(other) => panic!("{other}"),
            }
        }
        panic!("{version}: nothing is signed for");
    }
}

fn report(name: &str, version: EntryPointVersion, outcome: &Outcome, operations: u64) -> i128 {
    let gas = outcome.gain / i128::try_from(outcome.price).unwrap();
    println!(
        "{name}, EntryPoint {version}, {operations}: gain {} wei = {gas} gas of {} paid",
        outcome.gain, outcome.paid
    );
    gas
}

fn parse(op: &Value, version: EntryPointVersion) -> UserOperation {
    UserOperationRequest::from_json(op, version).unwrap().with_open_fields_zero()
}

/// An account that is there, and an operation of it with everything but a sponsorship.
async fn operation(stack: &Stack, version: EntryPointVersion) -> (SimpleAccount, Value) {
    let account = SimpleAccount::new(stack, version, U256::ZERO).await.unwrap();
    account.deploy(stack).await.unwrap();
    let Call { target, data, .. } = approval(stack, 1);
    let op = account.operation(stack, target, U256::ZERO, data).await.unwrap();
    let prepare = "fabstir_prepareSponsoredUserOperation";
    let prepared = stack.node.ask(prepare, vec![op.clone(), json!(account.entry_point)]).await.unwrap();
    (account, prepared["userOperation"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gains_by_bundling_what_is_sponsored_on_default_settings() {
    let stack = Stack::start(&[]).await.unwrap();
    let version = EntryPointVersion::V0_8;
    let attacker = Attacker::new(&stack).await;
    let (client, op) = sponsored(&stack).await;
    let honest = parse(&op, version).required_prefund(version);
    let signed = attacker.at_most(version, &op).await;
    let signed = parse(&client.sign(signed).unwrap(), version);
    println!("promised {} wei for what honestly is promised {honest}", signed.required_prefund(version));
    let outcome = attacker.bundle(version, &[signed]).await;
    let gas = report("alone, everything as high as it goes", version, &outcome, 1);
    assert!(gas <= i128::from(ROOM), "{gas} gas");

    // As many as one bundle has room for, of as many nonce keys.
    let mut ops = Vec::new();
    for key in 1..=10 {
        let of_key = attacker.at_most(version, &of_key(&op, key)).await;
        ops.push(parse(&client.sign(of_key).unwrap(), version));
    }
    let outcome = attacker.bundle(version, &ops).await;
    let gas = report("packed", version, &outcome, 10);
    assert!(gas <= i128::from(10 * SAVED + ROOM), "{gas} gas");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gains_by_bundling_on_any_entry_point() {
    let stack = Stack::start(&["--policies", &any_account()]).await.unwrap();
    let attacker = Attacker::new(&stack).await;
    for version in EntryPointVersion::ALL {
        let (account, op) = operation(&stack, version).await;
        let mut signed = attacker.at_most(version, &op).await;
        account.sign(&mut signed).unwrap();
        let outcome = attacker.bundle(version, &[parse(&signed, version)]).await;
        let gas = report("alone, everything as high as it goes", version, &outcome, 1);
        assert!(gas <= i128::from(ROOM), "{version}: {gas} gas");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_simulation_early_is_not_signed_for() {
    let stack = Stack::start(&[]).await.unwrap();
    let (_, op) = sponsored(&stack).await;
    // It would revert: nobody has posted that job.
    let accept = erc4337::abi::job_marketplace::acceptResultCall { jobId: alloy::primitives::B256::repeat_byte(1) };
    let data = alloy::sol_types::SolCall::abi_encode(&accept).into();
    let call = Call { target: stack.deployment.job_marketplace, value: U256::ZERO, data };
    let mut reverting = op.clone();
    reverting["callData"] = json!(erc4337::calls::encode(&[call]));
    let nonce: U256 = serde_json::from_value(op["nonce"].clone()).unwrap();
    for (what, field, value) in [
        ("a signature that cannot be read", "signature", json!("0x12")),
        ("the nonce after the next", "nonce", json!(nonce + U256::ONE)),
        ("too little gas to validate", "verificationGasLimit", json!("0x64")),
        ("nothing else", "maxPriorityFeePerGas", json!("0x1")),
    ] {
        let mut op = reverting.clone();
        op[field] = value;
        let (code, message) = crate::attacks::sponsor(&stack, &op).await.unwrap_err();
        assert_eq!(code, -32050, "{what}: {message}");
        let code = |word: &str| word.len() > 3 && word.starts_with("AA") && word[2..4].parse::<u8>().is_ok();
        assert!(!message.split(' ').any(code), "{what}: {message}");
        println!("{what}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_unknown_code_is_not_sponsored_whatever_it_says() {
    let stack = Stack::start(&[]).await.unwrap();
    let (client, op) = sponsored(&stack).await;
    // The code of nobody, which writes our implementation into its slot.
    let liar = SecretKey::generate().address();
    let slot = paymaster::policy::IMPLEMENTATION_SLOT;
    stack.anvil.ask("anvil_setCode", vec![json!(liar), json!("0x60016000556001600055")]).await.unwrap();
    let implementation = stack.deployment.smart_account.into_word();
    let set = vec![json!(liar), json!(U256::from(slot)), json!(implementation)];
    stack.anvil.ask("anvil_setStorageAt", set).await.unwrap();
    let mut lying = op.clone();
    lying["sender"] = json!(liar);
    let (code, message) = crate::attacks::sponsor(&stack, &lying).await.unwrap_err();
    assert_eq!((code, message.contains("with the code")), (-32050, true), "{message}");

    // A delegate that nobody knows, without an authorization and with a made-up one.
    let key = SecretKey::generate();
    let code = Bytes::from([&[0xef, 0x01, 0x00], Address::repeat_byte(0x66).as_slice()].concat());
    stack.anvil.ask("anvil_setCode", vec![json!(key.address()), json!(code)]).await.unwrap();
    let mut delegated = op.clone();
    delegated["sender"] = json!(key.address());
    let made_up = json!({
        "chainId": "0x7a69", "address": stack.deployment.smart_account, "nonce": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x1",
    });
    for auth in [Value::Null, made_up] {
        let mut op = delegated.clone();
        op["eip7702Auth"] = auth;
        let (code, message) = crate::attacks::sponsor(&stack, &op).await.unwrap_err();
        assert_eq!(code, -32050, "{message}");
        println!("{message}");
    }
    // The honest account still is.
    crate::attacks::sponsor(&stack, &op).await.unwrap();
    drop(client);
}

tests::on_base!(nobody_gains_by_bundling_what_is_sponsored_on_default_settings,);
