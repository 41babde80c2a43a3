//! What each new block does to operations that wait: those that rest on what it changed are validated again.

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol_types::SolCall,
};
use erc4337::{EntryPointVersion, UserOperation, abi::entry_point_v08::depositToCall};
use serde_json::json;
use session_keys::SecretKey;
use tests::{
    Bench,
    anvil::KEYS,
    bench::{answer, answer_from, window},
    patience::until,
    programs::{
        asm::op,
        helpers,
        piece::{Access, CallKind, Piece, Who, Word},
    },
};

/// An account by EIP-7702 that somebody holds the key of, and its delegations, for real.
struct Delegator {
    key: SecretKey,
    delegations: u64,
}

impl Delegator {
    fn new() -> Self {
        Self { key: SecretKey::generate(), delegations: 0 }
    }

    async fn delegate(&mut self, bench: &Bench, to: Address) {
        let auth = alloy::eips::eip7702::Authorization {
            chain_id: U256::from(bench.stack.deployment.chain_id),
            address: to,
            nonce: self.delegations,
        };
        self.delegations += 1;
        let signature = self.key.sign(auth.signature_hash()).unwrap();
        let from = SecretKey::from_hex(KEYS[3]).unwrap().address();
        let list = json!([auth.into_signed(signature)]);
        let tx = json!({ "from": from, "to": helpers::STOP, "gas": "0x30d40", "authorizationList": list });
        let sent = bench.anvil("eth_sendTransaction", vec![tx]).await;
        let receipt = async || bench.anvil("eth_getTransactionReceipt", vec![sent.clone()]).await;
        until("the delegation is mined", async || !receipt().await.is_null()).await;
        let code = bench.anvil("eth_getCode", vec![json!(self.key.address()), json!("latest")]).await;
        assert_eq!(code, json!(helpers::delegation(to)));
    }
}

/// Asks a contract to read this slot of its storage, which is the sender's by association.
fn read_in(contract: Address, x: u64) -> Piece {
    let slot = Word::associated(Who::Sender, x, 0);
    Piece::Store { access: Access::Sload, slot, at: Who::Literal(contract), route: vec![CallKind::Call] }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_read_a_slot_that_changed_is_validated_again_and_what_did_not_stays() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let scenarios = (0..3).map(|_| bench.account(vec![answer_from(5)]));
    let [changed, untouched, unread] = bench.place(scenarios).await.try_into().unwrap();
    let of_changed = bench.send(&changed).await.unwrap();
    let of_untouched = bench.send(&untouched).await.unwrap();
    let of_unread = bench.send(&unread).await.unwrap();

    bench.write(unread.sender, U256::from(6)).await;
    bench.write(changed.sender, U256::from(5)).await;
    assert_eq!(bench.reason(of_changed).await, "signature: AA24 signature error");
    for stays in [of_untouched, of_unread] {
        assert_eq!(bench.status(stays).await["status"], "pending");
    }
    bench.bundle().await;
    bench.until(of_untouched, "included").await;
    bench.until(of_unread, "included").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_valid_after_what_it_read_has_changed_stays() {
    let bench = Bench::new(EntryPointVersion::V0_7).await;
    let op = bench.place([bench.account(vec![read_in(helpers::STORE, 3)])]).await.remove(0);
    let hash = bench.send(&op).await.unwrap();
    let slot = alloy::primitives::keccak256([op.sender.into_word().0, U256::from(3).to_be_bytes()].concat());
    bench.write(helpers::STORE, slot.into()).await;
    bench.catch_up().await;
    assert_eq!(bench.status(hash).await["status"], "pending");
    bench.bundle().await;
    bench.until(hash, "included").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cod_010_a_sender_that_delegates_anew_is_validated_afresh() {
    // Code of a contract stays, and an EIP-7702 account other than the sender may not be called (AUTH-030): on a chain of
    // today only the sender's own code changes.
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let mut own = Delegator::new();
    let sender = own.key.address();
    // Delegates of the sender: two that agree to everything, and one that says "signature failed".
    let agreeing = bench.account(vec![Piece::opcode(op::ADDRESS)]);
    let all = [bench.account(vec![]), agreeing, bench.account(vec![answer(U256::ONE)])];
    let [first, second, refusing] = bench.place(all).await.try_into().unwrap();
    let deposit = Bytes::from(depositToCall { account: sender }.abi_encode());
    bench.stack.anvil.transact(Some(bench.entry_point), deposit, parse_ether("1").unwrap()).await.unwrap();
    own.delegate(&bench, first.sender).await;
    bench.catch_up().await;
    let hash = bench.send(&UserOperation { sender, ..first.clone() }).await.unwrap();
    own.delegate(&bench, second.sender).await;
    bench.catch_up().await;
    assert_eq!(bench.status(hash).await["status"], "pending");
    own.delegate(&bench, refusing.sender).await;
    let reason = bench.reason(hash).await;
    assert!(reason.contains("AA24"), "{reason}");
    // And what it calls may not be such an account.
    let calls = Piece::call(CallKind::Call, Who::Literal(sender));
    let [caller] = bench.place([bench.account(vec![calls])]).await.try_into().unwrap();
    let refused = bench.send(&caller).await.unwrap_err();
    assert_eq!((refused.code, &refused.data["rule"]), (-32502, &json!("AUTH-030")), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_while_it_waits_is_dropped_and_what_lasts_is_not() {
    for version in [EntryPointVersion::V0_6, EntryPointVersion::V0_8] {
        let bench = Bench::new(version).await;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let until = |seconds: u64| bench.account(vec![answer(window(now + seconds, 0))]);
        let [short, brief, long] = bench.place([until(1), until(60), until(3_600)]).await.try_into().unwrap();
        let too_short = bench.send(&short).await.unwrap_err();
        assert_eq!(too_short.code, -32503, "{}", too_short.message);
        let (of_brief, of_long) = (bench.send(&brief).await.unwrap(), bench.send(&long).await.unwrap());

        bench.anvil("evm_increaseTime", vec![json!(120)]).await;
        bench.anvil("evm_mine", vec![]).await;
        assert_eq!(bench.reason(of_brief).await, "its validity is over");
        assert_eq!(bench.status(of_long).await["status"], "pending");
        bench.bundle().await;
        bench.until(of_long, "included").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_used_by_somebody_elses_bundle_ends_the_operation_that_waits_for_it() {
    let bench = Bench::new(EntryPointVersion::V0_8).await;
    let [op, other] = bench.place([bench.account(vec![]), bench.account(vec![])]).await.try_into().unwrap();
    let (of_op, of_other) = (bench.send(&op).await.unwrap(), bench.send(&other).await.unwrap());
    let elsewhere = erc4337::UserOperation { signature: Bytes::from_static(b"another"), ..op.clone() };
    let mine = SecretKey::from_hex(KEYS[3]).unwrap().address();
    let bundle = erc4337::pack::handle_ops(bench.version, [&elsewhere], mine);
    let tx = json!({ "from": mine, "to": bench.entry_point, "data": bundle, "gas": "0x500000" });
    bench.anvil("eth_sendTransaction", vec![tx]).await;
    // The signature is no part of the hash: it is this very operation that was mined.
    bench.until(of_op, "included").await;
    assert_eq!(bench.status(of_other).await["status"], "pending");

    let waits = bench.send(&tests::bench::with_nonce(&op, 0, 1)).await.unwrap();
    let elsewhere = erc4337::UserOperation { call_gas_limit: 77, ..tests::bench::with_nonce(&op, 0, 1) };
    let bundle = erc4337::pack::handle_ops(bench.version, [&elsewhere], mine);
    let tx = json!({ "from": mine, "to": bench.entry_point, "data": bundle, "gas": "0x500000" });
    bench.anvil("eth_sendTransaction", vec![tx]).await;
    assert_eq!(bench.reason(waits).await, "its nonce was used by another operation");
}

tests::on_base!(
    what_read_a_slot_that_changed_is_validated_again_and_what_did_not_stays,
    what_is_still_valid_after_what_it_read_has_changed_stays,
    cod_010_a_sender_that_delegates_anew_is_validated_afresh,
    what_expires_while_it_waits_is_dropped_and_what_lasts_is_not,
    a_nonce_used_by_somebody_elses_bundle_ends_the_operation_that_waits_for_it,
);
