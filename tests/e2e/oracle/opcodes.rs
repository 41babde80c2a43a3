//! OP-011, OP-012, OP-013, OP-020, OP-080.

use super::{
    bench::{ALL, Bench, DELAY, NOBODY, OTHER, PAYMASTERS, STAKE, STOPS, Scene, address, call, push, word},
    breaks, lawful,
};
use alloy::{primitives::U256, sol_types::SolCall};
use erc4337::{EntryPointVersion, abi::entry_point_v08};

const V0_7: EntryPointVersion = EntryPointVersion::V0_7;

#[tokio::test(flavor = "multi_thread")]
async fn op_011_what_looks_at_the_environment_is_blocked_for_everybody() {
    let bench = Bench::start().await;
    let plain = [0x32, 0x3a, 0x41, 0x42, 0x43, 0x44, 0x45, 0x48, 0x4a].map(|opcode| vec![opcode, 0x50]);
    let with_argument = [0x40, 0x49].map(|opcode| vec![0x60, 1, opcode, 0x50]);
    let blocked: Vec<_> = plain.into_iter().chain(with_argument).collect();
    for (index, program) in blocked.iter().enumerate() {
        let version = bench.versions()[index % 4];
        for (entity, scene) in Scene::each(index % 2 == 0, program) {
            let what = format!("{version} {entity} {program:02x?}");
            breaks(&what, &bench.judge(version, &scene).await, &[("OP-011", entity)]);
        }
        let depth = Scene::calling(50_000, program);
        breaks(&format!("{program:02x?} at depth"), &bench.judge(version, &depth).await, &[("OP-011", "account")]);
    }
    // ADDRESS, CALLER, CALLVALUE, CODESIZE, RETURNDATASIZE, CHAINID, PC, MSIZE look at nothing of it.
    let program: Vec<u8> =
        [0x30, 0x33, 0x34, 0x38, 0x3d, 0x46, 0x58, 0x59].into_iter().flat_map(|op| [op, 0x50]).collect();
    for version in bench.versions() {
        for (entity, scene) in Scene::each(false, &program) {
            lawful(&format!("{version} {entity}"), &bench.judge(version, &scene).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_011_invalid_and_selfdestruct_are_blocked() {
    let bench = Bench::start().await;
    let blocked: [&[u8]; 4] = [&[0xfe], &[0x30, 0xff], &[0x33, 0xff], &[0xff]];
    for version in bench.versions() {
        for code in blocked {
            bench.rich(OTHER).await;
            let said = bench.judge(version, &Scene::calling(60_000, code)).await;
            breaks(&format!("{version} {code:02x?}"), &said, &[("OP-011", "account")]);
        }
        // What comes after them is attributed as before.
        let after = [call(0xf1, OTHER, 0, &push(60_000)), vec![0x42, 0x50]].concat();
        let scene = Scene { other: vec![0x33, 0xff], ..Scene::paymaster(false, after) };
        breaks("after", &bench.judge(version, &scene).await, &[("OP-011", "paymaster")]);
        // To end by REVERT is lawful.
        lawful("revert", &bench.judge(version, &Scene::calling(60_000, &[0x5f, 0x5f, 0xfd])).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_012_gas_is_for_the_call_right_after_it() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for (entity, scene) in Scene::each(true, &[0x5a, 0x50]) {
            breaks(&format!("{version}"), &bench.judge(version, &scene).await, &[("OP-012", entity)]);
        }
        for op in [0xf1, 0xf2, 0xf4, 0xfa] {
            lawful("at once", &bench.judge(version, &Scene::account(call(op, STOPS, 0, ALL))).await);
            let late = Scene::account(call(op, STOPS, 0, &[0x5a, 0x5b]));
            breaks("late", &bench.judge(version, &late).await, &[("OP-012", "account")]);
        }
        // The last one of its frame, before a CREATE, and kept for later.
        let last = bench.judge(version, &Scene::calling(60_000, &[0x5a])).await;
        breaks("last", &last, &[("OP-012", "account")]);
        let twice = Scene::account([&[0x5a][..], &call(0xf1, STOPS, 0, ALL), &[0x50]].concat());
        breaks("kept", &bench.judge(version, &twice).await, &[("OP-012", "account")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_013_unassigned_opcodes_are_blocked() {
    let bench = Bench::start().await;
    for opcode in
        [0x0c, 0x0f, 0x1f, 0x21, 0x2f, 0x4b, 0x4f, 0xa5, 0xb0, 0xc0, 0xd0, 0xe0, 0xe6, 0xef, 0xf6, 0xf9, 0xfb, 0xfc]
    {
        let said = bench.judge(V0_7, &Scene::calling(60_000, &[opcode])).await;
        breaks(&format!("{opcode:02x}"), &said, &[("OP-013", "account")]);
    }
    // CLZ, MCOPY, PUSH0 are assigned, whether they find their arguments or not.
    for code in [&[0x5f, 0x1e, 0x50][..], &[0x5f, 0x5f, 0x5f, 0x5e], &[0x5f], &[0x1e]] {
        lawful(&format!("{code:02x?}"), &bench.judge(V0_7, &Scene::calling(60_000, code)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_020_nobody_may_fail_for_want_of_gas() {
    let bench = Bench::start().await;
    let forever = [0x5b, 0x5f, 0x56];
    for version in bench.versions() {
        for (gas, code) in
            [(500, &forever[..]), (0, &[0x5b]), (2_300, &[0x5f, 0x5f, 0x5d]), (90, &[0x60, 1, 0x5f, 0x19, 0x53])]
        {
            let (what, scene) = (format!("{version} {code:02x?}"), Scene::calling(gas, code));
            let said = bench.judge(version, &scene).await;
            let mut broken = vec![("OP-020", "account")];
            // Transient storage of another contract is a matter of its own.
            if code.contains(&0x5d) {
                broken = vec![("STO-033", "account")];
            }
            breaks(&what, &said, &broken);
        }
        // SSTORE with its stipend's gas or less is out of gas by EIP-2200.
        let sentry = Scene::calling(2_299, &[0x5f, 0x5f, 0x55]);
        breaks("sentry", &bench.judge(version, &sentry).await, &[("OP-020", "account"), ("STO-033", "account")]);
        let enough = Scene::calling(500, &[0x5b]);
        lawful("enough", &bench.judge(version, &enough).await);
        // Gas that runs out otherwise: an underflow, a bad jump.
        for code in [&[0x01][..], &[0x5f, 0x56]] {
            lawful("not of gas", &bench.judge(version, &Scene::calling(500, code)).await);
        }
        // A precompile: ECRECOVER wants 3,000.
        let precompile = |gas: u32| Scene::account(call(0xfa, address_of(1), 0, &push(gas)));
        breaks("precompile", &bench.judge(version, &precompile(2_999)).await, &[("OP-020", "account")]);
        lawful("precompile", &bench.judge(version, &precompile(3_000)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_020_is_about_creations_too() {
    let bench = Bench::start().await;
    // The account, new, creates what this init code returns (OP-032), by code from elsewhere: what fails burns its gas.
    let create = |init: &[u8]| {
        assert!(init.len() <= 32);
        let mut bytes = [0; 32];
        bytes[..init.len()].copy_from_slice(init);
        let size = init.len() as u32;
        [word(U256::from_be_bytes(bytes)), vec![0x5f, 0x52], push(size), vec![0x5f, 0x5f, 0xf0, 0x50]].concat()
    };
    let scene = |init: &[u8]| Scene {
        account: call(0xf4, OTHER, 0, &push(300_000)),
        other: create(init),
        ..Scene::factory(false, [])
    };
    for version in bench.versions() {
        let forever = bench.judge(version, &scene(&[0x5b, 0x5f, 0x56])).await;
        breaks("constructor", &forever, &[("OP-020", "account")]);
        // 24,576 bytes of code at 200 gas each are more than there is.
        let dear = bench.judge(version, &scene(&[&push(24_576)[..], &[0x5f, 0xf3]].concat())).await;
        breaks("code", &dear, &[("OP-020", "account")]);
        let cheap = bench.judge(version, &scene(&[&push(500)[..], &[0x5f, 0xf3]].concat())).await;
        lawful("code", &cheap);
        // Code that may not be, and a constructor that ends badly otherwise.
        let reserved = [0x60, 0xef, 0x5f, 0x53, 0x60, 1, 0x5f, 0xf3];
        for init in [&reserved[..], &[0x01], &[0x5f, 0x5f, 0xfd], &[0x5f, 0x56]] {
            lawful(&format!("{version} {init:02x?}"), &bench.judge(version, &scene(init)).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_080_balances_are_for_staked_entities() {
    let bench = Bench::start().await;
    let balances = [vec![0x47, 0x50], [&address(NOBODY)[..], &[0x31, 0x50]].concat()];
    for version in bench.versions() {
        for program in &balances {
            for (entity, scene) in Scene::each(false, program) {
                breaks(entity, &bench.judge(version, &scene).await, &[("OP-080", entity)]);
            }
            for (entity, mut scene) in Scene::each(true, program) {
                // Another's stake does not help, nor hurt.
                if entity != "account" && entity != "factory" {
                    scene.account_staked = false;
                }
                lawful(entity, &bench.judge(version, &scene).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stake_is_locked_and_enough_and_long_enough() {
    let bench = Bench::start().await;
    let program = [0x47, 0x50];
    for version in bench.versions() {
        let scene = Scene::paymaster(false, program);
        for (wei, delay, is_one) in [(STAKE - 1, DELAY, false), (1, DELAY, true)] {
            bench.stake(version, PAYMASTERS[0], wei, delay).await;
            let broken: &[_] = if is_one { &[] } else { &[("OP-080", "paymaster")] };
            breaks(&format!("{version} {wei} more"), &bench.judge(version, &scene).await, broken);
        }
        let unlock = entry_point_v08::unlockStakeCall {}.abi_encode();
        bench.call(version, PAYMASTERS[0], unlock, 0).await;
        breaks("unlocked", &bench.judge(version, &scene).await, &[("OP-080", "paymaster")]);
    }
    // A second less than a day.
    let short = super::bench::factory(false);
    bench.stake(V0_7, short, STAKE, DELAY - 1).await;
    let said = bench.judge(V0_7, &Scene::factory(false, program)).await;
    breaks("short", &said, &[("OP-080", "factory")]);
}

fn address_of(precompile: u64) -> alloy::primitives::Address {
    alloy::primitives::Address::from_word(U256::from(precompile).into())
}
