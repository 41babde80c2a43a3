//! The least limits that a traced run would have needed.

use alloy::primitives::Address;
use erc4337::{EntryPointVersion, UserOperation};

use crate::{
    bounds::{VALIDATION_GAS_SLACK, beside},
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
    /// a contract found it good, may yet be another way.
    pub(super) fn with_room_for_another_way(self) -> Self {
        let room = |limit: u128| limit + limit / 100;
        Self {
            verification: room(self.verification),
            paymaster_verification: room(self.paymaster_verification),
            ..self
        }
    }

    /// These limits with what admission asks for beyond what suffices.
    pub(super) fn with_slack(mut self, op: &UserOperation, version: EntryPointVersion, context: usize) -> Self {
        let paymaster = op.paymaster.is_some();
        self.verification += match (version, paymaster, context) {
            // Three times the limit is paid for, which is room enough.
            (EntryPointVersion::V0_6, true, 0) => VALIDATION_GAS_SLACK,
            (EntryPointVersion::V0_6, ..) => VALIDATION_GAS_SLACK + beside(op, version, context),
            _ => VALIDATION_GAS_SLACK,
        };
        if paymaster && version.is_packed() {
            self.paymaster_verification += VALIDATION_GAS_SLACK;
        }
        self
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

/// The least limits with which the traced run would have gone the same way.
pub(super) fn limits(trace: &Trace, op: &UserOperation, entry_point: Address, version: EntryPointVersion) -> Limits {
    let frames = Frames::find(trace, op, entry_point, version);
    let demand = |frame: Option<&Frame>| frame.map_or(0, |frame| u128::from(frame.demand));
    let paymaster_frame = frames.paymaster_validation.map(|(index, _)| index);

    // The EntryPoint compares its own gas readings with the limits (AA26, AA36, AA40); so do we.
    let validation_end = trace.validation_frames.unwrap_or(trace.frames.len());
    let reading = |frames: usize| {
        let last = trace.gas_readings.iter().take_while(|reading| reading.frames <= frames).last();
        last.map_or(0, |reading| reading.remaining)
    };
    let start = trace.gas_readings.first().map_or(0, |reading| reading.remaining);
    let account_end = reading(paymaster_frame.unwrap_or(validation_end));
    let end = reading(validation_end);
    let metered = |from: u64, to: u64| u128::from(from.saturating_sub(to));

    let own = demand(frames.creation).max(demand(frames.validation)).max(metered(start, account_end));
    let paymaster = demand(frames.paymaster_validation.map(|(_, frame)| frame));
    let post_op = demand(frames.post_op.map(|(_, frame)| frame));
    let call = demand(frames.call);
    if version == EntryPointVersion::V0_6 {
        // One limit for the account, then for what is left of it the paymaster, then again for postOp.
        let verification = own.max(metered(start, account_end) + paymaster).max(metered(start, end)).max(post_op);
        return Limits { verification, call, paymaster_verification: 0, post_op: 0 };
    }
    Limits { verification: own, call, paymaster_verification: paymaster.max(metered(account_end, end)), post_op }
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

    #[test]
    fn admission_asks_for_slack_where_the_version_has_a_limit_for_it() {
        let limits = limits(10, 20, 30, 40);
        let alone = UserOperation::default();
        let paid = UserOperation { paymaster: Some(Default::default()), ..UserOperation::default() };
        let slack = VALIDATION_GAS_SLACK;
        for version in [EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
            let of = |op| limits.with_slack(op, version, 0);
            assert_eq!(of(&alone), Limits { verification: 10 + slack, ..limits });
            let both = Limits { verification: 10 + slack, paymaster_verification: 30 + slack, ..limits };
            assert_eq!(of(&paid), both);
        }
        let old = EntryPointVersion::V0_6;
        let with = |op, context| limits.with_slack(op, old, context).verification - 10 - slack;
        assert_eq!(with(&paid, 0), 0);
        assert_eq!(with(&paid, 5), beside(&paid, old, 5));
        assert_eq!(with(&alone, 0), beside(&alone, old, 0));
        assert!(with(&alone, 0) > 0);
        assert_eq!(limits.with_slack(&paid, old, 5).paymaster_verification, 30);
    }
}
