//! What ERC-7562 says of an operation: read from its text, by a trace of a real anvil, sharing nothing with the product's
//! rules.
//!
//! ```text
//!  operation ─► node (handleOps, traced by tracer.js) ─► trace ─► phases ─► opcodes, creation, access, storage, limits
//! ```
//!
//! - [`constants`]: the table of constants. - [`node`]: what anvil is asked. - [`trace`]: its answer.
//! - [`phases`]: whose frame is whose. - [`facts`]: all that rules are judged by.
//! - [`opcodes`]: OP-011, OP-012, OP-013, OP-020, OP-080. - [`creation`]: OP-031, OP-032, EREP-060, EREP-061.
//! - [`access`]: OP-041, OP-042, OP-051 to OP-055, OP-061, OP-062, AUTH-030. - [`storage`]: OP-070, STO-010 to STO-033.
//! - [`limits`]: EREP-050, AUTH-020, LIM-010 to LIM-070.
//!
//! `README.md` beside this file quotes each sentence that can be read in two ways, and says which reading this is.
//!
//! What one operation's validation does not show is not judged: what becomes of it between validations (COD-010,
//! EREP-055, EREP-070), other operations (STO-040, STO-041, AUTH-040, LIM-040, LIM-050), reputation and mempools.
//! AUTH-010 cannot be broken, as an operation has room for one tuple; an aggregator (EREP-040) is refused by
//! `handleOps` itself.

mod access;
mod constants;
mod creation;
mod facts;
mod limits;
mod node;
mod opcodes;
mod phases;
mod storage;
mod trace;

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use anyhow::Result;
use erc4337::{EntryPointVersion, UserOperation};

pub use constants::Constants;
use facts::Facts;
use node::Node;
pub use node::Tracer;

/// What is said of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// The EntryPoint does not come to execution: what it reverts with, in hex.
    Failed(String),
    /// It does, and these rules are broken, by these entities.
    Judged(BTreeSet<(String, String)>),
    /// A contract's creation failed in a run whose calls nest too deep to find out why.
    TooDeep,
}

/// The judge.
#[derive(Debug)]
pub struct Oracle {
    node: Node,
    constants: Constants,
}

impl Oracle {
    /// Judges by this stake (wei, seconds), and by no limits on gas and sizes.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(url: &str, min_stake: U256, unstake_delay: u32) -> Result<Self> {
        Self::with(url, Constants::without_limits(min_stake, unstake_delay))
    }

    /// Judges by these constants.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn with(url: &str, constants: Constants) -> Result<Self> {
        Ok(Self { node: Node::new(url)?, constants })
    }

    /// All that is wrong with an operation on the newest block.
    ///
    /// # Errors
    /// If anvil does not answer as it should.
    pub async fn judge(&self, version: EntryPointVersion, entry_point: Address, op: &UserOperation) -> Result<Opinion> {
        let run = self.node.run(version, entry_point, op).await?;
        if !run.trace.validated {
            return Ok(Opinion::Failed(run.trace.output.to_string()));
        }
        let mut facts = Facts::new(&self.constants, version, entry_point, op, run);
        if facts.has_puzzling_creations() {
            match self.node.starved_creations(version, entry_point, op).await? {
                Some(starved) => facts.starved_creations = starved,
                None => return Ok(Opinion::TooDeep),
            }
        }
        let mut broken = Broken::default();
        opcodes::check(&facts, &mut broken);
        creation::check(&facts, &mut broken);
        access::check(&facts, &mut broken);
        storage::check(&facts, &mut broken);
        limits::check(&facts, &mut broken);
        Ok(Opinion::Judged(broken.0))
    }

    /// Traces as [`Self::judge`] does, for whoever wants to know how long that takes: the length of the answer, bytes.
    ///
    /// # Errors
    /// If anvil does not answer as it should.
    pub async fn record(
        &self,
        version: EntryPointVersion,
        entry_point: Address,
        op: &UserOperation,
        tracer: Tracer,
    ) -> Result<usize> {
        Ok(self.node.record(version, entry_point, op, tracer).await?.get().len())
    }
}

/// Rules found broken.
#[derive(Debug, Default)]
struct Broken(BTreeSet<(String, String)>);

impl Broken {
    fn add(&mut self, rule: &str, entity: phases::Entity) {
        self.0.insert((rule.to_owned(), entity.to_string()));
    }
}
