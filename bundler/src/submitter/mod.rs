//! From a bundle to a signed transaction, and from a stuck transaction to a dearer one. Pure: the engine does the I/O.
//!
//! ```text
//!  Bundle ──sign──► Attempt 1 ──not mined──► Attempt 2 … all with one nonce: at most one of them is ever mined
//! ```

mod treasury;

use std::sync::Arc;

use alloy::{
    consensus::{TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{Address, B256, Bytes, TxKind},
};

use crate::{
    builder::Bundle,
    fees::FeeSuggestion,
    flow::Place,
    signer::{Signer, SignerError},
    transaction::Unsigned,
};

pub use treasury::Keeping;
pub(crate) use treasury::{KeyState, Refill, Treasury};

/// A node takes a replacement from 10 % more on; this much more is bid, in 1,000ths.
const ESCALATION_PER_MILLE: u128 = 1_125;

/// Fees of a transaction, wei per gas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) max_fee: u128,
    pub(crate) priority_fee: u128,
}

impl Fees {
    /// The most that can be bid so that no operation of the bundle pays less than its share of the gas costs, nor the
    /// operator more than the cap.
    pub(crate) fn ceiling(bundle: &Bundle, suggestion: FeeSuggestion) -> Self {
        let FeeSuggestion { base_fee, cap, .. } = suggestion;
        let lowest = |fee: fn(&erc4337::UserOperation, u128) -> u128| {
            bundle.operations.iter().map(|admitted| fee(&admitted.op, base_fee)).min().unwrap_or_default()
        };
        Self {
            max_fee: lowest(|op, _| op.max_fee_per_gas).min(cap),
            priority_fee: lowest(|op, base_fee| op.effective_gas_price(base_fee).saturating_sub(base_fee)),
        }
    }

    /// First bid: the node's suggestion, room for the base fee to double, never above the ceiling.
    pub(crate) fn first(bundle: &Bundle, suggestion: FeeSuggestion) -> Self {
        let ceiling = Self::ceiling(bundle, suggestion);
        let priority_fee = suggestion.priority_fee.max(bundle.least_bid.priority_fee).min(ceiling.priority_fee);
        // What others may have to take the place of is not to be hard to outbid.
        let base_fee = suggestion.base_fee;
        let usual = doubled(base_fee, priority_fee);
        let least = base_fee.saturating_add(base_fee.div_ceil(8)).saturating_add(priority_fee);
        let max_fee = if bundle.below_market { least } else { usual }.max(bundle.least_bid.max_fee);
        Self { max_fee: max_fee.min(ceiling.max_fee), priority_fee }
    }

    /// The next bid; `None` if the ceiling leaves no room for what nodes ask of a replacement, and if it `spares`, of another
    /// one after that.
    pub(crate) fn escalated(self, bundle: &Bundle, suggestion: FeeSuggestion, spares: bool) -> Option<Self> {
        let ceiling = Self::ceiling(bundle, suggestion);
        let ceiling = if spares { ceiling.replaceable() } else { ceiling };
        let next = self.raised().at_least(Self::first(bundle, suggestion).at_most(ceiling));
        next.is_within(ceiling).then_some(next)
    }

    /// The most that nodes take this in the place of.
    fn replaceable(self) -> Self {
        let least = |fee: u128| fee.saturating_sub(1).saturating_mul(1_000) / ESCALATION_PER_MILLE;
        Self { max_fee: least(self.max_fee), priority_fee: least(self.priority_fee) }
    }

    /// The bid of a transaction that takes the place of one with `last`, at most `cap` wei per gas.
    pub(crate) fn cancelling(last: Option<Self>, suggestion: FeeSuggestion, cap: u128) -> Option<Self> {
        let FeeSuggestion { base_fee, priority_fee, .. } = suggestion;
        let first = Self { max_fee: doubled(base_fee, priority_fee), priority_fee };
        let bid = last.map_or(first, |last| last.raised().at_least(first));
        (bid.max_fee <= cap).then_some(bid)
    }

    /// Whether this is twice what a transaction bids first that is to be mined with the next block.
    pub(crate) fn is_twice(self, suggestion: FeeSuggestion) -> bool {
        let FeeSuggestion { base_fee, priority_fee, .. } = suggestion;
        self.max_fee >= doubled(base_fee, priority_fee).saturating_mul(2)
            && self.priority_fee >= priority_fee.saturating_mul(2)
    }

    /// What nodes take in the place of this.
    pub(crate) fn raised(self) -> Self {
        let raise = |fee: u128| fee.saturating_mul(ESCALATION_PER_MILLE).div_ceil(1_000).max(fee).saturating_add(1);
        Self { max_fee: raise(self.max_fee), priority_fee: raise(self.priority_fee) }
    }

    /// The larger of each.
    pub(crate) fn at_least(self, other: Self) -> Self {
        Self { max_fee: self.max_fee.max(other.max_fee), priority_fee: self.priority_fee.max(other.priority_fee) }
    }

    /// The smaller of each.
    fn at_most(self, other: Self) -> Self {
        Self { max_fee: self.max_fee.min(other.max_fee), priority_fee: self.priority_fee.min(other.priority_fee) }
    }

    /// Whether neither is above the other's.
    pub(crate) fn is_within(self, ceiling: Self) -> bool {
        self.max_fee <= ceiling.max_fee && self.priority_fee <= ceiling.priority_fee
    }
}

/// Room for the base fee to double, whatever a node says that it is.
fn doubled(base_fee: u128, priority_fee: u128) -> u128 {
    base_fee.saturating_mul(2).saturating_add(priority_fee)
}

/// A signed transaction.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) transaction: B256,
    pub(crate) raw: Bytes,
    pub(crate) fees: Fees,
}

/// Gas of a transfer of nothing.
const TRANSFER_GAS: u64 = 21_000;

/// Signs with a pool of keys, one or more. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Submitter {
    signers: Arc<[Signer]>,
    /// Fills the keys up.
    funder: Option<Signer>,
    chain_id: u64,
}

impl Submitter {
    pub(crate) fn new(signers: Vec<Signer>, funder: Option<Signer>, chain_id: u64) -> Self {
        Self { signers: signers.into(), funder, chain_id }
    }

    /// The keys' addresses, in their order.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.signers.iter().map(Signer::address).collect()
    }

    /// The funder's address, if there is one.
    pub(crate) fn funder(&self) -> Option<Address> {
        self.funder.as_ref().map(Signer::address)
    }

    /// The address that operations are validated under.
    pub(crate) fn address(&self) -> Address {
        self.key(0)
    }

    /// The address of one key.
    pub(crate) fn key(&self, key: usize) -> Address {
        self.signers.get(key).map_or(Address::ZERO, Signer::address)
    }

    /// The bundle's transaction, or without one a transfer of nothing to the key itself.
    ///
    /// # Errors
    /// If the key's keeper refuses or does not answer.
    pub(crate) async fn sign(&self, place: Place, bundle: Option<&Bundle>, fees: Fees) -> Result<Attempt, SignerError> {
        let signer = self.signers.get(place.key).ok_or_else(|| SignerError::Refused("no such key".into()))?;
        let envelope = match bundle {
            Some(bundle) => self.bundle(signer, place, bundle, fees).await?,
            None => {
                let transaction = TxEip1559 {
                    chain_id: self.chain_id,
                    nonce: place.nonce,
                    gas_limit: TRANSFER_GAS,
                    max_fee_per_gas: fees.max_fee,
                    max_priority_fee_per_gas: fees.priority_fee,
                    to: TxKind::Call(signer.address()),
                    ..TxEip1559::default()
                };
                signer.sign_transaction(transaction).await?.into()
            }
        };
        Ok(Attempt { transaction: *envelope.tx_hash(), raw: envelope.encoded_2718().into(), fees })
    }

    async fn bundle(
        &self,
        signer: &Signer,
        Place { nonce, .. }: Place,
        bundle: &Bundle,
        fees: Fees,
    ) -> Result<TxEnvelope, SignerError> {
        Ok(match bundle.transaction(self.chain_id, Some(nonce), fees, signer.address()) {
            Unsigned::Eip1559(transaction) => signer.sign_transaction(transaction).await?.into(),
            Unsigned::Eip7702(transaction) => signer.sign_transaction(transaction).await?.into(),
        })
    }

    /// The funder's transfer to a key.
    ///
    /// # Errors
    /// If there is no funder, or its keeper refuses or does not answer.
    pub(crate) async fn sign_refill(&self, refill: Refill) -> Result<Attempt, SignerError> {
        let funder = self.funder.as_ref().ok_or_else(|| SignerError::Refused("no funder".into()))?;
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: refill.nonce,
            gas_limit: TRANSFER_GAS,
            max_fee_per_gas: refill.fees.max_fee,
            max_priority_fee_per_gas: refill.fees.priority_fee,
            to: TxKind::Call(self.key(refill.key)),
            value: refill.amount,
            ..TxEip1559::default()
        };
        let envelope: TxEnvelope = funder.sign_transaction(transaction).await?.into();
        Ok(Attempt { transaction: *envelope.tx_hash(), raw: envelope.encoded_2718().into(), fees: refill.fees })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::{primitives::U256, signers::local::PrivateKeySigner};
    use erc4337::{EntryPointVersion, UserOperation, ValidationData};

    use super::*;
    use crate::admission::{Admitted, Validated};

    pub(crate) fn bundle(fees: &[(u128, u128)]) -> Bundle {
        let operations = fees.iter().map(|(max_fee_per_gas, max_priority_fee_per_gas)| Admitted {
            op: Arc::new(UserOperation {
                max_fee_per_gas: *max_fee_per_gas,
                max_priority_fee_per_gas: *max_priority_fee_per_gas,
                ..UserOperation::default()
            }),
            hash: B256::ZERO,
            entry_point: Address::ZERO,
            version: EntryPointVersion::V0_8,
            validated: Validated { account: ValidationData::VALID, paymaster: None, gas_used: 0 },
            evidence: Arc::default(),
        });
        let operations = operations.collect();
        Bundle::new(Address::ZERO, EntryPointVersion::V0_8, operations)
    }

    fn suggestion() -> FeeSuggestion {
        FeeSuggestion::flat(100, 10)
    }

    #[test]
    fn the_first_bid_is_the_suggestion_with_room_for_the_base_fee_to_double() {
        assert_eq!(Fees::first(&bundle(&[(1_000, 50)]), suggestion()), Fees { max_fee: 210, priority_fee: 10 });
    }

    #[test]
    fn no_bid_is_above_what_the_meanest_operation_pays() {
        let bundle = bundle(&[(1_000, 50), (150, 3), (400, 50)]);
        assert_eq!(Fees::first(&bundle, suggestion()), Fees { max_fee: 150, priority_fee: 3 });
    }

    #[test]
    fn bids_rise_by_more_than_a_tenth_until_the_operations_do_not_pay_for_more() {
        let bundle = bundle(&[(1_000, 50)]);
        let mut fees = Fees::first(&bundle, suggestion());
        let mut rises = 0;
        while let Some(next) = fees.escalated(&bundle, suggestion(), false) {
            assert!(next.max_fee * 10 > fees.max_fee * 11 && next.priority_fee * 10 > fees.priority_fee * 11);
            assert!(next.max_fee <= 1_000 && next.priority_fee <= 50);
            (fees, rises) = (next, rises + 1);
        }
        assert!(rises >= 5, "{rises} rises, to {fees:?}");
        // What is to be taken the place of stops where that still works, and not far below.
        let mut fees = Fees::first(&bundle, suggestion());
        while let Some(next) = fees.escalated(&bundle, suggestion(), true) {
            fees = next;
            assert!(fees.escalated(&bundle, suggestion(), false).is_some(), "{fees:?}");
        }
        assert!(fees.raised().raised().priority_fee > 50, "{fees:?}");
    }

    #[tokio::test]
    async fn a_bundle_with_an_authorization_is_an_eip7702_transaction_of_the_signer() {
        use alloy::{
            consensus::{Transaction, transaction::SignerRecoverable},
            eips::{
                eip2718::Decodable2718,
                eip7702::{Authorization, SignedAuthorization},
            },
        };
        let submitter = Submitter::new(vec![PrivateKeySigner::random().into()], None, 8453);
        let mut bundle = bundle(&[(1_000, 50)]);
        let inner = Authorization { chain_id: U256::from(8453), address: Address::repeat_byte(1), nonce: 0 };
        let auth = SignedAuthorization::new_unchecked(inner, 0, U256::ONE, U256::ONE);
        let mut op = (*bundle.operations[0].op).clone();
        op.eip7702_auth = Some(auth.clone());
        bundle.operations[0].op = Arc::new(op);
        let fees = Fees::first(&bundle, suggestion());
        let attempt = submitter.sign(Place { key: 0, nonce: 7 }, Some(&bundle), fees).await.unwrap();
        let envelope = TxEnvelope::decode_2718(&mut attempt.raw.as_ref()).unwrap();
        assert_eq!(envelope.authorization_list(), Some([auth].as_slice()));
        assert_eq!(envelope.recover_signer().unwrap(), submitter.address());
        assert_eq!((envelope.nonce(), *envelope.tx_hash()), (7, attempt.transaction));
    }

    #[tokio::test]
    async fn what_a_bundle_is_charged_for_its_data_is_known_before_it_is_signed() {
        use crate::{
            l1_fee::{L1Prices, Upgrade},
            transaction::noise,
        };
        let submitter = Submitter::new(vec![PrivateKeySigner::random().into()], None, 8453);
        for (count, nonce) in [(1, 0), (1, 300), (3, 70_000), (10, 2_000_000_000), (100, 7)] {
            for authorized in [false, true] {
                let mut bundle = bundle(&vec![(1_000_000_000, 5_000_000); count]);
                for (seed, admitted) in bundle.operations.iter_mut().enumerate() {
                    let op = Arc::make_mut(&mut admitted.op);
                    let seed = seed as u64;
                    op.sender = Address::from_slice(&noise(seed, 20));
                    op.call_data = noise(seed + 1_000, 132).into();
                    op.signature = noise(seed + 2_000, 65).into();
                    if authorized && seed.is_multiple_of(2) {
                        let address = Address::repeat_byte(1);
                        let inner =
                            alloy::eips::eip7702::Authorization { chain_id: U256::from(8453), address, nonce: 0 };
                        let [r, s] = [3_000, 4_000].map(|at| U256::from_be_slice(&noise(seed + at, 32)));
                        op.eip7702_auth =
                            Some(alloy::eips::eip7702::SignedAuthorization::new_unchecked(inner, 0, r, s));
                    }
                }
                let fees = Fees::first(&bundle, FeeSuggestion::flat(5_000_000, 1_000_000));
                let reckoned = bundle.transaction(8453, None, fees, submitter.address()).bytes();
                let signed = submitter.sign(Place { key: 0, nonce }, Some(&bundle), fees).await.unwrap().raw;
                for wei in [1, 1_000_000, 300_000_000_000] {
                    let scalars =
                        L1Prices { base_fee_scalar: 2_269, blob_base_fee_scalar: 1_055_762, ..L1Prices::default() };
                    let prices = L1Prices { upgrade: Upgrade::Jovian, base_fee: wei, blob_base_fee: wei, ..scalars };
                    let (before, after) = (prices.fee(&reckoned), prices.fee(&signed));
                    assert!(
                        before.abs_diff(after) <= after / 50,
                        "{count} operations at {wei} wei: {before}, then {after}"
                    );
                }
            }
        }
    }
}
