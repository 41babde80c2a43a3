//! What was executed, operation by operation, and what of it has left the chain.

use std::collections::BTreeMap;

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, B256, U256},
    rpc::types::Header,
    sol,
    sol_types::SolEvent,
};

use super::Mined;

sol! {
    event UserOperationEvent(
        bytes32 indexed userOpHash, address indexed sender, address indexed paymaster,
        uint256 nonce, bool success, uint256 actualGasCost, uint256 actualGasUsed
    );
}

/// Where an operation was executed.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The operation.
    pub hash: B256,
    /// Of it.
    pub entry_point: Address,
    /// Of it.
    pub sender: Address,
    /// Of it.
    pub nonce: U256,
    /// Who paid, if not the sender.
    pub paymaster: Address,
    /// Wei.
    pub cost: U256,
    /// Whether its call did not revert.
    pub success: bool,
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: B256,
    /// Its block's number, and time in seconds since 1970.
    pub number: u64,
    /// Its block's time in seconds since 1970.
    pub timestamp: u64,
    /// Milliseconds of the world at which that came to be.
    pub since: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Log {
    /// On the chain now, by operation.
    pub executed: BTreeMap<B256, Vec<Executed>>,
    /// When blocks with it have left the chain, in milliseconds.
    pub gone: BTreeMap<B256, Vec<u64>>,
    /// Nonces that transactions had which have left the chain, and that no other has had since; the operations that the
    /// transaction executed.
    pub freed: BTreeMap<(Address, u64), Vec<B256>>,
}

/// What these executed.
fn events<'a>(at: u64, header: &'a Header, mined: &'a Mined) -> impl Iterator<Item = Executed> + 'a {
    mined.receipt.inner.logs().iter().filter_map(move |log| {
        let event = UserOperationEvent::decode_log(&log.inner).ok()?;
        Some(Executed {
            hash: event.userOpHash,
            entry_point: log.address(),
            sender: event.sender,
            nonce: event.nonce,
            paymaster: event.paymaster,
            cost: event.actualGasCost,
            success: event.success,
            transaction: mined.receipt.transaction_hash,
            block: header.hash,
            number: header.number,
            timestamp: header.timestamp,
            since: at,
        })
    })
}

impl Log {
    /// Wei that the operations of this transaction paid.
    pub fn paid_in(&self, transaction: B256) -> u128 {
        let all = self.executed.values().flatten().filter(|it| it.transaction == transaction);
        all.map(|it| it.cost.saturating_to::<u128>()).sum()
    }

    pub(super) fn mined(&mut self, at: u64, header: &Header, transactions: &[Mined]) {
        for mined in transactions {
            self.freed.remove(&(mined.from, mined.tx.nonce()));
            for executed in events(at, header, mined) {
                self.executed.entry(executed.hash).or_default().push(executed);
            }
        }
    }

    pub(super) fn left(&mut self, at: u64, header: &Header, transactions: &[Mined]) {
        for mined in transactions {
            let hashes: Vec<B256> = events(at, header, mined).map(|executed| executed.hash).collect();
            for hash in &hashes {
                self.gone.entry(*hash).or_default().push(at);
                if let Some(all) = self.executed.get_mut(hash) {
                    all.retain(|executed| executed.block != header.hash);
                    if all.is_empty() {
                        self.executed.remove(hash);
                    }
                }
            }
            self.freed.insert((mined.from, mined.tx.nonce()), hashes);
        }
    }

    /// The one execution of it on the chain now.
    pub fn of(&self, hash: B256) -> Option<&Executed> {
        self.executed.get(&hash)?.first()
    }

    /// Whether it has left the chain since.
    pub fn gone_since(&self, hash: B256, at: u64) -> bool {
        self.gone.get(&hash).is_some_and(|times| times.iter().any(|time| *time >= at))
    }
}
