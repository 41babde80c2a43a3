//! Those who send operations: what each believes, and what it sends next.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol,
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, HashContext, Initializer, Paymaster, UserOperation, pack, storage, wire};
use serde_json::{Value, json};

use crate::{
    chain::{
        Chain,
        genesis::{COUNTER, Owned, PAYMASTER, POOR_PAYMASTER, REVERTING, genesis},
    },
    oracle::{Grant, Oracle},
    plan::{Intent, Payer},
};

sol! {
    function execute(address dest, uint256 value, bytes func) external;
}

/// An operation that is not signed yet.
#[derive(Clone, Debug)]
pub struct Draft {
    op: UserOperation,
    version: EntryPointVersion,
    sequence: u64,
    owned: &'static Owned,
    chain_id: u64,
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
    /// Who pays, if not its account.
    pub paymaster: Option<Address>,
    draft: Draft,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Users {
    /// What was acknowledged, by account and nonce key: sequence and operation.
    taken: BTreeMap<(Address, u64), BTreeMap<u64, Signed>>,
    /// What was acknowledged, oldest first.
    all: Vec<Signed>,
    /// The `preVerificationGas` that was found to be needed, and a tenth more.
    pre_verification_gas: u128,
}

impl Signed {
    /// Whose it is, and which nonce it has: for people.
    pub fn place(&self) -> String {
        let op = &self.draft.op;
        format!("{} of {}, nonce {}/{}", self.draft.version, op.sender, op.nonce >> 64, self.draft.sequence)
    }
}

fn account(intent: &Intent) -> &'static Owned {
    &genesis().accounts[&intent.version][intent.account]
}

impl Users {
    /// What its sender wants executed now; none if it knows that it would be refused.
    pub fn draft(&self, intent: &Intent, chain: &Chain, oracle: &Oracle) -> Option<Draft> {
        let owned = account(intent);
        let entry_point = intent.version.canonical_address();
        // What is not there yet is made by the first operation of its first nonce key.
        let lane = if owned.deployed { intent.lane } else { 0 };
        let next = chain.slot(entry_point, storage::nonce_slot(owned.address, U256::from(lane)));
        let on_chain: u64 = next.saturating_to();
        let taken = self.taken.get(&(owned.address, lane));
        let waiting = |sequence: &u64| {
            taken.and_then(|taken| taken.get(sequence)).filter(|signed| !oracle.is_dropped(signed.hash))
        };
        let mut sequence = (on_chain..).find(|sequence| waiting(sequence).is_none())?;
        let mut fees = (
            u128::from(chain.head().header.base_fee_per_gas.unwrap_or_default()) * u128::from(intent.offers) / 100
                + 2_000_000,
            2_000_000,
        );
        if let Some(last) = sequence.checked_sub(1).filter(|last| intent.replaces && *last >= on_chain)
            && let Some(standing) = waiting(&last)
        {
            let dearer = |fee: u128| fee + fee / 8 + 1;
            fees = (dearer(standing.draft.op.max_fee_per_gas), dearer(standing.draft.op.max_priority_fee_per_gas));
            sequence = last;
        }
        let initializer = (!owned.deployed && sequence == 0)
            .then(|| Initializer::Factory { address: owned.factory.0, data: owned.factory.1.clone() });
        let (to, func) = if intent.reverts { (REVERTING, Bytes::new()) } else { (COUNTER, Bytes::new()) };
        let packed = intent.version.is_packed();
        let paymaster = match intent.payer {
            Payer::Account | Payer::Sponsor => None,
            Payer::Paymaster => Some(PAYMASTER),
            Payer::Poor => Some(POOR_PAYMASTER),
        };
        let op = UserOperation {
            sender: owned.address,
            nonce: (U256::from(lane) << 64) | U256::from(sequence),
            call_data: executeCall { dest: to, value: U256::ZERO, func }.abi_encode().into(),
            call_gas_limit: 80_000,
            verification_gas_limit: if initializer.is_some() { 500_000 } else { 120_000 },
            pre_verification_gas: (70_000 + chain.beside_gas().div_ceil(fees.0.max(1))).max(self.pre_verification_gas),
            max_fee_per_gas: fees.0,
            max_priority_fee_per_gas: fees.1,
            paymaster: paymaster.map(|address| Paymaster {
                address,
                verification_gas_limit: if packed { 60_000 } else { 0 },
                post_op_gas_limit: 0,
                ..Paymaster::default()
            }),
            initializer,
            ..UserOperation::default()
        };
        Some(Draft { op, version: intent.version, sequence, owned, chain_id: chain.preset.chain_id })
    }

    /// It was refused: as a wallet does, the next ones are given the gas that this asked for.
    pub fn refused(&mut self, message: &str) {
        let needed = message.strip_prefix("preVerificationGas: ").and_then(|rest| rest.strip_suffix(" is needed"));
        let needed = needed.and_then(|rest| rest.rsplit(' ').next()?.parse::<u128>().ok());
        self.pre_verification_gas = self.pre_verification_gas.max(needed.map_or(0, |gas| gas + gas / 10));
    }

    /// It was acknowledged.
    pub fn taken(&mut self, intent: &Intent, signed: &Signed) {
        let owned = account(intent);
        let lane = if owned.deployed { intent.lane } else { 0 };
        self.taken.entry((owned.address, lane)).or_default().insert(signed.draft.sequence, signed.clone());
        self.all.push(signed.clone());
    }

    fn newest(&self, oracle: &Oracle) -> Option<&Signed> {
        self.all.iter().rev().find(|signed| !oracle.has_ended(signed.hash))
    }

    /// The newest that is on its way, as a call of its EntryPoint for this beneficiary.
    pub fn on_its_way(&self, oracle: &Oracle, beneficiary: Address) -> Option<(Address, Bytes)> {
        let signed = self.newest(oracle)?;
        Some((signed.entry_point, pack::handle_ops(signed.draft.version, [&signed.draft.op], beneficiary)))
    }

    /// Another operation with the nonce of that one.
    pub fn rival(&self, oracle: &Oracle, beneficiary: Address) -> Option<(Address, Bytes)> {
        let mut draft = self.newest(oracle)?.draft.clone();
        draft.op.paymaster = None;
        draft.op.call_gas_limit += 1;
        let signed = draft.sign()?;
        Some((signed.entry_point, pack::handle_ops(signed.draft.version, [&signed.draft.op], beneficiary)))
    }
}

impl Draft {
    /// The parameters of `pm_getPaymasterData`.
    pub fn to_be_sponsored(&self) -> Value {
        let json = wire::to_json(&self.op, self.version);
        json!([json, self.version.canonical_address(), U256::from(self.chain_id), {}])
    }

    /// With what that answered.
    pub fn sponsored(mut self, answer: &Value) -> Option<Self> {
        let bytes = |name: &str| answer[name].as_str()?.parse::<Bytes>().ok();
        let gas = |name: &str| answer[name].as_str()?.parse::<U256>().ok().map(|gas| gas.saturating_to::<u128>());
        self.op.paymaster = Some(if self.version.is_packed() {
            Paymaster {
                address: answer["paymaster"].as_str()?.parse().ok()?,
                verification_gas_limit: gas("paymasterVerificationGasLimit")?,
                post_op_gas_limit: gas("paymasterPostOpGasLimit")?,
                data: bytes("paymasterData")?,
                ..Paymaster::default()
            }
        } else {
            let all = bytes("paymasterAndData")?;
            Paymaster { address: Address::from_slice(all.get(..20)?), data: all.slice(20..), ..Paymaster::default() }
        });
        Some(self)
    }

    /// What the paymaster has put itself out for; asked for and answered in these seconds.
    pub fn grant(&self, given: (u64, u64)) -> Option<Grant> {
        let paymaster = self.op.paymaster.as_ref()?;
        let until = paymaster.data.get(..6)?.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        let op = &self.op;
        // What the EntryPoint holds against the deposit: of v0.6 three times the verification's gas.
        let gas = if self.version.is_packed() {
            let of_paymaster = paymaster.verification_gas_limit + paymaster.post_op_gas_limit;
            op.verification_gas_limit + op.call_gas_limit + op.pre_verification_gas + of_paymaster
        } else {
            op.verification_gas_limit * 3 + op.call_gas_limit + op.pre_verification_gas
        };
        let worst = U256::from(gas) * U256::from(op.max_fee_per_gas);
        Some(Grant { place: (self.version.canonical_address(), op.sender, op.nonce), worst, until, given })
    }

    /// Signed by its account's owner.
    pub fn sign(mut self) -> Option<Signed> {
        let (version, entry_point) = (self.version, self.version.canonical_address());
        let hash = self.op.hash(&HashContext { version, entry_point, chain_id: self.chain_id }, None).ok()?;
        self.op.signature = self.owned.sign(hash);
        let json = wire::to_json(&self.op, version);
        Some(Signed { hash, entry_point, json, paymaster: self.op.paymaster_address(), draft: self })
    }
}
