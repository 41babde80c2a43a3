//! What stands on the chain from the start: the EntryPoints' own bytecode, SimpleAccounts, a paymaster.

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use alloy::{
    primitives::{Address, B256, Bytes, U256, address, bytes, keccak256, utils::parse_ether},
    signers::{SignerSync, local::PrivateKeySigner},
    sol,
    sol_types::{SolCall, SolValue},
};
use erc4337::{ChainPreset, EntryPointVersion};
use revm::database::CacheDB;
use serde_json::Value;

use super::{
    evm::{Call, Place},
    state::State,
};

sol! {
    function createAccount(address owner, uint256 salt) external returns (address);
    function getAddress(address owner, uint256 salt) external view returns (address);
    function depositTo(address account) external payable;
    function addStake(uint32 unstakeDelaySec) external payable;
}

/// Adds one to the slot of whoever calls.
pub const COUNTER: Address = address!("00000000000000000000000000000000c0c0c0c0");
/// Reverts.
pub const REVERTING: Address = address!("00000000000000000000000000000000deadbeef");
/// Pays for everybody, and is staked.
pub const PAYMASTER: Address = address!("00000000000000000000000000000000facade01");
/// Pays for everybody, is not staked, and has little.
pub const POOR_PAYMASTER: Address = address!("00000000000000000000000000000000facade02");

/// Signs sponsorships.
pub const SPONSOR: &str = "sponsor";

/// Predeployed where transactions are charged for beside their gas: what they are charged, and by which formulas.
const L1_BLOCK: Address = address!("4200000000000000000000000000000000000015");
const GAS_PRICE_ORACLE: Address = address!("420000000000000000000000000000000000000F");

/// Accounts of each version.
const ACCOUNTS: usize = 10;

/// An account, its key and what makes it.
#[derive(Clone, Debug)]
pub struct Owned {
    /// Where it runs.
    pub version: EntryPointVersion,
    /// Its address.
    pub address: Address,
    /// Its owner's key.
    pub key: PrivateKeySigner,
    /// Its factory, and what that is called with.
    pub factory: (Address, Bytes),
    /// Whether it stands from the start.
    pub deployed: bool,
}

impl Owned {
    /// Signs an operation of this hash.
    pub fn sign(&self, hash: B256) -> Bytes {
        let signed = if matches!(self.version, EntryPointVersion::V0_6 | EntryPointVersion::V0_7) {
            self.key.sign_message_sync(hash.as_slice())
        } else {
            self.key.sign_hash_sync(&hash)
        };
        signed.map(|signature| Bytes::from(signature.as_bytes())).unwrap_or_default()
    }
}

/// The first state, and who has accounts in it.
#[derive(Clone, Debug)]
pub struct Genesis {
    pub state: State,
    pub accounts: BTreeMap<EntryPointVersion, Vec<Owned>>,
    /// The paymasters of this project.
    pub paymasters: BTreeMap<EntryPointVersion, Address>,
}

/// The chain charges so: wei for each transaction, and millionths of a wei for each gas (Isthmus).
pub(super) fn charge(state: &mut State, (constant, scalar): (u64, u32)) {
    let upgrades = U256::from(0x01_01_01_u64);
    let operator = (U256::from(scalar) << 64) | U256::from(constant);
    for (whose, slot, value) in [(GAS_PRICE_ORACLE, 0, upgrades), (L1_BLOCK, 8, operator)] {
        state.set_slot(whose, U256::from(slot), value);
    }
}

/// The slot of what an account has deposited, if it has no stake.
pub fn deposit_slot(account: Address) -> U256 {
    erc4337::storage::deposit_slots(account)[0]
}

/// A key that is the same each time.
pub fn key(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).expect("a hash is a key but for one in 2^128")
}

/// The same for all seeds; made once.
pub fn genesis() -> &'static Genesis {
    static GENESIS: LazyLock<Genesis> = LazyLock::new(make);
    &GENESIS
}

fn make() -> Genesis {
    let mut state = State::default();
    state.set_code(COUNTER, bytes!("335460010133550000"));
    state.set_code(REVERTING, bytes!("5f5ffd"));
    let rich = parse_ether("1000000").unwrap_or_default();
    let mut accounts = BTreeMap::new();
    let mut paymasters = BTreeMap::new();
    for paymaster in [PAYMASTER, POOR_PAYMASTER] {
        // Whatever it is asked: no context, valid for ever.
        state.set_code(paymaster, bytes!("604060005260606000f3"));
        state.change(paymaster, |account| account.info.balance = rich);
    }
    for version in EntryPointVersion::ALL {
        let entry_point = version.canonical_address();
        let code = artifact(version, "EntryPoint");
        construct(&mut state, entry_point, code);
        let factory = Address::from_word(keccak256(format!("factory {version:?}")));
        let init = [artifact(version, "SimpleAccountFactory").as_ref(), &entry_point.abi_encode()].concat();
        construct(&mut state, factory, init.into());
        for (paymaster, wei) in [(PAYMASTER, "1000"), (POOR_PAYMASTER, "0.05")] {
            let deposit = depositToCall { account: paymaster }.abi_encode();
            act(&mut state, paymaster, entry_point, deposit.into(), parse_ether(wei).unwrap_or_default());
        }
        let stake = addStakeCall { unstakeDelaySec: 1_000_000 }.abi_encode();
        act(&mut state, PAYMASTER, entry_point, stake.into(), parse_ether("10").unwrap_or_default());
        paymasters.insert(version, verifying_paymaster(&mut state, version));
        let owned = (0..ACCOUNTS).map(|index| {
            let key = key(&format!("owner {version:?} {index}"));
            let (owner, salt) = (key.address(), U256::ZERO);
            let predicted =
                act(&mut state, owner, factory, getAddressCall { owner, salt }.abi_encode().into(), U256::ZERO);
            let address = Address::abi_decode(&predicted).unwrap_or_default();
            let data = Bytes::from(createAccountCall { owner, salt }.abi_encode());
            let deployed = index % 5 != 4;
            if deployed {
                act(&mut state, entry_point.create(1), factory, data.clone(), U256::ZERO);
            }
            state.change(address, |account| account.info.balance = parse_ether("100").unwrap_or_default());
            Owned { version, address, key, factory: (factory, data), deployed }
        });
        accounts.insert(version, owned.collect());
    }
    Genesis { state, accounts, paymasters }
}

/// Ours, with a deposit and a stake.
fn verifying_paymaster(state: &mut State, version: EntryPointVersion) -> Address {
    let (entry_point, packed) = (version.canonical_address(), version.is_packed());
    let at = Address::from_word(keccak256(format!("verifying paymaster {version:?}")));
    let code = ours(if packed { "VerifyingPaymaster" } else { "VerifyingPaymasterV06" });
    let owner = key("owner of paymasters").address();
    let arguments = (entry_point, owner, vec![key(SPONSOR).address()]).abi_encode_params();
    construct(state, at, [code.as_ref(), &arguments].concat().into());
    state.change(at, |account| account.info.balance = parse_ether("1000").unwrap_or_default());
    let deposit = depositToCall { account: at }.abi_encode();
    act(state, at, entry_point, deposit.into(), parse_ether("100").unwrap_or_default());
    let stake = addStakeCall { unstakeDelaySec: 1_000_000 }.abi_encode();
    act(state, at, entry_point, stake.into(), parse_ether("10").unwrap_or_default());
    at
}

/// Runs a constructor where its contract is to stand.
fn construct(state: &mut State, at: Address, init_code: Bytes) {
    state.set_code(at, init_code);
    let code = act(state, Address::ZERO, at, Bytes::new(), U256::ZERO);
    assert!(!code.is_empty(), "the constructor at {at} gave no code");
    state.set_code(at, code);
}

/// A call by whoever it is, which must succeed; what it returns.
fn act(state: &mut State, from: Address, to: Address, data: Bytes, value: U256) -> Bytes {
    let preset = ChainPreset::local();
    let place = Place {
        preset: &preset,
        number: 1,
        timestamp: 1,
        base_fee: 0,
        gas_limit: u64::MAX,
        beneficiary: Address::ZERO,
    };
    let base = state.clone();
    let mut db = CacheDB::new(&base);
    let call = Call { from, to: Some(to), data, value, gas: 1_000_000_000, commit: true };
    let result = place.call(&mut db, &call).unwrap_or_else(|error| panic!("genesis: {to}: {error}"));
    assert!(result.is_success(), "genesis: {to}: {result:?}");
    let output = result.output().cloned().unwrap_or_default();
    *state = base.after(db);
    // Nonces of those that only acted here are not to be seen later.
    output
}

/// Init code from the published package.
fn artifact(version: EntryPointVersion, contract: &str) -> Bytes {
    let package = format!("account-abstraction-{}", version.to_string().replace('.', ""));
    let path = format!("node_modules/{package}/artifacts/{contract}.json");
    read(&path)["bytecode"].as_str().expect("bytecode").parse().expect("hex")
}

/// Init code of a contract of this project's.
fn ours(contract: &str) -> Bytes {
    let path = format!("out/{contract}.sol/{contract}.json");
    read(&path)["bytecode"]["object"].as_str().expect("bytecode").parse().expect("hex")
}

fn read(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}
