//! Those who send operations: what each believes, and what it sends next.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::{sol, sol_types::SolCall};
use erc4337::{EntryPointVersion, HashContext, Initializer, Paymaster, UserOperation, pack, storage, wire};
use serde_json::Value;

use crate::{
    chain::{
        Chain,
        genesis::{COUNTER, Owned, PAYMASTER, POOR_PAYMASTER, REVERTING, genesis},
    },
    oracle::Oracle,
    plan::Intent,
};

sol! {
    function execute(address dest, uint256 value, bytes func) external;
}

/// An operation ready to be sent.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its hash.
    pub hash: B256,
    /// Where it goes.
    pub entry_point: Address,
    /// As JSON.
    pub json: Value,
    /// Its sequence number.
    sequence: u64,
    op: UserOperation,
    version: EntryPointVersion,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Users {
    /// What was acknowledged, by account and nonce key: sequence and hash.
    taken: BTreeMap<(Address, u64), BTreeMap<u64, B256>>,
    /// What was acknowledged, oldest first.
    all: Vec<Signed>,
}

fn account(intent: &Intent) -> &'static Owned {
    &genesis().accounts[&intent.version][intent.account]
}

impl Users {
    /// What its sender signs now; none if it knows that it would be refused.
    pub fn sign(&self, intent: &Intent, chain: &Chain, oracle: &Oracle) -> Option<Signed> {
        let owned = account(intent);
        let entry_point = intent.version.canonical_address();
        // What is not there yet is made by the first operation of its first nonce key.
        let lane = if owned.deployed { intent.lane } else { 0 };
        let next = chain.slot(entry_point, storage::nonce_slot(owned.address, U256::from(lane)));
        let on_chain: u64 = next.saturating_to();
        let taken = self.taken.get(&(owned.address, lane));
        let waits =
            |sequence: &u64| taken.and_then(|taken| taken.get(sequence)).is_some_and(|hash| !oracle.is_dropped(*hash));
        let sequence = (on_chain..).find(|sequence| !waits(sequence))?;
        let initializer = (!owned.deployed && sequence == 0)
            .then(|| Initializer::Factory { address: owned.factory.0, data: owned.factory.1.clone() });
        let (to, func) = if intent.reverts { (REVERTING, Bytes::new()) } else { (COUNTER, Bytes::new()) };
        let base_fee = u128::from(chain.head().header.base_fee_per_gas.unwrap_or_default());
        let packed = intent.version.is_packed();
        let paymaster = [None, Some(PAYMASTER), Some(POOR_PAYMASTER)][intent.payer as usize];
        let mut op = UserOperation {
            sender: owned.address,
            nonce: (U256::from(lane) << 64) | U256::from(sequence),
            call_data: executeCall { dest: to, value: U256::ZERO, func }.abi_encode().into(),
            call_gas_limit: 80_000,
            verification_gas_limit: if initializer.is_some() { 500_000 } else { 120_000 },
            pre_verification_gas: 70_000,
            max_fee_per_gas: base_fee * u128::from(intent.offers) / 100 + 2_000_000,
            max_priority_fee_per_gas: 2_000_000,
            paymaster: paymaster.map(|address| Paymaster {
                address,
                verification_gas_limit: if packed { 60_000 } else { 0 },
                post_op_gas_limit: 0,
                ..Paymaster::default()
            }),
            initializer,
            ..UserOperation::default()
        };
        let hash = hash(&op, intent.version, chain.preset.chain_id)?;
        op.signature = owned.sign(hash);
        let json = wire::to_json(&op, intent.version);
        Some(Signed { hash, entry_point, json, sequence, op, version: intent.version })
    }

    /// It was acknowledged.
    pub fn taken(&mut self, intent: &Intent, signed: &Signed) {
        let owned = account(intent);
        let lane = if owned.deployed { intent.lane } else { 0 };
        self.taken.entry((owned.address, lane)).or_default().insert(signed.sequence, signed.hash);
        self.all.push(signed.clone());
    }

    /// The newest that is on its way, as a call of its EntryPoint for this beneficiary.
    pub fn on_its_way(&self, oracle: &Oracle, beneficiary: Address) -> Option<(Address, Bytes)> {
        let signed = self.all.iter().rev().find(|signed| !oracle.has_ended(signed.hash))?;
        Some((signed.entry_point, pack::handle_ops(signed.version, [&signed.op], beneficiary)))
    }
}

fn hash(op: &UserOperation, version: EntryPointVersion, chain_id: u64) -> Option<B256> {
    let context = HashContext { version, entry_point: version.canonical_address(), chain_id };
    op.hash(&context, None).ok()
}
