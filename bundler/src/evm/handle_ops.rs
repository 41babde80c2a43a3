//! One run of an EntryPoint's `handleOps` over pinned state.

use alloy::{
    eips::eip7702::SignedAuthorization,
    primitives::{Address, Bytes, Log, U256},
    rpc::types::state::StateOverride,
    sol_types::SolEvent,
};
use erc4337::{EntryPointVersion, UserOperation, abi::entry_point_v08, pack};
use revm::{
    Context, InspectEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, HaltReason},
    },
    database::CacheDB,
    primitives::{TxKind, hardfork::SpecId},
};

use super::{BlockPin, StateError, StateView, Trace, recorder::Recorder};

/// How far to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// Until validation has ended: nothing a call may burn is paid for.
    Validation,
    /// To the end.
    End,
}

/// A run to make.
#[derive(Clone, Debug)]
pub struct HandleOps<'a> {
    /// The EntryPoint's rules.
    pub version: EntryPointVersion,
    /// Its address.
    pub entry_point: Address,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The bundle.
    pub operations: &'a [&'a UserOperation],
    /// Who sends the transaction and gets the fees: an account without code.
    pub bundler: Address,
    /// Gas of the transaction.
    pub gas_limit: u64,
    /// How far to run.
    pub stop_at: StopAt,
    /// Whether "signature failed" counts as valid, for estimation with dummy signatures.
    pub trust_signatures: bool,
    /// Account state to pretend (`eth_call`'s state override set).
    pub overrides: &'a StateOverride,
    /// Seconds since 1970.
    pub now: u64,
}

/// How the transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Through, or stopped where asked; with its logs.
    Completed(Vec<Log>),
    /// The EntryPoint reverted with this data.
    Reverted(Bytes),
    /// The EVM halted it.
    Halted(HaltReason),
}

/// What a run showed.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub ending: Ending,
    /// Gas of the whole transaction, refunds taken off.
    pub gas_used: u64,
    /// Frame by frame.
    pub trace: Trace,
}

/// There is no result to speak of.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// State could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The EVM refused the transaction itself.
    #[error("the EVM refused the run: {0}")]
    Evm(String),
}

impl HandleOps<'_> {
    /// Runs it. Blocks while state is fetched: call on a blocking thread.
    ///
    /// # Errors
    /// If state cannot be read. A bundle that fails is no error but an [`Ending`].
    pub fn run(&self, view: &StateView, block: &BlockPin) -> Result<Run, SimulationError> {
        let mut db = CacheDB::new(view);
        apply(self.overrides, &mut db)?;
        for op in self.operations {
            if let Some(auth) = &op.eip7702_auth {
                delegate(&mut db, op.sender, auth, self.trust_signatures)?;
            }
        }

        let tx = TxEnv::builder()
            .caller(self.bundler)
            .kind(TxKind::Call(self.entry_point))
            .data(pack::handle_ops(self.version, self.operations.iter().copied(), self.bundler))
            .gas_limit(self.gas_limit)
            .gas_price(block.next_base_fee)
            .chain_id(Some(self.chain_id))
            .build()
            .map_err(|error| SimulationError::Evm(format!("{error:?}")))?;

        let mut evm = Context::mainnet()
            .with_db(db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.chain_id = self.chain_id;
                cfg.disable_nonce_check = true;
                cfg.disable_balance_check = true;
                cfg.disable_block_gas_limit = true;
                cfg.disable_eip3607 = true;
                // Ample runs of the estimator pass the chain's cap; what is sent never does.
                cfg.tx_gas_limit_cap = Some(u64::MAX);
            })
            .with_block(block.next_env(self.now))
            .build_mainnet_with_inspector(self.recorder());

        let result = evm.inspect_one_tx(tx).map_err(|error| match error {
            EVMError::Database(error) => SimulationError::State(error),
            other => SimulationError::Evm(other.to_string()),
        })?;
        let gas_used = result.tx_gas_used();
        let ending = match result {
            ExecutionResult::Success { logs, .. } => Ending::Completed(logs),
            ExecutionResult::Revert { output, .. } => Ending::Reverted(output),
            ExecutionResult::Halt { reason, .. } => Ending::Halted(reason),
        };
        Ok(Run { ending, gas_used, trace: evm.inspector.into_trace() })
    }

    fn recorder(&self) -> Recorder {
        let topic = entry_point_v08::BeforeExecution::SIGNATURE_HASH;
        let recorder =
            Recorder::new(self.entry_point, U256::from_be_bytes(topic.0), self.stop_at == StopAt::Validation);
        if !self.trust_signatures {
            return recorder;
        }
        let selectors = self.version.selectors();
        // The word of the verdict: `(validationData)` of the account, `(context, validationData)` of the paymaster.
        recorder.trust(vec![(selectors.validate_user_op, 0), (selectors.validate_paymaster_user_op, 1)])
    }
}

fn apply(overrides: &StateOverride, db: &mut CacheDB<&StateView>) -> Result<(), StateError> {
    for (address, pretend) in overrides {
        let mut info = db.load_account(*address)?.info.clone();
        info.balance = pretend.balance.unwrap_or(info.balance);
        info.nonce = pretend.nonce.unwrap_or(info.nonce);
        if let Some(code) = &pretend.code {
            let bytecode = Bytecode::new_raw_checked(code.clone()).map_err(|_| StateError::MalformedCode(*address))?;
            info.code_hash = bytecode.hash_slow();
            info.code = Some(bytecode);
        }
        db.insert_account_info(*address, info);
        if let Some(state) = &pretend.state {
            let words = state.iter().map(|(slot, value)| ((*slot).into(), (*value).into()));
            db.replace_account_storage(*address, words.collect())?;
        }
        for (slot, value) in pretend.state_diff.iter().flatten() {
            db.insert_account_storage(*address, (*slot).into(), (*value).into())?;
        }
    }
    Ok(())
}

/// What the authorization in an operation will have done by the time the operation runs (EIP-7702).
///
/// As on chain it does nothing unless its nonce is the account's and the account is no contract; in estimation, where
/// it may be a dummy, it always counts.
fn delegate(
    db: &mut CacheDB<&StateView>,
    account: Address,
    auth: &SignedAuthorization,
    always: bool,
) -> Result<(), StateError> {
    let mut info = db.load_account(account)?.info.clone();
    let is_contract = info.code.as_ref().is_some_and(|code| !code.is_empty() && !code.is_eip7702());
    if !always && (info.nonce != auth.nonce || is_contract) {
        return Ok(());
    }
    let bytecode = Bytecode::new_eip7702(auth.address);
    info.code_hash = bytecode.hash_slow();
    info.code = Some(bytecode);
    info.nonce = info.nonce.saturating_add(1);
    db.insert_account_info(account, info);
    Ok(())
}
