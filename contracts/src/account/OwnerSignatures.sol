// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { ERC1271 } from "solady/accounts/ERC1271.sol";

import { Owners } from "./Owners.sol";
import { PasskeyVerifier } from "./PasskeyVerifier.sol";
import { SignatureType } from "./SignatureType.sol";

/// @title OwnerSignatures
/// @notice What an owner's signature looks like, for operations, for ERC-1271 and for enabling sessions alike.
/// @dev Two formats:
///   65 bytes — `r ‖ s ‖ v`, ECDSA by an owner that is an address.
///   longer   — `0x01 ‖ x ‖ y ‖ assertion`, by an owner that is a passkey. The challenge is the 32 bytes of the
///              digest, the user must have been verified, and the assertion is `abi.encode(r, s, challengeIndex,
///              typeIndex, authenticatorData, clientDataJSON)`.
/// ERC-1271 is ERC-7739: a signature for one account, or for one app, is good for no other. An ERC-6492 wrapper is
/// taken off and its call is never made: this contract holds rights.
abstract contract OwnerSignatures is Owners, ERC1271 {
    /// @dev Stateless, and deployed with the implementation.
    PasskeyVerifier internal immutable PASSKEY_VERIFIER = new PasskeyVerifier();

    uint256 private constant ECDSA_LENGTH = 65;

    /// @dev Where the encoded assertion starts: after the type and the public key.
    uint256 private constant ASSERTION_OFFSET = 65;

    /// @dev Never reverts: whatever is not an owner's signature is false.
    function _isOwnerSignature(bytes32 digest, bytes calldata signature) internal view returns (bool) {
        if (signature.length == ECDSA_LENGTH) {
            (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
            return _isOwnerAddress(signer);
        }
        if (signature.length <= ASSERTION_OFFSET || signature[0] != SignatureType.PASSKEY) return false;
        bytes32 x = bytes32(signature[1:33]);
        bytes32 y = bytes32(signature[33:ASSERTION_OFFSET]);
        // The assertion is checked even when the key is no owner, so that estimation with a dummy costs the same.
        return PASSKEY_VERIFIER.verifyAssertion(digest, signature[ASSERTION_OFFSET:], x, y) && _isOwnerKey(x, y);
    }

    /// @inheritdoc ERC1271
    function _erc1271IsValidSignatureNowCalldata(bytes32 hash, bytes calldata signature)
        internal
        view
        virtual
        override
        returns (bool)
    {
        return _isOwnerSignature(hash, signature);
    }

    /// @dev Unused: an account has many signers.
    function _erc1271Signer() internal view override returns (address) {
        return address(this);
    }

    /// @dev No caller is trusted to bind the hash to this account by itself.
    function _erc1271CallerIsSafe() internal pure override returns (bool) {
        return false;
    }

    /// @dev No shortcut for off-chain callers: what is valid off-chain is valid on-chain.
    function _erc1271IsValidSignatureViaRPC(bytes32, bytes calldata) internal pure override returns (bool) {
        return false;
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("Fabstir SmartAccount", "1");
    }
}
