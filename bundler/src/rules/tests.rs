//! What is easier to show on a made-up trace than by a contract; the rest is shown by contracts, end to end.

use alloy::primitives::{Bytes, keccak256};
use revm::bytecode::opcode;

use super::*;
use crate::evm::{Frame, FrameKind};

const SENDER: Address = Address::repeat_byte(1);
const PAYMASTER: Address = Address::repeat_byte(2);
const TOKEN: Address = Address::repeat_byte(3);

fn parties(paymaster: Standing) -> Parties {
    Parties {
        account: Party::new(SENDER, Standing::Unstaked),
        account_exists: true,
        paymaster: Some(Party::new(PAYMASTER, paymaster)),
        ..Parties::default()
    }
}

/// One storage access in the phase of `entity`.
fn access(entity: Entity, contract: Address, slot: U256, write: bool, preimage: Option<[U256; 2]>) -> Trace {
    let frame = Frame {
        parent: None,
        depth: 1,
        kind: FrameKind::Call,
        caller: Address::ZERO,
        target: contract,
        code: contract,
        has_code: true,
        delegated: false,
        native: false,
        value: U256::ZERO,
        input_length: 0,
        input: Bytes::new(),
        selector: None,
        argument: None,
        phase: Some(entity),
        gas_limit: 0,
        gas_used: 0,
        demand: 0,
        success: true,
        out_of_gas: false,
        output: Bytes::new(),
    };
    let opcode = if write { opcode::SSTORE } else { opcode::SLOAD };
    let act = Act { frame: 0, pc: 7, opcode, deed: Deed::Storage { contract, slot, write } };
    let hashed = |words: [U256; 2]| {
        let bytes = words.map(|word| word.to_be_bytes::<32>()).concat();
        (U256::from_be_bytes(keccak256(bytes).0), words)
    };
    Trace {
        frames: vec![frame],
        acts: vec![act],
        preimages: preimage.map(hashed).into_iter().collect(),
        ..Trace::default()
    }
}

fn word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

#[test]
fn a_mapping_entry_reaches_127_slots_far() {
    let preimage = [word(SENDER), U256::from(5)];
    let entry = U256::from_be_bytes(keccak256(preimage.map(|word| word.to_be_bytes::<32>()).concat()).0);
    let broken = |offset: u64| {
        let trace = access(Entity::Account, TOKEN, entry + U256::from(offset), true, Some(preimage));
        judge(&trace, &parties(Standing::Unstaked)).first().map(|violation| violation.rule)
    };
    assert_eq!([broken(0), broken(127), broken(128)], [None, None, Some(Rule::Sto033)]);
}

#[test]
fn a_slot_is_associated_only_with_the_first_word_of_its_preimage() {
    let preimage = [U256::from(5), word(SENDER)];
    let entry = U256::from_be_bytes(keccak256(preimage.map(|word| word.to_be_bytes::<32>()).concat()).0);
    let trace = access(Entity::Account, TOKEN, entry, false, Some(preimage));
    assert_eq!(judge(&trace, &parties(Standing::Unstaked))[0].rule, Rule::Sto033);
}

#[test]
fn a_stake_that_is_too_low_has_its_own_code_where_a_higher_one_would_do() {
    let own = access(Entity::Paymaster, PAYMASTER, U256::ZERO, false, None);
    let codes = [Standing::Unstaked, Standing::TooLow].map(|standing| judge(&own, &parties(standing))[0].code());
    assert_eq!(codes, [-32502, -32505]);
    assert!(judge(&own, &parties(Standing::Staked)).is_empty());

    let written = access(Entity::Paymaster, TOKEN, U256::ZERO, true, None);
    assert_eq!(judge(&written, &parties(Standing::TooLow))[0].code(), -32502, "no stake allows this");
}

#[test]
fn the_stake_of_an_account_opens_no_storage_and_none_is_asked_of_it() {
    let mut staked = parties(Standing::Unstaked);
    staked.account = Party::new(SENDER, Standing::Staked);
    let read = access(Entity::Account, TOKEN, U256::ZERO, false, None);
    for parties in [staked, parties(Standing::Unstaked)] {
        let violation = judge(&read, &parties).remove(0);
        assert_eq!((violation.rule, violation.code()), (Rule::Sto033, -32502));
    }
}

#[test]
fn a_verdict_says_who_where_and_what_to_do() {
    let trace = access(Entity::Paymaster, PAYMASTER, U256::from(9), false, None);
    let violation = judge(&trace, &parties(Standing::Unstaked)).remove(0);
    let json = violation.to_json();
    assert_eq!(json["rule"], "STO-031");
    assert_eq!(json["entity"], "paymaster");
    assert_eq!(json["entityAddress"], PAYMASTER.to_string().to_lowercase());
    assert_eq!((json["opcode"].as_str(), json["pc"].as_u64()), (Some("SLOAD"), Some(7)));
    assert_eq!(json["slot"], format!("{:#066x}", 9));
    assert_eq!(json["callPath"].as_array().unwrap().len(), 1);
    assert!(json["remedy"].as_str().unwrap().contains("stake"));
    assert!(violation.to_string().starts_with("unstaked paymaster"), "{violation}");
}

#[test]
fn storage_in_another_contract_is_told_for_sto_041() {
    let preimage = [word(SENDER), U256::ZERO];
    let entry = U256::from_be_bytes(keccak256(preimage.map(|word| word.to_be_bytes::<32>()).concat()).0);
    let associated = access(Entity::Account, TOKEN, entry, false, Some(preimage));
    assert_eq!(associated_contracts(&associated, &parties(Standing::Unstaked)), [TOKEN]);
    let own = access(Entity::Account, SENDER, entry, false, Some(preimage));
    assert!(associated_contracts(&own, &parties(Standing::Unstaked)).is_empty());
}

#[test]
fn an_operation_that_calls_native_code_is_known_by_its_place_in_the_bundle() {
    let entry_point = Address::repeat_byte(8);
    let frame = |parent, target, native| {
        let mut frame = access(Entity::Account, target, U256::ZERO, false, None).frames.remove(0);
        (frame.parent, frame.native) = (parent, native);
        frame
    };
    let frames = vec![
        frame(None, entry_point, false),
        frame(Some(0), SENDER, false),
        // From here on it executes: the first operation, and the second.
        frame(Some(0), entry_point, false),
        frame(Some(2), SENDER, false),
        frame(Some(0), entry_point, false),
        frame(Some(4), SENDER, false),
        frame(Some(5), TOKEN, true),
    ];
    let trace = Trace { frames, validation_frames: Some(2), ..Trace::default() };
    assert_eq!(trace.native_operations(entry_point), [1]);
}

/// `allowance[owner][token][spender]` of Permit2, read in the validation of `entity`.
fn permit2(entity: Entity, owner: Address, spender: Address) -> Trace {
    let hash = |words: [U256; 2]| {
        let bytes = words.map(|word| word.to_be_bytes::<32>()).concat();
        U256::from_be_bytes(keccak256(bytes).0)
    };
    let of_owner = [word(owner), U256::from(1)];
    let of_token = [word(TOKEN), hash(of_owner)];
    let of_spender = [word(spender), hash(of_token)];
    let mut trace = access(entity, Address::repeat_byte(4), hash(of_spender), false, Some(of_spender));
    trace.preimages.extend([of_owner, of_token].map(|words| (hash(words), words)));
    trace
}

#[test]
fn permit2_s_nested_mapping_belongs_to_the_spender_alone() {
    let broken = |trace: &Trace, parties: &Parties| {
        judge(trace, parties).into_iter().map(|it| (it.rule, it.cure)).collect::<Vec<_>>()
    };
    let of_paymaster = permit2(Entity::Paymaster, SENDER, PAYMASTER);
    assert_eq!(broken(&of_paymaster, &parties(Standing::Staked)), [], "its own entry, which a stake allows");
    let unstaked = broken(&of_paymaster, &parties(Standing::Unstaked));
    assert_eq!(unstaked, [(Rule::Sto032, Some(Standing::Unstaked))], "and nothing else does");
    // Another spender's entry is anybody's storage: a staked paymaster may read it.
    let of_another = permit2(Entity::Paymaster, SENDER, Address::repeat_byte(9));
    assert_eq!(broken(&of_another, &parties(Standing::Staked)), []);
    // The account is only the first of three keys, whose hash is hashed on: the entry is not its own.
    let of_account = permit2(Entity::Account, SENDER, PAYMASTER);
    assert_eq!(broken(&of_account, &parties(Standing::Staked))[0].0, Rule::Sto033);
}

/// What `validatePaymasterUserOp` returned, with a context of so many bytes.
fn returning(context: u64) -> Trace {
    let mut trace = access(Entity::Paymaster, PAYMASTER, U256::ZERO, false, None);
    trace.acts.clear();
    let words = [U256::from(64), U256::ZERO, U256::from(context)];
    let output = words.map(|word| word.to_be_bytes::<32>()).concat();
    let transaction = Frame { phase: None, depth: 0, ..trace.frames[0].clone() };
    let asked = Frame { parent: Some(0), output: output.into(), ..trace.frames[0].clone() };
    trace.frames = vec![transaction, asked];
    trace
}

fn rules_broken(trace: &Trace, parties: &Parties) -> Vec<Rule> {
    judge(trace, parties).into_iter().map(|it| it.rule).collect()
}

#[test]
fn erep_050_only_a_staked_paymaster_returns_a_context_and_lim_020_no_longer_one_than_that() {
    let broken = |context, standing| rules_broken(&returning(context), &parties(standing));
    assert_eq!([Standing::Unstaked, Standing::TooLow].map(|it| broken(32, it)), [[Rule::Erep050], [Rule::Erep050]]);
    assert_eq!(broken(0, Standing::Unstaked), []);
    assert_eq!([broken(2_048, Standing::Staked), broken(2_049, Standing::Staked)], [vec![], vec![Rule::Lim020]]);
}

#[test]
fn srep_010_a_stake_is_one_of_the_minimum_for_the_minimum_time() {
    let minimum = Minimum { stake: 100, unstake_delay: 60 };
    let standing = |staked, stake: u64, unstake_delay| {
        let info = DepositInfo { staked, stake: U256::from(stake), unstake_delay, ..DepositInfo::default() };
        Standing::of(&info, minimum)
    };
    assert_eq!(standing(true, 100, 60), Standing::Staked);
    assert_eq!([standing(true, 99, 60), standing(true, 100, 59)], [Standing::TooLow; 2]);
    assert_eq!([standing(false, 100, 60), standing(true, 0, 60)], [Standing::Unstaked; 2]);
}

#[test]
fn whose_stake_is_too_low_is_told_what_would_do() {
    let own = access(Entity::Paymaster, PAYMASTER, U256::ZERO, false, None);
    let minimum = Minimum { stake: 0xde0b, unstake_delay: 86_400 };
    let data = |standing| judge(&own, &Parties { minimum, ..parties(standing) })[0].to_json();
    let low = data(Standing::TooLow);
    assert_eq!((&low["minimumStake"], &low["minimumUnstakeDelay"]), (&"0xde0b".into(), &"0x15180".into()));
    assert_eq!(low["paymaster"], low["entityAddress"]);
    assert!(data(Standing::Unstaked)["minimumStake"].is_null(), "that is another code");
}

#[test]
fn auth_020_an_account_with_a_delegation_is_neither_factory_nor_paymaster() {
    let trace = returning(0);
    for delegated in [false, true] {
        let mut parties = parties(Standing::Staked);
        parties.account.delegated = true;
        parties.factory = Some(Party { delegated, ..Party::new(TOKEN, Standing::Staked) });
        parties.paymaster = Some(Party { delegated, ..Party::new(PAYMASTER, Standing::Staked) });
        let broken: Vec<_> = judge(&trace, &parties).into_iter().map(|it| (it.rule, it.entity)).collect();
        let both = [Entity::Factory, Entity::Paymaster].map(|entity| (Rule::Auth020, entity));
        assert_eq!(broken, if delegated { both.to_vec() } else { Vec::new() });
    }
}

#[test]
fn op_062_a_precompile_that_reads_the_state_is_refused() {
    let call = |has_code| {
        let mut trace = returning(0);
        let native = Frame { parent: Some(1), native: true, has_code, code: TOKEN, ..trace.frames[1].clone() };
        trace.frames.push(native);
        trace.acts.push(Act { frame: 1, pc: 0, opcode: opcode::CALL, deed: Deed::Call(2) });
        rules_broken(&trace, &parties(Standing::Staked))
    };
    assert_eq!([call(false), call(true)], [[Rule::Op062], [Rule::Op013]]);
}

#[test]
fn op_062_precompiles_that_depend_on_their_input_alone_may_be_called_where_the_chain_has_them() {
    let call = |number: u64, p256: bool| {
        let mut trace = returning(0);
        let code = Address::from_word(U256::from(number).into());
        trace.frames.push(Frame { parent: Some(1), code, target: code, has_code: false, ..trace.frames[1].clone() });
        trace.acts.push(Act { frame: 1, pc: 0, opcode: opcode::STATICCALL, deed: Deed::Call(2) });
        rules_broken(&trace, &Parties { p256, ..parties(Standing::Staked) })
    };
    (1..=0x11).for_each(|number| assert_eq!(call(number, false), [], "{number:#x}"));
    assert_eq!(
        [call(0x12, true), call(0x101, true), call(0x100, false)],
        [[Rule::Op041], [Rule::Op041], [Rule::Op041]]
    );
    assert_eq!(call(0x100, true), []);
}

#[test]
fn an_exception_is_for_one_entity_one_rule_and_one_slot() {
    let own = access(Entity::Paymaster, PAYMASTER, U256::from(9), false, None);
    let violation = judge(&own, &parties(Standing::Unstaked)).remove(0);
    let covers = |entity, rule: &str, slot: Option<u64>| {
        Exception { entity, rule: rule.into(), slot: slot.map(U256::from) }.covers(&violation)
    };
    assert!(covers(PAYMASTER, "STO-031", None) && covers(PAYMASTER, "STO-031", Some(9)));
    assert!(!covers(PAYMASTER, "STO-031", Some(8)) && !covers(PAYMASTER, "STO-032", None));
    assert!(!covers(SENDER, "STO-031", None));
}
