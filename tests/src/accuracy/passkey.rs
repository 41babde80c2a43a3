//! A passkey in software: what browser and authenticator make of a challenge, encoded as `PasskeyVerifier.sol` reads it.

use alloy::{
    primitives::{B256, Bytes, U256, keccak256},
    sol_types::SolValue,
};
use anyhow::{Context, Result};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use session_keys::PublicKey;
use sha2::{Digest, Sha256};

/// What browsers put before and after the challenge.
const BEFORE: &str = r#"{"type":"webauthn.get","challenge":""#;
const AFTER: &str = r#"","origin":"https://app.example","crossOrigin":false}"#;
/// Where `"challenge"` and `"type"` begin.
const CHALLENGE_AT: u64 = 23;
const TYPE_AT: u64 = 1;
/// First byte of a passkey's signature.
const PASSKEY: u8 = 0x01;

/// Signs with a key of this process.
#[derive(Debug)]
pub(super) struct Passkey {
    key: SigningKey,
    x: B256,
    y: B256,
}

impl Passkey {
    /// The key that these throws make.
    pub(super) fn of(seed: u64) -> Result<Self> {
        let key = SigningKey::from_slice(keccak256(seed.to_be_bytes()).as_slice())?;
        let point = key.verifying_key().to_encoded_point(false);
        let x = B256::from_slice(point.x().context("no x")?);
        let y = B256::from_slice(point.y().context("no y")?);
        Ok(Self { key, x, y })
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey::P256 { x: self.x, y: self.y }
    }

    /// `0x01 ‖ x ‖ y ‖ abi.encode(r, s, challengeIndex, typeIndex, authenticatorData, clientDataJSON)`, with low `s`.
    pub(super) fn sign(&self, digest: B256) -> Bytes {
        // The relying party, flags for a user who was present and verified, and how often the key signed.
        let authenticator = [sha256(b"app.example").as_slice(), &[5, 0, 0, 0, 9]].concat();
        let client = format!("{BEFORE}{}{AFTER}", base64url(digest.as_slice()));
        let signed = [authenticator.as_slice(), sha256(client.as_bytes()).as_slice()].concat();
        let signature: Signature = self.key.sign(&signed);
        let (r, s) = signature.normalize_s().unwrap_or(signature).split_bytes();
        let (r, s) = (U256::from_be_slice(&r), U256::from_be_slice(&s));
        let (challenge_at, type_at) = (U256::from(CHALLENGE_AT), U256::from(TYPE_AT));
        let assertion = (r, s, challenge_at, type_at, Bytes::from(authenticator), client).abi_encode_params();
        [&[PASSKEY], self.x.as_slice(), self.y.as_slice(), &assertion].concat().into()
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Base64 of the URL alphabet, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[word >> (18 - 6 * place) & 63]));
        }
    }
    text
}
