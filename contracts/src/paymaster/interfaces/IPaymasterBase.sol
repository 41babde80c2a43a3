// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title IPaymasterBase
/// @notice What every Fabstir paymaster does with its money at the EntryPoint.
interface IPaymasterBase {
    /// @notice Only the EntryPoint may call this function.
    /// @param caller Who called.
    error NotFromEntryPoint(address caller);

    /// @notice There is no contract at the EntryPoint's address.
    /// @param entryPoint The address given to the constructor.
    error NotAnEntryPoint(address entryPoint);

    /// @notice Adds the value sent to the paymaster's deposit. Anyone may.
    function deposit() external payable;

    /// @notice Takes from the deposit. Owner only.
    /// @param to Who receives it.
    /// @param amount Wei.
    function withdrawTo(address payable to, uint256 amount) external;

    /// @notice Adds the value sent to the stake. Owner only.
    /// @param unstakeDelaySec Seconds between unlocking and withdrawing; it can only grow.
    function addStake(uint32 unstakeDelaySec) external payable;

    /// @notice Starts the unstake delay; until staked again the paymaster is treated as unstaked. Owner only.
    function unlockStake() external;

    /// @notice Takes the whole unlocked stake. Owner only.
    /// @param to Who receives it.
    function withdrawStake(address payable to) external;

    /// @notice The paymaster's deposit at the EntryPoint, in wei.
    function getDeposit() external view returns (uint256);

    /// @notice The one EntryPoint this paymaster obeys.
    function entryPoint() external view returns (address);
}
