//! What blocks do to the ledger, what taking them back undoes, and when room comes back.

use alloy::primitives::{Address, U256};

use super::{bucket, remember};
use crate::ledger::{
    Block, Blocks, Inclusion, Place, Rules, StoreError, Unit,
    overlay::{Draft, Stop},
    records::{self, CHAIN, Chain, Charged, Conduct, Mark, Operation, PAGE, SLOT},
};

fn chain(draft: &Draft<'_>) -> Result<Chain, Stop> {
    draft.want([CHAIN.to_owned()])?;
    draft.get_or_default(CHAIN)
}

/// Takes a range of blocks in: settles what it executed, then frees what has become final by it.
///
/// Blocks that are known already change nothing.
pub(in crate::ledger) fn follow(draft: &mut Draft<'_>, blocks: &Blocks, rules: &Rules) -> Result<(), Stop> {
    let mut chain = chain(draft)?;
    if chain.marks.contains(&blocks.tip) {
        return Ok(());
    }
    let known = chain.marks.last().map(|block| block.hash);
    if known.is_some() && known != blocks.after
        || chain.marks.last().is_some_and(|last| last.number >= blocks.tip.number)
    {
        return Err(StoreError::Gap.into());
    }
    if chain.marks.is_empty() {
        // Nothing was promised that would have expired before.
        chain.slot = blocks.tip.timestamp / SLOT;
    }
    let keys = blocks
        .inclusions
        .iter()
        .flat_map(|inclusion| [records::operation(&inclusion.place), records::conduct(inclusion.place.sender)]);
    draft.want(keys)?;
    let mut mark = Mark::default();
    let mut seen = std::collections::BTreeSet::new();
    for inclusion in blocks.inclusions.iter().filter(|inclusion| seen.insert(inclusion.place)) {
        settle(draft, inclusion, blocks.tip.timestamp, rules, &mut mark)?;
    }
    for (entry_point, wei) in &mark.spent {
        *chain.spent.entry(*entry_point).or_default() += *wei;
    }
    chain.unreserved += mark.unreserved;
    draft.put(&records::mark(blocks.tip.number), &mark)?;
    chain.marks.push(blocks.tip);

    // The newest final mark stays, as the ground that no reorganisation should reach.
    while let Some([oldest, next, ..]) = chain.marks.get(..2).map(|pair| [pair[0], pair[1]]) {
        if next.timestamp.saturating_add(rules.finality) > blocks.tip.timestamp {
            break;
        }
        finish(draft, oldest)?;
        chain.marks.remove(0);
        finish(draft, next)?;
        expire(draft, &mut chain, next.timestamp)?;
    }
    draft.put(CHAIN, &chain)
}

fn settle(
    draft: &mut Draft<'_>,
    inclusion: &Inclusion,
    timestamp: u64,
    rules: &Rules,
    mark: &mut Mark,
) -> Result<(), Stop> {
    let Inclusion { place, ours, cost, success } = *inclusion;
    let key = records::operation(&place);
    let operation: Option<Operation> = draft.get(&key)?;
    if operation.as_ref().is_some_and(|operation| operation.used.is_some()) {
        return Ok(());
    }
    let paid = if ours { cost } else { U256::ZERO };
    if ours {
        *mark.spent.entry(place.entry_point).or_default() += cost;
        let reserved = operation.as_ref().map_or(U256::ZERO, |operation| operation.cost);
        mark.unreserved += paid.saturating_sub(reserved);
    }
    let Some(mut operation) = operation else { return Ok(()) };
    charge(draft, &operation, inclusion, true)?;
    if ours && !success && rules.reverts > 0 {
        revert(draft, place.sender, timestamp, rules)?;
    }
    operation.used = Some(*inclusion);
    draft.put(&key, &operation)?;
    mark.settled.push(*inclusion);
    Ok(())
}

/// Moves what an operation came to from reserved to settled, or back.
fn charge(draft: &mut Draft<'_>, operation: &Operation, used: &Inclusion, forth: bool) -> Result<(), Stop> {
    draft.want(operation.charged.iter().map(|charged| charged.key.clone()))?;
    for charged in &operation.charged {
        let came_to = came_to(operation, charged, used);
        let (settled, freed) = match charged.unit {
            Unit::InFlight => (U256::ZERO, charged.amount),
            _ => (came_to, came_to),
        };
        bucket(draft, &charged.key, |usage| {
            if forth {
                usage.settled = usage.settled.saturating_add(settled);
                usage.reserved = usage.reserved.saturating_sub(freed);
            } else {
                usage.settled = usage.settled.saturating_sub(settled);
                usage.reserved = usage.reserved.saturating_add(freed);
            }
        })?;
    }
    Ok(())
}

/// What an executed operation takes of one bucket for good.
///
/// Signed for in several periods, it takes of the last alone. Never more than was set aside there: signatures under
/// another policy may have been dearer, and then it is its buckets that bear the rest.
fn came_to(operation: &Operation, charged: &Charged, used: &Inclusion) -> U256 {
    let borne = used.ours && operation.is_borne_by(charged);
    let amount = if borne { charged.unit.amount(used.cost, operation.price) } else { U256::ZERO };
    amount.min(charged.amount)
}

fn revert(draft: &mut Draft<'_>, sender: Address, timestamp: u64, rules: &Rules) -> Result<(), Stop> {
    let key = records::conduct(sender);
    let mut conduct: Conduct = draft.get_or_default(&key)?;
    if conduct.reverts == 0 || timestamp.saturating_sub(conduct.since) > rules.forget {
        conduct = Conduct { since: timestamp, ..Conduct::default() };
    }
    conduct.reverts += 1;
    if conduct.reverts >= rules.reverts {
        conduct.until = timestamp + rules.cool_down;
    }
    draft.put(&key, &conduct)
}

/// Frees what the operations of a final range did not cost.
fn finish(draft: &mut Draft<'_>, block: Block) -> Result<(), Stop> {
    let mark_key = records::mark(block.number);
    draft.want([mark_key.clone()])?;
    let Some(mark) = draft.get::<Mark>(&mark_key)? else { return Ok(()) };
    draft.want(mark.settled.iter().map(|inclusion| records::operation(&inclusion.place)))?;
    for inclusion in &mark.settled {
        let key = records::operation(&inclusion.place);
        let Some(operation) = draft.get::<Operation>(&key)? else { continue };
        draft.want(operation.charged.iter().map(|charged| charged.key.clone()))?;
        for charged in operation.charged.iter().filter(|charged| charged.unit != Unit::InFlight) {
            let came_to = came_to(&operation, charged, inclusion);
            let rest = charged.amount.saturating_sub(came_to);
            bucket(draft, &charged.key, |usage| usage.reserved = usage.reserved.saturating_sub(rest))?;
        }
        draft.remove(&key);
    }
    draft.remove(&mark_key);
    Ok(())
}

/// Releases what can no longer be used: a final block is past its last signature's time, and did not have it.
fn expire(draft: &mut Draft<'_>, chain: &mut Chain, timestamp: u64) -> Result<(), Stop> {
    let end = timestamp / SLOT;
    draft.want((chain.slot..end).map(records::slot))?;
    for slot in chain.slot..end {
        let count: usize = draft.get_or_default(&records::slot(slot))?;
        let pages: Vec<String> = (0..count).step_by(PAGE).map(|index| records::page(slot, index)).collect();
        draft.want(pages.iter().cloned())?;
        for page in pages {
            let places: Vec<Place> = draft.get_or_default(&page)?;
            draft.want(places.iter().map(records::operation))?;
            for place in places {
                release(draft, place, end)?;
            }
            draft.remove(&page);
        }
        if count > 0 {
            draft.remove(&records::slot(slot));
        }
    }
    chain.slot = chain.slot.max(end);
    Ok(())
}

fn release(draft: &mut Draft<'_>, place: Place, end: u64) -> Result<(), Stop> {
    let key = records::operation(&place);
    let Some(operation) = draft.get::<Operation>(&key)? else { return Ok(()) };
    // Used, it ends when that is final; signed again since, in a later slot.
    if operation.used.is_some() || operation.valid_until / SLOT >= end {
        return Ok(());
    }
    draft.want(operation.charged.iter().map(|charged| charged.key.clone()))?;
    for charged in &operation.charged {
        bucket(draft, &charged.key, |usage| usage.reserved = usage.reserved.saturating_sub(charged.amount))?;
    }
    draft.remove(&key);
    Ok(())
}

/// Takes back everything after the block of this height: it is no longer in the chain.
pub(in crate::ledger) fn rewind(draft: &mut Draft<'_>, number: u64, rules: &Rules) -> Result<(), Stop> {
    let mut chain = chain(draft)?;
    while let Some(last) = chain.marks.last().copied().filter(|last| last.number > number) {
        if chain.marks.len() == 1 {
            // Final: what it freed may have been promised again, so that it is not undone, only told.
            chain.deep_reorgs += 1;
            break;
        }
        chain.marks.pop();
        let key = records::mark(last.number);
        draft.want([key.clone()])?;
        let mark: Mark = draft.get_or_default(&key)?;
        for inclusion in &mark.settled {
            undo(draft, inclusion, chain.slot, rules)?;
        }
        for (entry_point, wei) in &mark.spent {
            let spent = chain.spent.entry(*entry_point).or_default();
            *spent = spent.saturating_sub(*wei);
        }
        chain.unreserved = chain.unreserved.saturating_sub(mark.unreserved);
        draft.remove(&key);
    }
    draft.put(CHAIN, &chain)
}

fn undo(draft: &mut Draft<'_>, inclusion: &Inclusion, slot: u64, rules: &Rules) -> Result<(), Stop> {
    let (key, conduct_key) = (records::operation(&inclusion.place), records::conduct(inclusion.place.sender));
    draft.want([key.clone(), conduct_key.clone()])?;
    let Some(mut operation) = draft.get::<Operation>(&key)? else { return Ok(()) };
    charge(draft, &operation, inclusion, false)?;
    operation.used = None;
    draft.put(&key, &operation)?;
    if operation.valid_until / SLOT < slot {
        // Its turn has passed while it counted as used.
        remember(draft, inclusion.place, slot)?;
    }
    if inclusion.ours && !inclusion.success {
        let mut conduct: Conduct = draft.get_or_default(&conduct_key)?;
        conduct.reverts = conduct.reverts.saturating_sub(1);
        if conduct.reverts < rules.reverts {
            conduct.until = 0;
        }
        draft.put(&conduct_key, &conduct)?;
    }
    Ok(())
}

/// Holds a paymaster's deposit, read at the last block taken in, against what was spent of it.
pub(in crate::ledger) fn reconcile(
    draft: &mut Draft<'_>,
    entry_point: Address,
    at: alloy::primitives::B256,
    deposit: U256,
) -> Result<(), Stop> {
    let mut chain = chain(draft)?;
    if chain.marks.last().is_none_or(|last| last.hash != at) {
        return Err(StoreError::Gap.into());
    }
    let accounted = deposit.saturating_add(chain.spent.get(&entry_point).copied().unwrap_or_default());
    let funded = chain.funded.entry(entry_point).or_insert(accounted);
    // More than there was: somebody added to it.
    *funded = (*funded).max(accounted);
    let missing = *funded - accounted;
    chain.missing.insert(entry_point, missing);
    draft.put(CHAIN, &chain)
}
