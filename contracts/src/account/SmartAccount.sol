// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";
import { UUPSUpgradeable } from "solady/utils/UUPSUpgradeable.sol";

import { CallLib } from "./CallLib.sol";
import { EntryPointLib } from "./EntryPointLib.sol";
import { SignatureType } from "./SignatureType.sol";
import { TokenReceiver } from "./TokenReceiver.sol";
import { Vouchers } from "./Vouchers.sol";
import { IAccount, ISmartAccount } from "./interfaces/ISmartAccount.sol";

/// @title SmartAccount
/// @notice The Fabstir account: an ERC-4337 account behind an ERC-1967 proxy, or the delegate of an EIP-7702 EOA.
/// @dev An operation's signature is an owner's (see OwnerSignatures) or a session key's,
/// `0x02 ‖ abi.encode(Session, bytes ownerSignature, bytes keySignature)`, where the owner's signature of the session
/// is needed only the first time.
/// EntryPoint v0.8 and later hash operations as EIP-712 typed data, so that hash is signed as it is. The v0.7 hash is
/// opaque and wallets sign it only as a message, so there the EIP-191 prefix is added before signing.
contract SmartAccount is Vouchers, TokenReceiver, UUPSUpgradeable {
    /// @dev A wrong signature is returned, not reverted, so that gas can be estimated with a dummy signature.
    uint256 private constant SIG_VALIDATION_FAILED = 1;

    /// @dev The shortest signature that has a type byte is longer than this.
    uint256 private constant ECDSA_LENGTH = 65;

    address private immutable ENTRY_POINT;

    /// @dev Whether the EntryPoint hashes operations as EIP-712 typed data.
    bool private immutable TYPED_OPERATION_HASH;

    /// @param entryPoint_ EntryPoint v0.7, v0.8 or v0.9.
    constructor(address entryPoint_) {
        if (entryPoint_.code.length == 0) revert NotAnEntryPoint(entryPoint_);
        ENTRY_POINT = entryPoint_;
        TYPED_OPERATION_HASH = EntryPointLib.isV08OrLater(entryPoint_);
        _lockImplementation();
    }

    /// @notice Accepts native currency.
    receive() external payable { }

    modifier onlyEntryPoint() {
        if (msg.sender != ENTRY_POINT) revert Unauthorized(msg.sender);
        _;
    }

    /// @dev Owners may act without the EntryPoint, so that no bundler can hold an account's funds.
    modifier onlyEntryPointOrOwner() {
        if (msg.sender != ENTRY_POINT) _requireOwner();
        _;
    }

    /// @inheritdoc ISmartAccount
    function initialize(bytes[] calldata owners) external payable {
        if (_isDelegated() && msg.sender != address(this)) revert Unauthorized(msg.sender);
        _initializeOwners(owners);
    }

    /// @inheritdoc ISmartAccount
    function execute(address target, uint256 value, bytes calldata data) external payable onlyEntryPointOrOwner {
        if (!CallLib.tryCall(target, value, data)) CallLib.bubbleRevert();
    }

    /// @inheritdoc ISmartAccount
    function executeBatch(Call[] calldata calls) external payable onlyEntryPointOrOwner {
        uint256 length = calls.length;
        for (uint256 i; i < length; ++i) {
            Call calldata call = calls[i];
            if (!CallLib.tryCall(call.target, call.value, call.data)) {
                if (length == 1) CallLib.bubbleRevert();
                revert ExecuteError(i, CallLib.returnData());
            }
        }
    }

    /// @inheritdoc IAccount
    function validateUserOp(PackedUserOperation calldata userOp, bytes32 userOpHash, uint256 missingAccountFunds)
        external
        onlyEntryPoint
        returns (uint256 validationData)
    {
        bytes calldata signature = userOp.signature;
        bytes32 digest = TYPED_OPERATION_HASH ? userOpHash : MessageHashUtils.toEthSignedMessageHash(userOpHash);
        if (signature.length > ECDSA_LENGTH && signature[0] == SignatureType.SESSION) {
            validationData = _validateSession(userOp, digest);
        } else if (!_isOwnerSignature(digest, signature)) {
            validationData = SIG_VALIDATION_FAILED;
        }
        if (missingAccountFunds != 0) {
            // The EntryPoint checks what it got; a failed transfer is its verdict to give.
            assembly ("memory-safe") {
                pop(call(gas(), caller(), missingAccountFunds, 0x00, 0x00, 0x00, 0x00))
            }
        }
    }

    /// @inheritdoc ISmartAccount
    function entryPoint() external view returns (address) {
        return ENTRY_POINT;
    }

    function _entryPoint() internal view override returns (address) {
        return ENTRY_POINT;
    }

    function _authorizeUpgrade(address) internal view override onlyOwner { }
}
