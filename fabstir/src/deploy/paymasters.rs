//! One paymaster of each kind for each EntryPoint, with a deposit and a stake.

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolConstructor,
};
use anyhow::Result;
use erc4337::{
    EntryPointVersion,
    abi::{entry_point_v08, token_paymaster, token_paymaster_v06, verifying_paymaster, verifying_paymaster_v06},
};

use super::sender::Sender;

/// Seconds that a stake stays locked: what bundlers ask for.
const UNSTAKE_DELAY: u32 = 86_400;
/// Gas charged for taking and giving back tokens.
const POST_OP_GAS: u32 = 60_000;

/// Whose a paymaster is, and whom it believes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub(super) entry_point: Address,
    pub(super) owner: Address,
    pub(super) signer: Address,
}

/// What a paymaster starts with, in wei.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endowment {
    pub(super) deposit: u128,
    pub(super) stake: u128,
}

/// Sponsors what the signer signs.
pub(super) async fn verifying(
    sender: &mut Sender,
    version: EntryPointVersion,
    owned: Owned,
    endowment: Endowment,
) -> Result<Address> {
    let (entry_point_, owner_, signers) = (owned.entry_point, owned.owner, vec![owned.signer]);
    let name = format!("VerifyingPaymaster {version}");
    let paymaster = match version {
        EntryPointVersion::V0_6 => {
            let arguments = verifying_paymaster_v06::constructorCall { entryPoint_: entry_point_, owner_, signers };
            let (code, arguments) = (&verifying_paymaster_v06::BYTECODE, arguments.abi_encode());
            sender.create2(&name, "VerifyingPaymasterV06", B256::ZERO, code, &arguments).await?
        }
        _ => {
            let arguments = verifying_paymaster::constructorCall { entryPoint_: entry_point_, owner_, signers };
            let (code, arguments) = (&verifying_paymaster::BYTECODE, arguments.abi_encode());
            sender.create2(&name, "VerifyingPaymaster", B256::ZERO, code, &arguments).await?
        }
    };
    endow(sender, &name, paymaster, owned.entry_point, endowment).await?;
    Ok(paymaster)
}

/// Pays for whoever pays it in `token`, at a price that the signer signs.
pub(super) async fn token(
    sender: &mut Sender,
    version: EntryPointVersion,
    owned: Owned,
    token: Address,
    endowment: Endowment,
) -> Result<Address> {
    let (entry_point_, owner_, signers) = (owned.entry_point, owned.owner, vec![owned.signer]);
    let name = format!("TokenPaymaster {version}");
    let paymaster = match version {
        EntryPointVersion::V0_6 => {
            let arguments = token_paymaster_v06::constructorCall { entryPoint_: entry_point_, owner_, signers };
            let (code, arguments) = (&token_paymaster_v06::BYTECODE, arguments.abi_encode());
            sender.create2(&name, "TokenPaymasterV06", B256::ZERO, code, &arguments).await?
        }
        _ => {
            let arguments = token_paymaster::constructorCall { entryPoint_: entry_point_, owner_, signers };
            let (code, arguments) = (&token_paymaster::BYTECODE, arguments.abi_encode());
            sender.create2(&name, "TokenPaymaster", B256::ZERO, code, &arguments).await?
        }
    };
    let known = sender.read(paymaster, token_paymaster::getTokenCall { token }).await?;
    if known.is_none_or(|config| config.postOpGas == 0) {
        // No oracle: signed prices only, which need no reference either.
        let config = token_paymaster::ITokenPaymasterBase::TokenConfig {
            oracle: Address::ZERO,
            maxAge: 0,
            maxDeviationBps: 0,
            markupBps: 0,
            postOpGas: POST_OP_GAS,
            referencePrice: 0,
        };
        let call = token_paymaster::setTokenCall { token, config };
        sender.call(&format!("let {name} take the token"), paymaster, call, U256::ZERO).await?;
    }
    endow(sender, &name, paymaster, owned.entry_point, endowment).await?;
    Ok(paymaster)
}

/// Gives it deposit and stake, the stake last: one that has it has been given both, and what is left of them is the
/// operator's business. All kinds take both alike.
async fn endow(
    sender: &mut Sender,
    name: &str,
    paymaster: Address,
    entry_point: Address,
    endowment: Endowment,
) -> Result<()> {
    // The first words of the answer mean the same in every version.
    let info = sender.read(entry_point, entry_point_v08::getDepositInfoCall { account: paymaster }).await?;
    if info.as_ref().is_some_and(|info| info.unstakeDelaySec > 0) {
        return Ok(());
    }
    if info.is_none_or(|info| info.deposit.is_zero()) {
        let deposit = verifying_paymaster::depositCall {};
        sender.call(&format!("deposit for {name}"), paymaster, deposit, U256::from(endowment.deposit)).await?;
    }
    let stake = verifying_paymaster::addStakeCall { unstakeDelaySec: UNSTAKE_DELAY };
    sender.call(&format!("stake for {name}"), paymaster, stake, U256::from(endowment.stake)).await
}
