//! Bundler and paymaster in one round trip, on one head.
//!
//! ```text
//!  fabstir_prepareSponsoredUserOperation   nonce ─► fees ─► stub ─► estimate ─► sponsorship    then the user signs
//!  fabstir_sponsorAndSend (v0.9)           user has signed ─► rehearsal ─► sponsorship ─► admission
//!  fabstir_sponsorAndSend of a session     the first, then the session's verdict and signature ─► admission
//! ```
//!
//! Policy, budget and signature are those of `pm_getPaymasterData`: the same function of the same service.

use std::sync::Arc;

use alloy::{
    hex,
    primitives::{Address, Bytes, U256},
    rpc::types::state::StateOverride,
};
use bundler::{Bundler, Head, Rejection};
use erc4337::{
    FieldError, Paymaster, UserOperation, UserOperationRequest, error_code,
    wire::{self, PaymasterRequest},
};
use jsonrpsee::{
    Extensions, RpcModule,
    server::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use paymaster::{
    Ask, Caller, Refusal, Rehearsal, Scope, Service,
    rehearsal::{Rehearsed, Unrehearsed},
    token::TokenChoice,
};
use serde_json::{Value, json};
use session_keys::rpc::{Hub, RpcError};

use crate::sessions::Local;

mod peers;

/// Recovers to nobody we know, so that validation goes the way it goes with an ECDSA key's signature.
const STUB_SIGNATURE: [u8; 65] = hex!(
    "fffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c"
);

/// Rehearses with the bundler's EVM, behind what its mempool holds of the sender.
#[derive(Clone, Debug)]
pub struct InProcess(pub Bundler);

impl Rehearsal for InProcess {
    fn rehearse(&self, op: UserOperation, entry_point: Address) -> Rehearsed<'_> {
        Box::pin(async move {
            match self.0.rehearse(op, entry_point).await {
                Ok(()) => Ok(()),
                Err(Rejection::ExecutionReverted { reason, .. }) => Err(Unrehearsed::Reverts(reason)),
                Err(rejection) if rejection.code() == error_code::INTERNAL => {
                    Err(Unrehearsed::Unknown(text(&rejection)))
                }
                Err(rejection) if rejection.code() == error_code::LIMIT_EXCEEDED => {
                    Err(Unrehearsed::Unknown(text(&rejection)))
                }
                // It is not valid, and so it will not be included.
                Err(_) => Ok(()),
            }
        })
    }
}

fn text(rejection: &Rejection) -> String {
    rejection.to_string()
}

/// Refused by one of the two.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Bundler(#[from] Rejection),
    #[error(transparent)]
    Paymaster(#[from] Refusal),
    #[error(transparent)]
    Session(#[from] RpcError),
}

impl From<FieldError> for Refused {
    fn from(error: FieldError) -> Self {
        Self::Bundler(error.into())
    }
}

impl From<Refused> for ErrorObjectOwned {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Bundler(rejection) => rejection.into(),
            Refused::Paymaster(refusal) => refusal.into(),
            Refused::Session(error) => error.into(),
        }
    }
}

struct Both {
    bundler: Bundler,
    paymaster: Arc<Service>,
    /// Keys that are held here, if they are.
    sessions: Option<Arc<Hub<Local>>>,
}

/// What an operation lacks but its user's signature.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn preparing(bundler: Bundler, paymaster: Arc<Service>) -> Result<RpcModule<()>, RegisterMethodError> {
    let mut module = RpcModule::new(Both { bundler, paymaster, sessions: None });
    module.register_async_method("fabstir_prepareSponsoredUserOperation", |params, both, extensions| async move {
        both.prepare(&params, &extensions).await
    })?;
    peers::register(&mut module)?;
    Ok(module.remove_context())
}

/// Sends what is signed, or what a session signs, sponsored.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn sending(
    bundler: Bundler,
    paymaster: Arc<Service>,
    sessions: Option<Arc<Hub<Local>>>,
) -> Result<RpcModule<()>, RegisterMethodError> {
    let mut module = RpcModule::new(Both { bundler, paymaster, sessions });
    module.register_async_method("fabstir_sponsorAndSend", |params, both, extensions| async move {
        both.send(&params, &extensions).await
    })?;
    Ok(module.remove_context())
}

/// What both methods are asked.
#[derive(Clone)]
struct Asked {
    operation: Value,
    entry_point: Address,
    scope: Scope,
    token: Option<TokenChoice>,
}

/// `(userOperation, entryPoint, context?)`: the operation as JSON, under which policy, and in which token it pays.
fn read(paymaster: &Service, params: &Params<'_>, extensions: &Extensions) -> Result<Asked, Refused> {
    let expected = "[userOperation, entryPoint, context?]";
    let params: Vec<Value> = params.parse().map_err(|_| FieldError::Malformed { field: "params", expected })?;
    asked(paymaster, &params, extensions)
}

fn asked(paymaster: &Service, params: &[Value], extensions: &Extensions) -> Result<Asked, Refused> {
    let get = |position: usize, field| {
        params.get(position).filter(|value| !value.is_null()).ok_or(FieldError::Missing { field })
    };
    let entry_point = get(1, "entryPoint")?
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or(FieldError::Malformed { field: "entryPoint", expected: "an address of 20 bytes" })?;
    let context = params.get(2).unwrap_or(&Value::Null);
    let caller = extensions.get::<Caller>().cloned().unwrap_or_default();
    let (operation, token) = (get(0, "userOperation")?.clone(), TokenChoice::of(context)?);
    // Whether that is an operation is seen later, when the version is known.
    let sender = operation.get("sender").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let scope = paymaster.choose(&caller, context, sender.unwrap_or_default())?;
    Ok(Asked { operation, entry_point, scope, token })
}

impl Both {
    /// All that an operation lacks but its user's signature.
    async fn prepare(&self, params: &Params<'_>, extensions: &Extensions) -> Result<Value, Refused> {
        self.prepare_asked(read(&self.paymaster, params, extensions)?).await
    }

    async fn prepare_asked(&self, asked: Asked) -> Result<Value, Refused> {
        let head = self.bundler.head();
        match self.prepare_on(&head, asked.clone()).await {
            // Whoever has just seen a transaction mined may build on it at once.
            Err(Refused::Bundler(rejection)) if rejection.depends_on_state() => {
                match self.bundler.newer_than(&head).await? {
                    Some(head) => self.prepare_on(&head, asked).await,
                    None => Err(rejection.into()),
                }
            }
            other => other,
        }
    }

    async fn prepare_on(&self, head: &Head, asked: Asked) -> Result<Value, Refused> {
        let Asked { operation: mut json, entry_point, scope, token } = asked;
        let deployed = self.paymaster.deployed(entry_point)?;
        let version = deployed.version;
        if json["nonce"].is_null() {
            // Only its sender need be right.
            json["nonce"] = json!(U256::ZERO);
            let sender = UserOperationRequest::from_json(&json, version)?.sender;
            json["nonce"] = json!(self.bundler.next_nonce(sender, U256::ZERO, entry_point, head).await?);
        }
        let mut operation = UserOperationRequest::from_json(&json, version)?;
        let (max_fee, priority_fee) = Bundler::suggested_fees(head);
        let max_fee = *operation.max_fee_per_gas.get_or_insert(max_fee);
        operation.max_priority_fee_per_gas.get_or_insert(priority_fee.min(max_fee));
        operation.signature.get_or_insert_with(|| Bytes::from_static(&STUB_SIGNATURE));
        operation.paymaster = None;

        let mut ask = Ask { scope, operation, entry_point, deployed, token };
        ask.operation.paymaster = Some(requested(self.paymaster.stub(&ask).await?.paymaster));
        let overrides = StateOverride::default();
        let estimate = self.bundler.estimate_on(ask.operation.clone(), entry_point, overrides, head).await?;
        let operation = &mut ask.operation;
        operation.pre_verification_gas = Some(estimate.pre_verification_gas);
        operation.verification_gas_limit = Some(estimate.verification_gas_limit);
        operation.call_gas_limit = Some(estimate.call_gas_limit);
        if let Some(paymaster) = &mut operation.paymaster {
            paymaster.verification_gas_limit = estimate.paymaster_verification_gas_limit;
            paymaster.post_op_gas_limit = estimate.paymaster_post_op_gas_limit;
        }
        // The estimate has run it, with these limits and on this head.
        let terms = self.paymaster.grant(&ask, true).await?;
        let op = UserOperation { paymaster: Some(terms.paymaster), ..ask.operation.with_open_fields_zero() };
        let mut answer = json!({
            "userOperation": wire::to_json(&op, version),
            "userOpHash": self.bundler.hash_on(&op, entry_point, head).await?,
            "entryPoint": entry_point,
            "chainId": U256::from(self.paymaster.chain_id()),
            "blockNumber": U256::from(head.block.number),
            "blockHash": head.block.hash,
        });
        if let Some(charge) = terms.charge {
            answer["tokenPayment"] = charge.to_json();
        }
        Ok(answer)
    }

    async fn send_by_session(
        &self,
        (asked, entry_point): &(session_keys::rpc::Asked, Value),
        extensions: &Extensions,
    ) -> Result<Value, Refused> {
        let expected = "none: no session keys are held here";
        let field = "context.permissionContext";
        let hub = self.sessions.as_ref().ok_or(FieldError::Malformed { field, expected })?;
        if entry_point.as_str().and_then(|text| text.parse().ok()) != Some(hub.entry_point()) {
            return Err(
                FieldError::Malformed { field: "entryPoint", expected: "that of the sessions' accounts" }.into()
            );
        }
        let caller = extensions.get::<session_keys::rpc::Caller>().copied().unwrap_or_default();
        let backend = hub.on_behalf_of(extensions);
        Ok(json!(hub.sponsor_and_send(&backend, caller, asked).await?))
    }

    /// Sponsors an operation that its user has signed, and takes it into the mempool.
    async fn send(&self, params: &Params<'_>, extensions: &Extensions) -> Result<Value, Refused> {
        if let Some(asked) = by_session(params)? {
            return self.send_by_session(&asked, extensions).await;
        }
        let Asked { operation, entry_point, scope, token } = read(&self.paymaster, params, extensions)?;
        if token.is_some() {
            let expected = "nothing about tokens: their price is in what the user signs";
            return Err(FieldError::Malformed { field: "context", expected }.into());
        }
        let deployed = self.paymaster.deployed(entry_point)?;
        let operation = UserOperationRequest::from_json(&operation, deployed.version)?;
        let head = self.bundler.head();
        let op = self.paymaster.countersign(&Ask { scope, operation, entry_point, deployed, token }).await?;
        Ok(json!(self.bundler.send_on(op, entry_point, head).await?))
    }
}

/// What a session is to do, if the context says that one is: `{permissionContext}`.
fn by_session(params: &Params<'_>) -> Result<Option<(session_keys::rpc::Asked, Value)>, FieldError> {
    let params: Vec<Value> = params.parse().unwrap_or_default();
    let Some(id) = params.get(2).and_then(|context| context.get("permissionContext")) else { return Ok(None) };
    let malformed = |field, expected| FieldError::Malformed { field, expected };
    let id = id.as_str().and_then(|text| text.parse().ok());
    let id = id.ok_or(malformed("context.permissionContext", "32 bytes"))?;
    let op = params.first().and_then(Value::as_object);
    let op = op.filter(|op| op.keys().all(|field| field == "sender" || field == "callData"));
    let op = op.ok_or(malformed("userOperation", "sender and callData alone: a session's service says the rest"))?;
    let read = |field: &'static str| op.get(field).and_then(Value::as_str).ok_or(FieldError::Missing { field });
    let account = read("sender")?.parse().map_err(|_| malformed("sender", "an address of 20 bytes"))?;
    let call_data = read("callData")?.parse().map_err(|_| malformed("callData", "0x-prefixed hex"))?;
    let context = params.get(2).cloned().unwrap_or_default();
    let asked = session_keys::rpc::Asked { id, account: Some(account), call_data, context };
    Ok(Some((asked, params.get(1).cloned().unwrap_or_default())))
}

/// A stub as part of a request.
fn requested(stub: Paymaster) -> PaymasterRequest {
    let Paymaster { address, verification_gas_limit, post_op_gas_limit, data, signature } = stub;
    PaymasterRequest {
        address,
        verification_gas_limit: Some(verification_gas_limit),
        post_op_gas_limit: Some(post_op_gas_limit),
        data,
        signature,
    }
}
