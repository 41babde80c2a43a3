//! Permissions, calls and vouchers over JSON-RPC.
//!
//! ```text
//!  fabstir_createSession ──► a key, and the token that alone may use it
//!  wallet_requestExecutionPermissions ──► policy, summary and typed data ──► the owner signs
//!  fabstir_grantPermission ──► wallet_sendCalls · fabstir_signUserOperation · fabstir_signVoucher
//!                              └ observe the chain, judge, count, write down, sign, send
//!  wallet_revokeExecutionPermission ──► nothing is signed any more; the owner tells the chain next
//! ```
//!
//! - [`backend`]: bundler, paymaster and chain, as a trait. - [`hub`]: the service with its clock, chain and disk.
//! - [`permissions`] (ERC-7715), [`calls`] (EIP-5792), [`vouchers`]: the methods. - [`auth`]: who may use which key.

pub mod auth;
pub mod backend;
mod calls;
mod error;
mod hub;
mod operation;
mod owner;
mod params;
mod permissions;
mod vouchers;

use std::sync::Arc;

use jsonrpsee::{RpcModule, server::RegisterMethodError};

pub use auth::Caller;
pub use backend::{Backend, Failure};
pub use error::RpcError;
pub use hub::{Config, Hub};
pub use operation::Asked;

/// Methods that run the EVM or stretch a passphrase: what counts for a rate limit.
pub const HEAVY: [&str; 5] = [
    "fabstir_createSession",
    "fabstir_grantPermission",
    "fabstir_signUserOperation",
    "wallet_requestExecutionPermissions",
    "wallet_sendCalls",
];

/// All methods of the signing service.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn module<B: Backend>(hub: Arc<Hub<B>>) -> Result<RpcModule<Hub<B>>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(hub);
    macro_rules! methods {
        ($($name:literal => $method:expr),* $(,)?) => {$(
            module.register_async_method($name, |params, hub, extensions| async move {
                let caller = extensions.get::<Caller>().copied().unwrap_or_default();
                $method(&hub, params::Positional::of(&params)?, caller).await
            })?;
        )*};
    }
    methods! {
        "fabstir_createSession" => permissions::create,
        "wallet_requestExecutionPermissions" => permissions::request,
        "fabstir_grantPermission" => permissions::grant,
        "wallet_revokeExecutionPermission" => permissions::revoke,
        "wallet_getSupportedExecutionPermissions" => permissions::supported,
        "wallet_getGrantedExecutionPermissions" => permissions::granted,
        "wallet_getCapabilities" => calls::capabilities,
        "wallet_getCallsStatus" => calls::status,
        "fabstir_signUserOperation" => calls::sign,
        "fabstir_signVoucher" => vouchers::sign,
    }
    module.register_async_method("wallet_sendCalls", |params, hub, extensions| async move {
        let caller = extensions.get::<Caller>().copied().unwrap_or_default();
        calls::send(&hub, &hub.backend.on_behalf_of(&extensions), params::Positional::of(&params)?, caller).await
    })?;
    Ok(module)
}
