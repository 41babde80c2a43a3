//! A chain of its own for each case: the EntryPoint's real bytecode, and whatever is put beside it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use alloy::primitives::{Address, B256, Bytes, TxKind, U256, address, utils::parse_ether};
use erc4337::{ChainPreset, EntryPointVersion, storage::deposit_slots};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{BlockEnv, TxEnv, result::ExecutionResult},
    context_interface::block::BlobExcessGasAndPrice,
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::AccountInfo,
};
use serde_json::Value;

use crate::{
    Config, Head,
    builder::Bundle,
    evm::{BlockPin, Shared, StateView},
    fees::FeeSuggestion,
    l1_fee::L1Prices,
    node::NodeClient,
    submitter::Fees,
};

pub(super) const CHAIN: u64 = 31_337;
/// Of the key that is the hash of "bundler".
pub(super) const BUNDLER: Address = address!("0x95c6771491b0CF0f47Dc3AEbb0E785408E742fFC");
/// Time of the head.
pub(super) const NOW: u64 = 1_800_000_000;
/// Height of the head.
pub(super) const HEIGHT: u64 = 1_000;
/// Wei per gas.
pub(super) const BASE_FEE: u128 = 1_000_000_000;

/// The block that a transaction comes to be mined in, and what it pays there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mined {
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) coinbase: Address,
    pub(super) randao: B256,
    pub(super) base_fee: u128,
}

impl Mined {
    /// As it is foreseen.
    pub(super) const FORESEEN: Self = Self {
        number: HEIGHT + 1,
        timestamp: NOW + 1,
        coinbase: Address::ZERO,
        randao: B256::ZERO,
        base_fee: BASE_FEE,
    };
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) version: EntryPointVersion,
    db: CacheDB<EmptyDB>,
}

impl World {
    /// With nothing but the EntryPoint.
    pub(super) fn new(version: EntryPointVersion) -> Self {
        static MADE: OnceLock<BTreeMap<EntryPointVersion, World>> = OnceLock::new();
        let made = MADE.get_or_init(|| EntryPointVersion::ALL.map(|version| (version, Self::make(version))).into());
        made[&version].clone()
    }

    fn make(version: EntryPointVersion) -> Self {
        let package = format!("account-abstraction-{}", version.to_string().replace('.', ""));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules");
        let path = root.join(package).join("artifacts/EntryPoint.json");
        let artifact: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let init: Bytes = artifact["bytecode"].as_str().unwrap().parse().unwrap();
        let mut world = Self { version, db: CacheDB::default() };
        world.put(version.canonical_address(), init);
        world.put(BUNDLER, Bytes::new());
        let tx = TxEnv::builder()
            .caller(BUNDLER)
            .kind(TxKind::Call(version.canonical_address()))
            .gas_limit(16_000_000)
            .gas_price(BASE_FEE)
            .chain_id(Some(CHAIN))
            .build()
            .unwrap();
        let code = world.transact(tx, Mined::FORESEEN).unwrap().into_output().unwrap();
        world.put(version.canonical_address(), code);
        world
    }

    /// A contract or an account, with ten ether.
    pub(super) fn put(&mut self, at: Address, code: Bytes) {
        let code = Bytecode::new_raw(code);
        let (balance, code_hash) = (parse_ether("10").unwrap(), code.hash_slow());
        let nonce = self.db.cache.accounts.get(&at).map_or(1, |account| account.info.nonce.max(1));
        let info = AccountInfo { balance, nonce, code_hash, code: Some(code), ..AccountInfo::default() };
        self.db.insert_account_info(at, info);
    }

    /// Ten ether of deposit, and if it is staked ten ether for a month.
    pub(super) fn deposit(&mut self, of: Address, staked: bool) {
        let wei = parse_ether("10").unwrap();
        let delay = U256::from(30 * 86_400);
        let stake = if staked { U256::ONE | wei << 8 } else { U256::ZERO };
        let [first, second] = deposit_slots(of);
        let words = match self.version {
            EntryPointVersion::V0_6 => [wei | stake << 112, if staked { delay } else { U256::ZERO }],
            _ => [wei, stake | if staked { delay << 120 } else { U256::ZERO }],
        };
        for (slot, word) in [first, second].into_iter().zip(words) {
            let Ok(()) = self.db.insert_account_storage(self.version.canonical_address(), slot, word);
        }
    }

    /// This world as the bundler sees it.
    pub(super) fn head(&self, fees: FeeSuggestion, l1: Option<L1Prices>) -> Head {
        let block = BlockPin {
            hash: B256::repeat_byte(9),
            parent: B256::repeat_byte(8),
            number: HEIGHT,
            timestamp: NOW,
            millis: Some(0),
            seen: Duration::from_secs(NOW),
            gas_limit: 40_000_000,
            beneficiary: Address::ZERO,
            next_base_fee: fees.base_fee,
            prevrandao: B256::ZERO,
        };
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let view = StateView::new(node, block.hash, NOW * 1_000, Arc::<Shared>::default());
        let accounts = self.db.cache.accounts.iter();
        view.know_all(
            accounts.clone().map(|(address, account)| (*address, account.info.clone())),
            accounts
                .flat_map(|(address, account)| account.storage.iter().map(|(slot, value)| ((*address, *slot), *value))),
        );
        Head { block, time: NOW * 1_000, view: Arc::new(view), fees, l1 }
    }

    /// The bundler's settings for it.
    pub(super) fn config(&self) -> Config {
        let chain = ChainPreset { op_stack: true, block_time: Duration::from_secs(1), ..ChainPreset::local() };
        Config::new(chain)
    }

    /// Mines the transaction of a bundle with this much gas, as a block would, and on no better terms.
    pub(super) fn mine(&mut self, bundle: &Bundle, gas: u64, bid: Fees, mined: Mined) -> ExecutionResult {
        let data = Bytes::copy_from_slice(bundle.transaction(CHAIN, Some(1), bid, BUNDLER).input());
        let signed = bundle.operations.iter().filter_map(|admitted| admitted.op.eip7702_auth.clone());
        let tx = TxEnv::builder()
            .authorization_list_signed(signed.collect())
            .caller(BUNDLER)
            .kind(TxKind::Call(self.version.canonical_address()))
            .data(data)
            .gas_limit(gas)
            .gas_price(bid.max_fee)
            .gas_priority_fee(Some(bid.priority_fee))
            .nonce(self.db.cache.accounts[&BUNDLER].info.nonce)
            .chain_id(Some(CHAIN))
            .build()
            .unwrap();
        self.transact(tx, mined).unwrap()
    }

    pub(super) fn balance(&self, of: Address) -> U256 {
        self.db.cache.accounts[&of].info.balance
    }

    fn transact(&mut self, tx: TxEnv, mined: Mined) -> Result<ExecutionResult, String> {
        let nonce = self.db.cache.accounts[&BUNDLER].info.nonce;
        let block = BlockEnv {
            number: U256::from(mined.number),
            beneficiary: mined.coinbase,
            timestamp: U256::from(mined.timestamp),
            gas_limit: 40_000_000,
            basefee: mined.base_fee as u64,
            difficulty: U256::ZERO,
            prevrandao: Some(mined.randao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        };
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.chain_id = CHAIN;
                cfg.disable_eip3607 = true;
            })
            .with_block(block)
            .build_mainnet();
        evm.transact_commit(TxEnv { nonce, ..tx }).map_err(|error| error.to_string())
    }
}
