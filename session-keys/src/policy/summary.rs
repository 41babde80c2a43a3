//! A policy in words, for consoles, logs and the person who is asked.

use std::{collections::BTreeMap, fmt::Write};

use alloy::primitives::{Address, utils::format_units};
use alloy::sol_types::SolCall;
use erc4337::abi::test_usdc::approveCall;

use super::{Policy, SpendLimit};

/// What addresses are called.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Contracts.
    pub contracts: BTreeMap<Address, String>,
    /// Tokens: symbol and decimals. Native currency is ETH unless it is listed as the zero address.
    pub tokens: BTreeMap<Address, (String, u8)>,
}

impl Names {
    fn contract(&self, address: Address) -> String {
        let named = self.contracts.get(&address).or_else(|| self.tokens.get(&address).map(|(symbol, _)| symbol));
        named.cloned().unwrap_or_else(|| address.to_string())
    }

    fn amount(&self, token: Address, amount: u128) -> String {
        let native = ("ETH".to_owned(), 18);
        let known = self.tokens.get(&token).or(token.is_zero().then_some(&native));
        let Some((symbol, decimals)) = known else { return format!("{amount} base units of {token}") };
        let text = format_units(amount, *decimals).unwrap_or_else(|_| amount.to_string());
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{text} {symbol}")
    }
}

impl Policy {
    /// The policy in one line: what it may spend and where, what it may sign, until when.
    ///
    /// `now` is Unix time; the year is named only if it is another.
    pub fn summary(&self, names: &Names, now: u64) -> String {
        let mut parts = Vec::new();
        let mut told: Vec<Address> = Vec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            let counts = |number: u8| usize::from(number) == index + 1;
            let rules: Vec<_> = self.calls.iter().filter(|r| counts(r.amount_limit) || counts(r.value_limit)).collect();
            let is_approval = |rule: &&&super::CallRule| rule.selector == approveCall::SELECTOR;
            let approvals = rules.iter().filter(is_approval).count();
            if rules.is_empty() || (approvals == rules.len() && self.has_twin(index)) {
                continue; // Approvals for what another limit of the same size counts are no second spending.
            }
            let mut targets: Vec<Address> = Vec::new();
            rules.iter().for_each(|rule| {
                if !targets.contains(&rule.target) {
                    targets.push(rule.target)
                }
            });
            told.extend(&targets);
            let on: Vec<_> = targets.iter().map(|target| names.contract(*target)).collect();
            parts.push(format!("{} on {}", self.spending(limit, names), on.join(" and ")));
        }
        if parts.is_empty() {
            parts.push("no spending".into());
        }
        let mut free: Vec<Address> = Vec::new();
        for rule in self.calls.iter().filter(|rule| rule.amount_limit == 0 && rule.value_limit == 0) {
            if !told.contains(&rule.target) && !free.contains(&rule.target) {
                free.push(rule.target);
            }
        }
        if !free.is_empty() {
            let free: Vec<_> = free.iter().map(|target| names.contract(*target)).collect();
            parts.push(format!("calls without spending to {}", free.join(" and ")));
        }
        for right in &self.vouchers {
            let most = u128::try_from(right.max_amount).ok();
            let token = self.limits.first().map(|limit| limit.token).unwrap_or_default();
            let most = most.map_or_else(|| "any amount".to_owned(), |most| names.amount(token, most));
            parts.push(format!("vouchers of up to {most}"));
        }
        let mut text = parts.join(", ");
        if let Some(uses) = self.max_uses {
            let _ = write!(text, ", {uses} times");
        }
        let _ = write!(text, " until {}", date(self.valid_until, now));
        text
    }

    fn spending(&self, limit: &SpendLimit, names: &Names) -> String {
        let every = match self.period {
            0 => return format!("up to {} in all", names.amount(limit.token, limit.per_period.min(limit.total))),
            3_600 => "an hour".to_owned(),
            86_400 => "a day".to_owned(),
            604_800 => "a week".to_owned(),
            seconds => format!("every {seconds} seconds"),
        };
        let mut text = format!("up to {} {every}", names.amount(limit.token, limit.per_period));
        let periods = u128::from((self.valid_until.saturating_sub(self.valid_after) + 1).div_ceil(self.period));
        if limit.total < limit.per_period.saturating_mul(periods) {
            let _ = write!(text, ", {} in all,", names.amount(limit.token, limit.total));
        }
        text
    }

    fn has_twin(&self, index: usize) -> bool {
        self.limits.iter().enumerate().any(|(other, limit)| other != index && *limit == self.limits[index])
    }
}

/// "3 December", or "3 December 2027" if that is not this year; midnight is told as a time of day, too.
fn date(time: u64, now: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, month, day) = civil(time / 86_400);
    let name = MONTHS[month as usize - 1];
    if civil(now / 86_400).0 == year { format!("{day} {name}") } else { format!("{day} {name} {year}") }
}

/// Year, month and day of this day since 1970, in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years begin in March, so that the leap day is their last.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;
    use crate::{policy::marketplace::Marketplace, public::PublicKey};

    const NOW: u64 = 1_795_000_000; // 18 November 2026

    fn market() -> (Marketplace, Names) {
        let [token, escrow, jobs, sessions] = [1, 2, 3, 4].map(Address::repeat_byte);
        let contracts = [(escrow, "PaymentEscrow"), (jobs, "JobMarketplace"), (sessions, "SessionMarketplace")];
        let names = Names {
            contracts: contracts.map(|(address, name)| (address, name.to_owned())).into(),
            tokens: [(token, ("USDC".to_owned(), 6))].into(),
        };
        (Marketplace { chain_id: 1, token, escrow, jobs, sessions }, names)
    }

    fn until(valid_until: u64) -> Policy {
        Policy {
            key: PublicKey::Address(Address::repeat_byte(9)),
            valid_after: NOW,
            valid_until,
            period: 86_400,
            max_uses: None,
            epoch: 0,
            salt: U256::ZERO,
            paymaster: None,
            gas_budget: 0,
            limits: vec![],
            calls: vec![],
            vouchers: vec![],
        }
    }

    #[test]
    fn a_marketplace_policy_reads_as_a_person_would_say_it() {
        let (at, names) = market();
        let third = 1_796_256_000 + 3_600; // 3 December 2026, 01:00
        let policy = until(third).with_jobs(&at, 5_000_000, 1_000_000_000);
        let head = "up to 5 USDC a day on JobMarketplace";
        assert_eq!(
            policy.summary(&names, NOW),
            format!("{head}, calls without spending to PaymentEscrow until 3 December")
        );
        let mut spending_only = policy.clone();
        spending_only.calls.retain(|rule| rule.amount_limit != 0);
        assert_eq!(spending_only.summary(&names, NOW), format!("{head} until 3 December"));
    }

    #[test]
    fn totals_that_bind_uses_vouchers_and_other_years_are_told() {
        let (at, names) = market();
        let mut policy = until(NOW + 400 * 86_400).with_streaming(&at, 1_500_000, 20_000_000, U256::from(2_000_000));
        policy.max_uses = Some(7);
        assert_eq!(
            policy.summary(&names, NOW),
            "up to 1.5 USDC a day, 20 USDC in all, on SessionMarketplace, calls without spending to PaymentEscrow, \
             vouchers of up to 2 USDC, 7 times until 23 December 2027"
        );
    }

    #[test]
    fn what_has_no_name_is_told_by_its_address_and_a_policy_of_nothing_says_so() {
        let mut policy = until(NOW + 60);
        assert_eq!(policy.summary(&Names::default(), NOW), "no spending until 18 November");
        let (at, _) = market();
        policy = policy.with_jobs(&at, 5, 5);
        assert!(policy.summary(&Names::default(), NOW).contains(&format!("5 base units of {}", at.token)));
    }
}
