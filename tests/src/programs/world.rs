//! Onto the chain: contracts, deposits and stakes of many cases at once, without a transaction each.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol,
    sol_types::{SolCall, SolValue},
};
use anyhow::{Result, bail, ensure};
use erc4337::{EntryPointVersion, storage::deposit_slots};
use serde_json::{Value, json};

use super::{
    helpers,
    scenario::{Placement, Scenario, Stake},
    verdict,
};
use crate::Stack;

/// Requests in one batch.
const BATCH: usize = 500;

sol! {
    struct DepositInfo { uint256 deposit; bool staked; uint112 stake; uint32 unstakeDelaySec; uint48 withdrawTime; }
    function getDepositInfo(address account) external view returns (DepositInfo info);
}

/// A chain with the EntryPoints, to place programs on.
#[derive(Debug)]
pub struct World<'a> {
    stack: &'a Stack,
}

impl<'a> World<'a> {
    /// With the helpers that every program may use, and with EntryPoints that own what they owe.
    pub async fn new(stack: &'a Stack) -> Result<Self> {
        let world = Self { stack };
        let rich = parse_ether("1000000")?;
        let mut wishes: Vec<_> = helpers::common().into_iter().map(|(at, code)| set_code(at, &code)).collect();
        wishes.extend(EntryPointVersion::ALL.map(|version| set_balance(world.entry_point(version), rich)));
        world.ask(wishes).await?;
        Ok(world)
    }

    /// Where this version is.
    pub fn entry_point(&self, version: EntryPointVersion) -> Address {
        self.stack.deployment.entry_points[&version.to_string()]
    }

    /// Places them all, and waits until the bundler has seen the block that has them.
    pub async fn place(&self, placements: impl IntoIterator<Item = &Placement>) -> Result<()> {
        let newcomer = self.newcomer().await?;
        let mut placements: Vec<&Placement> = placements.into_iter().collect();
        placements.push(&newcomer);
        let mut wishes = Vec::new();
        let mut contracts: BTreeMap<&Address, &Bytes> = BTreeMap::new();
        let mut staked = BTreeMap::new();
        for placement in placements {
            contracts.extend(&placement.contracts);
            let entry_point = self.entry_point(placement.version);
            for (entity, stake) in &placement.entities {
                wishes.push(set_balance(*entity, parse_ether("1")?));
                for (slot, value) in deposit_slots(*entity).into_iter().zip(deposit(placement.version, *stake)?) {
                    if value != U256::ZERO {
                        let word = |value: U256| json!(format!("{value:#066x}"));
                        let params = vec![json!(entry_point), word(slot), word(value)];
                        wishes.push(("anvil_setStorageAt", params));
                    }
                }
                staked.entry((placement.version, stake.is_some())).or_insert((*entity, *stake));
            }
        }
        wishes.extend(contracts.into_iter().map(|(at, code)| set_code(*at, code)));
        self.ask(wishes).await?;
        self.stack.anvil.ask("evm_mine", vec![]).await?;
        self.catch_up(&newcomer).await?;
        for ((version, _), (entity, stake)) in staked {
            self.check_deposit(version, entity, stake).await?;
        }
        Ok(())
    }

    /// An account at an address that it has at no other block.
    async fn newcomer(&self) -> Result<Placement> {
        let block = self.stack.anvil.ask("eth_blockNumber", vec![]).await?;
        let version = EntryPointVersion::V0_8;
        let mut newcomer = Scenario::new(version).place(&format!("block {block}"), self.entry_point(version));
        // Whatever rules the bundler has.
        newcomer.op.verification_gas_limit = 400_000;
        Ok(newcomer)
    }

    async fn ask(&self, wishes: Vec<(&'static str, Vec<Value>)>) -> Result<()> {
        for batch in wishes.chunks(BATCH) {
            self.stack.anvil.ask_all(batch).await?;
        }
        Ok(())
    }

    /// Waits until the bundler judges by the block just mined: until it takes an operation of this account, which is
    /// new there.
    async fn catch_up(&self, newcomer: &Placement) -> Result<()> {
        let entry_point = self.entry_point(newcomer.version);
        let mut said = Ok(());
        for _ in 0..100 {
            said = verdict::send(self.stack, &newcomer.op, newcomer.version, entry_point).await?;
            if said.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        bail!("the bundler has not seen what was placed: {said:?}")
    }

    /// The layouts that [`deposit`] writes are the contracts' own only if they read the same out of them.
    async fn check_deposit(&self, version: EntryPointVersion, entity: Address, stake: Option<Stake>) -> Result<()> {
        let call = getDepositInfoCall { account: entity }.abi_encode();
        let call = json!({ "to": self.entry_point(version), "data": Bytes::from(call) });
        let answer = self.stack.anvil.ask("eth_call", vec![call, json!("latest")]).await?;
        let info = DepositInfo::abi_decode(&serde_json::from_value::<Bytes>(answer)?)?;
        ensure!(info.deposit == parse_ether("1")?, "{version}: deposit {}", info.deposit);
        let stake = stake.unwrap_or(Stake { wei: U256::ZERO, delay: 0, locked: false });
        let found = (U256::from(info.stake), info.unstakeDelaySec, info.staked);
        ensure!(found == (stake.wei, stake.delay, stake.locked), "{version}: {found:?} is not {stake:?}");
        Ok(())
    }
}

fn set_code(at: Address, code: &Bytes) -> (&'static str, Vec<Value>) {
    ("anvil_setCode", vec![json!(at), json!(code)])
}

fn set_balance(of: Address, wei: U256) -> (&'static str, Vec<Value>) {
    ("anvil_setBalance", vec![json!(of), json!(wei)])
}

/// The two words of a `DepositInfo` with one ether of deposit.
fn deposit(version: EntryPointVersion, stake: Option<Stake>) -> Result<[U256; 2]> {
    let deposit = parse_ether("1")?;
    let Some(stake) = stake else { return Ok([deposit, U256::ZERO]) };
    let locked = U256::from(u8::from(stake.locked));
    // A stake that is not locked is to be had from some time on.
    let withdraw_time = if stake.locked { U256::ZERO } else { U256::from(u32::MAX) };
    let delay = U256::from(stake.delay);
    Ok(if version == EntryPointVersion::V0_6 {
        [deposit | locked << 112 | stake.wei << 120, delay | withdraw_time << 32]
    } else {
        [deposit, locked | stake.wei << 8 | delay << 120 | withdraw_time << 152]
    })
}
