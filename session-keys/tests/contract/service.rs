//! The signing service beside the account that checks what it signed.

use alloy::{
    primitives::{B256, Bytes, U256, keccak256},
    sol_types::{SolCall, SolValue},
};
use erc4337::{UserOperation, abi::smart_account::isValidSignatureCall, calls};
use session_keys::{
    SecretKey, SessionKey,
    policy::{VoucherRight, marketplace::voucher_type_hash, summary::Names},
    service::{Event, Refusal, Request, Service, State, Voucher, VoucherTerms, entry_hash},
};

use crate::{
    chain::{CHAIN, Chain},
    random::START,
    stolen::{DAY, MERCHANT, merchant_policy, operation, pay},
};

const DOMAIN: B256 = B256::repeat_byte(0xd0);

fn service() -> (Chain, Service, B256) {
    let chain = Chain::new(START + 5);
    let key = SessionKey::Secp256k1(SecretKey::generate());
    let mut policy = merchant_policy(&chain, &key, DAY, 100, 250);
    let right = VoucherRight {
        domain_separator: DOMAIN,
        type_hash: voucher_type_hash(),
        amount_field: 1,
        max_amount: U256::from(1_000),
    };
    policy.vouchers.push(right);
    let owner = chain.owner.sign(policy.digest(CHAIN, chain.place.account).unwrap()).unwrap();
    let mut service = Service::new(CHAIN, chain.place.entry_point, chain.place.version);
    let terms = VoucherTerms { ceiling: U256::from(1_500), per_window: U256::from(600), window: 60 };
    let request = Request { account: chain.place.account, policy, vouchers: Some(terms), replaces: None };
    let id = service.request(request, key, &Names::default(), START).unwrap();
    let early = service.sign_operation(id, &payment(&chain, id, 0, 1), chain.time);
    assert_eq!((early, service.state(id)), (Err(Refusal::NotGranted), Some(State::Requested)));
    service.grant(id, owner.as_bytes().into(), START).unwrap();
    (chain, service, id)
}

fn payment(chain: &Chain, id: B256, sequence: u64, amount: u128) -> UserOperation {
    operation(chain, id, 0, 0, sequence, calls::encode(&[pay(chain, MERCHANT, amount)]))
}

#[test]
fn what_the_service_signs_the_account_takes_and_what_is_in_flight_counts() {
    let (mut chain, mut service, id) = service();
    let now = chain.time;
    let sign = |service: &mut Service, chain: &Chain, sequence, amount| {
        let op = payment(chain, id, sequence, amount);
        service.sign_operation(id, &op, now).map(|signature| UserOperation { signature, ..op })
    };
    let replaced = sign(&mut service, &chain, 0, 60).unwrap();
    let first = sign(&mut service, &chain, 0, 50).unwrap();
    // Of two for one nonce the larger is set aside, once.
    assert!(matches!(sign(&mut service, &chain, 1, 41), Err(Refusal::Violation(_))));
    let second = sign(&mut service, &chain, 1, 40).unwrap();
    chain.handle_ops(MERCHANT, &[first]).unwrap();
    assert!(chain.handle_ops(MERCHANT, &[replaced]).is_err());
    assert_eq!(service.state(id), Some(State::Active));

    // The chain has used the first nonce: what was set aside for it is what it really took.
    let counters = chain.counters(id, 1);
    let used = second.nonce;
    service.observe(id, counters, |nonce| nonce < used, now).unwrap();
    let third = sign(&mut service, &chain, 2, 10).unwrap();
    assert!(matches!(sign(&mut service, &chain, 3, 1), Err(Refusal::Violation(_))));
    chain.handle_ops(MERCHANT, &[second, third]).unwrap();
    assert_eq!(chain.tokens(MERCHANT), U256::from(100));

    service.revoke(id, now).unwrap();
    assert_eq!(sign(&mut service, &chain, 3, 0).unwrap_err(), Refusal::Over);
    // A chain that does not know it yet undoes no revocation.
    let counters = chain.counters(id, 1);
    service.observe(id, counters, |_| true, now).unwrap();
    assert_eq!(service.state(id), Some(State::Revoked));
}

#[test]
fn the_signature_is_for_the_operation_that_was_judged() {
    let (mut chain, mut service, id) = service();
    let op = payment(&chain, id, 0, 1);
    let signature = service.sign_operation(id, &op, chain.time).unwrap();
    let other = UserOperation { signature, ..payment(&chain, id, 0, 2) };
    assert!(chain.handle_ops(MERCHANT, &[other]).is_err());
    let elsewhere = UserOperation { sender: MERCHANT, ..op };
    assert_eq!(service.sign_operation(id, &elsewhere, chain.time).unwrap_err(), Refusal::Sender(MERCHANT));
}

#[test]
fn vouchers_are_a_right_apart_with_a_ceiling_and_a_rate() {
    let (mut chain, mut service, id) = service();
    let now = chain.time;
    let voucher = |conversation: u8, amount: u64| Voucher {
        session: B256::repeat_byte(conversation),
        cumulative_amount: U256::from(amount),
        tokens: U256::from(7),
        transcript_root: B256::repeat_byte(8),
    };
    let signature = service.sign_voucher(id, DOMAIN, &voucher(1, 500), now).unwrap();
    // The account says the same of it, once it knows the session.
    let op = payment(&chain, id, 0, 1);
    let signed = service.sign_operation(id, &op, now).unwrap();
    chain.handle_ops(MERCHANT, &[UserOperation { signature: signed, ..op }]).unwrap();
    let valid = |chain: &mut Chain, voucher: Voucher, signature: Bytes| {
        let Voucher { session, cumulative_amount, tokens, transcript_root } = voucher;
        let fields = (voucher_type_hash(), session, cumulative_amount, tokens, transcript_root).abi_encode();
        let hash = keccak256([b"\x19\x01".as_slice(), DOMAIN.as_slice(), keccak256(fields).as_slice()].concat());
        let account = chain.place.account;
        chain.call(MERCHANT, account, isValidSignatureCall { hash, signature }.abi_encode()).unwrap()[..4].to_vec()
    };
    assert_eq!(valid(&mut chain, voucher(1, 500), signature.clone()), [0x16, 0x26, 0xba, 0x7e]);
    assert_ne!(valid(&mut chain, voucher(1, 501), signature), [0x16, 0x26, 0xba, 0x7e]);

    let mut refused = |conversation, amount, at| service.sign_voucher(id, DOMAIN, &voucher(conversation, amount), at);
    assert_eq!(refused(1, 499, now), Err(Refusal::Backwards));
    assert_eq!(refused(1, 1_001, now), Err(Refusal::AboveCeiling { most: U256::from(1_000) }));
    let too_fast = Refusal::TooFast { left: U256::from(100), until: START + 60 };
    assert_eq!(refused(2, 101, now), Err(too_fast));
    assert!(refused(2, 600, START + 60).is_ok());
    assert!(refused(3, 400, START + 120).is_ok());
    assert_eq!(refused(3, 401, START + 180), Err(Refusal::AboveCeiling { most: U256::from(400) }));
    let other = service.sign_voucher(id, B256::ZERO, &voucher(1, 501), START + 240);
    assert_eq!(other, Err(Refusal::NoVoucherRight));
}

#[test]
fn a_successor_signs_beside_its_predecessor_until_that_is_revoked_and_the_log_cannot_be_shortened() {
    let (chain, mut service, old) = service();
    let now = chain.time;
    let key = SessionKey::Secp256k1(SecretKey::generate());
    let policy = merchant_policy(&chain, &key, DAY, 100, 250);
    let owner = chain.owner.sign(policy.digest(CHAIN, chain.place.account).unwrap()).unwrap();
    let request = Request { account: chain.place.account, policy, vouchers: None, replaces: Some(old) };
    let new = service.request(request, key, &Names::default(), now).unwrap();
    service.grant(new, owner.as_bytes().into(), now).unwrap();
    for id in [old, new] {
        service.sign_operation(id, &payment(&chain, id, 0, 1), now).unwrap();
    }
    assert_eq!((service.state(old), service.state(new)), (Some(State::Rotating), Some(State::Active)));
    service.revoke(old, now).unwrap();
    assert_eq!(service.sign_operation(old, &payment(&chain, old, 1, 1), now), Err(Refusal::Over));
    service.sign_operation(new, &payment(&chain, new, 1, 1), now).unwrap();
    let late = START + 3 * DAY;
    assert_eq!(service.sign_operation(new, &payment(&chain, new, 2, 1), late), Err(Refusal::Over));

    let mut before = B256::ZERO;
    for entry in service.log() {
        before = entry_hash(before, entry.time, entry.id, &entry.event);
        assert_eq!(entry.hash, before);
    }
    let revoked = |event: &Event| *event == Event::StateChanged { state: State::Revoked };
    assert_eq!(service.log().iter().filter(|entry| entry.id == old && revoked(&entry.event)).count(), 1);
}
