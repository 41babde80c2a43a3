// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { Base64 } from "@openzeppelin/contracts/utils/Base64.sol";
import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import { WebAuthn } from "@openzeppelin/contracts/utils/cryptography/WebAuthn.sol";
import { CommonBase } from "forge-std/Base.sol";

/// @title Passkeys
/// @notice P-256 keys, and what an authenticator and a browser make of a challenge.
abstract contract Passkeys is CommonBase {
    struct Passkey {
        uint256 secret;
        bytes32 x;
        bytes32 y;
    }

    /// @dev User present and user verified.
    bytes1 internal constant FLAGS = 0x05;

    function newPasskey(string memory name) internal pure returns (Passkey memory key) {
        key.secret = uint256(keccak256(bytes(name))) % (P256.N - 1) + 1;
        (uint256 x, uint256 y) = vm.publicKeyP256(key.secret);
        (key.x, key.y) = (bytes32(x), bytes32(y));
    }

    function keyBytes(Passkey memory key) internal pure returns (bytes memory) {
        return abi.encode(key.x, key.y);
    }

    /// @dev `r ‖ s` with low s, as our contracts ask.
    function signP256(Passkey memory key, bytes32 hash) internal pure returns (bytes32 r, bytes32 s) {
        (r, s) = vm.signP256(key.secret, hash);
        if (uint256(s) > P256.N / 2) s = bytes32(P256.N - uint256(s));
    }

    /// @dev As a browser's `crypto.subtle.sign` does: it hashes the message with SHA-256.
    function signWebCrypto(Passkey memory key, bytes32 message) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = signP256(key, sha256(abi.encode(message)));
        return abi.encode(r, s);
    }

    function assertion(Passkey memory key, bytes32 challenge, bytes1 flags, string memory kind)
        internal
        pure
        returns (WebAuthn.WebAuthnAuth memory auth)
    {
        auth.authenticatorData = abi.encodePacked(sha256("fabstir.example"), flags, uint32(7));
        auth.clientDataJSON = string.concat(
            '{"type":"',
            kind,
            '","challenge":"',
            Base64.encodeURL(abi.encode(challenge)),
            '","origin":"https://fabstir.example"}'
        );
        auth.typeIndex = 1;
        auth.challengeIndex = 11 + bytes(kind).length;
        (auth.r, auth.s) =
            signP256(key, sha256(abi.encodePacked(auth.authenticatorData, sha256(bytes(auth.clientDataJSON)))));
    }

    function signWebAuthn(Passkey memory key, bytes32 challenge) internal pure returns (bytes memory) {
        return wrap(key, assertion(key, challenge, FLAGS, "webauthn.get"));
    }

    function wrap(Passkey memory key, WebAuthn.WebAuthnAuth memory auth) internal pure returns (bytes memory) {
        bytes memory encoded = abi.encode(
            auth.r, auth.s, auth.challengeIndex, auth.typeIndex, auth.authenticatorData, auth.clientDataJSON
        );
        return abi.encodePacked(bytes1(0x01), key.x, key.y, encoded);
    }
}
