//! `userOpHash` against `getUserOpHash` of the real EntryPoint bytecode, run in an EVM.
//!
//! The committed vectors pin today's values; the random operations look for what no one thought of.

#![allow(clippy::unwrap_used, reason = "tests")]

use alloy::{
    eips::eip7702::{Authorization, SignedAuthorization},
    primitives::{Address, B256, Bytes, U256, hex, keccak256},
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    EntryPointVersion, HashContext, Initializer, Paymaster, UserOperation,
    abi::{entry_point_v06, entry_point_v07, entry_point_v08, entry_point_v09},
    wire,
};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB},
    primitives::{TxKind, hardfork::SpecId},
    state::AccountInfo,
};
use serde_json::{Value, json};

const CHAIN_ID: u64 = 8453;
const DELEGATE: Address = Address::repeat_byte(0xde);

/// A chain with one EntryPoint.
struct Chain {
    db: CacheDB<EmptyDB>,
    context: HashContext,
}

impl Chain {
    fn new(version: EntryPointVersion) -> Self {
        let bytecode = match version {
            EntryPointVersion::V0_6 => &entry_point_v06::BYTECODE,
            EntryPointVersion::V0_7 => &entry_point_v07::BYTECODE,
            EntryPointVersion::V0_8 => &entry_point_v08::BYTECODE,
            EntryPointVersion::V0_9 => &entry_point_v09::BYTECODE,
        };
        let mut chain = Self {
            db: CacheDB::new(EmptyDB::new()),
            context: HashContext { version, entry_point: Address::ZERO, chain_id: CHAIN_ID },
        };
        let ExecutionResult::Success { output, .. } = chain.transact(TxKind::Create, bytecode.clone()) else {
            panic!("the EntryPoint did not deploy")
        };
        chain.context.entry_point = *output.address().unwrap();
        chain
    }

    fn transact(&mut self, kind: TxKind, data: Bytes) -> ExecutionResult {
        let tx = TxEnv::builder().kind(kind).data(data).gas_limit(30_000_000).chain_id(Some(CHAIN_ID)).build().unwrap();
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.chain_id = CHAIN_ID;
                cfg.disable_nonce_check = true;
                cfg.tx_gas_limit_cap = Some(u64::MAX);
            })
            .build_mainnet();
        evm.transact_commit(tx).unwrap()
    }

    /// What the contract says; an EIP-7702 sender is given its delegation first.
    fn hash(&mut self, op: &UserOperation) -> B256 {
        if matches!(op.initializer, Some(Initializer::Eip7702 { .. })) {
            let delegate = op.eip7702_auth.as_ref().map_or(DELEGATE, |auth| auth.address);
            let code = Bytecode::new_eip7702(delegate);
            let info = AccountInfo { code_hash: code.hash_slow(), code: Some(code), ..AccountInfo::default() };
            self.db.insert_account_info(op.sender, info);
        }
        let data = if self.context.version.is_packed() {
            entry_point_v08::getUserOpHashCall { userOp: op.to_packed(self.context.version) }.abi_encode()
        } else {
            entry_point_v06::getUserOpHashCall { userOp: op.to_unpacked() }.abi_encode()
        };
        match self.transact(TxKind::Call(self.context.entry_point), data.into()) {
            ExecutionResult::Success { output, .. } => B256::abi_decode(output.data()).unwrap(),
            other => panic!("getUserOpHash failed: {other:?}"),
        }
    }
}

/// Reproducible dice: the hash of a seed and a count.
struct Dice(u64, u64);

impl Dice {
    fn word(&mut self) -> B256 {
        self.1 += 1;
        keccak256((self.0, self.1).abi_encode())
    }

    fn below(&mut self, limit: usize) -> usize {
        (U256::from_be_bytes(self.word().0) % U256::from(limit)).to()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn bytes(&mut self, most: usize) -> Bytes {
        let length = self.below(most + 1);
        std::iter::repeat_with(|| self.word().0).flatten().take(length).collect::<Vec<u8>>().into()
    }

    fn address(&mut self) -> Address {
        Address::from_word(self.word())
    }

    /// Anything a gas or fee field can hold, small values as likely as large ones.
    fn gas(&mut self) -> u128 {
        let word: U256 = self.word().into();
        let value: u128 = (word >> 128_usize).to();
        value >> (8 + self.below(120))
    }
}

/// Any operation that this version can carry.
fn random_operation(dice: &mut Dice, version: EntryPointVersion) -> UserOperation {
    let eip7702 = version.supports_eip7702() && dice.chance(40);
    let initializer = match dice.below(3) {
        _ if eip7702 => Some(Initializer::Eip7702 { data: dice.bytes(40) }),
        0 => Some(Initializer::Factory { address: dice.address(), data: dice.bytes(100) }),
        _ => None,
    };
    let eip7702_auth = (eip7702 && dice.chance(50)).then(|| {
        let inner = Authorization { chain_id: U256::from(CHAIN_ID), address: dice.address(), nonce: 1 };
        SignedAuthorization::new_unchecked(inner, 0, U256::from(1), U256::from(2))
    });
    let paymaster = dice.chance(60).then(|| Paymaster {
        address: dice.address(),
        verification_gas_limit: if version.is_packed() { dice.gas() } else { 0 },
        post_op_gas_limit: if version.is_packed() { dice.gas() } else { 0 },
        data: dice.bytes(100),
        signature: if version.supports_paymaster_signature() { dice.bytes(70) } else { Bytes::new() },
    });
    UserOperation {
        sender: dice.address(),
        nonce: U256::from_be_bytes(dice.word().0),
        initializer,
        call_data: dice.bytes(300),
        call_gas_limit: dice.gas(),
        verification_gas_limit: dice.gas(),
        pre_verification_gas: dice.gas(),
        max_fee_per_gas: dice.gas(),
        max_priority_fee_per_gas: dice.gas(),
        paymaster,
        signature: dice.bytes(100),
        eip7702_auth,
    }
}

#[test]
fn random_operations_hash_as_the_contracts_hash_them() {
    for version in EntryPointVersion::ALL {
        let mut chain = Chain::new(version);
        let mut dice = Dice(0x0fab, 0);
        for number in 0..250 {
            let op = random_operation(&mut dice, version);
            let ours = op.hash(&chain.context, Some(DELEGATE)).unwrap();
            assert_eq!(ours, chain.hash(&op), "{version}, operation {number}: {op:?}");
        }
    }
}

#[test]
fn an_eip7702_operation_without_a_delegate_has_no_hash() {
    let mut dice = Dice(1, 0);
    let mut op = random_operation(&mut dice, EntryPointVersion::V0_8);
    op.initializer = Some(Initializer::Eip7702 { data: Bytes::new() });
    op.eip7702_auth = None;
    let context = HashContext { version: EntryPointVersion::V0_8, entry_point: Address::ZERO, chain_id: 1 };
    assert!(op.hash(&context, None).is_err());
}

/// The committed vectors: JSON as a client sends it, and the hash that the contract gave.
#[test]
fn golden_vectors_hold_from_json_to_hash() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/hash_vectors.json");
    if std::env::var_os("FABSTIR_WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
    }
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 4 * VECTORS_PER_VERSION);
    for vector in vectors {
        let version = vector["version"].as_str().unwrap().parse().unwrap();
        let context = HashContext {
            version,
            entry_point: vector["entryPoint"].as_str().unwrap().parse().unwrap(),
            chain_id: vector["chainId"].as_u64().unwrap(),
        };
        let request = erc4337::UserOperationRequest::from_json(&vector["userOperation"], version).unwrap();
        let hash = request.complete(version).unwrap().hash(&context, Some(DELEGATE)).unwrap();
        assert_eq!(json!(hash), vector["userOpHash"], "{vector}");
    }
}

const VECTORS_PER_VERSION: usize = 6;

fn vectors() -> Value {
    let mut all = Vec::new();
    for version in EntryPointVersion::ALL {
        let mut chain = Chain::new(version);
        let mut dice = Dice(4337, 0);
        for _ in 0..VECTORS_PER_VERSION {
            let op = random_operation(&mut dice, version);
            all.push(json!({
                "version": version.to_string(),
                "entryPoint": chain.context.entry_point,
                "chainId": CHAIN_ID,
                "userOperation": wire::to_json(&op, version),
                "userOpHash": chain.hash(&op),
            }));
        }
    }
    json!(all)
}

/// The two ways of writing an EIP-7702 marker are one operation.
#[test]
fn short_and_padded_eip7702_markers_are_the_same() {
    let parse = |factory: &str| {
        let op = json!({
            "sender": Address::repeat_byte(1), "nonce": "0x", "callData": "0x", "factory": factory,
            "eip7702Auth": null, "paymaster": null,
        });
        erc4337::UserOperationRequest::from_json(&op, EntryPointVersion::V0_8).unwrap()
    };
    let padded = hex::encode_prefixed(erc4337::pack::EIP7702_INIT_CODE_PREFIX);
    assert_eq!(parse("0x7702"), parse(&padded));
}
