// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

/// @title GasCostLib
/// @notice What an operation of EntryPoint v0.7 or later may cost, and who pays.
library GasCostLib {
    /// @notice The paymaster, or zero.
    function paymasterOf(PackedUserOperation calldata userOp) internal pure returns (address) {
        return address(bytes20(userOp.paymasterAndData));
    }

    /// @notice The most wei the EntryPoint can take: every limit used, at the highest fee.
    /// @dev The EntryPoint has checked that every one of these fits 120 bits.
    function maxCost(PackedUserOperation calldata userOp) internal pure returns (uint256) {
        uint256 limits = uint256(userOp.accountGasLimits);
        uint256 gas = (limits >> 128) + uint128(limits) + userOp.preVerificationGas;
        if (userOp.paymasterAndData.length != 0) {
            uint256 paymasterLimits = uint256(bytes32(userOp.paymasterAndData[20:52]));
            gas += (paymasterLimits >> 128) + uint128(paymasterLimits);
        }
        return gas * uint128(uint256(userOp.gasFees));
    }
}
