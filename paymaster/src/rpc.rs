//! ERC-7677 over JSON-RPC.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, U256};
use erc4337::{FieldError, Paymaster, UserOperation, UserOperationRequest, error_code};
use jsonrpsee::{
    RpcModule,
    server::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use serde_json::{Value, json};

use crate::{
    Config, Denial, Deployed, Ledger, Sponsor,
    ledger::{Denied, Place, Reservation},
    sign::{NotSigned, validity},
};

/// Gas that the contract's validation is given, plus [`VERIFICATION_GAS_PER_WORD`]. Unused, it costs nothing.
const VERIFICATION_GAS: u128 = 60_000;
/// The contract hashes the whole operation.
const VERIFICATION_GAS_PER_WORD: u128 = 40;
/// The contract has no `postOp`.
const POST_OP_GAS: u128 = 0;

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
            // Nothing is signed that cannot be written down; what may pass by itself is worth another try.
            Refusal::Ledger(_) => (error_code::LIMIT_EXCEEDED, None),
            Refusal::Signing(_) => (error_code::INTERNAL, None),
        };
        Self::owned(code, message, data)
    }
}

/// The sponsorship service.
#[derive(Debug)]
pub struct Service {
    config: Config,
    sponsor: Sponsor,
    ledger: Ledger,
}

/// All methods of the paymaster.
///
/// # Errors
/// Never, unless two methods share a name.
pub fn module(config: Config, sponsor: Sponsor, ledger: Ledger) -> Result<RpcModule<Service>, RegisterMethodError> {
    let mut module = RpcModule::new(Service { config, sponsor, ledger });
    module.register_async_method("pm_getPaymasterStubData", |params, service, _| async move {
        service.stub(&params).await
    })?;
    module.register_async_method(
        "pm_getPaymasterData",
        |params, service, _| async move { service.data(&params).await },
    )?;
    Ok(module)
}

/// The parameters of both methods; the fourth, `context`, chooses nothing yet.
struct Request {
    operation: UserOperationRequest,
    entry_point: Address,
    deployed: Deployed,
}

impl Service {
    async fn stub(&self, params: &Params<'_>) -> Result<Value, Refusal> {
        let request = self.read(params)?;
        let op = request.operation.with_open_fields_zero();
        let reservation = self.decide(&op, &request, unix_now())?;
        self.ledger.check(reservation).await.map_err(|denied| self.denied(denied))?;
        Ok(json!({
            "sponsor": { "name": "Fabstir Compute" },
            "paymaster": request.deployed.paymaster,
            "paymasterData": self.sponsor.stub_data(),
            "paymasterVerificationGasLimit": U256::from(verification_gas(&op)),
            "paymasterPostOpGasLimit": U256::from(POST_OP_GAS),
            "isFinal": false,
        }))
    }

    async fn data(&self, params: &Params<'_>) -> Result<Value, Refusal> {
        let request = self.read(params)?;
        let mut operation = request.operation.clone();
        // The user signs after us.
        operation.signature.get_or_insert_default();
        let asked = operation.paymaster.take();
        let op = operation.complete(request.deployed.version)?;
        let limits = Paymaster {
            address: request.deployed.paymaster,
            verification_gas_limit: asked
                .as_ref()
                .and_then(|paymaster| paymaster.verification_gas_limit)
                .filter(|limit| *limit > 0)
                .unwrap_or_else(|| verification_gas(&op)),
            post_op_gas_limit: asked.and_then(|paymaster| paymaster.post_op_gas_limit).unwrap_or(POST_OP_GAS),
            ..Paymaster::default()
        };
        let priced = UserOperation { paymaster: Some(limits.clone()), ..op.clone() };
        let now = unix_now();
        let reservation = self.decide(&priced, &request, now)?;
        self.ledger.reserve(reservation).await.map_err(|denied| self.denied(denied))?;
        let data = self.sponsor.sponsor(&op, &limits, request.entry_point, self.config.chain_id, now)?;
        Ok(json!({
            "paymaster": limits.address,
            "paymasterData": data,
            "paymasterVerificationGasLimit": U256::from(limits.verification_gas_limit),
            "paymasterPostOpGasLimit": U256::from(limits.post_op_gas_limit),
        }))
    }

    fn read(&self, params: &Params<'_>) -> Result<Request, Refusal> {
        let malformed =
            FieldError::Malformed { field: "params", expected: "[userOperation, entryPoint, chainId, context]" };
        let params: Vec<Value> = params.parse().map_err(|_| malformed)?;
        let get = |position: usize, field| {
            params.get(position).filter(|value| !value.is_null()).ok_or(FieldError::Missing { field })
        };
        let text = |position, field| Ok::<_, FieldError>(get(position, field)?.as_str().unwrap_or_default());
        let entry_point: Address = text(1, "entryPoint")?
            .parse()
            .map_err(|_| FieldError::Malformed { field: "entryPoint", expected: "an address of 20 bytes" })?;
        let given: U256 = text(2, "chainId")?
            .strip_prefix("0x")
            .and_then(|digits| U256::from_str_radix(digits, 16).ok())
            .ok_or(FieldError::Malformed { field: "chainId", expected: "a 0x-prefixed hex number" })?;
        let served = self.config.chain_id;
        if given != U256::from(served) {
            return Err(Refusal::Chain { given, served });
        }
        let deployed = *self.config.paymasters.get(&entry_point).ok_or(Refusal::EntryPoint(entry_point))?;
        let operation = UserOperationRequest::from_json(get(0, "userOperation")?, deployed.version)?;
        Ok(Request { operation, entry_point, deployed })
    }

    /// What would be set aside for it, if the policy has nothing against it.
    fn decide(&self, op: &UserOperation, request: &Request, now: u64) -> Result<Reservation, Refusal> {
        let (policy, version) = (&self.config.policy, request.deployed.version);
        let denied = |denial| Refusal::Denied { denial, policy: policy.id.clone() };
        policy.decide(op, version).map_err(denied)?;
        Ok(Reservation {
            place: Place { entry_point: request.entry_point, sender: op.sender, nonce: op.nonce },
            cost: op.required_prefund(version),
            valid_until: validity(now).until,
            charges: self.config.limits.charges(op.sender),
            price: None,
            now,
        })
    }

    fn denied(&self, denied: Denied) -> Refusal {
        if denied.is_transient() {
            return Refusal::Ledger(denied);
        }
        Refusal::Denied { denial: denied.into(), policy: self.config.policy.id.clone() }
    }
}

fn verification_gas(op: &UserOperation) -> u128 {
    let words = (op.call_data.len() + op.init_code().len()).div_ceil(32) as u128;
    VERIFICATION_GAS + VERIFICATION_GAS_PER_WORD * words
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
