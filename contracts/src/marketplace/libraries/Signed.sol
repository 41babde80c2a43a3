// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import { ISignatureVerifier } from "../interfaces/ISignatureVerifier.sol";

/// @title Signed
/// @notice Who signed a digest.
/// @dev `byKey` is asked first, then `byCode`, whether or not the account has code: so delegating an account (EIP-7702)
/// never takes away what its key signed. OpenZeppelin's ECDSA refuses malleable (high-s) signatures and the zero signer.
library Signed {
    /// @dev Whether `key` made the ECDSA signature. Depends on nothing that can change afterwards.
    function byKey(address key, bytes32 digest, bytes calldata signature) internal pure returns (bool) {
        (address recovered, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        return err == ECDSA.RecoverError.NoError && recovered == key;
    }

    /// @dev Whether the account's code stands behind the signature, by ERC-1271 or ERC-6492, asked through the verifier,
    /// which has no rights that the code could abuse. A check that reverts is a no.
    function byCode(address verifier, address account, bytes32 digest, bytes calldata signature)
        internal
        returns (bool)
    {
        try ISignatureVerifier(verifier).isValidSignature(account, digest, signature) returns (bool valid) {
            return valid;
        } catch {
            return false;
        }
    }
}
