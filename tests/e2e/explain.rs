//! `fabstir_explainUserOperation`: enough to find the line that breaks a rule.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use erc4337::{EntryPointVersion, UserOperation, wire};
use serde_json::{Value, json};
use tests::{
    Bench,
    bench::answer,
    programs::{
        asm::op,
        helpers,
        piece::{Access, CallKind, Piece, Who, Word},
        snippet::inner,
    },
};

async fn explain(bench: &Bench, op: &UserOperation) -> Value {
    let params = vec![wire::to_json(op, bench.version), json!(bench.entry_point)];
    bench.ask("fabstir_explainUserOperation", params).await.unwrap()
}

/// The bundler says of an operation, sent, what it says of it, explained.
async fn assert_refused_alike(bench: &Bench, op: &UserOperation, explained: &Value) {
    let refusal = bench.send(op).await.unwrap_err();
    assert_eq!(explained["accepted"], false);
    let said = json!({ "code": refusal.code, "message": refusal.message, "data": refusal.data });
    assert_eq!(explained["error"], said);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_operation_is_explained_in_full_and_not_taken() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let reads = Piece::Store {
        access: Access::Sload,
        slot: Word::associated(Who::Sender, 3, 0),
        at: Who::Store,
        route: vec![CallKind::Call],
    };
    let mut scenario = bench.sponsored(vec![]);
    scenario.account.program = vec![reads];
    let op = bench.place([scenario]).await.remove(0);
    let explained = explain(&bench, &op).await;
    assert_eq!(bench.dump().await.len(), 0);

    let keys = [
        "accepted",
        "actCount",
        "acts",
        "block",
        "codeHashes",
        "entities",
        "error",
        "frameCount",
        "frames",
        "gasUsed",
        "preimages",
        "roundTrips",
        "rules",
        "userOpHash",
        "userOperation",
        "violations",
    ];
    assert_eq!(explained.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    assert_eq!((&explained["accepted"], &explained["error"]), (&json!(true), &Value::Null));
    assert_eq!(explained["violations"], json!([]));
    assert_eq!(explained["userOpHash"], json!(bench.send(&op).await.unwrap()));
    assert_eq!(explained["userOperation"], wire::to_json(&op, bench.version));
    assert_eq!(explained["block"]["hash"], json!(bench.newest().await));
    let party = |address: Option<Address>| json!({ "address": address, "stake": "none" });
    let entities = json!({
        "account": party(Some(op.sender)),
        "factory": null,
        "paymaster": party(op.paymaster_address()),
        "accountExists": true,
    });
    assert_eq!(explained["entities"], entities);
    let rules = explained["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["held"] == true && rule["remedy"].is_string()), "{rules:?}");

    let frames = explained["frames"].as_array().unwrap();
    assert_eq!(explained["frameCount"], frames.len());
    let of = |phase: &str, to: Address| frames.iter().any(|frame| frame["phase"] == phase && frame["to"] == json!(to));
    assert!(of("account", op.sender) && of("account", helpers::STORE), "{frames:?}");
    assert!(of("paymaster", op.paymaster_address().unwrap()), "{frames:?}");
    let slot = keccak256([op.sender.into_word().0, U256::from(3).to_be_bytes()].concat());
    let acts = explained["acts"].as_array().unwrap();
    let read = acts.iter().find(|act| act["slot"] == json!(slot)).unwrap();
    assert_eq!((&read["contract"], &read["write"]), (&json!(helpers::STORE), &json!(false)));
    assert_eq!((&read["entity"], &read["opcode"]), (&json!("account"), &json!("SLOAD")));
    let codes = explained["codeHashes"].as_array().unwrap();
    let code = bench.anvil("eth_getCode", vec![json!(helpers::STORE), json!("latest")]).await;
    let code: Bytes = serde_json::from_value(code).unwrap();
    assert!(codes.contains(&json!({ "address": helpers::STORE, "codeHash": keccak256(code) })), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_opcode_two_calls_deep_is_found_by_path_and_offset() {
    let bench = Bench::new(EntryPointVersion::V0_7).await;
    let innermost = vec![Piece::opcode(op::ADDRESS), Piece::opcode(op::TIMESTAMP)];
    let program = inner(CallKind::Call, inner(CallKind::DelegateCall, innermost));
    let op = bench.place([bench.account(program)]).await.remove(0);
    let explained = explain(&bench, &op).await;
    assert_refused_alike(&bench, &op, &explained).await;

    let culprit = Address::from_word(keccak256([op::ADDRESS, op::POP, op::TIMESTAMP, op::POP]));
    let [violation] = explained["violations"].as_array().unwrap().as_slice() else { panic!("{explained}") };
    let path: Vec<Address> = serde_json::from_value(violation["callPath"].clone()).unwrap();
    assert_eq!((path.len(), path[0], path[1], path[3]), (4, bench.entry_point, op.sender, culprit));
    let remedy = "take what depends on the block out of validation; return validAfter/validUntil to bind it to time";
    let expected = json!({
        "rule": "OP-011", "entity": "account", "entityAddress": op.sender, "opcode": "TIMESTAMP", "pc": 2,
        "contract": culprit, "depth": 3, "callPath": path, "remedy": remedy,
    });
    assert_eq!(*violation, expected);
    let middle = bench.anvil("eth_getCode", vec![json!(path[2]), json!("latest")]).await;
    let middle: Bytes = serde_json::from_value(middle).unwrap();
    assert!(middle.windows(20).any(|bytes| bytes == culprit.as_slice()), "the middle one calls the culprit");
    let broken: Vec<_> =
        explained["rules"].as_array().unwrap().iter().filter(|rule| rule["held"] == false).cloned().collect();
    assert_eq!(broken, [json!({ "rule": "OP-011", "held": false, "remedy": remedy })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_slot_two_calls_deep_is_named_with_its_contract() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let reads = Piece::Store {
        access: Access::Sload,
        slot: Word::Literal(U256::from(77)),
        at: Who::Store,
        route: vec![CallKind::Call, CallKind::StaticCall],
    };
    let op = bench.place([bench.sponsored(vec![reads])]).await.remove(0);
    let explained = explain(&bench, &op).await;
    assert_refused_alike(&bench, &op, &explained).await;
    let [violation] = explained["violations"].as_array().unwrap().as_slice() else { panic!("{explained}") };
    let paymaster = op.paymaster_address().unwrap();
    assert_eq!(violation["callPath"], json!([bench.entry_point, paymaster, helpers::RELAY, helpers::STORE]));
    assert_eq!((&violation["rule"], &violation["entity"]), (&json!("STO-033"), &json!("paymaster")));
    assert_eq!(violation["slot"], json!(B256::from(U256::from(77))), "slots are words of 32 bytes");
    assert_eq!(violation["accessed"], json!(helpers::STORE));
    let (_, code) = helpers::common().into_iter().find(|(address, _)| *address == helpers::STORE).unwrap();
    let pc = violation["pc"].as_u64().unwrap() as usize;
    // `PUSH1 1 CALLDATALOAD SLOAD` is how the store obeys.
    assert_eq!(code[pc - 3..=pc], [op::PUSH0 + 1, 1, op::CALLDATALOAD, op::SLOAD]);
    assert!(violation["remedy"].as_str().unwrap().starts_with("stake this entity to read other contracts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_the_entry_point_refuses_no_rule_is_said_to_hold_or_not() {
    let bench = Bench::new(EntryPointVersion::V0_9).await;
    let op = bench.place([bench.account(vec![Piece::opcode(op::TIMESTAMP), answer(U256::from(1))])]).await.remove(0);
    let explained = explain(&bench, &op).await;
    assert_refused_alike(&bench, &op, &explained).await;
    assert_eq!(explained["error"]["code"], -32507);
    assert_eq!(explained["violations"], json!([]));
    assert!(explained["rules"].as_array().unwrap().iter().all(|rule| rule["held"].is_null()));
    assert!(explained["frameCount"].as_u64().unwrap() > 1, "what ran is shown all the same");
}
