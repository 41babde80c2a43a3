// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title IEngagements
/// @notice What the ReputationSystem reads of a market: how an engagement (a job or a session) ended.
interface IEngagements {
    /// @notice How an engagement ended.
    enum Result {
        /// @dev It has not ended, or never existed, or no host was ever engaged.
        None,
        /// @dev The host earned something.
        Completed,
        /// @dev The host was engaged and failed.
        Failed,
        /// @dev It ended without anything earned and without a failure, or in a split.
        Neutral
    }

    /// @notice The outcome of an engagement.
    struct Outcome {
        /// @dev Who paid.
        address payer;
        /// @dev Who worked.
        address host;
        /// @dev The token; zero for ETH.
        address token;
        /// @dev Base units that the host earned, fee included.
        uint256 earned;
        /// @dev Base units of `earned` that are the protocol's fee. Each settlement of a session rounded its own fee down,
        /// so what was taken may be less by up to one base unit for each.
        uint256 fee;
        /// @dev How it ended.
        Result result;
    }

    /// @notice The outcome of an engagement; all zero if it has not ended.
    /// @param id The job or session.
    function outcomeOf(bytes32 id) external view returns (Outcome memory);
}
