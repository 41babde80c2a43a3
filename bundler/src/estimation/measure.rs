//! The least limits that a traced run would have needed.

use alloy::primitives::Address;
use erc4337::{EntryPointVersion, UserOperation};

use crate::{
    bounds::{Metered, VALIDATION_GAS_SLACK, beside},
    evm::{Frame, Trace},
};

/// Gas by which a limit may be above the least that suffices.
const CLOSE: u128 = 16;

/// One value for each gas limit of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) verification: u128,
    pub(super) call: u128,
    pub(super) paymaster_verification: u128,
    pub(super) post_op: u128,
}

/// Which limits were too tight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Validation,
    /// The account's call failed: what comes after it is not to blame.
    Call,
    Execution,
    /// The paymaster had gas enough and refused: for its own `postOp` it wants more than that would take.
    PostOp,
}

impl Limits {
    /// Room for the real signature, which may take a longer way than the dummy's; unused, it costs nothing.
    pub(super) fn with_room_for_signatures(self) -> Self {
        let room = |limit: u128| limit + limit / 20 + 1_000;
        Self {
            verification: room(self.verification),
            paymaster_verification: room(self.paymaster_verification),
            ..self
        }
    }

    /// Room where all checks of signatures have been seen to pass: only where a list was found to have its signer, or how
    /// a contract found it good, may yet be another way, or what it hashes be a little longer.
    pub(super) fn with_room_for_another_way(self) -> Self {
        let room = |limit: u128| limit + limit / 100 + 500;
        Self {
            verification: room(self.verification),
            paymaster_verification: room(self.paymaster_verification),
            ..self
        }
    }

    /// Halfway between these limits and `high`, as far as they are those of `part`; the others are those of `high`.
    /// None if the two are as close as matters.
    pub(super) fn between(self, high: Self, part: Part) -> Option<Self> {
        let apart = |low: u128, high: u128| high.saturating_sub(low) > CLOSE.max(high / 1_000);
        let middle = |low: u128, high: u128| if apart(low, high) { low + (high - low) / 2 } else { high };
        let between = match part {
            Part::Validation => Self {
                verification: middle(self.verification, high.verification),
                paymaster_verification: middle(self.paymaster_verification, high.paymaster_verification),
                ..high
            },
            Part::Call => Self { call: middle(self.call, high.call), ..high },
            Part::Execution => {
                Self { call: middle(self.call, high.call), post_op: middle(self.post_op, high.post_op), ..high }
            }
            Part::PostOp => Self { post_op: middle(self.post_op, high.post_op), ..high },
        };
        (between != high).then_some(between)
    }

    /// The limits of one part twice as high, but not above `most`.
    pub(super) fn raised(self, part: Part, most: Self) -> Self {
        self.with(part, most, |limit, most| (limit * 2 + 1_000).min(most))
    }

    /// The limits of one part as high as may be.
    pub(super) fn given_all(self, part: Part, most: Self) -> Self {
        self.with(part, most, |limit, most| limit.max(most))
    }

    fn with(self, part: Part, most: Self, raise: impl Fn(u128, u128) -> u128) -> Self {
        match part {
            Part::Validation => Self {
                verification: raise(self.verification, most.verification),
                paymaster_verification: raise(self.paymaster_verification, most.paymaster_verification),
                ..self
            },
            Part::Call => Self { call: raise(self.call, most.call), ..self },
            Part::Execution => {
                Self { call: raise(self.call, most.call), post_op: raise(self.post_op, most.post_op), ..self }
            }
            Part::PostOp => Self { post_op: raise(self.post_op, most.post_op), ..self },
        }
    }
}

/// The frames that an operation's limits apply to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames<'a> {
    pub(super) creation: Option<&'a Frame>,
    pub(super) validation: Option<&'a Frame>,
    pub(super) paymaster_validation: Option<(usize, &'a Frame)>,
    pub(super) call: Option<&'a Frame>,
    pub(super) post_op: Option<(usize, &'a Frame)>,
}

impl<'a> Frames<'a> {
    /// Tells the frames apart by what the EntryPoint called, on whom, and when.
    pub(super) fn find(trace: &'a Trace, op: &UserOperation, entry_point: Address, version: EntryPointVersion) -> Self {
        let selectors = version.selectors();
        let validation_end = trace.validation_frames.unwrap_or(trace.frames.len());
        let validating = |target: Option<Address>, wanted: &[[u8; 4]]| {
            trace.children(0).filter(|(index, _)| *index < validation_end).find(|(_, frame)| {
                target.is_none_or(|target| frame.target == target)
                    && frame.selector.is_some_and(|selector| wanted.contains(&selector))
            })
        };
        // Execution happens within the EntryPoint's call to itself.
        let inner = trace
            .children(0)
            .find(|(index, frame)| *index >= validation_end && frame.target == entry_point)
            .map(|(index, _)| index);
        let executing = |is_post_op: bool| {
            let paymaster = op.paymaster_address();
            trace.children(inner?).find(|(_, frame)| {
                let post_op = frame.selector == Some(selectors.post_op) && Some(frame.target) == paymaster;
                if is_post_op { post_op } else { !post_op && frame.target == op.sender }
            })
        };
        Self {
            creation: validating(None, &[selectors.create_sender, selectors.init_eip7702_sender]).map(|(_, f)| f),
            validation: validating(Some(op.sender), &[selectors.validate_user_op]).map(|(_, frame)| frame),
            paymaster_validation: op
                .paymaster_address()
                .and_then(|paymaster| validating(Some(paymaster), &[selectors.validate_paymaster_user_op])),
            call: executing(false).map(|(_, frame)| frame),
            post_op: executing(true),
        }
    }
}

/// What a traced run shows of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The least with which it would have gone the same way.
    pub(super) limits: Limits,
    /// What of them validation is metered for.
    pub(super) metered: Metered,
}

/// What the traced run of an operation shows.
pub(super) fn shown(trace: &Trace, op: &UserOperation, entry_point: Address, version: EntryPointVersion) -> Shown {
    let frames = Frames::find(trace, op, entry_point, version);
    let demand = |frame: Option<&Frame>| frame.map_or(0, |frame| u128::from(frame.demand));
    let paymaster = demand(frames.paymaster_validation.map(|(_, frame)| frame));
    let post_op = demand(frames.post_op.map(|(_, frame)| frame));
    let call = demand(frames.call);
    let own = demand(frames.creation).max(demand(frames.validation));

    // The EntryPoint compares its own gas readings with the limits (AA26, AA36, AA40); so do we.
    let metered = Metered::of(trace, [op], version).and_then(|of| of.first().copied()).unwrap_or_default();
    if version != EntryPointVersion::V0_6 {
        let (verification, paymaster_verification) = (own.max(metered.account), paymaster.max(metered.paymaster));
        return Shown { limits: Limits { verification, call, paymaster_verification, post_op }, metered };
    }
    // One limit for the account, then for what is left of it the paymaster, then again for postOp.
    let begun = trace.gas_readings.first().map_or(0, |reading| reading.remaining);
    let left = frames.paymaster_validation.and_then(|(index, _)| {
        trace.gas_readings.iter().take_while(|reading| reading.frames <= index).last().map(|it| it.remaining)
    });
    let paymaster = left.map_or(0, |left| u128::from(begun.saturating_sub(left)) + paymaster);
    let account = metered.charged.max(metered.account).max(paymaster);
    let limits = Limits { verification: own.max(account).max(post_op), call, paymaster_verification: 0, post_op: 0 };
    Shown { limits, metered: Metered { account, ..metered } }
}

/// What validation is metered for at the most, with the room that its limits have, and what the limits have beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reckoned {
    /// What was measured and then proven, unless more was needed.
    limits: Limits,
    metered: Metered,
}

impl Reckoned {
    /// `limits` have been given room, and so has what was metered.
    pub(super) fn new(shown: Shown, limits: Limits) -> Self {
        let room = limits.verification.saturating_sub(shown.limits.verification);
        let of_paymaster = limits.paymaster_verification.saturating_sub(shown.limits.paymaster_verification);
        let metered = Metered {
            account: shown.metered.account + room,
            paymaster: shown.metered.paymaster + of_paymaster,
            charged: shown.metered.charged + room + of_paymaster,
        };
        Self { limits, metered }
    }

    /// The same where limits were found to be needed. Where a contract looks at its gas, it may use all of them.
    pub(super) fn found(self, found: Limits) -> Self {
        let mut metered = self.metered;
        if found.verification > self.limits.verification {
            metered.account = found.verification;
        }
        if found.paymaster_verification > self.limits.paymaster_verification {
            metered.paymaster = found.paymaster_verification;
        }
        if metered != self.metered {
            metered.charged = metered.charged.max(found.verification + found.paymaster_verification);
        }
        Self { limits: found, metered }
    }

    /// Limits that suffice.
    pub(super) fn limits(self) -> Limits {
        self.limits
    }

    /// For what the EntryPoint does beside, which validation is not metered for.
    pub(super) fn raise(&mut self, by: u128) {
        self.limits.verification += by;
    }

    /// What the operation is charged for validation at the most.
    pub(super) fn charged(self) -> Metered {
        self.metered
    }

    /// The limits with what admission asks for beyond what is metered: what suffices may be above that already.
    pub(super) fn with_slack(self, op: &UserOperation, version: EntryPointVersion, context: usize) -> Limits {
        let mut limits = self.limits;
        let paymaster = op.paymaster.is_some();
        let beside = match (version, paymaster, context) {
            // Three times the limit is paid for, which is room enough.
            (EntryPointVersion::V0_6, true, 0) => 0,
            (EntryPointVersion::V0_6, ..) => beside(op, version, context),
            _ => 0,
        };
        limits.verification = limits.verification.max(self.metered.account + VALIDATION_GAS_SLACK + beside);
        if paymaster && version.is_packed() {
            limits.paymaster_verification =
                limits.paymaster_verification.max(self.metered.paymaster + VALIDATION_GAS_SLACK);
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(verification: u128, call: u128, paymaster_verification: u128, post_op: u128) -> Limits {
        Limits { verification, call, paymaster_verification, post_op }
    }

    #[test]
    fn a_signature_has_room_in_what_verifies_it_and_nowhere_else() {
        let roomy = limits(20_000, 30_000, 40_000, 50_000).with_room_for_signatures();
        assert_eq!(roomy, limits(22_000, 30_000, 43_000, 50_000));
        let seen_through = limits(20_000, 30_000, 40_000, 50_000).with_room_for_another_way();
        assert_eq!(seen_through, limits(20_700, 30_000, 40_900, 50_000));
    }

    #[test]
    fn halfway_is_between_the_limits_of_the_part_and_the_others_are_the_higher() {
        let (low, high) = (limits(1_000, 2_000, 3_000, 4_000), limits(3_000, 6_000, 9_000, 12_000));
        let between = |part| low.between(high, part).unwrap();
        assert_eq!(between(Part::Validation), limits(2_000, 6_000, 6_000, 12_000));
        assert_eq!(between(Part::Call), limits(3_000, 4_000, 9_000, 12_000));
        assert_eq!(between(Part::Execution), limits(3_000, 4_000, 9_000, 8_000));
        assert_eq!(between(Part::PostOp), limits(3_000, 6_000, 9_000, 8_000));
    }

    #[test]
    fn what_is_as_close_as_matters_is_not_halved_again() {
        let call = |low, high| limits(0, low, 0, 0).between(limits(0, high, 0, 0), Part::Call).map(|it| it.call);
        assert_eq!(call(1_000, 1_016), None);
        assert_eq!(call(1_000, 1_017), Some(1_008));
        // Of large ones a thousandth.
        assert_eq!(call(999_000, 1_000_000), None);
        assert_eq!(call(998_998, 1_000_000), Some(999_499));
    }

    #[test]
    fn a_part_is_raised_twice_as_high_and_never_above_the_most() {
        let (now, most) = (limits(100, 200, 300, 400), limits(1_250, 1_300, 1_700, 1_350));
        assert_eq!(now.raised(Part::Validation, most), limits(1_200, 200, 1_600, 400));
        assert_eq!(now.raised(Part::Call, most), limits(100, 1_300, 300, 400));
        assert_eq!(now.raised(Part::Execution, most), limits(100, 1_300, 300, 1_350));
        assert_eq!(now.raised(Part::PostOp, most), limits(100, 200, 300, 1_350));
        assert_eq!(now.given_all(Part::Validation, most), limits(1_250, 200, 1_700, 400));
        assert_eq!(now.given_all(Part::PostOp, limits(0, 0, 0, 0)), now, "and never lowered");
    }

    /// Measured with these limits and so much metered, and given no room.
    fn reckoned(limits: Limits, account: u128, paymaster: u128) -> Reckoned {
        let metered = Metered { account, paymaster, charged: account + paymaster };
        Reckoned::new(Shown { limits, metered }, limits)
    }

    #[test]
    fn admission_asks_for_slack_where_the_version_has_a_limit_for_it() {
        let limits = limits(10, 20, 30, 40);
        let alone = UserOperation::default();
        let paid = UserOperation { paymaster: Some(Default::default()), ..UserOperation::default() };
        let slack = VALIDATION_GAS_SLACK;
        for version in [EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
            let of = |op| reckoned(limits, 10, 30).with_slack(op, version, 0);
            assert_eq!(of(&alone), Limits { verification: 10 + slack, ..limits });
            let both = Limits { verification: 10 + slack, paymaster_verification: 30 + slack, ..limits };
            assert_eq!(of(&paid), both);
        }
        let old = EntryPointVersion::V0_6;
        let with = |op, context| reckoned(limits, 10, 30).with_slack(op, old, context).verification - 10 - slack;
        assert_eq!(with(&paid, 0), 0);
        assert_eq!(with(&paid, 5), beside(&paid, old, 5));
        assert_eq!(with(&alone, 0), beside(&alone, old, 0));
        assert!(with(&alone, 0) > 0);
        assert_eq!(reckoned(limits, 10, 30).with_slack(&paid, old, 5).paymaster_verification, 30);
    }

    #[test]
    fn slack_is_over_what_is_metered_and_not_over_what_a_call_within_must_be_able_to_pass_on() {
        let (version, slack) = (EntryPointVersion::V0_8, VALIDATION_GAS_SLACK);
        let paid = UserOperation { paymaster: Some(Default::default()), ..UserOperation::default() };
        let with = |of: Reckoned| {
            let limits = of.with_slack(&paid, version, 0);
            (limits.verification, limits.paymaster_verification)
        };
        let least = limits(50_000, 0, 20_000, 0);
        assert_eq!(with(reckoned(least, 49_000, 19_999)), (49_000 + slack, 19_999 + slack));
        assert_eq!(with(reckoned(least, 45_000, 15_000)), (50_000, 20_000), "what is passed on has the slack in it");
    }

    #[test]
    fn room_for_signatures_counts_as_used_and_so_does_all_that_is_found_to_be_needed() {
        let metered = Metered { account: 100, paymaster: 50, charged: 155 };
        let shown = Shown { limits: limits(110, 0, 60, 0), metered };
        let roomy = Reckoned::new(shown, limits(120, 0, 65, 0));
        assert_eq!(roomy.charged(), Metered { account: 110, paymaster: 55, charged: 170 });
        assert_eq!(roomy.found(limits(120, 9, 65, 9)).charged(), roomy.charged());
        let raised = roomy.found(limits(500, 0, 65, 0)).charged();
        assert_eq!(raised, Metered { account: 500, paymaster: 55, charged: 565 });
        let raised = roomy.found(limits(120, 0, 400, 0)).charged();
        assert_eq!(raised, Metered { account: 110, paymaster: 400, charged: 520 });
    }
}
