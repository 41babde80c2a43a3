//! One run of an EntryPoint's `handleOps` over pinned state.

use alloy::{
    eips::eip7702::SignedAuthorization,
    primitives::{Address, Bytes, Log, U256},
    rpc::types::state::{AccountOverride, StateOverride},
    sol_types::SolEvent,
};
use erc4337::{ChainPreset, EntryPointVersion, UserOperation, abi::entry_point_v08, pack};
use revm::{
    Context, ExecuteEvm, InspectEvm, MainBuilder, MainContext,
    bytecode::Bytecode,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, HaltReason},
    },
    database::CacheDB,
    primitives::TxKind,
    state::EvmState,
};

use super::{
    BlockPin, Moment, StateView, Trace, Wanted,
    recorder::{Recorder, Signatures, Watch},
    rules_of_chain::{precompiles, spec},
    speculation::Speculation,
};
use crate::{node::NodeError, world};

/// Times a run is made again because it met unknown state, each time after one more round trip.
const ROUNDS: usize = 64;
/// Values that the last of them waits for within, one by one.
const ONE_BY_ONE: usize = 32;

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
    /// The chain.
    pub chain: &'a ChainPreset,
    /// The bundle.
    pub operations: &'a [&'a UserOperation],
    /// Who sends the transaction and gets the fees: an account without code.
    pub bundler: Address,
    /// Gas of the transaction.
    pub gas_limit: u64,
    /// Wei per gas that the transaction pays above the base fee.
    pub priority_fee: u128,
    /// How far to run.
    pub stop_at: StopAt,
    /// What is done about signatures: estimates are made with dummies.
    pub signatures: Signatures,
    /// Account state to pretend (`eth_call`'s state override set).
    pub overrides: &'a StateOverride,
    /// The block that it runs in.
    pub at: Moment,
    /// What it may cost.
    pub budget: Budget,
}

/// What one run may cost at most, so that none can starve the others. In units that are the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Steps of all attempts together, as [`Trace::steps`] counts them: a run is made again for each trip to the node.
    pub steps: u64,
    /// Values fetched from the node.
    pub fetches: usize,
    /// Steps after which it is not begun anew for a value any more: it waits for each, a few times.
    pub anew: u64,
}

impl Budget {
    /// For what is executed whole: a bundle, an estimate.
    pub const EXECUTION: Self = Self { steps: 100_000_000, fetches: 4_000, anew: 8_000_000 };
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
    /// The same with refunds, and whatever the floor for its calldata is (EIP-7623).
    pub gas_spent: u64,
    /// The floor for its calldata.
    pub gas_floor: u64,
    /// Frame by frame.
    pub trace: Trace,
    /// What it read.
    pub reads: Wanted,
    /// Round trips made for it.
    pub trips: usize,
    /// Gas of all attempts at it.
    pub simulated: u64,
}

/// A run that came to no end.
#[derive(Debug)]
pub struct Unfinished {
    /// Why.
    pub error: SimulationError,
    /// Places in the bundle of the operations in whose execution it was to read what is not known, if that is why.
    pub readers: Vec<usize>,
    /// Gas of all attempts at it.
    pub simulated: u64,
}

impl From<SimulationError> for Unfinished {
    fn from(error: SimulationError) -> Self {
        Self { error, readers: Vec::new(), simulated: 0 }
    }
}

impl From<NodeError> for Unfinished {
    fn from(error: NodeError) -> Self {
        SimulationError::from(error).into()
    }
}

impl From<Unfinished> for SimulationError {
    fn from(unfinished: Unfinished) -> Self {
        unfinished.error
    }
}

/// There is no result to speak of.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// State could not be read.
    #[error("state could not be read: {0}")]
    Node(#[from] NodeError),
    /// It reads more than it may.
    #[error("more than {0} values of state would be read")]
    TooManyReads(usize),
    /// It takes more of the EVM than it may.
    #[error(
        "more than {0} steps would be made in the EVM, where a run begins anew with each value that it turns out to read"
    )]
    TooManySteps(u64),
    /// Its validation calls more than any does.
    #[error("validation makes more calls than any needs")]
    TooManyCalls,
    /// The code to pretend for an account is no code.
    #[error("stateOverride: code of {0} is malformed")]
    MalformedCode(Address),
    /// The EVM refused the transaction itself.
    #[error("the EVM refused the run: {0}")]
    Evm(String),
}

impl HandleOps<'_> {
    /// Runs it. Blocks while state is fetched: call on a blocking thread.
    ///
    /// # Errors
    /// If state cannot be read, or the budget is spent. A bundle that fails is no error but an [`Ending`].
    pub fn run(&self, view: &StateView, block: &BlockPin) -> Result<Run, SimulationError> {
        self.run_or_tell(view, block).map_err(|unfinished| unfinished.error)
    }

    /// The same, and if it comes to no end, what it took until then.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_or_tell(&self, view: &StateView, block: &BlockPin) -> Result<Run, Unfinished> {
        self.run_to_state(view, block).map(|(run, _)| run)
    }

    /// Runs it as if it was mined before what comes next; the run, and what it changes.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_and_keep(&self, view: &StateView, block: &BlockPin) -> Result<(Run, StateOverride), Unfinished> {
        let (run, state) = self.run_to_state(view, block)?;
        Ok((run, changes(&state, view, self.bundler)))
    }

    fn run_to_state(&self, view: &StateView, block: &BlockPin) -> Result<(Run, EvmState), Unfinished> {
        let too_many = || SimulationError::TooManyReads(self.budget.fetches);
        let (mut spent, mut simulated, mut fetched) = (0_u64, 0_u64, 0);
        let mut readers = Vec::new();
        for trips in 0..ROUNDS {
            let one_by_one = if spent > self.budget.anew { ONE_BY_ONE } else { 0 };
            let turn = world::turn();
            let (mut run, state, missing) = self.attempt(view, block, one_by_one)?;
            drop(turn);
            simulated = simulated.saturating_add(run.gas_used);
            if missing.is_empty() {
                (run.trips, run.simulated) = (trips, simulated);
                return Ok((run, state));
            }
            readers = run.trace.readers(self.entry_point, &missing);
            fetched += missing.len();
            if fetched > self.budget.fetches || one_by_one > 0 {
                return Err(Unfinished { error: too_many(), readers, simulated });
            }
            spent = spent.saturating_add(run.trace.steps);
            if spent > self.budget.steps {
                let error = SimulationError::TooManySteps(self.budget.steps);
                return Err(Unfinished { error, readers, simulated });
            }
            view.fetch_blocking(&missing)?;
        }
        Err(Unfinished { error: too_many(), readers, simulated })
    }

    /// One run, and what was not known of the state it read: of no use itself unless that is nothing.
    /// Of that, it waits for so many values one by one.
    fn attempt(
        &self,
        view: &StateView,
        block: &BlockPin,
        one_by_one: usize,
    ) -> Result<(Run, EvmState, Wanted), SimulationError> {
        let speculation = Speculation::new(view, self.operations.len(), one_by_one);
        let mut db = CacheDB::new(&speculation);
        apply(self.overrides, &mut db)?;
        for op in self.operations {
            if let Some(auth) = &op.eip7702_auth {
                delegate(&mut db, op.sender, auth, self.trusts());
            }
        }

        let tx = TxEnv::builder()
            .caller(self.bundler)
            .kind(TxKind::Call(self.entry_point))
            .data(pack::handle_ops(self.version, self.operations.iter().copied(), self.bundler))
            .gas_limit(self.gas_limit)
            .gas_price(block.next_base_fee.saturating_add(self.priority_fee))
            .chain_id(Some(self.chain.chain_id))
            .build()
            .map_err(|error| SimulationError::Evm(format!("{error:?}")))?;

        let mut evm = Context::mainnet()
            .with_db(db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(spec(self.chain));
                cfg.chain_id = self.chain.chain_id;
                cfg.disable_nonce_check = true;
                cfg.disable_balance_check = true;
                cfg.disable_block_gas_limit = true;
                cfg.disable_eip3607 = true;
                // Ample runs of the estimator pass the chain's cap; what is sent never does.
                cfg.tx_gas_limit_cap = Some(u64::MAX);
            })
            .with_block(block.env_at(self.at))
            .build_mainnet_with_inspector(self.recorder())
            .with_precompiles(precompiles(self.chain));

        let result = evm.inspect_one_tx(tx).map_err(|error| match error {
            EVMError::Database(never) => match never {},
            other => SimulationError::Evm(other.to_string()),
        })?;
        let state = evm.finalize();
        let trace = evm.inspector.into_trace().ok_or(SimulationError::TooManyCalls)?;
        drop(evm.ctx);
        let gas = *result.gas();
        let ending = match result {
            ExecutionResult::Success { logs, .. } => Ending::Completed(logs),
            ExecutionResult::Revert { output, .. } => Ending::Reverted(output),
            ExecutionResult::Halt { reason, .. } => Ending::Halted(reason),
        };
        let (reads, missing) = speculation.into_reads()?;
        let run = Run {
            ending,
            gas_used: gas.tx_gas_used(),
            gas_spent: gas.total_gas_spent(),
            gas_floor: gas.floor_gas(),
            trace,
            reads,
            trips: 0,
            simulated: 0,
        };
        Ok((run, state, missing))
    }

    fn trusts(&self) -> bool {
        self.signatures != Signatures::Checked
    }

    fn recorder(&self) -> Recorder {
        let selectors = self.version.selectors();
        Recorder::new(Watch {
            entry_point: self.entry_point,
            sender_creator: self.entry_point.create(1),
            selectors,
            before_execution: U256::from_be_bytes(entry_point_v08::BeforeExecution::SIGNATURE_HASH.0),
            stop_after_validation: self.stop_at == StopAt::Validation,
            // The word of the verdict: `(validationData)` of the account, `(context, validationData)` of the paymaster.
            signatures: self.signatures,
            trusted: if self.trusts() {
                vec![(selectors.validate_user_op, 0), (selectors.validate_paymaster_user_op, 1)]
            } else {
                Vec::new()
            },
            native: self.chain.native_contracts.clone(),
        })
    }
}

type Db<'a> = CacheDB<&'a Speculation<'a>>;

/// A read of the speculative database cannot fail.
fn certain<T>(result: Result<T, std::convert::Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn apply(overrides: &StateOverride, db: &mut Db<'_>) -> Result<(), SimulationError> {
    for (address, pretend) in overrides {
        let mut info = certain(db.load_account(*address)).info.clone();
        info.balance = pretend.balance.unwrap_or(info.balance);
        info.nonce = pretend.nonce.unwrap_or(info.nonce);
        if let Some(code) = &pretend.code {
            let bytecode =
                Bytecode::new_raw_checked(code.clone()).map_err(|_| SimulationError::MalformedCode(*address))?;
            info.code_hash = bytecode.hash_slow();
            info.code = Some(bytecode);
        }
        db.insert_account_info(*address, info);
        if let Some(state) = &pretend.state {
            let words = state.iter().map(|(slot, value)| ((*slot).into(), (*value).into()));
            certain(db.replace_account_storage(*address, words.collect()));
        }
        for (slot, value) in pretend.state_diff.iter().flatten() {
            certain(db.insert_account_storage(*address, (*slot).into(), (*value).into()));
        }
    }
    Ok(())
}

/// What a run leaves different from the view, but for its sender, who is the bundler whatever runs next.
fn changes(state: &EvmState, view: &StateView, bundler: Address) -> StateOverride {
    let touched = state.iter().filter(|(address, account)| account.is_touched() && **address != bundler);
    touched
        .map(|(address, account)| {
            let before = view.account(*address);
            let new_code = before.is_none_or(|before| before.code_hash != account.info.code_hash);
            let code = account.info.code.as_ref().filter(|_| new_code).map(Bytecode::original_bytes);
            let slots = account.storage.iter().filter(|(_, slot)| slot.is_changed());
            let state_diff = slots.map(|(slot, value)| ((*slot).into(), value.present_value.into())).collect();
            let pretend = AccountOverride {
                balance: Some(account.info.balance),
                nonce: Some(account.info.nonce),
                code,
                state_diff: Some(state_diff),
                ..AccountOverride::default()
            };
            (*address, pretend)
        })
        .collect()
}

/// Lays `over` on `under`; where both speak of one thing, `over` stands.
pub(crate) fn overlay(under: &mut StateOverride, over: StateOverride) {
    for (address, over) in over {
        let under = under.entry(address).or_default();
        under.balance = over.balance.or(under.balance);
        under.nonce = over.nonce.or(under.nonce);
        under.code = over.code.or(under.code.take());
        if over.state.is_some() {
            (under.state, under.state_diff) = (over.state, over.state_diff);
        } else if let Some(diff) = over.state_diff {
            under.state_diff.get_or_insert_default().extend(diff);
        }
    }
}

/// What the authorization in an operation will have done by the time the operation runs (EIP-7702).
///
/// As on chain it does nothing unless its nonce is the account's and the account is no contract; in estimation, where
/// it may be a dummy, its nonce does not matter.
fn delegate(db: &mut Db<'_>, account: Address, auth: &SignedAuthorization, any_nonce: bool) {
    let mut info = certain(db.load_account(account)).info.clone();
    let is_contract = info.code.as_ref().is_some_and(|code| !code.is_empty() && !code.is_eip7702());
    if is_contract || (!any_nonce && info.nonce != auth.nonce) {
        return;
    }
    let bytecode = Bytecode::new_eip7702(auth.address);
    info.code_hash = bytecode.hash_slow();
    info.code = Some(bytecode);
    info.nonce = info.nonce.saturating_add(1);
    db.insert_account_info(account, info);
}
