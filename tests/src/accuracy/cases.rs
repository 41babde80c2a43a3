//! Who acts, and what is called.

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol_types::SolCall,
};
use anyhow::Result;
use erc4337::{EntryPointVersion, abi::test_usdc, calls::Call};
use serde_json::{Value, json};
use session_keys::{
    Policy, SessionKey,
    policy::{ArgumentRule, CallRule, Condition, SpendLimit},
    session_key::Curve,
};

use super::{
    actor::Actor,
    contracts, init_code,
    own::{Factory, OwnAccount, Owner},
    passkey::Passkey,
    payer::Payer,
};
use crate::{
    accounts::{SimpleAccount, delegate},
    programs::Dice,
    stack::Stack,
};

/// An operation to be estimated, who signs it and who pays for it.
pub(super) struct Case {
    pub(super) actor: Actor,
    pub(super) payer: Payer,
    pub(super) op: Value,
    pub(super) kind: String,
    pub(super) straight: bool,
}

/// A call, and whether nothing in it looks at its gas.
struct Deed {
    what: &'static str,
    straight: bool,
    call: Call,
}

/// What there is to call.
struct Targets {
    writer: Address,
    nested: Address,
    branching: Address,
    token: Address,
}

/// Everything that accounts are made from.
struct Makers {
    simple: Vec<SimpleAccount>,
    delegates: Vec<(EntryPointVersion, Address)>,
    own: Vec<Factory>,
    targets: Targets,
}

/// At least `count` operations: each kind of account makes each kind of call, again and again.
pub(super) async fn all(stack: &Stack, dice: &mut Dice, count: usize) -> Result<Vec<Case>> {
    let makers = Makers::new(stack).await?;
    let mut cases = Vec::new();
    while cases.len() < count {
        makers.simple(stack, dice, &mut cases).await?;
        makers.delegated(stack, dice, &mut cases).await?;
        makers.owned(stack, dice, &mut cases).await?;
        makers.sessions(stack, dice, &mut cases).await?;
        makers.paid_for(stack, dice, &mut cases).await?;
    }
    Ok(cases)
}

impl Makers {
    async fn new(stack: &Stack) -> Result<Self> {
        let place = async |code: &[u8]| -> Result<Address> {
            let receipt = stack.anvil.transact(None, init_code(code), U256::ZERO).await?;
            Ok(serde_json::from_value(receipt["contractAddress"].clone())?)
        };
        let targets = Targets {
            writer: place(&contracts::WRITER).await?,
            nested: place(&contracts::NESTED).await?,
            branching: place(&contracts::BRANCHING).await?,
            token: stack.deployment.token,
        };
        // The first of all tokens costs more to mint than those after it, which do not know who comes first.
        let mint = test_usdc::mintCall { to: Address::repeat_byte(1), amount: U256::ONE };
        stack.anvil.transact(Some(targets.token), mint.abi_encode(), U256::ZERO).await?;
        let (mut simple, mut delegates, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for version in EntryPointVersion::ALL {
            simple.push(SimpleAccount::new(stack, version, U256::ZERO).await?);
        }
        for version in [EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
            delegates.push((version, delegate(stack, version).await?));
        }
        for version in EntryPointVersion::ALL.into_iter().filter(|version| version.is_packed()) {
            own.push(Factory::new(stack, version).await?);
        }
        Ok(Self { simple, delegates, own, targets })
    }

    /// SimpleAccounts, deployed or created by the operation.
    async fn simple(&self, stack: &Stack, dice: &mut Dice, cases: &mut Vec<Case>) -> Result<()> {
        for maker in &self.simple {
            for deployed in [false, true] {
                let account = maker.sibling(stack, parse_ether("1")?).await?;
                if deployed {
                    account.deploy(stack).await?;
                }
                let who = format!("{} SimpleAccount{}", maker.version, created(deployed));
                cases.push(simple(stack, account, Payer::Account, &who, self.targets.any(dice)).await?);
            }
        }
        Ok(())
    }

    /// EOAs that run a SimpleAccount's code.
    async fn delegated(&self, stack: &Stack, dice: &mut Dice, cases: &mut Vec<Case>) -> Result<()> {
        for (version, delegate) in &self.delegates {
            let account = SimpleAccount::eip7702(stack, *version, parse_ether("1")?).await?;
            let auth = account.authorize(*delegate, 0)?;
            let who = format!("{version} Simple7702Account");
            let mut made = simple(stack, account, Payer::Account, &who, self.targets.any(dice)).await?;
            made.op["factory"] = json!("0x7702");
            made.op["eip7702Auth"] = auth;
            cases.push(made);
        }
        Ok(())
    }

    /// Our accounts, signed for by an owner.
    async fn owned(&self, stack: &Stack, dice: &mut Dice, cases: &mut Vec<Case>) -> Result<()> {
        for factory in &self.own {
            for deployed in [false, true] {
                let account = factory.account(stack, Owner::ecdsa(), deployed).await?;
                let who = format!("{} SmartAccount{}", factory.version, created(deployed));
                cases.push(own(account, Payer::Account, &who, self.targets.any(dice))?);

                let owner = Owner::Passkey(Passkey::of(dice.throw())?);
                let account = factory.account(stack, owner, deployed).await?;
                let who = format!("{} SmartAccount{}, passkey", factory.version, created(deployed));
                cases.push(own(account, Payer::Account, &who, self.targets.any(dice))?);
            }
        }
        Ok(())
    }

    /// Our accounts, signed for by a session key: one enabled before, or by the operation that creates the account.
    async fn sessions(&self, stack: &Stack, dice: &mut Dice, cases: &mut Vec<Case>) -> Result<()> {
        for factory in &self.own {
            for enabled in [false, true] {
                let deed = self.targets.plain(dice);
                let curve = dice.pick(&[Curve::Secp256k1, Curve::P256]);
                let key = SessionKey::generate(curve)?;
                let policy = policy(&key, &deed.call, U256::from(dice.throw()));
                let account = factory.account(stack, Owner::ecdsa(), enabled).await?;
                let account = account.with_session(stack, policy, key, enabled).await?;
                let who = if enabled { "session" } else { "created, session enabled" };
                let curve = if curve == Curve::P256 { " (P-256)" } else { "" };
                let who = format!("{} SmartAccount, {who}{curve}", factory.version);
                cases.push(own(account, Payer::Account, &who, deed)?);
            }
        }
        Ok(())
    }

    /// Deployed accounts that a paymaster of ours pays for, against a signature or against tokens.
    async fn paid_for(&self, stack: &Stack, dice: &mut Dice, cases: &mut Vec<Case>) -> Result<()> {
        for version in EntryPointVersion::ALL {
            for sponsored in [true, false] {
                let who = if sponsored { "sponsored" } else { "pays in tokens" };
                let (who, deed) = (format!("{version} account, {who}"), self.targets.any(dice));
                let payer = async |account| match sponsored {
                    true => Ok(Payer::sponsor(stack, version)),
                    false => Payer::tokens(stack, version, account).await,
                };
                let factory = self.own.iter().find(|factory| factory.version == version);
                let simple_maker = self.simple.iter().find(|maker| maker.version == version);
                let made = match (factory, simple_maker) {
                    (Some(factory), _) => {
                        let account = factory.account(stack, Owner::ecdsa(), true).await?;
                        let payer = payer(account.address).await?;
                        own(account, payer, &who, deed)?
                    }
                    // Our accounts are not for v0.6.
                    (None, Some(maker)) => {
                        let account = maker.sibling(stack, parse_ether("1")?).await?;
                        account.deploy(stack).await?;
                        let payer = payer(account.address).await?;
                        simple(stack, account, payer, &who, deed).await?
                    }
                    (None, None) => continue,
                };
                cases.push(made);
            }
        }
        Ok(())
    }
}

impl Targets {
    /// Any call there is.
    fn any(&self, dice: &mut Dice) -> Deed {
        let slot = U256::from(dice.throw());
        let deed =
            |what, straight, target, data| Deed { what, straight, call: Call { target, value: U256::ZERO, data } };
        match dice.below(6) {
            0..3 => self.plain(dice),
            3 => {
                let slots = dice.below(30) as u64 + 1;
                deed("writes", true, self.writer, contracts::words(slots, U256::ZERO))
            }
            4 => {
                let depth = dice.below(60) as u64 + 1;
                deed("63/64-hungry", true, self.nested, contracts::words(depth, slot))
            }
            _ => {
                let least = dice.below(2_000_000) as u64 + 30_000;
                deed("branches on its gas", false, self.branching, contracts::words(least, slot))
            }
        }
    }

    /// A call that a session may be allowed: ether to someone, or a function with a selector.
    fn plain(&self, dice: &mut Dice) -> Deed {
        let someone = Address::from_word(U256::from(dice.throw()).into());
        let amount = U256::from(dice.below(1_000_000) + 1);
        let (what, target, value, data) = match dice.below(3) {
            0 => ("transfer of ether", someone, U256::from(1), Bytes::new()),
            1 => {
                let approve = test_usdc::approveCall { spender: someone, value: amount };
                ("approve", self.token, U256::ZERO, approve.abi_encode().into())
            }
            _ => {
                let mint = test_usdc::mintCall { to: someone, amount };
                ("mint", self.token, U256::ZERO, mint.abi_encode().into())
            }
        };
        Deed { what, straight: true, call: Call { target, value, data } }
    }
}

async fn simple(stack: &Stack, account: SimpleAccount, payer: Payer, who: &str, deed: Deed) -> Result<Case> {
    let Call { target, value, data } = deed.call;
    let mut op = account.operation(stack, target, value, data).await?;
    payer.fill(account.version, &mut op)?;
    let kind = format!("{who}: {}", deed.what);
    Ok(Case { actor: Actor::Simple(account), payer, op, kind, straight: deed.straight })
}

fn own(account: OwnAccount, payer: Payer, who: &str, deed: Deed) -> Result<Case> {
    let mut op = account.operation(deed.call)?;
    payer.fill(account.version, &mut op)?;
    let kind = format!("{who}: {}", deed.what);
    Ok(Case { actor: Actor::Own(Box::new(account)), payer, op, kind, straight: deed.straight })
}

fn created(deployed: bool) -> &'static str {
    if deployed { "" } else { ", created" }
}

/// Allows this call and no other; what it spends is counted.
fn policy(key: &SessionKey, call: &Call, salt: U256) -> Policy {
    let approves = call.selector() == Some(test_usdc::approveCall::SELECTOR);
    let token = if approves { call.target } else { Address::ZERO };
    let spender = call.data.get(4..36).map(alloy::primitives::B256::from_slice);
    let named = spender.filter(|_| approves).map(|it| ArgumentRule { word: 0, must_be: Condition::OneOf(vec![it]) });
    Policy {
        key: key.public(),
        valid_after: 1,
        valid_until: 4_000_000_000,
        period: 0,
        max_uses: Some(3),
        epoch: 0,
        salt,
        paymaster: None,
        gas_budget: 1_000_000_000_000_000_000,
        limits: vec![SpendLimit { token, per_period: 1_000_000_000, total: 1_000_000_000 }],
        calls: vec![CallRule {
            target: call.target,
            selector: call.selector().unwrap_or_default().into(),
            max_length: call.data.len() as u32,
            value_limit: u8::from(!call.value.is_zero()),
            amount_limit: u8::from(approves),
            amount_word: u8::from(approves),
            arguments: named.into_iter().collect(),
        }],
        vouchers: vec![],
    }
}
