//! Who acts, and what is called.

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol_types::SolCall,
};
use anyhow::Result;
use erc4337::{EntryPointVersion, abi::test_usdc};
use serde_json::{Value, json};

use super::{contracts, init_code};
use crate::{
    accounts::{SimpleAccount, delegate},
    programs::Dice,
    stack::Stack,
};

/// An operation to be estimated, and who signs it.
pub(super) struct Case {
    pub(super) account: SimpleAccount,
    pub(super) op: Value,
    pub(super) kind: String,
    pub(super) straight: bool,
}

/// What there is to call.
struct Targets {
    writer: Address,
    nested: Address,
    branching: Address,
    token: Address,
}

/// At least `count` operations: each kind of account makes each kind of call, again and again.
pub(super) async fn all(stack: &Stack, dice: &mut Dice, count: usize) -> Result<Vec<Case>> {
    let place = async |code: &[u8]| -> Result<Address> {
        let receipt = stack.anvil.transact(None, init_code(code), U256::ZERO).await?;
        Ok(serde_json::from_value(receipt["contractAddress"].clone())?)
    };
    let targets = Targets {
        writer: place(&contracts::WRITER).await?,
        nested: place(&contracts::NESTED).await?,
        branching: place(&contracts::BRANCHING).await?,
        token: stack.deployment.token,
    };
    // The first of all tokens costs more to mint than those after it, which do not know who comes first.
    let mint = test_usdc::mintCall { to: Address::repeat_byte(1), amount: U256::ONE };
    stack.anvil.transact(Some(targets.token), mint.abi_encode(), U256::ZERO).await?;
    let mut makers = Vec::new();
    for version in EntryPointVersion::ALL {
        makers.push((version, SimpleAccount::new(stack, version, U256::ZERO).await?));
    }
    let mut delegates = Vec::new();
    for version in [EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        delegates.push((version, delegate(stack, version).await?));
    }

    let mut cases = Vec::new();
    while cases.len() < count {
        for (version, maker) in &makers {
            for deployed in [false, true] {
                let account = maker.sibling(stack, parse_ether("1")?).await?;
                if deployed {
                    account.deploy(stack).await?;
                }
                let who = if deployed { "SimpleAccount" } else { "SimpleAccount, created" };
                cases.push(case(stack, dice, &targets, account, format!("{version} {who}")).await?);
            }
        }
        for (version, delegate) in &delegates {
            let account = SimpleAccount::eip7702(stack, *version, parse_ether("1")?).await?;
            let auth = account.authorize(*delegate, 0)?;
            let mut made = case(stack, dice, &targets, account, format!("{version} Simple7702Account")).await?;
            made.op["factory"] = json!("0x7702");
            made.op["eip7702Auth"] = auth;
            cases.push(made);
        }
    }
    Ok(cases)
}

async fn case(stack: &Stack, dice: &mut Dice, targets: &Targets, account: SimpleAccount, who: String) -> Result<Case> {
    let amount = U256::from(dice.below(1_000_000) + 1);
    let slot = U256::from(dice.throw());
    let (what, straight, to, value, data) = match dice.below(6) {
        0 => ("transfer of ether", true, Address::from_word(slot.into()), U256::from(1), Bytes::new()),
        1 => {
            let approve = test_usdc::approveCall { spender: Address::from_word(slot.into()), value: amount };
            ("approve", true, targets.token, U256::ZERO, approve.abi_encode().into())
        }
        2 => {
            let mint = test_usdc::mintCall { to: Address::from_word(slot.into()), amount };
            ("mint", true, targets.token, U256::ZERO, mint.abi_encode().into())
        }
        3 => {
            let slots = dice.below(30) as u64 + 1;
            ("writes", true, targets.writer, U256::ZERO, contracts::words(slots, U256::ZERO))
        }
        4 => {
            let depth = dice.below(60) as u64 + 1;
            ("63/64-hungry", true, targets.nested, U256::ZERO, contracts::words(depth, slot))
        }
        _ => {
            let least = dice.below(2_000_000) as u64 + 30_000;
            ("branches on its gas", false, targets.branching, U256::ZERO, contracts::words(least, slot))
        }
    };
    let op = account.operation(stack, to, value, data).await?;
    Ok(Case { account, op, kind: format!("{who}: {what}"), straight })
}
