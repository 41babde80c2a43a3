//! How much is sponsored, to whom, in which time: buckets of the ledger.

use alloy::primitives::{Address, B256, U256};

use super::{denial::Denial, job::JobKey};
use crate::ledger::{Charge, Unit};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Of whom a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each operation, at its own gas limits and fee.
    Operation,
    /// Each account.
    User,
    /// Each API key.
    Key,
    /// All under this policy.
    Policy,
    /// All under any policy that has such a limit.
    Global,
}

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of whom.
    pub per: Per,
    /// What is counted.
    pub unit: Unit,
    /// How much of it.
    pub amount: U256,
    /// Seconds after which it begins anew; 0: never.
    pub every: u64,
}

/// Who is charged.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    /// The policy.
    pub policy: &'a str,
    /// The account.
    pub sender: Address,
    /// Name of the API key, if one was used.
    pub key: Option<&'a str>,
}

/// A job that is charged, how often its rule allows that, and under which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCount {
    /// The job.
    pub job: JobKey,
    /// Name of the rule.
    pub rule: String,
    /// Operations about it.
    pub operations: Option<u64>,
}

impl Limit {
    /// The bucket of it, if it has one: a limit of each operation has none.
    pub fn charge(&self, payer: Payer<'_>) -> Option<Charge> {
        let Payer { policy, sender, key } = payer;
        let whose = match self.per {
            Per::Operation => return None,
            Per::User => format!("user/{policy}/{sender}"),
            Per::Key => format!("key/{policy}/{}", key.unwrap_or("none")),
            Per::Policy => format!("policy/{policy}"),
            Per::Global => "global".to_owned(),
        };
        let unit = match self.unit {
            Unit::Wei => "wei",
            Unit::MicroUsd => "usd",
            Unit::Count => "operations",
            Unit::InFlight => "flight",
        };
        // With its period: one name, one unit and one period, whatever the policy is changed to.
        let bucket = format!("{whose}/{unit}/{}", self.every);
        Some(Charge { bucket, unit: self.unit, limit: self.amount, period: self.every })
    }

    /// Whether one operation of this worst case is within it, if it is a limit of each operation.
    ///
    /// # Errors
    /// If it is not.
    pub fn admit(&self, cost: U256, price: Option<U256>) -> Result<(), Denial> {
        if self.per != Per::Operation {
            return Ok(());
        }
        let (cost, unit) = match self.unit {
            Unit::MicroUsd => (self.unit.amount(cost, price.unwrap_or(U256::MAX)), "millionths of a dollar"),
            _ => (cost, "wei"),
        };
        if cost > self.amount { Err(Denial::TooExpensive { cost, limit: self.amount, unit }) } else { Ok(()) }
    }
}

/// Every bucket that an operation under this policy is charged to.
pub(super) fn charges(limits: &[Limit], jobs: &[JobCount], payer: Payer<'_>) -> Vec<Charge> {
    let mut charges: Vec<Charge> = limits.iter().filter_map(|limit| limit.charge(payer)).collect();
    charges.push(usage(&policy_usage(payer.policy), DAY));
    for JobCount { job, rule, operations } in jobs {
        let kind = job.kind.name();
        if let Some(operations) = operations {
            charges.push(Charge {
                bucket: format!("{kind}/{}/{rule}/{}/{}", payer.policy, job.market, job.id),
                unit: Unit::Count,
                limit: U256::from(*operations),
                period: 0,
            });
        }
        charges.push(usage(&job_usage(kind, job.market, job.id), 0));
    }
    // One operation counts once, however many of its calls are about one job.
    let mut seen = std::collections::BTreeSet::new();
    charges.retain(|charge| seen.insert(charge.bucket.clone()));
    charges
}

/// Bucket of what a policy costs a day, in wei.
pub fn policy_usage(policy: &str) -> String {
    format!("usage/policy/{policy}")
}

/// Bucket of what was ever paid for one job, in wei.
pub fn job_usage(kind: &str, market: Address, id: B256) -> String {
    format!("usage/{kind}/{market}/{id}")
}

/// Counts, and limits nothing.
fn usage(bucket: &str, period: u64) -> Charge {
    Charge { bucket: bucket.to_owned(), unit: Unit::Wei, limit: U256::MAX, period }
}

#[cfg(test)]
mod tests {
    use super::{super::job::Kind, *};

    const PAYER: Payer<'static> = Payer { policy: "p", sender: Address::repeat_byte(7), key: Some("app") };

    fn limit(per: Per, unit: Unit) -> Limit {
        Limit { per, unit, amount: U256::from(5), every: 60 }
    }

    #[test]
    fn a_limit_of_each_operation_is_held_against_its_worst_case_in_wei_and_in_dollars() {
        let wei = limit(Per::Operation, Unit::Wei);
        assert_eq!(wei.admit(U256::from(5), None), Ok(()));
        let (cost, limit_) = (U256::from(6), U256::from(5));
        assert_eq!(wei.admit(cost, None), Err(Denial::TooExpensive { cost, limit: limit_, unit: "wei" }));
        let usd = limit(Per::Operation, Unit::MicroUsd);
        let ether = U256::from(10).pow(U256::from(18));
        assert_eq!(usd.admit(ether, Some(U256::from(5))), Ok(()));
        assert!(usd.admit(ether, Some(U256::from(6))).is_err());
        assert!(usd.admit(U256::from(10), None).is_err(), "no price, no sponsorship");
    }

    #[test]
    fn buckets_are_apart_by_whose_they_are_by_unit_and_by_period() {
        let all: Vec<Limit> = [Per::User, Per::Key, Per::Policy, Per::Global]
            .into_iter()
            .flat_map(|per| {
                [limit(per, Unit::Wei), limit(per, Unit::Count), Limit { every: 0, ..limit(per, Unit::Wei) }]
            })
            .collect();
        let charges = charges(&all, &[], PAYER);
        assert_eq!(charges.len(), all.len() + 1, "and what the policy costs a day");
        let mut names: Vec<_> = charges.iter().map(|charge| &charge.bucket).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), charges.len());
    }

    #[test]
    fn two_calls_about_one_job_count_once() {
        let job = JobKey { market: Address::repeat_byte(3), kind: Kind::Job, id: B256::repeat_byte(9) };
        let count = JobCount { job, rule: "steps".into(), operations: Some(2) };
        let charges = charges(&[], &[count.clone(), count], PAYER);
        assert_eq!(charges.iter().filter(|charge| charge.unit == Unit::Count).count(), 1);
    }
}
