// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import { LibEIP7702 } from "solady/accounts/LibEIP7702.sol";

import { ISmartAccount } from "./interfaces/ISmartAccount.sol";

/// @title Owners
/// @notice Who owns an account: a set keyed by the hash of the owner's bytes.
/// @dev The set is not enumerable; events list it. The first address shares a slot with the count, so that the usual
/// account, with one address, costs one slot to create.
abstract contract Owners is ISmartAccount {
    /// @custom:storage-location erc7201:fabstir.storage.Owners
    struct OwnersStorage {
        /// @dev An owner that is an address and is not in `present`, or zero.
        address primary;
        /// @dev How many owners there are, `primary` included; zero means the account is not initialized.
        uint96 count;
        /// @dev Whether the owner with this hash is present; `primary` is not listed here.
        mapping(bytes32 ownerHash => bool) present;
    }

    /// @dev keccak256(abi.encode(uint256(keccak256("fabstir.storage.Owners")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant OWNERS_SLOT = 0x6192f3719a53bd8a8cf16ee33ab2297b80ba164e773d826a2635234c05435600;

    /// @dev Only an owner's address or the account itself. The EntryPoint is left out on purpose: an operation that
    /// changes owners must say so as a call of the account to itself, which no session can make.
    modifier onlyOwner() {
        _requireOwner();
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
        if (!isOwner(owner)) revert UnknownOwner(owner);
        if ($.count == 1 && !_isDelegated()) revert LastOwner();
        bytes32 ownerHash = keccak256(owner);
        if ($.present[ownerHash]) delete $.present[ownerHash];
        else delete $.primary;
        unchecked {
            --$.count;
        }
        emit OwnerRemoved(owner);
        _ownerRemoved();
    }

    /// @inheritdoc ISmartAccount
    function isOwner(bytes calldata owner) public view returns (bool) {
        OwnersStorage storage $ = _owners();
        if (_isAddress(owner) && abi.decode(owner, (address)) == $.primary) return true;
        return $.present[keccak256(owner)];
    }

    /// @inheritdoc ISmartAccount
    function ownerCount() external view returns (uint256) {
        return _owners().count;
    }

    /// @dev Called after an owner is removed: what that owner granted must not outlive it.
    function _ownerRemoved() internal virtual;

    function _initializeOwners(bytes[] calldata owners) internal {
        OwnersStorage storage $ = _owners();
        if ($.count != 0) revert AlreadyInitialized();
        uint256 length = owners.length;
        if (length == 0) revert NoOwners();
        for (uint256 i; i < length; ++i) {
            _addOwner(owners[i]);
        }
        $.count = uint96(length);
    }

    /// @dev Makes the implementation itself unusable: it is initialized, and nobody owns it.
    function _lockImplementation() internal {
        _owners().count = type(uint96).max;
    }

    function _requireOwner() internal view {
        if (msg.sender != address(this) && !_isOwnerAddress(msg.sender)) revert Unauthorized(msg.sender);
    }

    /// @dev An EIP-7702 account's own key signs as the account's address. No proxy has a key for its address.
    function _isOwnerAddress(address signer) internal view returns (bool) {
        if (signer == address(0)) return false;
        OwnersStorage storage $ = _owners();
        return signer == $.primary || signer == address(this) || $.present[keccak256(abi.encode(signer))];
    }

    function _isOwnerKey(bytes32 x, bytes32 y) internal view returns (bool) {
        return _owners().present[keccak256(abi.encode(x, y))];
    }

    /// @dev Whether this account is an EOA that runs our code by EIP-7702.
    function _isDelegated() internal view returns (bool) {
        return LibEIP7702.delegationOf(address(this)) != address(0);
    }

    function _addOwner(bytes calldata owner) private {
        if (!_isAddress(owner) && !_isPublicKey(owner)) revert InvalidOwner(owner);
        if (isOwner(owner)) revert DuplicateOwner(owner);
        OwnersStorage storage $ = _owners();
        if (owner.length == 32 && $.primary == address(0)) $.primary = abi.decode(owner, (address));
        else $.present[keccak256(owner)] = true;
        emit OwnerAdded(owner);
    }

    function _isAddress(bytes calldata owner) private pure returns (bool) {
        if (owner.length != 32) return false;
        uint256 word = abi.decode(owner, (uint256));
        return word != 0 && word <= type(uint160).max;
    }

    function _isPublicKey(bytes calldata owner) private pure returns (bool) {
        if (owner.length != 64) return false;
        (bytes32 x, bytes32 y) = abi.decode(owner, (bytes32, bytes32));
        return P256.isValidPublicKey(x, y);
    }

    function _owners() private pure returns (OwnersStorage storage $) {
        assembly ("memory-safe") {
            $.slot := OWNERS_SLOT
        }
    }
}
