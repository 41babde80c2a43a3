//! Keys at rest: each under a data key of its own, which a passphrase or a KMS wraps.
//!
//! ```text
//!  secret ──XChaCha20-Poly1305(data key, binding)──► ciphertext
//!  data key ──KeyWrapper──► wrapped: argon2id + XChaCha20-Poly1305, or a KMS of one's own
//! ```
//!
//! The binding — account, chain, policy id, expiry, curve — is associated data of both: a stored key opens only as the
//! key of the session it was made for.

use alloy::primitives::{Address, B256, Bytes};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{AeadInPlace, KeyInit},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    SessionKey,
    secret::{SecretBytes, wiped},
    session_key::Curve,
};

/// What a stored key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The account it acts for.
    pub account: Address,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The session's id: the hash of its policy.
    pub policy: B256,
    /// Last second in which it is of use (Unix time).
    pub valid_until: u64,
    /// Which curve it is on.
    pub curve: Curve,
}

/// A key at rest: JSON without a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredKey {
    /// Of this form; 1.
    pub version: u8,
    /// What it belongs to.
    pub binding: Binding,
    /// The data key, as its wrapper wrote it.
    pub wrapped: Bytes,
    /// Nonce of the encryption.
    pub nonce: Bytes,
    /// The key, encrypted.
    pub ciphertext: Bytes,
}

/// Why a key could not be stored or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Written by a version that this one does not know.
    #[error("version: {0} is not known here")]
    Version(u8),
    /// Not encrypted under this passphrase or KMS key, or not for this binding, or altered.
    #[error("the stored key does not open: another passphrase, another binding, or altered")]
    DoesNotOpen,
    /// The session is over: nothing is opened that could only do harm.
    #[error("the session expired at {0}")]
    Expired(u64),
    /// What was opened is no key.
    #[error(transparent)]
    Key(#[from] crate::KeyError),
    /// The key derivation or the KMS failed.
    #[error("the data key could not be wrapped")]
    NotWrapped,
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] crate::secret::NoRandomness),
}

/// Wraps data keys: a passphrase, or a KMS or HSM that does it elsewhere (`Encrypt` and `Decrypt` with an encryption
/// context).
pub trait KeyWrapper {
    /// The data key, wrapped so that it opens only with the same `context`.
    ///
    /// # Errors
    /// If it cannot.
    fn wrap(&self, data_key: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Unwraps into `data_key`.
    ///
    /// # Errors
    /// If it was not wrapped here, or for another context.
    fn unwrap(&self, wrapped: &[u8], context: &[u8], data_key: &mut [u8; 32]) -> Result<(), StoreError>;
}

impl Binding {
    /// Associated data: each field in a place of its own, so that no two bindings share it.
    fn context(&self) -> Vec<u8> {
        let curve = match self.curve {
            Curve::Secp256k1 => 1,
            Curve::P256 => 2,
        };
        [
            b"fabstir session key v1".as_slice(),
            self.account.as_slice(),
            &self.chain_id.to_be_bytes(),
            self.policy.as_slice(),
            &self.valid_until.to_be_bytes(),
            &[curve],
        ]
        .concat()
    }
}

impl StoredKey {
    /// Encrypts a key.
    ///
    /// # Errors
    /// If the wrapper or the operating system fails.
    pub fn seal(key: &SessionKey, binding: Binding, wrapper: &(impl KeyWrapper + ?Sized)) -> Result<Self, StoreError> {
        let binding = Binding { curve: key.curve(), ..binding };
        let context = binding.context();
        let data_key = SecretBytes::random()?;
        let nonce = random::<24>()?;
        let ciphertext = seal(data_key.as_ref(), &nonce, &context, key.secret().as_ref())?;
        let wrapped = wrapper.wrap(data_key.as_ref(), &context)?;
        Ok(Self { version: 1, binding, wrapped: wrapped.into(), nonce: nonce.into(), ciphertext: ciphertext.into() })
    }

    /// Decrypts it, for this account, chain and policy.
    ///
    /// # Errors
    /// If it is not theirs, has expired at `now` (Unix time), or does not open.
    pub fn open(
        &self,
        expected: &Binding,
        now: u64,
        wrapper: &(impl KeyWrapper + ?Sized),
    ) -> Result<SessionKey, StoreError> {
        if self.version != 1 {
            return Err(StoreError::Version(self.version));
        }
        if now > expected.valid_until {
            return Err(StoreError::Expired(expected.valid_until));
        }
        // The binding that is asked for, not the one in the file: an altered file must not choose.
        let context = expected.context();
        let mut data_key = SecretBytes::zeroed();
        wrapper.unwrap(&self.wrapped, &context, data_key.place())?;
        let mut secret = SecretBytes::zeroed();
        open(data_key.as_ref(), &self.nonce, &context, &self.ciphertext, secret.as_mut())?;
        Ok(SessionKey::of(expected.curve, secret)?)
    }
}

/// A passphrase, stretched by argon2id.
#[derive(Clone)]
pub struct Passphrase {
    text: Zeroizing<Vec<u8>>,
    params: Params,
}

impl Passphrase {
    /// 64 MiB, three passes: OWASP's and RFC 9106's second recommendation.
    ///
    /// # Errors
    /// Never: the parameters are in range.
    pub fn new(text: &str) -> Result<Self, StoreError> {
        Self::with_cost(text, 64 * 1024, 3)
    }

    /// With so many KiB of memory and passes; they are stored beside what is wrapped.
    ///
    /// # Errors
    /// If argon2 does not take them.
    pub fn with_cost(text: &str, memory: u32, passes: u32) -> Result<Self, StoreError> {
        let params = Params::new(memory, passes, 1, Some(32)).map_err(|_| StoreError::NotWrapped)?;
        Ok(Self { text: Zeroizing::new(text.as_bytes().to_vec()), params })
    }

    fn stretch(&self, salt: &[u8], params: Params) -> Result<SecretBytes, StoreError> {
        let mut key = SecretBytes::zeroed();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        wiped(|| argon.hash_password_into(&self.text, salt, key.as_mut())).map_err(|_| StoreError::NotWrapped)?;
        Ok(key)
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// `memory (4) ‖ passes (4) ‖ salt (16) ‖ nonce (24) ‖ ciphertext`.
const HEADER: usize = 4 + 4 + 16 + 24;
/// Most KiB that a file may ask for: it must not be able to exhaust the machine.
const MAX_MEMORY: u32 = 1024 * 1024;
/// Most passes that a file may ask for.
const MAX_PASSES: u32 = 64;

impl KeyWrapper for Passphrase {
    fn wrap(&self, data_key: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (salt, nonce) = (random::<16>()?, random::<24>()?);
        let key = self.stretch(&salt, self.params.clone())?;
        let cost = [self.params.m_cost().to_be_bytes(), self.params.t_cost().to_be_bytes()].concat();
        let sealed = seal(key.as_ref(), &nonce, context, data_key)?;
        Ok([cost.as_slice(), &salt, &nonce, &sealed].concat())
    }

    fn unwrap(&self, wrapped: &[u8], context: &[u8], data_key: &mut [u8; 32]) -> Result<(), StoreError> {
        let header = wrapped.get(..HEADER).ok_or(StoreError::DoesNotOpen)?;
        let number = |at: usize| header[at..at + 4].iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let (memory, passes) = (number(0), number(4));
        if memory > MAX_MEMORY || passes > MAX_PASSES {
            return Err(StoreError::DoesNotOpen);
        }
        let params = Params::new(memory, passes, 1, Some(32)).map_err(|_| StoreError::DoesNotOpen)?;
        let key = self.stretch(&header[8..24], params)?;
        open(key.as_ref(), &header[24..], context, &wrapped[HEADER..], data_key)
    }
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| crate::secret::NoRandomness)?;
    Ok(bytes)
}

/// Encrypts 32 bytes: ciphertext, then tag.
fn seal(key: &[u8; 32], nonce: &[u8; 24], context: &[u8], plain: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
    let mut buffer = SecretBytes::copy_of(plain);
    let nonce = XNonce::from(*nonce);
    let tag = wiped(|| XChaCha20Poly1305::new(key.into()).encrypt_in_place_detached(&nonce, context, buffer.as_mut()));
    let tag = tag.map_err(|_| StoreError::NotWrapped)?;
    Ok([buffer.as_ref().as_slice(), &tag].concat())
}

fn open(key: &[u8; 32], nonce: &[u8], context: &[u8], sealed: &[u8], plain: &mut [u8]) -> Result<(), StoreError> {
    let nonce = <[u8; 24]>::try_from(nonce).map_err(|_| StoreError::DoesNotOpen)?;
    if sealed.len() != 48 || plain.len() != 32 {
        return Err(StoreError::DoesNotOpen);
    }
    plain.copy_from_slice(&sealed[..32]);
    let tag = <[u8; 16]>::try_from(&sealed[32..]).map_err(|_| StoreError::DoesNotOpen)?;
    let (nonce, tag) = (XNonce::from(nonce), tag.into());
    wiped(|| XChaCha20Poly1305::new(key.into()).decrypt_in_place_detached(&nonce, context, plain, &tag))
        .map_err(|_| StoreError::DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(curve: Curve) -> Binding {
        Binding {
            account: Address::repeat_byte(1),
            chain_id: 8453,
            policy: B256::repeat_byte(2),
            valid_until: 1_000,
            curve,
        }
    }

    fn quick(text: &str) -> Passphrase {
        Passphrase::with_cost(text, 64, 1).unwrap()
    }

    #[test]
    fn a_stored_key_opens_with_its_passphrase_for_its_session_and_nothing_else() {
        for curve in [Curve::Secp256k1, Curve::P256] {
            let key = SessionKey::generate(curve).unwrap();
            let binding = binding(curve);
            let stored = StoredKey::seal(&key, binding, &quick("correct")).unwrap();
            let json = serde_json::to_string(&stored).unwrap();
            let stored: StoredKey = serde_json::from_str(&json).unwrap();
            assert_eq!(stored.open(&binding, 1_000, &quick("correct")).unwrap().public(), key.public());

            let closed = |binding: &Binding, text: &str| stored.open(binding, 0, &quick(text)).unwrap_err();
            assert_eq!(closed(&binding, "Correct"), StoreError::DoesNotOpen);
            let other_curve = if curve == Curve::P256 { Curve::Secp256k1 } else { Curve::P256 };
            let others = [
                Binding { account: Address::repeat_byte(9), ..binding },
                Binding { chain_id: 1, ..binding },
                Binding { policy: B256::repeat_byte(9), ..binding },
                Binding { valid_until: 2_000, ..binding },
                Binding { curve: other_curve, ..binding },
            ];
            for other in others {
                assert_eq!(closed(&other, "correct"), StoreError::DoesNotOpen, "{other:?}");
            }
            assert_eq!(stored.open(&binding, 1_001, &quick("correct")).unwrap_err(), StoreError::Expired(1_000));
        }
    }

    #[test]
    fn no_byte_of_a_stored_key_can_be_altered() {
        let key = SessionKey::generate(Curve::Secp256k1).unwrap();
        let stored = StoredKey::seal(&key, binding(Curve::Secp256k1), &quick("correct")).unwrap();
        let flip = |bytes: &Bytes, at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            Bytes::from(bytes)
        };
        for at in 8..stored.wrapped.len() {
            let altered = StoredKey { wrapped: flip(&stored.wrapped, at), ..stored.clone() };
            assert!(altered.open(&binding(Curve::Secp256k1), 0, &quick("correct")).is_err(), "wrapped {at}");
        }
        for at in 0..stored.ciphertext.len() {
            let altered = StoredKey { ciphertext: flip(&stored.ciphertext, at), ..stored.clone() };
            assert!(altered.open(&binding(Curve::Secp256k1), 0, &quick("correct")).is_err(), "ciphertext {at}");
        }
        // A file that asks for a terabyte is refused before it gets it.
        let mut greedy = stored.wrapped.to_vec();
        greedy[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        let greedy = StoredKey { wrapped: greedy.into(), ..stored };
        let refused = greedy.open(&binding(Curve::Secp256k1), 0, &quick("correct"));
        assert_eq!(refused.unwrap_err(), StoreError::DoesNotOpen);
    }

    /// A KMS that is down, or answers with another data key.
    struct Failing {
        wraps: bool,
        opens: Option<u8>,
    }

    impl KeyWrapper for Failing {
        fn wrap(&self, _: &[u8; 32], context: &[u8]) -> Result<Vec<u8>, StoreError> {
            if self.wraps { Ok(context.to_vec()) } else { Err(StoreError::NotWrapped) }
        }

        fn unwrap(&self, _: &[u8], _: &[u8], data_key: &mut [u8; 32]) -> Result<(), StoreError> {
            data_key.fill(self.opens.ok_or(StoreError::NotWrapped)?);
            Ok(())
        }
    }

    #[test]
    fn a_kms_that_fails_or_lies_opens_nothing_and_stores_nothing() {
        let key = SessionKey::generate(Curve::P256).unwrap();
        let binding = binding(Curve::P256);
        let down = Failing { wraps: false, opens: None };
        assert_eq!(StoredKey::seal(&key, binding, &down).unwrap_err(), StoreError::NotWrapped);
        let lying = Failing { wraps: true, opens: Some(7) };
        let stored = StoredKey::seal(&key, binding, &lying).unwrap();
        assert_eq!(stored.open(&binding, 0, &lying).unwrap_err(), StoreError::DoesNotOpen);
        assert_eq!(stored.open(&binding, 0, &down).unwrap_err(), StoreError::NotWrapped);
    }
}
