//! Chain time: when a block was made, in milliseconds since 1970, as exactly as the chain tells.
//!
//! A header has whole seconds. Where blocks come faster than that, several share one: nodes may tell the milliseconds
//! beside (`timestampMs`), and where they do not, each block of a second counts as one block time after the one before.
//! A limit that means time is measured against this, never against a number of blocks, which is another time on each
//! chain, nor against our clock, which goes on while the chain stands still.

use std::time::Duration;

use alloy::rpc::types::Header;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A header, with the milliseconds that no Ethereum header has and some nodes tell.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TimedHeader {
    #[serde(flatten)]
    pub(crate) header: Header,
    /// Milliseconds since 1970.
    #[serde(default, deserialize_with = "quantity")]
    pub(crate) timestamp_ms: Option<u64>,
}

impl TimedHeader {
    /// When it was made; `before` is an earlier block of its chain, by height and time.
    pub(crate) fn time(&self, before: Option<(u64, u64)>, block_time: Duration) -> u64 {
        time(self.header.number, self.header.timestamp, self.timestamp_ms, before, block_time)
    }

    /// Milliseconds of its time beyond the whole second; none if they are not told, or not of this second.
    pub(crate) fn millis(&self) -> Option<u16> {
        let told = self.timestamp_ms.filter(|told| told / 1_000 == self.header.timestamp)?;
        u16::try_from(told % 1_000).ok()
    }
}

/// In hex, as everything there, or as a number. What is neither is nothing that we know.
fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()),
        number => number.as_u64(),
    })
}

fn time(number: u64, seconds: u64, told: Option<u64>, before: Option<(u64, u64)>, block_time: Duration) -> u64 {
    let start = seconds.saturating_mul(1_000);
    let second = start..start.saturating_add(1_000);
    if let Some(told) = told.filter(|told| second.contains(told)) {
        return told;
    }
    let Some((height, earlier)) = before.filter(|(height, earlier)| *height < number && second.contains(earlier))
    else {
        return start;
    };
    let since = millis(block_time).saturating_mul(number - height);
    earlier.saturating_add(since).min(second.end - 1)
}

/// A duration as chain time counts it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many blocks come in this time: for whatever goes by height, such as a range of logs or how far to look back.
/// At least one.
pub fn blocks_in(duration: Duration, block_time: Duration) -> u64 {
    millis(duration).div_ceil(millis(block_time).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIFTH: Duration = Duration::from_millis(200);

    #[test]
    fn blocks_that_share_a_second_are_a_block_time_apart_and_stay_in_it() {
        let mut before = None;
        let times: Vec<_> = (0..12_u64)
            .map(|number| {
                // Six in the first second, as it happens when they are not made exactly on time.
                let seconds = if number < 6 { 10 } else { 11 };
                let now = time(number, seconds, None, before, FIFTH);
                before = Some((number, now));
                now
            })
            .collect();
        assert_eq!(times[..6], [10_000, 10_200, 10_400, 10_600, 10_800, 10_999]);
        assert_eq!(times[6..], [11_000, 11_200, 11_400, 11_600, 11_800, 11_999]);
    }

    #[test]
    fn it_never_goes_back_along_a_chain() {
        let mut state = 7_u64;
        let (mut before, mut seconds) = (None, 1_000);
        for number in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seconds += u64::from(state >> 62 == 0);
            let now = time(number, seconds, None, before, FIFTH);
            assert!(before.is_none_or(|(_, earlier)| earlier <= now) && now / 1_000 == seconds, "{number}");
            before = Some((number, now));
        }
    }

    #[test]
    fn what_the_node_tells_counts_if_it_is_in_the_headers_second() {
        assert_eq!(time(5, 10, Some(10_777), Some((4, 10_200)), FIFTH), 10_777);
        assert_eq!(time(5, 10, Some(11_777), Some((4, 10_200)), FIFTH), 10_400);
        assert_eq!(time(5, 10, Some(10), None, FIFTH), 10_000);
    }

    #[test]
    fn blocks_in_between_count_and_another_branch_begins_anew() {
        assert_eq!(time(8, 10, None, Some((5, 10_200)), FIFTH), 10_800);
        assert_eq!(time(5, 10, None, Some((5, 10_600)), FIFTH), 10_000, "the same height");
        assert_eq!(time(6, 10, None, Some((5, 11_000)), FIFTH), 10_000, "an earlier second");
    }

    #[test]
    fn a_node_may_tell_the_milliseconds_or_not() {
        let header = Header {
            inner: alloy::consensus::Header { number: 3, timestamp: 20, ..Default::default() },
            ..Default::default()
        };
        let mut json = serde_json::to_value(&header).unwrap();
        let plain: TimedHeader = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((plain.time(None, FIFTH), plain.header.number), (20_000, 3));
        json["timestampMs"] = json!("0x4ee8");
        // What a block has beside its header.
        json["transactions"] = json!([]);
        let told: TimedHeader = serde_json::from_value(json).unwrap();
        assert_eq!((told.time(None, FIFTH), told.millis()), (20_200, Some(200)));
    }

    #[test]
    fn milliseconds_of_another_second_are_not_believed_and_nothing_else_is_an_error() {
        let header = Header {
            inner: alloy::consensus::Header { timestamp: 1_800_000_000, ..Default::default() },
            ..Default::default()
        };
        let mut json = serde_json::to_value(&header).unwrap();
        for odd in [json!("0x190"), json!(1_800_000_001_000_u64), json!(null), json!("soon"), json!({})] {
            json["timestampMs"] = odd.clone();
            let read: TimedHeader = serde_json::from_value(json.clone()).unwrap();
            assert_eq!((read.millis(), read.time(None, FIFTH)), (None, 1_800_000_000_000), "{odd}");
        }
        json["timestampMs"] = json!(1_800_000_000_999_u64);
        assert_eq!(serde_json::from_value::<TimedHeader>(json).unwrap().millis(), Some(999));
    }

    #[test]
    fn a_time_in_blocks_is_rounded_up() {
        let second = Duration::from_secs(1);
        assert_eq!(blocks_in(second, FIFTH), 5);
        assert_eq!(blocks_in(second, Duration::from_secs(12)), 1);
        assert_eq!(blocks_in(Duration::from_millis(1_001), FIFTH), 6);
        assert_eq!(blocks_in(Duration::ZERO, Duration::ZERO), 1);
    }
}
