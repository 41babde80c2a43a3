// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title SignatureType
/// @notice The first byte of every signature that is not a plain 65-byte ECDSA signature.
library SignatureType {
    /// @notice A passkey's assertion, by an owner.
    bytes1 internal constant PASSKEY = 0x01;

    /// @notice An operation signed by a session key.
    bytes1 internal constant SESSION = 0x02;

    /// @notice An ERC-1271 voucher signed by a session key.
    bytes1 internal constant VOUCHER = 0x03;
}
