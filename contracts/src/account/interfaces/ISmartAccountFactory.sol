// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { SmartAccount } from "../SmartAccount.sol";

/// @title ISmartAccountFactory
/// @notice Creates accounts at addresses that follow from their first owners and a nonce.
/// @dev Clean under ERC-7562 as an operation's factory: one CREATE2, no storage, no forbidden opcode. No stake needed.
interface ISmartAccountFactory {
    /// @notice An account was created. Its own events name its owners.
    /// @param account Its address.
    /// @param nonce The nonce that tells accounts of the same owners apart.
    event AccountCreated(address indexed account, uint256 nonce);

    /// @notice There is no contract at the implementation's address.
    /// @param implementation The address given to the constructor.
    error NotAnImplementation(address implementation);

    /// @notice Creates the account, or returns it when it exists. Value sent goes to the account.
    /// @param owners The first owners' bytes.
    /// @param nonce Tells accounts of the same owners apart.
    function createAccount(bytes[] calldata owners, uint256 nonce) external payable returns (SmartAccount account);

    /// @notice The address that `createAccount` gives these owners, whether or not the account exists.
    /// @param owners The first owners' bytes.
    /// @param nonce Tells accounts of the same owners apart.
    function getAddress(bytes[] calldata owners, uint256 nonce) external view returns (address);

    /// @notice The implementation behind every proxy this factory makes.
    function implementation() external view returns (address);
}
