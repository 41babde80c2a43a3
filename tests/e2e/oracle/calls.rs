//! OP-041, OP-042, OP-051 to OP-055, OP-061, OP-062.

use alloy::{
    primitives::{Address, U256, keccak256},
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, abi::entry_point_v08};

use super::{
    bench::{ALL, Bench, Factory, NOBODY, OTHER, STOPS, Scene, address, ask, call, push, sender_of, word},
    breaks, lawful,
};

/// All ways to use an address.
fn uses(who: Address) -> Vec<Vec<u8>> {
    let look = |op: u8| [&address(who)[..], &[op, 0x50]].concat();
    let copy = [&[0x60, 1, 0x5f, 0x5f][..], &address(who), &[0x3c]].concat();
    let calls = [0xf1, 0xf2, 0xf4, 0xfa].map(|op| call(op, who, 0, ALL));
    [look(0x3b), look(0x3f), copy].into_iter().chain(calls).collect()
}

fn precompile(number: u64) -> Address {
    Address::from_word(U256::from(number).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn op_041_an_address_without_code_is_not_used() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for (bad, good) in uses(NOBODY).iter().zip(uses(STOPS)) {
            for (entity, scene) in Scene::each(version.is_packed(), bad) {
                let what = format!("{version} {entity} {bad:02x?}");
                breaks(&what, &bench.judge(version, &scene).await, &[("OP-041", entity)]);
            }
            for (entity, scene) in Scene::each(false, &good) {
                lawful(&format!("{version} {entity} {good:02x?}"), &bench.judge(version, &scene).await);
            }
        }
        // What there is no gas or no argument for accesses nothing.
        let look = [&address(NOBODY)[..], &[0x3b]].concat();
        breaks("no gas", &bench.judge(version, &Scene::calling(100, &look)).await, &[("OP-020", "account")]);
        breaks(
            "no gas",
            &bench.judge(version, &Scene::calling(50, &call(0xf1, NOBODY, 0, &[0x5f]))).await,
            &[("OP-020", "account")],
        );
        lawful(
            "no arguments",
            &bench.judge(version, &Scene::calling(30_000, &[&address(NOBODY)[..], &[0x3c]].concat())).await,
        );
        // Bytes above an address are none of it.
        let dirty = |who: Address| {
            let word_of: U256 = who.into_word().into();
            Scene::account([word(word_of | U256::from(7) << 200), vec![0x3b, 0x50]].concat())
        };
        breaks("dirty", &bench.judge(version, &dirty(NOBODY)).await, &[("OP-041", "account")]);
        lawful("dirty", &bench.judge(version, &dirty(STOPS)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_042_the_sender_may_be_used_before_it_is_there() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for staked in [false, true] {
            for before in uses(sender_of(staked)) {
                let factory = Some(Factory { staked, before, ..Factory::default() });
                lawful("before", &bench.judge(version, &Scene { factory, ..Scene::default() }).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_051_and_054_the_entry_points_code_is_there_or_not() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        let entry_point = bench.entry_point(version);
        let size = |after: u8| [&address(entry_point)[..], &[0x3b, after, 0x50]].concat();
        for staked in [false, true] {
            for (entity, scene) in Scene::each(staked, &size(0x15)) {
                lawful(entity, &bench.judge(version, &scene).await);
            }
            // Kept, negated, or asked otherwise.
            let others = uses(entry_point).into_iter().take(3).chain([size(0x19)]);
            for program in others {
                for (entity, scene) in Scene::each(staked, &program) {
                    let what = format!("{version} {entity} {program:02x?}");
                    breaks(&what, &bench.judge(version, &scene).await, &[("OP-054", entity)]);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_052_sender_and_factory_may_deposit_for_the_sender() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        let entry_point = bench.entry_point(version);
        let deposit = |account: Address| entry_point_v08::depositToCall { account }.abi_encode();
        for value in [0, 3] {
            let own = Scene::default().sender();
            let account = Scene::account(ask(0xf1, entry_point, value, ALL, &deposit(own)));
            lawful("account", &bench.judge(version, &account).await);
            let factory = Scene::factory(false, ask(0xf1, entry_point, value, ALL, &deposit(sender_of(false))));
            lawful("factory", &bench.judge(version, &factory).await);
            let paymaster = Scene::paymaster(true, ask(0xf1, entry_point, value, ALL, &deposit(own)));
            breaks("paymaster", &bench.judge(version, &paymaster).await, &[("OP-054", "paymaster")]);
            // For another, and from another.
            let other = Scene::account(ask(0xf1, entry_point, value, ALL, &deposit(OTHER)));
            breaks("other", &bench.judge(version, &other).await, &[("OP-054", "account")]);
            let by_other =
                Scene { other: ask(0xf1, entry_point, 0, ALL, &deposit(own)), ..Scene::calling(100_000, &[]) };
            breaks("by another", &bench.judge(version, &by_other).await, &[("OP-054", "account")]);
        }
        // By code from elsewhere it is the sender all the same.
        let own = Scene::default().sender();
        let library =
            Scene { other: ask(0xf1, entry_point, 0, ALL, &deposit(own)), ..Scene::account(call(0xf4, OTHER, 0, ALL)) };
        lawful("library", &bench.judge(version, &library).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_053_to_055_the_sender_may_send_and_count_and_no_more() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        let entry_point = bench.entry_point(version);
        let count = [&keccak256("incrementNonce(uint192)")[..4], &[0; 32]].concat();
        let balance = [&keccak256("balanceOf(address)")[..4], &[0; 32]].concat();
        for value in [0, 3] {
            let send = call(0xf1, entry_point, value, ALL);
            lawful("account", &bench.judge(version, &Scene::account(send.clone())).await);
            let factory = bench.judge(version, &Scene::factory(true, send.clone())).await;
            breaks("factory", &factory, &[("OP-054", "factory")]);
            let paymaster = bench.judge(version, &Scene::paymaster(true, send)).await;
            breaks("paymaster", &paymaster, &[("OP-054", "paymaster")]);
        }
        // Of another key than the operation's, which would not be valid any more.
        let mut other_key = count.clone();
        other_key[35] = 9;
        lawful("count", &bench.judge(version, &Scene::account(ask(0xf1, entry_point, 0, ALL, &other_key))).await);
        let valued = Scene::account(ask(0xf1, entry_point, 1, ALL, &other_key));
        breaks("count for money", &bench.judge(version, &valued).await, &[("OP-054", "account")]);
        let paymaster = Scene::paymaster(true, ask(0xf1, entry_point, 0, ALL, &other_key));
        breaks("count", &bench.judge(version, &paymaster).await, &[("OP-054", "paymaster")]);

        for data in [&balance[..], &[1, 2, 3, 4], &[1]] {
            for op in [0xf1, 0xfa] {
                let scene = Scene::account(ask(op, entry_point, 0, ALL, data));
                breaks("other", &bench.judge(version, &scene).await, &[("OP-054", "account")]);
            }
        }
        // The EntryPoint's code in the sender's name.
        let delegated = bench.judge(version, &Scene::account(call(0xf4, entry_point, 0, &push(30_000)))).await;
        breaks("delegatecall", &delegated, &[("OP-054", "account")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_061_nobody_sends_value_but_to_the_entry_point() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for op in [0xf1, 0xf2] {
            for (entity, scene) in Scene::each(true, &call(op, STOPS, 1, ALL)) {
                breaks(entity, &bench.judge(version, &scene).await, &[("OP-061", entity)]);
            }
            for (entity, scene) in Scene::each(true, &call(op, STOPS, 0, ALL)) {
                lawful(entity, &bench.judge(version, &scene).await);
            }
        }
        // That it has nothing to send makes no difference.
        let poor = Scene { other: call(0xf1, STOPS, 1, ALL), ..Scene::calling(100_000, &[]) };
        bench.anvil("anvil_setBalance", serde_json::json!([OTHER, "0x0"])).await;
        breaks("poor", &bench.judge(version, &poor).await, &[("OP-061", "account")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_062_the_known_precompiles_may_be_called() {
    let bench = Bench::start().await;
    let version = EntryPointVersion::V0_9;
    for number in (1..=0x11).chain([0x100]) {
        for op in [0xf1, 0xf2, 0xf4, 0xfa] {
            let scene = Scene::account(call(op, precompile(number), 0, &push(200_000)));
            lawful(&format!("{number:x}"), &bench.judge(version, &scene).await);
        }
        // There is no code to look at.
        let looks = Scene::account([&address(precompile(number))[..], &[0x3b, 0x50]].concat());
        breaks(&format!("{number:x}"), &bench.judge(version, &looks).await, &[("OP-041", "account")]);
    }
    for number in [0, 0x12, 0xff, 0x101] {
        let scene = Scene::account(call(0xfa, precompile(number), 0, &push(200_000)));
        breaks(&format!("{number:x}"), &bench.judge(version, &scene).await, &[("OP-041", "account")]);
    }
    let valued = Scene::account(call(0xf1, precompile(4), 1, &push(200_000)));
    breaks("value", &bench.judge(version, &valued).await, &[("OP-061", "account")]);
}
