//! Who pays for an operation: its account, or a paymaster of ours that signs for it.

use alloy::{
    primitives::{Address, B256, Bytes, U256, aliases::U48, keccak256},
    sol_types::{SolCall, SolValue},
};
use anyhow::{Context, Result};
use erc4337::{
    EntryPointVersion, Paymaster, UserOperation, UserOperationRequest,
    abi::{test_usdc, token_paymaster, token_paymaster_v06},
    sponsorship::{self, SIGNATURE_LENGTH, Validity},
};
use serde_json::{Value, json};
use session_keys::SecretKey;

use crate::{accounts::view, anvil::KEYS, stack::Stack};

/// Of all signatures and prices here.
const VALIDITY: Validity = Validity { until: 4_000_000_000, after: 0 };
/// Base units of the token for an ether, and what a sender holds.
const TOKENS_PER_ETHER: u128 = 3_000_000_000;
const TOKENS: u64 = 1_000_000_000_000;

/// Who pays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payer {
    Account,
    /// A VerifyingPaymaster.
    Sponsor(Address),
    /// A TokenPaymaster, and its token.
    Tokens(Address, Address),
}

impl Payer {
    /// The deployment's VerifyingPaymaster of this version.
    pub(super) fn sponsor(stack: &Stack, version: EntryPointVersion) -> Self {
        Self::Sponsor(stack.deployment.paymasters[&version.to_string()])
    }

    /// The deployment's TokenPaymaster of this version, which may take as many tokens of `account` as it likes.
    pub(super) async fn tokens(stack: &Stack, version: EntryPointVersion, account: Address) -> Result<Self> {
        let (paymaster, token) = (stack.deployment.token_paymasters[&version.to_string()], stack.deployment.token);
        let mint = test_usdc::mintCall { to: account, amount: U256::from(TOKENS) };
        stack.anvil.transact(Some(token), mint.abi_encode(), U256::ZERO).await?;
        let approve = test_usdc::approveCall { spender: paymaster, value: U256::MAX };
        stack.anvil.transact_as(account, token, approve.abi_encode()).await?;
        Ok(Self::Tokens(paymaster, token))
    }

    /// Adds the paymaster with a signature of nobody's.
    pub(super) fn fill(self, version: EntryPointVersion, op: &mut Value) -> Result<()> {
        let nobody = SecretKey::generate().sign(keccak256("a dummy"))?.as_bytes();
        match self {
            Self::Account => Ok(()),
            Self::Sponsor(paymaster) => put(op, version, paymaster, &VALIDITY.to_paymaster_data(&nobody)),
            Self::Tokens(paymaster, token) => put(op, version, paymaster, &payment(token, &nobody)),
        }
    }

    /// Signs for a complete operation, if it is a paymaster.
    pub(super) async fn sign(
        self,
        stack: &Stack,
        version: EntryPointVersion,
        entry_point: Address,
        op: &mut Value,
    ) -> Result<()> {
        if let Self::Account = self {
            return Ok(());
        }
        let complete = UserOperationRequest::from_json(op, version)?.with_open_fields_zero();
        let signer = SecretKey::from_hex(KEYS[2])?;
        match self {
            Self::Account => Ok(()),
            Self::Sponsor(address) => {
                let none = Paymaster { address, ..Paymaster::default() };
                let limits = complete.paymaster.clone().filter(|_| version.is_packed()).unwrap_or(none);
                let chain_id = stack.deployment.chain_id;
                let digest = sponsorship::digest(&complete, version, &limits, VALIDITY, entry_point, chain_id);
                let signature = signer.sign(digest)?.as_bytes();
                put(op, version, address, &VALIDITY.to_paymaster_data(&signature))
            }
            Self::Tokens(paymaster, token) => {
                let digest = price_digest(stack, version, paymaster, token, &complete).await?;
                put(op, version, paymaster, &payment(token, &signer.sign(digest)?.as_bytes()))
            }
        }
    }
}

fn put(op: &mut Value, version: EntryPointVersion, paymaster: Address, data: &[u8]) -> Result<()> {
    let op = op.as_object_mut().context("no object")?;
    if version.is_packed() {
        op.insert("paymaster".into(), json!(paymaster));
        op.insert("paymasterData".into(), json!(Bytes::copy_from_slice(data)));
    } else {
        op.insert("paymasterAndData".into(), json!(Bytes::from([paymaster.as_slice(), data].concat())));
    }
    Ok(())
}

/// `0x00 ‖ token ‖ maxTokens ‖ tokensPerEth ‖ validUntil ‖ validAfter ‖ signature`
fn payment(token: Address, signature: &[u8; SIGNATURE_LENGTH]) -> Vec<u8> {
    let (most, price) = (u128::MAX.to_be_bytes(), TOKENS_PER_ETHER.to_be_bytes());
    let terms = VALIDITY.to_paymaster_data(signature);
    [&[0], token.as_slice(), &most, &price, &terms].concat()
}

/// What the contract says is to be signed.
async fn price_digest(
    stack: &Stack,
    version: EntryPointVersion,
    paymaster: Address,
    token: Address,
    op: &UserOperation,
) -> Result<B256> {
    let (until, after) = (U48::from(VALIDITY.until), U48::from(VALIDITY.after));
    let call = if version.is_packed() {
        let user_op = token_paymaster::PackedUserOperation::abi_decode(&op.to_packed(version).abi_encode())?;
        let payment = token_paymaster::TokenPaymentLib::Payment {
            signed: true,
            token,
            maxTokens: u128::MAX,
            tokensPerEth: TOKENS_PER_ETHER,
            validUntil: until,
            validAfter: after,
        };
        token_paymaster::getHashCall { userOp: user_op, payment }.abi_encode()
    } else {
        let user_op = token_paymaster_v06::UserOperation::abi_decode(&op.to_unpacked().abi_encode())?;
        let payment = token_paymaster_v06::TokenPaymentLib::Payment {
            signed: true,
            token,
            maxTokens: u128::MAX,
            tokensPerEth: TOKENS_PER_ETHER,
            validUntil: until,
            validAfter: after,
        };
        token_paymaster_v06::getHashCall { userOp: user_op, payment }.abi_encode()
    };
    Ok(B256::abi_decode(&view(stack, paymaster, call).await?)?)
}
