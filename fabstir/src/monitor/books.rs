//! Who has how much in the escrow, added up from its events: the books that its balance has to cover.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256};
use anyhow::Result;
use bundler::node::NodeClient;
use erc4337::abi::payment_escrow::{self, BatchReleased, Deposited, FeesCollected, Locked, Refunded, Released};

use super::View;
use crate::deployment::Deployment;

/// Base units, as the contract says them; whom to ask about is known from events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// What each account may withdraw, by account and token.
    pub credits: BTreeMap<(Address, Address), U256>,
    /// What is locked, by controller and the lock's id: whose it is, in which token, how much.
    pub locks: BTreeMap<(Address, B256), (Address, Address, U256)>,
    /// Fees not collected yet, by token.
    pub fees: BTreeMap<Address, U256>,
}

impl Books {
    /// Reads them all.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn read(node: &NodeClient, deployment: &Deployment, from_block: u64) -> Result<Self> {
        Self::of(&View { node, deployment, from_block, head: node.latest().await? }).await
    }

    pub(crate) async fn of(view: &View<'_>) -> Result<Self> {
        let escrow = view.deployment.payment_escrow;
        let mut accounts = BTreeSet::new();
        accounts.extend(view.events::<Deposited>(escrow).await?.into_iter().map(|it| it.account));
        accounts.extend(view.events::<Released>(escrow).await?.into_iter().map(|it| it.payee));
        accounts.extend(view.events::<BatchReleased>(escrow).await?.into_iter().map(|it| it.payee));
        accounts.extend(view.events::<Refunded>(escrow).await?.into_iter().map(|it| it.payer));
        accounts.extend(view.events::<FeesCollected>(escrow).await?.into_iter().map(|it| it.to));
        let locked = view.events::<Locked>(escrow).await?;
        let locked: BTreeSet<_> = locked.into_iter().map(|it| (it.controller, it.id)).collect();

        let mut books = Self::default();
        let tokens = view.read(escrow, payment_escrow::tokensCall {}).await?;
        for token in tokens {
            books.fees.insert(token, view.read(escrow, payment_escrow::feesOfCall { token }).await?);
            for account in accounts.iter().copied() {
                let credit = view.read(escrow, payment_escrow::creditOfCall { account, token }).await?;
                if !credit.is_zero() {
                    books.credits.insert((account, token), credit);
                }
            }
        }
        for (controller, id) in locked {
            let lock = view.read(escrow, payment_escrow::lockOfCall { controller, id }).await?;
            if !lock.amount.is_zero() {
                books.locks.insert((controller, id), (lock.payer, lock.token, lock.amount));
            }
        }
        Ok(books)
    }

    /// Everything that is owed in this token.
    pub fn owed(&self, token: Address) -> U256 {
        let credits = self.credits.iter().filter(|((_, of), _)| *of == token).map(|(_, amount)| *amount);
        let locks = self.locks.values().filter(|(_, of, _)| *of == token).map(|(_, _, amount)| *amount);
        let fees = self.fees.get(&token).copied().unwrap_or_default();
        credits.chain(locks).chain([fees]).fold(U256::ZERO, U256::saturating_add)
    }
}
