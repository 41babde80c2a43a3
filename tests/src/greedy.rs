//! Accounts that make a bundler simulate as much as it lets them: what they execute is written by hand, their validation
//! agrees to everything.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256, utils::parse_ether},
    sol_types::SolCall,
};
use anyhow::Result;
use erc4337::{EntryPointVersion, abi::entry_point_v08};
use serde_json::{Value, json};

use crate::{
    programs::asm::{Asm, op},
    stack::Stack,
};

/// Slots that lead from one to the next.
const LINKS: usize = 40;

/// What such an account does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greed {
    /// Works only if it is given much, of which it uses nothing; else it burns what it is given, and reverts: limits have to
    /// be searched for.
    Searched,
    /// Calls without end, and each call returns four kilobytes.
    Frames,
    /// Looks at the balances of 1,800 accounts that nobody has ever heard of.
    Strangers,
    /// Burns gas, and then reads one slot where the other leads.
    Chased,
}

impl Greed {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Searched, Self::Frames, Self::Strangers, Self::Chased];

    /// Where the account is.
    pub fn address(self) -> Address {
        Address::repeat_byte(0xa0 + self as u8)
    }

    /// Its code: validation returns zero, and anything else is what it does.
    pub fn code(self) -> Bytes {
        const LT: u8 = 0x10;
        const DUP2: u8 = 0x81;
        const SWAP1: u8 = 0x90;
        let selector = EntryPointVersion::V0_8.selectors().validate_user_op;
        let mut asm = Asm::default();
        let (validation, again, done) = (asm.label(), asm.label(), asm.label());
        asm.number(0).op(op::CALLDATALOAD).number(0xe0).op(op::SHR);
        asm.push(U256::from_be_slice(&selector)).op(op::EQ).jump_if(validation);
        match self {
            Self::Searched => {
                asm.op(op::GAS).number(12_000_000).op(LT).jump_if(done);
                asm.place(again).op(op::GAS).number(10_000).op(LT).jump_if(again);
                asm.number(0).number(0).op(op::REVERT);
            }
            Self::Frames => {
                asm.place(again).number(0).number(0).number(4_096).number(0).number(4);
                asm.op(op::GAS).op(op::STATICCALL).op(op::POP);
                asm.op(op::GAS).number(200_000).op(LT).jump_if(again);
            }
            Self::Strangers => {
                asm.number(1_800).place(again).op(op::DUP1).number(0xdead_0000).op(op::ADD).op(op::BALANCE).op(op::POP);
                asm.number(1).op(SWAP1).op(op::SUB).op(op::DUP1).jump_if(again);
            }
            Self::Chased => {
                let burn = asm.label();
                asm.place(burn).op(op::GAS).number(4_000_000).op(LT).jump_if(burn);
                asm.number(LINKS).number(0).place(again).number(0).op(op::MSTORE);
                asm.number(32).number(0).op(op::KECCAK256).op(op::DUP1).op(op::SLOAD).op(op::ADD);
                asm.op(SWAP1).number(1).op(SWAP1).op(op::SUB).op(SWAP1).op(DUP2).jump_if(again);
            }
        }
        asm.place(done).op(op::STOP);
        asm.place(validation).number(0).number(0).op(op::MSTORE).number(32).number(0).op(op::RETURN);
        asm.finish()
    }

    /// An operation of its without gas limits, in the words of a client.
    pub fn operation(self) -> Value {
        json!({
            "sender": self.address(),
            "nonce": "0x0",
            "callData": "0x00",
            "maxFeePerGas": "0xb2d05e00",
            "maxPriorityFeePerGas": "0x3b9aca00",
            "signature": "0x",
        })
    }
}

/// Puts all of them on the chain; the EntryPoint that they are for, which each has a deposit in.
///
/// # Errors
/// If the chain does not do it.
pub async fn place(stack: &Stack) -> Result<Address> {
    let entry_point = stack.deployment.entry_points[&EntryPointVersion::V0_8.to_string()];
    for greed in Greed::ALL {
        let account = greed.address();
        stack.anvil.ask("anvil_setCode", vec![json!(account), json!(greed.code())]).await?;
        let deposit = entry_point_v08::depositToCall { account };
        stack.anvil.transact(Some(entry_point), deposit.abi_encode(), parse_ether("10")?).await?;
    }
    // Where the chase leads: each slot holds something, so that the next one cannot be told.
    let chased = Greed::Chased.address();
    let mut word = U256::ZERO;
    for _ in 0..LINKS {
        let slot = U256::from_be_bytes(keccak256(word.to_be_bytes::<32>()).0);
        let (place, value) = (B256::from(slot), B256::from(U256::from(7)));
        stack.anvil.ask("anvil_setStorageAt", vec![json!(chased), json!(place), json!(value)]).await?;
        word = slot.wrapping_add(U256::from(7));
    }
    Ok(entry_point)
}
