//! Decides, reserves, signs: the one way to a sponsorship, whoever asks for it.

mod assess;
mod explain;
mod journal;
mod shared;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::primitives::{Address, U256};
use erc4337::{EntryPointVersion, FieldError, Paymaster, UserOperation, UserOperationRequest, sponsorship::Validity};
use serde_json::Value;

pub use explain::{Explanation, LimitReport};
pub use journal::{Counts, Decided, Journal};

use crate::{
    Caller, Chain, Config, Denial, Deployed, Ledger, Policies, Refusal, Scope, Sponsor,
    ledger::{Charge, Denied, Reservation},
    rehearsal::{Rehearsal, Unrehearsed},
    sign::validity,
    token::{TokenCharge, TokenChoice, TokenMode},
    webhook,
};
use assess::Assessed;
use journal::Signed;

/// Gas that the contract's validation is given, plus [`VERIFICATION_GAS_PER_WORD`]. Unused, it costs nothing.
const VERIFICATION_GAS: u128 = 60_000;
/// The contract hashes the whole operation.
const VERIFICATION_GAS_PER_WORD: u128 = 40;
/// The contract has no `postOp`.
const POST_OP_GAS: u128 = 0;

/// The sponsorship service.
pub struct Service {
    config: Config,
    policies: Policies,
    sponsor: Sponsor,
    ledger: Ledger,
    chain: Arc<dyn Chain>,
    rehearsal: Option<Arc<dyn Rehearsal>>,
    tokens: Option<TokenMode>,
    webhooks: webhook::Asker,
    journal: Journal,
    paused: AtomicBool,
    entry_points: BTreeSet<Address>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).field("sponsor", &self.sponsor).finish_non_exhaustive()
    }
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
    /// Under which policy.
    pub scope: Scope,
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
    /// A service with these policies, this key, these budgets and this view of the chain. It signs for anything that
    /// the policies allow.
    pub fn new(config: Config, policies: Policies, sponsor: Sponsor, ledger: Ledger, chain: Arc<dyn Chain>) -> Self {
        let entry_points = config.paymasters.keys().copied().collect();
        Self {
            config,
            policies,
            sponsor,
            ledger,
            chain,
            rehearsal: None,
            tokens: None,
            webhooks: webhook::Asker::default(),
            journal: Journal::default(),
            paused: AtomicBool::new(false),
            entry_points,
        }
    }

    /// The same, and signs for nothing but what this has run without a failure.
    #[must_use]
    pub fn with_rehearsal(self, rehearsal: Arc<dyn Rehearsal>) -> Self {
        Self { rehearsal: Some(rehearsal), ..self }
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

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The policies in force.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The budgets.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The chain, as the service sees it.
    pub fn chain(&self) -> &dyn Chain {
        &*self.chain
    }

    /// What was granted and refused lately.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The addresses that sign.
    pub fn signers(&self) -> Vec<Address> {
        self.sponsor.addresses()
    }

    /// Stops all sponsorship, or takes it up again. Signatures that are out stay good.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// Whether sponsorship is stopped.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Our paymaster of this EntryPoint.
    ///
    /// # Errors
    /// If there is none.
    pub fn deployed(&self, entry_point: Address) -> Result<Deployed, Refusal> {
        self.config.paymasters.get(&entry_point).copied().ok_or(Refusal::EntryPoint(entry_point))
    }

    /// The policy that a caller's request for this account, with this ERC-7677 `context`, is under.
    ///
    /// # Errors
    /// If there is none for it.
    pub fn choose(&self, caller: &Caller, context: &Value, sender: Address) -> Result<Scope, Refusal> {
        // Two names for one thing: ours, and what Pimlico's clients say.
        let named = ["policyId", "sponsorshipPolicyId"].iter().find_map(|name| context.get(name)?.as_str());
        let chosen = self.policies.current().choose(caller, named);
        Ok(chosen.inspect_err(|why| self.journal.note_unchosen(sender, why))?)
    }

    /// Whoever pays in tokens pays what the operation costs, at a price that may be out by a little. Bundled by the payer with
    /// a tip that nobody needs, it would sell the whole deposit at that price.
    fn at_market_prices(&self, ask: &Ask) -> Result<(), Refusal> {
        let given = ask.operation.with_open_fields_zero().max_priority_fee_per_gas;
        let limit = self.chain.most_tip();
        if given <= limit {
            return Ok(());
        }
        let denial = Box::new(Denial::Gas { field: "maxPriorityFeePerGas", given, limit });
        Err(Refusal::Denied { denial, policy: "token".into() })
    }

    /// What an estimate is to be made with. Nothing is promised, but what would be refused is refused here already.
    ///
    /// # Errors
    /// Why it is not sponsored.
    pub async fn stub(&self, ask: &Ask) -> Result<Terms, Refusal> {
        let result = self.try_stub(ask).await;
        self.journal.note(&ask.scope, ask.operation.sender, result.as_ref().map(|_| None));
        result
    }

    async fn try_stub(&self, ask: &Ask) -> Result<Terms, Refusal> {
        if let Some(choice) = &ask.token {
            self.unless_paused(ask)?;
            self.at_market_prices(ask)?;
            let (paymaster, charge) = self.taking(choice)?.stub(ask, choice, &self.sponsor).await?;
            return Ok(Terms { paymaster, charge: Some(charge) });
        }
        let op = ask.operation.with_open_fields_zero();
        let assessed = self.decide(&op, ask).await?;
        let charges = assessed.reservation.charges.clone();
        self.ledger.check(assessed.reservation).await.map_err(|why| over(why, &charges, &ask.scope))?;
        let paymaster = Paymaster { data: self.sponsor.stub_data(), ..ask.deployed.limits(&op) };
        Ok(Terms { paymaster, charge: None })
    }

    /// What an estimate may be made with before anything is asked for: the sponsoring contract of this EntryPoint, as long
    /// as a sponsorship is, and worth nothing.
    ///
    /// # Errors
    /// If nothing is sponsored there.
    pub fn dummy(&self, entry_point: Address) -> Result<(Paymaster, EntryPointVersion), Refusal> {
        let deployed = self.deployed(entry_point)?;
        let limits = deployed.limits(&UserOperation::default());
        Ok((Paymaster { data: self.sponsor.stub_data(), ..limits }, deployed.version))
    }

    /// The sponsorship. `rehearsed`: the caller has just run the operation with these limits.
    ///
    /// Asked again for the same operation within the same minute, it answers the same and nothing more is set aside.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn grant(&self, ask: &Ask, rehearsed: bool) -> Result<Terms, Refusal> {
        let result = self.try_grant(ask, rehearsed).await;
        self.journal.note(&ask.scope, ask.operation.sender, result.as_ref().map(|(_, signed)| Some(signed)));
        result.map(|(terms, _)| terms)
    }

    async fn try_grant(&self, ask: &Ask, rehearsed: bool) -> Result<(Terms, Signed), Refusal> {
        if let Some(choice) = &ask.token {
            self.unless_paused(ask)?;
            self.at_market_prices(ask)?;
            let (chain_id, sponsor, now) = (self.config.chain_id, &self.sponsor, self.chain.time());
            let (paymaster, charge) = self.taking(choice)?.grant(ask, choice, sponsor, chain_id, now).await?;
            return Ok((Terms { paymaster, charge: Some(charge) }, Signed::default()));
        }
        let (op, limits) = complete(&ask.operation, ask.deployed)?;
        let priced = UserOperation { paymaster: Some(limits.clone()), ..op.clone() };
        let assessed = self.decide(&priced, ask).await?;
        if !rehearsed {
            let with_stub = Paymaster { data: self.sponsor.stub_data(), ..limits.clone() };
            self.rehearse(UserOperation { paymaster: Some(with_stub), ..op.clone() }, ask).await?;
        }
        let validity = assessed.validity;
        let signed = assessed.signed();
        self.reserve(assessed.reservation, &ask.scope).await?;
        let (version, chain_id) = (ask.deployed.version, self.config.chain_id);
        let data = self.sponsor.sponsor(&op, version, &limits, ask.entry_point, chain_id, validity).await?;
        Ok((Terms { paymaster: Paymaster { data, ..limits }, charge: None }, signed))
    }

    /// Sponsors an operation of EntryPoint v0.9 that its user has signed already: `paymasterData` says from when until
    /// when (`uint48 validUntil ‖ uint48 validAfter`), and our signature comes beside it, outside of what the user
    /// signed.
    ///
    /// # Errors
    /// Why it is not sponsored; a field that stands in the way is named.
    pub async fn countersign(&self, ask: &Ask) -> Result<UserOperation, Refusal> {
        let result = self.try_countersign(ask).await;
        self.journal.note(&ask.scope, ask.operation.sender, result.as_ref().map(|(_, signed)| Some(signed)));
        result.map(|(op, _)| op)
    }

    async fn try_countersign(&self, ask: &Ask) -> Result<(UserOperation, Signed), Refusal> {
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
        let now = self.chain.time();
        let latest = validity(now).until;
        let holds = Validity::from_paymaster_data(&paymaster.data)
            .filter(|holds| (now + 1..=latest).contains(&holds.until) && holds.after <= now)
            .ok_or(FieldError::Malformed {
                field: "paymasterData",
                expected: "uint48 validUntil, from now on at most a minute and the rest of this one, then uint48 validAfter, in the past",
            })?;
        let limits = Paymaster { data: Default::default(), signature: Default::default(), ..paymaster.clone() };
        let priced = UserOperation { paymaster: Some(limits.clone()), ..op.clone() };
        let assessed = self.decide(&priced, ask).await?;
        let stub = self.sponsor.stub_signature();
        let with_stub = Paymaster { signature: stub, ..paymaster.clone() };
        self.rehearse(UserOperation { paymaster: Some(with_stub), ..op.clone() }, ask).await?;
        let signed = assessed.signed();
        let reservation = Reservation { valid_until: holds.until, ..assessed.reservation };
        self.reserve(reservation, &ask.scope).await?;
        let signature = self.sponsor.sign(&op, version, &limits, holds, ask.entry_point, self.config.chain_id).await?;
        op.paymaster = Some(Paymaster { signature, ..paymaster });
        Ok((op, signed))
    }

    async fn rehearse(&self, op: UserOperation, ask: &Ask) -> Result<(), Refusal> {
        let Some(rehearsal) = &self.rehearsal else { return Ok(()) };
        rehearsal.rehearse(op, ask.entry_point).await.map_err(|reason| match reason {
            Unrehearsed::Reverts(_) => Refusal::Reverts { reason, policy: ask.scope.policy.id.clone() },
            Unrehearsed::Unknown(_) => Refusal::Unrehearsed(reason),
        })
    }

    /// What would be set aside for it, if neither the policy nor its webhook has anything against it.
    async fn decide(&self, op: &UserOperation, ask: &Ask) -> Result<Assessed, Refusal> {
        let assess = || self.assess(&ask.scope, op, ask.entry_point, ask.deployed);
        let mut assessed = assess().await?;
        if let (Err(_), Some(block)) = (&assessed.decision.verdict, assessed.block)
            // Whoever has just seen a job posted may act on it at once.
            && self.chain.after(block).await?
        {
            assessed = assess().await?;
        }
        assessed.decision.verdict.clone().map_err(|denial| denied(denial, &ask.scope))?;
        self.ask_webhook(&ask.scope, op, ask.entry_point, ask.deployed, &assessed).await?;
        Ok(assessed)
    }

    async fn reserve(&self, reservation: Reservation, scope: &Scope) -> Result<(), Refusal> {
        let charges = reservation.charges.clone();
        self.ledger.reserve(reservation).await.map_err(|why| over(why, &charges, scope))
    }

    fn unless_paused(&self, ask: &Ask) -> Result<(), Refusal> {
        if self.is_paused() { Err(denied(Denial::Paused, &ask.scope)) } else { Ok(()) }
    }
}

fn denied(denial: Denial, scope: &Scope) -> Refusal {
    Refusal::Denied { denial: Box::new(denial), policy: scope.policy.id.clone() }
}

/// What the ledger said.
fn over(why: Denied, charges: &[Charge], scope: &Scope) -> Refusal {
    if why.is_transient() { Refusal::Ledger(why) } else { denied(Denial::of(why, charges), scope) }
}

/// The operation without its paymaster, and the paymaster with the limits that were estimated with.
fn complete(operation: &UserOperationRequest, deployed: Deployed) -> Result<(UserOperation, Paymaster), FieldError> {
    let mut operation = operation.clone();
    // The user signs after us.
    operation.signature.get_or_insert_default();
    let asked = operation.paymaster.take();
    let op = operation.complete(deployed.version)?;
    let ours = deployed.limits(&op);
    // v0.6 has none to ask for.
    let limits = Paymaster {
        verification_gas_limit: asked
            .as_ref()
            .and_then(|paymaster| paymaster.verification_gas_limit)
            .filter(|limit| *limit > 0)
            .unwrap_or(ours.verification_gas_limit),
        post_op_gas_limit: asked.and_then(|paymaster| paymaster.post_op_gas_limit).unwrap_or(ours.post_op_gas_limit),
        ..ours
    };
    Ok((op, limits))
}

impl Deployed {
    /// The contract with the gas limits that it needs for this operation, and no data.
    pub(crate) fn limits(self, op: &UserOperation) -> Paymaster {
        let (verification_gas_limit, post_op_gas_limit) =
            if self.version.is_packed() { (verification_gas(op), POST_OP_GAS) } else { (0, 0) };
        Paymaster { address: self.paymaster, verification_gas_limit, post_op_gas_limit, ..Paymaster::default() }
    }
}

fn verification_gas(op: &UserOperation) -> u128 {
    let words = (op.call_data.len() + op.init_code().len()).div_ceil(32) as u128;
    VERIFICATION_GAS + VERIFICATION_GAS_PER_WORD * words
}

/// Seconds since 1970 by our clock: for periods of budgets and for what people read. What is signed goes by the chain's.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// A hex number, as JSON-RPC has them.
pub(crate) fn quantity(value: u128) -> U256 {
    U256::from(value)
}
