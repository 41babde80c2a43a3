// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IPaymaster } from "account-abstraction-v06/interfaces/IPaymaster.sol";
import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";

import { IPaymasterBase } from "./IPaymasterBase.sol";
import { ISignerSet } from "./ISignerSet.sol";

/// @title IVerifyingPaymasterV06
/// @notice Pays for operations that one of its signers approved, field by field, on EntryPoint v0.6, which is where
/// Coinbase Smart Wallets are. `paymasterAndData` is `address ‖ uint48 validUntil ‖ uint48 validAfter ‖ signature (65
/// bytes)`.
interface IVerifyingPaymasterV06 is IPaymaster, IPaymasterBase, ISignerSet {
    /// @notice The paymaster's data does not have the one length allowed.
    /// @param length Length of `paymasterAndData` in bytes.
    error InvalidPaymasterDataLength(uint256 length);

    /// @notice Sponsored operations have nothing to settle.
    error UnexpectedPostOp();

    /// @notice What a signer signs for this operation. The paymaster's data in it is not read.
    /// @param userOp The operation.
    /// @param validUntil Last second the operation may be included, or 0 for no end.
    /// @param validAfter The operation may be included after this second.
    function getHash(UserOperation calldata userOp, uint48 validUntil, uint48 validAfter)
        external
        view
        returns (bytes32);
}
