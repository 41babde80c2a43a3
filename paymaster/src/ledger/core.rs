//! The ledger's rules, as functions from records to records. No clock, no I/O.

mod reserve;
mod settle;

pub(super) use reserve::reserve;
pub(super) use settle::{follow, reconcile, rewind};

use alloy::primitives::U256;

use super::{
    Place, Standing, Usage,
    overlay::{Draft, Stop},
    records::{self, CHAIN, Chain},
};

/// Changes a bucket by what `change` does to it.
fn bucket(draft: &mut Draft<'_>, key: &str, change: impl FnOnce(&mut Usage)) -> Result<(), Stop> {
    let mut usage = draft.get_or_default(key)?;
    change(&mut usage);
    draft.put(key, &usage)
}

/// Puts a place into the list of those that are looked at once this slot's signatures have expired.
fn remember(draft: &mut Draft<'_>, place: Place, slot: u64) -> Result<(), Stop> {
    let count_key = records::slot(slot);
    draft.want([count_key.clone()])?;
    let count: usize = draft.get_or_default(&count_key)?;
    let page_key = records::page(slot, count);
    draft.want([page_key.clone()])?;
    let mut page: Vec<Place> = draft.get_or_default(&page_key)?;
    page.push(place);
    draft.put(&page_key, &page)?;
    draft.put(&count_key, &(count + 1))
}

/// What these buckets stand at.
pub(super) fn usage(draft: &Draft<'_>, keys: &[String]) -> Result<Vec<Usage>, Stop> {
    draft.want(keys.iter().cloned())?;
    keys.iter().map(|key| draft.get_or_default(key)).collect()
}

/// Where the ledger stands.
pub(super) fn standing(draft: &Draft<'_>) -> Result<Standing, Stop> {
    draft.want([CHAIN.to_owned()])?;
    let chain: Chain = draft.get_or_default(CHAIN)?;
    let sum = |wei: &std::collections::BTreeMap<_, U256>| wei.values().copied().fold(U256::ZERO, U256::saturating_add);
    Ok(Standing {
        block: chain.marks.last().map(|block| (block.number, block.hash, block.timestamp)),
        spent: sum(&chain.spent),
        unreserved: chain.unreserved,
        drift: sum(&chain.missing),
        deep_reorgs: chain.deep_reorgs,
    })
}
