// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IAccount } from "account-abstraction-v08/interfaces/IAccount.sol";

/// @title ISmartAccount
/// @notice An ERC-4337 account with any number of owners. An owner is written as bytes: 32 bytes are an ECDSA
/// address, left-padded; 64 bytes are a P-256 public key, x then y.
interface ISmartAccount is IAccount {
    /// @notice One call of a batch.
    /// @param target The contract to call.
    /// @param value Wei sent with the call.
    /// @param data Calldata of the call.
    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    /// @notice An owner was added.
    /// @param owner The owner's bytes.
    event OwnerAdded(bytes owner);

    /// @notice An owner was removed.
    /// @param owner The owner's bytes.
    event OwnerRemoved(bytes owner);

    /// @notice The caller may not call this function.
    /// @param caller Who called.
    error Unauthorized(address caller);

    /// @notice The account already has owners.
    error AlreadyInitialized();

    /// @notice An account must start with at least one owner.
    error NoOwners();

    /// @notice These bytes are neither a non-zero address nor a supported public key.
    /// @param owner The refused bytes.
    error InvalidOwner(bytes owner);

    /// @notice This owner is already present.
    /// @param owner The owner's bytes.
    error DuplicateOwner(bytes owner);

    /// @notice This is not an owner.
    /// @param owner The bytes given.
    error UnknownOwner(bytes owner);

    /// @notice The last owner of a proxy account cannot be removed: nobody could use the account again.
    error LastOwner();

    /// @notice A call of a batch failed. A batch of one call, and `execute`, return the call's own error instead.
    /// @param index Position of the failing call.
    /// @param error What the call returned.
    error ExecuteError(uint256 index, bytes error);

    /// @notice There is no contract at the EntryPoint's address.
    /// @param entryPoint The address given to the constructor.
    error NotAnEntryPoint(address entryPoint);

    /// @notice Sets the first owners. Called by the factory in the transaction that creates the account.
    /// @dev An EIP-7702 account may only be initialized by itself: its own key owns it already.
    /// @param owners The owners' bytes.
    function initialize(bytes[] calldata owners) external payable;

    /// @notice Makes one call. Only the EntryPoint, an owner or the account itself may ask for it.
    /// @param target The contract to call.
    /// @param value Wei sent with the call.
    /// @param data Calldata of the call.
    function execute(address target, uint256 value, bytes calldata data) external payable;

    /// @notice Makes several calls, all or none. Only the EntryPoint, an owner or the account itself may ask for it.
    /// @param calls The calls, in order.
    function executeBatch(Call[] calldata calls) external payable;

    /// @notice Adds an owner. Only an owner or the account itself may ask for it.
    /// @param owner The owner's bytes.
    function addOwner(bytes calldata owner) external;

    /// @notice Removes an owner. Only an owner or the account itself may ask for it.
    /// @param owner The owner's bytes.
    function removeOwner(bytes calldata owner) external;

    /// @notice Whether these bytes are an owner.
    /// @param owner The owner's bytes.
    function isOwner(bytes calldata owner) external view returns (bool);

    /// @notice How many owners are stored. An EIP-7702 account's own key is not counted.
    function ownerCount() external view returns (uint256);

    /// @notice The one EntryPoint this implementation obeys.
    function entryPoint() external view returns (address);
}
