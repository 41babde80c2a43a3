// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title IPriceOracle
/// @notice The part of a Chainlink price feed that is used: the price of 1 ETH in a token or its currency.
interface IPriceOracle {
    /// @notice Decimals of the answer.
    function decimals() external view returns (uint8);

    /// @notice The latest price.
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
