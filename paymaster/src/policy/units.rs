//! Amounts and times, as people write them: `"0.5 ether"`, `"20 usd"`, `"1 day"`.

use alloy::primitives::{U256, utils::parse_units};

use crate::ledger::Unit;

fn split(text: &str) -> Option<(&str, &str)> {
    let (number, unit) = text.trim().split_once(' ')?;
    Some((number, unit.trim()))
}

fn units(number: &str, decimals: u8) -> Option<U256> {
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    // More decimals than there are would be cut off in silence.
    if number.split_once('.').is_some_and(|(_, decimals_given)| decimals_given.len() > usize::from(decimals)) {
        return None;
    }
    parse_units(number, decimals).ok().map(|parsed| parsed.get_absolute())
}

/// Wei: `"0.05 ether"`, `"20 gwei"`, `"100 wei"`.
pub(super) fn wei(text: &str) -> Result<U256, String> {
    let decimals = |unit| match unit {
        "ether" => Some(18),
        "gwei" => Some(9),
        "wei" => Some(0),
        _ => None,
    };
    split(text)
        .and_then(|(number, unit)| units(number, decimals(unit)?))
        .ok_or_else(|| format!("`{text}` is no amount such as \"0.05 ether\", \"20 gwei\" or \"100 wei\""))
}

/// What a limit counts, and how much of it.
pub(super) fn amount(text: &str) -> Result<(Unit, U256), String> {
    let read = || {
        let (number, unit) = split(text)?;
        Some(match unit {
            "usd" => (Unit::MicroUsd, units(number, 6)?),
            "operations" | "operation" => (Unit::Count, units(number, 0)?),
            "in flight" => (Unit::InFlight, units(number, 0)?),
            _ => (Unit::Wei, wei(text).ok()?),
        })
    };
    read().ok_or_else(|| {
        format!("`{text}` is no amount such as \"0.5 ether\", \"20 usd\", \"100 operations\" or \"3 in flight\"")
    })
}

/// Seconds: `"1 day"`, `"12 hours"`; 0 for `"never"`.
pub(super) fn period(text: &str) -> Result<u64, String> {
    if text == "never" {
        return Ok(0);
    }
    let seconds = |unit: &str| match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => Some(1),
        "minute" => Some(60),
        "hour" => Some(3_600),
        "day" => Some(86_400),
        "week" => Some(604_800),
        _ => None,
    };
    split(text)
        .and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(seconds(unit)?))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| format!("`{text}` is no time such as \"1 day\", \"12 hours\" or \"never\""))
}

/// Milliseconds: `"800 ms"`, `"2 seconds"`.
pub(super) fn millis(text: &str) -> Result<u64, String> {
    if let Some(number) = text.strip_suffix(" ms") {
        return number.parse().map_err(|_| format!("`{text}` is no time such as \"800 ms\""));
    }
    period(text).map(|seconds| seconds.saturating_mul(1_000))
}

/// Millionths of a dollar: `"2500.50"`.
pub(super) fn dollars(text: &str) -> Result<U256, String> {
    units(text, 6).filter(|price| !price.is_zero()).ok_or_else(|| format!("`{text}` is no price such as \"2500.50\""))
}

/// A 256-bit word: a number, `0x` and up to 64 digits, an address among them.
pub(super) fn word(text: &str) -> Option<U256> {
    match text.strip_prefix("0x") {
        Some(digits) => U256::from_str_radix(digits, 16).ok(),
        None => U256::from_str_radix(text, 10).ok(),
    }
}

/// Seconds since 1970 of a TOML date with time and offset.
pub(super) fn timestamp(date: &toml::value::Datetime) -> Option<u64> {
    let (day, time) = (date.date?, date.time?);
    let offset = match date.offset? {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes) * 60,
    };
    // Days since 1970 in the proleptic Gregorian calendar, years counted from March.
    let (year, month) = (i64::from(day.year), i64::from(day.month));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + i64::from(day.day)
        - 719_469;
    let seconds = i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    u64::try_from(days * 86_400 + seconds - offset).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        assert_eq!(wei("0.05 ether"), Ok(U256::from(50_000_000_000_000_000_u64)));
        assert_eq!(wei("1.5 gwei"), Ok(U256::from(1_500_000_000)));
        assert_eq!(amount("20.5 usd"), Ok((Unit::MicroUsd, U256::from(20_500_000))));
        assert_eq!(amount("3 in flight"), Ok((Unit::InFlight, U256::from(3))));
        assert_eq!(amount("7 wei"), Ok((Unit::Wei, U256::from(7))));
        for wrong in ["1", "1 eth", "-1 ether", "0.5 wei", "1.0000001 usd", "", "x ether", "1e3 gwei", "0.5 operations"]
        {
            assert!(amount(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!([period("1 day"), period("12 hours"), period("never")], [Ok(86_400), Ok(43_200), Ok(0)]);
        assert_eq!([millis("800 ms"), millis("2 seconds")], [Ok(800), Ok(2_000)]);
        assert!(period("0 days").is_err() && period("1 fortnight").is_err() && millis("soon").is_err());
    }

    #[test]
    fn dates_are_counted_from_1970() {
        let at = |text: &str| timestamp(&text.parse().unwrap());
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("2024-02-29T12:34:56Z"), Some(1_709_210_096));
        assert_eq!(at("2026-11-24T20:00:00+02:00"), Some(1_795_543_200));
        assert_eq!(at("2026-11-24"), None);
    }
}
