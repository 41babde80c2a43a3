//! A disagreement on disk: all that it takes to see it again, without the dice.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, Bytes, U256, keccak256};
use anyhow::{Context, Result};
use erc4337::{EntryPointVersion, UserOperationRequest, wire};
use serde_json::{Value, json};

use super::scenario::{Placement, Scenario, Stake};

/// Where they are kept.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/disagreements")
}

/// Writes one down, with `FABSTIR_KEEP=1` among those that are kept, else in `target/`; where.
///
/// # Errors
/// If it cannot be written.
pub fn keep(scenario: &Scenario, placement: &Placement, verdicts: &str) -> Result<PathBuf> {
    let entities: BTreeMap<_, _> =
        placement.entities.iter().map(|(entity, stake)| (entity.to_string(), stake.map(stake_to_json))).collect();
    let json = json!({
        "verdicts": verdicts,
        "programs": format!("{scenario:?}"),
        "version": placement.version.to_string(),
        "op": wire::to_json(&placement.op, placement.version),
        "contracts": placement.contracts,
        "entities": entities,
    });
    let text = serde_json::to_string_pretty(&json)? + "\n";
    let name = &keccak256(format!("{scenario:?}")).to_string()[2..18];
    let asked = std::env::var("FABSTIR_KEEP").is_ok_and(|keep| keep == "1");
    let folder = if asked { folder() } else { crate::stack::root().join("target/disagreements") };
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, text)?;
    Ok(path)
}

/// All that are kept, by file.
///
/// # Errors
/// If one cannot be read.
pub fn kept() -> Result<Vec<(PathBuf, Placement)>> {
    let Ok(files) = std::fs::read_dir(folder()) else { return Ok(Vec::new()) };
    let mut paths: Vec<_> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
            let placement = read(&value).with_context(|| path.display().to_string())?;
            Ok((path, placement))
        })
        .collect()
}

fn read(value: &Value) -> Result<Placement> {
    let version: EntryPointVersion = value["version"].as_str().context("no version")?.parse()?;
    let op = UserOperationRequest::from_json(&value["op"], version)?.with_open_fields_zero();
    let contracts: BTreeMap<Address, Bytes> = serde_json::from_value(value["contracts"].clone())?;
    let entities: BTreeMap<Address, Value> = serde_json::from_value(value["entities"].clone())?;
    let entities = entities
        .into_iter()
        .map(|(entity, stake)| Ok((entity, if stake.is_null() { None } else { Some(stake_from_json(&stake)?) })))
        .collect::<Result<_>>()?;
    Ok(Placement { version, op, contracts, entities })
}

fn stake_to_json(stake: Stake) -> Value {
    json!({ "wei": stake.wei, "delay": stake.delay, "locked": stake.locked })
}

fn stake_from_json(value: &Value) -> Result<Stake> {
    let wei: U256 = serde_json::from_value(value["wei"].clone())?;
    let delay: u32 = serde_json::from_value(value["delay"].clone())?;
    Ok(Stake { wei, delay, locked: value["locked"].as_bool().context("locked")? })
}
