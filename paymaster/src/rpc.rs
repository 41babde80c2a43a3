//! ERC-7677 over JSON-RPC.
//!
//! On EntryPoint v0.6 the answer is `paymasterAndData`, and there are no gas limits of the paymaster's own: it runs
//! within the account's `verificationGasLimit`.

use std::sync::Arc;

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, FieldError, UserOperationRequest, error_code};
use jsonrpsee::{
    RpcModule,
    server::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use serde_json::{Value, json};

use crate::{
    Denial,
    ledger::Denied,
    rehearsal::Unrehearsed,
    service::{Ask, Service, Terms},
    sign::NotSigned,
    token::{PriceError, TokenChoice},
};

/// A request that was not granted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says it")]
pub enum Refusal {
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("entryPoint: {0} has no paymaster here")]
    EntryPoint(Address),
    #[error("chainId: {given} is not {served}")]
    Chain { given: U256, served: u64 },
    #[error("not sponsored: {denial}")]
    Denied { denial: Denial, policy: String },
    #[error("not sponsored now, ask again: {0}")]
    Ledger(Denied),
    #[error("gas cannot be paid in {token} here")]
    Token { token: Address, accepted: Value },
    #[error("no price to pay gas at: {0}")]
    Price(PriceError),
    #[error("not sponsored: {reason}")]
    Reverts { reason: Unrehearsed, policy: String },
    #[error("not sponsored now, ask again: {0}")]
    Unrehearsed(Unrehearsed),
    #[error(transparent)]
    Signing(#[from] NotSigned),
}

impl From<Refusal> for ErrorObjectOwned {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (code, data) = match refusal {
            Refusal::Field(error) => (error_code::INVALID_FIELDS, Some(json!({ "field": error.field() }))),
            Refusal::EntryPoint(_) => (error_code::INVALID_FIELDS, Some(json!({ "field": "entryPoint" }))),
            Refusal::Chain { .. } => (error_code::INVALID_FIELDS, Some(json!({ "field": "chainId" }))),
            // Not one of the codes that clients retry: the answer will be the same.
            Refusal::Denied { denial, policy } => {
                let (limit, remaining, resets_at) = match denial {
                    Denial::TooExpensive { limit, .. } => (Some(limit), Some(limit), None),
                    Denial::OverBudget { limit, remaining, resets_at, .. } => {
                        (Some(limit), Some(remaining), Some(resets_at))
                    }
                    _ => (None, None, None),
                };
                let data = json!({
                    "reason": denial.to_string(), "policyId": policy,
                    "limit": limit, "remaining": remaining, "resetsAt": resets_at,
                });
                (error_code::POLICY_DENIED, Some(data))
            }
            Refusal::Reverts { reason, policy } => {
                (error_code::POLICY_DENIED, Some(json!({ "reason": reason.to_string(), "policyId": policy })))
            }
            Refusal::Token { accepted, .. } => {
                (error_code::TOKEN_NOT_ACCEPTED, Some(json!({ "acceptedTokens": accepted })))
            }
            // What its source does not vouch for now it will not vouch for a moment later either.
            Refusal::Price(error) if !error.is_transient() => {
                (error_code::POLICY_DENIED, Some(json!({ "reason": error.to_string() })))
            }
            Refusal::Price(_) => (error_code::LIMIT_EXCEEDED, None),
            // Nothing is signed that cannot be written down or run; what may pass by itself is worth another try.
            Refusal::Ledger(_) | Refusal::Unrehearsed(_) => (error_code::LIMIT_EXCEEDED, None),
            Refusal::Signing(NotSigned::NoSigner(_)) => (error_code::POLICY_DENIED, Some(json!({ "reason": message }))),
            // Its keeper may answer in a moment.
            Refusal::Signing(_) => (error_code::LIMIT_EXCEEDED, None),
        };
        Self::owned(code, message, data)
    }
}

/// All methods of the paymaster.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn module(service: Arc<Service>) -> Result<RpcModule<Service>, RegisterMethodError> {
    let mut module = RpcModule::from_arc(service);
    module.register_async_method("pm_getPaymasterStubData", |params, service, _| async move {
        stub(&service, &params).await
    })?;
    module.register_async_method("pm_getPaymasterData", |params, service, _| async move {
        data(&service, &params).await
    })?;
    module.register_async_method("pm_getAcceptedPaymentTokens", |params, service, _| async move {
        let (entry_point, _) = tokens_read(&service, &params, 0)?;
        let accepted = service.tokens().map_or(json!([]), |mode| mode.accepted(entry_point));
        Ok::<_, Refusal>(json!({ "acceptedTokens": accepted }))
    })?;
    module.register_async_method("pimlico_getTokenQuotes", |params, service, _| async move {
        quotes(&service, &params).await
    })?;
    Ok(module)
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

async fn stub(service: &Service, params: &Params<'_>) -> Result<Value, Refusal> {
    let ask = read(service, params)?;
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

async fn data(service: &Service, params: &Params<'_>) -> Result<Value, Refusal> {
    let ask = read(service, params)?;
    Ok(render(&service.grant(&ask, false).await?, ask.deployed.version))
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

/// The parameters of both methods; of the fourth, `context`, what it says of tokens.
fn read(service: &Service, params: &Params<'_>) -> Result<Ask, Refusal> {
    let malformed =
        FieldError::Malformed { field: "params", expected: "[userOperation, entryPoint, chainId, context]" };
    let params: Vec<Value> = params.parse().map_err(|_| malformed)?;
    let entry_point = entry_point(&params, 1)?;
    on_this_chain(service, &params, 2)?;
    let deployed = service.deployed(entry_point)?;
    let operation = UserOperationRequest::from_json(given(&params, 0, "userOperation")?, deployed.version)?;
    let token = TokenChoice::of(params.get(3).unwrap_or(&Value::Null))?;
    Ok(Ask { operation, entry_point, deployed, token })
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use alloy::{
        primitives::{Bytes, Signature},
        signers::local::PrivateKeySigner,
    };
    use erc4337::{
        Paymaster,
        calls::{self, Call},
        sponsorship::{self, Validity},
    };

    use super::*;
    use crate::{
        Config, Deployed, Ledger, Limits, Policy, Sponsor,
        ledger::{Rules, Store},
    };

    const MARKET: Address = Address::repeat_byte(1);
    const PAYMASTER: Address = Address::repeat_byte(6);
    const CHAIN_ID: u64 = 31_337;

    /// A service of this version only, and its signer.
    fn service(version: EntryPointVersion) -> (RpcModule<Service>, Address) {
        let config = Config {
            chain_id: CHAIN_ID,
            paymasters: BTreeMap::from([(version.canonical_address(), Deployed { version, paymaster: PAYMASTER })]),
            policy: Policy {
                id: "marketplace".into(),
                targets: BTreeSet::from([MARKET]),
                tokens: BTreeSet::new(),
                spender: MARKET,
                factories: BTreeSet::new(),
                delegates: BTreeSet::new(),
                max_pre_verification_gas: 100,
                max_cost: U256::from(1_000_000),
            },
            limits: Limits { total: U256::from(1_000_000), per_sender: U256::from(1_000_000) },
        };
        let sponsor = Sponsor::of(PrivateKeySigner::random()).unwrap();
        let signer = sponsor.addresses()[0];
        let ledger = Ledger::start(Store::in_memory().unwrap(), Rules::default());
        (module(Arc::new(Service::new(config, sponsor, ledger, None))).unwrap(), signer)
    }

    fn operation(target: Address) -> Value {
        let call = Call { target, value: U256::ZERO, data: vec![1, 2, 3, 4].into() };
        json!({
            "sender": Address::repeat_byte(7), "nonce": "0x0", "callData": calls::encode(&[call]),
            "callGasLimit": "0xa", "verificationGasLimit": "0xb", "preVerificationGas": "0xc",
            "maxFeePerGas": "0x2", "maxPriorityFeePerGas": "0x1",
        })
    }

    async fn ask(
        module: &RpcModule<Service>,
        method: &str,
        op: &Value,
        version: EntryPointVersion,
    ) -> Result<Value, ErrorObjectOwned> {
        let params = vec![op.clone(), json!(version.canonical_address()), json!(U256::from(CHAIN_ID)), Value::Null];
        module.call(method, params).await.map_err(|error| match error {
            jsonrpsee::core::server::MethodsError::JsonRpc(error) => error,
            other => panic!("{other}"),
        })
    }

    #[tokio::test]
    async fn on_v06_stub_and_answer_are_paymaster_and_data_alone_of_one_length_and_signed_for_that_version() {
        let version = EntryPointVersion::V0_6;
        let (module, signer) = service(version);
        let mut op = operation(MARKET);
        let stub = ask(&module, "pm_getPaymasterStubData", &op, version).await.unwrap();
        let names: BTreeSet<_> = stub.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["isFinal", "paymasterAndData", "sponsor"]));

        // Estimated with the stub, as clients do.
        op["paymasterAndData"] = stub["paymasterAndData"].clone();
        let answer = ask(&module, "pm_getPaymasterData", &op, version).await.unwrap();
        assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
        let read = |value: &Value| serde_json::from_value::<Bytes>(value["paymasterAndData"].clone()).unwrap();
        let (stub, data) = (read(&stub), read(&answer));
        assert_eq!(stub.len(), data.len());
        assert_eq!(Address::from_slice(&data[..20]), PAYMASTER);

        let bound = |at: usize| data[at..at + 6].iter().fold(0, |seconds, byte| seconds << 8 | u64::from(*byte));
        let validity = Validity { until: bound(20), after: bound(26) };
        op["signature"] = json!("0x");
        let op = UserOperationRequest::from_json(&op, version).unwrap().complete(version).unwrap();
        let limits = Paymaster { address: PAYMASTER, ..Paymaster::default() };
        let digest = sponsorship::digest(&op, version, &limits, validity, version.canonical_address(), CHAIN_ID);
        let signature = Signature::from_raw(&data[32..]).unwrap();
        assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), signer);
    }

    #[tokio::test]
    async fn a_call_outside_the_policy_is_denied_on_every_version_at_the_stub_and_at_the_answer() {
        for version in EntryPointVersion::ALL {
            let (module, _) = service(version);
            for method in ["pm_getPaymasterStubData", "pm_getPaymasterData"] {
                ask(&module, method, &operation(MARKET), version).await.unwrap();
                let denied = ask(&module, method, &operation(PAYMASTER), version).await.unwrap_err();
                assert_eq!(denied.code(), error_code::POLICY_DENIED, "{version} {method}: {denied}");
            }
        }
    }

    #[tokio::test]
    async fn on_v06_the_account_s_verification_gas_counts_three_times_against_the_policy() {
        let version = EntryPointVersion::V0_6;
        let (module, _) = service(version);
        // 2 wei × 3 × 166,667 is over the million wei of the policy, 2 wei × 3 × 166,000 is not.
        for (limit, granted) in [(166_000, true), (166_667, false)] {
            let mut op = operation(MARKET);
            op["verificationGasLimit"] = json!(U256::from(limit));
            let answer = ask(&module, "pm_getPaymasterData", &op, version).await;
            assert_eq!(answer.is_ok(), granted, "{limit}: {answer:?}");
        }
    }
}
