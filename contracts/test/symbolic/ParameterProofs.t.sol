// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Vm } from "forge-std/Vm.sol";

import { FabTimelock } from "../../src/governance/FabTimelock.sol";
import { ParameterStore } from "../../src/governance/ParameterStore.sol";

/// @notice For all values, bounds and times, not samples: what a majority can do to a parameter. `make symbolic`.
/// @dev This contract is the timelock.
contract ParameterProofs {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    ParameterStore.Key private constant KEY = ParameterStore.Key.StakePerEngagement;
    ParameterStore.Key private constant OTHER = ParameterStore.Key.MinStake;

    ParameterStore private store;

    /// @dev What the store has passed on.
    uint256 private applied;

    function applyPolicy(address, bytes calldata) external {
        ++applied;
    }

    /// @dev A store with these bounds for one key; false if it refuses them.
    function make(ParameterStore.Parameter memory p) private returns (bool) {
        ParameterStore.Parameter[] memory list = new ParameterStore.Parameter[](20);
        for (uint256 i; i < 20; ++i) {
            list[i] = ParameterStore.Parameter(1, 0, 0, 2, 1, 1);
        }
        list[uint256(KEY)] = p;
        ParameterStore.Targets memory targets = ParameterStore.Targets(address(1), address(2), address(3), address(4));
        try new ParameterStore(FabTimelock(payable(address(this))), targets, list) returns (ParameterStore made) {
            store = made;
            return true;
        } catch {
            return false;
        }
    }

    function set(ParameterStore.Key key, uint256 value) private returns (bool success) {
        (ParameterStore.Key[] memory keys, uint256[] memory values) = (new ParameterStore.Key[](1), new uint256[](1));
        (keys[0], values[0]) = (key, value);
        (success,) = address(store).call(abi.encodeCall(ParameterStore.set, (keys, values)));
    }

    /// @dev Two changes, at any times, to any values.
    function check_changes_stay_within_bounds_and_rate(
        ParameterStore.Parameter memory p,
        uint40 firstTime,
        uint40 secondTime,
        uint256 first,
        uint256 second
    ) public {
        VM.assume(firstTime > 0 && secondTime >= firstTime);
        if (!make(p)) return;
        VM.warp(firstTime);
        if (!set(KEY, first)) first = p.value;
        else assert(within(p, p.value, first));
        bool changed = store.parameterOf(KEY).changedAt != 0;

        VM.warp(secondTime);
        if (set(KEY, second)) {
            assert(within(p, first, second));
            assert(!changed || secondTime >= uint256(firstTime) + p.minInterval);
            assert(store.parameterOf(KEY).value == second && store.parameterOf(KEY).changedAt == secondTime);
        } else {
            assert(store.parameterOf(KEY).value == first);
        }
        ParameterStore.Parameter memory now_ = store.parameterOf(KEY);
        assert(now_.min == p.min && now_.max == p.max && now_.maxStep == p.maxStep && now_.minInterval == p.minInterval);
        assert(store.parameterOf(OTHER).value == 1);
    }

    /// @dev What is within bounds, step and interval is not refused.
    function check_what_the_rules_allow_is_done(ParameterStore.Parameter memory p, uint40 time, uint96 value) public {
        VM.assume(time > 0 && value <= type(uint88).max);
        if (!make(p)) return;
        VM.warp(time);
        bool success = set(KEY, value);
        assert(success == within(p, p.value, value));
        assert(applied == (success ? 1 : 0));
    }

    function check_nobody_else_changes_anything(address caller, uint256 value) public {
        VM.assume(caller != address(this));
        make(ParameterStore.Parameter(5, 0, 0, 10, 5, 1));
        VM.prank(caller);
        assert(!set(KEY, value));
        assert(store.parameterOf(KEY).value == 5 && applied == 0);
    }

    function within(ParameterStore.Parameter memory p, uint256 from, uint256 to) private pure returns (bool) {
        uint256 distance = to > from ? to - from : from - to;
        return to >= p.min && to <= p.max && distance <= p.maxStep;
    }
}
