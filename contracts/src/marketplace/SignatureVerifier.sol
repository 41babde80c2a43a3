// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { SignatureChecker } from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import { LibCall } from "solady/utils/LibCall.sol";

import { ISignatureVerifier } from "./interfaces/ISignatureVerifier.sol";

/// @title SignatureVerifier
/// @notice ECDSA, ERC-1271 and ERC-6492. Has no storage, no owner and no rights; never give it any.
contract SignatureVerifier is ISignatureVerifier {
    /// @dev The last 32 bytes of an ERC-6492 signature.
    bytes32 private constant ERC6492_SUFFIX = 0x6492649264926492649264926492649264926492649264926492649264926492;

    /// @inheritdoc ISignatureVerifier
    function isValidSignature(address signer, bytes32 hash, bytes calldata signature) external returns (bool) {
        uint256 length = signature.length;
        if (length < 32 || bytes32(signature[length - 32:]) != ERC6492_SUFFIX) {
            return SignatureChecker.isValidSignatureNowCalldata(signer, hash, signature);
        }
        (address factory, bytes memory preparation, bytes memory inner) =
            abi.decode(signature[:length - 32], (address, bytes, bytes));
        if (SignatureChecker.isValidSignatureNow(signer, hash, inner)) return true;
        // Whether the preparation worked shows in the check after it.
        LibCall.tryCall(factory, 0, gasleft(), 0, preparation);
        return SignatureChecker.isValidSignatureNow(signer, hash, inner);
    }
}
