//! One validation, run and judged, whatever comes of it.

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, U256},
    rpc::types::state::StateOverride,
};
use erc4337::{
    EntryPointVersion, UserOperation,
    storage::{self, DepositInfo},
};

use super::{Conduct, Evidence, Grounds, Validated, blocking, counted, in_line, later, state_after, verdict};
use crate::{
    Rejection,
    bounds::{self, Metered},
    evm::{Budget, HandleOps, NextBlock, Run, Signatures, SimulationError, StateView, StopAt, Wanted},
    gas,
    rules::{self, Minimum, Parties, Party, Standing, Violation},
    work,
};

/// What a validation did and whether it may.
#[derive(Debug)]
pub(crate) struct Examination {
    pub(crate) run: Run,
    /// What the EntryPoint says.
    pub(crate) verdict: Result<Validated, Rejection>,
    pub(crate) parties: Parties,
    /// What ERC-7562 says, in the order of the deeds; of native code alone if the EntryPoint says no.
    pub(crate) violations: Vec<Violation>,
    /// Code of all accounts that were loaded.
    pub(crate) code_hashes: Vec<(Address, B256)>,
    /// Wei.
    pub(crate) paymaster_deposit: U256,
    /// Bytes of the paymaster's context.
    pub(crate) context: usize,
    /// Operations that go before it.
    pub(crate) ahead: u64,
    pub(crate) conduct: Conduct,
}

impl Examination {
    /// What account and paymaster said, and what the mempool keeps of it, if nothing stands against the operation.
    ///
    /// # Errors
    /// What the EntryPoint says, or else the first rule that was broken.
    pub(crate) fn accept(self, entry_point: Address, on: Grounds<'_>) -> Result<(Validated, Evidence), Rejection> {
        if let Some(first) = self.violations.first() {
            return Err(Rejection::Rule(Box::new(first.clone())));
        }
        let evidence = self.evidence(entry_point, on);
        Ok((self.verdict?, evidence))
    }

    /// The hash of this account's code, if the validation depends on it.
    pub(crate) fn code_of(&self, account: Address) -> Option<B256> {
        super::code_of(&self.code_hashes, account)
    }

    /// The same, with limits that leave too little room counting against it. That is asked once: what was taken is not
    /// dropped because fees have risen since.
    pub(crate) fn with_room(mut self, op: &UserOperation, version: EntryPointVersion, on: Grounds<'_>) -> Self {
        let metered = Metered::of(&self.run.trace, [op], version).and_then(|metered| metered.first().copied());
        self.verdict = self.verdict.and_then(|validated| {
            let metered = metered.ok_or(Rejection::Internal("the EntryPoint's gas readings were not seen"))?;
            let price = op.effective_gas_price(on.head.fees.base_fee);
            if self.context > 0 {
                let asked = gas::pre_verification_gas(op, version, on.head);
                let asked = asked.saturating_add(bounds::unmetered_context(version, self.context));
                bounds::at_least("preVerificationGas", op.pre_verification_gas, asked)?;
            }
            metered.check(op, version, self.context, price)?;
            Ok(validated)
        });
        self
    }

    /// What the mempool keeps of it.
    pub(crate) fn evidence(&self, entry_point: Address, on: Grounds<'_>) -> Evidence {
        let mut reads = self.run.reads.clone();
        reads.slots.retain(|(account, _)| *account != entry_point);
        Evidence {
            block: on.head.block.hash,
            height: on.head.block.number,
            reads,
            associated: rules::associated_contracts(&self.run.trace, &self.parties),
            code_hashes: self.code_hashes.clone(),
            parties: self.parties,
            paymaster_deposit: self.paymaster_deposit,
            context: self.context,
            ahead: self.ahead,
            conduct: self.conduct,
        }
    }
}

/// A run, what the EntryPoint says, and which contracts are there only because of operations that go before.
type Judged = (Run, Result<Validated, Rejection>, Vec<Address>);

/// Where deployed proxies keep the address of their code (ERC-1967).
const IMPLEMENTATION: U256 = U256::from_be_bytes(
    alloy::primitives::b256!("0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc").0,
);

/// What validation is sure to read, or to judge by, so that one trip fetches it all.
pub(crate) fn first_reads(op: &UserOperation, entry_point: Address, bundler: Address) -> Wanted {
    let mut wanted = Wanted::default();
    let entities = [Some(op.sender), op.factory(), op.paymaster_address()].into_iter().flatten();
    wanted.accounts.extend([entry_point, bundler, Address::ZERO]);
    wanted.accounts.extend(op.eip7702_auth.as_ref().map(|auth| auth.address));
    wanted.slots.insert((entry_point, storage::nonce_slot(op.sender, op.nonce_key())));
    for entity in entities {
        wanted.accounts.insert(entity);
        wanted.slots.extend(storage::deposit_slots(entity).map(|slot| (entry_point, slot)));
        wanted.slots.insert((entity, IMPLEMENTATION));
    }
    wanted
}

/// The sequence number that the EntryPoint expects next of this sender and nonce key, if the view knows.
pub(crate) fn sequence_on_chain(op: &UserOperation, entry_point: Address, view: &StateView) -> Option<u64> {
    let slot = storage::nonce_slot(op.sender, op.nonce_key());
    // `nonceSequenceNumber` counts in a whole word, of which it never comes to use more than 64 bits.
    Some(view.slot(entry_point, slot)?.saturating_to())
}

/// Runs the validation of an operation whose first reads are known, and judges it.
///
/// # Errors
/// If there is nothing to judge: state that could not be read, a budget that was spent.
pub(crate) async fn examine(
    op: Arc<UserOperation>,
    entry_point: Address,
    version: EntryPointVersion,
    lane: &[Arc<UserOperation>],
    on: Grounds<'_>,
) -> Result<Examination, Rejection> {
    let view = &on.head.view;
    let next = sequence_on_chain(&op, entry_point, view).unwrap_or(op.nonce_sequence());
    let before = in_line(&op, next, lane);
    let ahead = before.len() as u64;

    let (outcome, op) = {
        let (head, chain, bundler) = (on.head.clone(), on.config.chain.clone(), on.bundler);
        let budget =
            Budget { steps: on.config.max_validation_steps, fetches: on.config.max_validation_reads, anew: u64::MAX };
        let next_block = on.next_block();
        blocking(move || {
            let run_in = |next: &NextBlock, overrides: &StateOverride| {
                HandleOps {
                    version,
                    entry_point,
                    chain: &chain,
                    operations: &[&op],
                    bundler,
                    gas_limit: u64::try_from(gas::bundle_gas_limit([&*op], version)).unwrap_or(u64::MAX),
                    priority_fee: 0,
                    stop_at: StopAt::Validation,
                    signatures: Signatures::Checked,
                    overrides,
                    at: next.first(),
                    budget,
                }
                .run(&head.view, &head.block)
            };
            let validate = |next: &NextBlock, overrides: &StateOverride| {
                let run = run_in(next, overrides)?;
                match later(&run, &op, (entry_point, version), next) {
                    // Soon it is valid: it is judged by what it does then.
                    Ok(Some(opens)) => {
                        let run = run_in(&next.not_before(opens), overrides)?;
                        let verdict = verdict(&run, &op, entry_point, version);
                        Ok::<_, SimulationError>((run, verdict))
                    }
                    Ok(None) => {
                        let verdict = verdict(&run, &op, entry_point, version);
                        Ok((run, verdict))
                    }
                    Err(early) => Ok((run, Err(early))),
                }
            };
            let judge = || -> Result<Judged, SimulationError> {
                let (run, verdict) = if before.is_empty() {
                    validate(&next_block, &StateOverride::default())?
                } else {
                    validate(&next_block, &counted(&op, entry_point))?
                };
                // It may rest on what those before it do, such as make the account: their calls are run only then.
                if !before.is_empty()
                    && verdict.as_ref().is_err_and(Rejection::depends_on_state)
                    && let Some((state, next)) =
                        state_after(&before, entry_point, version, &chain, bundler, &head, next_block, budget)?
                {
                    let (run, verdict) = validate(&next, &state)?;
                    let made = state.into_iter().filter(|(_, pretend)| pretend.code.is_some());
                    return Ok((run, verdict, made.map(|(address, _)| address).collect()));
                }
                Ok((run, verdict, Vec::new()))
            };
            (judge(), op)
        })
        .await?
    };
    let (run, verdict, made) = outcome?;
    work::add(run.simulated);
    // What is not taken tells nothing of what will be.
    if run.trips > 0 && verdict.is_ok() {
        view.shared().forecast.learn(&op, version, &run.reads, &run.trace);
    }

    let deposit = |address: Address| {
        let [first, second] = storage::deposit_slots(address);
        let word = |slot| view.slot(entry_point, slot).unwrap_or_default();
        DepositInfo::read(version, [word(first), word(second)])
    };
    let minimum = Minimum::of(&on.config.chain);
    let party = |address: Address| Party {
        address,
        standing: Standing::of(&deposit(address), minimum),
        delegated: view.account(address).and_then(|it| it.code).is_some_and(|code| code.is_eip7702()),
    };
    let has_code = view.account(op.sender).is_some_and(|account| !account.is_empty_code_hash());
    let parties = Parties {
        entry_point,
        account: party(op.sender),
        account_exists: has_code || op.factory().is_none(),
        factory: op.factory().map(party),
        paymaster: op.paymaster_address().map(party),
        p256: on.config.chain.p256,
        minimum,
    };
    let judge = if verdict.is_ok() { rules::judge } else { rules::native_calls };
    let excepted = |violation: &Violation| on.config.rules.exceptions.iter().any(|it| it.covers(violation));
    let violations = judge(&run.trace, &parties).into_iter().filter(|violation| !excepted(violation)).collect();
    // COD-010. What those ahead make has no code to hold it to yet; sender and beneficiary of the transaction are in every
    // run, whatever the operation does.
    let every_runs = [on.bundler, on.head.block.beneficiary];
    let its_own = |address: &&Address| !made.contains(*address) && !every_runs.contains(*address);
    let code_hashes = run.reads.accounts.iter().filter(its_own);
    let code_hashes = code_hashes.filter_map(|address| Some((*address, view.account(*address)?.code_hash))).collect();
    let paymaster_deposit = op.paymaster_address().map_or(U256::ZERO, |paymaster| deposit(paymaster).deposit);
    let context = rules::context_size(&run.trace).unwrap_or(0);
    let conduct = Conduct::of(&run.trace, [&*op], version).pop().unwrap_or_default();
    Ok(Examination { run, verdict, parties, violations, code_hashes, paymaster_deposit, context, ahead, conduct })
}
