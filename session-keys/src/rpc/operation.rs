//! From calls to a signed operation: nonce, fees, sponsorship, gas, and the verdict before the signature.

use alloy::primitives::{B256, Bytes, U256, hex};
use erc4337::{HashContext, UserOperation, UserOperationRequest, calls, calls::Call};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Backend, RpcError, hub::Hub};
use crate::{
    PublicKey,
    permission::PermissionRequest,
    policy::judge::nonce_key,
    service::{Record, Refusal},
};

/// A signature that recovers to nobody we know, so that validation goes the way it goes with a real one.
const DUMMY_ECDSA: [u8; 65] = hex!(
    "fffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c"
);
/// The same on P-256: `r` and `s` in range, `s` low.
const DUMMY_P256: [u8; 64] = hex!(
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"
    "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8"
);

/// What was signed.
pub(super) struct Signed {
    pub(super) op: Value,
    pub(super) nonce: U256,
    pub(super) hash: B256,
}

impl<B: Backend> Hub<B> {
    /// An operation of these calls, sponsored if the policy says so, judged and signed. The session's turn must be ours.
    pub(super) async fn prepare(&self, id: B256, calls: &[Call], answer: &Value, now: u64) -> Result<Signed, RpcError> {
        let record = self.service().record(id).cloned().ok_or(Refusal::Unknown(id))?;
        let period = record.policy.period_at(now).ok_or(Refusal::Time)?;
        let lane = self.service().free_lane(id, period);
        let nonce = self.nonce(record.account, nonce_key(id, period, lane)).await?;
        let (max_fee, priority_fee) = self.backend.fees().await?;
        let mut op = json!({
            "sender": record.account,
            "nonce": nonce,
            "callData": calls::encode(calls),
            "maxFeePerGas": U256::from(max_fee),
            "maxPriorityFeePerGas": U256::from(priority_fee),
            "callGasLimit": "0x0",
            "verificationGasLimit": "0x0",
            "preVerificationGas": "0x0",
            "signature": dummy(&record)?,
        });
        if !self.backend.has_code(record.account).await? {
            let request = PermissionRequest::deserialize(answer)
                .map_err(|_| RpcError::Answer("wallet_requestExecutionPermissions"))?;
            if let Some(dependency) = request.dependencies.first() {
                op["factory"] = json!(dependency.factory);
                op["factoryData"] = json!(dependency.factory_data);
            }
        }
        // Its calls are judged before anybody is asked about it: who reads the refusal knows which limit it was.
        let mut first = self.complete(&op)?;
        first.paymaster = record.policy.paymaster.map(|address| erc4337::Paymaster { address, ..Default::default() });
        self.service().check(id, &first, now)?;
        self.estimate(&mut op, record.policy.paymaster.is_some()).await?;
        self.sign(id, op, now)
    }

    /// Gas and sponsorship, in the order of ERC-7677's clients.
    async fn estimate(&self, op: &mut Value, sponsored: bool) -> Result<(), RpcError> {
        let (entry_point, chain_id) = (json!(self.config.entry_point), json!(U256::from(self.config.chain_id)));
        let sponsor = |op: &Value| vec![op.clone(), entry_point.clone(), chain_id.clone(), Value::Null];
        if sponsored {
            let stub = self.backend.request("pm_getPaymasterStubData", sponsor(op)).await?;
            merge(op, stub);
        }
        let asked = vec![op.clone(), entry_point.clone()];
        let gas = self.backend.request("eth_estimateUserOperationGas", asked).await?;
        merge(op, gas);
        if sponsored {
            let data = self.backend.request("pm_getPaymasterData", sponsor(op)).await?;
            merge(op, data);
        }
        Ok(())
    }

    /// Judges and signs exactly this operation.
    pub(super) fn sign(&self, id: B256, mut op: Value, now: u64) -> Result<Signed, RpcError> {
        let operation = self.complete(&op)?;
        let signature = self.service().sign_operation(id, &operation, now)?;
        let context = HashContext {
            version: self.config.version,
            entry_point: self.config.entry_point,
            chain_id: self.config.chain_id,
        };
        let hash = operation.hash(&context, None).map_err(|_| Refusal::Delegate)?;
        op["signature"] = json!(signature);
        Ok(Signed { op, nonce: operation.nonce, hash })
    }

    fn complete(&self, op: &Value) -> Result<UserOperation, RpcError> {
        Ok(UserOperationRequest::from_json(op, self.config.version)?.with_open_fields_zero())
    }
}

fn dummy(record: &Record) -> Result<Bytes, RpcError> {
    let key: &[u8] = match record.policy.key {
        PublicKey::Address(_) => &DUMMY_ECDSA,
        PublicKey::P256 { .. } => &DUMMY_P256,
    };
    Ok(record.policy.operation_signature(record.owner_part(), key)?)
}

fn merge(op: &mut Value, answer: Value) {
    if let (Value::Object(op), Value::Object(answer)) = (op, answer) {
        op.extend(answer.into_iter().filter(|(field, _)| field != "sponsor" && field != "isFinal"));
    }
}
