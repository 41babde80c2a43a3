//! EIP-7702: is the authorization in the operation one that will work, and whose code does the sender run?

use alloy::primitives::{Address, U256};
use erc4337::{Initializer, UserOperation};

use crate::{Rejection, evm::StateView};

/// Checks that the authorization, if any, is the sender's own, and next in line or done with: another operation may have
/// brought the same one, which the protocol then skips.
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
    let delegate = view.code(op.sender).await?.and_then(|code| code.eip7702_address());
    let is_done = auth.nonce < nonce && delegate == Some(auth.address);
    if auth.nonce != nonce && !is_done {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::{
        eips::eip7702::{Authorization, SignedAuthorization},
        primitives::uint,
        signers::{SignerSync, local::PrivateKeySigner},
    };
    use revm::bytecode::Bytecode;

    use super::*;
    use crate::{evm::Shared, mempool::tests::block, node::NodeClient};

    const N: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    const DELEGATE: Address = Address::repeat_byte(0x77);

    fn signed(key: &PrivateKeySigner, nonce: u64) -> SignedAuthorization {
        let inner = Authorization { chain_id: U256::from(8453), address: DELEGATE, nonce };
        let signature = key.sign_hash_sync(&inner.signature_hash()).unwrap();
        inner.into_signed(signature)
    }

    /// Of an account that has used this many nonces, and runs this code.
    async fn checked(account: Address, auth: SignedAuthorization, nonce: u64, code: Bytecode) -> Result<(), String> {
        let node = NodeClient::new("http://127.0.0.1:1").unwrap();
        let view = StateView::new(node, block(1).hash, 0, Arc::<Shared>::default());
        view.know_account(account, nonce, code);
        let op = UserOperation { sender: account, eip7702_auth: Some(auth), ..UserOperation::default() };
        check(&op, 8453, &view).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn an_authorization_that_the_protocol_skips_does_not_come_in() {
        let key = PrivateKeySigner::random();
        let good = signed(&key, 3);
        let of = |auth: SignedAuthorization| checked(key.address(), auth, 3, Bytecode::default());
        of(good.clone()).await.unwrap();
        let (inner, r, s) = (good.inner().clone(), good.r(), good.s());
        let high = SignedAuthorization::new_unchecked(inner.clone(), 1 - good.y_parity(), r, N - s);
        let parity = SignedAuthorization::new_unchecked(inner.clone(), 2, r, s);
        let zero = SignedAuthorization::new_unchecked(inner, good.y_parity(), U256::ZERO, s);
        for malformed in [high, parity, zero, signed(&key, 4), signed(&PrivateKeySigner::random(), 3)] {
            assert!(of(malformed.clone()).await.unwrap_err().contains("eip7702Auth"), "{malformed:?}");
        }
    }

    #[tokio::test]
    async fn one_that_another_operation_has_spent_is_good_while_the_account_runs_what_it_names() {
        let key = PrivateKeySigner::random();
        let after = |code| checked(key.address(), signed(&key, 3), 4, code);
        after(Bytecode::new_eip7702(DELEGATE)).await.unwrap();
        assert!(
            after(Bytecode::new_eip7702(Address::repeat_byte(1))).await.unwrap_err().contains("not the sender's next")
        );
        assert!(after(Bytecode::default()).await.is_err());
    }
}
