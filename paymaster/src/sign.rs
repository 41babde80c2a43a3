//! The signature that makes a paymaster contract pay.

use std::fmt;

use alloy::{
    primitives::{Address, B256, Bytes},
    signers::{SignerSync, local::PrivateKeySigner},
};
use erc4337::{
    EntryPointVersion, Paymaster, UserOperation,
    sponsorship::{self, SIGNATURE_LENGTH, Validity},
};

/// Seconds in which the same operation gets the same answer.
const STEP: u64 = 60;
/// A time whose bytes are all set as far as any real one's are, so that a stub is never cheaper than what follows.
pub(crate) const STUB_VALIDITY: Validity = Validity { until: 0xffff_ffff, after: 0x0101_0101 };

/// The key did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sponsorship could not be signed")]
pub struct NotSigned;

/// Signs sponsorships with one key.
#[derive(Clone)]
pub struct Sponsor {
    signer: PrivateKeySigner,
    stub: [u8; SIGNATURE_LENGTH],
}

impl fmt::Debug for Sponsor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sponsor({})", self.signer.address())
    }
}

impl Sponsor {
    /// A sponsor that signs with this key.
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn new(signer: PrivateKeySigner) -> Result<Self, NotSigned> {
        let stub = stub_signature()?;
        Ok(Self { signer, stub })
    }

    /// The address that the paymaster contract must know as a signer.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// `paymasterData` of the final length that the contract reads to the end, but that is no sponsorship.
    pub fn stub_data(&self) -> Bytes {
        STUB_VALIDITY.to_paymaster_data(&self.stub)
    }

    /// A signature of the final length that is nobody's.
    pub fn stub_signature(&self) -> Bytes {
        self.stub.into()
    }

    /// The same.
    pub(crate) fn stub_bytes(&self) -> [u8; SIGNATURE_LENGTH] {
        self.stub
    }

    /// A signature of this digest.
    ///
    /// # Errors
    /// If the key does not sign.
    pub(crate) fn sign_digest(&self, digest: &B256) -> Result<[u8; SIGNATURE_LENGTH], NotSigned> {
        Ok(self.signer.sign_hash_sync(digest).map_err(|_| NotSigned)?.as_bytes())
    }

    /// `paymasterData` that sponsors `op` for one to two minutes from `now` (seconds since 1970).
    ///
    /// Deterministic within a minute: asked again, it answers the same.
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn sponsor(
        &self,
        op: &UserOperation,
        version: EntryPointVersion,
        limits: &Paymaster,
        entry_point: Address,
        chain_id: u64,
        now: u64,
    ) -> Result<Bytes, NotSigned> {
        let validity = validity(now);
        let signature = self.signature(op, version, limits, validity, entry_point, chain_id)?;
        Ok(validity.to_paymaster_data(&signature))
    }

    /// The signature alone, for this time.
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn sign(
        &self,
        op: &UserOperation,
        version: EntryPointVersion,
        limits: &Paymaster,
        validity: Validity,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<Bytes, NotSigned> {
        Ok(self.signature(op, version, limits, validity, entry_point, chain_id)?.into())
    }

    fn signature(
        &self,
        op: &UserOperation,
        version: EntryPointVersion,
        limits: &Paymaster,
        validity: Validity,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<[u8; SIGNATURE_LENGTH], NotSigned> {
        let digest = sponsorship::digest(op, version, limits, validity, entry_point, chain_id);
        self.sign_digest(&digest)
    }
}

/// When a sponsorship of `now` (seconds since 1970) holds.
pub fn validity(now: u64) -> Validity {
    let minute = now - now % STEP;
    Validity { until: minute + 2 * STEP, after: minute.saturating_sub(STEP) }
}

/// A well-formed signature of nobody we know, without a zero byte (zero bytes of calldata are cheaper).
fn stub_signature() -> Result<[u8; SIGNATURE_LENGTH], NotSigned> {
    let nobody = PrivateKeySigner::random();
    for attempt in 0..=u64::MAX {
        let digest = B256::from(alloy::primitives::U256::from(attempt));
        let signature = nobody.sign_hash_sync(&digest).map_err(|_| NotSigned)?.as_bytes();
        if !signature.contains(&0) {
            return Ok(signature);
        }
    }
    Err(NotSigned)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Signature, U256};

    use super::*;

    const VERSION: EntryPointVersion = EntryPointVersion::V0_8;

    fn operation() -> (UserOperation, Paymaster) {
        let limits = Paymaster { address: Address::repeat_byte(8), verification_gas_limit: 1, ..Paymaster::default() };
        let op = UserOperation {
            sender: Address::repeat_byte(7),
            call_gas_limit: 10,
            verification_gas_limit: 10,
            pre_verification_gas: 10,
            max_fee_per_gas: 1,
            max_priority_fee_per_gas: 1,
            ..UserOperation::default()
        };
        (op, limits)
    }

    #[test]
    fn the_stub_is_as_long_as_the_answer_and_has_no_more_zeros() {
        let sponsor = Sponsor::new(PrivateKeySigner::random()).unwrap();
        let (op, limits) = operation();
        let zeros = |data: &Bytes| data.iter().filter(|byte| **byte == 0).count();
        let stub = sponsor.stub_data();
        for minute in 0..200 {
            let now = 1_800_000_000 + minute * 60;
            let data = sponsor.sponsor(&op, VERSION, &limits, Address::ZERO, 1, now).unwrap();
            assert_eq!(stub.len(), data.len());
            assert!(zeros(&stub) <= zeros(&data));
        }
    }

    #[test]
    fn the_answer_is_the_same_within_a_minute_and_holds_for_one_at_least() {
        let sponsor = Sponsor::new(PrivateKeySigner::random()).unwrap();
        let (op, limits) = operation();
        let at = |now| sponsor.sponsor(&op, VERSION, &limits, Address::ZERO, 1, now).unwrap();
        assert_eq!(at(1_800_000_000), at(1_800_000_059));
        assert_ne!(at(1_800_000_000), at(1_800_000_060));
        let until = u64::from_be_bytes([&[0, 0], &at(1_800_000_059)[..6]].concat().try_into().unwrap());
        assert!((60..=120).contains(&(until - 1_800_000_059)));
    }

    #[test]
    fn the_signature_is_over_every_field() {
        let sponsor = Sponsor::new(PrivateKeySigner::random()).unwrap();
        let (op, limits) = operation();
        let data = sponsor.sponsor(&op, VERSION, &limits, Address::ZERO, 1, 1_800_000_000).unwrap();
        let signature = Signature::from_raw(&data[12..]).unwrap();
        let validity = Validity { until: 1_800_000_120, after: 1_799_999_940 };
        let signer = |op: &UserOperation, limits: &Paymaster| {
            signature
                .recover_address_from_prehash(&sponsorship::digest(op, VERSION, limits, validity, Address::ZERO, 1))
                .ok()
        };
        assert_eq!(signer(&op, &limits), Some(sponsor.address()));
        type Change = fn(&mut UserOperation, &mut Paymaster);
        let changes: [Change; 12] = [
            |op, _| op.sender = Address::ZERO,
            |op, _| op.nonce = U256::ONE,
            |op, _| op.initializer = Some(erc4337::Initializer::Eip7702 { data: Bytes::new() }),
            |op, _| op.call_data = vec![1].into(),
            |op, _| op.call_gas_limit += 1,
            |op, _| op.verification_gas_limit += 1,
            |op, _| op.pre_verification_gas += 1,
            |op, _| op.max_fee_per_gas += 1,
            |op, _| op.max_priority_fee_per_gas += 1,
            |_, limits| limits.address = Address::ZERO,
            |_, limits| limits.verification_gas_limit += 1,
            |_, limits| limits.post_op_gas_limit += 1,
        ];
        for change in changes {
            let (mut op, mut limits) = (op.clone(), limits.clone());
            change(&mut op, &mut limits);
            assert_ne!(signer(&op, &limits), Some(sponsor.address()));
        }
    }

    #[test]
    fn debug_shows_the_address_only() {
        let signer = PrivateKeySigner::random();
        let secret = alloy::hex::encode(signer.to_bytes());
        let sponsor = Sponsor::new(signer).unwrap();
        assert_eq!(format!("{sponsor:?}"), format!("Sponsor({})", sponsor.address()));
        assert!(!format!("{sponsor:?}").contains(&secret[..16]));
    }
}
