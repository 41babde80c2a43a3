//! State of one block, fetched on demand, many values in one trip, and remembered.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, U256, keccak256},
};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    primitives::{KECCAK_EMPTY, StorageKey, StorageValue},
    state::AccountInfo,
};
use serde_json::json;

use crate::node::{BatchReader, NodeClient, NodeError};

/// Reads in one batch at most; larger sets go in several.
const BATCH: usize = 500;
/// Values that are fetched again for a new block; past this, only those that the last block's operations used.
const CARRIED: usize = 4_000;

/// State could not be read, so there is no verdict.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    /// The node did not tell.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node's code for an account is no code.
    #[error("code of {0} is malformed")]
    MalformedCode(Address),
    /// The EVM asked for code by a hash that no account it saw has.
    #[error("no code with hash {0} was read")]
    UnknownCode(B256),
    /// The node does not have the block whose hash was asked for.
    #[error("hash of block {0} is not known to the node")]
    BlockHash(u64),
}

impl DBErrorMarker for StateError {}

/// What to fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Accounts: balance, nonce and code.
    pub accounts: HashSet<Address>,
    /// Storage slots.
    pub slots: HashSet<(Address, U256)>,
}

/// What it cost to know what we know.
#[derive(Debug, Default)]
pub struct ReadCounters {
    /// Values asked of the node.
    pub fetched: AtomicU64,
    /// Round trips that took.
    pub trips: AtomicU64,
    /// Values answered from memory.
    pub hits: AtomicU64,
}

/// State of one block. Reads through to the node; all reads name the block by hash.
///
/// The [`DatabaseRef`] side blocks its thread while it fetches: use it on blocking threads only.
#[derive(Debug)]
pub struct StateView {
    node: NodeClient,
    runtime: tokio::runtime::Handle,
    block: B256,
    known: Mutex<Known>,
    counters: Arc<ReadCounters>,
}

#[derive(Debug, Default)]
struct Known {
    accounts: HashMap<Address, AccountInfo>,
    slots: HashMap<(Address, U256), U256>,
    /// Code never changes under its hash.
    codes: HashMap<B256, Bytecode>,
    /// What was read of this view, beside what it was made with.
    used: Wanted,
}

impl Known {
    /// What the next block's view should know from the start.
    fn to_carry(&self) -> Wanted {
        if self.accounts.len() * 3 + self.slots.len() <= CARRIED {
            let accounts = self.accounts.keys().copied().collect();
            return Wanted { accounts, slots: self.slots.keys().copied().collect() };
        }
        Wanted {
            accounts: self.used.accounts.iter().copied().take(CARRIED / 6).collect(),
            slots: self.used.slots.iter().copied().take(CARRIED / 2).collect(),
        }
    }
}

impl StateView {
    /// An empty view of this block. Must be made inside a tokio runtime.
    pub fn new(node: NodeClient, block: B256, counters: Arc<ReadCounters>) -> Self {
        Self { node, runtime: tokio::runtime::Handle::current(), block, known: Mutex::default(), counters }
    }

    /// A view of `block` that knows again what this one knew, fetched in one batch.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn advance_to(&self, block: B256) -> Result<Self, NodeError> {
        let next = Self::new(self.node.clone(), block, Arc::clone(&self.counters));
        let wanted = {
            let known = self.lock();
            let mut theirs = next.lock();
            let wanted = known.to_carry();
            let hashes = wanted.accounts.iter().filter_map(|account| Some(known.accounts.get(account)?.code_hash));
            theirs.codes.extend(hashes.filter_map(|hash| Some((hash, known.codes.get(&hash)?.clone()))));
            wanted
        };
        next.prefetch(&wanted).await?;
        Ok(next)
    }

    /// The block all reads are of.
    pub fn block(&self) -> B256 {
        self.block
    }

    /// Fetches what is not known yet in as few trips as batches allow.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn prefetch(&self, wanted: &Wanted) -> Result<(), NodeError> {
        let (accounts, slots) = {
            let known = self.lock();
            let accounts: Vec<_> =
                wanted.accounts.iter().copied().filter(|account| !known.accounts.contains_key(account)).collect();
            let slots: Vec<_> = wanted.slots.iter().copied().filter(|slot| !known.slots.contains_key(slot)).collect();
            (accounts, slots)
        };
        let mut accounts = accounts.chunks(BATCH / 3);
        let mut slots = slots.chunks(BATCH);
        loop {
            match (accounts.next(), slots.next()) {
                (None, None) => return Ok(()),
                (some_accounts, some_slots) => {
                    self.fetch(some_accounts.unwrap_or_default(), some_slots.unwrap_or_default()).await?;
                }
            }
        }
    }

    /// One batch.
    async fn fetch(&self, accounts: &[Address], slots: &[(Address, U256)]) -> Result<(), NodeError> {
        let mut batch = BatchReader::new(&self.node, self.block);
        for account in accounts {
            for method in ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"] {
                batch.read(method, &[json!(account)]);
            }
        }
        for (account, slot) in slots {
            batch.read("eth_getStorageAt", &[json!(account), json!(B256::from(*slot))]);
        }
        let count = accounts.len() * 3 + slots.len();
        self.counters.fetched.fetch_add(count as u64, Ordering::Relaxed);
        self.counters.trips.fetch_add(1, Ordering::Relaxed);
        let answers = batch.send().await?;

        let (of_accounts, of_slots) = answers.split_at(accounts.len() * 3);
        let mut known = self.lock();
        for (account, answer) in accounts.iter().zip(of_accounts.chunks_exact(3)) {
            let info = account_info(*account, &answer[0], &answer[1], &answer[2])?;
            if let Some(code) = &info.code {
                known.codes.insert(info.code_hash, code.clone());
            }
            known.accounts.insert(*account, info);
        }
        for (key, answer) in slots.iter().zip(of_slots) {
            known.slots.insert(*key, quantity(answer)?);
        }
        Ok(())
    }

    /// The code that `account` has at this block, if known or once fetched.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn code(&self, account: Address) -> Result<Option<Bytecode>, NodeError> {
        self.prefetch(&Wanted { accounts: HashSet::from([account]), ..Wanted::default() }).await?;
        Ok(self.lock().accounts.get(&account).and_then(|info| info.code.clone()))
    }

    /// The nonce of `account` at this block.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn nonce(&self, account: Address) -> Result<u64, NodeError> {
        self.prefetch(&Wanted { accounts: HashSet::from([account]), ..Wanted::default() }).await?;
        Ok(self.lock().accounts.get(&account).map_or(0, |info| info.nonce))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // A panic elsewhere cannot leave a half-written entry: every insert is one statement.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hit(&self) {
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
    }
}

impl DatabaseRef for StateView {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        {
            let mut known = self.lock();
            known.used.accounts.insert(address);
            if let Some(info) = known.accounts.get(&address) {
                self.hit();
                return Ok(Some(info.clone()));
            }
        }
        self.runtime.block_on(self.fetch(&[address], &[]))?;
        Ok(self.lock().accounts.get(&address).cloned())
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        if code_hash == KECCAK_EMPTY || code_hash.is_zero() {
            return Ok(Bytecode::default());
        }
        self.lock().codes.get(&code_hash).cloned().ok_or(StateError::UnknownCode(code_hash))
    }

    fn storage_ref(&self, address: Address, index: StorageKey) -> Result<StorageValue, Self::Error> {
        {
            let mut known = self.lock();
            known.used.slots.insert((address, index));
            if let Some(value) = known.slots.get(&(address, index)) {
                self.hit();
                return Ok(*value);
            }
        }
        self.runtime.block_on(self.fetch(&[], &[(address, index)]))?;
        Ok(self.lock().slots.get(&(address, index)).copied().unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        // Ancestors of a block are what they are: asking by number could only err across a reorganisation, which
        // makes this whole view obsolete.
        let block = self.runtime.block_on(self.node.block(BlockNumberOrTag::Number(number)))?;
        block.map(|block| block.header.hash).ok_or(StateError::BlockHash(number))
    }
}

fn account_info(account: Address, balance: &Bytes, nonce: &Bytes, code: &Bytes) -> Result<AccountInfo, NodeError> {
    let unreadable = |reason: String| NodeError::Unreadable { method: "eth_get*", reason };
    let bytecode =
        Bytecode::new_raw_checked(code.clone()).map_err(|error| unreadable(format!("code of {account}: {error}")))?;
    let nonce = quantity(nonce)?;
    Ok(AccountInfo {
        balance: quantity(balance)?,
        nonce: nonce.try_into().map_err(|_| unreadable(format!("nonce of {account}: {nonce}")))?,
        code_hash: if code.is_empty() { KECCAK_EMPTY } else { keccak256(code) },
        code: Some(bytecode),
        ..AccountInfo::default()
    })
}

fn quantity(answer: &Bytes) -> Result<U256, NodeError> {
    U256::try_from_be_slice(answer).ok_or_else(|| NodeError::Unreadable {
        method: "eth_get*",
        reason: format!("{} bytes where a word was due", answer.len()),
    })
}
