//! The signature that makes a paymaster contract pay.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
};

use alloy::{
    primitives::{Address, B256, Bytes, Signature},
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

/// No signature was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// There is nothing to sign with.
    #[error("no key to sign sponsorships with")]
    NoKey,
    /// The paymaster contract believes none of our keys.
    #[error("none of our keys is a signer of paymaster {0}")]
    NoSigner(Address),
    /// All that it believes refused, or their keepers did not answer.
    #[error("the sponsorship could not be signed")]
    Refused,
}

/// What a [`Key`] answers, in time.
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<Signature, NotSigned>> + Send + 'a>>;

/// A key that sponsorships are signed with, wherever it is kept. Its `Debug` shows no secret.
pub trait Key: fmt::Debug + Send + Sync {
    /// Its address.
    fn address(&self) -> Address;
    /// Signs this digest as it is.
    fn sign(&self, digest: B256) -> Signing<'_>;
}

/// Signs sponsorships, with the first of its keys that the paymaster contract believes.
///
/// A contract believes several at once, so keys are changed without refusing what is out: the new one is given here
/// before the old one and proposed to the contract; once that has accepted it, it signs; and when the last signature of
/// the old one has expired, the contract is told to forget it.
#[derive(Clone)]
pub struct Sponsor {
    keys: Arc<[Arc<dyn Key>]>,
    /// By paymaster, as far as it was asked.
    believed: Arc<RwLock<BTreeMap<Address, BTreeSet<Address>>>>,
    stub: [u8; SIGNATURE_LENGTH],
}

impl fmt::Debug for Sponsor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sponsor({:?})", self.addresses())
    }
}

impl Sponsor {
    /// A sponsor that signs with these keys, the first before the others.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(keys: Vec<Arc<dyn Key>>) -> Result<Self, NotSigned> {
        if keys.is_empty() {
            return Err(NotSigned::NoKey);
        }
        let stub = stub_signature()?;
        Ok(Self { keys: keys.into(), believed: Arc::default(), stub })
    }

    /// A sponsor with this key alone, in memory.
    ///
    /// # Errors
    /// Never, with a key that signs.
    pub fn of(key: PrivateKeySigner) -> Result<Self, NotSigned> {
        Self::new(vec![Arc::new(InMemory(key))])
    }

    /// The addresses that paymaster contracts are to know as signers.
    pub fn addresses(&self) -> Vec<Address> {
        self.keys.iter().map(|key| key.address()).collect()
    }

    /// Whom this paymaster contract believes, of [`Self::addresses`]. Until it is told, all.
    pub fn believe(&self, paymaster: Address, signers: BTreeSet<Address>) {
        self.believed.write().unwrap_or_else(PoisonError::into_inner).insert(paymaster, signers);
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

    /// A signature of this digest that this paymaster believes.
    ///
    /// # Errors
    /// If none of the keys is believed, or none of those signs.
    pub(crate) async fn sign_digest(
        &self,
        paymaster: Address,
        digest: B256,
    ) -> Result<[u8; SIGNATURE_LENGTH], NotSigned> {
        let believed = self.believed.read().unwrap_or_else(PoisonError::into_inner).get(&paymaster).cloned();
        let mut failure = NotSigned::NoSigner(paymaster);
        for key in self.keys.iter() {
            if believed.as_ref().is_some_and(|believed| !believed.contains(&key.address())) {
                continue;
            }
            match key.sign(digest).await {
                Ok(signature) => return Ok(signature.as_bytes()),
                // Another may do instead.
                Err(error) => {
                    tracing::error!(signer = %key.address(), "a key does not sign sponsorships");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// `paymasterData` that sponsors `op` for this time.
    ///
    /// With a [`validity`] the same within a minute, as long as the same key signs: asked again, it answers the same.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub async fn sponsor(
        &self,
        op: &UserOperation,
        version: EntryPointVersion,
        limits: &Paymaster,
        entry_point: Address,
        chain_id: u64,
        validity: Validity,
    ) -> Result<Bytes, NotSigned> {
        let digest = sponsorship::digest(op, version, limits, validity, entry_point, chain_id);
        Ok(validity.to_paymaster_data(&self.sign_digest(limits.address, digest).await?))
    }

    /// The signature alone, for this time.
    ///
    /// # Errors
    /// If none of the keys is believed by the paymaster, or none of those signs.
    pub async fn sign(
        &self,
        op: &UserOperation,
        version: EntryPointVersion,
        limits: &Paymaster,
        validity: Validity,
        entry_point: Address,
        chain_id: u64,
    ) -> Result<Bytes, NotSigned> {
        let digest = sponsorship::digest(op, version, limits, validity, entry_point, chain_id);
        Ok(self.sign_digest(limits.address, digest).await?.into())
    }
}

/// A key of this process's memory.
struct InMemory(PrivateKeySigner);

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InMemory({})", self.0.address())
    }
}

impl Key for InMemory {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn sign(&self, digest: B256) -> Signing<'_> {
        Box::pin(std::future::ready(self.0.sign_hash_sync(&digest).map_err(|_| NotSigned::Refused)))
    }
}

/// When a sponsorship of `now` (the chain's time in seconds since 1970) holds: for one to two minutes, and for one to two
/// minutes before already, so that it holds whichever second the next block has, and at the head.
pub fn validity(now: u64) -> Validity {
    let minute = now - now % STEP;
    Validity { until: minute + 2 * STEP, after: minute.saturating_sub(STEP) }
}

/// A well-formed signature of nobody we know, without a zero byte (zero bytes of calldata are cheaper).
fn stub_signature() -> Result<[u8; SIGNATURE_LENGTH], NotSigned> {
    let nobody = PrivateKeySigner::random();
    for attempt in 0..=u64::MAX {
        let digest = B256::from(alloy::primitives::U256::from(attempt));
        let signature = nobody.sign_hash_sync(&digest).map_err(|_| NotSigned::Refused)?.as_bytes();
        if !signature.contains(&0) {
            return Ok(signature);
        }
    }
    Err(NotSigned::Refused)
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

    #[tokio::test]
    async fn the_stub_is_as_long_as_the_answer_and_has_no_more_zeros() {
        let sponsor = Sponsor::of(PrivateKeySigner::random()).unwrap();
        let (op, limits) = operation();
        let zeros = |data: &Bytes| data.iter().filter(|byte| **byte == 0).count();
        let stub = sponsor.stub_data();
        for minute in 0..200 {
            let now = 1_800_000_000 + minute * 60;
            let data = sponsor.sponsor(&op, VERSION, &limits, Address::ZERO, 1, validity(now)).await.unwrap();
            assert_eq!(stub.len(), data.len());
            assert!(zeros(&stub) <= zeros(&data));
        }
    }

    #[tokio::test]
    async fn the_answer_is_the_same_within_a_minute_and_holds_for_one_at_least() {
        let sponsor = Sponsor::of(PrivateKeySigner::random()).unwrap();
        let (op, limits) = operation();
        let at = async |now| sponsor.sponsor(&op, VERSION, &limits, Address::ZERO, 1, validity(now)).await.unwrap();
        assert_eq!(at(1_800_000_000).await, at(1_800_000_059).await);
        assert_ne!(at(1_800_000_000).await, at(1_800_000_060).await);
        let until = u64::from_be_bytes([&[0, 0], &at(1_800_000_059).await[..6]].concat().try_into().unwrap());
        assert!((60..=120).contains(&(until - 1_800_000_059)));
    }

    #[tokio::test]
    async fn the_signature_is_over_every_field() {
        let sponsor = Sponsor::of(PrivateKeySigner::random()).unwrap();
        let (op, limits) = operation();
        let validity = Validity { until: 1_800_000_120, after: 1_799_999_940 };
        let data = sponsor.sponsor(&op, VERSION, &limits, Address::ZERO, 1, validity).await.unwrap();
        let signature = Signature::from_raw(&data[12..]).unwrap();
        let signer = |op: &UserOperation, limits: &Paymaster| {
            signature
                .recover_address_from_prehash(&sponsorship::digest(op, VERSION, limits, validity, Address::ZERO, 1))
                .ok()
        };
        assert_eq!(signer(&op, &limits), Some(sponsor.addresses()[0]));
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
            assert_ne!(signer(&op, &limits), Some(sponsor.addresses()[0]));
        }
    }

    #[test]
    fn debug_shows_the_address_only() {
        let signer = PrivateKeySigner::random();
        let secret = alloy::hex::encode(signer.to_bytes());
        let sponsor = Sponsor::of(signer.clone()).unwrap();
        assert_eq!(format!("{sponsor:?}"), format!("Sponsor([{:?}])", signer.address()));
        assert!(!format!("{sponsor:?}").contains(&secret[..16]));
    }

    /// A key whose keeper is away.
    #[derive(Debug)]
    struct Away(Address);

    impl Key for Away {
        fn address(&self) -> Address {
            self.0
        }

        fn sign(&self, _digest: B256) -> Signing<'_> {
            Box::pin(std::future::ready(Err(NotSigned::Refused)))
        }
    }

    async fn signer_of(sponsor: &Sponsor) -> Result<Address, NotSigned> {
        let (op, limits) = operation();
        let validity = validity(1_800_000_000);
        let digest = sponsorship::digest(&op, VERSION, &limits, validity, Address::ZERO, 1);
        let bytes = sponsor.sign(&op, VERSION, &limits, validity, Address::ZERO, 1).await?;
        Ok(Signature::from_raw(&bytes).unwrap().recover_address_from_prehash(&digest).unwrap())
    }

    #[tokio::test]
    async fn the_first_key_that_the_contract_believes_signs() {
        let keys = [PrivateKeySigner::random(), PrivateKeySigner::random()];
        let [new, old] = [keys[0].address(), keys[1].address()];
        let sponsor =
            Sponsor::new(keys.into_iter().map(|key| Arc::new(InMemory(key)) as Arc<dyn Key>).collect()).unwrap();
        let paymaster = operation().1.address;
        assert_eq!(signer_of(&sponsor).await, Ok(new), "until the contract was asked");
        for (believed, signs) in [(vec![old], Ok(old)), (vec![old, new], Ok(new)), (vec![new], Ok(new))] {
            sponsor.believe(paymaster, believed.into_iter().collect());
            assert_eq!(signer_of(&sponsor).await, signs);
        }
        sponsor.believe(paymaster, BTreeSet::new());
        assert_eq!(signer_of(&sponsor).await, Err(NotSigned::NoSigner(paymaster)));
        sponsor.believe(Address::repeat_byte(1), BTreeSet::from([new]));
        assert_eq!(signer_of(&sponsor).await, Err(NotSigned::NoSigner(paymaster)), "of another paymaster");
    }

    #[tokio::test]
    async fn another_key_signs_when_one_s_keeper_is_away() {
        let key = PrivateKeySigner::random();
        let (address, away) = (key.address(), Arc::new(Away(Address::repeat_byte(9))));
        let sponsor = Sponsor::new(vec![away.clone(), Arc::new(InMemory(key))]).unwrap();
        assert_eq!(signer_of(&sponsor).await, Ok(address));
        assert_eq!(signer_of(&Sponsor::new(vec![away]).unwrap()).await, Err(NotSigned::Refused));
        assert_eq!(Sponsor::new(vec![]).unwrap_err(), NotSigned::NoKey);
    }

    #[test]
    fn whatever_is_signed_is_bound_to_one_chain_and_one_entry_point() {
        use erc4337::{
            HashContext,
            token_payment::{self, TokenPayment},
        };
        let (op, limits) = operation();
        let validity = Validity { until: 9, after: 1 };
        let payment = TokenPayment { token: Address::ZERO, max_tokens: 1, tokens_per_eth: 1, validity };
        for version in EntryPointVersion::ALL {
            let signed = |entry_point: u8, chain_id: u64| {
                let entry_point = Address::repeat_byte(entry_point);
                [
                    op.hash(&HashContext { version, entry_point, chain_id }, None).unwrap(),
                    sponsorship::digest(&op, version, &limits, validity, entry_point, chain_id),
                    token_payment::digest(&op, version, &limits, &payment, entry_point, chain_id),
                ]
            };
            let here = signed(1, 1);
            for elsewhere in [signed(1, 2), signed(2, 1)] {
                assert!(here.iter().zip(&elsewhere).all(|(here, there)| here != there), "{version}");
            }
        }
    }
}
