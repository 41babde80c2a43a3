//! One broken rule: who broke it, where, and what to do about it.

use std::fmt;

use alloy::primitives::{Address, B256, U256};
use erc4337::error_code;
use revm::bytecode::OpCode;
use serde_json::{Value, json};

use super::{Minimum, Rule, Standing};
use crate::rejection::Entity;

/// A rule that a validation broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// In whose phase.
    pub entity: Entity,
    /// That entity's address.
    pub address: Address,
    /// The instruction that broke it.
    pub opcode: u8,
    /// Its offset in the code of `contract`.
    pub pc: usize,
    /// Whose code it is in.
    pub contract: Address,
    /// The slot, of storage rules.
    pub slot: Option<U256>,
    /// The contract that was accessed, called or created, if it is about one.
    pub accessed: Option<Address>,
    /// Frames above, the transaction's counted.
    pub depth: usize,
    /// Whose code runs, from the EntryPoint down to `contract`.
    pub call_path: Vec<Address>,
    /// If a stake would have allowed it: how well the one is staked who would have to be.
    pub cure: Option<Standing>,
    /// What would do.
    pub minimum: Minimum,
}

impl Violation {
    /// Whether it called a contract that only the chain's client can run.
    pub fn is_of_native_code(&self) -> bool {
        self.rule == Rule::Op062 || self.rule == Rule::Op013 && self.accessed.is_some()
    }

    /// What its author can do about it.
    fn remedy(&self) -> &'static str {
        if self.is_of_native_code() {
            "call it in execution, and not in validation; of tokens that pay for gas, use one that is a contract"
        } else {
            self.rule.remedy()
        }
    }

    /// The JSON-RPC code (ERC-7769).
    pub fn code(&self) -> i32 {
        if self.cure == Some(Standing::TooLow) { error_code::STAKE_TOO_LOW } else { error_code::RULE_VIOLATION }
    }

    /// The instruction's name, as before the merge where it has two.
    pub fn opcode_name(&self) -> String {
        OpCode::new(self.opcode).map_or_else(|| format!("0x{:02x}", self.opcode), |opcode| opcode.as_str().to_owned())
    }

    /// Everything there is to say.
    pub fn to_json(&self) -> Value {
        let mut answer = json!({
            "rule": self.rule.id(),
            "entity": self.entity.to_string(),
            "entityAddress": self.address,
            "opcode": self.opcode_name(),
            "pc": self.pc,
            "contract": self.contract,
            "depth": self.depth,
            "callPath": self.call_path,
            "remedy": self.remedy(),
        });
        if let Some(slot) = self.slot {
            answer["slot"] = json!(B256::from(slot));
        }
        if let Some(accessed) = self.accessed {
            answer["accessed"] = json!(accessed);
        }
        if self.code() == error_code::STAKE_TOO_LOW {
            if self.entity == Entity::Paymaster {
                answer["paymaster"] = json!(self.address);
            }
            answer["minimumStake"] = json!(U256::from(self.minimum.stake));
            answer["minimumUnstakeDelay"] = json!(U256::from(self.minimum.unstake_delay));
        }
        answer
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entity, opcode, rule) = (self.entity, self.opcode_name(), self.rule);
        let accessed = self.accessed.unwrap_or_default();
        let unstaked = if self.cure.is_some() { "unstaked " } else { "" };
        match rule {
            Rule::Op013 | Rule::Op062 if self.is_of_native_code() => write!(
                f,
                "{entity} calls {accessed} with opcode {opcode}, which the chain's client executes itself: what it \
                 answers cannot be known before it is on chain"
            ),
            Rule::Op011 | Rule::Op012 | Rule::Op013 | Rule::Op031 | Rule::Op080 => {
                write!(f, "{unstaked}{entity} uses banned opcode: {opcode}")
            }
            Rule::Op020 => write!(f, "{entity} internally reverts on oog"),
            Rule::Op041 => write!(f, "{entity} accesses un-deployed contract address {accessed} with opcode {opcode}"),
            Rule::Op054 => write!(f, "{entity} accesses the EntryPoint with opcode {opcode}"),
            Rule::Op061 => write!(f, "{entity} calls {accessed} with value"),
            Rule::Op062 => write!(f, "{entity} calls the precompile {accessed}, which is not accepted"),
            Rule::Auth020 => {
                write!(f, "{entity} {} runs another's code by EIP-7702, as only a sender may", self.address)
            }
            Rule::Auth030 => write!(
                f,
                "{entity} accesses {accessed} with opcode {opcode}, which runs another's code by EIP-7702 and is not the \
                 sender"
            ),
            Rule::Sto022 | Rule::Sto031 | Rule::Sto032 | Rule::Sto033 => {
                let slot = self.slot.unwrap_or_default();
                write!(
                    f,
                    "{unstaked}{entity} {} has forbidden access ({opcode}) to slot {slot:#x} of {accessed}",
                    self.address
                )
            }
            Rule::Erep050 => write!(f, "{unstaked}{entity} {} must not return a context", self.address),
            Rule::Lim020 => write!(f, "{entity} {} returns a context that is too long", self.address),
        }?;
        write!(f, " ({rule})")
    }
}
