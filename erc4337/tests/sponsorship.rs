//! The sponsorship digest against the paymaster contract's own.

#![allow(clippy::unwrap_used, reason = "tests")]

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U48},
    sol_types::{SolCall, SolConstructor, SolValue},
};
use erc4337::{
    EntryPointVersion, Initializer, Paymaster, UserOperation,
    abi::{entry_point_v06, entry_point_v08, verifying_paymaster, verifying_paymaster_v06},
    sponsorship::{self, Validity},
};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB},
    primitives::{TxKind, hardfork::SpecId},
};

const CHAIN_ID: u64 = 84532;

fn transact(db: &mut CacheDB<EmptyDB>, kind: TxKind, data: Bytes) -> ExecutionResult {
    let tx = TxEnv::builder().kind(kind).data(data).gas_limit(30_000_000).chain_id(Some(CHAIN_ID)).build().unwrap();
    let mut evm = Context::mainnet()
        .with_db(db)
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
            cfg.chain_id = CHAIN_ID;
            cfg.disable_nonce_check = true;
            cfg.tx_gas_limit_cap = Some(u64::MAX);
        })
        .build_mainnet();
    evm.transact_commit(tx).unwrap()
}

fn create(db: &mut CacheDB<EmptyDB>, init_code: Bytes) -> Address {
    match transact(db, TxKind::Create, init_code) {
        ExecutionResult::Success { output, .. } => *output.address().unwrap(),
        other => panic!("not deployed: {other:?}"),
    }
}

#[test]
fn the_digest_is_the_contracts_own() {
    let mut db = CacheDB::new(EmptyDB::new());
    let entry_point = create(&mut db, entry_point_v08::BYTECODE.clone());
    let arguments = verifying_paymaster::constructorCall {
        entryPoint_: entry_point,
        owner_: Address::repeat_byte(1),
        signers: vec![Address::repeat_byte(2)],
    };
    let paymaster = create(&mut db, [verifying_paymaster::BYTECODE.as_ref(), &arguments.abi_encode()].concat().into());

    let initializers = [
        None,
        Some(Initializer::Factory { address: Address::repeat_byte(4), data: vec![5; 70].into() }),
        Some(Initializer::Eip7702 { data: Bytes::new() }),
    ];
    for (number, initializer) in (1_u64..).zip(initializers) {
        let limits = Paymaster {
            address: paymaster,
            verification_gas_limit: 60_000 + u128::from(number),
            post_op_gas_limit: 7,
            data: vec![9; 77].into(),
            signature: Bytes::new(),
        };
        let op = UserOperation {
            sender: Address::repeat_byte(3),
            nonce: U256::from(number) << 64,
            initializer,
            call_data: vec![6; 33].into(),
            call_gas_limit: 1,
            verification_gas_limit: 2,
            pre_verification_gas: 3,
            max_fee_per_gas: 5,
            max_priority_fee_per_gas: 4,
            paymaster: Some(limits.clone()),
            signature: Bytes::new(),
            eip7702_auth: None,
        };
        let validity = Validity { until: 1_800_000_060, after: 1_799_999_940 };
        // The same struct, as each contract's bindings name it.
        let packed = op.to_packed(EntryPointVersion::V0_8).abi_encode();
        let call = verifying_paymaster::getHashCall {
            userOp: verifying_paymaster::PackedUserOperation::abi_decode(&packed).unwrap(),
            validUntil: U48::from(validity.until),
            validAfter: U48::from(validity.after),
        };
        let ExecutionResult::Success { output, .. } =
            transact(&mut db, TxKind::Call(paymaster), call.abi_encode().into())
        else {
            panic!("getHash failed")
        };
        let theirs = B256::abi_decode(output.data()).unwrap();
        assert_eq!(sponsorship::digest(&op, EntryPointVersion::V0_8, &limits, validity, entry_point, CHAIN_ID), theirs);
    }
}

#[test]
fn on_v06_the_digest_is_that_contracts_own() {
    let mut db = CacheDB::new(EmptyDB::new());
    let entry_point = create(&mut db, entry_point_v06::BYTECODE.clone());
    let arguments = verifying_paymaster_v06::constructorCall {
        entryPoint_: entry_point,
        owner_: Address::repeat_byte(1),
        signers: vec![Address::repeat_byte(2)],
    };
    let init_code = [verifying_paymaster_v06::BYTECODE.as_ref(), &arguments.abi_encode()].concat();
    let paymaster = create(&mut db, init_code.into());

    for initializer in [None, Some(Initializer::Factory { address: Address::repeat_byte(4), data: vec![5; 70].into() })]
    {
        let limits = Paymaster { address: paymaster, data: vec![9; 77].into(), ..Paymaster::default() };
        let op = UserOperation {
            sender: Address::repeat_byte(3),
            nonce: U256::from(8) << 64,
            initializer,
            call_data: vec![6; 33].into(),
            call_gas_limit: 1,
            verification_gas_limit: 2,
            pre_verification_gas: 3,
            max_fee_per_gas: 5,
            max_priority_fee_per_gas: 4,
            paymaster: Some(limits.clone()),
            signature: Bytes::new(),
            eip7702_auth: None,
        };
        let validity = Validity { until: 1_800_000_060, after: 1_799_999_940 };
        // The same struct, as each contract's bindings name it.
        let unpacked = op.to_unpacked().abi_encode();
        let call = verifying_paymaster_v06::getHashCall {
            userOp: verifying_paymaster_v06::UserOperation::abi_decode(&unpacked).unwrap(),
            validUntil: U48::from(validity.until),
            validAfter: U48::from(validity.after),
        };
        let ExecutionResult::Success { output, .. } =
            transact(&mut db, TxKind::Call(paymaster), call.abi_encode().into())
        else {
            panic!("getHash failed")
        };
        let theirs = B256::abi_decode(output.data()).unwrap();
        assert_eq!(sponsorship::digest(&op, EntryPointVersion::V0_6, &limits, validity, entry_point, CHAIN_ID), theirs);
    }
}
