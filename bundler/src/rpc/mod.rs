//! ERC-7769 over JSON-RPC: reads parameters, asks the [`Bundler`](crate::Bundler), renders answers.

mod api;
mod debug;
mod explain;
pub(crate) mod lives;
mod params;
mod peers;
mod push;

use jsonrpsee::{RpcModule, server::RegisterMethodError, types::ErrorObjectOwned};

use crate::{Bundler, Rejection};

/// All methods that this bundler serves.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn module(bundler: Bundler) -> Result<RpcModule<Bundler>, RegisterMethodError> {
    let debug = bundler.config.debug_rpc;
    let mut module = api::module(bundler)?;
    push::register(&mut module)?;
    lives::register(&mut module)?;
    peers::register(&mut module)?;
    if debug {
        debug::register(&mut module)?;
    }
    Ok(module)
}

impl From<Rejection> for ErrorObjectOwned {
    fn from(rejection: Rejection) -> Self {
        Self::owned(rejection.code(), rejection.to_string(), rejection.data())
    }
}
