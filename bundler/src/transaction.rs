//! The transaction that carries a bundle: what is signed, and what is reckoned with before it is.

use alloy::{
    consensus::{SignableTransaction, Signed, TxEip1559, TxEip7702, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{Address, Signature, TxKind, U256, keccak256},
};
use erc4337::{EntryPointVersion, UserOperation, pack};

/// Bytes of a transaction that nodes take at most.
pub(crate) const MAX_BYTES: usize = 131_072;

/// What a transaction says beside its operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) gas_limit: u64,
    /// Wei per gas.
    pub(crate) max_fee: u128,
    /// Wei per gas.
    pub(crate) priority_fee: u128,
    pub(crate) entry_point: Address,
    pub(crate) version: EntryPointVersion,
    pub(crate) beneficiary: Address,
}

/// A bundle's transaction before it is signed.
#[derive(Clone, Debug)]
pub(crate) enum Unsigned {
    Eip1559(TxEip1559),
    /// Some of its operations carry an authorization.
    Eip7702(TxEip7702),
}

impl Envelope {
    /// Of which nothing is known yet: of the usual length, and nothing in it that compression saves.
    pub(crate) fn unknown(version: EntryPointVersion, seed: u64) -> Self {
        Self {
            chain_id: 0x9d_37_f6,
            nonce: UNKNOWN_NONCE,
            gas_limit: 0xfb_71_e4,
            max_fee: 0xf2_8c_d9_45_b7,
            priority_fee: 0xf8_13_6e_a9_5c,
            entry_point: version.canonical_address(),
            version,
            beneficiary: Address::from_slice(&noise(seed, 20)),
        }
    }

    /// The transaction of these operations.
    pub(crate) fn around<'a>(self, operations: impl Iterator<Item = &'a UserOperation> + Clone) -> Unsigned {
        let Self { chain_id, nonce, gas_limit, max_fee, priority_fee, .. } = self;
        let input = pack::handle_ops(self.version, operations.clone(), self.beneficiary);
        let authorization_list: Vec<_> = operations.filter_map(|op| op.eip7702_auth.clone()).collect();
        if authorization_list.is_empty() {
            Unsigned::Eip1559(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: priority_fee,
                to: TxKind::Call(self.entry_point),
                input,
                ..TxEip1559::default()
            })
        } else {
            Unsigned::Eip7702(TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: priority_fee,
                to: self.entry_point,
                input,
                authorization_list,
                ..TxEip7702::default()
            })
        }
    }
}

/// A nonce that is not known yet.
pub(crate) const UNKNOWN_NONCE: u64 = 0x8d_4f_2a;

impl Unsigned {
    /// Its calldata.
    pub(crate) fn input(&self) -> &[u8] {
        match self {
            Self::Eip1559(transaction) => &transaction.input,
            Self::Eip7702(transaction) => &transaction.input,
        }
    }

    /// The bytes that will be sent, with noise for the signature: no signature compresses, and none is longer.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let noise = noise(seed_of(&[self.input()]), 64);
        let [r, s] = [&noise[..32], &noise[32..]].map(U256::from_be_slice);
        let signature = Signature::new(r, s, true);
        self.signed(signature).encoded_2718()
    }

    /// With a signature that may be anybody's.
    fn signed(self, signature: Signature) -> TxEnvelope {
        fn sign<T: SignableTransaction<Signature>>(transaction: T, signature: Signature) -> Signed<T> {
            transaction.into_signed(signature)
        }
        match self {
            Self::Eip1559(transaction) => sign(transaction, signature).into(),
            Self::Eip7702(transaction) => sign(transaction, signature).into(),
        }
    }
}

/// A seed that nobody knows who has yet to choose these bytes: noise that an operation repeats in its own data would
/// compress, and its bundle would be dearer than was reckoned.
pub(crate) fn seed_of(parts: &[&[u8]]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = keccak256(parts.concat()).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// So many bytes, none zero, of which compression saves nothing; others for another seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let words =
        (0..length.div_ceil(32) as u64).flat_map(|word| keccak256([seed.to_be_bytes(), word.to_be_bytes()].concat()).0);
    words.map(|byte| byte.max(1)).take(length).collect()
}
