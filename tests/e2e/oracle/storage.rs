//! STO-010, STO-021, STO-022, STO-031 to STO-033, and OP-070.

use alloy::primitives::{Address, U256, keccak256};
use erc4337::EntryPointVersion;

use super::{
    bench::{ALL, Bench, OTHER, PAYMASTERS, Scene, Sponsor, ask, factory, sender_of},
    breaks, lawful,
};

/// Each opcode of storage as a contract that uses the slot that its calldata is; whether it writes.
const ACCESSES: [(&[u8], bool); 4] = [
    (&[0x5f, 0x35, 0x54, 0x50], false),
    (&[0x60, 1, 0x5f, 0x35, 0x55], true),
    (&[0x5f, 0x35, 0x5c, 0x50], false),
    (&[0x60, 1, 0x5f, 0x35, 0x5d], true),
];

/// The same of its own slot 3.
fn own(access: &[u8]) -> Vec<u8> {
    let position = access.iter().position(|byte| *byte == 0x35).unwrap();
    [&access[..position - 1], &[0x60, 3], &access[position + 1..]].concat()
}

/// `keccak(who||x)`.
fn mapping(who: Address, x: u64) -> U256 {
    keccak256([who.into_word().0, U256::from(x).to_be_bytes()].concat()).into()
}

/// Computes it, for nothing.
fn hash(who: Address, x: u64) -> Vec<u8> {
    let word = |value: U256| super::bench::word(value);
    let first = [word(who.into_word().into()), vec![0x5f, 0x52]].concat();
    let second = [word(U256::from(x)), vec![0x60, 32, 0x52]].concat();
    [first, second, vec![0x60, 64, 0x5f, 0x20, 0x50]].concat()
}

/// Has [`OTHER`] use this slot.
fn use_slot(slot: U256) -> Vec<u8> {
    ask(0xf1, OTHER, 0, ALL, &slot.to_be_bytes::<32>())
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_010_the_accounts_storage_is_everybodys() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for (access, _) in ACCESSES {
            for (name, mut scene) in Scene::each(false, &[]) {
                let to = if name == "factory" { sender_of(false) } else { scene.sender() };
                let reach = ask(0xf1, to, 0, ALL, &U256::from(5).to_be_bytes::<32>());
                // The account takes orders of 32 bytes: CALLDATASIZE 32 EQ ISZERO, then over what it does with them.
                let skip = u8::try_from(access.len() + 9).unwrap();
                scene.account = [&[0x36, 0x60, 32, 0x14, 0x15, 0x60, skip, 0x57][..], access, &[0x00, 0x5b]].concat();
                match name {
                    "factory" => scene.factory.as_mut().unwrap().after = reach,
                    "paymaster" => scene.paymaster.as_mut().unwrap().program = reach,
                    _ => scene.account.extend(own(access)),
                }
                lawful(&format!("{version} {name} {access:02x?}"), &bench.judge(version, &scene).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_021_and_022_associated_slots_of_the_account() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for (access, _) in ACCESSES {
            let scene = |mut scene: Scene, program: Vec<u8>| {
                scene.other = access.to_vec();
                scene.account = program;
                scene
            };
            let existing = Scene::default().sender();
            let (slot, address) = (mapping(existing, 1), existing.into_word().into());
            for slot in [slot, slot + U256::from(127), address] {
                let program = [hash(existing, 1), use_slot(slot)].concat();
                lawful("021", &bench.judge(version, &scene(Scene::default(), program)).await);
            }
            // Beyond the range, hashed by nobody, or the address with more above it.
            for slot in
                [slot + U256::from(128), slot - U256::from(1), mapping(existing, 2), address | U256::from(1) << 200]
            {
                let program = [hash(existing, 1), use_slot(slot)].concat();
                let said = bench.judge(version, &scene(Scene::default(), program)).await;
                breaks("033", &said, &[("STO-033", "account")]);
            }
            // A new account's, of an unstaked factory and of a staked one.
            for staked in [false, true] {
                let new = sender_of(staked);
                let program = [hash(new, 1), use_slot(mapping(new, 1))].concat();
                let said = bench.judge(version, &scene(Scene::factory(staked, []), program)).await;
                let broken: &[_] = if staked { &[] } else { &[("STO-022", "account")] };
                breaks(&format!("{version} 022 {staked}"), &said, broken);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_021_and_022_are_for_every_entity() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for (access, _) in ACCESSES {
            let account = Scene::default().sender();
            let slots = |who| [hash(who, 1), use_slot(mapping(who, 1))].concat();
            let paymaster = Scene { other: access.to_vec(), ..Scene::paymaster(false, slots(account)) };
            lawful("paymaster", &bench.judge(version, &paymaster).await);
            for staked in [false, true] {
                let mut scene = Scene { other: access.to_vec(), ..Scene::factory(staked, slots(sender_of(staked))) };
                let broken: &[_] = if staked { &[] } else { &[("STO-022", "factory")] };
                breaks("factory", &bench.judge(version, &scene).await, broken);
                scene = Scene { other: access.to_vec(), ..Scene::factory(staked, []) };
                let program = slots(sender_of(staked));
                scene.paymaster = Some(Sponsor { program, ..Sponsor::default() });
                let broken: &[_] = if staked { &[] } else { &[("STO-022", "paymaster")] };
                breaks("paymaster", &bench.judge(version, &scene).await, broken);
            }
            // The preimage may be computed later, and in another phase.
            let mut scene = Scene { other: access.to_vec(), ..Scene::paymaster(false, hash(account, 7)) };
            scene.account = use_slot(mapping(account, 7));
            lawful("later", &bench.judge(version, &scene).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_031_to_033_what_stakes_of_factory_and_paymaster_open() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for staked in [false, true] {
            for (access, writes) in ACCESSES {
                let entities = [("factory", factory(staked)), ("paymaster", PAYMASTERS[usize::from(staked)])];
                for (name, address) in entities {
                    let judge = async |program: Vec<u8>| {
                        let mut scene = match name {
                            "factory" => Scene::factory(staked, program),
                            _ => Scene::paymaster(staked, program),
                        };
                        scene.other = access.to_vec();
                        bench.judge(version, &scene).await
                    };
                    let expect = |rule: &'static str, allowed: bool| {
                        if allowed { vec![] } else { vec![(rule, name)] }
                    };
                    let what = format!("{version} {name} {staked} {access:02x?}");
                    breaks(&what, &judge(own(access)).await, &expect("STO-031", staked));
                    let associated = [hash(address, 1), use_slot(mapping(address, 1))].concat();
                    breaks(&what, &judge(associated).await, &expect("STO-032", staked));
                    let its_address = use_slot(address.into_word().into());
                    breaks(&what, &judge(its_address).await, &expect("STO-032", staked));
                    let any = judge(use_slot(U256::from(7))).await;
                    breaks(&what, &any, &expect("STO-033", staked && !writes));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_033_not_in_another_entity() {
    let bench = Bench::start().await;
    let version = EntryPointVersion::V0_8;
    for (access, _) in ACCESSES {
        // The account writes the paymaster's storage where its own associated slots would be, and reads it.
        let account = Scene::default().sender();
        let paymaster = PAYMASTERS[1];
        // Takes orders of 32 bytes, and else does its duty.
        let skip = u8::try_from(access.len() + 9).unwrap();
        let program = [&[0x36, 0x60, 32, 0x14, 0x15, 0x60, skip, 0x57][..], access, &[0x00, 0x5b]].concat();
        let mut scene = Scene::paymaster(true, program);
        let slot = mapping(account, 1).to_be_bytes::<32>();
        scene.account = [hash(account, 1), ask(0xf1, paymaster, 0, ALL, &slot)].concat();
        breaks("paymaster's", &bench.judge(version, &scene).await, &[("STO-033", "account")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sto_031_to_033_a_staked_account_gains_nothing() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        let scene =
            Scene { account_staked: true, other: ACCESSES[0].0.to_vec(), ..Scene::account(use_slot(U256::from(7))) };
        breaks("033", &bench.judge(version, &scene).await, &[("STO-033", "account")]);
    }
}
