//! What the contracts measure time by: seconds, which are the same whatever a block takes.

use alloy::primitives::Bytes;
use serde_json::Value;
use tests::{programs::asm::op, stack::root};

/// NUMBER stands once in the governor: OpenZeppelin's `GovernorVotes` counts blocks if its token has no clock. `FabToken`
/// has one, of seconds, and the governor keeps the token that it was made with.
const EXCEPTIONS: [(&str, usize); 1] = [("FabGovernor", 1)];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Places of the code that ask for a block's number or hash.
fn asks_for_blocks(code: &[u8]) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(&opcode) = code.get(at) {
        // What follows the code is data; Solidity also writes INVALID for a branch that cannot be taken, and then code
        // goes on.
        if opcode == op::INVALID && code.get(at + 1) != Some(&op::JUMPDEST) {
            break;
        }
        if [op::NUMBER, op::BLOCKHASH].contains(&opcode) {
            found.push(at);
        }
        let pushed = usize::from(opcode).checked_sub(usize::from(op::PUSH0)).filter(|bytes| *bytes <= 32);
        at += 1 + pushed.unwrap_or(0);
    }
    found
}

/// The code of an artifact as it is deployed, with zeros for addresses that are not known yet.
fn code(artifact: &Value) -> Bytes {
    let object = &artifact["deployedBytecode"];
    let text = object["object"].as_str().or(object.as_str()).unwrap();
    let linked = text
        .split("__$")
        .map(|part| part.split_once("$__").map_or(part.to_owned(), |(_, rest)| format!("{:040}{rest}", 0)));
    linked.collect::<String>().parse().unwrap()
}

#[test]
fn no_contract_of_ours_knows_the_number_of_its_block() {
    let deployment: Value = serde_json::from_str(&read("deploy/addresses/local.json")).unwrap();
    let contracts = deployment["contracts"].as_array().unwrap().iter().map(|it| it["artifact"].as_str().unwrap());
    let ours: std::collections::BTreeSet<&str> = contracts.filter(|artifact| *artifact != "EntryPoint").collect();
    assert!(ours.len() > 15, "{ours:?}");
    for name in ours {
        let artifact = serde_json::from_str(&read(&format!("contracts/out/{name}.sol/{name}.json"))).unwrap();
        let allowed = EXCEPTIONS.iter().find(|(exception, _)| *exception == name).map_or(0, |(_, times)| *times);
        let found = asks_for_blocks(&code(&artifact));
        assert_eq!(found.len(), allowed, "{name} asks for the number or hash of a block at {found:?}");
    }
}

#[test]
fn what_does_know_it_is_found() {
    // Its validity windows may be in blocks.
    let artifact = read("contracts/node_modules/account-abstraction-v09/artifacts/EntryPoint.json");
    assert!(!asks_for_blocks(&code(&serde_json::from_str(&artifact).unwrap())).is_empty());
    assert_eq!(asks_for_blocks(&[op::PUSH0 + 1, op::NUMBER, op::NUMBER, op::INVALID, op::NUMBER]), [2]);
}
