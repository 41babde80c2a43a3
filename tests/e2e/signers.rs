//! What sponsorships are signed with: keystores, several keys, and their change while signatures are out.

use std::path::PathBuf;

use alloy::{
    primitives::{Address, B256, Bytes},
    sol_types::SolCall,
};
use erc4337::abi::verifying_paymaster;
use serde_json::json;
use session_keys::SecretKey;
use tests::{Stack, anvil::KEYS, stack::NodeProcess};

use crate::attacks::{VERSION, bundle_by_hand, of_key, parse, sponsor, sponsored};

/// A file that is gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = tests::chain::own(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the paymaster contract answers, or does when its owner calls it.
async fn view<C: SolCall>(stack: &Stack, call: C) -> C::Return {
    let to = stack.deployment.paymasters[&VERSION.to_string()];
    let asked = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
    let answer = stack.anvil.ask("eth_call", vec![asked, json!("latest")]).await.unwrap();
    C::abi_decode_returns(&serde_json::from_value::<Bytes>(answer).unwrap()).unwrap()
}

async fn as_owner(stack: &Stack, call: impl SolCall) {
    let owner = view(stack, verifying_paymaster::ownerCall {}).await;
    let paymaster = stack.deployment.paymasters[&VERSION.to_string()];
    stack.anvil.transact_as(owner, paymaster, call.abi_encode()).await.unwrap();
}

/// Who signed the sponsorship, by what the contract hashes.
async fn signer_of(stack: &Stack, op: &serde_json::Value) -> Address {
    let op = parse(op);
    let data = &op.paymaster.as_ref().unwrap().data;
    let bound = |at: usize| data[at..at + 6].iter().fold(0, |seconds, byte| seconds << 8 | u64::from(*byte));
    let validity = erc4337::sponsorship::Validity { until: bound(0), after: bound(6) };
    let entry_point = stack.deployment.entry_points[&VERSION.to_string()];
    let limits = op.paymaster.clone().unwrap();
    let chain = stack.deployment.chain_id;
    let digest: B256 = erc4337::sponsorship::digest(&op, VERSION, &limits, validity, entry_point, chain);
    alloy::primitives::Signature::from_raw(&data[12..]).unwrap().recover_address_from_prehash(&digest).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_while_signatures_of_the_old_one_are_out_and_none_is_refused() {
    let mut stack = Stack::start(&[]).await.unwrap();
    let (client, op) = sponsored(&stack).await;
    let (new, old) = (SecretKey::generate(), SecretKey::from_hex(KEYS[2]).unwrap());
    let files = [File::new("new-key", &new.expose_hex()), File::new("old-key", &old.expose_hex())];
    let arguments: Vec<&str> = files.iter().flat_map(|file| ["--paymaster-key-file", file.path()]).collect();
    let node = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    stack.node = node;

    // The new key comes first, but nobody believes it yet.
    let before = sponsor(&stack, &of_key(&op, 1)).await.unwrap();
    assert_eq!(signer_of(&stack, &before).await, old.address());

    as_owner(&stack, verifying_paymaster::proposeSignerCall { signer: new.address() }).await;
    let hash = view(&stack, verifying_paymaster::getAcceptSignerHashCall { signer: new.address() }).await;
    let proof = new.sign(hash).unwrap().as_bytes();
    as_owner(&stack, verifying_paymaster::acceptSignerCall { signer: new.address(), proof: proof.into() }).await;
    let mut key = 2;
    let after = loop {
        // Within the node's next look at the contract.
        let other = sponsor(&stack, &of_key(&op, key)).await.unwrap();
        if signer_of(&stack, &other).await == new.address() {
            break other;
        }
        assert!(key < 60, "the new key is never taken");
        key += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let signed = [before, after].map(|op| parse(&client.sign(op).unwrap()));
    assert!(bundle_by_hand(&stack, &signed).await, "both keys' signatures are good");

    // Once nothing of the old key's is out, it is forgotten, and the service goes on.
    as_owner(&stack, verifying_paymaster::removeSignerCall { signer: old.address() }).await;
    let last = sponsor(&stack, &of_key(&op, 100)).await.unwrap();
    assert!(bundle_by_hand(&stack, &[parse(&client.sign(last).unwrap())]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_no_paymaster_believes_signs_nothing_and_the_denial_says_so() {
    let mut stack = Stack::start(&[]).await.unwrap();
    let (_, op) = sponsored(&stack).await;
    let file = File::new("nobody", &SecretKey::generate().expose_hex());
    let arguments = ["--paymaster-key-file", file.path()];
    stack.node = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    let (code, message) = sponsor(&stack, &of_key(&op, 1)).await.unwrap_err();
    assert_eq!((code, message.contains("none of our keys is a signer")), (-32050, true), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_s_key_signs_sponsorships() {
    // Of the Web3 Secret Storage definition (PBKDF2); its password is "testpassword".
    const KEYSTORE: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    let key = SecretKey::from_hex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d").unwrap();
    let mut stack = Stack::start(&[]).await.unwrap();
    let (client, op) = sponsored(&stack).await;
    as_owner(&stack, verifying_paymaster::proposeSignerCall { signer: key.address() }).await;
    let hash = view(&stack, verifying_paymaster::getAcceptSignerHashCall { signer: key.address() }).await;
    let proof = key.sign(hash).unwrap().as_bytes();
    as_owner(&stack, verifying_paymaster::acceptSignerCall { signer: key.address(), proof: proof.into() }).await;

    let (keystore, password) =
        (File::new("sponsor-keystore", KEYSTORE), File::new("sponsor-password", "testpassword\n"));
    let arguments = ["--paymaster-keystore", keystore.path(), "--paymaster-keystore-password-file", password.path()];
    stack.node = NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    let signed = sponsor(&stack, &of_key(&op, 1)).await.unwrap();
    assert_eq!(signer_of(&stack, &signed).await, key.address());
    assert!(bundle_by_hand(&stack, &[parse(&client.sign(signed).unwrap())]).await);
}

tests::on_base!(a_key_is_changed_while_signatures_of_the_old_one_are_out_and_none_is_refused,);
