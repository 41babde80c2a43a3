//! The signing service: signs an operation or a voucher only if the policy that the chain enforces allows it, by
//! counters of its own that run ahead of the chain's.
//!
//! ```text
//!  request ──► Requested ──grant──► Granted ──chain: enabled──► Enabled ──first signature──► Active ──► Rotating
//!                  └──────────── revoke here first, then on chain; expiry ────────────► Revoked | Expired
//! ```
//!
//! Pure: no clock, no chain, no disk. What calls it tells it the time and what the chain says, and writes down the
//! [`Record`] and the log *before* it lets a signature out.
//!
//! Each signed operation sets aside what it may spend under its nonce until the chain has used that nonce or the
//! operation's time is over. Of several signed for one nonce only one can run, so the largest is set aside once.

mod audit;
mod record;

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolValue,
};
use erc4337::{EntryPointVersion, HashContext, UserOperation};
use serde::{Deserialize, Serialize};

pub use audit::{Entry, Event, entry_hash};
pub use record::Record;

use crate::{
    KeyError, Policy, SessionKey,
    operation::digest,
    policy::{
        encode::EncodingError,
        judge::{Allowed, Counters, Place, Status, Violation, nonce_key},
        marketplace::voucher_type_hash,
        summary::Names,
    },
};

/// Where a session is in its life. The chain's word comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Asked for; no owner agreed yet.
    Requested,
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

impl State {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Requested, Self::Granted, Self::Enabled, Self::Active, Self::Rotating, Self::Revoked, Self::Expired];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Granted => "granted",
            Self::Enabled => "enabled",
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing is signed any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Revoked | Self::Expired)
    }
}

/// How much may be vouched for, beyond what the chain limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoucherTerms {
    /// Most base units in all conversations together.
    pub ceiling: U256,
    /// Most base units in any window.
    pub per_window: U256,
    /// Length of a window in seconds.
    pub window: u64,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whom it is to act for.
    pub account: Address,
    /// What it is to do.
    pub policy: Policy,
    /// The right to sign vouchers, if it is to have one.
    pub vouchers: Option<VoucherTerms>,
    /// The session that it takes the place of: both sign until that one is revoked.
    pub replaces: Option<B256>,
}

/// A voucher of the SessionMarketplace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Voucher {
    /// The conversation.
    #[serde(rename = "sessionId")]
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
    #[error("no owner has agreed to the session yet")]
    NotGranted,
    #[error("the key is not of this session")]
    NotItsKey,
    #[error("the session's key is locked")]
    Locked,
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
struct Session {
    record: Record,
    /// Until it is unlocked after a restart, and from its end on, there is none.
    key: Option<SessionKey>,
}

/// Sessions of any number of accounts at one EntryPoint.
#[derive(Debug)]
pub struct Service {
    entry_point: Address,
    version: EntryPointVersion,
    chain_id: u64,
    sessions: BTreeMap<B256, Session>,
    log: Vec<Entry>,
    /// Hash of the last entry, taken from here or not.
    last: B256,
}

impl Service {
    /// For accounts that obey this EntryPoint.
    pub fn new(chain_id: u64, entry_point: Address, version: EntryPointVersion) -> Self {
        Self { entry_point, version, chain_id, sessions: BTreeMap::new(), log: Vec::new(), last: B256::ZERO }
    }

    /// Goes on after the log's last entry, with what was written down.
    pub fn resume(&mut self, last: B256, records: impl IntoIterator<Item = (B256, Record)>) {
        self.last = last;
        self.sessions.extend(records.into_iter().map(|(id, record)| (id, Session { record, key: None })));
    }

    /// Takes a request and the key that it is for; the session's id. `names` are for the log.
    ///
    /// # Errors
    /// If the account would not enable it, or the policy names another key.
    pub fn request(&mut self, request: Request, key: SessionKey, names: &Names, now: u64) -> Result<B256, Refusal> {
        let Request { account, policy, vouchers, replaces } = request;
        policy.check(account, self.entry_point)?;
        if policy.key != key.public() {
            return Err(Refusal::NotItsKey);
        }
        if let Some(old) = replaces {
            let old = self.living(old, now)?;
            if old.record.account != account {
                return Err(Refusal::Sender(account));
            }
        }
        let id = policy.id()?;
        let chain = Counters { epoch: policy.epoch, ..Counters::default() };
        let summary = policy.summary(names, now);
        let record = Record {
            account,
            policy,
            vouchers,
            replaces,
            owner_signature: Bytes::new(),
            state: State::Requested,
            chain,
            held: BTreeMap::new(),
            vouched: BTreeMap::new(),
            window: (now, U256::ZERO),
        };
        self.sessions.entry(id).or_insert(Session { record, key: Some(key) });
        self.write(id, Event::Requested { summary }, now);
        Ok(id)
    }

    /// Takes an owner's signature of what was requested.
    ///
    /// # Errors
    /// If the session is not known or over.
    pub fn grant(&mut self, id: B256, owner_signature: Bytes, now: u64) -> Result<(), Refusal> {
        let session = self.living(id, now)?;
        session.record.owner_signature = owner_signature;
        let (state, replaces) = (session.record.state, session.record.replaces);
        self.write(id, Event::Granted, now);
        if state == State::Requested {
            self.set(id, State::Granted, now);
        }
        if let Some(old) = replaces
            && self.living(old, now).is_ok()
        {
            self.set(old, State::Rotating, now);
        }
        Ok(())
    }

    /// Forgets a request that nobody granted.
    pub fn forget(&mut self, id: B256) {
        if self.state(id) == Some(State::Requested) {
            self.sessions.remove(&id);
        }
    }

    /// Gives a session its key back after a restart.
    ///
    /// # Errors
    /// If it is another's, or the session is not known or over.
    pub fn unlock(&mut self, id: B256, key: SessionKey, now: u64) -> Result<(), Refusal> {
        let session = self.living(id, now)?;
        if session.record.policy.key != key.public() {
            return Err(Refusal::NotItsKey);
        }
        session.key.get_or_insert(key);
        Ok(())
    }

    /// Whether a living session waits for its key.
    pub fn is_locked(&self, id: B256) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.key.is_none() && !session.record.state.is_over())
    }

    /// What is known of a session.
    pub fn record(&self, id: B256) -> Option<&Record> {
        self.sessions.get(&id).map(|session| &session.record)
    }

    /// A session's key, to be encrypted.
    pub fn key(&self, id: B256) -> Option<&SessionKey> {
        self.sessions.get(&id).and_then(|session| session.key.as_ref())
    }

    /// Nonces that signed operations hold and whose use is to be asked of the chain.
    pub fn held(&self, id: B256) -> Vec<U256> {
        self.record(id).map(|record| record.held.keys().copied().collect()).unwrap_or_default()
    }

    /// A lane of this period in which nothing waits.
    pub fn free_lane(&self, id: B256, period: u64) -> u16 {
        let Some(record) = self.record(id) else { return 0 };
        let waits = |lane: u16| {
            let key = nonce_key(id, period, lane);
            record.held.iter().any(|(nonce, held)| !held.released && *nonce >> 64 == key)
        };
        (0..u16::MAX).find(|lane| !waits(*lane)).unwrap_or(u16::MAX)
    }

    /// How many sessions there are, by state; of each state, even if there are none.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts: BTreeMap<_, _> = State::ALL.iter().map(|state| (state.name(), 0)).collect();
        for record in self.sessions.keys().filter_map(|id| self.record(*id)) {
            *counts.entry(record.state.name()).or_default() += 1;
        }
        counts
    }

    /// Where a session stands.
    pub fn state(&self, id: B256) -> Option<State> {
        self.record(id).map(|record| record.state)
    }

    /// All that happened and was not taken yet, oldest first.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// The same, to be written down.
    pub fn take_log(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.log)
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
        let record = &mut self.sessions.get_mut(&id).ok_or(Refusal::Unknown(id))?.record;
        record.held.retain(|nonce, held| !is_used(*nonce) && held.valid_until >= now);
        record.chain = counters;
        let state = match (record.chain.status, record.state) {
            // A revocation here is not undone by a chain that does not know of it yet.
            (_, State::Revoked) => State::Revoked,
            (Status::Revoked, _) => State::Revoked,
            _ if record.chain.epoch != record.policy.epoch => State::Revoked,
            _ if now > record.policy.valid_until => State::Expired,
            (Status::Enabled, State::Requested | State::Granted) => State::Enabled,
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

    /// What the policy says of an operation, without signing it.
    ///
    /// # Errors
    /// Why it would not be signed.
    pub fn check(&mut self, id: B256, op: &UserOperation, now: u64) -> Result<(), Refusal> {
        let result = self.judge(id, op, now).map(|_| ());
        self.note(id, result, now)
    }

    /// The whole signature of an operation, if the policy allows it.
    ///
    /// # Errors
    /// Why not.
    pub fn sign_operation(&mut self, id: B256, op: &UserOperation, now: u64) -> Result<Bytes, Refusal> {
        let result = self.try_sign(id, op, now);
        self.note(id, result, now)
    }

    fn note<T>(&mut self, id: B256, result: Result<T, Refusal>, now: u64) -> Result<T, Refusal> {
        if let Err(refusal) = &result {
            self.write(id, Event::Refused { reason: refusal.to_string() }, now);
        }
        result
    }

    fn judge(&mut self, id: B256, op: &UserOperation, now: u64) -> Result<Allowed, Refusal> {
        let (entry_point, version) = (self.entry_point, self.version);
        let record = &self.living(id, now)?.record;
        if op.sender != record.account {
            return Err(Refusal::Sender(op.sender));
        }
        if record.chain.status != Status::Enabled && record.owner_signature.is_empty() {
            return Err(Refusal::NotGranted);
        }
        let place = Place { account: record.account, entry_point, version };
        let allowed = record.policy.judge(id, &record.counters_without(op.nonce), op, true, &place)?;
        if allowed.valid_until < now { Err(Refusal::Time) } else { Ok(allowed) }
    }

    fn try_sign(&mut self, id: B256, op: &UserOperation, now: u64) -> Result<Bytes, Refusal> {
        let (entry_point, version) = (self.entry_point, self.version);
        let context = HashContext { version, entry_point, chain_id: self.chain_id };
        let allowed = self.judge(id, op, now)?;
        let Session { record, key } = self.living(id, now)?;
        // The hash of the very operation that was judged.
        let hash = op.hash(&context, None).map_err(|_| Refusal::Delegate)?;
        let key_signature = key.as_ref().ok_or(Refusal::Locked)?.sign(digest(hash, version))?;
        let signature = record.policy.operation_signature(record.owner_part(), &key_signature)?;
        record.hold(op.nonce, allowed);
        let state = if record.state == State::Rotating { State::Rotating } else { State::Active };
        self.set(id, state, now);
        self.write(id, Event::Signed { user_op_hash: hash, nonce: op.nonce }, now);
        Ok(signature)
    }

    /// An operation that was signed and refused before it left may be signed anew, under the same nonce.
    pub fn release(&mut self, id: B256, nonce: U256, now: u64) {
        let held = self.sessions.get_mut(&id).and_then(|session| session.record.held.get_mut(&nonce));
        if let Some(held) = held {
            held.released = true;
            self.write(id, Event::Released { nonce }, now);
        }
    }

    /// The account's ERC-1271 signature of a voucher, if the right, its ceiling and its rate allow it.
    ///
    /// # Errors
    /// Why not.
    pub fn sign_voucher(&mut self, id: B256, domain: B256, voucher: &Voucher, now: u64) -> Result<Bytes, Refusal> {
        let result = self.try_sign_voucher(id, domain, voucher, now);
        self.note(id, result, now)
    }

    fn try_sign_voucher(&mut self, id: B256, domain: B256, voucher: &Voucher, now: u64) -> Result<Bytes, Refusal> {
        let Session { record, key } = self.living(id, now)?;
        let terms = record.vouchers.ok_or(Refusal::NoVoucherRight)?;
        let right = record.policy.vouchers.iter().find(|right| {
            right.domain_separator == domain && right.type_hash == voucher_type_hash() && right.amount_field == 1
        });
        let most = right.ok_or(Refusal::NoVoucherRight)?.max_amount;
        let amount = voucher.cumulative_amount;
        if amount > most {
            return Err(Refusal::AboveCeiling { most });
        }
        let before = record.vouched.get(&voucher.session).copied().unwrap_or_default();
        let more = amount.checked_sub(before).ok_or(Refusal::Backwards)?;
        let all = record.vouched.values().fold(U256::ZERO, |sum, vouched| sum.saturating_add(*vouched));
        if all.saturating_add(more) > terms.ceiling {
            return Err(Refusal::AboveCeiling { most: before.saturating_add(terms.ceiling.saturating_sub(all)) });
        }
        let (start, in_window) = match record.window {
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
        let key_signature = key.as_ref().ok_or(Refusal::Locked)?.sign(message)?;
        let signature = record.policy.voucher_signature(&fields, &key_signature)?;
        record.vouched.insert(voucher.session, amount);
        record.window = (start, in_window.saturating_add(more));
        self.write(id, Event::VoucherSigned { session: voucher.session, amount }, now);
        Ok(signature)
    }

    fn living(&mut self, id: B256, now: u64) -> Result<&mut Session, Refusal> {
        let session = self.sessions.get_mut(&id).ok_or(Refusal::Unknown(id))?;
        let record = &session.record;
        let over = record.state.is_over() || now > record.policy.valid_until;
        if over { Err(Refusal::Over) } else { Ok(session) }
    }

    fn set(&mut self, id: B256, state: State, now: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.record.state != state {
            session.record.state = state;
            if state.is_over() {
                // Nothing is to be signed any more.
                session.key = None;
            }
            self.write(id, Event::StateChanged { state }, now);
        }
    }

    fn write(&mut self, id: B256, event: Event, time: u64) {
        let entry = Entry::after(self.last, time, id, event);
        self.last = entry.hash;
        self.log.push(entry);
    }
}
