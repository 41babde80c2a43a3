//! State of one block: what is known of it, and how more becomes known, many values in one trip.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{
        Address, B256, Bytes, U256, keccak256,
        map::{HashMap, HashSet},
    },
};
use erc4337::native;
use futures::FutureExt;
use revm::{bytecode::Bytecode, primitives::KECCAK_EMPTY, state::AccountInfo};
use serde_json::json;

use super::{BlockPin, Forecast};
use crate::{
    node::{BatchReader, NodeClient, NodeError},
    world,
};

/// Reads in one batch at most; larger sets go in several.
const BATCH: usize = 500;
/// Values that are remembered from block to block as likely to be read again; past this, only those of the last block.
const CARRIED: usize = 3_000;
/// How long in chain time, in milliseconds, what was read counts as likely to be read again: fifteen blocks of 200 ms.
const WARM: u64 = 3_000;
/// Bytes of contracts' code kept from block to block.
const CODES: usize = 6 * 1_024 * 1_024;

/// What to fetch, or what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// Accounts: balance, nonce and code.
    pub accounts: HashSet<Address>,
    /// Storage slots.
    pub slots: HashSet<(Address, U256)>,
    /// Hashes of blocks of these numbers.
    pub block_hashes: BTreeSet<u64>,
}

impl Wanted {
    /// How many things that is.
    pub fn len(&self) -> usize {
        self.accounts.len() + self.slots.len() + self.block_hashes.len()
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The accounts and the slots, in an order that is the same each time: what is cut off or split is, too.
    pub(super) fn in_order(&self) -> (Vec<Address>, Vec<(Address, U256)>) {
        let (mut accounts, mut slots): (Vec<_>, Vec<_>) =
            (self.accounts.iter().copied().collect(), self.slots.iter().copied().collect());
        accounts.sort_unstable();
        slots.sort_unstable();
        (accounts, slots)
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: Self) {
        self.accounts.extend(other.accounts);
        self.slots.extend(other.slots);
        self.block_hashes.extend(other.block_hashes);
    }
}

/// What it cost to know what we know.
#[derive(Debug, Default)]
pub struct ReadCounters {
    /// Values asked of the node.
    pub fetched: AtomicU64,
    /// Round trips that took.
    pub trips: AtomicU64,
    /// Bytes of the node's values, hex digits halved.
    pub bytes: AtomicU64,
    /// Values answered from memory.
    pub hits: AtomicU64,
}

/// What all views of one node share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Costs.
    pub counters: ReadCounters,
    /// What operations of each shape have read.
    pub forecast: Forecast,
}

/// State of one block. Every read names the block by hash, so that a node that lags, or has reorganised the block
/// away, refuses rather than answers for another.
#[derive(Debug)]
pub struct StateView {
    node: NodeClient,
    runtime: tokio::runtime::Handle,
    block: B256,
    /// Chain time of the block, in milliseconds.
    time: u64,
    known: Mutex<Known>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Known {
    accounts: HashMap<Address, AccountInfo>,
    slots: HashMap<(Address, U256), U256>,
    block_hashes: HashMap<u64, B256>,
    /// Code of contracts that stays what it is.
    codes: HashMap<Address, Code>,
    /// What was read, and when last, in chain time.
    used: Used,
    /// What was used of earlier blocks is not known of this one: it comes with the first thing that is fetched.
    cold: bool,
    /// What is not known is nothing.
    #[cfg(test)]
    whole: bool,
}

/// Code, and its hash.
#[derive(Clone, Debug)]
struct Code(Bytecode, B256);

#[derive(Clone, Debug, Default)]
struct Used {
    accounts: HashMap<Address, u64>,
    slots: HashMap<(Address, U256), u64>,
}

impl Used {
    /// What was used at this time or later.
    fn since(&self, time: u64) -> Wanted {
        let accounts = self.accounts.iter().filter(|(_, used)| **used >= time).map(|(address, _)| *address);
        let slots = self.slots.iter().filter(|(_, used)| **used >= time).map(|(slot, _)| *slot);
        Wanted { accounts: accounts.collect(), slots: slots.collect(), ..Wanted::default() }
    }

    /// What is likely to be used again at `now`, of what was used up to `last`.
    fn carried(&self, last: u64, now: u64) -> Self {
        let mut kept = self.clone();
        kept.retain(now.saturating_sub(WARM));
        if kept.accounts.len() * 3 + kept.slots.len() > CARRIED {
            kept.retain(last);
            let (accounts, slots) = kept.since(0).in_order();
            let (accounts, slots) = (accounts.into_iter().take(CARRIED / 6), slots.into_iter().take(CARRIED / 2));
            kept = Self {
                accounts: accounts.map(|account| (account, last)).collect(),
                slots: slots.map(|slot| (slot, last)).collect(),
            };
        }
        kept
    }

    fn retain(&mut self, since: u64) {
        self.accounts.retain(|_, used| *used >= since);
        self.slots.retain(|_, used| *used >= since);
    }
}

impl Known {
    /// Of these, what is not known.
    fn missing(&self, wanted: &Wanted) -> Wanted {
        Wanted {
            accounts: wanted.accounts.iter().copied().filter(|it| !self.accounts.contains_key(it)).collect(),
            slots: wanted.slots.iter().copied().filter(|it| !self.slots.contains_key(it)).collect(),
            block_hashes: wanted
                .block_hashes
                .iter()
                .copied()
                .filter(|it| !self.block_hashes.contains_key(it))
                .collect(),
        }
    }
}

impl StateView {
    /// An empty view of this block, made at `time` (milliseconds of chain time). Must be made inside a tokio runtime.
    pub fn new(node: NodeClient, block: B256, time: u64, shared: Arc<Shared>) -> Self {
        Self { node, runtime: tokio::runtime::Handle::current(), block, time, known: Mutex::default(), shared }
    }

    /// A view of a later block. Of what was read lately it remembers that, and fetches it again with the first thing that
    /// anybody reads of it, so that a block which nobody reads costs nothing.
    ///
    /// If that block `descends` from this one's, code of contracts is not fetched again: since EIP-6780 only an account
    /// without code, or with an EIP-7702 delegation, can come to have other code.
    pub fn follow(&self, block: &BlockPin, time: u64, descends: bool) -> Self {
        let next = Self::new(self.node.clone(), block.hash, time, Arc::clone(&self.shared));
        {
            let (known, mut later) = (self.lock(), next.lock());
            later.used = known.used.carried(self.time, time);
            later.cold = true;
            if descends {
                let stays = |info: &AccountInfo| {
                    let code = info.code.as_ref().filter(|code| !code.is_empty() && !code.is_eip7702())?;
                    Some(Code(code.clone(), info.code_hash))
                };
                // Those read last are kept first.
                let fresh = known.accounts.iter().filter_map(|(address, info)| Some((*address, stays(info)?)));
                let earlier = known.codes.iter().map(|(address, code)| (*address, code.clone()));
                let mut bytes = 0;
                for (address, code) in fresh.chain(earlier) {
                    let length = code.0.original_byte_slice().len();
                    if bytes + length <= CODES && !later.codes.contains_key(&address) {
                        bytes += length;
                        later.codes.insert(address, code);
                    }
                }
            }
        }
        next
    }

    /// Fetches what was read of the block before it, in one batch: what pending operations rest on, so that they can be
    /// held against this block.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn warm_up(&self, earlier: &Self) -> Result<(), NodeError> {
        let wanted = earlier.lock().used.since(earlier.time);
        let missing = self.lock().missing(&wanted);
        self.fetch_all(&missing).await
    }

    /// The block all reads are of.
    pub fn block(&self) -> B256 {
        self.block
    }

    /// Costs and forecasts.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Fetches what is not known yet in as few trips as batches allow.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn prefetch(&self, wanted: &Wanted) -> Result<(), NodeError> {
        let missing = {
            let mut known = self.lock();
            let mut missing = known.missing(wanted);
            if !missing.is_empty() && std::mem::take(&mut known.cold) {
                missing.extend(known.missing(&known.used.since(0)));
            }
            missing
        };
        self.fetch_all(&missing).await
    }

    /// [`Self::prefetch`] for threads that may block.
    ///
    /// # Errors
    /// As there.
    pub fn fetch_blocking(&self, wanted: &Wanted) -> Result<(), NodeError> {
        if world::is_blocking() {
            let at_once = self.prefetch(wanted).now_or_never();
            return at_once.unwrap_or_else(|| Err(unreadable("the simulated node did not answer at once".into())));
        }
        self.runtime.block_on(self.prefetch(wanted))
    }

    async fn fetch_all(&self, wanted: &Wanted) -> Result<(), NodeError> {
        #[cfg(test)]
        if self.lock().whole {
            let mut known = self.lock();
            let nobody = || AccountInfo { code: Some(Bytecode::default()), ..AccountInfo::default() };
            known.accounts.extend(wanted.accounts.iter().map(|address| (*address, nobody())));
            known.slots.extend(wanted.slots.iter().map(|slot| (*slot, U256::ZERO)));
            known.block_hashes.extend(wanted.block_hashes.iter().map(|number| (*number, B256::ZERO)));
            return Ok(());
        }
        let (accounts, slots) = wanted.in_order();
        let (mut accounts, mut slots) = (accounts.chunks(BATCH / 3), slots.chunks(BATCH));
        loop {
            match (accounts.next(), slots.next()) {
                (None, None) => break,
                (some_accounts, some_slots) => {
                    self.fetch(some_accounts.unwrap_or_default(), some_slots.unwrap_or_default()).await?;
                }
            }
        }
        for number in &wanted.block_hashes {
            // Ancestors of a block are what they are: asking by number could only err across a reorganisation, which
            // makes this whole view obsolete.
            let block = self.node.block(BlockNumberOrTag::Number(*number)).await?;
            let block = block.ok_or_else(|| NodeError::Unreadable {
                method: "eth_getBlockByNumber",
                reason: format!("no block {number}"),
            })?;
            self.lock().block_hashes.insert(*number, block.header.hash);
        }
        Ok(())
    }

    /// One batch. Code that is known is not asked for.
    async fn fetch(&self, accounts: &[Address], slots: &[(Address, U256)]) -> Result<(), NodeError> {
        let codes: HashMap<Address, Code> = {
            let known = self.lock();
            accounts.iter().filter_map(|account| Some((*account, known.codes.get(account)?.clone()))).collect()
        };
        let mut batch = BatchReader::new(&self.node, self.block);
        for account in accounts {
            batch.read("eth_getBalance", &[json!(account)]);
            batch.read("eth_getTransactionCount", &[json!(account)]);
            if !codes.contains_key(account) {
                batch.read("eth_getCode", &[json!(account)]);
            }
        }
        for (account, slot) in slots {
            batch.read("eth_getStorageAt", &[json!(account), json!(B256::from(*slot))]);
        }
        let counters = &self.shared.counters;
        counters.fetched.fetch_add(batch.len() as u64, Ordering::Relaxed);
        counters.trips.fetch_add(1, Ordering::Relaxed);
        let answers = batch.send().await?;
        counters.bytes.fetch_add(answers.iter().map(|answer| answer.len() as u64).sum(), Ordering::Relaxed);

        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        let mut known = self.lock();
        for account in accounts {
            let (balance, nonce) = (next(), next());
            let code = match codes.get(account) {
                Some(code) => code.clone(),
                None => bytecode(*account, &next())?,
            };
            known.accounts.insert(*account, account_info(*account, &balance, &nonce, code)?);
        }
        for key in slots {
            known.slots.insert(*key, quantity(&next())?);
        }
        Ok(())
    }

    /// Asks the node something of its own. For threads that may block.
    pub(crate) fn ask_blocking<T>(&self, question: impl AsyncFnOnce(&NodeClient) -> T) -> T {
        self.runtime.block_on(question(&self.node))
    }

    /// The account, if known. It counts as read.
    pub fn account(&self, address: Address) -> Option<AccountInfo> {
        self.lock().used.accounts.insert(address, self.time);
        self.known_account(address)
    }

    /// The value of a slot, if known. It counts as read.
    pub fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        self.lock().used.slots.insert((address, slot), self.time);
        self.known_slot(address, slot)
    }

    /// The account, if known.
    pub(super) fn known_account(&self, address: Address) -> Option<AccountInfo> {
        let info = self.lock().accounts.get(&address).cloned();
        self.count_hit(info.is_some());
        info
    }

    /// The value of a slot, if known.
    pub(super) fn known_slot(&self, address: Address, slot: U256) -> Option<U256> {
        let value = self.lock().slots.get(&(address, slot)).copied();
        self.count_hit(value.is_some());
        value
    }

    /// These were read.
    pub(super) fn used(&self, reads: &Wanted) {
        let mut known = self.lock();
        known.used.accounts.extend(reads.accounts.iter().map(|address| (*address, self.time)));
        known.used.slots.extend(reads.slots.iter().map(|slot| (*slot, self.time)));
    }

    /// The hash of the block of this number, if known.
    pub fn block_hash(&self, number: u64) -> Option<B256> {
        self.lock().block_hashes.get(&number).copied()
    }

    /// The code that `account` has at this block, if any; fetched if not known.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn code(&self, account: Address) -> Result<Option<Bytecode>, NodeError> {
        self.prefetch(&Wanted { accounts: HashSet::from_iter([account]), ..Wanted::default() }).await?;
        Ok(self.lock().accounts.get(&account).and_then(|info| info.code.clone()))
    }

    /// The nonce of `account` at this block; fetched if not known.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn nonce(&self, account: Address) -> Result<u64, NodeError> {
        self.prefetch(&Wanted { accounts: HashSet::from_iter([account]), ..Wanted::default() }).await?;
        Ok(self.lock().accounts.get(&account).map_or(0, |info| info.nonce))
    }

    /// Whether everything in `reads` is known here, and is what it was in `older`. Of the accounts in `busy`, which
    /// every bundle pays or charges, only the code counts. It counts as read: it is needed of the next block too.
    pub fn agrees_with(&self, older: &Self, reads: &Wanted, busy: &std::collections::HashSet<Address>) -> bool {
        let (mut ours, theirs) = (self.lock(), older.lock());
        ours.used.accounts.extend(reads.accounts.iter().map(|address| (*address, self.time)));
        ours.used.slots.extend(reads.slots.iter().map(|slot| (*slot, self.time)));
        let accounts = reads.accounts.iter().all(|address| {
            let (Some(now), Some(then)) = (ours.accounts.get(address), theirs.accounts.get(address)) else {
                return false;
            };
            let busy = busy.contains(address);
            now.code_hash == then.code_hash && (busy || (now.balance == then.balance && now.nonce == then.nonce))
        });
        accounts
            && reads
                .slots
                .iter()
                .all(|slot| ours.slots.get(slot).is_some_and(|now| theirs.slots.get(slot) == Some(now)))
    }

    /// As if this account had been fetched.
    #[cfg(test)]
    pub(crate) fn know_account(&self, address: Address, nonce: u64, code: Bytecode) {
        let (code_hash, code) = (keccak256(code.original_byte_slice()), Some(code));
        let info = AccountInfo { nonce, code_hash, code, ..AccountInfo::default() };
        self.lock().accounts.insert(address, info);
    }

    /// As if all this had been fetched, and everything else were empty.
    #[cfg(test)]
    pub(crate) fn know_all(
        &self,
        accounts: impl Iterator<Item = (Address, AccountInfo)>,
        slots: impl Iterator<Item = ((Address, U256), U256)>,
    ) {
        let mut known = self.lock();
        known.accounts.extend(accounts);
        known.slots.extend(slots);
        known.whole = true;
    }

    /// As if this had been fetched.
    #[cfg(test)]
    pub(crate) fn know_slot(&self, address: Address, slot: U256, value: U256) {
        self.lock().slots.insert((address, slot), value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // A panic elsewhere cannot leave a half-written entry: every insert is one statement.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_hit(&self, hit: bool) {
        if hit {
            self.shared.counters.hits.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn bytecode(account: Address, code: &Bytes) -> Result<Code, NodeError> {
    // What the chain's client executes itself stands for no code of ours, whatever comes after its first byte.
    let code = if native::is_stub(code) {
        Bytecode::new_legacy(code.clone())
    } else {
        let code = Bytecode::new_raw_checked(code.clone());
        code.map_err(|error| unreadable(format!("code of {account}: {error}")))?
    };
    let hash = if code.is_empty() { KECCAK_EMPTY } else { keccak256(code.original_byte_slice()) };
    Ok(Code(code, hash))
}

fn account_info(account: Address, balance: &Bytes, nonce: &Bytes, code: Code) -> Result<AccountInfo, NodeError> {
    let nonce = quantity(nonce)?;
    Ok(AccountInfo {
        balance: quantity(balance)?,
        nonce: nonce.try_into().map_err(|_| unreadable(format!("nonce of {account}: {nonce}")))?,
        code_hash: code.1,
        code: Some(code.0),
        ..AccountInfo::default()
    })
}

fn quantity(answer: &Bytes) -> Result<U256, NodeError> {
    U256::try_from_be_slice(answer).ok_or_else(|| unreadable(format!("{} bytes where a word was due", answer.len())))
}

fn unreadable(reason: String) -> NodeError {
    NodeError::Unreadable { method: "eth_get*", reason }
}
