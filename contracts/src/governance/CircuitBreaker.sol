// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { IPaymentEscrow } from "../marketplace/interfaces/IPaymentEscrow.sol";
import { Guardian } from "./Guardian.sol";

/// @title CircuitBreaker
/// @notice Closes entry when more of a token has left the escrow within an hour than governance allows for.
/// @dev It watches from outside: withdrawals neither ask it nor pay for it, so that it can hold none up. What it protects
/// is the money that is not in yet. A pause expires by itself. Marks are the keeper's alone: anybody could set one in the
/// middle of a flash loan, and trip the breaker after giving the loan back.
contract CircuitBreaker {
    /// @notice How long a mark counts, in seconds.
    uint256 public constant WINDOW = 1 hours;

    /// @notice What is watched of a token; two slots.
    struct Watch {
        /// @dev The most that may leave within the window, net, base units; zero for unwatched.
        uint128 cap;
        /// @dev Liabilities at the mark, base units.
        uint128 mark;
        /// @dev Unix seconds of the mark.
        uint40 markedAt;
    }

    /// @notice Holds the money.
    IPaymentEscrow public immutable escrow;
    /// @notice Pauses entry for us, and knows timelock and keeper.
    Guardian public immutable guardian;
    /// @dev By token.
    mapping(address token => Watch) private _watches;

    /// @notice The timelock set a cap.
    event CapSet(address indexed token, uint256 cap);
    /// @notice The keeper marked a level.
    event Marked(address indexed token, uint256 level);
    /// @notice More than the cap has left.
    event Tripped(address indexed token, uint256 outflow, uint256 cap);

    /// @notice The caller may not do this.
    error NotAllowed(address caller);
    /// @notice There is a mark that still counts: a second one would hide what has left since.
    error MarkedTooRecently(uint256 until);
    /// @notice Nothing is watched, or the mark is too old.
    error NoMark(address token);
    /// @notice No more than the cap has left.
    error WithinCap(address token, uint256 outflow, uint256 cap);
    /// @notice As many caps as tokens are needed.
    error LengthMismatch(uint256 expected, uint256 actual);
    /// @notice The address must not be zero.
    error ZeroAddressGiven();

    /// @param escrow_ Holds the money.
    /// @param guardian_ Pauses entry for us.
    /// @param tokens What to watch from the start; zero for ETH.
    /// @param caps Base units of each that may leave within the window.
    constructor(IPaymentEscrow escrow_, Guardian guardian_, address[] memory tokens, uint256[] memory caps) {
        if (address(escrow_) == address(0) || address(guardian_) == address(0)) revert ZeroAddressGiven();
        if (tokens.length != caps.length) revert LengthMismatch(tokens.length, caps.length);
        (escrow, guardian) = (escrow_, guardian_);
        for (uint256 i; i < tokens.length; ++i) {
            _setCap(tokens[i], caps[i]);
        }
    }

    /// @notice Sets how much may leave. The timelock only.
    /// @param token Which; zero for ETH.
    /// @param cap Base units; zero to watch it no longer.
    function setCap(address token, uint256 cap) external {
        if (msg.sender != guardian.timelock()) revert NotAllowed(msg.sender);
        _setCap(token, cap);
    }

    /// @notice Notes what the escrow owes now. The keeper only, once in a window.
    /// @param token Which; zero for ETH.
    function mark(address token) external {
        if (msg.sender != guardian.keeper()) revert NotAllowed(msg.sender);
        Watch storage watch = _watches[token];
        uint256 until = watch.markedAt + WINDOW;
        if (block.timestamp < until) revert MarkedTooRecently(until);
        uint256 level = escrow.liabilitiesOf(token);
        (watch.mark, watch.markedAt) = (SafeCastLib.toUint128(level), SafeCastLib.toUint40(block.timestamp));
        emit Marked(token, level);
    }

    /// @notice Closes entry if more than the cap has left since the mark. Anybody.
    /// @param token Which; zero for ETH.
    function trip(address token) external {
        Watch memory watch = _watches[token];
        if (watch.cap == 0 || block.timestamp > watch.markedAt + WINDOW) revert NoMark(token);
        uint256 level = escrow.liabilitiesOf(token);
        uint256 outflow = watch.mark > level ? watch.mark - level : 0;
        if (outflow <= watch.cap) revert WithinCap(token, outflow, watch.cap);
        emit Tripped(token, outflow, watch.cap);
        guardian.pause();
    }

    /// @notice What is watched of a token.
    /// @param token Which; zero for ETH.
    function watchOf(address token) external view returns (Watch memory) {
        return _watches[token];
    }

    function _setCap(address token, uint256 cap) private {
        _watches[token].cap = SafeCastLib.toUint128(cap);
        emit CapSet(token, cap);
    }
}
