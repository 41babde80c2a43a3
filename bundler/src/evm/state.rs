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
/// Values that are fetched again for a new block; past this, only those that the last block's operations used.
const CARRIED: usize = 6_000;

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
    known: Mutex<Known>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Known {
    accounts: HashMap<Address, AccountInfo>,
    slots: HashMap<(Address, U256), U256>,
    block_hashes: HashMap<u64, B256>,
    /// What was read of this view, beside what it was made with.
    used: Wanted,
}

impl Known {
    /// What the next block's view should know from the start.
    fn to_carry(&self) -> Wanted {
        if self.accounts.len() * 3 + self.slots.len() <= CARRIED {
            let accounts = self.accounts.keys().copied().collect();
            return Wanted { accounts, slots: self.slots.keys().copied().collect(), ..Wanted::default() };
        }
        Wanted {
            accounts: self.used.accounts.iter().copied().take(CARRIED / 6).collect(),
            slots: self.used.slots.iter().copied().take(CARRIED / 2).collect(),
            ..Wanted::default()
        }
    }
}

impl StateView {
    /// An empty view of this block. Must be made inside a tokio runtime.
    pub fn new(node: NodeClient, block: B256, shared: Arc<Shared>) -> Self {
        Self { node, runtime: tokio::runtime::Handle::current(), block, known: Mutex::default(), shared }
    }

    /// A view of `block` that knows again what this one knew, fetched in one batch.
    ///
    /// A contract's code is not fetched again if `block` is this one's child: since EIP-6780 only an account without
    /// code, or with an EIP-7702 delegation, can have other code a block later.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn advance_to(&self, block: &BlockPin) -> Result<Self, NodeError> {
        let next = Self::new(self.node.clone(), block.hash, Arc::clone(&self.shared));
        let (wanted, codes) = {
            let known = self.lock();
            let wanted = known.to_carry();
            let mut codes = HashMap::default();
            if block.parent == self.block {
                let of_contracts = wanted.accounts.iter().filter_map(|account| {
                    let code = known.accounts.get(account)?.code.as_ref()?;
                    (!code.is_empty() && !code.is_eip7702()).then(|| (*account, code.clone()))
                });
                codes.extend(of_contracts);
            }
            (wanted, codes)
        };
        next.fetch_all(&wanted, &codes).await?;
        Ok(next)
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
            let known = self.lock();
            Wanted {
                accounts: wanted.accounts.iter().copied().filter(|it| !known.accounts.contains_key(it)).collect(),
                slots: wanted.slots.iter().copied().filter(|it| !known.slots.contains_key(it)).collect(),
                block_hashes: wanted
                    .block_hashes
                    .iter()
                    .copied()
                    .filter(|it| !known.block_hashes.contains_key(it))
                    .collect(),
            }
        };
        self.fetch_all(&missing, &HashMap::default()).await
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

    async fn fetch_all(&self, wanted: &Wanted, codes: &HashMap<Address, Bytecode>) -> Result<(), NodeError> {
        let accounts: Vec<_> = wanted.accounts.iter().copied().collect();
        let slots: Vec<_> = wanted.slots.iter().copied().collect();
        let (mut accounts, mut slots) = (accounts.chunks(BATCH / 3), slots.chunks(BATCH));
        loop {
            match (accounts.next(), slots.next()) {
                (None, None) => break,
                (some_accounts, some_slots) => {
                    self.fetch(some_accounts.unwrap_or_default(), some_slots.unwrap_or_default(), codes).await?;
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

    /// One batch. Of accounts in `codes` the code is known and not asked for.
    async fn fetch(
        &self,
        accounts: &[Address],
        slots: &[(Address, U256)],
        codes: &HashMap<Address, Bytecode>,
    ) -> Result<(), NodeError> {
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

    /// The account, if known.
    pub fn account(&self, address: Address) -> Option<AccountInfo> {
        let mut known = self.lock();
        known.used.accounts.insert(address);
        let info = known.accounts.get(&address).cloned();
        self.count_hit(info.is_some());
        info
    }

    /// The value of a slot, if known.
    pub fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        let mut known = self.lock();
        known.used.slots.insert((address, slot));
        let value = known.slots.get(&(address, slot)).copied();
        self.count_hit(value.is_some());
        value
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
    /// every bundle pays or charges, only the code counts.
    pub fn agrees_with(&self, older: &Self, reads: &Wanted, busy: &std::collections::HashSet<Address>) -> bool {
        let (ours, theirs) = (self.lock(), older.lock());
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

fn bytecode(account: Address, code: &Bytes) -> Result<Bytecode, NodeError> {
    Bytecode::new_raw_checked(code.clone()).map_err(|error| unreadable(format!("code of {account}: {error}")))
}

fn account_info(account: Address, balance: &Bytes, nonce: &Bytes, code: Bytecode) -> Result<AccountInfo, NodeError> {
    let nonce = quantity(nonce)?;
    Ok(AccountInfo {
        balance: quantity(balance)?,
        nonce: nonce.try_into().map_err(|_| unreadable(format!("nonce of {account}: {nonce}")))?,
        code_hash: if code.is_empty() { KECCAK_EMPTY } else { keccak256(code.original_byte_slice()) },
        code: Some(code),
        ..AccountInfo::default()
    })
}

fn quantity(answer: &Bytes) -> Result<U256, NodeError> {
    U256::try_from_be_slice(answer).ok_or_else(|| unreadable(format!("{} bytes where a word was due", answer.len())))
}

fn unreadable(reason: String) -> NodeError {
    NodeError::Unreadable { method: "eth_get*", reason }
}
