//! All rules of a policy over one operation.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, UserOperation};

use super::{
    Policy,
    account::OnChain,
    batch::{Step, steps},
    call_rule,
    denial::{CallDenial, Denial},
    encodings::UnreadableCalls,
    gas::Simulated,
    job::{JobKey, Jobs},
    limits::{JobCount, Payer, charges},
};
use crate::ledger::Charge;

/// Who asks, and where.
#[derive(Clone, Debug)]
pub struct Asker<'a> {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Of the operation's EntryPoint.
    pub version: EntryPointVersion,
    /// EntryPoints that are served: nobody may call them through an account.
    pub entry_points: &'a BTreeSet<Address>,
    /// Name of the API key, if one was used.
    pub key: Option<&'a str>,
    /// Seconds since 1970.
    pub now: u64,
}

/// What must be known of the chain before [`Policy::decide`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// What is at the sender's address.
    Account,
    /// A job or a session.
    Job(JobKey),
    /// What gas the operation needs.
    Simulation,
}

/// What is known of the chain, all as of one block.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Answer to [`Question::Account`].
    pub account: Option<OnChain>,
    /// Answers to [`Question::Job`].
    pub jobs: Jobs,
    /// Answer to [`Question::Simulation`].
    pub simulated: Option<Simulated>,
}

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The call.
    pub step: Step,
    /// The rule that sponsors it, or the nearest that did not and why.
    pub rule: Result<String, (Option<String>, CallDenial)>,
}

/// What came of one operation, before limits.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Every call, if they could be read.
    pub calls: Vec<CallReport>,
    /// Jobs and sessions that it is about.
    pub jobs: Vec<JobKey>,
    /// Buckets that it is charged to.
    pub charges: Vec<Charge>,
    /// Its worst case, in wei.
    pub cost: U256,
    /// Whether it is sponsored if the limits have room.
    pub verdict: Result<(), Denial>,
}

impl Policy {
    /// What must be known of the chain.
    pub fn questions(&self, op: &UserOperation, asker: &Asker<'_>) -> Vec<Question> {
        let mut questions = BTreeSet::new();
        if self.account.asks(op) {
            questions.insert(Question::Account);
        }
        // At the stub, there are no limits to hold it against yet.
        if self.gas.asks() && op.call_gas_limit > 0 {
            questions.insert(Question::Simulation);
        }
        for step in steps(&op.call_data, op.sender, self.into_itself).unwrap_or_default() {
            let about = self.calls.iter().filter(|rule| rule.is_about(&step, asker.entry_points));
            questions.extend(about.filter_map(|rule| rule.job.as_ref()?.key(&step)).map(Question::Job));
        }
        questions.into_iter().collect()
    }

    /// Whether the operation is sponsored, why, and what for.
    pub fn decide(&self, op: &UserOperation, asker: &Asker<'_>, facts: &Facts) -> Decision {
        let cost = op.required_prefund(asker.version);
        let (calls, jobs, by_calls) = self.decide_calls(op, asker, facts);
        let payer = Payer { policy: &self.id, sender: op.sender, key: asker.key };
        let verdict = self.decide_account(op, asker, facts).and(by_calls).and_then(|()| {
            self.gas.admit(op, facts.simulated.as_ref())?;
            self.limits.iter().try_for_each(|limit| limit.admit(cost, self.price))
        });
        let charges = charges(&self.limits, &jobs, payer);
        let jobs: BTreeSet<_> = jobs.into_iter().map(|count| count.job).collect();
        Decision { calls, jobs: jobs.into_iter().collect(), charges, cost, verdict }
    }

    fn decide_account(&self, op: &UserOperation, asker: &Asker<'_>, facts: &Facts) -> Result<(), Denial> {
        if let Some(starts) = self.starts.filter(|starts| asker.now < *starts) {
            return Err(Denial::NotYet(starts));
        }
        if let Some(ends) = self.ends.filter(|ends| asker.now >= *ends) {
            return Err(Denial::Over(ends));
        }
        if !self.chains.is_empty() && !self.chains.contains(&asker.chain_id) {
            return Err(Denial::Chain(asker.chain_id));
        }
        if !self.entry_points.is_empty() && !self.entry_points.contains(&asker.version) {
            return Err(Denial::EntryPoint(asker.version.to_string()));
        }
        if self.blocked.contains(&op.sender) || !self.allowed.is_empty() && !self.allowed.contains(&op.sender) {
            return Err(Denial::Sender(op.sender));
        }
        self.account.admit(op, facts.account.as_ref())
    }

    fn decide_calls(
        &self,
        op: &UserOperation,
        asker: &Asker<'_>,
        facts: &Facts,
    ) -> (Vec<CallReport>, Vec<JobCount>, Result<(), Denial>) {
        let steps = match steps(&op.call_data, op.sender, self.into_itself) {
            Ok(steps) => steps,
            Err(error) => {
                let nothing = op.call_data.is_empty() || error.error == UnreadableCalls::EmptyBatch;
                let verdict = if self.unreadable || self.no_calls && nothing {
                    Ok(())
                } else {
                    Err(Denial::Unreadable { path: error.path, error: error.error })
                };
                return (vec![], vec![], verdict);
            }
        };
        let (mut reports, mut jobs, mut verdict) = (Vec::new(), Vec::new(), Ok(()));
        for step in steps {
            let admitted = call_rule::admit(&self.calls, &step, op.sender, asker.entry_points, &facts.jobs);
            if let Ok(rule) = &admitted
                && let Some((job, about)) = rule.job.as_ref().and_then(|about| Some((about.key(&step)?, about)))
            {
                jobs.push(JobCount { job, rule: rule.name.clone(), operations: about.operations });
            }
            let rule = admitted.map(|rule| rule.name.clone());
            if let (Err((rule, why)), Ok(())) = (&rule, &verdict) {
                verdict = Err(Denial::Call { path: step.path.clone(), rule: rule.clone(), why: Box::new(why.clone()) });
            }
            reports.push(CallReport { step, rule });
        }
        (reports, jobs, verdict)
    }
}

#[cfg(test)]
mod tests;
