//! What an OP-stack chain charges beside gas, computed here: the fee for data on L1 and the operator's, and what data
//! counts for within a block.
//!
//! The values come from two predeploys at the pinned block. `GasPriceOracle` says which formulas hold, by the upgrades
//! that have reached it; `L1Block` has the prices. The size is told by compressing as the chain does.
//!
//! | since | L1 fee | operator fee |
//! |---|---|---|
//! | Bedrock | `(calldata gas + overhead)·base fee·scalar/10⁶` | |
//! | Ecotone | `calldata gas·(16·base fee scalar·base fee + blob scalar·blob base fee)/(16·10⁶)` | |
//! | Fjord | `size·(16·base fee scalar·base fee + blob scalar·blob base fee)/10¹²` | |
//! | Isthmus | | `gas·scalar/10⁶ + constant` |
//! | Jovian | | `gas·scalar·100 + constant` |

use alloy::primitives::{Address, U256, address};

use crate::{
    evm::{StateView, Wanted},
    node::NodeError,
};

/// Predeployed on every OP-stack chain: L1's prices.
const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
/// `basefee`.
const BASE_FEE: U256 = U256::from_limbs([1, 0, 0, 0]);
/// `sequenceNumber`, then from bit 64 `blobBaseFeeScalar`, from bit 96 `baseFeeScalar`.
const SCALARS: U256 = U256::from_limbs([3, 0, 0, 0]);
/// `l1FeeOverhead`, of no use since Ecotone.
const OVERHEAD: U256 = U256::from_limbs([5, 0, 0, 0]);
/// `l1FeeScalar`, of no use since Ecotone.
const SCALAR: U256 = U256::from_limbs([6, 0, 0, 0]);
/// `blobBaseFee`.
const BLOB_BASE_FEE: U256 = U256::from_limbs([7, 0, 0, 0]);
/// `operatorFeeConstant`, then from bit 64 `operatorFeeScalar`, from bit 96 `daFootprintGasScalar`.
const OPERATOR_FEE: U256 = U256::from_limbs([8, 0, 0, 0]);

/// Predeployed on every OP-stack chain: the formulas.
const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");
/// A byte for each upgrade, lowest first: `isEcotone`, `isFjord`, `isIsthmus`, `isJovian`.
const UPGRADES: U256 = U256::ZERO;

/// Fjord's linear model of the compressed size, in millionths of a byte.
const INTERCEPT: i128 = -42_585_600;
/// Millionths of a byte for each byte that FastLZ leaves.
const PER_BYTE: i128 = 836_500;
/// No transaction counts as less.
const LEAST: i128 = 100_000_000;
/// `daFootprintGasScalar` where none is set.
const DEFAULT_FOOTPRINT_SCALAR: u16 = 400;

/// An upgrade of the OP stack that changed what is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "names")]
pub enum Upgrade {
    #[default]
    Bedrock,
    Ecotone,
    Fjord,
    Isthmus,
    Jovian,
}

impl Upgrade {
    /// The last that has reached the oracle.
    fn of(flags: U256) -> Self {
        let flags = flags.to_le_bytes::<32>();
        let reached = [Self::Ecotone, Self::Fjord, Self::Isthmus, Self::Jovian].into_iter().zip(flags);
        reached.take_while(|(_, flag)| *flag != 0).last().map_or(Self::Bedrock, |(upgrade, _)| upgrade)
    }
}

/// What is charged beside gas at one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1Prices {
    /// Whose formulas hold.
    pub upgrade: Upgrade,
    /// Wei per gas on L1.
    pub base_fee: u128,
    /// Wei per blob gas on L1.
    pub blob_base_fee: u128,
    /// The chain's weight of the first, in millionths.
    pub base_fee_scalar: u32,
    /// The chain's weight of the second, in millionths.
    pub blob_base_fee_scalar: u32,
    /// Before Ecotone: gas on L1 that each transaction is charged, and the weight of the base fee in millionths.
    pub bedrock: (U256, U256),
    /// Since Isthmus: what the operator takes for gas; millionths of a wei, since Jovian hundreds of wei.
    pub operator_fee_scalar: u32,
    /// Since Isthmus: what the operator takes for each transaction, in wei.
    pub operator_fee_constant: u64,
    /// Since Jovian: gas of its block that a byte of data on L1 counts for.
    pub footprint_scalar: u16,
}

impl L1Prices {
    /// What is charged at the block of this view.
    ///
    /// # Errors
    /// If the node does not answer for exactly this block.
    pub async fn read(view: &StateView) -> Result<Self, NodeError> {
        let slots = |slots: &[(Address, U256)]| Wanted { slots: slots.iter().copied().collect(), ..Wanted::default() };
        let of_l1 = |slot| (L1_BLOCK, slot);
        let needed = [BASE_FEE, SCALARS, BLOB_BASE_FEE, OPERATOR_FEE].map(of_l1);
        view.prefetch(&slots(&[&needed[..], &[(GAS_PRICE_ORACLE, UPGRADES)]].concat())).await?;
        let upgrade = Upgrade::of(view.slot(GAS_PRICE_ORACLE, UPGRADES).unwrap_or_default());
        if upgrade == Upgrade::Bedrock {
            view.prefetch(&slots(&[OVERHEAD, SCALAR].map(of_l1))).await?;
        }
        let word = |slot| view.slot(L1_BLOCK, slot).unwrap_or_default();
        let bedrock = if upgrade == Upgrade::Bedrock { (word(OVERHEAD), word(SCALAR)) } else { Default::default() };
        Ok(Self {
            upgrade,
            base_fee: word(BASE_FEE).saturating_to(),
            blob_base_fee: word(BLOB_BASE_FEE).saturating_to(),
            base_fee_scalar: (word(SCALARS) >> 96_usize).wrapping_to(),
            blob_base_fee_scalar: (word(SCALARS) >> 64_usize).wrapping_to(),
            bedrock,
            operator_fee_scalar: (word(OPERATOR_FEE) >> 64_usize).wrapping_to(),
            operator_fee_constant: word(OPERATOR_FEE).wrapping_to(),
            footprint_scalar: (word(OPERATOR_FEE) >> 96_usize).wrapping_to(),
        })
    }

    /// Wei that a transaction of these bytes is charged for its data, its signature included in them.
    pub fn fee(&self, transaction: &[u8]) -> u128 {
        match self.upgrade {
            Upgrade::Bedrock => {
                let (overhead, scalar) = self.bedrock;
                let gas = U256::from(calldata_gas(transaction)).saturating_add(overhead);
                let fee = gas.saturating_mul(U256::from(self.base_fee)).saturating_mul(scalar);
                (fee / U256::from(1_000_000)).saturating_to()
            }
            Upgrade::Ecotone => {
                let fee = U256::from(calldata_gas(transaction)).saturating_mul(self.weighed());
                (fee / U256::from(16_000_000)).saturating_to()
            }
            Upgrade::Fjord | Upgrade::Isthmus | Upgrade::Jovian => self.fee_of(compressed(transaction)),
        }
    }

    /// Wei that a transaction is charged of which FastLZ leaves so many bytes, since Fjord.
    pub fn fee_of(&self, compressed: u32) -> u128 {
        let fee = U256::from(size(compressed)).saturating_mul(self.weighed());
        (fee / U256::from(1_000_000_000_000_u64)).saturating_to()
    }

    /// Wei that no transaction of so many bytes is charged more than for its data, whatever they are.
    pub fn most(&self, bytes: usize) -> u128 {
        match self.upgrade {
            Upgrade::Bedrock | Upgrade::Ecotone => self.fee(&vec![0xff; bytes]),
            _ => self.fee_of(most_compressed(bytes)),
        }
    }

    /// Wei that the operator takes from a transaction that uses so much gas.
    pub fn operator_fee(&self, gas: u128) -> u128 {
        let product = gas.saturating_mul(u128::from(self.operator_fee_scalar));
        let by_gas = match self.upgrade {
            Upgrade::Bedrock | Upgrade::Ecotone | Upgrade::Fjord => return 0,
            Upgrade::Isthmus => product / 1_000_000,
            Upgrade::Jovian => product.saturating_mul(100),
        };
        by_gas.saturating_add(u128::from(self.operator_fee_constant))
    }

    /// Gas of its block that a transaction counts for because of its data, if FastLZ leaves so many bytes of it. A block
    /// holds no more of it than of gas.
    pub fn footprint(&self, compressed: u32) -> u64 {
        if self.upgrade < Upgrade::Jovian {
            return 0;
        }
        let scalar = if self.footprint_scalar == 0 { DEFAULT_FOOTPRINT_SCALAR } else { self.footprint_scalar };
        let bytes = u64::try_from(size(compressed) / 1_000_000).unwrap_or(u64::MAX);
        bytes.saturating_mul(u64::from(scalar))
    }

    /// Wei that a byte costs on L1, in 10¹²ths for each millionth of it.
    fn weighed(&self) -> U256 {
        U256::from(self.base_fee_scalar) * U256::from(self.base_fee) * U256::from(16)
            + U256::from(self.blob_base_fee_scalar) * U256::from(self.blob_base_fee)
    }
}

/// What this fee for data on L1 comes to at the most in the next block: that may be the first that knows of another block of L1,
/// whose base fee is higher by an eighth at the most (EIP-1559); that of blobs rises by less (EIP-7691, 7892).
pub(crate) fn dearest_next(fee: u128) -> u128 {
    fee.saturating_add(fee.div_ceil(8))
}

/// Bytes that a transaction takes on L1 by Fjord's model, in millionths.
fn size(compressed: u32) -> u128 {
    (INTERCEPT + PER_BYTE * i128::from(compressed)).max(LEAST).unsigned_abs()
}

/// Bytes that FastLZ leaves of a transaction.
pub fn compressed(transaction: &[u8]) -> u32 {
    op_alloy_flz::flz_compress_len(transaction)
}

/// Bytes that FastLZ leaves of so many at most: one more for each run of 32 that it saves nothing of.
pub(crate) fn most_compressed(bytes: usize) -> u32 {
    u32::try_from(bytes + bytes / 32 + 16).unwrap_or(u32::MAX)
}

/// What these bytes would cost as calldata on L1, before EIP-7623.
fn calldata_gas(transaction: &[u8]) -> u64 {
    transaction.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::noise;

    const PRICES: L1Prices = L1Prices {
        upgrade: Upgrade::Fjord,
        base_fee: 1_000_000_000,
        blob_base_fee: 10_000_000,
        base_fee_scalar: 2,
        blob_base_fee_scalar: 3,
        bedrock: (U256::ZERO, U256::ZERO),
        operator_fee_scalar: 0,
        operator_fee_constant: 0,
        footprint_scalar: 0,
    };

    #[test]
    fn small_transactions_cost_as_much_as_one_of_100_bytes() {
        // 100 bytes × (2 × 16 × 1 gwei + 3 × 0.01 gwei) / 10^6.
        assert_eq!(PRICES.fee_of(0), 3_203_000);
        assert_eq!(PRICES.fee_of(170), 3_203_000);
    }

    #[test]
    fn larger_ones_cost_by_their_compressed_size() {
        // (-42.5856 + 0.8365 × 1,000) bytes.
        assert_eq!(PRICES.fee_of(1_000), 793_914_400 * 32_030_000_000 / 1_000_000_000_000);
    }

    #[test]
    fn repetition_is_cheaper_than_noise_and_nothing_is_dearer_than_the_bound() {
        let noise = noise(1, 4_096);
        assert!(PRICES.fee(&noise) > 5 * PRICES.fee(&vec![7; noise.len()]));
        // Three bytes of each eight come again at once: runs are cut, and hardly anything is saved.
        let cut: Vec<u8> = noise.chunks(5).flat_map(|part| [part, &part[..part.len().min(3)]].concat()).collect();
        for data in [noise, cut] {
            assert!(PRICES.fee(&data) <= PRICES.most(data.len()));
        }
    }

    #[test]
    fn before_fjord_bytes_count_as_calldata() {
        let data = [0, 1, 2, 0];
        // 40 gas × 32.03 gwei-millionths / 16.
        let ecotone = L1Prices { upgrade: Upgrade::Ecotone, ..PRICES };
        assert_eq!(ecotone.fee(&data), 40 * 32_030_000_000 / 16_000_000);
        let bedrock = (U256::from(2_100), U256::from(684_000));
        let bedrock = L1Prices { upgrade: Upgrade::Bedrock, bedrock, ..PRICES };
        assert_eq!(bedrock.fee(&data), 2_140 * 684_000 * 1_000);
        assert_eq!((ecotone.most(100), bedrock.most(100)), (ecotone.fee(&[9; 100]), bedrock.fee(&[9; 100])));
    }

    #[test]
    fn the_operator_takes_nothing_then_millionths_then_hundreds() {
        let of = |upgrade| L1Prices { upgrade, operator_fee_scalar: 7_000, operator_fee_constant: 9, ..PRICES };
        let fees = [Upgrade::Bedrock, Upgrade::Ecotone, Upgrade::Fjord, Upgrade::Isthmus, Upgrade::Jovian]
            .map(|upgrade| of(upgrade).operator_fee(100_001));
        assert_eq!(fees, [0, 0, 0, 700 + 9, 70_000_700_000 + 9]);
    }

    #[test]
    fn data_counts_in_a_block_since_jovian_by_400_gas_if_nothing_else_is_said() {
        let jovian = L1Prices { upgrade: Upgrade::Jovian, ..PRICES };
        assert_eq!(PRICES.footprint(1_000), 0);
        assert_eq!((jovian.footprint(0), jovian.footprint(1_000)), (40_000, 793 * 400));
        assert_eq!(L1Prices { footprint_scalar: 10, ..jovian }.footprint(1_000), 7_930);
    }

    #[test]
    fn predeploys_that_say_the_most_or_nothing_lead_to_a_number() {
        for upgrade in [Upgrade::Bedrock, Upgrade::Ecotone, Upgrade::Fjord, Upgrade::Isthmus, Upgrade::Jovian] {
            let most = L1Prices {
                upgrade,
                base_fee: u128::MAX,
                blob_base_fee: u128::MAX,
                base_fee_scalar: u32::MAX,
                blob_base_fee_scalar: u32::MAX,
                bedrock: (U256::MAX, U256::MAX),
                operator_fee_scalar: u32::MAX,
                operator_fee_constant: u64::MAX,
                footprint_scalar: u16::MAX,
            };
            for prices in [most, L1Prices { upgrade, ..L1Prices::default() }] {
                let data = noise(2, 131_072);
                assert!(prices.fee(&data) <= prices.most(data.len()));
                let _ = (prices.operator_fee(u128::MAX), prices.footprint(u32::MAX), prices.fee_of(u32::MAX));
            }
        }
    }

    #[test]
    fn an_upgrade_is_in_force_when_those_before_it_are() {
        let flags = |flags: &[u8]| Upgrade::of(U256::from_le_slice(flags));
        assert_eq!(flags(&[]), Upgrade::Bedrock);
        assert_eq!(flags(&[1]), Upgrade::Ecotone);
        assert_eq!(flags(&[1, 1]), Upgrade::Fjord);
        assert_eq!(flags(&[1, 1, 1, 0]), Upgrade::Isthmus);
        assert_eq!(flags(&[1, 1, 1, 1, 1]), Upgrade::Jovian);
        assert_eq!(flags(&[1, 0, 1, 1]), Upgrade::Ecotone);
    }
}
