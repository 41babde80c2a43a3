//! Which calls are sponsored.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};

use super::{
    batch::Step,
    denial::CallDenial,
    encodings::makes_calls,
    job::{JobRule, Jobs},
};

/// One kind of call that is sponsored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRule {
    /// Told in answers, and part of the names of its jobs' budgets.
    pub name: String,
    /// Where it may go.
    pub to: Targets,
    /// Functions, by selector; `None`: any.
    pub functions: Option<BTreeSet<[u8; 4]>>,
    /// Whether it may name no function at all.
    pub plain: bool,
    /// Wei that it may send.
    pub value: U256,
    /// Whether it is a delegatecall; the rule is for nothing else then.
    pub delegatecall: bool,
    /// Bytes of its data, selector included.
    pub bytes: Option<usize>,
    /// What must hold of its arguments.
    pub arguments: Vec<Argument>,
    /// What must hold of its job.
    pub job: Option<JobRule>,
}

/// Where calls may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Anywhere, but not to the account itself and not to an EntryPoint.
    Any,
    /// To these, and to the account itself if `itself`.
    These {
        /// Contracts.
        addresses: BTreeSet<Address>,
        /// `@sender`.
        itself: bool,
    },
}

/// A condition on 32 bytes of a call's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Which, counted after the selector.
    pub word: usize,
    /// What must hold.
    pub condition: Condition,
}

/// What must hold of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of these.
    In(BTreeSet<U256>),
    /// Smaller.
    Below(U256),
    /// Greater.
    Above(U256),
}

impl Condition {
    fn holds(&self, word: U256) -> bool {
        match self {
            Self::In(values) => values.contains(&word),
            Self::Below(bound) => word < *bound,
            Self::Above(bound) => word > *bound,
        }
    }

    fn wanted(&self) -> String {
        match self {
            Self::In(values) => {
                let values: Vec<_> = values.iter().map(|value| B256::from(*value).to_string()).collect();
                values.join(" or ")
            }
            Self::Below(bound) => format!("below {bound}"),
            Self::Above(bound) => format!("above {bound}"),
        }
    }
}

impl CallRule {
    /// Whether the rule is about this kind of call, by target and function: then its job is looked up.
    pub fn is_about(&self, step: &Step, entry_points: &BTreeSet<Address>) -> bool {
        self.admit_target(step, entry_points).is_ok()
    }

    /// Whether the call is sponsored by this rule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn admit(
        &self,
        step: &Step,
        sender: Address,
        entry_points: &BTreeSet<Address>,
        jobs: &Jobs,
    ) -> Result<(), CallDenial> {
        self.admit_target(step, entry_points)?;
        let (target, value) = (step.call.target, step.call.value);
        if value > self.value {
            return Err(CallDenial::Value { value, limit: self.value });
        }
        if let Some(wanted) = self.bytes.filter(|wanted| *wanted != step.call.data.len()) {
            return Err(CallDenial::Length { target, given: step.call.data.len(), wanted });
        }
        for Argument { word, condition } in &self.arguments {
            let given = step.word(*word);
            if !given.is_some_and(|given| condition.holds(U256::from_be_bytes(given))) {
                let (word, given, wanted) = (*word, given.map(B256::from), condition.wanted());
                return Err(CallDenial::Argument { target, word, given, wanted });
            }
        }
        if let Some(job) = &self.job {
            job.admit(step, sender, jobs)?;
        }
        Ok(())
    }

    fn admit_target(&self, step: &Step, entry_points: &BTreeSet<Address>) -> Result<(), CallDenial> {
        let (target, selector) = (step.call.target, step.selector());
        // Calls that the account is to make, unread, are nobody's to allow.
        if step.to_itself && selector.is_some_and(makes_calls) {
            return Err(CallDenial::Itself);
        }
        let reaches = match &self.to {
            Targets::Any => !step.to_itself && !entry_points.contains(&target),
            Targets::These { itself, .. } if step.to_itself => *itself,
            Targets::These { addresses, .. } => addresses.contains(&target),
        };
        if !reaches {
            return Err(if step.to_itself { CallDenial::Itself } else { CallDenial::Target(target) });
        }
        match (step.call.delegatecall, self.delegatecall) {
            (true, false) => return Err(CallDenial::Delegatecall(target)),
            (false, true) => return Err(CallDenial::Target(target)),
            _ => {}
        }
        match (selector, &self.functions) {
            (None, _) if self.plain && step.call.data.is_empty() => Ok(()),
            (None, _) => Err(CallDenial::NoFunction(target)),
            (Some(selector), Some(functions)) if !functions.contains(&selector) => {
                Err(CallDenial::Function { target, selector })
            }
            _ => Ok(()),
        }
    }
}

/// The rule that sponsors the call.
///
/// # Errors
/// Why none does: the rule that came nearest, if any came near, and what it said.
pub(super) fn admit<'a>(
    rules: &'a [CallRule],
    step: &Step,
    sender: Address,
    entry_points: &BTreeSet<Address>,
    jobs: &Jobs,
) -> Result<&'a CallRule, (Option<String>, CallDenial)> {
    let mut nearest: Option<(&CallRule, CallDenial)> = None;
    for rule in rules {
        match rule.admit(step, sender, entry_points, jobs) {
            Ok(()) => return Ok(rule),
            Err(denial) if nearest.as_ref().is_none_or(|(_, other)| denial.nearness() > other.nearness()) => {
                nearest = Some((rule, denial));
            }
            Err(_) => {}
        }
    }
    Err(match nearest {
        Some((rule, denial)) if denial.nearness() > 0 => (Some(rule.name.clone()), denial),
        Some((_, denial)) => (None, denial),
        None => (None, CallDenial::Target(step.call.target)),
    })
}
