//! Validity windows against the block to come.
//!
//! ```text
//!            HOLD before it        valid in every second that        MARGIN before
//!            opens                 the next block may have           its end
//!  ─ refused ──┤ held in the mempool ├──────── bundled ────────────────┤ refused ─►
//! ```
//!
//! An operation that is not valid yet, but soon, is taken and held: whoever signs for a second and sends it in that second
//! cannot know which second the next block has. ERC-4337 would have it refused until it is valid, and sent again.

use std::time::Duration;

use alloy::primitives::Address;
use erc4337::{EntryPointVersion, UserOperation, ValidationData, revert::EntryPointRevert};

use super::{Validated, verdict::answers};
use crate::{
    Rejection,
    evm::{Ending, Moment, NextBlock, Run},
    rejection::Entity,
};

/// How long before it is valid an operation is taken, and held.
pub(crate) const HOLD: Duration = Duration::from_secs(30);
/// How long it must be valid yet when it is taken, to be mined and not only proven.
pub(crate) const MARGIN: Duration = Duration::from_secs(10);
/// How long it must be valid yet when it goes into a bundle, which may miss a block.
pub(crate) const MISSED: Duration = Duration::from_secs(2);

/// How long it must be valid yet for the transaction that carries it to be left alone.
pub(crate) const NEARLY: Duration = Duration::from_secs(1);

/// Whether this text of the EntryPoint's is about a validity window.
pub(crate) fn is_about_time(reason: &str) -> bool {
    // In seconds, and in blocks (v0.9), of account and paymaster.
    ["AA22", "AA27", "AA32", "AA37"].iter().any(|code| reason.starts_with(code))
}

/// The bounds' measure at this moment.
fn measure(data: &ValidationData, at: Moment) -> u64 {
    if data.by_block { at.number } else { at.timestamp }
}

/// This much time in the bounds' measure.
fn span(data: &ValidationData, time: Duration, next: &NextBlock) -> u64 {
    if data.by_block { next.blocks_in(time) } else { time.as_secs() }
}

impl Validated {
    fn windows(&self) -> impl Iterator<Item = (Entity, ValidationData)> {
        let paymaster = self.paymaster.map(|data| (Entity::Paymaster, data));
        std::iter::once((Entity::Account, self.account)).chain(paymaster)
    }

    /// Whether both windows hold in a block of this moment, as this EntryPoint compares them.
    pub(crate) fn is_valid_at(&self, at: Moment, version: EntryPointVersion) -> bool {
        self.windows().all(|(_, data)| (data.first_valid(version)..=data.valid_until).contains(&measure(&data, at)))
    }

    /// Whether it is valid whichever second the next block has, and for a moment after.
    pub(crate) fn is_open(&self, next: &NextBlock, version: EntryPointVersion) -> bool {
        !self.is_early(next, version) && self.too_late(next, MISSED).is_none()
    }

    /// Whether the next block may come before it is valid.
    pub(crate) fn is_early(&self, next: &NextBlock, version: EntryPointVersion) -> bool {
        self.windows().any(|(_, data)| measure(&data, next.first()) < data.first_valid(version))
    }

    /// Whether it will not be valid any more, whichever second the next block has.
    pub(crate) fn is_over(&self, next: &NextBlock) -> bool {
        self.windows().any(|(_, data)| data.valid_until < measure(&data, next.first()))
    }

    /// Whether it is not valid for ever.
    pub(crate) fn may_expire(&self) -> bool {
        // All 48 bits is how many say "for ever".
        self.windows().any(|(_, data)| data.valid_until < (1 << 48) - 1)
    }

    /// Whether it may not be valid any more in the block after the next.
    pub(crate) fn is_running_out(&self, next: &NextBlock) -> bool {
        self.too_late(next, NEARLY).is_some()
    }

    /// Whether it may not be valid any more so long after the next block.
    pub(crate) fn ends_within(&self, next: &NextBlock, margin: Duration) -> bool {
        self.too_late(next, margin).is_some()
    }

    /// Whose window ends less than this after the next block at its latest, and that window.
    fn too_late(&self, next: &NextBlock, margin: Duration) -> Option<(Entity, ValidationData)> {
        let last = next.last();
        self.windows().find(|(_, data)| data.valid_until < measure(data, last).saturating_add(span(data, margin, next)))
    }

    /// Refuses what would be over before it could be mined, this long after the first block that it may be in.
    pub(crate) fn check_end(
        &self,
        next: &NextBlock,
        version: EntryPointVersion,
        margin: Duration,
        paymaster: Option<Address>,
    ) -> Result<(), Rejection> {
        let next = opening(self.windows(), next, version).map_or(*next, |opens| next.not_before(opens));
        match self.too_late(&next, margin) {
            None => Ok(()),
            Some((entity, data)) => Err(Rejection::TimeRange {
                entity,
                message: format!("expires at {}, too soon to be mined", data.valid_until),
                valid_after: Some(data.valid_after),
                valid_until: Some(data.valid_until),
                paymaster: paymaster.filter(|_| entity == Entity::Paymaster),
            }),
        }
    }
}

/// The first moment at which all of these hold, if that is after the next block may be.
fn opening(
    windows: impl IntoIterator<Item = (Entity, ValidationData)>,
    next: &NextBlock,
    version: EntryPointVersion,
) -> Option<Moment> {
    let first = next.first();
    let opens = windows.into_iter().fold(first, |opens, (_, data)| match (data.first_valid(version), data.by_block) {
        (number, true) => Moment { number: opens.number.max(number), ..opens },
        (timestamp, false) => Moment { timestamp: opens.timestamp.max(timestamp), ..opens },
    });
    (opens != first).then_some(opens)
}

/// The moment to run an operation at again that was run in the next block as early as that may be, and refused because it
/// is not valid yet: when it will be, if that is soon. None if time is not the reason.
///
/// # Errors
/// If it is not valid for longer than we hold operations.
pub(crate) fn later(
    run: &Run,
    op: &UserOperation,
    (entry_point, version): (Address, EntryPointVersion),
    next: &NextBlock,
) -> Result<Option<Moment>, Rejection> {
    let Ending::Reverted(data) = &run.ending else { return Ok(None) };
    let revert = EntryPointRevert::decode(data);
    if !matches!(&revert, EntryPointRevert::FailedOp { reason, .. } if is_about_time(reason)) {
        return Ok(None);
    }
    let (account, paymaster) = answers(run, op, entry_point, version);
    let windows = [account.map(|data| (Entity::Account, data)), paymaster.map(|data| (Entity::Paymaster, data))];
    let windows = || windows.into_iter().flatten();
    let Some(opens) = opening(windows(), next, version) else { return Ok(None) };
    let first = next.first();
    for (entity, data) in windows() {
        if data.first_valid(version) > measure(&data, first).saturating_add(span(&data, HOLD, next)) {
            let unit = if data.by_block { "block" } else { "second" };
            let from = data.first_valid(version);
            return Err(Rejection::TimeRange {
                entity,
                message: format!(
                    "{revert}: valid from {unit} {from}; the next block may be {unit} {}, and an operation is taken {} s \
                     before it is valid at the earliest: send it again then",
                    measure(&data, first),
                    HOLD.as_secs(),
                ),
                valid_after: Some(data.valid_after),
                valid_until: Some(data.valid_until),
                paymaster: op.paymaster_address().filter(|_| entity == Entity::Paymaster),
            });
        }
    }
    Ok(Some(opens))
}

#[cfg(test)]
mod tests {
    use super::*;

    use EntryPointVersion::{V0_6, V0_7, V0_8, V0_9};

    /// Blocks of 200 ms whose next has second 1,000 or 1,001, and number 50.
    const NEXT: NextBlock =
        NextBlock { number: 50, earliest: 1_000, latest: 1_001, block_time: Duration::from_millis(200) };

    fn valid(after: u64, until: u64) -> Validated {
        let account = ValidationData { valid_after: after, valid_until: until, ..ValidationData::VALID };
        Validated { account, paymaster: None, gas_used: 0 }
    }

    fn of_paymaster(validated: Validated) -> Validated {
        Validated { account: ValidationData::VALID, paymaster: Some(validated.account), ..validated }
    }

    fn by_block(after: u64, until: u64) -> Validated {
        let Validated { account, .. } = valid(after, until);
        Validated { account: ValidationData { by_block: true, ..account }, ..valid(0, 0) }
    }

    #[test]
    fn what_may_be_mined_a_second_too_early_is_early_as_the_version_compares() {
        for version in EntryPointVersion::ALL {
            for whose in [std::convert::identity as fn(Validated) -> Validated, of_paymaster] {
                let early = |after| whose(valid(after, 9_999)).is_early(&NEXT, version);
                assert!(!early(999), "{version}: valid in 1,000 and 1,001");
                assert_eq!(early(1_000), matches!(version, V0_8 | V0_9), "{version}: these want to be after it");
                assert!(early(1_001), "{version}: not valid in 1,000");
            }
        }
        assert!(!by_block(49, 99).is_early(&NEXT, V0_9));
        assert!(by_block(50, 99).is_early(&NEXT, V0_9), "the next block itself is number 50");
    }

    #[test]
    fn what_goes_into_a_bundle_holds_for_two_seconds_after_the_last_second_of_the_next_block() {
        assert!(valid(0, 1_003).is_open(&NEXT, V0_7));
        assert!(!valid(0, 1_002).is_open(&NEXT, V0_7));
        assert!(!of_paymaster(valid(0, 1_002)).is_open(&NEXT, V0_7));
        assert!(by_block(0, 60).is_open(&NEXT, V0_9) && !by_block(0, 59).is_open(&NEXT, V0_9), "ten blocks");
    }

    #[test]
    fn what_is_in_flight_runs_out_when_it_holds_for_less_than_a_second_after_the_next_block() {
        assert!(!valid(0, 1_002).is_running_out(&NEXT) && valid(0, 1_001).is_running_out(&NEXT));
        assert!(of_paymaster(valid(0, 1_001)).is_running_out(&NEXT));
        assert!(!by_block(0, 55).is_running_out(&NEXT) && by_block(0, 54).is_running_out(&NEXT), "five blocks");
    }

    #[test]
    fn it_is_over_when_no_second_of_the_next_block_is_in_it() {
        assert!(valid(0, 999).is_over(&NEXT));
        assert!(!valid(0, 1_000).is_over(&NEXT));
        assert!(by_block(0, 49).is_over(&NEXT) && !by_block(0, 50).is_over(&NEXT));
    }

    #[test]
    fn what_comes_in_must_hold_for_ten_seconds_from_when_it_may_be_mined() {
        let check = |validated: Validated, margin| validated.check_end(&NEXT, V0_6, margin, None).is_ok();
        assert!(check(valid(0, 1_011), MARGIN) && !check(valid(0, 1_010), MARGIN));
        assert!(check(valid(0, 1_001), Duration::ZERO) && !check(valid(0, 1_000), Duration::ZERO));
        // From then on, not from now on.
        assert!(check(valid(1_020, 1_030), MARGIN) && !check(valid(1_020, 1_029), MARGIN));
        assert!(by_block(0, 100).check_end(&NEXT, V0_9, MARGIN, None).is_ok());
        let refused = by_block(0, 99).check_end(&NEXT, V0_9, MARGIN, None);
        assert!(
            matches!(refused, Err(Rejection::TimeRange { valid_until: Some(99), .. })),
            "50 blocks are ten seconds"
        );
    }

    #[test]
    fn a_window_that_is_refused_names_the_paymaster_whose_it_is() {
        let paymaster = Some(Address::repeat_byte(7));
        let named = |validated: Validated| match validated.check_end(&NEXT, V0_7, MARGIN, paymaster) {
            Err(refused @ Rejection::TimeRange { .. }) => refused.data().map(|data| data["paymaster"].clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(named(of_paymaster(valid(0, 1_005))), Some(serde_json::json!(paymaster)));
        assert_eq!(named(valid(0, 1_005)), Some(serde_json::Value::Null));
    }

    #[test]
    fn on_a_chain_of_twelve_seconds_what_ends_before_the_block_after_the_next_is_refused() {
        let next = NextBlock { number: 50, earliest: 1_012, latest: 1_012, block_time: Duration::from_secs(12) };
        let check = |until| valid(0, until).check_end(&next, V0_7, MARGIN, None).is_ok();
        assert!(!check(1_011) && !check(1_021) && check(1_022) && check((1 << 48) - 1));
    }

    #[test]
    fn two_windows_open_when_both_do() {
        let both = Validated { paymaster: Some(valid(1_020, 9_999).account), ..valid(1_010, 9_999) };
        let opens = |version| opening(both.windows(), &NEXT, version);
        assert_eq!(opens(V0_7), Some(Moment { number: 50, timestamp: 1_020 }));
        assert_eq!(opens(V0_8), Some(Moment { number: 50, timestamp: 1_021 }));
        let mixed = Validated { paymaster: Some(by_block(70, 99).account), ..valid(1_010, 9_999) };
        assert_eq!(opening(mixed.windows(), &NEXT, V0_9), Some(Moment { number: 71, timestamp: 1_011 }));
        assert_eq!(opening(valid(999, 9_999).windows(), &NEXT, V0_9), None);
    }

    /// The block after so many others, where the next came `phase` fifths into second 1,000.
    fn later_block(blocks: u64, phase: u64) -> Moment {
        Moment { number: NEXT.number + blocks, timestamp: NEXT.earliest + (blocks + phase) / 5 }
    }

    #[test]
    fn what_is_taken_is_valid_for_long_enough_in_blocks_that_come() {
        // Of 30 s, each two bounds, in seconds or in blocks, of account and of paymaster: inverted, equal and empty ones too.
        let times: Vec<_> = [0, 999, 1_000, 1_012, 1_025, 1_030, 1_041, 1_060, 1 << 47, u64::MAX].into();
        let heights: Vec<_> = [0, 49, 50, 99, 175, 195, 200, 260, 400].into();
        let of_time = times.iter().flat_map(|after| times.iter().map(|until| valid(*after, *until)));
        let of_blocks = heights.iter().flat_map(|after| heights.iter().map(|until| by_block(*after, *until)));
        let windows: Vec<_> = of_time.chain(of_blocks).filter(|it| it.account.valid_after < 1 << 48).collect();
        let (mut taken, mut never) = (0, Vec::new());
        for account in &windows {
            for paymaster in &windows {
                let both = Validated { paymaster: Some(paymaster.account), ..*account };
                let opens = opening(both.windows(), &NEXT, V0_9).unwrap_or(NEXT.first());
                let held = opens.timestamp <= 1_030 && opens.number <= NEXT.number + 150;
                if !held || both.check_end(&NEXT, V0_9, MARGIN, None).is_err() {
                    continue;
                }
                taken += 1;
                let blocks = (0..300).filter(|blocks| both.is_valid_at(later_block(*blocks, 2), V0_9)).count();
                if blocks < 45 {
                    never.push((both, blocks));
                }
            }
        }
        assert!(taken > 500 && never.is_empty(), "{} of {taken}, such as {:?}", never.len(), never.first());
    }

    #[test]
    fn only_the_entry_points_words_about_time_are_about_time() {
        for about in ["AA22 expired or not due", "AA27 outside valid block range", "AA32 paymaster expired or not due"]
        {
            assert!(is_about_time(about));
        }
        for other in ["AA24 signature error", "AA23 reverted", "AA33 reverted", ""] {
            assert!(!is_about_time(other));
        }
    }
}
