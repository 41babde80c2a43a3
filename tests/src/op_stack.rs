//! Predeploys of the OP stack on an anvil: what a chain like Base charges beside gas.

use alloy::primitives::{Address, B256, U256, address};
use anyhow::Result;
use bundler::l1_fee::{L1Prices, Upgrade};
use serde_json::json;

use crate::Anvil;

/// Prices on L1, as the first transaction of each block sets them.
pub const L1_BLOCK: Address = address!("0x4200000000000000000000000000000000000015");
/// Which formulas hold.
pub const GAS_PRICE_ORACLE: Address = address!("0x420000000000000000000000000000000000000F");

/// Calldata of the transaction that heads each block, laid out as the upgrade's text has it.
pub fn attributes(prices: &L1Prices) -> Vec<u8> {
    // The selector is that of no upgrade: no bytecode is asked, the layout is what counts.
    let mut data = vec![0; 4];
    data.extend(prices.base_fee_scalar.to_be_bytes());
    data.extend(prices.blob_base_fee_scalar.to_be_bytes());
    // Sequence number, and L1's timestamp and number.
    data.extend([1; 24]);
    data.extend(U256::from(prices.base_fee).to_be_bytes::<32>());
    data.extend(U256::from(prices.blob_base_fee).to_be_bytes::<32>());
    // Hashes of L1's block and of the batcher.
    data.extend([2; 64]);
    if prices.upgrade >= Upgrade::Isthmus {
        data.extend(prices.operator_fee_scalar.to_be_bytes());
        data.extend(prices.operator_fee_constant.to_be_bytes());
    }
    if prices.upgrade >= Upgrade::Jovian {
        data.extend(prices.footprint_scalar.to_be_bytes());
    }
    data
}

/// Stores what `L1Block` and `GasPriceOracle` would after that transaction, whether their code is there or not, and
/// mines a block on it.
pub async fn set_prices(anvil: &Anvil, prices: &L1Prices) -> Result<()> {
    store_prices(anvil, prices).await?;
    anvil.ask("anvil_mine", vec![json!(1)]).await?;
    Ok(())
}

/// The same without a block: the next one has it.
pub async fn store_prices(anvil: &Anvil, prices: &L1Prices) -> Result<()> {
    let attributes = attributes(prices);
    let word = |from: usize, to: usize| U256::from_be_slice(&attributes[from..to]);
    let mut slots = vec![
        (L1_BLOCK, 1, word(36, 68)),
        (L1_BLOCK, 3, word(4, 20)),
        (L1_BLOCK, 7, word(68, 100)),
        (GAS_PRICE_ORACLE, 0, flags(prices.upgrade)),
    ];
    if prices.upgrade == Upgrade::Bedrock {
        slots.extend([(L1_BLOCK, 5, prices.bedrock.0), (L1_BLOCK, 6, prices.bedrock.1)]);
    }
    if prices.upgrade >= Upgrade::Isthmus {
        // The scalar lies above the constant, Jovian's scalar above both.
        let footprint = if prices.upgrade >= Upgrade::Jovian { word(176, 178) } else { U256::ZERO };
        slots.push((L1_BLOCK, 8, footprint << 96 | word(164, 176)));
    }
    for (contract, slot, value) in slots {
        let params = vec![json!(contract), json!(B256::from(U256::from(slot))), json!(B256::from(value))];
        anvil.ask("anvil_setStorageAt", params).await?;
    }
    Ok(())
}

/// `isEcotone`, `isFjord`, `isIsthmus`, `isJovian`: a byte each, the first the lowest.
fn flags(upgrade: Upgrade) -> U256 {
    let order = [Upgrade::Ecotone, Upgrade::Fjord, Upgrade::Isthmus, Upgrade::Jovian];
    U256::from_le_slice(&order.map(|reached| u8::from(reached <= upgrade)))
}
