//! Stub, signature and quotes of operations that pay in a token.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::{Address, U256};
use erc4337::{
    EntryPointVersion, Paymaster, UserOperation,
    token_payment::{self, TokenPayment, tokens_for},
};
use serde_json::{Value, json};

use super::{
    PriceSource, TokenChoice,
    price::{PriceError, marked_up},
};
use crate::{
    Deployed, Refusal, Sponsor,
    service::Ask,
    sign::{STUB_VALIDITY, validity},
};

/// Gas of the contract's validation if nobody has estimated it, and with a permit. Unused, it costs nothing.
const VERIFICATION_GAS: u128 = 350_000;
const PERMIT_VERIFICATION_GAS: u128 = 850_000;
/// An estimate begins with gas limits that nobody could pay for: at this fraction of the price they are paid for.
const STUB_DISCOUNT: u128 = 1_000;
/// Gas by which the fee is told before there are limits.
const ASSUMED_GAS: u64 = 1_500_000;

/// A token that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it is.
    pub address: Address,
    /// As it calls itself.
    pub name: String,
    /// Of its base unit.
    pub decimals: u8,
    /// Gas that the contract charges for settling: the least limit of `postOp`.
    pub post_op_gas: u128,
}

/// Which tokens are accepted, by which contracts, at which price.
#[derive(Debug)]
pub struct TokenMode {
    /// TokenPaymasters by EntryPoint.
    pub paymasters: BTreeMap<Address, Deployed>,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// What they are worth.
    pub source: Arc<dyn PriceSource>,
    /// Added to that, in ten thousandths.
    pub markup_bps: u16,
}

/// What an operation costs its sender at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCharge {
    /// In which token.
    pub token: Token,
    /// Base units.
    pub max_fee: U256,
}

impl TokenCharge {
    /// As ERC-7677's clients of ERC-20 gas read it.
    pub fn to_json(&self) -> Value {
        let Token { address, name, decimals, .. } = &self.token;
        json!({ "name": name, "address": address, "maxFee": self.max_fee, "decimals": decimals })
    }
}

/// The price as a refusal: what the source does not vouch for will not be vouched for a moment later either.
fn unpriced(error: PriceError) -> Refusal {
    Refusal::Price(error)
}

impl TokenMode {
    /// Every token: `{acceptedTokens: [{name, address, decimals}]}`, none if this EntryPoint has no contract for them.
    pub fn accepted(&self, entry_point: Address) -> Value {
        let served = self.paymasters.contains_key(&entry_point);
        let tokens = self.tokens.iter().filter(|_| served);
        json!(
            tokens
                .map(|Token { address, name, decimals, .. }| {
                    json!({ "name": name, "address": address, "decimals": decimals })
                })
                .collect::<Vec<_>>()
        )
    }

    fn token(&self, entry_point: Address, address: Address) -> Result<(Deployed, &Token), Refusal> {
        let deployed = self.paymasters.get(&entry_point);
        let token = self.tokens.iter().find(|token| token.address == address);
        deployed
            .copied()
            .zip(token)
            .ok_or_else(|| Refusal::Token { token: address, accepted: self.accepted(entry_point) })
    }

    async fn price(&self, token: Address) -> Result<u128, Refusal> {
        let price = self.source.tokens_per_eth(token).await.map_err(unpriced)?;
        marked_up(price, self.markup_bps).map_err(unpriced)
    }

    /// What an estimate is to be made with.
    ///
    /// # Errors
    /// If the token is not accepted, or has no price.
    pub(crate) async fn stub(
        &self,
        ask: &Ask,
        choice: &TokenChoice,
        sponsor: &Sponsor,
    ) -> Result<(Paymaster, TokenCharge), Refusal> {
        let (deployed, token) = self.token(ask.entry_point, choice.token)?;
        let price = self.price(token.address).await?;
        let payment = TokenPayment {
            token: token.address,
            max_tokens: u128::MAX,
            tokens_per_eth: (price / STUB_DISCOUNT).max(1),
            validity: STUB_VALIDITY,
        };
        let data = payment.to_paymaster_data(&sponsor.stub_bytes(), &choice.permit);
        let post_op_gas_limit = if deployed.version.is_packed() { token.post_op_gas } else { 0 };
        let paymaster = Paymaster { address: deployed.paymaster, post_op_gas_limit, data, ..Paymaster::default() };
        let op = ask.operation.with_open_fields_zero();
        let gas = U256::from(op.max_gas(deployed.version)).max(U256::from(ASSUMED_GAS));
        let max_fee = tokens_for(gas * U256::from(op.max_fee_per_gas), price);
        Ok((paymaster, TokenCharge { token: token.clone(), max_fee }))
    }

    /// The price, signed for this operation at the chain's time.
    ///
    /// # Errors
    /// If the token is not accepted, has no price, or a field is missing.
    pub(crate) async fn grant(
        &self,
        ask: &Ask,
        choice: &TokenChoice,
        sponsor: &Sponsor,
        chain_id: u64,
        now: u64,
    ) -> Result<(Paymaster, TokenCharge), Refusal> {
        let (deployed, token) = self.token(ask.entry_point, choice.token)?;
        let version = deployed.version;
        let mut operation = ask.operation.clone();
        operation.signature.get_or_insert_default();
        let asked = operation.paymaster.take();
        let op = operation.complete(version)?;
        let limits = limits(deployed, token, asked.as_ref(), choice);
        let price = self.price(token.address).await?;
        let priced = UserOperation { paymaster: Some(limits.clone()), ..op.clone() };
        let max_fee = tokens_for(priced.required_prefund(version), price);
        let payment = TokenPayment {
            token: token.address,
            max_tokens: u128::try_from(max_fee).map_err(|_| unpriced(PriceError::Invalid))?,
            tokens_per_eth: price,
            validity: validity(now),
        };
        let digest = token_payment::digest(&op, version, &limits, &payment, ask.entry_point, chain_id);
        let data = payment.to_paymaster_data(&sponsor.sign_digest(limits.address, digest).await?, &choice.permit);
        Ok((Paymaster { data, ..limits }, TokenCharge { token: token.clone(), max_fee }))
    }

    /// `pimlico_getTokenQuotes`: what these tokens are worth here. Unknown ones are left out.
    ///
    /// # Errors
    /// If one has no price.
    pub async fn quotes(&self, tokens: &[Address], entry_point: Address) -> Result<Value, Refusal> {
        let mut quotes = Vec::new();
        for address in tokens {
            let Ok((deployed, token)) = self.token(entry_point, *address) else { continue };
            let price = self.source.tokens_per_eth(token.address).await.map_err(unpriced)?;
            let rate = marked_up(price, self.markup_bps).map_err(unpriced)?;
            // Millionths of a dollar, if the token is worth one.
            let dollars = U256::from(price) * U256::from(1_000_000) / U256::from(10).pow(U256::from(token.decimals));
            quotes.push(json!({
                "paymaster": deployed.paymaster,
                "token": token.address,
                "postOpGas": U256::from(token.post_op_gas),
                "exchangeRate": U256::from(rate),
                "exchangeRateNativeToUsd": dollars,
            }));
        }
        Ok(json!({ "quotes": quotes }))
    }
}

/// The contract with the gas limits that were estimated with, or else with what it may need.
fn limits(
    deployed: Deployed,
    token: &Token,
    asked: Option<&erc4337::wire::PaymasterRequest>,
    choice: &TokenChoice,
) -> Paymaster {
    let mut limits = Paymaster { address: deployed.paymaster, ..Paymaster::default() };
    if deployed.version != EntryPointVersion::V0_6 {
        let given = |limit: Option<u128>| limit.filter(|limit| *limit > 0);
        let most = if choice.permit.is_empty() { VERIFICATION_GAS } else { PERMIT_VERIFICATION_GAS };
        limits.verification_gas_limit = given(asked.and_then(|asked| asked.verification_gas_limit)).unwrap_or(most);
        let post_op = given(asked.and_then(|asked| asked.post_op_gas_limit)).unwrap_or(token.post_op_gas);
        limits.post_op_gas_limit = post_op.max(token.post_op_gas);
    }
    limits
}
