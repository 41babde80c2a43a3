//! A policy's decision, with what it asks of the chain.

use alloy::primitives::{Address, B256, Bytes};
use erc4337::{
    UserOperation, UserOperationRequest,
    sponsorship::Validity,
    wire::{PaymasterRequest, to_json},
};
use serde_json::json;

use super::{Service, denied, journal::Signed};
use crate::{
    Denial, Deployed, Refusal, Scope,
    chain::Read,
    ledger::{Place, Reservation},
    policy::{Asker, Decision, Facts, IMPLEMENTATION_SLOT, OnChain, Question, Simulated},
    sign::validity,
};

/// What is decided of an operation, and what would be set aside for it.
#[derive(Clone, Debug)]
pub(super) struct Assessed {
    pub(super) decision: Decision,
    pub(super) reservation: Reservation,
    /// When a signature of now holds.
    pub(super) validity: Validity,
    /// The block that was looked at, if one was.
    pub(super) block: Option<B256>,
}

impl Assessed {
    /// What is told of it once it is signed.
    pub(super) fn signed(&self) -> Signed {
        Signed { max_cost: Some(self.decision.cost), jobs: self.decision.jobs.clone() }
    }
}

impl Service {
    /// What the policy says of it, on the state that the bundler builds on. Nothing is charged.
    pub(super) async fn assess(
        &self,
        scope: &Scope,
        op: &UserOperation,
        entry_point: Address,
        deployed: Deployed,
    ) -> Result<Assessed, Refusal> {
        let (now, policy) = (self.chain.clock(), &scope.policy);
        let asker = Asker {
            chain_id: self.config.chain_id,
            version: deployed.version,
            entry_points: &self.entry_points,
            key: scope.key.as_deref(),
            now,
        };
        let questions = policy.questions(op, &asker);
        let (facts, block) = self.answer(&questions, op, entry_point).await?;
        let mut decision = policy.decide(op, &asker, &facts);
        if self.is_paused() {
            decision.verdict = Err(Denial::Paused);
        }
        decision.charges.splice(0..0, self.config.limits.charges(op.sender));
        let validity = validity(self.chain.time());
        let reservation = Reservation {
            place: Place { entry_point, sender: op.sender, nonce: op.nonce },
            cost: decision.cost,
            valid_until: validity.until,
            charges: decision.charges.clone(),
            price: policy.price,
            now,
        };
        Ok(Assessed { decision, reservation, validity, block })
    }

    /// What gas the operation needs, sponsored by us; of what it leaves open.
    pub(crate) async fn simulate(
        &self,
        operation: &UserOperationRequest,
        entry_point: Address,
    ) -> Result<Simulated, Refusal> {
        let deployed = self.deployed(entry_point)?;
        let paymaster = stub(deployed, self.sponsor.stub_data());
        let operation = UserOperationRequest { paymaster: Some(paymaster), ..operation.clone() };
        Ok(self.chain.simulate(operation, entry_point).await?)
    }

    async fn answer(
        &self,
        questions: &[Question],
        op: &UserOperation,
        entry_point: Address,
    ) -> Result<(Facts, Option<B256>), Refusal> {
        let mut facts = Facts::default();
        let mut reads = Vec::new();
        for question in questions {
            match question {
                Question::Account => {
                    reads.push(Read::Code(op.sender));
                    reads.push(Read::Storage(op.sender, IMPLEMENTATION_SLOT));
                }
                Question::Job(key) => reads.push(Read::Call { to: key.market, data: key.kind.question(key.id) }),
                Question::Simulation => {
                    facts.simulated = Some(self.simulate(&with_open_gas(op), entry_point).await?);
                }
            }
        }
        if reads.is_empty() {
            return Ok((facts, None));
        }
        let answers = self.chain.read(reads).await?;
        let (block, mut answers) = (answers.block, answers.values.into_iter());
        let mut next = || answers.next().flatten();
        for question in questions {
            match question {
                Question::Account => {
                    let code = next().unwrap_or_default();
                    let slot = next().unwrap_or_default();
                    let implementation = slot.get(12..32).map(Address::from_slice).unwrap_or_default();
                    facts.account = Some(OnChain { code, implementation });
                }
                Question::Job(key) => {
                    facts.jobs.insert(*key, next().and_then(|answer| key.kind.read(&answer)));
                }
                Question::Simulation => {}
            }
        }
        Ok((facts, Some(block)))
    }

    /// Asks the policy's webhook, if it has one.
    pub(super) async fn ask_webhook(
        &self,
        scope: &Scope,
        op: &UserOperation,
        entry_point: Address,
        deployed: Deployed,
        assessed: &Assessed,
    ) -> Result<(), Refusal> {
        let Some(webhook) = &scope.policy.webhook else { return Ok(()) };
        let question = json!({
            "policyId": scope.policy.id,
            "key": scope.key,
            "chainId": self.config.chain_id,
            "entryPoint": entry_point,
            "userOperation": to_json(op, deployed.version),
            "calls": assessed.decision.calls.iter().map(|call| json!({
                "path": call.step.path, "target": call.step.call.target, "value": call.step.call.value,
                "data": call.step.call.data,
            })).collect::<Vec<_>>(),
            "maxCost": assessed.decision.cost,
        });
        self.webhooks.ask(webhook, &question).await.map_err(|why| denied(Denial::Webhook(why), scope))
    }
}

/// The operation as it would be estimated: its gas and its paymaster open.
fn with_open_gas(op: &UserOperation) -> UserOperationRequest {
    UserOperationRequest {
        sender: op.sender,
        nonce: op.nonce,
        initializer: op.initializer.clone(),
        call_data: op.call_data.clone(),
        call_gas_limit: None,
        verification_gas_limit: None,
        pre_verification_gas: None,
        max_fee_per_gas: Some(op.max_fee_per_gas),
        max_priority_fee_per_gas: Some(op.max_priority_fee_per_gas),
        paymaster: None,
        signature: Some(op.signature.clone()),
        eip7702_auth: op.eip7702_auth.clone(),
    }
}

fn stub(deployed: Deployed, data: Bytes) -> PaymasterRequest {
    PaymasterRequest {
        address: deployed.paymaster,
        verification_gas_limit: None,
        post_op_gas_limit: None,
        data,
        signature: Bytes::new(),
    }
}
