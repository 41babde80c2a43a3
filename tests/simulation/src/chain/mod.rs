//! A chain of our own: blocks at fixed times, a pool of transactions, reorganisations; spoken to as a node is.

mod crypto;
mod evm;
pub mod genesis;
mod log;
mod rpc;
mod rules;
mod state;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::{
    consensus::{
        Eip658Value, Header as ConsensusHeader, Receipt, ReceiptEnvelope, ReceiptWithBloom, SignableTransaction,
        Transaction as _, TxEip1559, TxEnvelope, transaction::SignerRecoverable,
    },
    eips::eip2718::Decodable2718,
    primitives::{Address, B256, Bloom, Bytes, TxKind, U256, b256, keccak256},
    rpc::types::{Header, Log, TransactionReceipt},
    signers::{SignerSync, local::PrivateKeySigner},
};
use erc4337::{ChainPreset, EntryPointVersion, HashContext, unpack};
use revm::{context::TxEnv, database::CacheDB};

use self::{evm::Place, state::State};
pub use self::{
    log::{Executed, Log as ExecutionLog},
    rules::Rules,
};
use crate::random::Random;

/// Number of the first block.
const FIRST: u64 = 1_000;
/// Wei per gas that the chain's nodes suggest.
pub const PRIORITY_FEE: u128 = 1_000_000;
/// Wei per gas of the first block.
pub const BASE_FEE: u64 = 10_000_000;
/// Of every block.
const RANDAO: B256 = b256!("00000000000000000000000000000000000000000000000000000000000a4d00");
const GAS_LIMIT: u64 = 60_000_000;
/// Gets the fees.
const BENEFICIARY: Address = Address::repeat_byte(0xbe);

/// A mined transaction.
#[derive(Clone, Debug)]
pub struct Mined {
    /// The transaction.
    pub tx: TxEnvelope,
    /// Who sent it.
    pub from: Address,
    /// What became of it.
    pub receipt: TransactionReceipt,
}

/// A block and the state after it.
#[derive(Debug)]
pub struct Block {
    /// As nodes tell it.
    pub header: Header,
    /// In their order.
    pub transactions: Vec<Mined>,
    state: State,
}

/// A transaction that waits.
#[derive(Clone, Debug)]
struct Waiting {
    hash: B256,
    tx: TxEnvelope,
    from: Address,
    /// Not before this block.
    from_block: u64,
}

/// A transaction that came to a node, and what it would execute.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// When, in milliseconds.
    pub at: u64,
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub from: Address,
    /// Its nonce.
    pub nonce: u64,
    /// The operations in it, by hash.
    pub operations: Vec<B256>,
    /// Whether the nonce had been used before it came, on whichever fork.
    pub used: bool,
    /// Nonces of each sender that have ever been used, on whichever fork.
    pub taken: BTreeMap<Address, u64>,
}

/// What may go wrong with inclusion, for so many of 1,000 transactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// They wait for some blocks though they pay.
    pub delayed: u64,
    /// They are forgotten by the pool.
    pub forgotten: u64,
}

/// The chain.
#[derive(Debug)]
pub struct Chain {
    /// Its facts.
    pub preset: ChainPreset,
    blocks: Vec<Arc<Block>>,
    forks: BTreeMap<B256, Arc<Block>>,
    pool: BTreeMap<(Address, u64), Waiting>,
    /// Wei for each transaction, and millionths of a wei for each gas.
    operator_fee: (u64, u32),
    base_fee: u64,
    /// What the base fee is led to.
    pub wanted_base_fee: u64,
    /// As it goes now.
    pub habits: Habits,
    /// Everything that was ever sent to it.
    pub arrived: Vec<Arrived>,
    /// Next nonce of each sender, the highest on any fork.
    taken: BTreeMap<Address, u64>,
    /// When blocks left the chain, in milliseconds, and the number of the first of them.
    pub reorganisations: Vec<(u64, u64)>,
    /// What was executed, and what of it has left the chain.
    pub log: ExecutionLog,
    /// What is done to the state with the next block, by nobody's transaction.
    pub changes: Vec<Change>,
    /// The same before the next block's transactions: what nobody could see before.
    pub surprises: Vec<Change>,
    /// Code that accounts have from the next block on.
    pub codes: Vec<(Address, Bytes)>,
    /// What its nodes do not take.
    pub rules: Rules,
    random: Random,
    salt: u64,
}

/// Something that befalls an account.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Its balance is this now.
    Balance(Address, U256),
    /// A slot of its is.
    Slot(Address, U256, U256),
}

/// What a world's chain is like.
#[derive(Clone, Debug)]
pub struct Nature {
    /// Its facts.
    pub preset: ChainPreset,
    /// Seconds since 1970 of the first block.
    pub timestamp: u64,
    /// Wei per gas of the first block.
    pub base_fee: u64,
    /// On chains that charge beside gas: wei for each transaction, and millionths of a wei for each gas.
    pub operator_fee: (u64, u32),
    /// What accounts start with.
    pub changes: Vec<Change>,
}

impl Change {
    fn apply(self, state: &mut State) {
        match self {
            Self::Balance(whose, wei) => state.change(whose, |account| account.info.balance = wei),
            Self::Slot(whose, slot, value) => state.set_slot(whose, slot, value),
        }
    }
}

impl Chain {
    /// From the genesis on.
    pub fn new(nature: Nature, seed: u64) -> Self {
        crypto::install();
        let Nature { preset, timestamp, base_fee, operator_fee, changes } = nature;
        let mut state = genesis::genesis().state.clone();
        changes.into_iter().for_each(|change| change.apply(&mut state));
        if preset.op_stack {
            genesis::charge(&mut state, operator_fee);
        }
        let mut this = Self {
            preset,
            operator_fee,
            blocks: Vec::new(),
            forks: BTreeMap::new(),
            pool: BTreeMap::new(),
            base_fee,
            wanted_base_fee: base_fee,
            habits: Habits::default(),
            arrived: Vec::new(),
            taken: BTreeMap::new(),
            reorganisations: Vec::new(),
            log: ExecutionLog::default(),
            changes: Vec::new(),
            surprises: Vec::new(),
            codes: Vec::new(),
            rules: Rules::default(),
            random: Random::new(seed, "chain"),
            salt: 0,
        };
        this.push(state, Vec::new(), (timestamp, 0), 0, Bloom::ZERO);
        this
    }

    /// The newest block.
    pub fn head(&self) -> &Arc<Block> {
        self.blocks.last().unwrap_or_else(|| unreachable!("there is always the first"))
    }

    /// Number of the newest block.
    pub fn height(&self) -> u64 {
        self.head().header.number
    }

    /// The canonical blocks, oldest first.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    fn number(&self, number: u64) -> Option<&Arc<Block>> {
        self.blocks.get(usize::try_from(number.checked_sub(FIRST)?).ok()?)
    }

    fn is_canonical(&self, block: &Block) -> bool {
        self.number(block.header.number).is_some_and(|other| other.header.hash == block.header.hash)
    }

    fn push(
        &mut self,
        state: State,
        transactions: Vec<Mined>,
        (timestamp, at): (u64, u64),
        gas_used: u64,
        logs_bloom: Bloom,
    ) {
        let number = FIRST + self.blocks.len() as u64;
        let hashes: Vec<u8> = transactions.iter().flat_map(|it| it.receipt.transaction_hash.0).collect();
        let header = Header::new(ConsensusHeader {
            parent_hash: self.blocks.last().map(|block| block.header.hash).unwrap_or_default(),
            beneficiary: BENEFICIARY,
            transactions_root: keccak256(hashes),
            logs_bloom,
            number,
            gas_limit: GAS_LIMIT,
            gas_used,
            timestamp,
            extra_data: Bytes::copy_from_slice(&self.salt.to_be_bytes()),
            mix_hash: RANDAO,
            base_fee_per_gas: Some(self.base_fee),
            ..ConsensusHeader::default()
        });
        let mut transactions = transactions;
        for mined in &mut transactions {
            mined.receipt.block_hash = Some(header.hash);
            if let ReceiptEnvelope::Eip1559(receipt) | ReceiptEnvelope::Eip7702(receipt) = &mut mined.receipt.inner {
                receipt.receipt.logs.iter_mut().for_each(|log| log.block_hash = Some(header.hash));
            }
            let next = self.taken.entry(mined.from).or_default();
            *next = (*next).max(mined.tx.nonce() + 1);
        }
        self.log.mined(at, &header, &transactions);
        let block = Arc::new(Block { header, transactions, state });
        self.forks.insert(block.header.hash, Arc::clone(&block));
        self.blocks.push(block);
    }

    /// The next block, at this time in milliseconds of the world and in seconds.
    pub fn mine(&mut self, at: u64, timestamp: u64) {
        self.mine_with(at, timestamp, 0);
    }

    /// The same; so many of 1,000 transactions are left out for now.
    fn mine_with(&mut self, at: u64, timestamp: u64, left_out: u64) {
        // At most an eighth a block, as the protocol has it.
        let step = (self.base_fee / 8).max(1);
        self.base_fee = self.wanted_base_fee.clamp(self.base_fee - step, self.base_fee + step);
        let parent = Arc::clone(self.head());
        let number = parent.header.number + 1;
        let preset = self.preset.clone();
        let place = Place {
            preset: &preset,
            number,
            timestamp: timestamp.max(parent.header.timestamp),
            base_fee: self.base_fee,
            gas_limit: GAS_LIMIT,
            beneficiary: BENEFICIARY,
        };
        let mut before = parent.state.clone();
        std::mem::take(&mut self.surprises).into_iter().for_each(|change| change.apply(&mut before));
        let mut db = CacheDB::new(&before);
        let (mut transactions, mut gas, mut index) = (Vec::<Mined>::new(), 0_u64, 0_u64);
        let senders: BTreeSet<Address> = self.pool.keys().map(|(from, _)| *from).collect();
        for from in senders {
            let mut nonce = parent.state.account(from).info.nonce;
            self.pool.retain(|(other, used), _| *other != from || *used >= nonce);
            while let Some(waiting) = self.pool.get(&(from, nonce)).cloned() {
                let pays = waiting.tx.max_fee_per_gas() >= u128::from(self.base_fee);
                if !pays || waiting.from_block > number || self.random.chance(left_out) {
                    break;
                }
                let Ok(result) = place.transact(&mut db, tx_env(&waiting)) else {
                    self.pool.remove(&(from, nonce));
                    break;
                };
                gas += result.tx_gas_used();
                if preset.op_stack {
                    self.charge(&mut db, from, result.tx_gas_used());
                }
                let receipt = receipt(&waiting, &result, &place, index, gas, logs_before(&transactions));
                transactions.push(Mined { tx: waiting.tx, from, receipt });
                index += 1;
                self.pool.remove(&(from, nonce));
                nonce += 1;
            }
        }
        let mut state = before.after(db);
        std::mem::take(&mut self.codes).into_iter().for_each(|(whose, code)| state.set_code(whose, code));
        std::mem::take(&mut self.changes).into_iter().for_each(|change| change.apply(&mut state));
        let bloom = transactions.iter().flat_map(|it| it.receipt.inner.logs()).fold(Bloom::ZERO, |mut bloom, log| {
            bloom.accrue_log(&log.inner);
            bloom
        });
        let timestamp = place.timestamp;
        self.push(state, transactions, (timestamp, at), gas, bloom);
    }

    /// So many blocks leave the chain for as many others and one more; so many of 1,000 of their transactions do not come
    /// back to the pool.
    pub fn reorganise(&mut self, depth: u64, lost: u64, at: u64, timestamp: u64) {
        let depth = depth.min(self.blocks.len() as u64 - 1);
        let kept = self.blocks.len() - usize::try_from(depth).unwrap_or(0);
        let gone = self.blocks.split_off(kept);
        self.reorganisations.push((at, FIRST + kept as u64));
        self.salt += 1;
        for block in &gone {
            self.log.left(at, &block.header, &block.transactions);
        }
        for mined in gone.iter().flat_map(|block| &block.transactions) {
            if !self.random.chance(lost) {
                let (from, nonce) = (mined.from, mined.tx.nonce());
                let hash = mined.receipt.transaction_hash;
                let waiting = Waiting { hash, tx: mined.tx.clone(), from, from_block: 0 };
                self.pool.entry((from, nonce)).or_insert(waiting);
            }
        }
        let parent = self.head().header.base_fee_per_gas.unwrap_or(BASE_FEE);
        self.base_fee = parent;
        let left_out = if self.random.chance(300) { 1_000 } else { self.random.below(600) };
        for old in &gone {
            self.mine_with(at, old.header.timestamp, left_out);
        }
        self.mine_with(at, timestamp, left_out);
    }

    /// Wei that a user is to reckon with for what a bundle is charged beside its gas.
    pub fn beside_gas(&self) -> u128 {
        let (constant, scalar) = self.operator_fee;
        if self.preset.op_stack { u128::from(constant) + u128::from(scalar) * 2 } else { 0 }
    }

    /// Wei that a transaction of so much gas is charged beside that.
    pub fn charged(&self, gas: u64) -> u128 {
        let (constant, scalar) = self.operator_fee;
        let fee = u128::from(constant) + u128::from(gas) * u128::from(scalar) / 1_000_000;
        if self.preset.op_stack { fee } else { 0 }
    }

    /// What is charged for a transaction beside its gas.
    fn charge(&self, db: &mut CacheDB<&State>, from: Address, gas: u64) {
        let (constant, scalar) = self.operator_fee;
        let fee = U256::from(constant) + U256::from(gas) * U256::from(scalar) / U256::from(1_000_000);
        let Ok(account) = db.load_account(from);
        account.info.balance = account.info.balance.saturating_sub(fee);
    }

    /// Takes a signed transaction, as a node does.
    ///
    /// # Errors
    /// Code and message.
    pub fn submit(&mut self, raw: &Bytes, at: u64) -> Result<B256, (i32, String)> {
        let refused = |message: &str| Err((-32_000, message.to_owned()));
        let Ok(tx) = TxEnvelope::decode_2718(&mut raw.as_ref()) else { return refused("undecodable transaction") };
        let Ok(from) = tx.recover_signer() else { return refused("invalid signature") };
        let (hash, nonce) = (*tx.tx_hash(), tx.nonce());
        let used = self.taken.get(&from).is_some_and(|next| *next > nonce);
        let operations = self.operations(&tx);
        let taken = self.taken.clone();
        self.arrived.push(Arrived { at, hash, from, nonce, operations, used, taken });
        if let Some(answer) = self.rules.judge(raw, &tx) {
            return answer;
        }
        let account = self.head().state.account(from);
        if nonce < account.info.nonce {
            return refused("nonce too low");
        }
        if self.random.chance(self.habits.forgotten) {
            // It says that it has it, and has not.
            return Ok(hash);
        }
        if let Some(standing) = self.pool.get(&(from, nonce)) {
            if standing.hash == hash {
                return refused("already known");
            }
            let dearer = |new: u128, old: u128| new >= old + old / 10;
            let new_tip = tx.max_priority_fee_per_gas().unwrap_or_default();
            let old_tip = standing.tx.max_priority_fee_per_gas().unwrap_or_default();
            if !dearer(tx.max_fee_per_gas(), standing.tx.max_fee_per_gas()) || !dearer(new_tip, old_tip) {
                return refused("replacement transaction underpriced");
            }
        }
        if account.info.balance < U256::from(tx.max_fee_per_gas()) * U256::from(tx.gas_limit()) + tx.value() {
            return refused("insufficient funds for gas * price + value");
        }
        let delay = if self.random.chance(self.habits.delayed) { self.random.between(1, 20) } else { 0 };
        let from_block = self.height() + 1 + delay;
        self.pool.insert((from, nonce), Waiting { hash, tx, from, from_block });
        Ok(hash)
    }

    /// Somebody who is not the bundler sends this transaction.
    pub fn send_as(&mut self, key: &PrivateKeySigner, to: Address, input: Bytes) {
        let from = key.address();
        let nonce = self.pool.keys().filter(|(other, _)| *other == from).map(|(_, nonce)| nonce + 1).max();
        let tx = TxEip1559 {
            chain_id: self.preset.chain_id,
            nonce: nonce.unwrap_or_else(|| self.nonce(from)),
            gas_limit: 2_000_000,
            max_fee_per_gas: u128::from(self.base_fee) * 30,
            max_priority_fee_per_gas: PRIORITY_FEE * 2,
            to: TxKind::Call(to),
            input,
            ..TxEip1559::default()
        };
        let Ok(signature) = key.sign_hash_sync(&tx.signature_hash()) else { return };
        let tx = TxEnvelope::from(tx.into_signed(signature));
        let waiting = Waiting { hash: *tx.tx_hash(), from, from_block: 0, tx };
        self.pool.insert((from, waiting.tx.nonce()), waiting);
    }

    /// Hashes of the operations that a transaction would execute.
    fn operations(&self, tx: &TxEnvelope) -> Vec<B256> {
        let Some(entry_point) = tx.to() else { return Vec::new() };
        let version = EntryPointVersion::ALL.into_iter().find(|version| version.canonical_address() == entry_point);
        let Some(version) = version else { return Vec::new() };
        let context = HashContext { version, entry_point, chain_id: self.preset.chain_id };
        let operations = unpack::handle_ops(version, tx.input()).unwrap_or_default();
        operations.iter().filter_map(|op| op.hash(&context, None).ok()).collect()
    }

    /// The sender's next nonce by the newest block.
    pub fn nonce(&self, account: Address) -> u64 {
        self.head().state.account(account).info.nonce
    }

    /// Wei of an account by the newest block.
    pub fn balance(&self, account: Address) -> U256 {
        self.head().state.account(account).info.balance
    }

    /// A slot by the newest block.
    pub fn slot(&self, account: Address, slot: U256) -> U256 {
        self.head().state.account(account).storage.get(&slot).copied().unwrap_or_default()
    }
}

fn logs_before(transactions: &[Mined]) -> u64 {
    transactions.iter().map(|mined| mined.receipt.inner.logs().len() as u64).sum()
}

fn tx_env(waiting: &Waiting) -> TxEnv {
    let tx = &waiting.tx;
    TxEnv::builder()
        .caller(waiting.from)
        .kind(tx.kind())
        .data(tx.input().clone())
        .value(tx.value())
        .nonce(tx.nonce())
        .gas_limit(tx.gas_limit())
        .gas_price(tx.max_fee_per_gas())
        .gas_priority_fee(tx.max_priority_fee_per_gas())
        .chain_id(tx.chain_id())
        .build_fill()
}

fn receipt(
    waiting: &Waiting,
    result: &revm::context::result::ExecutionResult,
    place: &Place<'_>,
    index: u64,
    cumulative_gas_used: u64,
    first_log: u64,
) -> TransactionReceipt {
    let hash = waiting.hash;
    let log = |(position, log): (usize, &alloy::primitives::Log)| Log {
        inner: log.clone(),
        block_hash: None,
        block_number: Some(place.number),
        block_timestamp: Some(place.timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(index),
        log_index: Some(first_log + position as u64),
        removed: false,
    };
    let logs: Vec<Log> = result.logs().iter().enumerate().map(log).collect();
    let bloom = result.logs().iter().fold(Bloom::ZERO, |mut bloom, log| {
        bloom.accrue_log(log);
        bloom
    });
    let status = Eip658Value::Eip658(result.is_success());
    let with_bloom = ReceiptWithBloom { receipt: Receipt { status, cumulative_gas_used, logs }, logs_bloom: bloom };
    let tip = waiting.tx.max_priority_fee_per_gas().unwrap_or_default();
    TransactionReceipt {
        inner: if waiting.tx.is_eip7702() {
            ReceiptEnvelope::Eip7702(with_bloom)
        } else {
            ReceiptEnvelope::Eip1559(with_bloom)
        },
        transaction_hash: hash,
        transaction_index: Some(index),
        block_hash: None,
        block_number: Some(place.number),
        gas_used: result.tx_gas_used(),
        effective_gas_price: waiting.tx.max_fee_per_gas().min(u128::from(place.base_fee) + tip),
        blob_gas_used: None,
        blob_gas_price: None,
        from: waiting.from,
        to: waiting.tx.to(),
        contract_address: None,
    }
}
