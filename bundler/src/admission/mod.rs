//! From a complete operation to a verdict.
//!
//! ```text
//!  UserOperation ──limits──► ──authorization──► ──EVM──► verdict ──rules──► Admitted
//!                   │              │                       │         │
//!                   └──────────────┴── Rejection ◄─────────┴─────────┘
//! ```
//!
//! Static checks first, because they cost nothing; then the EntryPoint itself, in process; then ERC-7562 on what it
//! was seen to do.

mod authorization;
mod conduct;
mod examination;
mod lane;
mod limits;
mod verdict;
mod window;

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, KECCAK256_EMPTY, U256};
use erc4337::{EntryPointVersion, HashContext, UserOperation, ValidationData};
use serde::{Deserialize, Serialize};

pub(crate) use authorization::on_chain_delegate;
pub use conduct::Conduct;
pub(crate) use conduct::{Misconduct, misconduct};
pub(crate) use examination::{Examination, examine, first_reads, sequence_on_chain};
pub(crate) use lane::{counted, in_line, state_after};
pub use verdict::Validated;
pub(crate) use verdict::{nobody_there, reject_revert, verdict};
pub(crate) use window::{is_about_time, later};

use crate::{
    Config, Head, Rejection,
    evm::{NextBlock, Wanted},
    rules::Parties,
    world,
};
use window::MARGIN;

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
    /// What the mempool needs to know of how it was validated.
    pub evidence: Arc<Evidence>,
}

impl Admitted {
    /// The same without what its validation read: enough to take it again, and to validate it anew then.
    pub(crate) fn summary(&self) -> Self {
        let Evidence { ahead, parties, paymaster_deposit, context, .. } = *self.evidence;
        let evidence = Arc::new(Evidence { ahead, parties, paymaster_deposit, context, ..Evidence::default() });
        Self { op: Arc::clone(&self.op), evidence, ..*self }
    }

    /// The paymaster that can revert the bundle whatever has been proven, if there is one: in v0.6 `postOp` may, by what it
    /// reverts with or by reverting twice.
    pub(crate) fn uncontained(&self) -> Option<Address> {
        let asked_after = self.version == EntryPointVersion::V0_6 && self.evidence.context > 0;
        self.op.paymaster_address().filter(|_| asked_after)
    }
}

/// What a validation rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The block it was validated on.
    pub block: B256,
    /// That block's number.
    pub height: u64,
    /// State it read, the EntryPoint's own storage left out: nonces and deposits are kept book of instead.
    pub reads: Wanted,
    /// Code it depends on (COD-010).
    pub code_hashes: Vec<(Address, B256)>,
    /// Contracts it used associated storage in (STO-041).
    pub associated: Vec<Address>,
    /// Who is who, and how well staked.
    pub parties: Parties,
    /// The paymaster's deposit then, in wei.
    pub paymaster_deposit: U256,
    /// Bytes that the paymaster hands on to its `postOp`; it has none if there are none.
    #[serde(default)]
    pub context: usize,
    /// Operations of its sender and nonce key that go before it.
    pub ahead: u64,
    /// What each entity's part of it took and returned.
    #[serde(default)]
    pub conduct: Conduct,
}

impl Evidence {
    /// The hash of this account's code, if validation depends on it.
    pub(crate) fn code_of(&self, account: Address) -> Option<B256> {
        code_of(&self.code_hashes, account)
    }
}

fn code_of(hashes: &[(Address, B256)], account: Address) -> Option<B256> {
    let hash = hashes.iter().find(|(address, _)| *address == account).map(|(_, hash)| *hash);
    // An account that there is none of has no code either.
    hash.filter(|hash| !hash.is_zero() && *hash != KECCAK256_EMPTY)
}

/// Who asks, and on what grounds they judge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grounds<'a> {
    pub(crate) config: &'a Config,
    pub(crate) head: &'a Head,
    pub(crate) bundler: Address,
}

impl Grounds<'_> {
    /// The block that what is judged now may be mined in first.
    pub(crate) fn next_block(&self) -> NextBlock {
        self.head.block.next(&self.config.chain, world::unix())
    }
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

/// The checks that cost little, and the operation's hash. Fetches what validation is sure to read.
///
/// # Errors
/// The first reason not to look further.
pub(crate) async fn screen(op: &UserOperation, entry_point: Address, on: Grounds<'_>) -> Result<B256, Rejection> {
    let version = entry_point_version(on.config, entry_point)?;
    limits::check(op, version, on.config, on.head)?;
    let mut wanted = first_reads(op, entry_point, on.bundler);
    wanted.extend(on.head.view.shared().forecast.of(op, version));
    on.head.view.prefetch(&wanted).await?;
    authorization::check(op, on.config.chain.chain_id, &on.head.view).await?;
    hash_of(op, entry_point, version, on).await
}

/// `userOpHash`, with the delegate that an EIP-7702 sender has on this head.
///
/// # Errors
/// If that cannot be read, or there is none.
pub(crate) async fn hash_of(
    op: &UserOperation,
    entry_point: Address,
    version: EntryPointVersion,
    on: Grounds<'_>,
) -> Result<B256, Rejection> {
    let context = HashContext { version, entry_point, chain_id: on.config.chain.chain_id };
    op.hash(&context, on_chain_delegate(op, &on.head.view).await?)
        .map_err(|error| Rejection::Authorization { reason: error.to_string() })
}

/// Checks a screened operation against this head. `lane` is what is pending of its sender and nonce key.
///
/// # Errors
/// The first reason not to take it.
pub(crate) async fn admit(
    op: Arc<UserOperation>,
    hash: B256,
    entry_point: Address,
    lane: &[Arc<UserOperation>],
    on: Grounds<'_>,
) -> Result<Admitted, Rejection> {
    let version = entry_point_version(on.config, entry_point)?;
    let examination = examine(Arc::clone(&op), entry_point, version, lane, on).await?;
    admitted(examination.with_room(&op, version, on), MARGIN, op, hash, entry_point, on)
}

/// What was examined, if nothing stands against it and it is valid for so long yet.
fn admitted(
    examination: Examination,
    margin: Duration,
    op: Arc<UserOperation>,
    hash: B256,
    entry_point: Address,
    on: Grounds<'_>,
) -> Result<Admitted, Rejection> {
    let version = entry_point_version(on.config, entry_point)?;
    let (validated, evidence) = examination.accept(entry_point, on)?;
    validated.check_end(&on.next_block(), version, margin, op.paymaster_address())?;
    Ok(Admitted { op, hash, entry_point, version, validated, evidence: Arc::new(evidence) })
}

/// An operation as if it had been found valid, but with the evidence of its validation, for tests of what comes after.
///
/// # Errors
/// If there was nothing to run, or state could not be read.
pub(crate) async fn take_as_valid(
    op: UserOperation,
    entry_point: Address,
    on: Grounds<'_>,
) -> Result<Admitted, Rejection> {
    let version = entry_point_version(on.config, entry_point)?;
    on.head.view.prefetch(&first_reads(&op, entry_point, on.bundler)).await?;
    let hash = hash_of(&op, entry_point, version, on).await?;
    let op = Arc::new(op);
    let examination = examine(Arc::clone(&op), entry_point, version, &[], on).await?;
    let validated = Validated { account: ValidationData::VALID, paymaster: None, gas_used: examination.run.gas_used };
    Ok(Admitted {
        op,
        hash,
        entry_point,
        version,
        validated,
        evidence: Arc::new(examination.evidence(entry_point, on)),
    })
}

/// Fetches what validations of these will read again, all at once.
///
/// # Errors
/// If the node does not answer for exactly this block.
pub(crate) async fn prefetch_again(
    admitted: impl IntoIterator<Item = &Admitted>,
    on: Grounds<'_>,
) -> Result<(), Rejection> {
    let mut wanted = Wanted::default();
    for admitted in admitted {
        wanted.extend(first_reads(&admitted.op, admitted.entry_point, on.bundler));
        wanted.extend(admitted.evidence.reads.clone());
    }
    Ok(on.head.view.prefetch(&wanted).await?)
}

/// Validates again what was accepted, on a newer head: fees and limits are not asked about again, nor how long it is
/// valid yet.
///
/// # Errors
/// The first reason for which it can no longer be included.
pub(crate) async fn revalidate(
    admitted: &Admitted,
    lane: &[Arc<UserOperation>],
    on: Grounds<'_>,
) -> Result<Admitted, Rejection> {
    prefetch_again([admitted], on).await?;
    authorization::check(&admitted.op, on.config.chain.chain_id, &on.head.view).await?;
    let (op, entry_point) = (Arc::clone(&admitted.op), admitted.entry_point);
    let examination = examine(Arc::clone(&op), entry_point, admitted.version, lane, on).await?;
    // The sender has been made since, or runs another delegate by an authorization of its own: it is another account, of
    // which everything is asked that was asked at first (COD-010 is about all others).
    let is_another = examination.code_of(op.sender) != admitted.evidence.code_of(op.sender);
    // What those ahead were to make was there at first, if only in our EVM.
    if is_another && admitted.evidence.ahead == 0 {
        let examination = examination.with_room(&op, admitted.version, on);
        return self::admitted(examination, MARGIN, op, admitted.hash, entry_point, on);
    }
    self::admitted(examination, Duration::ZERO, op, admitted.hash, entry_point, on)
}

/// Runs CPU-bound or state-reading work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Rejection> {
    world::blocking(work).await.map_err(|_| Rejection::Internal("a validation was cut short"))
}
