//! Accounts of which a dummy signature shows only the way to the first check: multisigs of one to five owners, which pay
//! their prefund only when they know that all have signed, and whose refusal carries a window that is over.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256, utils::parse_ether},
    signers::{SignerSync, local::PrivateKeySigner},
};
use erc4337::{EntryPointVersion, HashContext, UserOperationRequest};
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use tests::{
    Stack,
    accounts::{SimpleAccount, receipt},
    programs::{
        asm::{Asm, op},
        helpers::unless_asked,
    },
};

const STATICCALL: u8 = op::STATICCALL;
const LT: u8 = 0x10;
const CALL: u8 = op::CALL;
/// Memory behind `ecrecover`'s input: where the signatures are, who signed last, and two words to hash.
const SIGNATURES: usize = 0x200;
const LAST: usize = 0x220;
const KEY: usize = 0x240;
/// Where `ecrecover` answers.
const SIGNER: usize = 0x80;

/// How owners are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owners {
    /// By a list, in its order.
    Listed,
    /// By a mapping, the lowest first: so does Safe.
    Mapped,
}

/// `validateUserOp` of an account with so many owners.
fn code(version: EntryPointVersion, owners: Owners, count: usize) -> Bytes {
    let mut asm = Asm::default();
    unless_asked(&mut asm, version.selectors().validate_user_op);
    let refused = asm.label();
    let field = if version.is_packed() { 8 } else { 10 };
    asm.number(100 + 32 * field).op(op::CALLDATALOAD).number(132).op(op::ADD).number(SIGNATURES).op(op::MSTORE);
    for owner in 0..count {
        let word = |asm: &mut Asm, at: usize, shift: bool, to: usize| {
            asm.number(SIGNATURES).op(op::MLOAD).number(65 * owner + at).op(op::ADD).op(op::CALLDATALOAD);
            if shift {
                asm.number(248).op(op::SHR);
            }
            asm.number(to).op(op::MSTORE);
        };
        word(&mut asm, 64, true, 0x20);
        word(&mut asm, 0, false, 0x40);
        word(&mut asm, 32, false, 0x60);
        asm.number(36).op(op::CALLDATALOAD).op(op::PUSH0).op(op::MSTORE);
        asm.op(op::PUSH0).number(SIGNER).op(op::MSTORE);
        asm.number(32).number(SIGNER).number(0x80).op(op::PUSH0).number(1).op(op::GAS).op(STATICCALL).op(op::POP);
        match owners {
            Owners::Listed => {
                asm.number(owner).op(op::SLOAD).number(SIGNER).op(op::MLOAD).op(op::EQ);
            }
            Owners::Mapped => {
                asm.number(SIGNER).op(op::MLOAD).number(LAST).op(op::MLOAD).op(LT).op(op::ISZERO).jump_if(refused);
                asm.number(SIGNER).op(op::MLOAD).op(op::DUP1).number(LAST).op(op::MSTORE).number(KEY).op(op::MSTORE);
                asm.number(5).number(KEY + 32).op(op::MSTORE);
                asm.number(64).number(KEY).op(op::KECCAK256).op(op::SLOAD);
            }
        }
        asm.op(op::ISZERO).jump_if(refused);
    }
    asm.op(op::PUSH0).op(op::PUSH0).op(op::PUSH0).op(op::PUSH0).number(68).op(op::CALLDATALOAD).op(op::CALLER);
    asm.op(op::GAS).op(CALL).op(op::POP);
    asm.op(op::PUSH0).op(op::PUSH0).op(op::MSTORE).number(32).op(op::PUSH0).op(op::RETURN);
    // "Signature failed", valid until the first second of 1970: what its stub says of time.
    asm.place(refused);
    asm.push(U256::ONE | U256::ONE << 160).op(op::PUSH0).op(op::MSTORE).number(32).op(op::PUSH0).op(op::RETURN);
    asm.finish()
}

struct Multisig {
    version: EntryPointVersion,
    entry_point: Address,
    address: Address,
    keys: Vec<PrivateKeySigner>,
    chain_id: u64,
}

impl Multisig {
    async fn place(stack: &Stack, version: EntryPointVersion, owners: Owners, count: usize) -> Self {
        let address = Address::from_word(keccak256(format!("{version} {owners:?} {count}")));
        let mut keys: Vec<_> = std::iter::repeat_with(PrivateKeySigner::random).take(count).collect();
        keys.sort_by_key(PrivateKeySigner::address);
        let word = |number: U256| json!(format!("{number:#066x}"));
        let mut wishes = vec![
            ("anvil_setCode", vec![json!(address), json!(code(version, owners, count))]),
            ("anvil_setBalance", vec![json!(address), json!(parse_ether("1").unwrap())]),
        ];
        for (index, key) in keys.iter().enumerate() {
            let owner: U256 = key.address().into_word().into();
            let (slot, value) = match owners {
                Owners::Listed => (U256::from(index), owner),
                Owners::Mapped => {
                    let preimage = [owner, U256::from(5)].map(|word| word.to_be_bytes::<32>()).concat();
                    (U256::from_be_bytes(keccak256(preimage).0), U256::ONE)
                }
            };
            wishes.push(("anvil_setStorageAt", vec![json!(address), word(slot), word(value)]));
        }
        stack.anvil.ask_all(&wishes).await.unwrap();
        let entry_point = stack.deployment.entry_points[&version.to_string()];
        Self { version, entry_point, address, keys, chain_id: stack.deployment.chain_id }
    }

    /// As a client makes it: with a stub for each owner.
    fn operation(&self) -> Value {
        let stub = [[0xec; 64].as_slice(), &[27]].concat().repeat(self.keys.len());
        json!({
            "sender": self.address,
            "nonce": "0x0",
            "callData": "0x",
            "maxFeePerGas": U256::from(3_000_000_000_u64),
            "maxPriorityFeePerGas": U256::from(1_000_000_000_u64),
            "signature": Bytes::from(stub),
        })
    }

    fn sign(&self, op: &mut Value) {
        let context = HashContext { version: self.version, entry_point: self.entry_point, chain_id: self.chain_id };
        let request = UserOperationRequest::from_json(op, self.version).unwrap();
        let hash = request.with_open_fields_zero().hash(&context, None).unwrap();
        let signatures = self.keys.iter().map(|key| key.sign_hash_sync(&hash).unwrap().as_bytes().to_vec());
        op["signature"] = json!(Bytes::from(signatures.collect::<Vec<_>>().concat()));
    }

    /// Whether it would be taken with this limit of verification.
    async fn is_taken(&self, stack: &Stack, op: &Value, limit: u64) -> bool {
        let mut op = op.clone();
        op["verificationGasLimit"] = json!(U256::from(limit));
        self.sign(&mut op);
        let answer = stack.node.ask("fabstir_explainUserOperation", vec![op, json!(self.entry_point)]).await.unwrap();
        answer["accepted"] == true
    }
}

fn number(value: &Value) -> u64 {
    serde_json::from_value::<U256>(value.clone()).unwrap().to()
}

async fn estimate(stack: &Stack, op: &Value, entry_point: Address) -> Result<Value, ClientError> {
    // Until the node has seen the block that it is in, there is no such account.
    let mut said = stack.node.ask("eth_estimateUserOperationGas", vec![op.clone(), json!(entry_point)]).await;
    for _ in 0..100 {
        if said.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        said = stack.node.ask("eth_estimateUserOperationGas", vec![op.clone(), json!(entry_point)]).await;
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn multisigs_of_one_to_five_owners_that_pay_last_are_admitted_at_the_estimate() {
    let stack = Stack::start(&["--calls-per-second", "0"]).await.unwrap();
    let mut all = Vec::new();
    for version in EntryPointVersion::ALL {
        for owners in [Owners::Listed, Owners::Mapped] {
            for count in 1..=5 {
                all.push((Multisig::place(&stack, version, owners, count).await, owners));
            }
        }
    }
    stack.anvil.ask("evm_mine", vec![]).await.unwrap();
    let mut room = Vec::new();
    for (account, owners) in &all {
        let name = format!("{} {owners:?} {}", account.version, account.keys.len());
        let mut op = account.operation();
        let gas = estimate(&stack, &op, account.entry_point).await;
        let gas = gas.unwrap_or_else(|error| panic!("{name}: {error}"));
        op.as_object_mut().unwrap().extend(gas.as_object().unwrap().clone());
        let estimated = number(&op["verificationGasLimit"]);
        let (mut low, mut high) = (0, estimated);
        assert!(account.is_taken(&stack, &op, estimated).await, "{name}: refused at {estimated}");
        while high - low > 16 {
            let middle = low + (high - low) / 2;
            if account.is_taken(&stack, &op, middle).await { high = middle } else { low = middle }
        }
        let over = 100.0 * (estimated - high) as f64 / high as f64;
        println!("{name}: {estimated} gas, {over:.1} % over the least that is admitted");
        room.push(over);
        account.sign(&mut op);
        let sent = stack.node.ask("eth_sendUserOperation", vec![op, json!(account.entry_point)]).await;
        let hash: B256 = serde_json::from_value(sent.unwrap_or_else(|error| panic!("{name}: {error}"))).unwrap();
        assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true, "{name}");
    }
    room.sort_by(f64::total_cmp);
    println!("{} accounts: median {:.1} %, most {:.1} %", room.len(), room[room.len() / 2], room[room.len() - 1]);
    assert!(room[room.len() / 2] <= 5.0, "{room:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_would_be_refused_is_raised_and_one_that_is_taken_stays() {
    let stack = Stack::start(&["--calls-per-second", "0"]).await.unwrap();
    for version in EntryPointVersion::ALL {
        let account = Multisig::place(&stack, version, Owners::Listed, 2).await;
        stack.anvil.ask("evm_mine", vec![]).await.unwrap();
        let mut op = account.operation();
        let free = estimate(&stack, &op, account.entry_point).await.unwrap();
        for field in ["verificationGasLimit", "preVerificationGas"] {
            let needed = number(&free[field]);
            for (given, answered) in [(21_000, needed), (needed + 50_000, needed + 50_000)] {
                let mut with = op.clone();
                with[field] = json!(U256::from(given));
                let gas = estimate(&stack, &with, account.entry_point).await.unwrap();
                assert!(number(&gas[field]).abs_diff(answered) < 3_000, "{version} {field} {given}: {gas}");
            }
        }
        for field in ["verificationGasLimit", "preVerificationGas"] {
            op[field] = json!("0x5208");
        }
        let gas = estimate(&stack, &op, account.entry_point).await.unwrap();
        op.as_object_mut().unwrap().extend(gas.as_object().unwrap().clone());
        account.sign(&mut op);
        let sent = stack.node.ask("eth_sendUserOperation", vec![op, json!(account.entry_point)]).await;
        let hash: B256 = serde_json::from_value(sent.unwrap_or_else(|error| panic!("{version}: {error}"))).unwrap();
        assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_sends_more_than_paying_leaves_it_is_told_so_and_one_that_sends_all_that_is_left_does() {
    for version in EntryPointVersion::ALL {
        let stack = Stack::start(&["--calls-per-second", "0"]).await.unwrap();
        let balance = parse_ether("1").unwrap();
        let account = SimpleAccount::new(&stack, version, balance).await.unwrap();
        let somebody = Address::repeat_byte(0x5a);
        let sending = async |wei: U256| account.operation(&stack, somebody, wei, Bytes::new()).await.unwrap();
        let op = sending(balance - U256::from(1_000)).await;
        let refused = stack.node.ask("eth_estimateUserOperationGas", vec![op, json!(account.entry_point)]).await;
        let ClientError::Call(refused) = refused.unwrap_err() else { panic!("{version}: no JSON-RPC error") };
        assert_eq!(refused.code(), -32521, "{version}: {}", refused.message());
        assert!(refused.message().contains("left"), "{version}: {}", refused.message());
        // What the prefund leaves: the estimate does not depend on the value.
        let mut op = sending(U256::from(1)).await;
        account.finish(&stack, &mut op).await.unwrap();
        let gas = |field: &str| number(&op[field]);
        let limits = gas("callGasLimit") + gas("verificationGasLimit") + gas("preVerificationGas");
        // Some limits may come out a little higher the next time.
        let prefund = U256::from(limits + 5_000) * U256::from(3_000_000_000_u64);
        let hash = account.send(&stack, sending(balance - prefund).await).await.unwrap();
        assert_eq!(receipt(&stack, hash).await.unwrap()["success"], true, "{version}");
        assert_eq!(stack.anvil.balance(somebody).await.unwrap(), balance - prefund);
    }
}
