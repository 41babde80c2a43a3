//! The chain's EVM: revm with the hardfork of the preset, and nothing of the bundler's.

use std::sync::LazyLock;

use alloy::{
    primitives::{Address, Bytes, TxKind, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{ChainPreset, Hardfork};
use revm::{
    Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{BlockEnv, TxEnv, result::ExecutionResult},
    context_interface::block::BlobExcessGasAndPrice,
    database::CacheDB,
    handler::EthPrecompiles,
    precompile::{Precompiles, secp256r1::P256VERIFY},
    primitives::hardfork::SpecId,
};

use super::state::State;

static PRAGUE_WITH_P256: LazyLock<Precompiles> = LazyLock::new(|| {
    let mut precompiles = Precompiles::prague().clone();
    precompiles.extend([P256VERIFY]);
    precompiles
});

/// Where something runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The chain's rules.
    pub(super) preset: &'a ChainPreset,
    /// Of the block.
    pub(super) number: u64,
    /// Seconds since 1970.
    pub(super) timestamp: u64,
    /// Wei per gas.
    pub(super) base_fee: u64,
    /// Gas of the block.
    pub(super) gas_limit: u64,
    /// Who gets the fees.
    pub(super) beneficiary: Address,
}

fn spec(preset: &ChainPreset) -> SpecId {
    match preset.hardfork {
        Hardfork::Prague => SpecId::PRAGUE,
        Hardfork::Osaka => SpecId::OSAKA,
    }
}

fn precompiles(preset: &ChainPreset) -> EthPrecompiles {
    let precompiles = match (preset.hardfork, preset.p256) {
        (Hardfork::Prague, true) => &PRAGUE_WITH_P256,
        (Hardfork::Prague, false) => Precompiles::prague(),
        (Hardfork::Osaka, _) => Precompiles::osaka(),
    };
    EthPrecompiles { precompiles, spec: spec(preset) }
}

impl Place<'_> {
    fn block(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            difficulty: U256::ZERO,
            prevrandao: Some(super::RANDAO),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        }
    }

    /// Executes a transaction as a block would; what it changes stays in the cache.
    ///
    /// # Errors
    /// Why it cannot be in this block.
    pub(super) fn transact(&self, db: &mut CacheDB<&State>, tx: TxEnv) -> Result<ExecutionResult, String> {
        let mut evm = Context::mainnet()
            .with_db(db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(spec(self.preset));
                cfg.chain_id = self.preset.chain_id;
            })
            .with_block(self.block())
            .build_mainnet()
            .with_precompiles(precompiles(self.preset));
        evm.transact_commit(tx).map_err(|error| error.to_string())
    }

    /// Executes a call as `eth_call` does: nobody pays, and nothing stays.
    ///
    /// # Errors
    /// Why it cannot be executed.
    pub(super) fn call(&self, db: &mut CacheDB<&State>, call: &Call) -> Result<ExecutionResult, String> {
        let tx = TxEnv::builder()
            .caller(call.from)
            .kind(call.to.map_or(TxKind::Create, TxKind::Call))
            .data(call.data.clone())
            .value(call.value)
            .gas_limit(call.gas)
            .gas_price(0)
            .chain_id(Some(self.preset.chain_id))
            .build()
            .map_err(|error| format!("{error:?}"))?;
        let mut evm = Context::mainnet()
            .with_db(db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(spec(self.preset));
                cfg.chain_id = self.preset.chain_id;
                cfg.disable_nonce_check = true;
                cfg.disable_balance_check = true;
                cfg.disable_base_fee = true;
                cfg.disable_eip3607 = true;
                cfg.disable_block_gas_limit = true;
                cfg.tx_gas_limit_cap = Some(u64::MAX);
            })
            .with_block(self.block())
            .build_mainnet()
            .with_precompiles(precompiles(self.preset));
        if call.commit {
            return evm.transact_commit(tx).map_err(|error| error.to_string());
        }
        evm.transact_one(tx).map_err(|error| error.to_string())
    }
}

/// What `eth_call` is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) from: Address,
    /// None: init code.
    pub(super) to: Option<Address>,
    pub(super) data: Bytes,
    pub(super) value: U256,
    pub(super) gas: u64,
    /// Whether the cache keeps what it changes.
    pub(super) commit: bool,
}

/// Pretends this.
pub(super) fn pretend(db: &mut CacheDB<&State>, overrides: &StateOverride) {
    for (address, over) in overrides {
        let before = db.db.account(*address);
        let mut info = before.info.clone();
        info.balance = over.balance.unwrap_or(info.balance);
        info.nonce = over.nonce.unwrap_or(info.nonce);
        if let Some(code) = &over.code {
            let code = Bytecode::new_raw(code.clone());
            (info.code_hash, info.code) = (code.hash_slow(), Some(code));
        }
        db.insert_account_info(*address, info);
        for (slot, value) in over.state_diff.iter().flatten() {
            let Ok(()) = db.insert_account_storage(*address, (*slot).into(), (*value).into());
        }
    }
}
