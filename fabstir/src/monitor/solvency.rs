//! Whether everybody could be paid at once.

use alloy::primitives::{Address, U256};
use anyhow::Result;
use erc4337::abi::{node_registry, payment_escrow, test_usdc, token_paymaster};

use super::{View, books::Books};
use crate::doctor::Finding;

/// Nodes in a page, the registry's highest.
const PAGE: u64 = 100;

pub(crate) async fn examine(view: &View<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let escrow = view.deployment.payment_escrow;
    let books = Books::of(view).await?;
    for token in view.read(escrow, payment_escrow::tokensCall {}).await? {
        let has = balance(view, token, escrow).await?;
        let owes = view.read(escrow, payment_escrow::liabilitiesOfCall { token }).await?;
        let (check, added) = (format!("escrow of {token}"), books.owed(token));
        let seen = format!("has {has}, owes {owes}; credits, locks and fees add up to {added}");
        findings.push(if has < owes {
            Finding::failure(check, seen, "not everybody can be paid: pause entry, find out where it went")
        } else if added != owes {
            let remedy = "the books do not add up: see that --from-block is not after the deployment; else pause entry";
            Finding::failure(check, seen, remedy)
        } else {
            Finding::ok(check, seen)
        });
    }
    for (version, paymaster) in &view.deployment.token_paymasters {
        let token = view.deployment.token;
        let has = balance(view, token, *paymaster).await?;
        let owes = view.read(*paymaster, token_paymaster::totalCreditOfCall { token }).await?;
        let (check, seen) = (format!("credit at token paymaster {version}"), format!("has {has}, owes {owes}"));
        findings.push(if has < owes {
            Finding::failure(check, seen, "prepaid gas is not covered: send it the token, find out where it went")
        } else {
            Finding::ok(check, seen)
        });
    }
    findings.push(stake(view).await?);
    Ok(())
}

async fn balance(view: &View<'_>, token: Address, account: Address) -> Result<U256> {
    Ok(match token.is_zero() {
        true => view.node.balance(account).await?,
        false => view.read(token, test_usdc::balanceOfCall { account }).await?,
    })
}

/// What the registry says of each host's stake is what the escrow has locked for it.
async fn stake(view: &View<'_>) -> Result<Finding> {
    let (registry, escrow) = (view.deployment.node_registry, view.deployment.payment_escrow);
    let (mut cursor, mut hosts, mut total, mut wrong) = (U256::ZERO, 0, U256::ZERO, Vec::new());
    loop {
        let page = view.read(registry, node_registry::nodesCall { cursor, limit: U256::from(PAGE) }).await?;
        for node in page.page {
            let stake = U256::from(node.stake) + U256::from(node.unbonding);
            let lock = payment_escrow::lockOfCall { controller: registry, id: node.host.into_word() };
            let locked = view.read(escrow, lock).await?.amount;
            if locked != stake {
                wrong.push(format!("{}: registry {stake}, escrow {locked}", node.host));
            }
            (hosts, total) = (hosts + 1, total.saturating_add(stake));
        }
        cursor = page.next;
        if cursor.is_zero() {
            break;
        }
    }
    Ok(if wrong.is_empty() {
        Finding::ok("stake", format!("{total} of {hosts} hosts, all of it in the escrow"))
    } else {
        Finding::failure("stake", wrong.join(", "), "registry and escrow disagree: pause entry")
    })
}
