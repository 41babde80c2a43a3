//! The key that bundles are sent from, wherever it is kept.
//!
//! ```text
//!  hex in a file or the environment ─┐
//!  Web3 Secret Storage v3 + password ─┼─► Signer ── sign_hash, sign_transaction
//!  AWS KMS (feature `aws-kms`) ───────┘
//! ```
//!
//! Signing is asynchronous because a KMS is across the network; a key in memory answers at once. No error and no
//! `Debug` holds a byte of a secret.

use std::path::Path;

use alloy::{
    consensus::{SignableTransaction, Signed},
    primitives::{Address, B256, Signature},
    signers::{SignerSync, local::PrivateKeySigner},
};

/// A signing key. Cheap to clone.
#[derive(Clone)]
pub enum Signer {
    /// In this process's memory, raw or from a keystore.
    Local(PrivateKeySigner),
    /// In AWS KMS: the key never leaves it.
    #[cfg(feature = "aws-kms")]
    AwsKms(alloy::signers::aws::AwsSigner),
}

/// Why there is no signer, or no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The keystore file cannot be read.
    #[error("keystore {file} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// As the system put it.
        reason: std::io::ErrorKind,
    },
    /// It is no keystore of Web3 Secret Storage v3.
    #[error("keystore {0} is no Web3 Secret Storage of version 3")]
    NoKeystore(String),
    /// The password does not open it.
    #[error("the password does not open keystore {0}")]
    WrongPassword(String),
    /// The key refused, or its keeper did not answer.
    #[error("not signed: {0}")]
    Refused(String),
}

impl Signer {
    /// Opens a keystore of Web3 Secret Storage v3. Slow on purpose: the file says how much work a password costs.
    ///
    /// # Errors
    /// If it cannot be read, is no keystore, or the password is wrong. None of them holds a secret.
    pub fn keystore(file: &Path, password: &str) -> Result<Self, SignerError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| SignerError::Unreadable { file: name.clone(), reason: error.kind() })?;
        // Told apart here, because the library has one error for all of them.
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|_| SignerError::NoKeystore(name.clone()))?;
        if json["version"] != 3 || !json["crypto"].is_object() {
            return Err(SignerError::NoKeystore(name));
        }
        match PrivateKeySigner::decrypt_keystore(file, password) {
            Ok(signer) => Ok(Self::Local(signer)),
            Err(error) if error.to_string().to_ascii_lowercase().contains("mac") => {
                Err(SignerError::WrongPassword(name))
            }
            Err(_) => Err(SignerError::NoKeystore(name)),
        }
    }

    /// The key's address.
    pub fn address(&self) -> Address {
        match self {
            Self::Local(key) => key.address(),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(key) => alloy::signers::Signer::address(key),
        }
    }

    /// Signs a hash as it is.
    ///
    /// # Errors
    /// If the key's keeper does not answer or refuses.
    pub async fn sign_hash(&self, hash: &B256) -> Result<Signature, SignerError> {
        let refused = |error: alloy::signers::Error| SignerError::Refused(error.to_string());
        match self {
            Self::Local(key) => key.sign_hash_sync(hash).map_err(refused),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(key) => alloy::signers::Signer::sign_hash(key, hash).await.map_err(refused),
        }
    }

    /// Signs a transaction.
    ///
    /// # Errors
    /// As [`Self::sign_hash`].
    pub async fn sign_transaction<T: SignableTransaction<Signature>>(
        &self,
        transaction: T,
    ) -> Result<Signed<T>, SignerError> {
        let signature = self.sign_hash(&transaction.signature_hash()).await?;
        Ok(transaction.into_signed(signature))
    }
}

#[cfg(feature = "aws-kms")]
impl Signer {
    /// A key in AWS KMS, by id, ARN or alias; region and credentials are those of the AWS environment.
    ///
    /// # Errors
    /// If KMS does not answer, or the key is no secp256k1 key.
    pub async fn aws_kms(key_id: String, chain_id: u64) -> Result<Self, SignerError> {
        let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        let client = aws_sdk_kms::Client::new(&config);
        let signer = alloy::signers::aws::AwsSigner::new(client, key_id, Some(chain_id)).await;
        signer.map(Self::AwsKms).map_err(|error| SignerError::Refused(error.to_string()))
    }
}

impl From<PrivateKeySigner> for Signer {
    fn from(key: PrivateKeySigner) -> Self {
        Self::Local(key)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Web3 Secret Storage definition, PBKDF2 variant; its password is "testpassword".
    const KEYSTORE: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let file = std::env::temp_dir().join(format!("fabstir-keystore-{}-{name}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        file
    }

    #[tokio::test]
    async fn a_keystore_opens_with_its_password_and_signs() {
        let file = file("good", KEYSTORE);
        let signer = Signer::keystore(&file, "testpassword").unwrap();
        std::fs::remove_file(&file).unwrap();
        let key: PrivateKeySigner = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d".parse().unwrap();
        assert_eq!(signer.address(), key.address());
        let hash = B256::repeat_byte(7);
        let signature = signer.sign_hash(&hash).await.unwrap();
        assert_eq!(signature.recover_address_from_prehash(&hash).unwrap(), key.address());
    }

    #[test]
    fn a_wrong_password_and_no_keystore_are_different_errors_without_secrets() {
        let (good, bad) = (file("wrong", KEYSTORE), file("bad", "{\"version\":3}"));
        let wrong = Signer::keystore(&good, "hunter2-not-it").unwrap_err();
        assert!(matches!(wrong, SignerError::WrongPassword(_)), "{wrong:?}");
        assert!(!format!("{wrong} {wrong:?}").contains("hunter2"));
        assert!(matches!(Signer::keystore(&bad, "x"), Err(SignerError::NoKeystore(_))));
        std::fs::remove_file(&good).unwrap();
        std::fs::remove_file(&bad).unwrap();
        assert!(matches!(Signer::keystore(&good, "x"), Err(SignerError::Unreadable { .. })));
    }

    #[test]
    fn debug_shows_the_address_alone() {
        let key = PrivateKeySigner::random();
        let shown = format!("{:?}", Signer::from(key.clone()));
        assert_eq!(shown, format!("Signer({})", key.address()));
    }
}
