//! Tiny programs on a real chain, and what the oracle says of them.

use alloy::{
    primitives::{Address, Bytes, U256, address, keccak256},
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, Initializer, Paymaster, UserOperation, abi::entry_point_v08};
use serde_json::{Value, json};
use tests::{
    Stack,
    oracle::{Constants, Opinion, Oracle},
};

/// Entities without stakes, and with.
const ACCOUNTS: [Address; 2] =
    [address!("0xacc0000000000000000000000000000000000010"), address!("0xacc0000000000000000000000000000000000011")];
const FACTORIES: [Address; 2] =
    [address!("0xfac0000000000000000000000000000000000020"), address!("0xfac0000000000000000000000000000000000021")];
pub(super) const PAYMASTERS: [Address; 2] =
    [address!("0xbad0000000000000000000000000000000000030"), address!("0xbad0000000000000000000000000000000000031")];
/// Has the code of an account that is to be made.
const TEMPLATE: Address = address!("0x7e00000000000000000000000000000000000040");
/// Somebody else's contract, which each scene fills.
pub(super) const OTHER: Address = address!("0x0700000000000000000000000000000000000050");
/// Somebody else's, which stops at once.
pub(super) const STOPS: Address = address!("0x0700000000000000000000000000000000000051");
/// Has no code.
pub(super) const NOBODY: Address = address!("0x0700000000000000000000000000000000000052");

/// Wei and seconds of stakes that are just enough.
pub(super) const STAKE: u64 = 100;
pub(super) const DELAY: u32 = 86_400;

/// Answers 0: valid, for ever.
const VALID: &[u8] = &[0x5f, 0x5f, 0x52, 0x60, 32, 0x5f, 0xf3];

/// A factory.
#[derive(Clone, Debug, Default)]
pub(super) struct Factory {
    pub(super) staked: bool,
    /// What it does before it makes the account, and after.
    pub(super) before: Vec<u8>,
    pub(super) after: Vec<u8>,
    /// It makes the account by other means, in `before`.
    pub(super) idle: bool,
}

/// A paymaster.
#[derive(Clone, Debug, Default)]
pub(super) struct Sponsor {
    pub(super) staked: bool,
    pub(super) program: Vec<u8>,
    /// Bytes of its context.
    pub(super) context: u16,
}

/// Who does what in validation.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    pub(super) account: Vec<u8>,
    /// What the account answers, if not "valid".
    pub(super) answer: Option<Vec<u8>>,
    pub(super) account_staked: bool,
    pub(super) factory: Option<Factory>,
    /// What the account does while it is made.
    pub(super) constructor: Vec<u8>,
    pub(super) paymaster: Option<Sponsor>,
    /// The code of [`OTHER`].
    pub(super) other: Vec<u8>,
    /// Of the sender, if its factory does not make it itself.
    pub(super) sender: Option<Address>,
}

pub(super) struct Bench {
    pub(super) stack: Stack,
    pub(super) oracle: Oracle,
}

impl Bench {
    pub(super) async fn start() -> Self {
        let stack = Stack::start(&[]).await.unwrap();
        let oracle = Oracle::new(&stack.anvil.url, U256::from(STAKE), DELAY).unwrap();
        let bench = Self { stack, oracle };
        bench.set(STOPS, &[0]).await;
        for address in [ACCOUNTS, FACTORIES, PAYMASTERS].concat() {
            bench.rich(address).await;
        }
        for version in bench.versions() {
            for staked in [ACCOUNTS[1], FACTORIES[1], PAYMASTERS[1]] {
                bench.stake(version, staked, STAKE, DELAY).await;
            }
        }
        bench
    }

    pub(super) fn versions(&self) -> [EntryPointVersion; 4] {
        EntryPointVersion::ALL
    }

    /// An oracle of other constants on the same chain.
    pub(super) fn oracle_with(&self, constants: Constants) -> Oracle {
        Oracle::with(&self.stack.anvil.url, constants).unwrap()
    }

    pub(super) fn entry_point(&self, version: EntryPointVersion) -> Address {
        self.stack.deployment.entry_points[&version.to_string()]
    }

    pub(super) async fn anvil(&self, method: &str, params: Value) -> Value {
        self.stack.anvil.ask(method, params.as_array().unwrap().clone()).await.unwrap()
    }

    pub(super) async fn set(&self, address: Address, code: &[u8]) {
        self.anvil("anvil_setCode", json!([address, Bytes::copy_from_slice(code)])).await;
    }

    pub(super) async fn rich(&self, address: Address) {
        self.anvil("anvil_setBalance", json!([address, U256::from(10).pow(U256::from(18))])).await;
    }

    pub(super) async fn stake(&self, version: EntryPointVersion, who: Address, wei: u64, seconds: u32) {
        self.call(version, who, entry_point_v08::addStakeCall { unstakeDelaySec: seconds }.abi_encode(), wei).await;
    }

    /// A transaction of a contract to the EntryPoint.
    pub(super) async fn call(&self, version: EntryPointVersion, who: Address, data: Vec<u8>, wei: u64) {
        self.anvil("anvil_impersonateAccount", json!([who])).await;
        // An address with code may not send, by EIP-3607.
        let code = self.anvil("eth_getCode", json!([who, "latest"])).await;
        self.set(who, &[]).await;
        self.stack.anvil.send(who, Some(self.entry_point(version)), data.into(), U256::from(wei)).await.unwrap();
        self.anvil("anvil_setCode", json!([who, code])).await;
    }

    /// Places what the scene needs; the operation.
    pub(super) async fn place(&self, version: EntryPointVersion, scene: &Scene) -> UserOperation {
        let sender = scene.sender();
        let answer = scene.answer.as_deref().unwrap_or(VALID);
        let account = [&scene.account, answer].concat();
        let (at, initializer) = match &scene.factory {
            None => (sender, None),
            Some(factory) => {
                let address = FACTORIES[usize::from(factory.staked)];
                self.set(address, &factory.code(&scene.init_code(), sender)).await;
                (TEMPLATE, Some(Initializer::Factory { address, data: Bytes::new() }))
            }
        };
        self.set(at, &account).await;
        self.set(OTHER, &scene.other).await;
        let limit = if version.is_packed() { 1_000_000 } else { 0 };
        let paymaster = match &scene.paymaster {
            None => None,
            Some(sponsor) => {
                let address = PAYMASTERS[usize::from(sponsor.staked)];
                self.set(address, &sponsor.code()).await;
                Some(Paymaster { address, verification_gas_limit: limit, post_op_gas_limit: 0, ..Paymaster::default() })
            }
        };
        UserOperation {
            sender,
            initializer,
            paymaster,
            call_gas_limit: 50_000,
            verification_gas_limit: 1_000_000,
            ..UserOperation::default()
        }
    }

    pub(super) async fn judge(&self, version: EntryPointVersion, scene: &Scene) -> Opinion {
        let op = self.place(version, scene).await;
        self.says(version, &op).await
    }

    pub(super) async fn says(&self, version: EntryPointVersion, op: &UserOperation) -> Opinion {
        self.oracle.judge(version, self.entry_point(version), op).await.unwrap()
    }
}

impl Scene {
    /// An account that is there already and does this.
    pub(super) fn account(program: impl Into<Vec<u8>>) -> Self {
        Self { account: program.into(), ..Self::default() }
    }

    /// An account that calls a contract of this code, with this much gas.
    pub(super) fn calling(gas: u32, other: &[u8]) -> Self {
        Self { account: call(0xf1, OTHER, 0, &push(gas)), other: other.to_vec(), ..Self::default() }
    }

    /// A paymaster that does this.
    pub(super) fn paymaster(staked: bool, program: impl Into<Vec<u8>>) -> Self {
        let paymaster = Some(Sponsor { staked, program: program.into(), context: 0 });
        Self { paymaster, ..Self::default() }
    }

    /// A factory that makes the account, then does this.
    pub(super) fn factory(staked: bool, after: impl Into<Vec<u8>>) -> Self {
        let factory = Some(Factory { staked, after: after.into(), ..Factory::default() });
        Self { factory, ..Self::default() }
    }

    /// The same thing done by each entity, with its name; the account is there already but for the factory.
    pub(super) fn each(staked: bool, program: &[u8]) -> [(&'static str, Self); 3] {
        let account = Self { account_staked: staked, ..Self::account(program) };
        [
            ("account", account),
            ("factory", Self::factory(staked, program)),
            ("paymaster", Self::paymaster(staked, program)),
        ]
    }

    pub(super) fn sender(&self) -> Address {
        match (&self.sender, &self.factory) {
            (Some(sender), _) => *sender,
            (None, Some(factory)) => made_by(FACTORIES[usize::from(factory.staked)], &self.constructor),
            (None, None) => ACCOUNTS[usize::from(self.account_staked)],
        }
    }

    pub(super) fn init_code(&self) -> Vec<u8> {
        init_code(&self.constructor)
    }
}

/// The account that a factory, staked or not, makes without a constructor.
pub(super) fn sender_of(staked: bool) -> Address {
    made_by(FACTORIES[usize::from(staked)], &[])
}

pub(super) fn factory(staked: bool) -> Address {
    FACTORIES[usize::from(staked)]
}

/// The account that this contract makes by `CREATE2`.
pub(super) fn made_by(maker: Address, constructor: &[u8]) -> Address {
    maker.create2([0; 32], keccak256(init_code(constructor)))
}

/// Does this and copies the template.
pub(super) fn init_code(constructor: &[u8]) -> Vec<u8> {
    let template = address(TEMPLATE);
    [constructor, &template, &[0x3b, 0x80, 0x5f, 0x5f], &template, &[0x3c, 0x5f, 0xf3]].concat()
}

impl Factory {
    fn code(&self, init_code: &[u8], sender: Address) -> Vec<u8> {
        let copy = |at: usize| [push(init_code.len() as u32), push(at as u32), vec![0x5f, 0x39]].concat();
        // Salt, length, offset, value.
        let create = [&[0x5f][..], &push(init_code.len() as u32), &[0x5f, 0x5f, 0xf5, 0x50]].concat();
        let create = if self.idle { vec![] } else { create };
        let answer = [&address(sender)[..], &[0x5f, 0x52, 0x60, 32, 0x5f, 0xf3]].concat();
        let code = |at| [&copy(at)[..], &self.before, &copy(at), &create, &self.after, &answer].concat();
        let at = code(0).len();
        [code(at), init_code.to_vec()].concat()
    }
}

impl Sponsor {
    fn code(&self) -> Vec<u8> {
        let size = push(u32::from(self.context));
        let words = push(0x60 + 32 * u32::from(self.context).div_ceil(32));
        let head = [0x60, 0x40, 0x5f, 0x52, 0x5f, 0x60, 0x20, 0x52];
        [&self.program[..], &head, &size, &[0x60, 0x40, 0x52], &words, &[0x5f, 0xf3]].concat()
    }
}

/// `PUSH4`.
pub(super) fn push(number: u32) -> Vec<u8> {
    [&[0x63][..], &number.to_be_bytes()].concat()
}

/// `PUSH20`.
pub(super) fn address(address: Address) -> Vec<u8> {
    [&[0x73][..], address.as_slice()].concat()
}

/// `PUSH32`.
pub(super) fn word(value: U256) -> Vec<u8> {
    [&[0x7f][..], &value.to_be_bytes::<32>()].concat()
}

/// All gas, told nobody.
pub(super) const ALL: &[u8] = &[0x5a];

/// A call without calldata; its answer is dropped.
pub(super) fn call(op: u8, to: Address, value: u64, gas: &[u8]) -> Vec<u8> {
    ask(op, to, value, gas, &[])
}

/// A call with this calldata; its answer is dropped.
pub(super) fn ask(op: u8, to: Address, value: u64, gas: &[u8], data: &[u8]) -> Vec<u8> {
    let mut code = Vec::new();
    for (index, chunk) in data.chunks(32).enumerate() {
        let mut bytes = [0; 32];
        bytes[..chunk.len()].copy_from_slice(chunk);
        code.extend(word(U256::from_be_bytes(bytes)));
        code.extend(push(32 * index as u32));
        code.push(0x52);
    }
    let value = if matches!(op, 0xf1 | 0xf2) { push(value as u32) } else { vec![] };
    let arguments = [&[0x5f, 0x5f][..], &push(data.len() as u32), &[0x5f], &value, &address(to), gas, &[op, 0x50]];
    [code, arguments.concat()].concat()
}
