//! EIP-7702: is the authorization in the operation one that will work, and whose code does the sender run?

use alloy::primitives::{Address, U256};
use erc4337::{Initializer, UserOperation};

use crate::{Rejection, evm::StateView};

/// Checks that the authorization, if any, is the sender's own and next in line.
pub(super) async fn check(op: &UserOperation, chain_id: u64, view: &StateView) -> Result<(), Rejection> {
    let Some(auth) = &op.eip7702_auth else { return Ok(()) };
    let refuse = |reason: String| Err(Rejection::Authorization { reason });
    if auth.chain_id != U256::ZERO && auth.chain_id != U256::from(chain_id) {
        return refuse(format!("chainId {} is neither 0 nor {chain_id}", auth.chain_id));
    }
    match auth.recover_authority() {
        Ok(authority) if authority == op.sender => {}
        Ok(authority) => return refuse(format!("signed by {authority}, not by the sender {}", op.sender)),
        Err(_) => return refuse("its signature does not recover".into()),
    }
    let nonce = view.nonce(op.sender).await?;
    if auth.nonce != nonce {
        return refuse(format!("nonce {} is not the sender's next, {nonce}", auth.nonce));
    }
    Ok(())
}

/// The code an EIP-7702 sender points to on chain; `None` for any other operation or account.
pub(crate) async fn on_chain_delegate(op: &UserOperation, view: &StateView) -> Result<Option<Address>, Rejection> {
    if !matches!(op.initializer, Some(Initializer::Eip7702 { .. })) {
        return Ok(None);
    }
    Ok(view.code(op.sender).await?.and_then(|code| code.eip7702_address()))
}
