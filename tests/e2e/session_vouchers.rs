//! A conversation paid by the Rust client, and what is left of a key in the node's memory.

use alloy::{
    primitives::{
        Address, B256, Bytes, FixedBytes, U256,
        aliases::{U40, U80, U88},
    },
    sol_types::{SolCall, SolStruct, SolValue},
};
use erc4337::abi::{
    node_registry,
    session_marketplace::{
        ISessionMarketplace::{SessionQuote, Voucher as OnChain},
        closeDigestCall, settleCall,
    },
    smart_account, test_usdc,
};
use serde_json::{Value, json};
use session_keys::{
    SecretKey, SessionKey,
    client::{Chat, ClientFailure, Session, SessionClient},
    service::Voucher,
    session_key::Curve,
    store::{Passphrase, StoredKey},
    vault::Vault,
};

use crate::session_keys::{World, daily};

/// Base units for a million tokens.
const PRICE: u64 = 30_000_000;

/// A host that is a plain key: registered, with capacity.
async fn host(world: &World) -> SecretKey {
    let (anvil, at) = (&world.stack.anvil, world.marketplace());
    let key = SecretKey::generate();
    let stake = U256::from(100_000_000);
    let mint = test_usdc::mintCall { to: key.address(), amount: stake };
    anvil.transact(Some(at.token), mint.abi_encode(), U256::ZERO).await.unwrap();
    let approve = test_usdc::approveCall { spender: at.escrow, value: stake };
    anvil.transact_as(key.address(), at.token, approve.abi_encode()).await.unwrap();
    let register = node_registry::registerCall {
        stake,
        capacity: 8,
        profile: node_registry::INodeRegistry::Profile {
            endpoint: "https://host.example/v1".into(),
            metadataHash: B256::ZERO,
            region: FixedBytes::ZERO,
            hardware: FixedBytes::ZERO,
        },
        offers: vec![node_registry::INodeRegistry::Offer {
            modelId: world.stack.deployment.models[fabstir::deploy::DEMO_MODEL],
            token: at.token,
            pricePerMillion: U80::from(PRICE),
        }],
    };
    anvil.transact_as(key.address(), world.stack.deployment.node_registry, register.abi_encode()).await.unwrap();
    key
}

async fn granted(world: &World, data: Value) -> (SecretKey, Address, SessionClient, Session) {
    let (owner, user) = world.owner(100_000_000).await;
    let client = SessionClient::create(&world.stack.node.url, Curve::Secp256k1).await.unwrap();
    let asked = client.request(&world.request(&owner, user.account, client.to, data)).await.unwrap();
    let digest = asked.policy.digest(world.stack.deployment.chain_id, user.account).unwrap();
    let session = asked.grant(user.account, &owner.sign(digest).unwrap().as_bytes()).await.unwrap();
    (owner, user.account, client, session)
}

async fn view<T: SolValue + From<<T::SolType as alloy::sol_types::SolType>::RustType>>(
    world: &World,
    to: Address,
    data: Vec<u8>,
) -> T {
    let call = json!({ "to": to, "data": Bytes::from(data) });
    let answer = world.stack.anvil.ask("eth_call", vec![call, json!("latest")]).await.unwrap();
    T::abi_decode(&serde_json::from_value::<Bytes>(answer).unwrap()).unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientFailure>) -> String {
    match result {
        Err(ClientFailure::Rpc(jsonrpsee::core::ClientError::Call(error))) => error.message().to_owned(),
        other => panic!("expected a refusal: {other:?}"),
    }
}

/// A host, an account, its client and session, and a conversation of theirs with a deposit of 1,000,000.
pub(crate) async fn conversation(world: &World) -> (SecretKey, Address, SessionClient, Session, Chat) {
    let host = host(world).await;
    let at = world.marketplace();
    let mut data = daily(2_000_000);
    data["maxVoucher"] = json!("0x7530");
    data["vouchersPerMinute"] = json!("0x2710");
    data["jobs"] = json!(false);
    let (_, account, client, session) = granted(world, data).await;

    let quote = SessionQuote {
        host: host.address(),
        payer: Address::ZERO,
        modelId: world.stack.deployment.models[fabstir::deploy::DEMO_MODEL],
        token: at.token,
        pricePerMillion: U80::from(PRICE),
        minDeposit: U88::from(1),
        maxDeposit: U88::from(1_000_000_000),
        duration: 3_600,
        validUntil: U40::from(4_000_000_000_u64),
    };
    let offer = host.sign(quote.eip712_signing_hash(&at.session_domain())).unwrap().as_bytes();
    let chat = session.open_chat(&at, quote, offer.into(), U256::from(1_000_000)).await.unwrap();
    (host, account, client, session, chat)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_opened_paid_and_closed_by_the_rust_client() {
    let world = World::start("vouchers").await;
    let at = world.marketplace();
    let (host, account, client, session, mut chat) = conversation(&world).await;

    // Each voucher is for all so far; the marketplace pays the last one.
    let mut last = None;
    for (text, tokens) in [("one", 100), ("two", 50), ("three", 83)] {
        last = Some(chat.sign_voucher(text, tokens).await.unwrap());
    }
    let (voucher, signature) = last.unwrap();
    let Voucher { session: conversation, cumulative_amount, tokens, transcript_root } = voucher;
    assert_eq!((tokens, cumulative_amount), (U256::from(233), U256::from(6_990)));
    let settle = |amount: U256, signature: &Bytes| {
        let voucher =
            OnChain { sessionId: conversation, cumulativeAmount: amount, tokens, transcriptRoot: transcript_root };
        settleCall { voucher, signature: signature.clone() }.abi_encode()
    };
    let paid: U256 = view(&world, at.sessions, settle(cumulative_amount, &signature)).await;
    assert_eq!(paid, cumulative_amount);
    let altered =
        json!({ "to": at.sessions, "data": Bytes::from(settle(cumulative_amount - U256::from(1), &signature)) });
    world
        .stack
        .anvil
        .ask("eth_call", vec![altered, json!("latest")])
        .await
        .expect_err("another amount than was signed");
    world.stack.anvil.transact_as(host.address(), at.sessions, settle(cumulative_amount, &signature)).await.unwrap();

    // A right apart, with a rate and a ceiling, and nobody goes back.
    let why = refusal(chat.sign_voucher("much", 200).await);
    assert!(why.starts_with("cumulativeAmount: 3010 is left until "), "{why}");
    let ask = |amount: u64| {
        let voucher = Voucher { cumulative_amount: U256::from(amount), ..voucher };
        client.ask("fabstir_signVoucher", json!({ "permissionContext": session.context, "voucher": voucher }))
    };
    assert_eq!(refusal(ask(30_001).await), "cumulativeAmount: 30000 is the most");
    assert_eq!(refusal(ask(6_989).await), "cumulativeAmount: below what was already vouched for");

    // The host agrees to end it there; the rest comes back at once.
    let digest = closeDigestCall { sessionId: conversation, finalAmount: cumulative_amount, validUntil: U256::MAX };
    let digest: B256 = view(&world, at.sessions, digest.abi_encode()).await;
    let consent = host.sign(digest).unwrap().as_bytes();
    chat.close(cumulative_amount, U256::MAX, consent.into()).await.unwrap();
    let balance: U256 = view(&world, at.token, test_usdc::balanceOfCall { account }.abi_encode()).await;
    let credit = erc4337::abi::payment_escrow::creditOfCall { account, token: at.token };
    let credit: U256 = view(&world, at.escrow, credit.abi_encode()).await;
    assert_eq!(balance + credit, U256::from(100_000_000) - cumulative_amount);
}

/// What is stored of a session's key.
fn stored_key(world: &World, session: B256, copy: &str) -> Option<StoredKey> {
    let copy = world.folder.join(copy);
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(world.folder.join("store")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    Vault::open(&copy, world.stack.deployment.chain_id).unwrap().0.session(session).unwrap().unwrap().key
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_revoked_key_is_left_in_the_nodes_memory() {
    let world = World::start("memory").await;
    let (owner, account, _, session) = granted(&world, daily(1_000_000)).await;
    let at = world.marketplace();
    let approve = test_usdc::approveCall { spender: at.escrow, value: U256::from(1) }.abi_encode();
    let approve = erc4337::calls::Call { target: at.token, value: U256::ZERO, data: approve.into() };
    session.act(&[approve]).await.unwrap();

    // The key, from a copy of the store: the node has the store itself.
    let stored = stored_key(&world, session.context, "before").unwrap();
    let wrapper = Passphrase::new("correct horse").unwrap();
    let SessionKey::Secp256k1(key) = stored.open(&stored.binding, 0, &wrapper).unwrap() else {
        panic!("another curve")
    };
    let secret: B256 = key.expose_hex().parse().unwrap();

    let node = world.stack.node.pid().unwrap();
    let alive = crate::scan::found(node, &secret);
    assert!(!alive.is_empty(), "the key is in use, and the scan does not find it");
    let on_chain = session.revoke().await.unwrap();
    let left = crate::scan::found(node, &secret);
    assert!(left.is_empty(), "after the revocation, in the node's memory: {left:#?}");
    println!("{} traces of the key in the node while it is in use, none after its revocation", alive.len());

    // Nor on disk: what is stored of it is gone. The owner tells the chain.
    world.stack.anvil.transact_as(owner.address(), on_chain.target, on_chain.data).await.unwrap();
    let state = smart_account::getSessionCall { id: session.context }.abi_encode();
    let (status, _, _): (U256, U256, U256) = view(&world, account, state).await;
    assert_eq!(status, U256::from(2));
    assert_eq!(stored_key(&world, session.context, "after"), None);
}

tests::on_base!(a_conversation_is_opened_paid_and_closed_by_the_rust_client,);
