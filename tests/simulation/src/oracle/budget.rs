//! Budgets: what was signed for and may still be used, and what was paid, are never more than what was set.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};

use super::Oracle;
use crate::chain::{Chain, Executed};

/// Seconds of a budget's period.
const DAY: u64 = 86_400;

/// An operation's place: one signature at most of all for it is ever used.
type Place = (Address, Address, U256);

/// A sponsorship that was given out.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// EntryPoint, sender and nonce.
    pub place: Place,
    /// Wei that the EntryPoint may take for it at most.
    pub worst: U256,
    /// Last second since 1970 at which it can be used.
    pub until: u64,
    /// The second in which it was asked for, and that in which it came.
    pub given: (u64, u64),
}

/// What may be promised in a day, and what was.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// To all, in wei.
    pub total: U256,
    /// To each account, in wei.
    pub per_sender: U256,
    /// Who pays.
    pub paymasters: Vec<Address>,
    grants: BTreeMap<Place, Vec<Grant>>,
}

impl Budgets {
    /// With nothing promised.
    pub fn new(total: U256, per_sender: U256, paymasters: Vec<Address>) -> Self {
        Self { total, per_sender, paymasters, grants: BTreeMap::new() }
    }

    /// What the chain paid for this place.
    fn paid(&self, place: &Place, chain: &Chain) -> Option<U256> {
        let same = |executed: &&Executed| (executed.entry_point, executed.sender, executed.nonce) == *place;
        let executed = chain.log.executed.values().flatten().find(same)?;
        Some(if self.paymasters.contains(&executed.paymaster) { executed.cost } else { U256::ZERO })
    }

    /// Wei promised on this day to this sender, or to all: of each place the dearest that can still be used, or what it
    /// came to. Signatures that were asked for before midnight and came after it count for neither day.
    fn promised(&self, day: u64, sender: Option<Address>, now: u64, chain: &Chain) -> U256 {
        let ours = self.grants.iter().filter(|((_, of, _), _)| sender.is_none_or(|sender| sender == *of));
        let mut sum = U256::ZERO;
        for (place, grants) in ours {
            let today = |grant: &&Grant| grant.given.0 / DAY == day && grant.given.1 / DAY == day;
            let worst = grants.iter().filter(today).map(|grant| grant.worst).max();
            let Some(worst) = worst else { continue };
            let usable = grants.iter().any(|grant| grant.until >= now);
            sum += match self.paid(place, chain) {
                Some(paid) => paid.min(worst),
                None if usable => worst,
                None => U256::ZERO,
            };
        }
        sum
    }
}

impl Oracle {
    /// The paymaster signed.
    pub fn granted(&mut self, at: u64, grant: Grant, chain: &Chain) {
        let Some(budgets) = &mut self.budgets else { return };
        budgets.grants.entry(grant.place).or_default().push(grant);
        let (day, now, sender) = (grant.given.1 / DAY, chain.head().header.timestamp, grant.place.1);
        let total = budgets.promised(day, None, now, chain);
        let to_one = budgets.promised(day, Some(sender), now, chain);
        let (most, most_to_one) = (budgets.total, budgets.per_sender);
        self.note(
            at,
            &format!("granted {sender} {} until {}: {total} in all, {to_one} to it", grant.worst, grant.until),
        );
        if total > most {
            self.wrong(at, format!("{total} wei are promised, and {most} may be"));
        }
        if to_one > most_to_one {
            self.wrong(at, format!("{to_one} wei are promised to {sender}, and {most_to_one} may be"));
        }
    }

    /// Wei that the node's paymasters have paid on the chain.
    pub fn paid(&self, chain: &Chain) -> U256 {
        let Some(budgets) = &self.budgets else { return U256::ZERO };
        let ours = |executed: &&Executed| budgets.paymasters.contains(&executed.paymaster);
        chain.log.executed.values().flatten().filter(ours).map(|executed| executed.cost).sum()
    }

    /// Long after the last signature has expired: what the ledger says is what the chain took.
    pub fn settled(&mut self, at: u64, ledger: &Standing, chain: &Chain) {
        let paid = self.paid(chain);
        self.note(at, &format!("the ledger says {ledger:?}, the chain {paid}"));
        if ledger.spent != paid {
            self.wrong(at, format!("the ledger says that {} wei were spent, and it were {paid}", ledger.spent));
        }
        if !ledger.reserved.is_zero() {
            self.wrong(at, format!("{} wei are still set aside, and no signature can be used", ledger.reserved));
        }
        if ledger.settled != paid {
            self.wrong(at, format!("the budgets say that {} wei were spent, and it were {paid}", ledger.settled));
        }
        if !ledger.alarms.is_zero() {
            self.wrong(at, format!("the ledger is alarmed: {ledger:?}"));
        }
    }
}

/// The ledger's public figures.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Wei spent.
    pub spent: U256,
    /// Wei set aside in the budgets of all days.
    pub reserved: U256,
    /// Wei that these call spent.
    pub settled: U256,
    /// Whatever is to be alarmed at.
    pub alarms: U256,
}
