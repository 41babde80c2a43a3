//! From a complete operation to a verdict.
//!
//! ```text
//!  UserOperation ──limits──► ──authorization──► ──EVM──► verdict ──► Admitted
//!                   │              │                       │
//!                   └──────────────┴── Rejection ◄─────────┘
//! ```
//!
//! Static checks first, because they cost nothing; then the EntryPoint itself, in process.

mod authorization;
mod limits;
mod verdict;

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256},
    rpc::types::state::StateOverride,
};
use erc4337::{EntryPointVersion, HashContext, UserOperation};

pub(crate) use authorization::on_chain_delegate;
pub use verdict::Validated;
pub(crate) use verdict::{reject_revert, verdict};

use crate::{
    Config, Head, Rejection,
    evm::{HandleOps, StopAt, Wanted},
    gas,
    head::unix_now,
};

/// An operation that may enter the mempool.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The operation.
    pub op: Arc<UserOperation>,
    /// Its `userOpHash`.
    pub hash: B256,
    /// Where it runs.
    pub entry_point: Address,
    /// The rules there.
    pub version: EntryPointVersion,
    /// What account and paymaster said.
    pub validated: Validated,
}

/// The EntryPoint at this address.
///
/// # Errors
/// If it is not one of those served.
pub(crate) fn entry_point_version(config: &Config, address: Address) -> Result<EntryPointVersion, Rejection> {
    config.entry_points.get(&address).copied().ok_or_else(|| Rejection::UnknownEntryPoint {
        given: address.to_string(),
        supported: config.entry_points.keys().copied().collect(),
    })
}

/// Checks an operation against this head.
///
/// # Errors
/// The first reason not to take it.
pub(crate) async fn admit(
    op: UserOperation,
    entry_point: Address,
    config: &Config,
    head: &Head,
    bundler: Address,
) -> Result<Admitted, Rejection> {
    let version = entry_point_version(config, entry_point)?;
    limits::check(&op, version, config, head)?;
    authorization::check(&op, config.chain.chain_id, &head.view).await?;

    let context = HashContext { version, entry_point, chain_id: config.chain.chain_id };
    let hash = op
        .hash(&context, on_chain_delegate(&op, &head.view).await?)
        .map_err(|error| Rejection::Authorization { reason: error.to_string() })?;

    head.view.prefetch(&first_reads(&op, entry_point, bundler)).await?;
    let op = Arc::new(op);
    let run = {
        let (op, head) = (Arc::clone(&op), head.clone());
        let chain_id = config.chain.chain_id;
        blocking(move || {
            HandleOps {
                version,
                entry_point,
                chain_id,
                operations: &[&op],
                bundler,
                gas_limit: u64::try_from(gas::bundle_gas_limit([&*op], version)).unwrap_or(u64::MAX),
                stop_at: StopAt::Validation,
                trust_signatures: false,
                overrides: &StateOverride::default(),
                now: unix_now(),
            }
            .run(&head.view, &head.block)
        })
        .await??
    };
    let validated = verdict(&run, &op, entry_point, version)?;
    verdict::check_expiry(&validated, head.block.next_timestamp(unix_now()), head.block.number + 1)?;
    Ok(Admitted { op, hash, entry_point, version, validated })
}

/// What validation is sure to read, so that one trip fetches it all.
pub(crate) fn first_reads(op: &UserOperation, entry_point: Address, bundler: Address) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.accounts.extend([entry_point, bundler, op.sender]);
    wanted.accounts.extend(op.factory());
    wanted.accounts.extend(op.paymaster_address());
    wanted.accounts.extend(op.eip7702_auth.as_ref().map(|auth| auth.address));
    wanted.slots.insert((entry_point, erc4337::storage::nonce_slot(op.sender, op.nonce_key())));
    for payer in [Some(op.sender), op.paymaster_address()].into_iter().flatten() {
        wanted.slots.extend(erc4337::storage::deposit_slots(payer).map(|slot| (entry_point, slot)));
    }
    wanted
}

/// Runs CPU-bound or state-reading work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Rejection> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Rejection::Internal("a validation was cut short"))
}
