//! ERC-7677 over JSON-RPC, and what wallets call besides.
//!
//! On EntryPoint v0.6 the answer is `paymasterAndData`, and there are no gas limits of the paymaster's own: it runs
//! within the account's `verificationGasLimit`.

use std::sync::Arc;

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, FieldError, UserOperationRequest};
use jsonrpsee::{Extensions, RpcModule, server::RegisterMethodError, types::Params};
use serde_json::{Value, json};

use crate::{Ask, Caller, Refusal, Scope, Service, Terms, policy::Simulated, service::quantity, token::TokenChoice};

/// Policies that are looked at in one request.
const MOST_POLICIES: usize = 10;

/// All methods of the paymaster.
///
/// The caller is told by a [`Caller`] in the request's extensions; without one, the default policy is taken.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn module(service: Arc<Service>) -> Result<RpcModule<Service>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(service);
    module.register_async_method("pm_getPaymasterStubData", |params, service, extensions| async move {
        stub(&service, &params, &extensions).await
    })?;
    module.register_async_method("pm_getPaymasterData", |params, service, extensions| async move {
        final_data(&service, read(&service, &params, &extensions)?).await
    })?;
    module.register_async_method("fabstir_explainSponsorship", |params, service, extensions| async move {
        let ask = read(&service, &params, &extensions)?;
        Ok::<_, Refusal>(json!(service.explain(&ask.scope, &ask.operation, ask.entry_point).await?))
    })?;
    module.register_async_method("pm_sponsorUserOperation", |params, service, extensions| async move {
        sponsor_whole(&service, &params, &extensions).await
    })?;
    module.register_async_method("pm_validateSponsorshipPolicies", |params, service, extensions| async move {
        validate(&service, &params, &extensions).await
    })?;
    module.register_async_method("pm_getAcceptedPaymentTokens", |params, service, _| async move {
        let (entry_point, _) = tokens_read(&service, &params, 0)?;
        let accepted = service.tokens().map_or(json!([]), |mode| mode.accepted(entry_point));
        Ok::<_, Refusal>(json!({ "acceptedTokens": accepted }))
    })?;
    module.register_async_method("pimlico_getTokenQuotes", |params, service, _| async move {
        quotes(&service, &params).await
    })?;
    peers::register(&mut module)?;
    Ok(module)
}

async fn stub(service: &Service, params: &Params<'_>, extensions: &Extensions) -> Result<Value, Refusal> {
    let ask = read(service, params, extensions)?;
    let terms = service.stub(&ask).await?;
    let mut answer = render(&terms, ask.deployed.version);
    if terms.charge.is_some() && ask.deployed.version.is_packed() {
        // Left to the estimate: a permit may take any gas.
        answer.as_object_mut().and_then(|answer| answer.remove("paymasterVerificationGasLimit"));
    }
    answer["sponsor"] = json!({ "name": "Fabstir Compute" });
    answer["isFinal"] = json!(false);
    Ok(answer)
}

/// The parameters of ERC-7677: `[userOperation, entryPoint, chainId, context]`.
fn read(service: &Service, params: &Params<'_>, extensions: &Extensions) -> Result<Ask, Refusal> {
    let params = list(params, "[userOperation, entryPoint, chainId, context]")?;
    on_this_chain(service, &params, 2)?;
    ask(service, &params, params.get(3).unwrap_or(&Value::Null), extensions)
}

/// `userOperation` and `entryPoint`, under the policy of the caller and this context.
fn ask(service: &Service, params: &[Value], context: &Value, extensions: &Extensions) -> Result<Ask, Refusal> {
    let (operation, entry_point) = operation(service, params)?;
    let caller = extensions.get::<Caller>().cloned().unwrap_or_default();
    let scope = service.choose(&caller, context, operation.sender)?;
    let token = TokenChoice::of(context)?;
    Ok(Ask { scope, operation, entry_point, deployed: service.deployed(entry_point)?, token })
}

fn operation(service: &Service, params: &[Value]) -> Result<(UserOperationRequest, Address), Refusal> {
    let entry_point = entry_point(params, 1)?;
    let version = service.deployed(entry_point)?.version;
    Ok((UserOperationRequest::from_json(given(params, 0, "userOperation")?, version)?, entry_point))
}

fn list(params: &Params<'_>, expected: &'static str) -> Result<Vec<Value>, FieldError> {
    params.parse().map_err(|_| FieldError::Malformed { field: "params", expected })
}

/// What is signed is final. Limits of zero are no limits that could be meant: viem sends them for a paymaster client
/// without stub data, as abstractjs' is, and takes those of the answer.
async fn final_data(service: &Service, mut ask: Ask) -> Result<Value, Refusal> {
    let operation = &mut ask.operation;
    let limits =
        [&mut operation.call_gas_limit, &mut operation.verification_gas_limit, &mut operation.pre_verification_gas];
    if limits.iter().all(|limit| **limit == Some(0)) {
        limits.into_iter().for_each(|limit| *limit = None);
        return with_gas(service, ask).await;
    }
    Ok(render(&service.grant(&ask, false).await?, ask.deployed.version))
}

/// `[userOperation, entryPoint, context]`: gas is estimated, limits that are too low are raised, then all of it sponsored.
async fn sponsor_whole(service: &Service, params: &Params<'_>, extensions: &Extensions) -> Result<Value, Refusal> {
    let params = list(params, "[userOperation, entryPoint, context]")?;
    with_gas(service, ask(service, &params, params.get(2).unwrap_or(&Value::Null), extensions)?).await
}

async fn with_gas(service: &Service, mut ask: Ask) -> Result<Value, Refusal> {
    // Refused before anything is run for it.
    service.stub(&ask).await?;
    service.fill_gas(&mut ask.operation, ask.entry_point).await?;
    let mut answer = render(&service.grant(&ask, false).await?, ask.deployed.version);
    let gas = |value: Option<u128>| json!(quantity(value.unwrap_or_default()));
    answer["preVerificationGas"] = gas(ask.operation.pre_verification_gas);
    answer["verificationGasLimit"] = gas(ask.operation.verification_gas_limit);
    answer["callGasLimit"] = gas(ask.operation.call_gas_limit);
    Ok(answer)
}

/// `[userOperation, entryPoint, [policyId…]]`: those of the policies that would sponsor it.
async fn validate(service: &Service, params: &Params<'_>, extensions: &Extensions) -> Result<Value, Refusal> {
    let params = list(params, "[userOperation, entryPoint, [policyId, …]]")?;
    let (operation, entry_point) = operation(service, &params)?;
    let named = given(&params, 2, "policyIds")?.as_array();
    let named = named.ok_or(FieldError::Malformed { field: "policyIds", expected: "an array of names" })?;
    let caller = Caller { policy: None, ..extensions.get::<Caller>().cloned().unwrap_or_default() };
    let policies = service.policies().current();
    let mut valid = Vec::new();
    for id in named.iter().take(MOST_POLICIES).filter_map(Value::as_str) {
        let Ok(scope) = policies.choose(&caller, Some(id)) else { continue };
        if service.explain(&scope, &operation, entry_point).await?.sponsored {
            let Scope { policy, .. } = scope;
            let data = json!({
                "name": policy.id, "author": "Fabstir Compute", "icon": null, "description": policy.description,
            });
            valid.push(json!({ "sponsorshipPolicyId": id, "data": data }));
        }
    }
    Ok(json!(valid))
}

impl Service {
    /// Sets the gas limits to what an estimate says, or to what was given where that is more: what is signed over is what
    /// will be admitted.
    ///
    /// # Errors
    /// If it fails in simulation, or none can be had.
    pub async fn fill_gas(&self, operation: &mut UserOperationRequest, entry_point: Address) -> Result<(), Refusal> {
        let open = UserOperationRequest {
            call_gas_limit: None,
            verification_gas_limit: None,
            pre_verification_gas: None,
            ..operation.clone()
        };
        match self.simulate(&open, entry_point).await? {
            Simulated::Needs { pre_verification_gas, verification_gas_limit, call_gas_limit } => {
                operation.pre_verification_gas = operation.pre_verification_gas.max(Some(pre_verification_gas));
                operation.verification_gas_limit = operation.verification_gas_limit.max(Some(verification_gas_limit));
                operation.call_gas_limit = operation.call_gas_limit.max(Some(call_gas_limit));
                Ok(())
            }
            Simulated::Fails(why) => Err(Refusal::Fails(why)),
        }
    }
}

/// `(…, entryPoint, chainId, …)` from this position on, and all parameters.
fn tokens_read(service: &Service, params: &Params<'_>, at: usize) -> Result<(Address, Vec<Value>), Refusal> {
    let malformed = FieldError::Malformed { field: "params", expected: "an array of positional parameters" };
    let params: Vec<Value> = params.parse().map_err(|_| malformed)?;
    let entry_point = entry_point(&params, at)?;
    on_this_chain(service, &params, at + 1)?;
    Ok((entry_point, params))
}

/// `({tokens}, entryPoint, chainId)`.
async fn quotes(service: &Service, params: &Params<'_>) -> Result<Value, Refusal> {
    let (entry_point, params) = tokens_read(service, params, 1)?;
    let field = "tokens";
    let asked = params.first().and_then(|asked| asked.get(field)).ok_or(FieldError::Missing { field })?;
    let tokens: Vec<Address> = serde_json::from_value(asked.clone())
        .map_err(|_| FieldError::Malformed { field, expected: "addresses of 20 bytes" })?;
    match service.tokens() {
        Some(mode) => mode.quotes(&tokens, entry_point).await,
        None => Ok(json!({ "quotes": [] })),
    }
}

fn given<'a>(params: &'a [Value], position: usize, field: &'static str) -> Result<&'a Value, FieldError> {
    params.get(position).filter(|value| !value.is_null()).ok_or(FieldError::Missing { field })
}

fn entry_point(params: &[Value], position: usize) -> Result<Address, FieldError> {
    let text = given(params, position, "entryPoint")?.as_str().unwrap_or_default();
    text.parse().map_err(|_| FieldError::Malformed { field: "entryPoint", expected: "an address of 20 bytes" })
}

fn on_this_chain(service: &Service, params: &[Value], position: usize) -> Result<(), Refusal> {
    let given = given(params, position, "chainId")?
        .as_str()
        .and_then(|text| U256::from_str_radix(text.strip_prefix("0x")?, 16).ok())
        .ok_or(FieldError::Malformed { field: "chainId", expected: "a 0x-prefixed hex number" })?;
    let served = service.chain_id();
    if given == U256::from(served) { Ok(()) } else { Err(Refusal::Chain { given, served }) }
}

/// The fields that this EntryPoint's operations carry.
fn render(Terms { paymaster, charge }: &Terms, version: EntryPointVersion) -> Value {
    let mut answer = if version.is_packed() {
        json!({
            "paymaster": paymaster.address,
            "paymasterData": paymaster.data,
            "paymasterVerificationGasLimit": U256::from(paymaster.verification_gas_limit),
            "paymasterPostOpGasLimit": U256::from(paymaster.post_op_gas_limit),
        })
    } else {
        json!({ "paymasterAndData": paymaster.to_paymaster_and_data(version) })
    };
    if let Some(charge) = charge {
        answer["tokenPayment"] = charge.to_json();
    }
    answer
}

mod peers;
#[cfg(test)]
mod tests;
