//! What clients of other paymasters ask for, under their names and in their words.

use alloy::primitives::U256;
use erc4337::EntryPointVersion;
use jsonrpsee::{RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Value, json};

use super::{entry_point, list, render};
use crate::{Refusal, Service, Terms};

pub(super) fn register(module: &mut RpcModule<Service>) -> Result<(), RegisterMethodError> {
    module.register_method("pm_chainId", |_, service, _| json!(U256::from(service.chain_id())))?;
    module.register_method("pm_supportedEntryPoints", |_, service, _| {
        let mut served: Vec<_> = service.config().paymasters.iter().map(|(at, it)| (it.version, *at)).collect();
        // As `eth_supportedEntryPoints`: the one to take if nothing speaks for another comes first.
        served.sort_by_key(|(version, _)| (*version != EntryPointVersion::V0_8, *version));
        json!(served.iter().map(|(_, address)| address).collect::<Vec<_>>())
    })?;
    module.register_async_method("pm_supportedERC20Tokens", |params, service, _| async move {
        supported_tokens(&service, &params).await
    })?;
    Ok(())
}

/// `(entryPoint)`: tokens with their price, and what to estimate with.
async fn supported_tokens(service: &Service, params: &Params<'_>) -> Result<Value, Refusal> {
    let entry_point = entry_point(&list(params, "[entryPoint]")?, 0)?;
    let (paymaster, version) = service.dummy(entry_point)?;
    let mut tokens = Vec::new();
    if let Some(mode) = service.tokens() {
        let accepted = mode.accepted(entry_point);
        for token in accepted.as_array().into_iter().flatten() {
            let Some(address) = token["address"].as_str().and_then(|text| text.parse().ok()) else { continue };
            let quotes = mode.quotes(&[address], entry_point).await?;
            let mut token = token.clone();
            token["symbol"] = token["name"].clone();
            token["exchangeRate"] = quotes["quotes"][0]["exchangeRate"].clone();
            tokens.push(token);
        }
    }
    let address = paymaster.address;
    let dummy = render(&Terms { paymaster, charge: None }, version);
    Ok(json!({
        "paymasterMetadata": {
            "name": "Fabstir Compute", "description": "", "icons": [], "address": address,
            "dummyPaymasterAndData": if version.is_packed() { &dummy } else { &dummy["paymasterAndData"] },
        },
        "tokens": tokens,
    }))
}
