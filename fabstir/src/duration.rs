//! Times as people write them.

use std::time::Duration;

/// A number and its unit: `200ms`, `3s`, `5m`, `12h`, `30d`.
///
/// # Errors
/// What was expected.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let time = number.parse::<u64>().ok().zip(millis).and_then(|(number, millis)| number.checked_mul(millis));
    time.map(Duration::from_millis).ok_or_else(|| "a whole number with ms, s, m, h or d after it, such as 30s".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, millis) in [("200ms", 200), ("3s", 3_000), ("5m", 300_000), ("12h", 43_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "3", "s", "1.5s", "-1s", "3 s", "3sec", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
