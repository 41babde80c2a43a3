// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { LibClone } from "solady/utils/LibClone.sol";

import { SmartAccount } from "./SmartAccount.sol";
import { ISmartAccountFactory } from "./interfaces/ISmartAccountFactory.sol";

/// @title SmartAccountFactory
/// @notice Creates the ERC-1967 proxies of SmartAccount.
contract SmartAccountFactory is ISmartAccountFactory {
    /// @inheritdoc ISmartAccountFactory
    address public immutable implementation;

    /// @param implementation_ The SmartAccount behind every proxy.
    constructor(address implementation_) {
        if (implementation_.code.length == 0) revert NotAnImplementation(implementation_);
        implementation = implementation_;
    }

    /// @inheritdoc ISmartAccountFactory
    function createAccount(bytes[] calldata owners, uint256 nonce) external payable returns (SmartAccount account) {
        (bool exists, address instance) =
            LibClone.createDeterministicERC1967(msg.value, implementation, _salt(owners, nonce));
        account = SmartAccount(payable(instance));
        if (!exists) {
            account.initialize(owners);
            emit AccountCreated(instance, nonce);
        }
    }

    /// @inheritdoc ISmartAccountFactory
    function getAddress(bytes[] calldata owners, uint256 nonce) external view returns (address) {
        return LibClone.predictDeterministicAddressERC1967(implementation, _salt(owners, nonce), address(this));
    }

    function _salt(bytes[] calldata owners, uint256 nonce) private pure returns (bytes32) {
        return keccak256(abi.encode(owners, nonce));
    }
}
