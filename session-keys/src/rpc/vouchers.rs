//! Vouchers of streaming sessions: a right apart, with a ceiling and a rate.

use alloy::primitives::B256;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Backend, Caller, RpcError, hub::Hub, params::Positional};
use crate::service::Voucher;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignVoucher {
    permission_context: B256,
    voucher: Voucher,
}

/// `fabstir_signVoucher [{permissionContext, voucher}]` → `{signature}`: the account's, by ERC-1271. The conversation
/// must be open for the account itself.
pub(super) async fn sign<B: Backend>(hub: &Hub<B>, params: Positional, caller: Caller) -> Result<Value, RpcError> {
    let client = caller.client()?;
    let SignVoucher { permission_context: id, voucher } = params.required(0, "request")?;
    hub.meta(id, client)?;
    let now = hub.backend.time().await?;
    let _turn = hub.turn_for_voucher(id, now).await?;
    let domain = hub.config.marketplace.session_domain().separator();
    let signature = hub.service().sign_voucher(id, domain, &voucher, now);
    hub.commit(id).await?;
    Ok(json!({ "signature": signature? }))
}
