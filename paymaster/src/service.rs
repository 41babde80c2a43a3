//! Decides, reserves, signs: the one way to a sponsorship, whoever asks for it.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::primitives::Address;
use erc4337::{FieldError, Paymaster, UserOperation, UserOperationRequest, sponsorship::Validity};

use crate::{
    Config, Deployed, Ledger, Sponsor,
    ledger::{Denied, Place, Reservation},
    rehearsal::{Rehearsal, Unrehearsed},
    rpc::Refusal,
    sign::validity,
    token::{TokenCharge, TokenChoice, TokenMode},
};

/// Gas that the contract's validation is given, plus [`VERIFICATION_GAS_PER_WORD`]. Unused, it costs nothing.
const VERIFICATION_GAS: u128 = 60_000;
/// The contract hashes the whole operation.
const VERIFICATION_GAS_PER_WORD: u128 = 40;
/// The contract has no `postOp`.
const POST_OP_GAS: u128 = 0;

/// The sponsorship service.
#[derive(Debug)]
pub struct Service {
    config: Config,
    sponsor: Sponsor,
    ledger: Ledger,
    rehearsal: Option<Arc<dyn Rehearsal>>,
    tokens: Option<TokenMode>,
}

/// What an operation is given: a stub, or the real thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Of the operation, in all fields.
    pub paymaster: Paymaster,
    /// What its sender pays, if it does.
    pub charge: Option<TokenCharge>,
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The operation, as far as it is known.
    pub operation: UserOperationRequest,
    /// Its EntryPoint.
    pub entry_point: Address,
    /// Our paymaster there, for what we pay for ourselves.
    pub deployed: Deployed,
    /// In which token its gas is to be paid, if not by us.
    pub token: Option<TokenChoice>,
}

impl Service {
    /// A service that signs for what `rehearsal` has run without a failure, or, if there is none, for anything that the
    /// policy allows.
    pub fn new(config: Config, sponsor: Sponsor, ledger: Ledger, rehearsal: Option<Arc<dyn Rehearsal>>) -> Self {
        Self { config, sponsor, ledger, rehearsal, tokens: None }
    }

    /// The same, and takes tokens.
    #[must_use]
    pub fn with_tokens(self, tokens: TokenMode) -> Self {
        Self { tokens: Some(tokens), ..self }
    }

    /// How tokens are taken.
    pub fn tokens(&self) -> Option<&TokenMode> {
        self.tokens.as_ref()
    }

    fn taking(&self, choice: &TokenChoice) -> Result<&TokenMode, Refusal> {
        self.tokens.as_ref().ok_or_else(|| Refusal::Token { token: choice.token, accepted: serde_json::json!([]) })
    }

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.config.chain_id
    }

    /// Our paymaster of this EntryPoint.
    ///
    /// # Errors
    /// If there is none.
    pub fn deployed(&self, entry_point: Address) -> Result<Deployed, Refusal> {
        self.config.paymasters.get(&entry_point).copied().ok_or(Refusal::EntryPoint(entry_point))
    }

    /// What an estimate is to be made with. Nothing is promised, but what would be refused is refused here already.
    ///
    /// # Errors
    /// Why it is not sponsored.
    pub async fn stub(&self, ask: &Ask) -> Result<Terms, Refusal> {
        if let Some(choice) = &ask.token {
            let (paymaster, charge) = self.taking(choice)?.stub(ask, choice, &self.sponsor).await?;
            return Ok(Terms { paymaster, charge: Some(charge) });
        }
        let op = ask.operation.with_open_fields_zero();
        let now = unix_now();
        let reservation = self.decide(&op, ask, validity(now), now)?;
        self.ledger.check(reservation).await.map_err(|denied| self.denied(denied))?;
        let paymaster = Paymaster { data: self.sponsor.stub_data(), ..ask.deployed.limits(&op) };
        Ok(Terms { paymaster, charge: None })
    }

    /// The sponsorship. `rehearsed`: the caller has just run the operation with these limits.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn grant(&self, ask: &Ask, rehearsed: bool) -> Result<Terms, Refusal> {
        if let Some(choice) = &ask.token {
            let (chain_id, sponsor) = (self.config.chain_id, &self.sponsor);
            let (paymaster, charge) = self.taking(choice)?.grant(ask, choice, sponsor, chain_id).await?;
            return Ok(Terms { paymaster, charge: Some(charge) });
        }
        let mut operation = ask.operation.clone();
        // The user signs after us.
        operation.signature.get_or_insert_default();
        let asked = operation.paymaster.take();
        let op = operation.complete(ask.deployed.version)?;
        let ours = ask.deployed.limits(&op);
        // Those that were asked for were estimated with; v0.6 has none to ask for.
        let limits = Paymaster {
            verification_gas_limit: asked
                .as_ref()
                .and_then(|paymaster| paymaster.verification_gas_limit)
                .filter(|limit| *limit > 0)
                .unwrap_or(ours.verification_gas_limit),
            post_op_gas_limit: asked
                .and_then(|paymaster| paymaster.post_op_gas_limit)
                .unwrap_or(ours.post_op_gas_limit),
            ..ours
        };
        let priced = UserOperation { paymaster: Some(limits.clone()), ..op.clone() };
        let now = unix_now();
        let holds = validity(now);
        let reservation = self.decide(&priced, ask, holds, now)?;
        if !rehearsed {
            let with_stub = Paymaster { data: self.sponsor.stub_data(), ..limits.clone() };
            self.rehearse(UserOperation { paymaster: Some(with_stub), ..op.clone() }, ask.entry_point).await?;
        }
        self.ledger.reserve(reservation).await.map_err(|denied| self.denied(denied))?;
        let (version, chain_id) = (ask.deployed.version, self.config.chain_id);
        let data = self.sponsor.sponsor(&op, version, &limits, ask.entry_point, chain_id, now).await?;
        Ok(Terms { paymaster: Paymaster { data, ..limits }, charge: None })
    }

    /// Sponsors an operation of EntryPoint v0.9 that its user has signed already: `paymasterData` says from when until
    /// when (`uint48 validUntil ‖ uint48 validAfter`), and our signature comes beside it, outside of what the user
    /// signed.
    ///
    /// # Errors
    /// Why it is not sponsored; a field that stands in the way is named.
    pub async fn countersign(&self, ask: &Ask) -> Result<UserOperation, Refusal> {
        let version = ask.deployed.version;
        if !version.supports_paymaster_signature() {
            let instead = "EntryPoint v0.9, or a sponsorship before the user signs";
            return Err(FieldError::WrongVersion { field: "paymasterSignature", version, instead }.into());
        }
        let mut op = ask.operation.clone().complete(version)?;
        let Some(paymaster) = op.paymaster.take() else {
            return Err(FieldError::Missing { field: "paymaster" }.into());
        };
        if paymaster.address != ask.deployed.paymaster {
            return Err(FieldError::Malformed { field: "paymaster", expected: "ours for this EntryPoint" }.into());
        }
        let now = unix_now();
        let latest = validity(now).until;
        let holds = Validity::from_paymaster_data(&paymaster.data)
            .filter(|holds| (now + 1..=latest).contains(&holds.until) && holds.after <= now)
            .ok_or(FieldError::Malformed {
                field: "paymasterData",
                expected: "uint48 validUntil, from now on at most a minute and the rest of this one, then uint48 validAfter, in the past",
            })?;
        let limits = Paymaster { data: Default::default(), signature: Default::default(), ..paymaster.clone() };
        let priced = UserOperation { paymaster: Some(limits.clone()), ..op.clone() };
        let reservation = self.decide(&priced, ask, holds, now)?;
        let stub = self.sponsor.stub_signature();
        let with_stub = Paymaster { signature: stub, ..paymaster.clone() };
        self.rehearse(UserOperation { paymaster: Some(with_stub), ..op.clone() }, ask.entry_point).await?;
        self.ledger.reserve(reservation).await.map_err(|denied| self.denied(denied))?;
        let signature = self.sponsor.sign(&op, version, &limits, holds, ask.entry_point, self.config.chain_id).await?;
        op.paymaster = Some(Paymaster { signature, ..paymaster });
        Ok(op)
    }

    async fn rehearse(&self, op: UserOperation, entry_point: Address) -> Result<(), Refusal> {
        let Some(rehearsal) = &self.rehearsal else { return Ok(()) };
        rehearsal.rehearse(op, entry_point).await.map_err(|reason| match reason {
            Unrehearsed::Reverts(_) => Refusal::Reverts { reason, policy: self.config.policy.id.clone() },
            Unrehearsed::Unknown(_) => Refusal::Unrehearsed(reason),
        })
    }

    /// What would be set aside for it, if the policy has nothing against it.
    fn decide(&self, op: &UserOperation, ask: &Ask, holds: Validity, now: u64) -> Result<Reservation, Refusal> {
        let (policy, version) = (&self.config.policy, ask.deployed.version);
        let denied = |denial| Refusal::Denied { denial, policy: policy.id.clone() };
        policy.decide(op, version).map_err(denied)?;
        Ok(Reservation {
            place: Place { entry_point: ask.entry_point, sender: op.sender, nonce: op.nonce },
            cost: op.required_prefund(version),
            valid_until: holds.until,
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

impl Deployed {
    /// The contract with the gas limits that it needs for this operation, and no data.
    fn limits(self, op: &UserOperation) -> Paymaster {
        let (verification_gas_limit, post_op_gas_limit) =
            if self.version.is_packed() { (verification_gas(op), POST_OP_GAS) } else { (0, 0) };
        Paymaster { address: self.paymaster, verification_gas_limit, post_op_gas_limit, ..Paymaster::default() }
    }
}

fn verification_gas(op: &UserOperation) -> u128 {
    let words = (op.call_data.len() + op.init_code().len()).div_ceil(32) as u128;
    VERIFICATION_GAS + VERIFICATION_GAS_PER_WORD * words
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
