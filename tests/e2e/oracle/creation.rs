//! OP-031, OP-032, EREP-060, EREP-061, and OP-011 of `CREATE`.

use super::{
    bench::{ALL, Bench, Factory, OTHER, Scene, ask, call, init_code, made_by, push},
    breaks, lawful,
};

/// Creates an empty contract.
const CREATE: [u8; 5] = [0x5f, 0x5f, 0x5f, 0xf0, 0x50];
/// Makes whatever it is called with.
const MAKER: [u8; 11] = [0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x36, 0x5f, 0x5f, 0xf5, 0x50, 0x00];
const CREATE2: [u8; 6] = [0x5f, 0x5f, 0x5f, 0x5f, 0xf5, 0x50];

/// A new account that does this, of a factory that does nothing but make it.
fn new_account(staked: bool, account: &[u8]) -> Scene {
    Scene { account: account.to_vec(), ..Scene::factory(staked, []) }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_031_create2_makes_the_sender_once_in_the_deployment_frame() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        lawful("once", &bench.judge(version, &Scene::factory(false, [])).await);
        let another = bench.judge(version, &Scene::factory(false, CREATE2)).await;
        breaks("another", &another, &[("OP-031", "factory")]);
        // Once is once, though the second must fail. It burns its gas, so it has little.
        let again = ask(0xf4, OTHER, 0, &push(90_000), &init_code(&[]));
        let twice = Scene { other: MAKER.to_vec(), ..Scene::factory(false, again) };
        breaks("twice", &bench.judge(version, &twice).await, &[("OP-031", "factory")]);

        let entities = [("account", Scene::account(CREATE2)), ("paymaster", Scene::paymaster(true, CREATE2))];
        for (entity, scene) in entities {
            breaks(entity, &bench.judge(version, &scene).await, &[("OP-031", entity)]);
        }
        let said = bench.judge(version, &new_account(false, &CREATE2)).await;
        breaks("by the account in its validation", &said, &[("OP-031", "account")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_031_a_utility_contract_may_make_the_sender() {
    let bench = Bench::start().await;
    let length = push(init_code(&[]).len() as u32);
    // What the factory has copied to its memory is the calldata.
    let ask = [&[0x5f, 0x5f][..], &length, &[0x5f, 0x5f], &super::bench::address(OTHER), &[0x5a, 0xf1, 0x50]].concat();
    for version in bench.versions() {
        for staked in [false, true] {
            let scene = |before: Vec<u8>| Scene {
                factory: Some(Factory { staked, before, idle: true, ..Factory::default() }),
                sender: Some(made_by(OTHER, &[])),
                other: MAKER.to_vec(),
                ..Scene::default()
            };
            lawful("once", &bench.judge(version, &scene(ask.clone())).await);
            // EREP-060 allows CREATE2 to a staked factory itself, EREP-061 only CREATE to what it calls.
            let twice = [&ask[..], &call(0xf1, OTHER, 0, ALL)].concat();
            breaks("and another", &bench.judge(version, &scene(twice)).await, &[("OP-031", "factory")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn op_032_a_sender_that_has_a_factory_may_create() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        breaks("no factory", &bench.judge(version, &Scene::account(CREATE)).await, &[("OP-011", "account")]);
        for staked in [false, true] {
            lawful("validation", &bench.judge(version, &new_account(staked, &CREATE)).await);
            let constructor = Scene { constructor: CREATE.to_vec(), ..Scene::factory(staked, []) };
            lawful("constructor", &bench.judge(version, &constructor).await);
            // Only itself: not by what it calls. Its own code elsewhere is itself.
            let utility = |op| Scene { other: CREATE.to_vec(), ..new_account(staked, &call(op, OTHER, 0, ALL)) };
            breaks("utility", &bench.judge(version, &utility(0xf1)).await, &[("OP-011", "account")]);
            lawful("library", &bench.judge(version, &utility(0xf4)).await);
        }
    }
}

/// "If there is a `factory`, even an unstaked one, the `sender` contract is allowed to use the `CREATE` opcode" (OP-032), and
/// "If the factory is staked, either the factory itself or the sender may use the `CREATE2` and `CREATE` opcodes"
/// (EREP-060): neither sentence asks in whose phase.
#[tokio::test(flavor = "multi_thread")]
async fn op_032_and_erep_060_hold_where_the_paymaster_calls_the_sender_too() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for (program, rule) in [(&CREATE[..], "OP-011"), (&CREATE2[..], "OP-031")] {
            // Without calldata, as the paymaster and execution call it, the account creates and stops.
            let asked = (4 + program.len() + 1) as u8;
            let account = [&[0x36, 0x60, asked, 0x57][..], program, &[0x00, 0x5b]].concat();
            for staked in [false, true] {
                let mut scene = new_account(staked, &account);
                scene.paymaster = Scene::paymaster(false, call(0xf1, scene.sender(), 0, ALL)).paymaster;
                let broken = if rule == "OP-011" || staked { vec![] } else { vec![(rule, "paymaster")] };
                breaks(&format!("{version} {rule} {staked}"), &bench.judge(version, &scene).await, &broken);
            }
            let mut scene = Scene::account(account);
            scene.paymaster = Scene::paymaster(false, call(0xf1, scene.sender(), 0, ALL)).paymaster;
            breaks("no factory", &bench.judge(version, &scene).await, &[(rule, "paymaster")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erep_060_and_061_a_staked_factory_may_create() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for (staked, broken) in [(false, Some("OP-011")), (true, None)] {
            let broken: Vec<_> = broken.map(|rule| (rule, "factory")).into_iter().collect();
            breaks("itself", &bench.judge(version, &Scene::factory(staked, CREATE)).await, &broken);
            let utility = Scene { other: CREATE.to_vec(), ..Scene::factory(staked, call(0xf1, OTHER, 0, ALL)) };
            breaks("utility", &bench.judge(version, &utility).await, &broken);
        }
        lawful("CREATE2", &bench.judge(version, &Scene::factory(true, CREATE2)).await);
        lawful("the sender's", &bench.judge(version, &new_account(true, &CREATE2)).await);
        let utility = Scene { other: CREATE2.to_vec(), ..Scene::factory(true, call(0xf1, OTHER, 0, ALL)) };
        breaks("utility", &bench.judge(version, &utility).await, &[("OP-031", "factory")]);
        // Nobody else may, staked or not.
        for staked in [false, true] {
            let paymaster = bench.judge(version, &Scene::paymaster(staked, CREATE)).await;
            breaks("paymaster", &paymaster, &[("OP-011", "paymaster")]);
        }
    }
}
