//! The limits that all share, whoever asks: what an operator watches.

use alloy::primitives::{Address, U256};

use super::{LimitReport, Service, unix_now};
use crate::{
    Refusal,
    policy::{Payer, Per},
};

impl Service {
    /// Where the limits of all together stand, and those of each policy as a whole.
    ///
    /// # Errors
    /// If the ledger is out of reach.
    pub async fn shared_limits(&self) -> Result<Vec<LimitReport>, Refusal> {
        let now = unix_now();
        let mut charges = self.config.limits.charges(Address::ZERO);
        charges.truncate(1);
        let mut reports = self.limits(&charges, U256::ZERO, None, now).await?;
        for policy in self.policies.current().iter() {
            let payer = Payer { policy: &policy.id, sender: Address::ZERO, key: None };
            let shared = policy.limits.iter().filter(|limit| matches!(limit.per, Per::Policy | Per::Global));
            let charges: Vec<_> = shared.filter_map(|limit| limit.charge(payer)).collect();
            reports.extend(self.limits(&charges, U256::ZERO, policy.price, now).await?);
        }
        Ok(reports)
    }
}
