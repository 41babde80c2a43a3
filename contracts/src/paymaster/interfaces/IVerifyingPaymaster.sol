// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IPaymaster } from "account-abstraction-v08/interfaces/IPaymaster.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { IPaymasterBase } from "./IPaymasterBase.sol";
import { ISignerSet } from "./ISignerSet.sol";

/// @title IVerifyingPaymaster
/// @notice Pays for operations that one of its signers approved, field by field, on EntryPoint v0.7 and later.
/// `paymasterAndData` is the EntryPoint's own prefix of 52 bytes, then `uint48 validUntil ‖ uint48 validAfter ‖
/// signature (65 bytes)`.
interface IVerifyingPaymaster is IPaymaster, IPaymasterBase, ISignerSet {
    /// @notice The paymaster's data does not have the one length allowed.
    /// @param length Length of `paymasterAndData` in bytes.
    error InvalidPaymasterDataLength(uint256 length);

    /// @notice Sponsored operations have nothing to settle.
    error UnexpectedPostOp();

    /// @notice What a signer signs for this operation. The signature in it is not read.
    /// @param userOp The operation; its paymaster gas limits are read from `paymasterAndData`.
    /// @param validUntil Last second the operation may be included, or 0 for no end.
    /// @param validAfter The operation may be included after this second.
    function getHash(PackedUserOperation calldata userOp, uint48 validUntil, uint48 validAfter)
        external
        view
        returns (bytes32);
}
