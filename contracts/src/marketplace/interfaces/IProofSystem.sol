// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title IProofSystem
/// @notice What a marketplace asks of the contract that verifies proofs.
interface IProofSystem {
    /// @notice Whether a job's result has been proven. The proof is bound to the job's other terms, which the proof
    /// system reads from the marketplace, the caller.
    /// @param jobId The job of the calling marketplace.
    /// @param resultHash The result that was submitted.
    function isProven(bytes32 jobId, bytes32 resultHash) external view returns (bool);
}
