// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { LibEIP7702 } from "solady/accounts/LibEIP7702.sol";

import { ISmartAccount } from "./interfaces/ISmartAccount.sol";

/// @title Owners
/// @notice Who owns an account: a set keyed by the hash of the owner's bytes.
/// @dev The set is not enumerable. Events list it, and one storage slot for each owner keeps creation cheap.
abstract contract Owners is ISmartAccount {
    /// @custom:storage-location erc7201:fabstir.storage.Owners
    struct OwnersStorage {
        /// @dev Whether the owner with this hash is present.
        mapping(bytes32 ownerHash => bool) present;
        /// @dev How many owners are present; zero means the account is not initialized.
        uint256 count;
    }

    /// @dev keccak256(abi.encode(uint256(keccak256("fabstir.storage.Owners")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant OWNERS_SLOT = 0x6192f3719a53bd8a8cf16ee33ab2297b80ba164e773d826a2635234c05435600;

    /// @dev Only an owner's address or the account itself. The EntryPoint is left out on purpose: an operation that
    /// changes owners must say so as a call of the account to itself, which no session can make.
    modifier onlyOwner() {
        if (msg.sender != address(this) && !_isOwnerAddress(msg.sender)) revert Unauthorized(msg.sender);
        _;
    }

    /// @inheritdoc ISmartAccount
    function addOwner(bytes calldata owner) external onlyOwner {
        _addOwner(owner);
        unchecked {
            ++_owners().count;
        }
    }

    /// @inheritdoc ISmartAccount
    function removeOwner(bytes calldata owner) external onlyOwner {
        OwnersStorage storage $ = _owners();
        bytes32 ownerHash = keccak256(owner);
        if (!$.present[ownerHash]) revert UnknownOwner(owner);
        if ($.count == 1 && !_isDelegated()) revert LastOwner();
        delete $.present[ownerHash];
        unchecked {
            --$.count;
        }
        emit OwnerRemoved(owner);
    }

    /// @inheritdoc ISmartAccount
    function isOwner(bytes calldata owner) external view returns (bool) {
        return _owners().present[keccak256(owner)];
    }

    /// @inheritdoc ISmartAccount
    function ownerCount() external view returns (uint256) {
        return _owners().count;
    }

    function _initializeOwners(bytes[] calldata owners) internal {
        OwnersStorage storage $ = _owners();
        if ($.count != 0) revert AlreadyInitialized();
        uint256 length = owners.length;
        if (length == 0) revert NoOwners();
        for (uint256 i; i < length; ++i) {
            _addOwner(owners[i]);
        }
        $.count = length;
    }

    /// @dev Makes the implementation itself unusable: it is initialized, and nobody owns it.
    function _lockImplementation() internal {
        _owners().count = type(uint256).max;
    }

    /// @dev An EIP-7702 account's own key signs as the account's address. No proxy has a key for its address.
    function _isOwnerAddress(address signer) internal view returns (bool) {
        if (signer == address(0)) return false;
        return signer == address(this) || _owners().present[keccak256(abi.encode(signer))];
    }

    /// @dev Whether this account is an EOA that runs our code by EIP-7702.
    function _isDelegated() internal view returns (bool) {
        return LibEIP7702.delegationOf(address(this)) != address(0);
    }

    function _addOwner(bytes calldata owner) private {
        if (!_isWellFormed(owner)) revert InvalidOwner(owner);
        OwnersStorage storage $ = _owners();
        bytes32 ownerHash = keccak256(owner);
        if ($.present[ownerHash]) revert DuplicateOwner(owner);
        $.present[ownerHash] = true;
        emit OwnerAdded(owner);
    }

    function _isWellFormed(bytes calldata owner) private pure returns (bool) {
        if (owner.length != 32) return false;
        uint256 word = abi.decode(owner, (uint256));
        return word != 0 && word <= type(uint160).max;
    }

    function _owners() private pure returns (OwnersStorage storage $) {
        assembly ("memory-safe") {
            $.slot := OWNERS_SLOT
        }
    }
}
