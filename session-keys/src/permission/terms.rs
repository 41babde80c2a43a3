//! From a request to a policy.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use erc4337::abi::test_usdc::transferCall;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ERC20_ALLOWANCE, ERC20_PERIODIC, EXPIRY, GAS_BUDGET, MARKETPLACE, NATIVE_ALLOWANCE, NATIVE_PERIODIC, NotGrantable,
    PAYEE, PermissionRequest,
};
use crate::{
    Policy, PublicKey,
    policy::{ArgumentRule, CallRule, Condition, SpendLimit, marketplace::Marketplace},
    service::VoucherTerms,
};

/// The largest amount that the account counts.
const MOST: u128 = (1 << 104) - 1;
/// Seconds of a day.
const DAY: u64 = 86_400;
/// Seconds before now at which a session begins: the chain's clock may be behind, and EntryPoint v0.8 takes an
/// operation only after the first second.
const EARLIER: u64 = 60;

/// What a request does not say.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The session key.
    pub key: PublicKey,
    /// The account's session epoch.
    pub epoch: u64,
    /// Tells sessions of equal content apart.
    pub salt: U256,
    /// Unix time, the chain's.
    pub now: u64,
    /// Most seconds that are granted.
    pub max_lifetime: u64,
    /// Who pays for gas, unless the account does.
    pub paymaster: Option<Address>,
    /// Where the marketplace is.
    pub marketplace: Marketplace,
}

/// What is granted of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Grantable {
    /// As the account enforces it.
    pub policy: Policy,
    /// The right to sign vouchers.
    pub vouchers: Option<VoucherTerms>,
    /// The request as it is granted.
    pub request: PermissionRequest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Periodic {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_address: Option<Address>,
    period_amount: U256,
    period_duration: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    justification: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Allowance {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_address: Option<Address>,
    allowance: U256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    justification: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OnMarketplace {
    period_amount: U256,
    period_duration: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total_amount: Option<U256>,
    /// Whether jobs may be posted. What is not needed is better left out: each operation carries all that is allowed.
    #[serde(default = "yes")]
    jobs: bool,
    /// Of one conversation; its presence allows conversations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_voucher: Option<U256>,
    /// Of all of them; by default what may be deposited in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voucher_ceiling: Option<U256>,
    /// In any minute; by default no less than the ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vouchers_per_minute: Option<U256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    justification: Option<String>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expiry {
    timestamp: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payees {
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GasBudget {
    limit: U256,
}

struct Rules {
    expiry: Option<u64>,
    payees: Vec<Address>,
    gas_budget: Option<U256>,
}

impl PermissionRequest {
    /// The policy that keeps what is asked for, and the request as it is then granted.
    ///
    /// # Errors
    /// What is not supported, malformed, or too much.
    pub fn grantable(&self, asked: &Asked) -> Result<Grantable, NotGrantable> {
        let mut request = self.clone();
        let rules = self.read_rules()?;
        let valid_until = self.expiry(&rules, asked)?;
        let mut policy = Policy {
            key: asked.key,
            valid_after: asked.now.saturating_sub(EARLIER),
            valid_until,
            period: 0,
            max_uses: None,
            epoch: asked.epoch,
            salt: asked.salt,
            paymaster: asked.paymaster,
            gas_budget: 0,
            limits: vec![],
            calls: vec![],
            vouchers: vec![],
        };
        if let Some(limit) = rules.gas_budget {
            policy.paymaster = None;
            policy.gas_budget = limit.try_into().map_err(|_| field("rules.gas-budget", "larger than 2^128 - 1"))?;
        }
        let mut vouchers = None;
        request.permission.data = match self.permission.kind.as_str() {
            ERC20_PERIODIC | NATIVE_PERIODIC => {
                let mut data: Periodic = self.data()?;
                let token = token(&self.permission.kind, ERC20_PERIODIC, data.token_address)?;
                if let Some(start) = data.start_time {
                    policy.valid_after = start;
                }
                policy.period = period(data.period_duration)?;
                let per_period = self.at_most("permission.data.periodAmount", data.period_amount, MOST)?;
                data.period_amount = U256::from(per_period);
                let total = per_period.saturating_mul(periods(&policy)).min(MOST);
                transfers(&mut policy, token, per_period, total, &rules.payees)?;
                json!(data)
            }
            ERC20_ALLOWANCE | NATIVE_ALLOWANCE => {
                let mut data: Allowance = self.data()?;
                let token = token(&self.permission.kind, ERC20_ALLOWANCE, data.token_address)?;
                let total = self.at_most("permission.data.allowance", data.allowance, MOST)?;
                data.allowance = U256::from(total);
                transfers(&mut policy, token, total, total, &rules.payees)?;
                json!(data)
            }
            MARKETPLACE => {
                if !rules.payees.is_empty() {
                    return Err(NotGrantable::Rule(PAYEE.into()));
                }
                let data: OnMarketplace = self.data()?;
                let (data, terms) = self.on_marketplace(data, &mut policy, asked)?;
                vouchers = terms;
                json!(data)
            }
            other => return Err(NotGrantable::Type(other.into())),
        };
        if policy.valid_until <= policy.valid_after {
            return Err(field("permission.data.startTime", "not before the permission's end"));
        }
        request.rules.retain(|rule| rule.kind != EXPIRY);
        request.rules.push(super::Rule { kind: EXPIRY.into(), data: json!({ "timestamp": policy.valid_until }) });
        Ok(Grantable { policy, vouchers, request })
    }

    fn on_marketplace(
        &self,
        mut data: OnMarketplace,
        policy: &mut Policy,
        asked: &Asked,
    ) -> Result<(OnMarketplace, Option<VoucherTerms>), NotGrantable> {
        policy.period = period(data.period_duration)?;
        let per_period = self.at_most("permission.data.periodAmount", data.period_amount, MOST)?;
        let most = per_period.saturating_mul(periods(policy)).min(MOST);
        let total = match data.total_amount {
            // More than all periods together is no limit, so less changes nothing.
            Some(total) => u128::try_from(total).unwrap_or(MOST).min(most),
            None => most,
        };
        (data.period_amount, data.total_amount) = (U256::from(per_period), Some(U256::from(total)));
        if data.jobs {
            *policy = policy.clone().with_jobs(&asked.marketplace, per_period, total);
        }
        let Some(max_voucher) = data.max_voucher else {
            let nothing = field("permission.data", "neither jobs nor conversations (maxVoucher)");
            return if data.jobs { Ok((data, None)) } else { Err(nothing) };
        };
        let max_voucher = max_voucher.min(U256::from(total));
        let ceiling = data.voucher_ceiling.unwrap_or(U256::from(total)).min(U256::from(total));
        let per_window = data.vouchers_per_minute.unwrap_or(ceiling).min(ceiling);
        data.max_voucher = Some(max_voucher);
        (data.voucher_ceiling, data.vouchers_per_minute) = (Some(ceiling), Some(per_window));
        *policy = policy.clone().with_streaming(&asked.marketplace, per_period, total, max_voucher);
        Ok((data, Some(VoucherTerms { ceiling, per_window, window: 60 })))
    }

    fn read_rules(&self) -> Result<Rules, NotGrantable> {
        let mut rules = Rules { expiry: None, payees: vec![], gas_budget: None };
        for rule in &self.rules {
            match rule.kind.as_str() {
                EXPIRY => rules.expiry = Some(read::<Expiry>("rules.expiry", &rule.data)?.timestamp),
                PAYEE => rules.payees = read::<Payees>("rules.payee", &rule.data)?.addresses,
                GAS_BUDGET => rules.gas_budget = Some(read::<GasBudget>("rules.gas-budget", &rule.data)?.limit),
                other => return Err(NotGrantable::Rule(other.into())),
            }
        }
        Ok(rules)
    }

    /// The last second: what was asked for, or the longest that is granted.
    fn expiry(&self, rules: &Rules, asked: &Asked) -> Result<u64, NotGrantable> {
        let longest = asked.now.saturating_add(asked.max_lifetime);
        match rules.expiry {
            Some(expiry) if expiry <= asked.now => Err(field("rules.expiry", "is past")),
            Some(expiry) if expiry > longest && !self.permission.is_adjustment_allowed => {
                Err(NotGrantable::TooMuch { field: "rules.expiry", most: longest.to_string() })
            }
            Some(expiry) => Ok(expiry.min(longest)),
            None if self.permission.is_adjustment_allowed => Ok(longest),
            None => Err(field("rules.expiry", "is required where isAdjustmentAllowed is false")),
        }
    }

    fn at_most(&self, name: &'static str, amount: U256, most: u128) -> Result<u128, NotGrantable> {
        match u128::try_from(amount).ok().filter(|amount| *amount <= most) {
            Some(0) => Err(field(name, "is zero")),
            Some(amount) => Ok(amount),
            None if self.permission.is_adjustment_allowed => Ok(most),
            None => Err(NotGrantable::TooMuch { field: name, most: most.to_string() }),
        }
    }

    fn data<T: DeserializeOwned>(&self) -> Result<T, NotGrantable> {
        read("permission.data", &self.permission.data)
    }
}

/// One token, to these or to anybody.
fn transfers(
    policy: &mut Policy,
    token: Address,
    per_period: u128,
    total: u128,
    payees: &[Address],
) -> Result<(), NotGrantable> {
    policy.limits = vec![SpendLimit { token, per_period, total }];
    let rule = |target, selector: [u8; 4]| CallRule {
        target,
        selector: selector.into(),
        max_length: 0,
        value_limit: 0,
        amount_limit: 0,
        amount_word: 0,
        arguments: vec![],
    };
    if token.is_zero() {
        if payees.is_empty() {
            return Err(field("rules.payee", "is required for native currency"));
        }
        policy.calls = payees.iter().map(|payee| CallRule { value_limit: 1, ..rule(*payee, [0; 4]) }).collect();
        return Ok(());
    }
    let payees = payees.iter().map(|payee| payee.into_word()).collect::<Vec<_>>();
    let to = (!payees.is_empty()).then_some(ArgumentRule { word: 0, must_be: Condition::OneOf(payees) });
    policy.calls = vec![CallRule {
        max_length: 68,
        amount_limit: 1,
        amount_word: 1,
        arguments: to.into_iter().collect(),
        ..rule(token, transferCall::SELECTOR)
    }];
    Ok(())
}

fn token(kind: &str, of_token: &str, address: Option<Address>) -> Result<Address, NotGrantable> {
    match (kind == of_token, address) {
        (true, Some(address)) if !address.is_zero() => Ok(address),
        (true, _) => Err(field("permission.data.tokenAddress", "is required")),
        (false, None) => Ok(Address::ZERO),
        (false, Some(_)) => Err(field("permission.data.tokenAddress", "native currency has none")),
    }
}

/// Seconds; between a minute and a year.
fn period(seconds: u64) -> Result<u64, NotGrantable> {
    if (60..=366 * DAY).contains(&seconds) {
        return Ok(seconds);
    }
    Err(field("permission.data.periodDuration", "must be 60 seconds to 366 days"))
}

fn periods(policy: &Policy) -> u128 {
    u128::from((policy.valid_until.saturating_sub(policy.valid_after) + 1).div_ceil(policy.period.max(1)))
}

fn field(field: &'static str, problem: &str) -> NotGrantable {
    NotGrantable::Field { field, problem: problem.into() }
}

fn read<T: DeserializeOwned>(name: &'static str, value: &Value) -> Result<T, NotGrantable> {
    serde_json::from_value(value.clone()).map_err(|error| field(name, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::summary::Names;

    const NOW: u64 = 1_795_000_000;

    fn asked() -> Asked {
        let [token, escrow, jobs, sessions] = [1, 2, 3, 4].map(Address::repeat_byte);
        Asked {
            key: PublicKey::Address(Address::repeat_byte(9)),
            epoch: 7,
            salt: U256::from(8),
            now: NOW,
            max_lifetime: 90 * DAY,
            paymaster: Some(Address::repeat_byte(5)),
            marketplace: Marketplace { chain_id: 1, token, escrow, jobs, sessions },
        }
    }

    fn request(kind: &str, adjustable: bool, data: Value, rules: Value) -> PermissionRequest {
        serde_json::from_value(json!({
            "chainId": "0x1", "from": Address::repeat_byte(6), "to": Address::repeat_byte(9),
            "permission": { "type": kind, "isAdjustmentAllowed": adjustable, "data": data }, "rules": rules,
        }))
        .unwrap()
    }

    fn weekly(adjustable: bool, rules: Value) -> PermissionRequest {
        let data = json!({
            "tokenAddress": Address::repeat_byte(1), "periodAmount": "0x64", "periodDuration": 604_800,
            "startTime": NOW - 10, "justification": "because",
        });
        request(ERC20_PERIODIC, adjustable, data, rules)
    }

    fn expiry(at: u64) -> Value {
        json!([{ "type": "expiry", "data": { "timestamp": at } }])
    }

    #[test]
    fn a_token_a_period_is_a_transfer_with_a_limit() {
        let granted = weekly(false, expiry(NOW + 10 * DAY)).grantable(&asked()).unwrap();
        let policy = &granted.policy;
        assert_eq!((policy.valid_after, policy.valid_until, policy.period), (NOW - 10, NOW + 10 * DAY, 7 * DAY));
        assert_eq!(policy.limits, [SpendLimit { token: Address::repeat_byte(1), per_period: 100, total: 200 }]);
        assert_eq!(policy.calls.len(), 1);
        assert!(policy.calls[0].arguments.is_empty());
        assert_eq!((policy.epoch, policy.paymaster, granted.vouchers), (7, Some(Address::repeat_byte(5)), None));
        policy.check(Address::repeat_byte(6), Address::repeat_byte(7)).unwrap();
        assert_eq!(granted.request, weekly(false, expiry(NOW + 10 * DAY)), "nothing was changed");
    }

    #[test]
    fn what_may_be_adjusted_is_made_smaller_and_what_may_not_is_refused() {
        let too_long = expiry(NOW + 91 * DAY);
        let granted = weekly(true, too_long.clone()).grantable(&asked()).unwrap();
        assert_eq!(json!(granted.request.rules), expiry(NOW + 90 * DAY));
        assert_eq!(granted.policy.valid_until, NOW + 90 * DAY);
        let most = (NOW + 90 * DAY).to_string();
        assert_eq!(
            weekly(false, too_long).grantable(&asked()),
            Err(NotGrantable::TooMuch { field: "rules.expiry", most })
        );
        assert_eq!(json!(weekly(true, json!([])).grantable(&asked()).unwrap().request.rules), expiry(NOW + 90 * DAY));
        assert_eq!(weekly(false, json!([])).grantable(&asked()).unwrap_err().field(), "rules.expiry");

        let all = |adjustable| {
            let data = json!({ "tokenAddress": Address::repeat_byte(1), "allowance": U256::MAX });
            request(ERC20_ALLOWANCE, adjustable, data, expiry(NOW + DAY)).grantable(&asked())
        };
        assert_eq!(all(true).unwrap().request.permission.data["allowance"], json!(U256::from(MOST)));
        assert_eq!(all(false).unwrap_err().field(), "permission.data.allowance");
    }

    #[test]
    fn what_would_not_be_kept_is_refused_by_name() {
        let unknown =
            json!([{ "type": "expiry", "data": { "timestamp": NOW + 1 } }, { "type": "redeemer", "data": {} }]);
        assert_eq!(weekly(true, unknown).grantable(&asked()), Err(NotGrantable::Rule("redeemer".into())));
        let stream = request("native-token-stream", true, json!({}), json!([]));
        assert_eq!(stream.grantable(&asked()), Err(NotGrantable::Type("native-token-stream".into())));
        let mut misspelt = weekly(true, json!([]));
        misspelt.permission.data["peroidAmount"] = json!(1);
        assert_eq!(misspelt.grantable(&asked()).unwrap_err().field(), "permission.data");
        assert_eq!(weekly(true, expiry(NOW)).grantable(&asked()).unwrap_err().field(), "rules.expiry");
        let everything = request(NATIVE_ALLOWANCE, true, json!({ "allowance": "0x1" }), json!([]));
        assert_eq!(everything.grantable(&asked()).unwrap_err().field(), "rules.payee");
    }

    #[test]
    fn native_currency_goes_to_its_payees_and_gas_is_the_accounts_within_its_budget() {
        let payees = [Address::repeat_byte(0xa), Address::repeat_byte(0xb)];
        let rules = json!([
            { "type": "payee", "data": { "addresses": payees } },
            { "type": "gas-budget", "data": { "limit": "0x5" } },
        ]);
        let data = json!({ "periodAmount": "0x3", "periodDuration": DAY });
        let granted = request(NATIVE_PERIODIC, true, data, rules).grantable(&asked()).unwrap();
        let policy = granted.policy;
        assert_eq!(policy.calls.iter().map(|rule| rule.target).collect::<Vec<_>>(), payees);
        assert!(policy.calls.iter().all(|rule| rule.value_limit == 1 && rule.max_length == 0));
        assert_eq!((policy.paymaster, policy.gas_budget), (None, 5));
        policy.check(Address::repeat_byte(6), Address::repeat_byte(7)).unwrap();
    }

    #[test]
    fn the_marketplace_is_one_permission_with_vouchers_apart() {
        let data = json!({
            "periodAmount": "5000000", "periodDuration": DAY, "totalAmount": "20000000", "maxVoucher": "2000000",
            "vouchersPerMinute": "100000",
        });
        let granted = request(MARKETPLACE, false, data, expiry(NOW + 30 * DAY)).grantable(&asked()).unwrap();
        let terms = VoucherTerms { ceiling: U256::from(20_000_000), per_window: U256::from(100_000), window: 60 };
        assert_eq!(granted.vouchers, Some(terms));
        granted.policy.check(Address::repeat_byte(6), Address::repeat_byte(7)).unwrap();
        let names = Names {
            contracts: [
                (Address::repeat_byte(3), "JobMarketplace".into()),
                (Address::repeat_byte(4), "SessionMarketplace".into()),
            ]
            .into(),
            tokens: [(Address::repeat_byte(1), ("USDC".into(), 6))].into(),
        };
        let summary = granted.policy.summary(&names, NOW);
        assert!(summary.starts_with("up to 5 USDC a day, 20 USDC in all, on JobMarketplace"), "{summary}");
        assert!(summary.contains("vouchers of up to 2 USDC"), "{summary}");
    }
}
