//! The signing service on the node's endpoint: the bundler and the paymaster beside it, and the chain under it.

use std::{path::PathBuf, sync::Arc};

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::SolCall,
};
use anyhow::{Context, Result};
use bundler::node::{NodeClient, NodeError};
use erc4337::{EntryPointVersion, abi::test_usdc, error_code};
use jsonrpsee::{Extensions, Methods, MethodsError, RpcModule, core::params::ArrayParams};
use serde_json::Value;
use session_keys::{
    policy::{marketplace::Marketplace, summary::Names},
    rpc::{self, Backend, Failure, Hub},
    store::Passphrase,
    vault::Vault,
};

use crate::deployment::Deployment;

/// Days for which a permission is granted at most.
const MAX_DAYS: u64 = 90;
/// EntryPoint version of our accounts.
const VERSION: EntryPointVersion = EntryPointVersion::V0_8;

/// Settings of the signing service.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SessionOptions {
    /// Folder of session keys, encrypted, and of their audit log. Without it no session keys are served.
    #[arg(long, env = "FABSTIR_SESSION_STORE")]
    pub session_store: Option<PathBuf>,
    /// File with the passphrase that the keys are encrypted under; else FABSTIR_SESSION_PASSPHRASE.
    #[arg(long)]
    pub session_passphrase_file: Option<PathBuf>,
}

/// Where session keys are kept, and under what.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    passphrase: Passphrase,
}

impl SessionOptions {
    /// The place that is named, if one is.
    ///
    /// # Errors
    /// If there is no passphrase.
    pub fn place(&self) -> Result<Option<Place>> {
        let Some(folder) = self.session_store.clone() else { return Ok(None) };
        let text = match &self.session_passphrase_file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("passphrase file {}", path.display()))?
            }
            None => crate::keys::variable("FABSTIR_SESSION_PASSPHRASE")
                .context("no passphrase: give a passphrase file, or set FABSTIR_SESSION_PASSPHRASE")?,
        };
        let passphrase = Passphrase::new(zeroize::Zeroizing::new(text).trim_end_matches(['\r', '\n']))?;
        Ok(Some(Place { folder, passphrase }))
    }
}

impl Place {
    /// A folder whose keys are worth nothing.
    ///
    /// # Errors
    /// Never: the cost is in range.
    pub fn for_development(folder: PathBuf) -> Result<Self> {
        Ok(Self { folder, passphrase: Passphrase::with_cost("development", 1024, 1)? })
    }
}

/// Under which policy the requests that a session's request leads to are sponsored. The bearer token of the request is
/// the session's, and no API key.
#[derive(Clone, Debug, Default)]
pub struct Sponsored(pub paymaster::Caller);

/// All methods of the signing service, and the service itself; `methods` are the bundler's and the paymaster's.
///
/// # Errors
/// If the folder cannot be used, or another process uses it.
pub async fn module(
    place: Place,
    deployment: &Deployment,
    node: NodeClient,
    methods: Methods,
) -> Result<(RpcModule<Hub<Local>>, Arc<Hub<Local>>)> {
    let names = names(deployment, &node).await?;
    let config = rpc::Config {
        chain_id: deployment.chain_id,
        entry_point: deployment.account_entry_point()?,
        version: VERSION,
        factory: deployment.smart_account_factory,
        paymaster: deployment.paymasters.get(&VERSION.to_string()).copied(),
        marketplace: Marketplace {
            chain_id: deployment.chain_id,
            token: deployment.token,
            escrow: deployment.payment_escrow,
            jobs: deployment.job_marketplace,
            sessions: deployment.session_marketplace,
        },
        names,
        max_lifetime: MAX_DAYS * 86_400,
    };
    let vault = Vault::open(&place.folder, deployment.chain_id)
        .with_context(|| format!("session store {}", place.folder.display()))?;
    let hub = Arc::new(Hub::open(Local { methods, node }, config, Arc::new(place.passphrase), vault)?);
    Ok((rpc::module(Arc::clone(&hub))?, hub))
}

/// What a person calls our contracts.
async fn names(deployment: &Deployment, node: &NodeClient) -> Result<Names> {
    let answer = node.eth_call(deployment.token, test_usdc::symbolCall {}.abi_encode().into()).await?;
    let symbol = test_usdc::symbolCall::abi_decode_returns(&answer)?;
    let answer = node.eth_call(deployment.token, test_usdc::decimalsCall {}.abi_encode().into()).await?;
    let decimals = test_usdc::decimalsCall::abi_decode_returns(&answer)?;
    let contracts = [
        (deployment.job_marketplace, "JobMarketplace"),
        (deployment.session_marketplace, "SessionMarketplace"),
        (deployment.payment_escrow, "PaymentEscrow"),
        (deployment.node_registry, "NodeRegistry"),
    ];
    Ok(Names {
        contracts: contracts.map(|(address, name)| (address, name.to_owned())).into(),
        tokens: [(deployment.token, (symbol, decimals))].into(),
    })
}

/// The bundler and the paymaster in this process, and the node that they use.
#[derive(Clone, Debug)]
pub struct Local {
    methods: Methods,
    node: NodeClient,
}

fn failure(error: NodeError) -> Failure {
    Failure { code: error_code::INTERNAL, message: error.to_string(), data: None }
}

impl Backend for Local {
    fn on_behalf_of(&self, request: &Extensions) -> Self {
        let mut asking = self.clone();
        let Sponsored(caller) = request.get::<Sponsored>().cloned().unwrap_or_default();
        asking.methods.extensions_mut().insert(caller);
        asking
    }

    async fn request(&self, method: &'static str, params: Vec<Value>) -> Result<Value, Failure> {
        let mut array = ArrayParams::new();
        let internal = |message: String| Failure { code: error_code::INTERNAL, message, data: None };
        for param in params {
            array.insert(param).map_err(|error| internal(error.to_string()))?;
        }
        self.methods.call(method, array).await.map_err(|error| match error {
            MethodsError::JsonRpc(error) => Failure {
                code: error.code(),
                message: error.message().to_owned(),
                data: error.data().and_then(|data| serde_json::from_str(data.get()).ok()),
            },
            other => internal(other.to_string()),
        })
    }

    async fn call(&self, to: Address, data: Bytes) -> Result<Bytes, Failure> {
        self.node.eth_call(to, data).await.map_err(failure)
    }

    async fn has_code(&self, account: Address) -> Result<bool, Failure> {
        Ok(!self.node.code(account).await.map_err(failure)?.is_empty())
    }

    async fn time(&self) -> Result<u64, Failure> {
        Ok(self.node.latest().await.map_err(failure)?.timestamp)
    }

    async fn fees(&self) -> Result<(u128, u128), Failure> {
        // The bundler's own word on what it takes.
        let price = self.request("pimlico_getUserOperationGasPrice", vec![]).await?;
        let fee = |name: &str| {
            let fee = serde_json::from_value::<U256>(price["standard"][name].clone()).ok();
            fee.and_then(|fee| u128::try_from(fee).ok()).ok_or_else(|| Failure {
                code: error_code::INTERNAL,
                message: format!("the bundler names no {name}"),
                data: None,
            })
        };
        Ok((fee("maxFeePerGas")?, fee("maxPriorityFeePerGas")?))
    }
}
