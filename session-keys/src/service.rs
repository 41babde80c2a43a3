//! The signing service: signs an operation or a voucher only if the policy that the chain enforces allows it, by
//! counters of its own that run ahead of the chain's.
//!
//! ```text
//!  grant ──► Granted ──chain: enabled──► Enabled ──first signature──► Active ──rotate──► Rotating
//!              └──────────── revoke here first, then on chain; expiry ────────────► Revoked | Expired
//! ```
//!
//! Each signed operation sets aside what it may spend under its nonce until the chain has used that nonce or the
//! operation's time is over. Of several signed for one nonce only one can run, so the largest is set aside once.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolValue,
};
use erc4337::{HashContext, UserOperation};

use crate::{
    KeyError, Policy, SessionKey,
    operation::digest,
    policy::{
        encode::EncodingError,
        judge::{Allowed, Counters, Place, Status, Violation},
        marketplace::voucher_type_hash,
    },
};

/// Where a session is in its life. The chain's word comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// An owner agreed; the chain does not know it yet.
    Granted,
    /// The chain knows it.
    Enabled,
    /// It has signed.
    Active,
    /// A successor exists; both sign until this one is revoked.
    Rotating,
    /// For ever.
    Revoked,
    /// Its time is over.
    Expired,
}

/// Something that was done to a session, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says it")]
pub enum Event {
    Granted,
    StateChanged(State),
    Signed { user_op_hash: B256, nonce: U256 },
    VoucherSigned { session: B256, amount: U256 },
    Refused(String),
}

/// One line of the log: each names the hash of the one before, so that none can be taken out unseen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unix time.
    pub time: u64,
    /// The session.
    pub id: B256,
    /// What happened.
    pub event: Event,
    /// Hash of this entry and of the one before.
    pub hash: B256,
}

/// How much may be vouched for, beyond what the chain limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherTerms {
    /// Most base units in all conversations together.
    pub ceiling: U256,
    /// Most base units in any window.
    pub per_window: U256,
    /// Length of a window in seconds.
    pub window: u64,
}

/// What the service is given for one session.
#[derive(Debug)]
pub struct Grant {
    /// What it may do.
    pub policy: Policy,
    /// Its key.
    pub key: SessionKey,
    /// An owner's signature of the policy, until the chain knows it.
    pub owner_signature: Bytes,
    /// The right to sign vouchers, if it has one.
    pub vouchers: Option<VoucherTerms>,
}

/// A voucher of the SessionMarketplace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The conversation.
    pub session: B256,
    /// Base units owed so far.
    pub cumulative_amount: U256,
    /// Tokens so far.
    pub tokens: U256,
    /// Root of what was said.
    pub transcript_root: B256,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says it")]
pub enum Refusal {
    #[error("session {0} is not known here")]
    Unknown(B256),
    #[error("the session was revoked or is over")]
    Over,
    #[error("sender: {0} is not the session's account")]
    Sender(Address),
    #[error("the policy does not allow it: {0}")]
    Violation(#[from] Violation),
    #[error("nonce: the operation's time is over or has not come")]
    Time,
    #[error("the session has no right to sign vouchers for this marketplace")]
    NoVoucherRight,
    #[error("cumulativeAmount: below what was already vouched for")]
    Backwards,
    #[error("cumulativeAmount: {most} is the most")]
    AboveCeiling { most: U256 },
    #[error("cumulativeAmount: {left} is left until {until}")]
    TooFast { left: U256, until: u64 },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    #[error("factory: an EIP-7702 account must be delegated first")]
    Delegate,
}

#[derive(Debug)]
struct Held {
    allowed: Allowed,
    uses: u32,
}

#[derive(Debug)]
struct Session {
    grant: Grant,
    state: State,
    chain: Counters,
    held: BTreeMap<U256, Held>,
    vouched: BTreeMap<B256, U256>,
    window: (u64, U256),
}

/// Sessions of one account.
#[derive(Debug)]
pub struct Service {
    place: Place,
    chain_id: u64,
    sessions: BTreeMap<B256, Session>,
    log: Vec<Entry>,
}

impl Service {
    /// For this account on this chain.
    pub fn new(place: Place, chain_id: u64) -> Self {
        Self { place, chain_id, sessions: BTreeMap::new(), log: Vec::new() }
    }

    /// Takes a session that an owner agreed to; its id.
    ///
    /// # Errors
    /// If the account would not enable it.
    pub fn grant(&mut self, grant: Grant, now: u64) -> Result<B256, Refusal> {
        grant.policy.check(self.place.account, self.place.entry_point)?;
        let id = grant.policy.id()?;
        let chain = Counters { epoch: grant.policy.epoch, ..Counters::default() };
        let session = Session {
            grant,
            state: State::Granted,
            chain,
            held: BTreeMap::new(),
            vouched: BTreeMap::new(),
            window: (now, U256::ZERO),
        };
        self.sessions.entry(id).or_insert(session);
        self.write(id, Event::Granted, now);
        Ok(id)
    }

    /// Where a session stands.
    pub fn state(&self, id: B256) -> Option<State> {
        self.sessions.get(&id).map(|session| session.state)
    }

    /// All that happened, oldest first.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// What the chain says: its counters, and which nonces it has used. It is believed, whatever was thought here.
    ///
    /// # Errors
    /// If the session is not known.
    pub fn observe(
        &mut self,
        id: B256,
        counters: Counters,
        is_used: impl Fn(U256) -> bool,
        now: u64,
    ) -> Result<(), Refusal> {
        let session = self.sessions.get_mut(&id).ok_or(Refusal::Unknown(id))?;
        session.held.retain(|nonce, held| !is_used(*nonce) && held.allowed.valid_until >= now);
        session.chain = counters;
        let state = match (session.chain.status, session.state) {
            // A revocation here is not undone by a chain that does not know of it yet.
            (_, State::Revoked) => State::Revoked,
            (Status::Revoked, _) => State::Revoked,
            _ if session.chain.epoch != session.grant.policy.epoch => State::Revoked,
            _ if now > session.grant.policy.valid_until => State::Expired,
            (Status::Enabled, State::Granted) => State::Enabled,
            (Status::None, State::Enabled) => State::Granted,
            (_, state) => state,
        };
        self.set(id, state, now);
        Ok(())
    }

    /// Stops signing for a session at once; the chain is to be told next.
    ///
    /// # Errors
    /// If the session is not known.
    pub fn revoke(&mut self, id: B256, now: u64) -> Result<(), Refusal> {
        self.sessions.get(&id).ok_or(Refusal::Unknown(id))?;
        self.set(id, State::Revoked, now);
        Ok(())
    }

    /// Takes the successor of a session: both sign until the old one is revoked.
    ///
    /// # Errors
    /// If the old one is over, or the account would not enable the new one.
    pub fn rotate(&mut self, old: B256, successor: Grant, now: u64) -> Result<B256, Refusal> {
        self.living(old, now)?;
        let id = self.grant(successor, now)?;
        self.set(old, State::Rotating, now);
        Ok(id)
    }

    /// The whole signature of an operation, if the policy allows it.
    ///
    /// # Errors
    /// Why not.
    pub fn sign_operation(&mut self, id: B256, op: &UserOperation, now: u64) -> Result<Bytes, Refusal> {
        let result = self.try_sign(id, op, now);
        if let Err(refusal) = &result {
            self.write(id, Event::Refused(refusal.to_string()), now);
        }
        result
    }

    fn try_sign(&mut self, id: B256, op: &UserOperation, now: u64) -> Result<Bytes, Refusal> {
        let place = self.place;
        let context = HashContext { version: place.version, entry_point: place.entry_point, chain_id: self.chain_id };
        let session = self.living(id, now)?;
        if op.sender != place.account {
            return Err(Refusal::Sender(op.sender));
        }
        let enabling = !session.grant.owner_signature.is_empty();
        let before = session.counters_without(op.nonce);
        let policy = &session.grant.policy;
        let allowed = policy.judge(id, &before, op, enabling, &place)?;
        if allowed.valid_until < now {
            return Err(Refusal::Time);
        }
        // The hash of the very operation that was judged.
        let hash = op.hash(&context, None).map_err(|_| Refusal::Delegate)?;
        let key_signature = session.grant.key.sign(digest(hash, place.version))?;
        let owner =
            if session.chain.status == Status::None { session.grant.owner_signature.clone() } else { Bytes::new() };
        let signature = policy.operation_signature(&owner, &key_signature)?;
        session.hold(op.nonce, allowed);
        let state = if session.state == State::Rotating { State::Rotating } else { State::Active };
        self.set(id, state, now);
        self.write(id, Event::Signed { user_op_hash: hash, nonce: op.nonce }, now);
        Ok(signature)
    }

    /// The account's ERC-1271 signature of a voucher, if the right, its ceiling and its rate allow it.
    ///
    /// # Errors
    /// Why not.
    pub fn sign_voucher(&mut self, id: B256, domain: B256, voucher: &Voucher, now: u64) -> Result<Bytes, Refusal> {
        let session = self.living(id, now)?;
        let terms = session.grant.vouchers.ok_or(Refusal::NoVoucherRight)?;
        let right = session.grant.policy.vouchers.iter().find(|right| {
            right.domain_separator == domain && right.type_hash == voucher_type_hash() && right.amount_field == 1
        });
        let most = right.ok_or(Refusal::NoVoucherRight)?.max_amount;
        let amount = voucher.cumulative_amount;
        if amount > most {
            return Err(Refusal::AboveCeiling { most });
        }
        let before = session.vouched.get(&voucher.session).copied().unwrap_or_default();
        let more = amount.checked_sub(before).ok_or(Refusal::Backwards)?;
        let all = session.vouched.values().fold(U256::ZERO, |sum, vouched| sum.saturating_add(*vouched));
        if all.saturating_add(more) > terms.ceiling {
            return Err(Refusal::AboveCeiling { most: before.saturating_add(terms.ceiling.saturating_sub(all)) });
        }
        let (start, in_window) = match session.window {
            (start, _) if now >= start.saturating_add(terms.window) => (now, U256::ZERO),
            window => window,
        };
        let left = terms.per_window.saturating_sub(in_window);
        if more > left {
            return Err(Refusal::TooFast { left, until: start.saturating_add(terms.window) });
        }
        let fields = (voucher.session, amount, voucher.tokens, voucher.transcript_root).abi_encode();
        let hash = keccak256([voucher_type_hash().as_slice(), &fields].concat());
        let message = keccak256([b"\x19\x01".as_slice(), domain.as_slice(), hash.as_slice()].concat());
        let key_signature = session.grant.key.sign(message)?;
        let signature = session.grant.policy.voucher_signature(&fields, &key_signature)?;
        session.vouched.insert(voucher.session, amount);
        session.window = (start, in_window.saturating_add(more));
        self.write(id, Event::VoucherSigned { session: voucher.session, amount }, now);
        Ok(signature)
    }

    fn living(&mut self, id: B256, now: u64) -> Result<&mut Session, Refusal> {
        let session = self.sessions.get_mut(&id).ok_or(Refusal::Unknown(id))?;
        let over = matches!(session.state, State::Revoked | State::Expired) || now > session.grant.policy.valid_until;
        if over { Err(Refusal::Over) } else { Ok(session) }
    }

    fn set(&mut self, id: B256, state: State, now: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.state != state {
            session.state = state;
            self.write(id, Event::StateChanged(state), now);
        }
    }

    fn write(&mut self, id: B256, event: Event, time: u64) {
        let before = self.log.last().map(|entry| entry.hash).unwrap_or_default();
        let hash = entry_hash(before, time, id, &event);
        self.log.push(Entry { time, id, event, hash });
    }
}

/// What an entry's hash must be after the one with hash `before`.
pub fn entry_hash(before: B256, time: u64, id: B256, event: &Event) -> B256 {
    keccak256([before.as_slice(), &time.to_be_bytes(), id.as_slice(), format!("{event:?}").as_bytes()].concat())
}

impl Session {
    /// The chain's counters and all that is set aside, but for this nonce.
    fn counters_without(&self, nonce: U256) -> Counters {
        let mut counters = self.chain.clone();
        counters.spent.resize(self.grant.policy.limits.len(), Default::default());
        for held in self.held.iter().filter(|(other, _)| **other != nonce).map(|(_, held)| held) {
            counters.uses = counters.uses.saturating_add(held.uses);
            counters.gas_spent = counters.gas_spent.saturating_add(held.allowed.gas);
            for (spent, amount) in counters.spent.iter_mut().zip(&held.allowed.amounts) {
                if *amount == 0 {
                    continue;
                }
                // What is set aside for an earlier period fills only the total.
                if held.allowed.period > spent.period {
                    (spent.period, spent.in_period) = (held.allowed.period, 0);
                }
                if held.allowed.period == spent.period {
                    spent.in_period = spent.in_period.saturating_add(*amount);
                }
                spent.total = spent.total.saturating_add(*amount);
            }
        }
        counters
    }

    fn hold(&mut self, nonce: U256, allowed: Allowed) {
        let uses = u32::from(self.grant.policy.max_uses.is_some());
        match self.held.get_mut(&nonce) {
            Some(held) => {
                held.allowed.gas = held.allowed.gas.max(allowed.gas);
                for (most, amount) in held.allowed.amounts.iter_mut().zip(&allowed.amounts) {
                    *most = (*most).max(*amount);
                }
            }
            None => {
                self.held.insert(nonce, Held { allowed, uses });
            }
        }
    }
}
