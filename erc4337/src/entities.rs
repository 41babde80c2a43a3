//! How to recognise, from a call's selector, what the EntryPoint is asking of an entity.

use alloy::sol_types::SolCall;

use crate::{
    EntryPointVersion,
    abi::{account_v06, account_v08, paymaster_v06, paymaster_v08, sender_creator},
};

/// Selectors of the calls that one EntryPoint version makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntitySelectors {
    /// On the account, in validation.
    pub validate_user_op: [u8; 4],
    /// On the paymaster, in validation.
    pub validate_paymaster_user_op: [u8; 4],
    /// On the paymaster, after execution.
    pub post_op: [u8; 4],
    /// On the SenderCreator, which calls the factory.
    pub create_sender: [u8; 4],
    /// On the SenderCreator, which calls an EIP-7702 account's initialiser.
    pub init_eip7702_sender: [u8; 4],
}

impl EntryPointVersion {
    /// The selectors this version uses.
    pub const fn selectors(self) -> EntitySelectors {
        let (validate_user_op, validate_paymaster_user_op, post_op) = match self {
            Self::V0_6 => (
                account_v06::validateUserOpCall::SELECTOR,
                paymaster_v06::validatePaymasterUserOpCall::SELECTOR,
                paymaster_v06::postOpCall::SELECTOR,
            ),
            Self::V0_7 | Self::V0_8 | Self::V0_9 => (
                account_v08::validateUserOpCall::SELECTOR,
                paymaster_v08::validatePaymasterUserOpCall::SELECTOR,
                paymaster_v08::postOpCall::SELECTOR,
            ),
        };
        EntitySelectors {
            validate_user_op,
            validate_paymaster_user_op,
            post_op,
            create_sender: sender_creator::createSenderCall::SELECTOR,
            init_eip7702_sender: sender_creator::initEip7702SenderCall::SELECTOR,
        }
    }
}
