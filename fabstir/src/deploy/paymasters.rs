//! One paymaster of each kind for each EntryPoint, with a deposit and a stake.

use alloy::primitives::{Address, B256, Bytes, U256, utils::parse_ether};
use anyhow::Result;
use erc4337::{
    EntryPointVersion,
    abi::{token_paymaster, token_paymaster_v06, verifying_paymaster, verifying_paymaster_v06},
};

use super::{init_code, sender::Sender};

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

/// Sponsors what the signer signs.
pub(super) async fn verifying(sender: &mut Sender, version: EntryPointVersion, owned: Owned) -> Result<Address> {
    let (entry_point_, owner_, signers) = (owned.entry_point, owned.owner, vec![owned.signer]);
    let init_code = match version {
        EntryPointVersion::V0_6 => init_code(
            &verifying_paymaster_v06::BYTECODE,
            &verifying_paymaster_v06::constructorCall { entryPoint_: entry_point_, owner_, signers },
        ),
        _ => init_code(
            &verifying_paymaster::BYTECODE,
            &verifying_paymaster::constructorCall { entryPoint_: entry_point_, owner_, signers },
        ),
    };
    Ok(endowed(sender, init_code).await?.0)
}

/// Pays for whoever pays it in `token`, at a price that the signer signs.
pub(super) async fn token(
    sender: &mut Sender,
    version: EntryPointVersion,
    owned: Owned,
    token: Address,
) -> Result<Address> {
    let (entry_point_, owner_, signers) = (owned.entry_point, owned.owner, vec![owned.signer]);
    let init_code = match version {
        EntryPointVersion::V0_6 => init_code(
            &token_paymaster_v06::BYTECODE,
            &token_paymaster_v06::constructorCall { entryPoint_: entry_point_, owner_, signers },
        ),
        _ => init_code(
            &token_paymaster::BYTECODE,
            &token_paymaster::constructorCall { entryPoint_: entry_point_, owner_, signers },
        ),
    };
    let (paymaster, fresh) = endowed(sender, init_code).await?;
    if fresh {
        // No oracle: signed prices only, which need no reference either.
        let config = token_paymaster::ITokenPaymasterBase::TokenConfig {
            oracle: Address::ZERO,
            maxAge: 0,
            maxDeviationBps: 0,
            markupBps: 0,
            postOpGas: POST_OP_GAS,
            referencePrice: 0,
        };
        sender.call(paymaster, token_paymaster::setTokenCall { token, config }, U256::ZERO).await?;
    }
    Ok(paymaster)
}

/// Deploys it and gives it deposit and stake, if it is new; where, and whether it is. All kinds take both alike.
async fn endowed(sender: &mut Sender, init_code: Bytes) -> Result<(Address, bool)> {
    let fresh = sender.is_new(B256::ZERO, &init_code).await?;
    let paymaster = sender.create2(B256::ZERO, &init_code).await?;
    if fresh {
        sender.call(paymaster, verifying_paymaster::depositCall {}, parse_ether("10")?).await?;
        let stake = verifying_paymaster::addStakeCall { unstakeDelaySec: UNSTAKE_DELAY };
        sender.call(paymaster, stake, parse_ether("1")?).await?;
    }
    Ok((paymaster, fresh))
}
