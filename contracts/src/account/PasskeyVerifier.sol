// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import { WebAuthn } from "@openzeppelin/contracts/utils/cryptography/WebAuthn.sol";

/// @title PasskeyVerifier
/// @notice Checks P-256 signatures, with the precompile at 0x100 where there is one and in Solidity where not.
/// @dev It has no state and no rights. It is a contract of its own only because the fallback is large, and every
/// SmartAccount implementation deploys one.
contract PasskeyVerifier {
    /// @notice Whether a passkey made this assertion over the digest, having verified its user.
    /// @param digest The challenge.
    /// @param assertion `abi.encode(r, s, challengeIndex, typeIndex, authenticatorData, clientDataJSON)`; anything else
    /// is false.
    /// @param x First half of the public key.
    /// @param y Second half of the public key.
    function verifyAssertion(bytes32 digest, bytes calldata assertion, bytes32 x, bytes32 y)
        external
        view
        returns (bool)
    {
        (bool ok, WebAuthn.WebAuthnAuth calldata auth) = WebAuthn.tryDecodeAuth(assertion);
        return ok && WebAuthn.verify(abi.encodePacked(digest), auth, x, y);
    }

    /// @notice Whether a P-256 key signed this message.
    /// @dev Keys that live in browsers and secure elements sign the SHA-256 hash of the message they are given.
    /// @param message The message: 32 bytes, hashed here.
    /// @param signature `r ‖ s`, with low s; any other length is false.
    /// @param x First half of the public key.
    /// @param y Second half of the public key.
    function verifySignature(bytes32 message, bytes calldata signature, bytes32 x, bytes32 y)
        external
        view
        returns (bool)
    {
        if (signature.length != 64) return false;
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        return P256.verify(sha256(abi.encode(message)), r, s, x, y);
    }
}
