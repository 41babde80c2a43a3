//! Setting a worst case aside.

use super::{bucket, remember};
use crate::ledger::{
    Denied, OverLimit, Reservation, Rules, Unit, Usage,
    overlay::{Draft, Stop},
    records::{self, Charged, Conduct, Operation, SLOT},
};

/// Charges every bucket of the reservation with what it adds to the place's earlier ones, or none.
///
/// Signatures for one place cannot both be used: they count once, at the dearest and until the last expires.
pub(in crate::ledger) fn reserve(draft: &mut Draft<'_>, asked: &Reservation, rules: &Rules) -> Result<(), Stop> {
    let (place, now) = (asked.place, asked.now);
    let (key, conduct_key) = (records::operation(&place), records::conduct(place.sender));
    let buckets: Vec<String> =
        asked.charges.iter().map(|charge| records::bucket(&charge.bucket, charge.window(now))).collect();
    draft.want([&key, &conduct_key].into_iter().chain(&buckets).cloned())?;

    let conduct: Conduct = draft.get_or_default(&conduct_key)?;
    if rules.reverts > 0 && conduct.until > now {
        return Err(Denied::CoolingDown { sender: place.sender, until: conduct.until }.into());
    }
    let before: Option<Operation> = draft.get(&key)?;
    let mut operation = before.clone().unwrap_or_default();
    if operation.used.is_some() {
        return Err(Denied::Used.into());
    }
    // A dollar amount never shrinks because the price fell between two signatures for one place.
    operation.price = operation.price.max(asked.price.unwrap_or_default());
    operation.cost = operation.cost.max(asked.cost);

    for (charge, bucket_key) in asked.charges.iter().zip(buckets) {
        if charge.unit == Unit::MicroUsd && operation.price.is_zero() {
            return Err(Denied::NoPrice { bucket: charge.bucket.clone() }.into());
        }
        let position = operation.charged.iter().position(|charged| charged.key == bucket_key);
        let position = position.unwrap_or_else(|| {
            operation.charged.push(Charged::new(charge, now));
            operation.charged.len() - 1
        });
        let Some(charged) = operation.charged.get_mut(position) else { continue };
        let more = charge.unit.amount(operation.cost, operation.price).saturating_sub(charged.amount);
        let usage: Usage = draft.get_or_default(&bucket_key)?;
        let remaining = charge.limit.saturating_sub(usage.total());
        if more > remaining {
            let (bucket, unit, limit) = (charge.bucket.clone(), charge.unit, charge.limit);
            let resets_at = charge.resets_at(now);
            let over = OverLimit { bucket, unit, limit, asked: more, remaining, resets_at };
            return Err(Denied::OverLimit(Box::new(over)).into());
        }
        charged.amount += more;
        bucket(draft, &bucket_key, |usage| usage.reserved += more)?;
    }

    let longer = before.is_none_or(|before| before.valid_until < asked.valid_until);
    if longer {
        operation.valid_until = asked.valid_until;
        remember(draft, place, asked.valid_until / SLOT)?;
    }
    draft.put(&key, &operation)
}
