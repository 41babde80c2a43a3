// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { CallDataLib } from "../../src/account/sessions/CallDataLib.sol";
import { SessionNonceLib } from "../../src/account/sessions/SessionNonceLib.sol";
import { SessionTimeLib } from "../../src/account/sessions/SessionTimeLib.sol";
import { Spend, SpendLib } from "../../src/account/sessions/SpendLib.sol";

/// @notice Proofs for all inputs, not samples: `halmos --contract SessionProofs` (PyPI `halmos`).
contract SessionProofs {
    // --- period accounting ---

    /// @dev One step from any state that a session can be in: no limit is passed, and nothing is forgotten.
    function check_spending_never_passes_a_limit(
        Spend memory spent,
        uint48 period,
        uint256 amount,
        uint104 perPeriod,
        uint104 total
    ) public pure {
        bool sound =
            spent.inPeriod <= perPeriod && spent.total <= total && spent.inPeriod <= spent.total;
        if (!sound) return;
        (bool ok, Spend memory next) = SpendLib.add(spent, period, amount, perPeriod, total);
        if (!ok) return;
        assert(next.inPeriod <= perPeriod && next.total <= total && next.inPeriod <= next.total);
        assert(next.period == period && period >= spent.period);
        assert(uint256(next.total) == uint256(spent.total) + amount);
        assert(uint256(next.inPeriod) == (period == spent.period ? uint256(spent.inPeriod) : 0) + amount);
    }

    /// @dev Deny by default must not deny too much: what both limits leave room for is accepted.
    function check_spending_within_limits_is_accepted(
        Spend memory spent,
        uint48 period,
        uint104 amount,
        uint104 perPeriod,
        uint104 total
    ) public pure {
        if (period < spent.period) return;
        uint256 before = period == spent.period ? spent.inPeriod : 0;
        if (before + amount > perPeriod || uint256(spent.total) + amount > total) return;
        (bool ok,) = SpendLib.add(spent, period, amount, perPeriod, total);
        assert(ok);
    }

    // --- time ---

    function check_validation_data_holds_no_aggregator(bool failed, uint48 from, uint48 until) public pure {
        uint256 data = SessionTimeLib.packValidationData(failed, from, until);
        assert(uint160(data) == (failed ? 1 : 0));
        assert(uint48(data >> 160) == until && uint48(data >> 208) == from);
    }

    // --- nonce packing ---

    function check_nonce_gives_back_what_was_packed(bytes32 id, uint48 period, uint16 lane, uint64 sequence)
        public
        pure
    {
        uint256 nonce = uint256(SessionNonceLib.keyOf(id, period, lane)) << 64 | sequence;
        assert(SessionNonceLib.isOf(nonce, id));
        assert(SessionNonceLib.periodOf(nonce) == period);
        assert(uint16(nonce >> 64) == lane && uint64(nonce) == sequence);
    }

    function check_keys_of_two_sessions_or_periods_or_lanes_differ(
        bytes32 one,
        bytes32 two,
        uint48 periodOne,
        uint48 periodTwo,
        uint16 laneOne,
        uint16 laneTwo
    ) public pure {
        bool same = bytes16(one) == bytes16(two) && periodOne == periodTwo && laneOne == laneTwo;
        bool equal = SessionNonceLib.keyOf(one, periodOne, laneOne) == SessionNonceLib.keyOf(two, periodTwo, laneTwo);
        assert(equal == same);
    }

    // --- call data ---

    /// @dev Every word of a call is free but the length of its data: what is read is what the account's own decoder
    /// would read, and everything else is refused.
    function check_call_of_36_bytes(uint256 target, uint256 value, uint256 offset, bytes32 first, bytes32 second)
        public
        view
    {
        _check(36, target, value, offset, first, second);
    }

    function check_call_of_64_bytes(uint256 target, uint256 value, uint256 offset, bytes32 first, bytes32 second)
        public
        view
    {
        _check(64, target, value, offset, first, second);
    }

    function check_call_of_32_bytes_with_a_word_behind(
        uint256 target,
        uint256 value,
        uint256 offset,
        bytes32 first,
        bytes32 second
    ) public view {
        _check(32, target, value, offset, first, second);
    }

    function check_call_of_65_bytes_that_are_not_there(
        uint256 target,
        uint256 value,
        uint256 offset,
        bytes32 first,
        bytes32 second
    ) public view {
        _check(65, target, value, offset, first, second);
    }

    function _check(uint256 length, uint256 target, uint256 value, uint256 offset, bytes32 first, bytes32 second)
        private
        view
    {
        bytes memory callData =
            abi.encodePacked(ISmartAccount.execute.selector, target, value, offset, length, first, second);
        try this.read(callData) returns (address readTarget, uint256 readValue, bytes memory readData) {
            assert(target == uint160(readTarget) && value == readValue && offset == 0x60);
            assert(length > 32 && length <= 64 && readData.length == length);
            assert(length == 64 || uint256(second) << (length - 32) * 8 == 0);
        } catch { }
    }

    function read(bytes calldata callData) external pure returns (address target, uint256 value, bytes memory data) {
        (uint256 count, uint256 cursor) = CallDataLib.open(callData);
        bytes calldata raw;
        (target, value, raw,) = CallDataLib.read(callData, 0, count, cursor);
        return (target, value, raw);
    }
}
