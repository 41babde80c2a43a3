//! What each entity's validation of one operation took and returned: what a bundle is held against (EREP-055, EREP-070).

use std::collections::HashSet;

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, UserOperation};
use serde::{Deserialize, Serialize};

use super::Admitted;
use crate::{evm::Trace, rejection::Entity};

/// Gas by which looking at an account is cheaper that was looked at before in the transaction (EIP-2929).
const WARM_ACCOUNT: u64 = 2_500;
/// The same of a slot, which may have been written before too: the most that writing it costs less then (EIP-2200).
const WARM_SLOT: u64 = 22_000;

/// Of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    /// Gas of the account's creation, if there was one and it worked.
    pub factory: Option<u64>,
    /// Gas of the account's validation, if it came to that and returned.
    pub account: Option<u64>,
    /// Gas of the paymaster's validation, if it came to that and returned.
    pub paymaster: Option<u64>,
    /// Bytes of the context that the paymaster returned, if it returned.
    pub context: Option<u64>,
}

/// What an entity did in a bundle that it had not done alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misconduct {
    /// The bundle reverted, and this paymaster's context was of another size (EREP-055).
    ContextResized,
    /// A staked entity's validation took less gas, by more than a tenth (EREP-070).
    LessGas(Entity),
}

impl Misconduct {
    /// Whose it is.
    pub(crate) fn entity(self) -> Entity {
        match self {
            Self::ContextResized => Entity::Paymaster,
            Self::LessGas(entity) => entity,
        }
    }
}

impl Conduct {
    fn gas(&self, entity: Entity) -> Option<u64> {
        match entity {
            Entity::Account => self.account,
            Entity::Factory => self.factory,
            Entity::Paymaster => self.paymaster,
        }
    }

    /// Of each operation of a bundle, as far as the run came.
    pub(crate) fn of<'a>(
        trace: &Trace,
        operations: impl IntoIterator<Item = &'a UserOperation>,
        version: EntryPointVersion,
    ) -> Vec<Self> {
        let selectors = version.selectors();
        let end = trace.validation_frames.unwrap_or(trace.frames.len());
        let asked = trace.children(0).filter(|(index, _)| *index < end).map(|(_, frame)| frame);
        let mut asked = asked.peekable();
        // The EntryPoint validates one after the other: the account, made before if need be, then the paymaster.
        let of_one = |op: &UserOperation| {
            let mut conduct = Self::default();
            let making = [selectors.create_sender, selectors.init_eip7702_sender];
            let by = |wanted: [u8; 4]| move |frame: &&crate::evm::Frame| frame.selector == Some(wanted);
            let gas = |frame: &crate::evm::Frame| frame.success.then_some(frame.gas_used);
            let made = asked.next_if(|frame| frame.selector.is_some_and(|it| making.contains(&it)));
            conduct.factory = made.and_then(gas);
            let of_sender =
                |frame: &&crate::evm::Frame| by(selectors.validate_user_op)(frame) && frame.target == op.sender;
            conduct.account = asked.next_if(of_sender).and_then(gas);
            if let Some(asked) = asked.next_if(by(selectors.validate_paymaster_user_op)) {
                conduct.paymaster = gas(asked);
                conduct.context =
                    Some(&asked.output).filter(|_| asked.success).and_then(|output| context_length(output));
            }
            conduct
        };
        operations.into_iter().map(of_one).collect()
    }
}

/// Of what `validatePaymasterUserOp` returned: `(bytes context, uint256 validationData)`.
fn context_length(output: &[u8]) -> Option<u64> {
    let word = |at: usize| output.get(at..at.checked_add(32)?).map(U256::from_be_slice);
    word(usize::try_from(word(0)?).ok()?)?.try_into().ok()
}

/// What entities did in this run of a bundle, on the state that each operation was validated on alone, that they had not
/// done then. What is cheaper because others have looked at it, or written it, before is allowed for.
pub(crate) fn misconduct(trace: &Trace, bundle: &[Admitted], reverted: bool) -> Vec<(usize, Misconduct)> {
    let Some(version) = bundle.first().map(|first| first.version) else { return Vec::new() };
    let now = Conduct::of(trace, bundle.iter().map(|admitted| &*admitted.op), version);
    let mut found = Vec::new();
    let mut senders = HashSet::<Address>::new();
    let (mut accounts, mut slots) = (HashSet::<Address>::new(), HashSet::<(Address, U256)>::new());
    for (place, (admitted, now)) in bundle.iter().zip(&now).enumerate() {
        let evidence = &admitted.evidence;
        let (then, parties) = (&evidence.conduct, &evidence.parties);
        if reverted
            && let (Some(then), Some(now)) = (then.context, now.context)
            && then != now
        {
            found.push((place, Misconduct::ContextResized));
        }
        let shared = |count: usize, gas: u64| gas.saturating_mul(count as u64);
        let warm = shared(evidence.reads.accounts.iter().filter(|it| accounts.contains(*it)).count(), WARM_ACCOUNT)
            .saturating_add(shared(evidence.reads.slots.iter().filter(|it| slots.contains(*it)).count(), WARM_SLOT));
        for entity in [Entity::Factory, Entity::Account, Entity::Paymaster] {
            let staked = parties.of(entity).is_some_and(|party| party.is_staked());
            let less = then
                .gas(entity)
                .zip(now.gas(entity))
                .is_some_and(|(then, now)| u128::from(now.saturating_add(warm)) * 10 < u128::from(then) * 9);
            // What an account has with the EntryPoint was read and written by its operations before.
            let again = entity != Entity::Paymaster && senders.contains(&admitted.op.sender);
            if staked && less && !again {
                found.push((place, Misconduct::LessGas(entity)));
            }
        }
        senders.insert(admitted.op.sender);
        accounts.extend(&evidence.reads.accounts);
        slots.extend(&evidence.reads.slots);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        evm::{Frame, FrameKind},
        mempool::tests::operation,
        rules::{Party, Standing},
    };

    const PAYMASTER: Address = Address::repeat_byte(0xaa);

    fn frame(parent: Option<usize>, target: Address, selector: [u8; 4], gas_used: u64, context: u64) -> Frame {
        let words = [U256::from(64), U256::ZERO, U256::from(context)];
        Frame {
            parent,
            depth: usize::from(parent.is_some()),
            kind: FrameKind::Call,
            caller: Address::ZERO,
            target,
            code: target,
            has_code: true,
            delegated: false,
            native: false,
            value: U256::ZERO,
            input_length: 0,
            input: Default::default(),
            selector: Some(selector),
            argument: None,
            phase: None,
            gas_limit: 1_000_000,
            gas_used,
            demand: gas_used,
            success: true,
            out_of_gas: false,
            output: words.map(|word| word.to_be_bytes::<32>()).concat().into(),
        }
    }

    /// A bundle of these, whose paymaster took so much gas and returned so long a context.
    fn run(bundle: &[Admitted], paymaster: &[(u64, u64)]) -> Trace {
        let selectors = EntryPointVersion::V0_8.selectors();
        let mut frames = vec![frame(None, Address::ZERO, [0; 4], 0, 0)];
        for (admitted, (gas, context)) in bundle.iter().zip(paymaster) {
            frames.push(frame(Some(0), admitted.op.sender, selectors.validate_user_op, 40_000, 0));
            frames.push(frame(Some(0), PAYMASTER, selectors.validate_paymaster_user_op, *gas, *context));
        }
        Trace { frames, ..Trace::default() }
    }

    /// Of these senders, each sponsored by a staked paymaster which alone took 30,000 gas and returned 64 bytes.
    fn bundle(senders: &[u8], slot: Option<U256>) -> Vec<Admitted> {
        let sponsored = |sender: &u8| {
            let mut admitted = operation(*sender, 0, 100, *sender);
            let evidence = Arc::make_mut(&mut admitted.evidence);
            evidence.parties.paymaster = Some(Party::new(PAYMASTER, Standing::Staked));
            evidence.conduct =
                Conduct { account: Some(40_000), paymaster: Some(30_000), context: Some(64), factory: None };
            evidence.reads.slots.extend(slot.map(|slot| (PAYMASTER, slot)));
            admitted
        };
        senders.iter().map(sponsored).collect()
    }

    #[test]
    fn erep_055_a_context_of_another_size_counts_once_a_bundle_reverts() {
        let two = bundle(&[1, 2], None);
        let run = run(&two, &[(30_000, 64), (30_000, 96)]);
        assert_eq!(misconduct(&run, &two, false), []);
        assert_eq!(misconduct(&run, &two, true), [(1, Misconduct::ContextResized)]);
    }

    #[test]
    fn erep_070_a_staked_entity_that_takes_less_gas_by_more_than_a_tenth_is_found() {
        let one = bundle(&[1], None);
        let found = |gas: u64| misconduct(&run(&one, &[(gas, 64)]), &one, false);
        assert_eq!((found(27_000), found(26_999)), (vec![], vec![(0, Misconduct::LessGas(Entity::Paymaster))]));
        let mut unstaked = one.clone();
        Arc::make_mut(&mut unstaked[0].evidence).parties.paymaster = Some(Party::new(PAYMASTER, Standing::Unstaked));
        assert_eq!(misconduct(&run(&one, &[(10_000, 64)]), &unstaked, false), []);
    }

    #[test]
    fn erep_070_who_fails_saves_nothing_and_an_account_that_has_been_there_before_does_not_either() {
        let one = bundle(&[1], None);
        let mut failing = run(&one, &[(5_000, 64)]);
        failing.frames[2].success = false;
        assert_eq!(misconduct(&failing, &one, true), []);
        let mut twice = bundle(&[1, 1], None);
        for admitted in &mut twice {
            Arc::make_mut(&mut admitted.evidence).parties.account.standing = Standing::Staked;
        }
        let mut cheaper = run(&twice, &[(30_000, 64), (30_000, 64)]);
        cheaper.frames[3].gas_used = 20_000;
        assert_eq!(misconduct(&cheaper, &twice, false), []);
        cheaper.frames[1].gas_used = 20_000;
        assert_eq!(misconduct(&cheaper, &twice, false), [(0, Misconduct::LessGas(Entity::Account))]);
    }

    #[test]
    fn erep_070_what_others_have_made_warm_is_nobodys_saving() {
        let alike = bundle(&[1, 2], Some(U256::from(7)));
        let run = run(&alike, &[(30_000, 64), (8_000, 64)]);
        assert_eq!(misconduct(&run, &alike, false), []);
        let apart = bundle(&[1, 2], None);
        assert_eq!(misconduct(&run, &apart, false), [(1, Misconduct::LessGas(Entity::Paymaster))]);
    }
}
