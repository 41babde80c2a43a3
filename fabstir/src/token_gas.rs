//! Gas paid in the deployment's token: at a price that the operator sets, or that an oracle on the chain says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, I256, utils::parse_units},
    sol_types::SolCall,
};
use anyhow::{Context, Result, bail};
use bundler::node::NodeClient;
use erc4337::abi::{price_oracle, test_usdc, token_paymaster};
use paymaster::{
    Deployed,
    token::{
        PriceError, PriceSource, Token, TokenMode,
        price::{OracleLimits, Priced, Round, Static},
    },
};

use crate::Deployment;

/// For so long the oracle is not asked again.
const FRESH: Duration = Duration::from_secs(1);

/// Settings of gas that is paid in the deployment's token. Without a price none is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TokenOptions {
    /// What 1 ETH costs in the deployment's token, in whole tokens, for ever.
    #[arg(long, env = "FABSTIR_TOKEN_PRICE", conflicts_with = "token_oracle")]
    token_price: Option<String>,
    /// A Chainlink feed of what 1 ETH costs in the deployment's token, or in the currency that it stands for.
    #[arg(long, env = "FABSTIR_TOKEN_ORACLE", requires = "token_reference_price")]
    token_oracle: Option<Address>,
    /// Seconds that the feed's answer holds.
    #[arg(long, env = "FABSTIR_TOKEN_ORACLE_MAX_AGE", default_value_t = 3_600)]
    token_oracle_max_age: u64,
    /// About what 1 ETH costs, in whole tokens: an answer too far from it is not believed.
    #[arg(long, env = "FABSTIR_TOKEN_REFERENCE_PRICE")]
    token_reference_price: Option<String>,
    /// How far, in ten thousandths.
    #[arg(long, env = "FABSTIR_TOKEN_MAX_DEVIATION_BPS", default_value_t = 1_000)]
    token_max_deviation_bps: u16,
    /// Added to the price, in ten thousandths: what the price may move while a quote holds.
    #[arg(long, env = "FABSTIR_TOKEN_MARKUP_BPS", default_value_t = 500)]
    token_markup_bps: u16,
}

impl TokenOptions {
    /// This many whole tokens for 1 ETH, and a mark-up of 5 %.
    pub fn at(price: &str) -> Self {
        Self { token_price: Some(price.to_owned()), token_markup_bps: 500, ..Self::default() }
    }

    /// How tokens are taken on this deployment; not at all without a price.
    ///
    /// # Errors
    /// If a price is no number, or the token, its paymasters or the oracle are not there.
    pub async fn mode(&self, deployment: &Deployment, node: &NodeClient) -> Result<Option<TokenMode>> {
        if self.token_price.is_none() && self.token_oracle.is_none() {
            return Ok(None);
        }
        let mut paymasters = BTreeMap::new();
        for (entry_point, version) in deployment.entry_point_versions()? {
            if let Some(paymaster) = deployment.token_paymasters.get(&version.to_string()) {
                paymasters.insert(entry_point, Deployed { version, paymaster: *paymaster });
            }
        }
        let address = deployment.token;
        let decimals = ask(node, address, test_usdc::decimalsCall {}).await?;
        let mut post_op_gas = 0;
        for deployed in paymasters.values() {
            // All versions have this function.
            let config = ask(node, deployed.paymaster, token_paymaster::getTokenCall { token: address }).await?;
            if config.postOpGas == 0 {
                bail!("{} does not accept {address}: call its setToken", deployed.paymaster);
            }
            post_op_gas = post_op_gas.max(u128::from(config.postOpGas));
        }
        let name = ask(node, address, test_usdc::symbolCall {}).await?;
        let tokens = vec![Token { address, name, decimals, post_op_gas }];
        let units = |what: &str, text: &str| -> Result<u128> {
            let units = parse_units(text, decimals).with_context(|| format!("{what}: {text} is no amount"))?;
            u128::try_from(units.get_absolute())
                .ok()
                .filter(|units| *units > 0)
                .with_context(|| format!("{what}: zero"))
        };
        let source: Arc<dyn PriceSource> = match (&self.token_price, self.token_oracle) {
            (Some(price), _) => Arc::new(Static(units("--token-price", price)?)),
            (None, oracle) => {
                let reference = self.token_reference_price.as_deref().context("--token-reference-price is missing")?;
                let limits = OracleLimits {
                    max_age: self.token_oracle_max_age,
                    reference: units("--token-reference-price", reference)?,
                    max_deviation_bps: self.token_max_deviation_bps,
                };
                let oracle = oracle.context("--token-oracle is missing")?;
                let decimals_of_oracle = ask(node, oracle, price_oracle::decimalsCall {}).await?;
                Arc::new(Oracle {
                    node: node.clone(),
                    oracle,
                    limits,
                    decimals: decimals_of_oracle,
                    token_decimals: decimals,
                    last: Mutex::default(),
                })
            }
        };
        Ok(Some(TokenMode { paymasters, tokens, source, markup_bps: self.token_markup_bps }))
    }
}

async fn ask<C: SolCall>(node: &NodeClient, to: Address, call: C) -> Result<C::Return> {
    let answer = node.eth_call(to, call.abi_encode().into()).await?;
    C::abi_decode_returns(&answer).with_context(|| format!("{to} does not answer {}", C::SIGNATURE))
}

/// A feed on the chain.
#[derive(Debug)]
struct Oracle {
    node: NodeClient,
    oracle: Address,
    limits: OracleLimits,
    decimals: u8,
    token_decimals: u8,
    last: Mutex<Option<(Instant, Round)>>,
}

impl Oracle {
    async fn round(&self) -> Result<Round, PriceError> {
        let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, round)) = known.filter(|(asked, _)| asked.elapsed() < FRESH) {
            return Ok(round);
        }
        let asked = Instant::now();
        let answer = ask(&self.node, self.oracle, price_oracle::latestRoundDataCall {})
            .await
            .map_err(|error| PriceError::Unavailable(error.root_cause().to_string()))?;
        let round = Round {
            answer: I256::try_from(answer.answer).map_err(|_| PriceError::Invalid)?,
            decimals: self.decimals,
            updated_at: u64::try_from(answer.updatedAt).map_err(|_| PriceError::Invalid)?,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, round));
        Ok(round)
    }
}

impl PriceSource for Oracle {
    fn tokens_per_eth(&self, _token: Address) -> Priced<'_> {
        Box::pin(async move {
            let round = self.round().await?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
            self.limits.price(&round, self.token_decimals, now)
        })
    }
}
