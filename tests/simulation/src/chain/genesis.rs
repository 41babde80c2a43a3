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
    Genesis { state, accounts }
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/node_modules");
    let path = root.join(package).join("artifacts").join(format!("{contract}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let artifact: Value = serde_json::from_str(&text).expect("JSON");
    artifact["bytecode"].as_str().expect("bytecode").parse().expect("hex")
}
