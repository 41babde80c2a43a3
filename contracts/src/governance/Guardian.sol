// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../marketplace/interfaces/IGoverned.sol";
import { IPaymentEscrow } from "../marketplace/interfaces/IPaymentEscrow.sol";
import { CircuitBreaker } from "./CircuitBreaker.sol";

/// @title Guardian
/// @notice Pauses entry into all policy contracts at once, by a keeper's word or by the circuit breaker's.
/// @dev How long a pause lasts and how soon the next may come is the policy contracts' own business (`IGoverned`), so that
/// another guardian changes nothing about it. A guardian can stop nothing else: not exit, not a vote, not an execution.
contract Guardian {
    /// @notice Names keeper and breaker.
    address public immutable timelock;
    /// @notice May pause and resume; zero for nobody.
    address public keeper;
    /// @notice May pause; zero for nobody.
    address public breaker;
    /// @dev What is paused; fixed.
    address[] private _targets;

    /// @notice The timelock named the keeper.
    event KeeperSet(address indexed keeper);
    /// @notice The timelock named the circuit breaker.
    event BreakerSet(address indexed breaker);
    /// @notice Entry is paused in some contracts.
    /// @param by Keeper or breaker.
    /// @param count In how many of them; the others were cooling down.
    event Paused(address indexed by, uint256 count);
    /// @notice A pause was ended early.
    event Resumed(address indexed by);

    /// @notice The caller may not do this.
    error NotAllowed(address caller);
    /// @notice All contracts are cooling down from their last pause.
    error NothingToPause();
    /// @notice The address must not be zero.
    error ZeroAddressGiven();

    /// @param timelock_ Names keeper and breaker later.
    /// @param keeper_ The first keeper.
    /// @param targets_ Contracts whose guardian this one becomes.
    /// @param escrow What the first circuit breaker watches; it is made here, since each of the two must know the other.
    /// @param tokens Tokens that it watches; zero for ETH.
    /// @param caps Base units of each that may leave within its window.
    constructor(
        address timelock_,
        address keeper_,
        address[] memory targets_,
        IPaymentEscrow escrow,
        address[] memory tokens,
        uint256[] memory caps
    ) {
        if (timelock_ == address(0)) revert ZeroAddressGiven();
        timelock = timelock_;
        _targets = targets_;
        _setKeeper(keeper_);
        _setBreaker(address(new CircuitBreaker(escrow, this, tokens, caps)));
    }

    modifier onlyTimelock() {
        if (msg.sender != timelock) revert NotAllowed(msg.sender);
        _;
    }

    /// @notice Names the keeper. The timelock only.
    /// @param keeper_ Zero for nobody.
    function setKeeper(address keeper_) external onlyTimelock {
        _setKeeper(keeper_);
    }

    /// @notice Names the circuit breaker. The timelock only.
    /// @param breaker_ Zero for nobody.
    function setBreaker(address breaker_) external onlyTimelock {
        _setBreaker(breaker_);
    }

    /// @notice Pauses entry wherever it may be paused now. Keeper or breaker only.
    function pause() external {
        if (msg.sender != keeper && msg.sender != breaker) revert NotAllowed(msg.sender);
        uint256 count;
        for (uint256 i; i < _targets.length; ++i) {
            try IGoverned(_targets[i]).pauseEntry() {
                ++count;
            } catch { }
        }
        if (count == 0) revert NothingToPause();
        emit Paused(msg.sender, count);
    }

    /// @notice Ends a pause early. Keeper only.
    function resume() external {
        if (msg.sender != keeper) revert NotAllowed(msg.sender);
        for (uint256 i; i < _targets.length; ++i) {
            IGoverned(_targets[i]).resumeEntry();
        }
        emit Resumed(msg.sender);
    }

    /// @notice What is paused.
    function targets() external view returns (address[] memory) {
        return _targets;
    }

    function _setKeeper(address keeper_) private {
        keeper = keeper_;
        emit KeeperSet(keeper_);
    }

    function _setBreaker(address breaker_) private {
        breaker = breaker_;
        emit BreakerSet(breaker_);
    }
}
