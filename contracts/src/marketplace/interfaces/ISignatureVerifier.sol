// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title ISignatureVerifier
/// @notice Checks the signatures of accounts that may not be deployed yet (ERC-6492).
/// @dev ERC-6492 has the verifier call whatever the signature says, to deploy or prepare the account. So the contract
/// that does it must hold no money, no rights and no allowance; that is why it is a contract of its own.
interface ISignatureVerifier {
    /// @notice Whether `signature` is `signer`'s for `hash`: ECDSA for an account without code, ERC-1271 for one with
    /// code, and either of them after the preparation that an ERC-6492 wrapper asks for.
    /// @param signer The account.
    /// @param hash What was signed.
    /// @param signature The signature, wrapped or not.
    function isValidSignature(address signer, bytes32 hash, bytes calldata signature) external returns (bool);
}
