//! From calls to a signed operation: nonce, fees, sponsorship, gas, and the verdict before the signature.

use alloy::primitives::{Address, B256, Bytes, U256, hex};
use erc4337::{HashContext, UserOperation, UserOperationRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Backend, Caller, RpcError, hub::Hub};
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

/// What a session is asked to do.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The session.
    pub id: B256,
    /// Its account, if the client says which.
    pub account: Option<Address>,
    /// Calls, as the account reads them.
    pub call_data: Bytes,
    /// Of ERC-7677, for whoever sponsors it.
    pub context: Value,
}

/// What was signed.
pub(super) struct Signed {
    pub(super) op: Value,
    pub(super) nonce: U256,
    pub(super) hash: B256,
}

impl<B: Backend> Hub<B> {
    /// `fabstir_sponsorAndSend` by a session: nonce, fees, estimate, sponsorship, verdict, signature and admission in one
    /// request; the operation's hash. `backend` asks on behalf of the caller.
    ///
    /// # Errors
    /// Why it is not signed, sponsored or taken.
    pub async fn sponsor_and_send(&self, backend: &B, caller: Caller, asked: &Asked) -> Result<B256, RpcError> {
        let meta = self.meta(asked.id, caller.client()?)?;
        let now = backend.time().await?;
        let _turn = self.turn(asked.id, now).await?;
        let signed = self.prepare(backend, asked, &meta.answer, now).await;
        // What was signed, or why not, is on disk before anybody sees it.
        self.commit(asked.id).await?;
        let signed = signed?;
        self.submit(backend, asked.id, &signed, now).await?;
        Ok(signed.hash)
    }

    /// Gives it to the bundler; what that refuses counts no more.
    pub(super) async fn submit(&self, backend: &B, id: B256, signed: &Signed, now: u64) -> Result<(), RpcError> {
        let params = vec![signed.op.clone(), json!(self.config.entry_point)];
        if let Err(refused) = backend.request("eth_sendUserOperation", params).await {
            self.service().release(id, signed.nonce, now);
            self.commit(id).await?;
            return Err(refused.into());
        }
        Ok(())
    }

    /// An operation of these calls, sponsored if the policy says so, judged and signed. The session's turn must be ours.
    pub(super) async fn prepare(
        &self,
        backend: &B,
        asked: &Asked,
        answer: &Value,
        now: u64,
    ) -> Result<Signed, RpcError> {
        let id = asked.id;
        let record = self.service().record(id).cloned().ok_or(Refusal::Unknown(id))?;
        if asked.account.is_some_and(|account| account != record.account) {
            return Err(RpcError::param("sender", "the account of the permission"));
        }
        let period = record.policy.period_for(now).ok_or(Refusal::Time)?;
        let lane = self.service().free_lane(id, period);
        let nonce = self.nonce(record.account, nonce_key(id, period, lane)).await?;
        let (max_fee, priority_fee) = backend.fees().await?;
        let mut op = json!({
            "sender": record.account,
            "nonce": nonce,
            "callData": asked.call_data,
            "maxFeePerGas": U256::from(max_fee),
            "maxPriorityFeePerGas": U256::from(priority_fee),
            "callGasLimit": "0x0",
            "verificationGasLimit": "0x0",
            "preVerificationGas": "0x0",
            "signature": dummy(&record)?,
        });
        if !backend.has_code(record.account).await? {
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
        let sponsored = record.policy.paymaster.is_some();
        let op = self.estimate(backend, op, sponsored.then_some(&asked.context)).await?;
        self.sign(id, op, now)
    }

    /// Gas, and sponsorship under this context if it is given: both on one head.
    async fn estimate(&self, backend: &B, mut op: Value, sponsored: Option<&Value>) -> Result<Value, RpcError> {
        const PREPARE: &str = "fabstir_prepareSponsoredUserOperation";
        let entry_point = json!(self.config.entry_point);
        let Some(context) = sponsored else {
            let gas = backend.request("eth_estimateUserOperationGas", vec![op.clone(), entry_point]).await?;
            if let (Value::Object(op), Value::Object(gas)) = (&mut op, gas) {
                op.extend(gas);
            }
            return Ok(op);
        };
        let mut answer = backend.request(PREPARE, vec![op, entry_point, context.clone()]).await?;
        let prepared = answer.get_mut("userOperation").map(Value::take);
        prepared.ok_or(RpcError::Answer(PREPARE))
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
