// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @notice What a session spent under one limit, in one slot.
/// @param period The last period in which it spent.
/// @param inPeriod What it spent in that period.
/// @param total What it spent in its life.
struct Spend {
    uint48 period;
    uint104 inPeriod;
    uint104 total;
}

/// @title SpendLib
/// @notice Accounts for spending in periods without reading a clock.
/// @dev The operation claims a period, and the EntryPoint refuses it outside that period's time. So periods arrive in
/// order, one slot holds the latest, and a claim of an earlier one can only be an operation that has expired.
library SpendLib {
    /// @notice Adds `amount` to what was spent, in `period`.
    /// @return ok Whether both limits still hold; if not, `next` means nothing.
    /// @return next What is then spent.
    function add(Spend memory spent, uint48 period, uint256 amount, uint256 perPeriod, uint256 total)
        internal
        pure
        returns (bool ok, Spend memory next)
    {
        if (period < spent.period) return (false, next);
        uint256 before = period == spent.period ? spent.inPeriod : 0;
        // The limits fit 104 bits, so an amount beyond either is refused before it can overflow.
        if (amount > perPeriod || amount > total) return (false, next);
        uint256 inPeriod = before + amount;
        uint256 inTotal = spent.total + amount;
        if (inPeriod > perPeriod || inTotal > total) return (false, next);
        return (true, Spend(period, uint104(inPeriod), uint104(inTotal)));
    }
}
