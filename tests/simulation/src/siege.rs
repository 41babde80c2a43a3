//! Those who want the bundler's money, or honest operations not to be executed: a few of them in a world in which nothing
//! else goes wrong. Each is a seed's, as everything is.

use alloy::primitives::{Address, Bytes, U256, hex, keccak256};
use erc4337::{EntryPointVersion, Paymaster, UserOperation, storage::deposit_slots, wire};
use serde_json::{Value, json};

use crate::{
    chain::{Chain, Change},
    plan::{Payer, Plan},
    random::Random,
};

/// Honest operations of a besieged seed.
const OPERATIONS: usize = 40;
/// Times that an attacker does as he is told when his operation is refused.
const TRIES: u32 = 8;

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No node takes what he is in.
    Filtered,
    /// Nodes say that they take it.
    Swallowed,
    /// It is too large for nodes.
    Oversized,
    /// His account changes its mind between two blocks.
    Turncoat,
    /// The same in the very block that his bundle is in.
    SameBlock,
    /// His call takes all it may, and only in the block that it is in.
    Unpaid,
    /// The same of his staked paymaster's `postOp`.
    PostOp,
    /// His tip is a tenth of what others pay.
    LowTip,
    /// Ten of his come at once.
    Flood,
    /// His paymaster has nothing left by the time of the bundle.
    Broke,
    /// He asks for nearly all gas there is.
    IdleGas,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Filtered,
        Self::Swallowed,
        Self::Oversized,
        Self::Turncoat,
        Self::SameBlock,
        Self::Unpaid,
        Self::PostOp,
        Self::LowTip,
        Self::Flood,
        Self::Broke,
        Self::IdleGas,
    ];

    /// Transactions of the bundler's that may cost more than they bring in.
    fn named(self, version: EntryPointVersion) -> usize {
        match self {
            // Where nodes lie, that is known no other way than by waiting.
            Self::Swallowed => 3,
            // No node can know what is in the block to come.
            Self::SameBlock => 1,
            Self::PostOp if version == EntryPointVersion::V0_6 => 1,
            _ => 0,
        }
    }
}

/// An attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Milliseconds.
    pub at: u64,
    /// What it is.
    pub kind: Kind,
    /// Which EntryPoint's.
    pub version: EntryPointVersion,
    /// Which of its seed's.
    pub number: u64,
}

impl Plan {
    /// Honest users who keep their word, and attackers; nothing else goes wrong.
    pub fn besieged(seed: u64) -> Self {
        let mut plan = Self::with(seed, OPERATIONS);
        let mut random = Random::new(seed, "siege");
        (plan.troubles, plan.cluster, plan.budget) = (Vec::new(), None, None);
        (plan.wallet, plan.dear) = (10_000_000_000_000_000_000, 1);
        for intent in &mut plan.intents {
            intent.payer = if random.chance(500) { Payer::Account } else { Payer::Paymaster };
            (intent.reverts, intent.repeated, intent.replaces) = (false, false, false);
            intent.offers = intent.offers.max(300);
        }
        let last = plan.intents.last().map_or(10_000, |intent| intent.at);
        plan.attacks = (0..random.between(3, 10))
            .map(|number| Attack {
                at: random.between(2_000, last),
                kind: Kind::ALL[random.below(Kind::ALL.len() as u64) as usize],
                version: EntryPointVersion::ALL[random.below(4) as usize],
                number,
            })
            .collect();
        plan
    }
}

impl Attack {
    fn address(&self, what: &str, index: u64) -> Address {
        Address::from_word(keccak256(format!("{what} {} {index}", self.number)))
    }

    fn sender(&self, index: u64) -> Address {
        self.address("hostile account", index)
    }

    fn paymaster(&self) -> Address {
        self.address("hostile paymaster", 0)
    }

    fn count(&self) -> u64 {
        if self.kind == Kind::Flood { 10 } else { 1 }
    }

    fn is_sponsored(&self) -> bool {
        matches!(self.kind, Kind::PostOp | Kind::Broke)
    }

    /// Puts his contracts and deposits where they belong, and has nodes be as they are.
    pub fn place(&self, chain: &mut Chain) {
        let ether = U256::from(10).pow(U256::from(18));
        let deposit = |of: Address| {
            let slot = deposit_slots(of)[0];
            Change::Slot(self.version.canonical_address(), slot, U256::from(10) * ether)
        };
        for index in 0..self.count() {
            let sender = self.sender(index);
            chain.codes.push((sender, self.account()));
            chain.changes.push(deposit(sender));
            match self.kind {
                Kind::Filtered => chain.rules.filtered.push(sender),
                Kind::Swallowed => chain.rules.swallowed.push(sender),
                Kind::Oversized => chain.rules.max_bytes = 30_000,
                _ => {}
            }
        }
        if self.is_sponsored() {
            let payer = self.paymaster();
            chain.codes.push((payer, self.pays()));
            let [first, second] = deposit_slots(payer);
            // One ether staked for a day.
            let (first_word, second_word) = if self.version == EntryPointVersion::V0_6 {
                ((U256::from(10) * ether) | (U256::ONE << 112) | (ether << 120), U256::from(86_400))
            } else {
                (U256::from(10) * ether, U256::ONE | ether << 8 | U256::from(86_400) << 120)
            };
            let entry_point = self.version.canonical_address();
            chain.changes.push(Change::Slot(entry_point, first, first_word));
            chain.changes.push(Change::Slot(entry_point, second, second_word));
        }
    }

    /// What he sends.
    pub fn operations(&self, chain: &Chain) -> Vec<UserOperation> {
        let base_fee = u128::from(chain.head().header.base_fee_per_gas.unwrap_or_default());
        let (fee, packed) = (base_fee * 4 + 2_000_000, self.version.is_packed());
        (0..self.count())
            .map(|index| UserOperation {
                sender: self.sender(index),
                nonce: U256::from(self.number + 1) << 64,
                call_data: if self.kind == Kind::Oversized { vec![1; 40_000].into() } else { Bytes::new() },
                call_gas_limit: match self.kind {
                    Kind::IdleGas => 12_000_000,
                    Kind::Unpaid => 100_000,
                    _ => 50_000,
                },
                verification_gas_limit: if self.kind == Kind::Unpaid { 40_000 } else { 150_000 },
                pre_verification_gas: if self.kind == Kind::Oversized { 2_000_000 } else { 70_000 }
                    + chain.beside_gas().div_ceil(fee),
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: if self.kind == Kind::LowTip { 200_000 } else { 2_000_000 },
                paymaster: self.is_sponsored().then(|| Paymaster {
                    address: self.paymaster(),
                    verification_gas_limit: if packed { 100_000 } else { 0 },
                    post_op_gas_limit: if packed { 60_000 } else { 0 },
                    ..Paymaster::default()
                }),
                ..UserOperation::default()
            })
            .collect()
    }

    /// The parameters of a send.
    pub fn to_send(&self, op: &UserOperation) -> Value {
        json!([wire::to_json(op, self.version), self.version.canonical_address()])
    }

    /// What he does when his operations are on their way.
    pub fn strike(&self, chain: &mut Chain) {
        let flag = |whose| Change::Slot(whose, U256::ZERO, U256::ONE);
        match self.kind {
            Kind::Turncoat => chain.changes.push(flag(self.sender(0))),
            Kind::SameBlock | Kind::Unpaid => chain.surprises.push(flag(self.sender(0))),
            Kind::PostOp => chain.surprises.push(flag(self.paymaster())),
            Kind::Broke => {
                let slot = deposit_slots(self.paymaster())[0];
                chain.changes.push(Change::Slot(self.version.canonical_address(), slot, U256::ZERO));
            }
            _ => {}
        }
    }

    /// Validates by its first slot where he changes his mind, and else agrees; when it is called it burns all that it has if
    /// that slot is set.
    fn account(&self) -> Bytes {
        let validates: &[u8] = match self.kind {
            Kind::Turncoat | Kind::SameBlock => &hex!("5f545f5260205ff3"),
            _ => &hex!("60205ff3"),
        };
        self.program(self.version.selectors().validate_user_op, validates)
    }

    /// Pays with a context of a word where it is to be called again.
    fn pays(&self) -> Bytes {
        let pays: &[u8] = match self.kind {
            Kind::PostOp => &hex!("60405f52602060405260805ff3"),
            _ => &hex!("60405f5260605ff3"),
        };
        self.program(self.version.selectors().validate_paymaster_user_op, pays)
    }

    fn program(&self, asked: [u8; 4], answers: &[u8]) -> Bytes {
        let head = [&hex!("5f3560e01c63")[..], &asked, &hex!("14601657"), &hex!("5f54601457005bfe5b")].concat();
        [&head[..], answers].concat().into()
    }
}

/// An operation of an attacker's as it was answered: what he sends next, if he is told what is missing.
pub fn dearer(op: &UserOperation, answer: &Value, tries: u32) -> Option<UserOperation> {
    let (error, mut op) = (answer.get("error").filter(|_| tries < TRIES)?, op.clone());
    let data = &error["data"];
    let required = data["required"].as_str().and_then(|text| text.parse::<U256>().ok());
    match (data["field"].as_str(), required, &mut op.paymaster) {
        (Some("verificationGasLimit"), Some(gas), _) => op.verification_gas_limit = gas.saturating_to(),
        (Some("preVerificationGas"), Some(gas), _) => op.pre_verification_gas = gas.saturating_to(),
        (Some("paymasterVerificationGasLimit"), Some(gas), Some(it)) => it.verification_gas_limit = gas.saturating_to(),
        (Some("paymasterPostOpGasLimit"), Some(gas), Some(it)) => it.post_op_gas_limit = gas.saturating_to(),
        _ if error["code"] == -32_500 => op.verification_gas_limit += 5_000,
        _ => return None,
    }
    Some(op)
}

/// What is wrong once all is over: what these keys' transactions cost beyond what they brought in, each by itself, against what
/// these attacks may cost by name; and honest operations that were dropped.
pub fn verdict(plan: &Plan, chain: &Chain, keys: &[Address], dropped: usize) -> Vec<String> {
    let (mut losing, mut net, mut reverted) = (0, 0_i128, 0);
    for mined in chain.blocks().iter().flat_map(|block| &block.transactions).filter(|it| keys.contains(&it.from)) {
        let gas = mined.receipt.gas_used;
        let cost = u128::from(gas) * mined.receipt.effective_gas_price + chain.charged(gas);
        let revenue = chain.log.paid_in(mined.receipt.transaction_hash);
        losing += usize::from(cost > revenue);
        reverted += usize::from(!mined.receipt.status());
        net += i128::try_from(cost).unwrap_or(i128::MAX) - i128::try_from(revenue).unwrap_or(i128::MAX);
    }
    let named: usize = plan.attacks.iter().map(|attack| attack.kind.named(attack.version)).sum();
    let mut wrong = Vec::new();
    if losing > named {
        wrong.push(format!("{losing} transactions cost more than they brought in ({reverted} reverted): {named} may"));
    }
    if net > 0 && named == 0 {
        wrong.push(format!("{net} wei lost in all"));
    }
    if dropped > 0 {
        wrong.push(format!("{dropped} honest operations were dropped"));
    }
    wrong
}
