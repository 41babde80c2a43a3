//! Execution of a whole bundle in process, until what is left of it works and pays for itself.

use alloy::{
    primitives::{Address, B256, Bytes, Log},
    rpc::types::state::StateOverride,
    sol_types::SolEvent,
};
use erc4337::{ChainPreset, abi::entry_point_v08::UserOperationEvent, revert::EntryPointRevert};

use super::{Bundle, Expected, Objection, native};
use crate::{
    admission::{Admitted, Misconduct, misconduct, reject_revert},
    bounds::Metered,
    evm::{Budget, Ending, HandleOps, Moment, NextBlock, Run, Signatures, SimulationError, StopAt, Unfinished},
    gas,
    head::Head,
    l1_fee::{self, L1Prices},
    rejection::Entity,
    submitter::Fees,
};

/// Per cent of what it would be asked for now that an operation must offer to go along with others, who pay for what a
/// bundle of its own would cost beside. The rest is for them.
const LEAST_SHARE: u128 = 75;

/// A bundle after its execution in process.
#[derive(Debug)]
pub(crate) struct Proven {
    /// What is left of it, and works.
    pub(crate) bundle: Bundle,
    /// What it changes, on top of those in flight.
    pub(crate) changes: StateOverride,
    /// What fails by itself, and why.
    pub(crate) dropped: Vec<Failed>,
    /// What fails only after others: for another bundle, a few times.
    pub(crate) disturbed: Vec<Failed>,
    /// What has to go behind native calls: for another bundle.
    pub(crate) returned: Vec<B256>,
    /// What fails together, one of them making it fail, and why: for two bundles.
    pub(crate) unexplained: Option<(Vec<B256>, String)>,
    /// What fails only after what is in flight, or is not valid whichever second the next block has: for another block.
    pub(crate) waiting: Vec<B256>,
    /// What calls contracts that the chain's client executes itself: for a bundle of such ones.
    pub(crate) native: Vec<B256>,
    /// What works but would cost us more than it pays, as fees are: for another block.
    pub(crate) held: Vec<B256>,
    /// Whether it was executed on the block that its operations were last found valid on: then, and only then, a
    /// failure is somebody's fault.
    pub(crate) same_state: bool,
    /// What entities did here that they had not done alone, on the same state, with the operations that name them.
    pub(crate) misconduct: Vec<(B256, Misconduct)>,
    /// What the node said against it.
    pub(crate) objection: Option<Objection>,
}

/// A bundle that could not be executed to its end.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) error: SimulationError,
    /// Operations that take more than a proof may, as far as that is known.
    pub(crate) culprits: Vec<B256>,
}

/// An operation that fails in a bundle.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) hash: B256,
    pub(crate) reason: String,
    /// Whose validation it was.
    pub(crate) culprit: Option<Entity>,
}

/// Executes the bundle on this head, after what is in flight, in the next block as early as that may be and as
/// late, until it goes through. Blocks: call on a blocking thread.
///
/// # Errors
/// If state cannot be read: nothing is known then, and nothing is dropped.
pub(crate) fn prove(
    bundle: Bundle,
    head: &Head,
    next: NextBlock,
    in_flight: &StateOverride,
    same_state: bool,
    chain: &ChainPreset,
    bundler: Address,
) -> Result<Proven, Unproven> {
    // What those in flight do may be undone yet: nobody is blamed for it.
    let alone = in_flight.is_empty();
    let mut proven = Proven {
        bundle,
        changes: StateOverride::default(),
        dropped: Vec::new(),
        disturbed: Vec::new(),
        returned: Vec::new(),
        unexplained: None,
        waiting: Vec::new(),
        native: Vec::new(),
        held: Vec::new(),
        same_state: same_state && alone,
        misconduct: Vec::new(),
        objection: None,
    };
    proven.waiting.extend(out_of_time(&mut proven.bundle, &next));
    // Nothing shows what the execution of native calls brings in: each is to pay all that it is asked for.
    let share = if proven.bundle.native { 100 } else { LEAST_SHARE };
    proven.held.extend(unprofitable(&mut proven.bundle, head, share));
    while !proven.bundle.operations.is_empty() {
        let bundle = &mut proven.bundle;
        let operations: Vec<_> = bundle.operations.iter().map(|admitted| &*admitted.op).collect();
        let bid = bundle.bid(head.fees);
        let run_at = |at: Moment| {
            HandleOps {
                version: bundle.version,
                entry_point: bundle.entry_point,
                chain,
                operations: &operations,
                bundler,
                gas_limit: bundle.gas_limit(),
                // What will be bid: a contract that compares GASPRICE with BASEFEE would tell a cheaper run from the real one.
                priority_fee: bid.priority_fee,
                stop_at: if bundle.native { StopAt::Validation } else { StopAt::End },
                signatures: Signatures::Checked,
                overrides: in_flight,
                at,
                budget: Budget::EXECUTION,
            }
            .run_and_keep(&head.view, &head.block)
            .map_err(|Unfinished { error, readers, .. }| {
                let culprits = readers.iter().filter_map(|place| Some(bundle.operations.get(*place)?.hash)).collect();
                Unproven { error, culprits }
            })
        };
        let (run, changes) = run_at(next.first())?;
        if proven.same_state {
            let reverted = !matches!(run.ending, Ending::Completed(_));
            let found = misconduct(&run.trace, &bundle.operations, reverted);
            proven.misconduct.extend(found.into_iter().map(|(place, what)| (bundle.operations[place].hash, what)));
        }
        // Whichever second the next block has, it is to work.
        let varied = next.latest > next.earliest && !bundle.native && matches!(run.ending, Ending::Completed(_));
        let late = if varied { failure(&run_at(next.last())?.0.ending, bundle) } else { None };
        let native = run.trace.native_operations(bundle.entry_point);
        if !native.is_empty() {
            proven.set_native_apart(&native);
            continue;
        }
        // Validation takes more of its limit beside others: memory is longer.
        if let (Some((index, why)), false) = (native::short_of_room(&run.trace, bundle), bundle.native) {
            proven.put_out_for_room(index, why, alone);
            continue;
        }
        let failure = match &run.ending {
            Ending::Completed(_) if bundle.native => match native::uncontained(&run.trace, bundle) {
                None => break,
                Some(why) => (Some(0), why, None),
            },
            Ending::Completed(_) if late.is_some() => late.unwrap_or_default(),
            Ending::Completed(logs) => {
                let charges = Charges { bid, head, chain_id: chain.chain_id, bundler };
                bundle.expected = charges.expected(bundle, logs, run.gas_used);
                if charges.certain(bundle, &run).is_some_and(|certain| certain.is_loss()) || bundle.expected.is_loss() {
                    let out = unprofitable(bundle, head, 100);
                    if !out.is_empty() {
                        proven.held.extend(out);
                        continue;
                    }
                }
                if !bundle.expected.is_loss() {
                    proven.changes = changes;
                    break;
                }
                // It is asked for too little, which no other block will change.
                let Expected { revenue, .. } = bundle.expected;
                (None, format!("it pays {revenue} wei and would cost us {}", bundle.expected.cost()), None)
            }
            other => match failure(other, bundle) {
                Some(failure) => failure,
                None => break,
            },
        };
        proven.put_out(failure, alone);
    }
    Ok(proven)
}

/// What made a bundle fail that ended so, if it did.
fn failure(ending: &Ending, bundle: &Bundle) -> Option<Failure> {
    match ending {
        Ending::Completed(_) => None,
        Ending::Reverted(data) => Some(culprit(data, bundle)),
        Ending::Halted(reason) => Some((None, format!("the bundle halted: {reason:?}"), None)),
    }
}

/// Which operation made a bundle fail, if that is known, why, and in whose validation.
pub(super) type Failure = (Option<usize>, String, Option<Entity>);

impl Proven {
    /// Puts out what makes the bundle fail. Unless it is `alone`, what is in flight may be to blame.
    pub(super) fn put_out(&mut self, (index, reason, culprit): Failure, alone: bool) {
        let operations = &mut self.bundle.operations;
        let count = operations.len();
        let mut take = |index: usize| Failed { hash: operations.remove(index).hash, reason: reason.clone(), culprit };
        match index {
            // Nobody else can have to do with it. Beside others even the first may fail for them: the EntryPoint's memory
            // grows with them, which its own limits pay for.
            Some(0) if count == 1 && alone => self.dropped.push(take(0)),
            Some(0) if !alone => self.waiting.push(take(0).hash),
            Some(index) => self.disturbed.push(take(index)),
            None if count == 1 && alone => self.dropped.push(take(0)),
            None if count == 1 => self.waiting.push(take(0).hash),
            // It could be any of them: their halves show which.
            None => {
                let all = operations.drain(..).map(|admitted| admitted.hash).collect();
                self.unexplained = Some((all, reason));
            }
        }
    }

    /// Puts out what has too little room in this bundle; by itself it has as much as it was taken with.
    fn put_out_for_room(&mut self, index: usize, reason: String, alone: bool) {
        if self.bundle.operations.len() == 1 {
            return self.put_out((Some(0), reason, None), alone);
        }
        let hash = self.bundle.operations.remove(index).hash;
        self.disturbed.push(Failed { hash, reason, culprit: None });
    }

    /// Takes out what calls native code, and what has to go behind it.
    fn set_native_apart(&mut self, places: &[usize]) {
        let line = |admitted: &Admitted| (admitted.op.sender, admitted.op.nonce_key());
        let mut lines = Vec::new();
        let mut stay = Vec::new();
        for (place, admitted) in std::mem::take(&mut self.bundle.operations).into_iter().enumerate() {
            if lines.contains(&line(&admitted)) {
                self.returned.push(admitted.hash);
            } else if places.contains(&place) {
                lines.push(line(&admitted));
                self.native.push(admitted.hash);
            } else {
                stay.push(admitted);
            }
        }
        self.bundle.operations = stay;
    }
}

/// Takes out what is not valid in this block: time has passed since it was chosen, or gone back with a reorganisation. That
/// is nobody's fault.
fn out_of_time(bundle: &mut Bundle, next: &NextBlock) -> Vec<B256> {
    let valid = |admitted: &Admitted| admitted.validated.is_open(next, admitted.version);
    let (stay, out): (Vec<_>, Vec<_>) = std::mem::take(&mut bundle.operations).into_iter().partition(valid);
    bundle.operations = stay;
    out.into_iter().map(|admitted| admitted.hash).collect()
}

/// What a bundle is charged for, and at which prices.
struct Charges<'a> {
    bid: Fees,
    head: &'a Head,
    chain_id: u64,
    bundler: Address,
}

impl Charges<'_> {
    /// What the bundle will bring in and cost, if its execution is what it was here.
    fn expected(&self, bundle: &Bundle, logs: &[Log], gas_used: u64) -> Expected {
        let paid = logs.iter().filter(|log| log.address == bundle.entry_point).filter_map(|log| {
            let event = UserOperationEvent::decode_log(log).ok()?;
            Some(event.actualGasCost.saturating_to::<u128>())
        });
        let l1 =
            |prices: L1Prices| prices.fee(&bundle.transaction(self.chain_id, None, self.bid, self.bundler).bytes());
        self.costing(bundle, paid.fold(0, u128::saturating_add), gas_used, self.head.l1.map_or(0, l1))
    }

    /// The same whatever its calls do: they may tell the chain from us, and burn here what pays for others there, or bring
    /// back here what is not brought back there. Each pays for the gas that it is metered for at our bid at least, so the
    /// worst of them is metered for nothing. `None` if validation was not seen to its end.
    ///
    /// Data on L1, as it is [`Bundle::expected`] to cost, is as dear as it can be in the next block.
    fn certain(&self, bundle: &Bundle, run: &Run) -> Option<Expected> {
        let operations = || bundle.operations.iter().map(|admitted| &*admitted.op);
        let metered = Metered::of(&run.trace, operations(), bundle.version)?;
        let base_fee = self.head.fees.base_fee;
        let paid = operations().zip(metered).map(|(op, metered)| {
            let gas = metered.charged.saturating_add(op.pre_verification_gas);
            gas.saturating_mul(op.effective_gas_price(base_fee))
        });
        let gas = run.gas_spent.saturating_sub(run.trace.executed().sum()).max(run.gas_floor);
        let l1 = l1_fee::dearest_next(bundle.expected.l1);
        Some(self.costing(bundle, paid.fold(0, u128::saturating_add), gas, l1))
    }

    fn costing(&self, bundle: &Bundle, revenue: u128, gas: u64, l1: u128) -> Expected {
        let gas_used = gas.saturating_add(authorizations(bundle, self.head));
        let price = self.head.fees.base_fee.saturating_add(self.bid.priority_fee);
        Expected {
            gas_used,
            revenue,
            execution: u128::from(gas_used).saturating_mul(price),
            l1,
            operator: self.head.l1.map_or(0, |prices| prices.operator_fee(gas_used.into())),
        }
    }
}

/// Gas that the transaction's authorizations take, which the run only pretends: of what is charged for each, half comes back
/// if the account is not empty and this is its nonce, and its first access is cheaper (EIP-7702).
fn authorizations(bundle: &Bundle, head: &Head) -> u64 {
    const FIRST_ACCESS: u64 = 2_500;
    const COMES_BACK: u64 = 12_500;
    let signed = bundle.operations.iter().filter(|admitted| admitted.op.eip7702_auth.is_some());
    let comes_back = |admitted: &Admitted| {
        let nonce = admitted.op.eip7702_auth.as_ref().map(|auth| auth.nonce);
        let account = head.view.account(admitted.op.sender);
        account.is_some_and(|account| !account.is_empty() && Some(account.nonce) == nonce)
    };
    signed.map(|it| gas::AUTHORIZATION as u64 - FIRST_ACCESS - if comes_back(it) { COMES_BACK } else { 0 }).sum()
}

/// Takes out what offers less than so many per cent of the `preVerificationGas` that it would be asked for now: data on
/// L1 has become dearer since it was taken.
fn unprofitable(bundle: &mut Bundle, head: &Head, per_cent: u128) -> Vec<B256> {
    // Nothing else that it is asked for changes.
    if head.l1.is_none() {
        return Vec::new();
    }
    let version = bundle.version;
    let pays = |admitted: &Admitted| {
        let asked = gas::pre_verification_gas(&admitted.op, version, head);
        admitted.op.pre_verification_gas >= asked.saturating_mul(per_cent) / 100
    };
    let (stay, out): (Vec<_>, Vec<_>) = std::mem::take(&mut bundle.operations).into_iter().partition(pays);
    bundle.operations = stay;
    out.into_iter().map(|admitted| admitted.hash).collect()
}

/// Which operation made the bundle revert, if the EntryPoint says, why, and in whose validation.
pub(super) fn culprit(data: &Bytes, bundle: &Bundle) -> Failure {
    let revert = EntryPointRevert::decode(data);
    match &revert {
        EntryPointRevert::FailedOp { index, .. } if *index < bundle.operations.len() => {
            let rejection = reject_revert(data, &bundle.operations[*index].op, None, None);
            (Some(*index), rejection.to_string(), rejection.culprit())
        }
        _ => (None, revert.to_string(), None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use erc4337::{EntryPointVersion, ValidationData};

    use super::*;
    use crate::{
        evm::{Shared, StateView},
        fees::FeeSuggestion,
        l1_fee::Upgrade,
        mempool::tests::{block, operation},
        node::NodeClient,
    };

    fn head(l1: Option<L1Prices>) -> Head {
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let view = Arc::new(StateView::new(node, block(1).hash, 0, Arc::<Shared>::default()));
        Head { block: block(1), time: 0, view, fees: FeeSuggestion::flat(1, 1), l1 }
    }

    fn bundle(operations: Vec<Admitted>) -> Bundle {
        Bundle::new(EntryPointVersion::V0_8.canonical_address(), EntryPointVersion::V0_8, operations)
    }

    /// Where all of it is put aside before anything is executed.
    fn put_aside(bundle: Bundle, head: &Head) -> Proven {
        let chain = ChainPreset::base();
        let next = head.block.next(&chain, std::time::Duration::ZERO);
        prove(bundle, head, next, &StateOverride::default(), true, &chain, Address::ZERO).unwrap()
    }

    #[tokio::test]
    async fn of_an_authorization_half_comes_back_if_it_is_set_upon_an_account_that_is_there() {
        use alloy::{
            eips::eip7702::{Authorization, SignedAuthorization},
            primitives::U256,
        };
        let signed = |nonce: u64| {
            let inner = Authorization { chain_id: U256::from(1), address: Address::repeat_byte(7), nonce };
            let mut admitted = operation(1, 0, 100, 1);
            let auth = SignedAuthorization::new_unchecked(inner, 0, U256::ONE, U256::ONE);
            Arc::make_mut(&mut admitted.op).eip7702_auth = Some(auth);
            bundle(vec![admitted])
        };
        let fresh = head(None);
        fresh.view.know_account(Address::repeat_byte(1), 0, revm::bytecode::Bytecode::default());
        assert_eq!(authorizations(&signed(0), &fresh), 22_500, "an account that is empty");
        let used = head(None);
        used.view.know_account(Address::repeat_byte(1), 3, revm::bytecode::Bytecode::default());
        assert_eq!(authorizations(&signed(3), &used), 10_000);
        // EIP-7702 leaves it out, charged as it is.
        assert_eq!(authorizations(&signed(2), &used), 22_500, "a spent one");
    }

    #[tokio::test]
    async fn what_is_not_valid_in_each_second_of_the_next_block_waits_and_is_not_executed() {
        let head = head(None);
        let mut early = operation(1, 0, 100, 1);
        early.validated.account = ValidationData { valid_after: head.block.timestamp, ..ValidationData::VALID };
        let proven = put_aside(bundle(vec![early.clone()]), &head);
        assert_eq!((proven.waiting, proven.dropped.len()), (vec![early.hash], 0));
    }

    #[tokio::test]
    async fn what_calls_native_code_is_to_pay_all_that_it_is_asked_for() {
        let head = head(Some(L1Prices { upgrade: Upgrade::Jovian, operator_fee_scalar: 1, ..L1Prices::default() }));
        let mut cheap = operation(1, 0, 100, 1);
        let asked = gas::pre_verification_gas(&cheap.op, cheap.version, &head);
        Arc::make_mut(&mut cheap.op).pre_verification_gas = asked * 80 / 100;
        let hash = cheap.hash;
        let proven = put_aside(Bundle { native: true, ..bundle(vec![cheap]) }, &head);
        assert_eq!(proven.held, [hash]);
    }

    #[tokio::test]
    async fn what_goes_behind_a_native_call_of_its_nonce_key_is_for_another_bundle() {
        let operations = vec![operation(1, 0, 100, 1), operation(2, 0, 100, 2), operation(1, 1, 100, 3)];
        let mut early = operations.clone();
        for admitted in &mut early {
            admitted.validated.account = ValidationData { valid_until: 1, ..ValidationData::VALID };
        }
        let mut proven = put_aside(bundle(early), &head(None));
        proven.bundle.operations = operations;
        proven.set_native_apart(&[0]);
        let id = |hashes: &[B256]| hashes.iter().map(|hash| hash[0]).collect::<Vec<_>>();
        let stay = proven.bundle.hashes();
        assert_eq!([id(&proven.native), id(&stay), id(&proven.returned)], [[1], [2], [3]]);
    }

    #[tokio::test]
    async fn grep_040_nobody_is_to_blame_for_what_fails_beside_others_not_even_as_the_first() {
        let operations: Vec<_> = (1..=3).map(|sender| operation(sender, 0, 100, sender)).collect();
        let mut proven = put_aside(bundle(Vec::new()), &head(None));
        proven.bundle.operations = operations;
        let fails = |index| (Some(index), "AA13 initCode failed or OOG".to_owned(), Some(Entity::Factory));
        // The EntryPoint's memory grows with each operation, and an exact limit pays for it.
        proven.put_out(fails(0), true);
        proven.put_out(fails(1), true);
        let id = |failed: &[Failed]| failed.iter().map(|it| it.hash[0]).collect::<Vec<_>>();
        assert_eq!((id(&proven.disturbed), id(&proven.dropped)), (vec![1, 3], vec![]));
        // Alone it is its own doing, unless something is in flight.
        proven.put_out(fails(0), false);
        assert_eq!((proven.waiting.len(), proven.dropped.len()), (1, 0));
        proven.bundle.operations = vec![operation(2, 0, 100, 2)];
        proven.put_out(fails(0), true);
        assert_eq!((id(&proven.dropped), proven.dropped[0].culprit), (vec![2], Some(Entity::Factory)));
    }

    #[tokio::test]
    async fn a_bundle_costs_what_the_operator_takes_too() {
        let head = head(Some(L1Prices { upgrade: Upgrade::Jovian, operator_fee_scalar: 3, ..L1Prices::default() }));
        let bundle = bundle(vec![operation(1, 0, 100, 1)]);
        let bid = Fees::first(&bundle, head.fees);
        let charges = Charges { bid, head: &head, chain_id: 8_453, bundler: Address::ZERO };
        let expected = charges.expected(&bundle, &[], 50_000);
        assert_eq!((expected.operator, expected.revenue), (50_000 * 300, 0));
    }

    #[tokio::test]
    async fn a_failure_that_could_be_anybodys_is_nobodys_until_it_is_halved() {
        let operations: Vec<_> = (1..=4).map(|sender| operation(sender, 0, 100, sender)).collect();
        let all: Vec<_> = operations.iter().map(|it| it.hash).collect();
        let mut proven = put_aside(bundle(Vec::new()), &head(None));
        proven.bundle.operations = operations;
        proven.put_out((None, "it halts".into(), None), true);
        assert_eq!(proven.unexplained, Some((all, "it halts".into())));
        assert!(proven.dropped.is_empty() && proven.returned.is_empty() && proven.bundle.operations.is_empty());
    }
}
