//! AUTH-020, AUTH-030, and accounts by EIP-7702 otherwise.

use alloy::{
    eips::eip7702::Authorization,
    primitives::{Address, Bytes, Signature, U256, address, keccak256},
};
use erc4337::{EntryPointVersion, Initializer, UserOperation};

use super::{
    bench::{ALL, Bench, OTHER, PAYMASTERS, STOPS, Scene, Sponsor, ask, call, factory, word},
    breaks, lawful,
};

/// Delegated, and nobody's entity.
const STRANGER: Address = address!("0x7702000000000000000000000000000000000060");
/// Has the code of delegated accounts.
const CODE: Address = address!("0x7702000000000000000000000000000000000061");
/// An account without code.
const EOA: Address = address!("0x7702000000000000000000000000000000000062");

const VALID: &[u8] = &[0x5f, 0x5f, 0x52, 0x60, 32, 0x5f, 0xf3];

fn delegation(to: Address) -> Vec<u8> {
    [&[0xef, 1, 0][..], to.as_slice()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_020_a_delegated_account_is_no_other_entity() {
    let bench = Bench::start().await;
    for version in bench.versions() {
        for staked in [false, true] {
            let mut scene = Scene::factory(staked, []);
            scene.paymaster = Some(Sponsor { staked, ..Sponsor::default() });
            let op = bench.place(version, &scene).await;
            lawful("contracts", &bench.says(version, &op).await);
            for (name, entity) in [("factory", factory(staked)), ("paymaster", PAYMASTERS[usize::from(staked)])] {
                let code = bench.anvil("eth_getCode", serde_json::json!([entity, "latest"])).await;
                bench.anvil("anvil_setCode", serde_json::json!([CODE, code])).await;
                bench.set(entity, &delegation(CODE)).await;
                breaks(name, &bench.says(version, &op).await, &[("AUTH-020", name)]);
                bench.anvil("anvil_setCode", serde_json::json!([entity, code])).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_030_a_delegated_account_is_used_only_as_the_sender() {
    let bench = Bench::start().await;
    bench.set(STRANGER, &delegation(STOPS)).await;
    let look = |op: u8, who: Address| [&super::bench::address(who)[..], &[op, 0x50]].concat();
    for version in bench.versions() {
        let uses = |who| [look(0x3b, who), look(0x3f, who), call(0xf1, who, 0, ALL), call(0xfa, who, 0, ALL)];
        for program in uses(STRANGER) {
            for (entity, scene) in Scene::each(true, &program) {
                breaks(entity, &bench.judge(version, &scene).await, &[("AUTH-030", entity)]);
            }
        }
        // BALANCE is no use of an address by definition 7.
        let scene = Scene::paymaster(true, look(0x31, STRANGER));
        lawful("balance", &bench.judge(version, &scene).await);
        // The sender is delegated.
        for program in uses(EOA) {
            bench.set(CODE, VALID).await;
            bench.set(EOA, &delegation(CODE)).await;
            let op = bench.place(version, &Scene::paymaster(false, program)).await;
            lawful("sender", &bench.says(version, &UserOperation { sender: EOA, ..op }).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_of_the_operation_counts_before_it_is_made() {
    let bench = Bench::start().await;
    for version in [EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        bench.set(EOA, &[]).await;
        bench.set(OTHER, &[0x5f, 0x35, 0x54, 0x50]).await;
        // Its associated slots elsewhere: it exists.
        let preimage = [word(EOA.into_word().into()), vec![0x5f, 0x52, 0x60, 64, 0x5f, 0x20, 0x50]].concat();
        let slot = keccak256([EOA.into_word().0, [0; 32]].concat());
        let associated = [preimage, ask(0xf1, OTHER, 0, ALL, slot.as_slice())].concat();
        type Case<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);
        let cases: [Case<'_>; 4] = [
            (&[], &[]),
            (&[0x42, 0x50], &[("OP-011", "account")]),
            // There is no factory: OP-032 does not apply.
            (&[0x5f, 0x5f, 0x5f, 0xf0, 0x50], &[("OP-011", "account")]),
            (&associated, &[]),
        ];
        for (program, broken) in cases {
            bench.set(CODE, &[program, VALID].concat()).await;
            let tuple = Authorization { chain_id: U256::from(31_337), address: CODE, nonce: 0 };
            let signature = Signature::new(U256::from(1), U256::from(1), false);
            // By the initialiser too, which is the account's own frame.
            for data in [None, Some(Bytes::new()), Some(Bytes::from_static(&[1]))] {
                let op = UserOperation {
                    sender: EOA,
                    initializer: data.map(|data| Initializer::Eip7702 { data }),
                    eip7702_auth: Some(tuple.clone().into_signed(signature)),
                    call_gas_limit: 50_000,
                    verification_gas_limit: 1_000_000,
                    ..UserOperation::default()
                };
                breaks(&format!("{version} {program:02x?}"), &bench.says(version, &op).await, broken);
            }
        }
    }
}
