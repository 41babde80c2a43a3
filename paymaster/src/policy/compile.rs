//! From the text of a policy file to a [`Policy`].

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use alloy::{
    json_abi::Function,
    primitives::{Address, B256, U256, hex},
};
use erc4337::EntryPointVersion;
use toml::Spanned;

use super::{
    Policy, Webhook,
    account::AccountRules,
    call_rule::{Argument, CallRule, Condition, Targets},
    error::PolicyError,
    file::{self, Answer, Existing, File, Itself},
    gas::GasRules,
    job::JobRule,
    json,
    limits::{Limit, Per},
    units,
};
use crate::{api_key::KeyHash, ledger::Unit};

/// Addresses that files may call by name: `@job_marketplace`.
pub type Names = BTreeMap<String, Address>;

/// What a call of the account to itself goes to.
const SENDER: &str = "@sender";
/// How long a webhook is waited for, in milliseconds.
const TIMEOUT: u64 = 1_000;

/// Reads a policy, in TOML or in JSON; `id` is its name if it does not say one.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn compile(text: &str, id: &str, names: &Names) -> Result<Policy, PolicyError> {
    let file: File = if json::is_json(text) {
        json::read(text)?
    } else {
        toml::from_str(text).map_err(|error| PolicyError::at(text, error.span(), error.message().to_owned()))?
    };
    Compiler { text, names }.policy(file, id)
}

struct Compiler<'a> {
    text: &'a str,
    names: &'a Names,
}

type Result<T, E = PolicyError> = std::result::Result<T, E>;

impl Compiler<'_> {
    fn error(&self, span: Range<usize>, message: impl Into<String>) -> PolicyError {
        PolicyError::at(self.text, Some(span), message)
    }

    /// What `read` makes of the text, or its error with the place.
    fn read<T>(&self, text: &Spanned<String>, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T> {
        read(text.get_ref()).map_err(|message| self.error(text.span(), message))
    }

    fn address(&self, text: &Spanned<String>) -> Result<Address> {
        self.read(text, |value| match value.strip_prefix('@') {
            Some(name) => self.names.get(name).copied().ok_or_else(|| {
                let known: Vec<_> = self.names.keys().map(|name| format!("@{name}")).collect();
                format!("no contract is called {value}; known are {}", known.join(", "))
            }),
            None if value.len() == 42 => value.parse().map_err(|_| format!("`{value}` is no address")),
            None => Err(format!("`{value}` is no address")),
        })
    }

    fn addresses(&self, texts: &[Spanned<String>]) -> Result<BTreeSet<Address>> {
        texts.iter().map(|text| self.address(text)).collect()
    }

    fn word(&self, text: &Spanned<String>) -> Result<U256> {
        if text.get_ref().starts_with('@') {
            return Ok(self.address(text)?.into_word().into());
        }
        self.read(text, |value| units::word(value).ok_or_else(|| format!("`{value}` is no 256-bit number or address")))
    }

    fn wei(&self, text: &Option<Spanned<String>>) -> Result<Option<U256>> {
        text.as_ref().map(|text| self.read(text, units::wei)).transpose()
    }

    fn policy(&self, file: File, id: &str) -> Result<Policy> {
        if let Some(id) = &file.id {
            self.read(id, check_id)?;
        }
        let id = file.id.map_or_else(|| id.to_owned(), Spanned::into_inner);
        check_id(&id).map_err(PolicyError::whole)?;
        let date = |date: &Spanned<toml::value::Datetime>| {
            let seconds = units::timestamp(date.get_ref());
            seconds.ok_or_else(|| self.error(date.span(), "a date needs a time and an offset: 2026-12-31T00:00:00Z"))
        };
        let versions = file
            .entry_points
            .iter()
            .map(|text| self.read(text, |value| value.parse::<EntryPointVersion>().map_err(|error| error.to_string())));
        let calls: Vec<_> =
            file.call.iter().enumerate().map(|(index, call)| self.call(index, call)).collect::<Result<_>>()?;
        let unreadable = file.calls.unreadable == Answer::Allow;
        if calls.is_empty() && !unreadable && file.calls.none == Answer::Deny {
            return Err(PolicyError::whole("without a [[call]], nothing is sponsored"));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = calls.iter().find(|call| !names.insert(&call.name)) {
            return Err(PolicyError::whole(format!("two calls are named {}", twice.name)));
        }
        let price = file.price.as_ref().map(|price| self.read(&price.usd_per_ether, units::dollars)).transpose()?;
        Ok(Policy {
            id,
            description: file.description,
            is_default: file.default,
            keys: file.key.iter().map(|key| self.key(key)).collect::<Result<_>>()?,
            starts: file.starts.as_ref().map(date).transpose()?,
            ends: file.ends.as_ref().map(date).transpose()?,
            chains: file.chains.into_iter().collect(),
            entry_points: versions.collect::<Result<_>>()?,
            allowed: self.addresses(&file.senders.allow)?,
            blocked: self.addresses(&file.senders.block)?,
            account: self.account(&file.account)?,
            into_itself: file.calls.to_itself == Itself::Read,
            no_calls: file.calls.none == Answer::Allow,
            unreadable,
            calls,
            gas: self.gas(&file.gas)?,
            limits: file.limit.iter().map(|limit| self.limit(limit, price)).collect::<Result<_>>()?,
            price,
            webhook: file.webhook.as_ref().map(|webhook| self.webhook(webhook)).transpose()?,
            source: self.text.to_owned(),
        })
    }

    fn key(&self, key: &file::Key) -> Result<(String, KeyHash)> {
        self.read(&key.name, check_id)?;
        let hash = self.read(&key.sha256, |value| {
            KeyHash::from_hex(value).ok_or_else(|| "not the 64 hex digits of a SHA-256".to_owned())
        })?;
        Ok((key.name.get_ref().clone(), hash))
    }

    fn account(&self, account: &file::Account) -> Result<AccountRules> {
        let hash = |text| self.read(text, |value| value.parse::<B256>().map_err(|_| format!("`{value}` is no hash")));
        Ok(AccountRules {
            factories: self.addresses(&account.factories)?,
            delegates: self.addresses(&account.delegates)?,
            code_hashes: account.code_hashes.iter().map(hash).collect::<Result<_>>()?,
            implementations: self.addresses(&account.implementations)?,
            any_existing: account.existing == Existing::Any,
        })
    }

    fn call(&self, index: usize, call: &file::Call) -> Result<CallRule> {
        let to = match &call.to {
            None => Targets::Any,
            Some(to) => {
                let (itself, others): (Vec<_>, Vec<_>) = to.iter().cloned().partition(|text| text.get_ref() == SENDER);
                Targets::These { addresses: self.addresses(&others)?, itself: !itself.is_empty() }
            }
        };
        let name = match &call.name {
            Some(name) => self.read(name, |value| check_id(value).map(|()| value.to_owned()))?,
            None => format!("call-{index}"),
        };
        let selectors = |functions: &Vec<Spanned<String>>| {
            functions.iter().map(|text| self.read(text, selector)).collect::<Result<BTreeSet<_>>>()
        };
        Ok(CallRule {
            name,
            to,
            functions: call.functions.as_ref().map(selectors).transpose()?,
            plain: call.plain,
            value: self.wei(&call.value)?.unwrap_or_default(),
            delegatecall: call.delegatecall,
            bytes: call.bytes,
            arguments: call.arguments.iter().map(|argument| self.argument(argument)).collect::<Result<_>>()?,
            job: call.job.as_ref().map(|job| self.job(job)).transpose()?,
        })
    }

    fn argument(&self, argument: &Spanned<file::Argument>) -> Result<Argument> {
        let file::Argument { word, eq, lt, gt, one_of } = argument.get_ref();
        let condition = match (eq, lt, gt, one_of) {
            (Some(value), None, None, None) => Condition::In(BTreeSet::from([self.word(value)?])),
            (None, Some(bound), None, None) => Condition::Below(self.word(bound)?),
            (None, None, Some(bound), None) => Condition::Above(self.word(bound)?),
            (None, None, None, Some(values)) => {
                Condition::In(values.iter().map(|value| self.word(value)).collect::<Result<_>>()?)
            }
            _ => return Err(self.error(argument.span(), "an argument has one of `eq`, `lt`, `gt` and `in`")),
        };
        Ok(Argument { word: *word, condition })
    }

    fn job(&self, job: &file::Job) -> Result<JobRule> {
        let known = job.kind.states();
        let state = |text| {
            self.read(text, |value| {
                let position = known.iter().skip(1).position(|state| *state == value);
                position.map(|at| at + 1).ok_or_else(|| {
                    let known = known.get(1..).unwrap_or_default().join(", ");
                    format!("no {} is ever `{value}`; it may be {known}", job.kind.name())
                })
            })
        };
        Ok(JobRule {
            kind: job.kind,
            word: job.word,
            states: job.states.iter().map(state).collect::<Result<_>>()?,
            parties: job.parties.iter().copied().collect(),
            operations: job.operations,
        })
    }

    fn gas(&self, gas: &file::Gas) -> Result<GasRules> {
        let fee = |text| Ok::<_, PolicyError>(self.wei(text)?.map(|wei| u128::try_from(wei).unwrap_or(u128::MAX)));
        let times = |times: &Spanned<f64>| {
            let factor = *times.get_ref();
            if !(1.0..=100.0).contains(&factor) {
                return Err(self.error(times.span(), "a multiple of what is needed is from 1.0 to 100.0"));
            }
            // Exact enough: thousandths of at most a hundred.
            Ok((factor * 1_000.0).round() as u64)
        };
        Ok(GasRules {
            max_fee_per_gas: fee(&gas.max_fee_per_gas)?,
            max_priority_fee_per_gas: fee(&gas.max_priority_fee_per_gas)?,
            pre_verification_gas: gas.pre_verification_gas.map(u128::from),
            verification_gas_limit: gas.verification_gas_limit.map(u128::from),
            call_gas_limit: gas.call_gas_limit.map(u128::from),
            times_simulated: gas.times_simulated.as_ref().map(times).transpose()?,
        })
    }

    fn limit(&self, limit: &file::Limit, price: Option<U256>) -> Result<Limit> {
        let (unit, amount) = self.read(&limit.amount, units::amount)?;
        let span = limit.amount.span();
        if unit == Unit::MicroUsd && price.is_none() {
            return Err(self.error(span, "a limit in dollars needs [price]"));
        }
        let every = match &limit.every {
            _ if limit.per == Per::Operation && matches!(unit, Unit::Count | Unit::InFlight) => {
                return Err(self.error(span, "an operation is limited in wei or in dollars"));
            }
            Some(every) if limit.per == Per::Operation || unit == Unit::InFlight => {
                return Err(self.error(every.span(), "this limit has no period"));
            }
            Some(every) => self.read(every, units::period)?,
            None if limit.per == Per::Operation || unit == Unit::InFlight => 0,
            None => return Err(self.error(span, "needs `every`, such as \"1 day\" or \"never\"")),
        };
        Ok(Limit { per: limit.per, unit, amount, every })
    }

    fn webhook(&self, webhook: &file::Webhook) -> Result<Webhook> {
        let url = self.read(&webhook.url, |value| match value.parse::<hyper::Uri>() {
            Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
                Ok(value.to_owned())
            }
            _ => Err(format!("`{value}` is no http:// or https:// URL")),
        })?;
        let timeout = webhook.timeout.as_ref().map(|text| self.read(text, units::millis)).transpose()?;
        let sponsors_on_failure = webhook.on_failure == Answer::Allow;
        Ok(Webhook { url, timeout: timeout.unwrap_or(TIMEOUT), sponsors_on_failure })
    }
}

/// Goes into URLs and into the names of buckets.
fn check_id(id: &str) -> Result<(), String> {
    let fits = !id.is_empty() && id.len() <= 64 && id.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it));
    if fits { Ok(()) } else { Err(format!("`{id}` is no name of letters, digits, - and _")) }
}

/// `approve(address,uint256)`, or `0x095ea7b3`.
fn selector(text: &str) -> Result<[u8; 4], String> {
    if text.starts_with("0x") {
        let bytes: Option<[u8; 4]> = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        return bytes.ok_or_else(|| format!("`{text}` is no selector of 4 bytes"));
    }
    let function = Function::parse(text).ok().filter(|function| function.signature() == text);
    function
        .map(|function| function.selector().0)
        .ok_or_else(|| format!("`{text}` is no function such as approve(address,uint256)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "[[call]]\nto = [\"@market\"]\n";

    fn names() -> Names {
        Names::from([("market".to_owned(), Address::repeat_byte(1))])
    }

    fn error(text: &str) -> PolicyError {
        compile(text, "test", &names()).unwrap_err()
    }

    #[test]
    fn the_least_policy_denies_what_it_does_not_name() {
        let policy = compile(CALL, "least", &names()).unwrap();
        assert_eq!(
            (policy.id.as_str(), policy.unreadable, policy.no_calls, policy.into_itself),
            ("least", false, false, false)
        );
        assert!(!policy.account.any_existing);
        assert_eq!(policy.calls[0].name, "call-0");
    }

    #[test]
    fn errors_name_line_column_and_field() {
        let unknown = error("id = \"a\"\n\n[gas]\nmax_fee = 3\n");
        assert_eq!((unknown.line, unknown.field.as_str()), (4, "gas.max_fee"), "{unknown}");
        let wrong = error(&format!("{CALL}value = \"1 eth\"\n"));
        assert_eq!((wrong.line, wrong.column, wrong.field.as_str()), (3, 9, "call.value"), "{wrong}");
        let nested = error("[[call]]\nto = [\n  \"@market\",\n  \"@nobody\",\n]\n");
        assert_eq!((nested.line, nested.column, nested.field.as_str()), (4, 3, "call.to"), "{nested}");
        assert!(nested.to_string().contains("known are @market"), "{nested}");
        assert!(error("id = ").line == 1);
        assert!(nested.in_file("policies/a.toml").to_string().starts_with("policies/a.toml:4:3: call.to: "));
    }

    #[test]
    fn everything_that_is_no_policy_is_refused() {
        let with = |more: &str| format!("{CALL}{more}");
        for (text, said) in [
            (String::new(), "without a [[call]]"),
            ("id = \"a/b\"\n".to_owned() + CALL, "is no name"),
            ("chains = [\"one\"]\n".to_owned() + CALL, "invalid type"),
            ("entry_points = [\"v0.5\"]\n".to_owned() + CALL, "v0.5"),
            ("starts = 2026-01-01\n".to_owned() + CALL, "needs a time and an offset"),
            (with("functions = [\"approve(address,uint)\"]"), "is no function"),
            (with("functions = [\"0x1234\"]"), "is no selector"),
            (with("arguments = [{ word = 0 }]"), "has one of"),
            (with("arguments = [{ word = 0, eq = \"1\", lt = \"2\" }]"), "has one of"),
            (with("arguments = [{ word = 0, eq = \"one\" }]"), "is no 256-bit number"),
            (with("[call.job]\nkind = \"job\"\nstates = [\"closing\"]"), "no job is ever `closing`"),
            (with("[call.job]\nkind = \"task\""), "unknown variant"),
            (with("[[call]]\nname = \"call-0\""), "two calls are named"),
            (with("[[limit]]\nper = \"user\"\namount = \"1 ether\""), "needs `every`"),
            (with("[[limit]]\nper = \"operation\"\namount = \"1 ether\"\nevery = \"1 day\""), "has no period"),
            (with("[[limit]]\nper = \"operation\"\namount = \"1 operation\""), "in wei or in dollars"),
            (with("[[limit]]\nper = \"user\"\namount = \"1 usd\"\nevery = \"1 day\""), "needs [price]"),
            (with("[gas]\ntimes_simulated = 0.5"), "from 1.0"),
            (with("[webhook]\nurl = \"file:///etc/passwd\""), "is no http"),
            (with("[[key]]\nname = \"a\"\nsha256 = \"secret\""), "64 hex digits"),
            (with("[price]\nusd_per_ether = \"0\""), "is no price"),
            (with("[account]\nfactories = [\"0x12\"]"), "is no address"),
        ] {
            let error = error(&text);
            assert!(error.message.contains(said), "{text}\n{error}");
        }
    }

    #[test]
    fn functions_are_named_by_signature_or_selector() {
        assert_eq!(selector("approve(address,uint256)"), Ok([0x09, 0x5e, 0xa7, 0xb3]));
        assert_eq!(selector("0x095ea7b3"), Ok([0x09, 0x5e, 0xa7, 0xb3]));
        assert!(selector("approve").is_err());
    }
}
