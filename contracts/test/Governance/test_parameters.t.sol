// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Vm } from "forge-std/Vm.sol";

import { FabTimelock } from "../../src/governance/FabTimelock.sol";
import { ParameterStore } from "../../src/governance/ParameterStore.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { GovernanceTest } from "../support/GovernanceTest.sol";

contract ParametersTest is GovernanceTest {
    function test_a_vote_changes_a_parameter_of_the_job_market() public {
        Proposal memory p = ready(address(store), setCall(ParameterStore.Key.JobFeeBps, 260));
        vm.expectEmit(address(store));
        emit ParameterStore.ParameterSet(ParameterStore.Key.JobFeeBps, FEE_BPS, 260);
        execute(p);
        assertEq(jobs.policy().feeBps, 260);
        assertEq(store.parameterOf(ParameterStore.Key.JobFeeBps).changedAt, block.timestamp);
        // The others are as they were.
        assertEq(jobs.policy().maxDuration, 30 days);
        assertEq(abi.encode(jobs.policy()), abi.encode(store.jobPolicy()));
    }

    function test_the_store_and_the_contracts_tell_the_same_policies() public view {
        assertEq(abi.encode(store.jobPolicy()), abi.encode(jobs.policy()));
        assertEq(abi.encode(store.sessionPolicy()), abi.encode(sessions.policy()));
        assertEq(abi.encode(store.stakePolicy()), abi.encode(registry.stakePolicy()));
        assertEq(abi.encode(store.reputationPolicy()), abi.encode(reputation.policy()));
    }

    function test_every_key_reaches_its_field() public {
        ParameterStore.Parameter[] memory was = storeParameters();
        ParameterStore.Key[] memory keys = new ParameterStore.Key[](20);
        uint256[] memory values = new uint256[](20);
        for (uint256 i; i < 20; ++i) {
            (keys[i], values[i]) = (ParameterStore.Key(i), was[i].value - was[i].value / 20);
        }
        vm.prank(address(timelock));
        store.set(keys, values);

        IJobMarketplace.JobPolicy memory job = jobs.policy();
        assertEq(job.feeBps, values[0]);
        assertEq(job.reviewWindow, values[1]);
        assertEq(job.counterWindow, values[2]);
        assertEq(job.arbiterWindow, values[3]);
        assertEq(job.bondBps, values[4]);
        assertEq(job.idleSlashBps, values[5]);
        assertEq(job.faultSlashBps, values[6]);
        assertEq(job.maxDuration, values[7]);
        ISessionMarketplace.SessionPolicy memory session = sessions.policy();
        assertEq(session.feeBps, values[8]);
        assertEq(session.grace, values[9]);
        assertEq(session.maxDuration, values[10]);
        INodeRegistry.StakePolicy memory stake = registry.stakePolicy();
        assertEq(stake.minStake, values[11]);
        assertEq(stake.stakePerEngagement, values[12]);
        assertEq(stake.unbondingPeriod, values[13]);
        assertEq(stake.challengerBps, values[14]);
        assertEq(stake.payerBps, values[15]);
        IReputationSystem.ReputationPolicy memory rep = reputation.policy();
        assertEq(rep.halfLife, values[16]);
        assertEq(rep.capPeriod, values[17]);
        assertEq(rep.payerCap, values[18]);
        assertEq(rep.priorWeight, values[19]);
    }

    /// @dev Each group alone: nothing is told to a contract that a change does not concern.
    function test_only_the_contract_concerned_is_told() public {
        address[4] memory told = [address(jobs), address(sessions), address(registry), address(reputation)];
        // First and last key of each group.
        uint8[8] memory edges = [0, 7, 8, 10, 11, 15, 16, 19];
        for (uint256 i; i < 8; ++i) {
            ParameterStore.Key key = ParameterStore.Key(edges[i]);
            vm.recordLogs();
            skip(7 days);
            setAs(key, store.parameterOf(key).value);
            Vm.Log[] memory logs = vm.getRecordedLogs();
            // The store's own, and that of the one contract told.
            assertEq(logs.length, 2);
            assertEq(logs[1].emitter, told[i / 2]);
        }
    }

    function test_a_value_beyond_its_bounds_is_refused() public {
        ParameterStore.Key key = ParameterStore.Key.SessionFeeBps;
        ParameterStore.Parameter memory p = store.parameterOf(key);
        for (uint256 i; i < 2; ++i) {
            uint256 value = i == 0 ? uint256(p.min) - 1 : uint256(p.max) + 1;
            vm.expectRevert(abi.encodeWithSelector(ParameterStore.ValueOutOfBounds.selector, key, value, p.min, p.max));
            setAs(key, value);
        }
    }

    function test_bounds_are_inclusive() public {
        ParameterStore.Parameter[] memory list = storeParameters();
        list[0].maxStep = type(uint96).max;
        ParameterStore own = new ParameterStore(FabTimelock(payable(address(new Taker()))), storeTargets(), list);
        (ParameterStore.Key[] memory keys, uint256[] memory values) = (new ParameterStore.Key[](1), new uint256[](1));
        values[0] = list[0].max;
        vm.prank(address(own.timelock()));
        own.set(keys, values);
        skip(7 days);
        values[0] = list[0].min;
        vm.prank(address(own.timelock()));
        own.set(keys, values);
        assertEq(own.parameterOf(keys[0]).value, list[0].min);
    }

    function test_a_step_is_at_most_the_largest() public {
        ParameterStore.Key key = ParameterStore.Key.MinStake;
        uint256 max = MIN_STAKE / 10;
        vm.expectRevert(abi.encodeWithSelector(ParameterStore.StepTooLarge.selector, key, max + 1, max));
        setAs(key, MIN_STAKE + max + 1);
        vm.expectRevert(abi.encodeWithSelector(ParameterStore.StepTooLarge.selector, key, max + 1, max));
        setAs(key, MIN_STAKE - max - 1);
        setAs(key, MIN_STAKE - max);
        assertEq(registry.stakePolicy().minStake, MIN_STAKE - max);
    }

    function test_a_value_waits_for_its_interval_between_two_steps() public {
        ParameterStore.Key key = ParameterStore.Key.JobFeeBps;
        setAs(key, 240);
        uint256 from = block.timestamp + 7 days;
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(ParameterStore.ChangedTooRecently.selector, key, from));
        setAs(key, 239);
        // Another key is not held up.
        setAs(ParameterStore.Key.SessionFeeBps, 240);
        vm.warp(from);
        setAs(key, 239);
        assertEq(jobs.policy().feeBps, 239);
    }

    function test_a_key_given_twice_does_not_step_twice() public {
        (ParameterStore.Key[] memory keys, uint256[] memory values) = (new ParameterStore.Key[](2), new uint256[](2));
        (values[0], values[1]) = (275, 300);
        vm.expectRevert(
            abi.encodeWithSelector(ParameterStore.ChangedTooRecently.selector, keys[1], block.timestamp + 7 days)
        );
        vm.prank(address(timelock));
        store.set(keys, values);
    }

    function test_a_proposal_beyond_the_bounds_passes_and_cannot_be_executed() public {
        Proposal memory p = ready(address(store), setCall(ParameterStore.Key.JobFeeBps, 501));
        vm.expectRevert(
            abi.encodeWithSelector(
                ParameterStore.ValueOutOfBounds.selector, ParameterStore.Key.JobFeeBps, 501, 125, 500
            )
        );
        execute(p);
        assertEq(jobs.policy().feeBps, FEE_BPS);
    }

    function test_what_the_contract_itself_refuses_is_refused() public {
        // 3,000 + 4,000 is fine, 5,000 + 6,000 is not: a rule on two keys, which is the registry's.
        ParameterStore.Parameter[] memory list = storeParameters();
        (list[14].value, list[14].max, list[15].value, list[15].max) = (5_000, 10_000, 6_000, 10_000);
        ParameterStore own = new ParameterStore(timelock, storeTargets(), list);
        vm.store(address(timelock), slotOfStore(), bytes32(uint256(uint160(address(own)))));
        assertEq(timelock.parameterStore(), address(own));
        (ParameterStore.Key[] memory keys, uint256[] memory values) = (new ParameterStore.Key[](1), new uint256[](1));
        (keys[0], values[0]) = (ParameterStore.Key.PayerBps, 6_000);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 11_000, 10_000));
        vm.prank(address(timelock));
        own.set(keys, values);
    }

    function test_only_the_timelock_sets() public {
        vm.expectRevert(abi.encodeWithSelector(ParameterStore.NotTimelock.selector, address(this)));
        store.set(new ParameterStore.Key[](0), new uint256[](0));
    }

    function test_as_many_values_as_keys() public {
        vm.expectRevert(abi.encodeWithSelector(ParameterStore.LengthMismatch.selector, 0, 1));
        vm.prank(address(timelock));
        store.set(new ParameterStore.Key[](0), new uint256[](1));
    }

    function test_no_policy_goes_past_the_store() public {
        bytes[4] memory calls = [
            abi.encodeCall(IJobMarketplace.setPolicy, (jobPolicy())),
            abi.encodeCall(ISessionMarketplace.setPolicy, (sessionPolicy())),
            abi.encodeCall(INodeRegistry.setStakePolicy, (stakePolicy())),
            abi.encodeCall(IReputationSystem.setPolicy, (reputationPolicy()))
        ];
        address[4] memory targets = [address(jobs), address(sessions), address(registry), address(reputation)];
        for (uint256 i; i < 4; ++i) {
            Proposal memory p = ready(targets[i], calls[i]);
            vm.expectRevert(abi.encodeWithSelector(FabTimelock.OnlyThroughParameterStore.selector, bytes4(calls[i])));
            execute(p);
        }
    }

    function test_only_the_store_applies_policies() public {
        vm.expectRevert(abi.encodeWithSelector(FabTimelock.NotParameterStore.selector, address(this)));
        timelock.applyPolicy(address(jobs), "");
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(store)));
        vm.prank(address(store));
        jobs.setPolicy(jobPolicy());
    }

    function test_the_store_is_named_once_by_the_admin() public {
        FabTimelock fresh = new FabTimelock(address(this));
        vm.expectRevert();
        vm.prank(stranger);
        fresh.setParameterStore(stranger);
        vm.expectRevert(FabTimelock.ZeroAddressGiven.selector);
        fresh.setParameterStore(address(0));
        vm.expectEmit(address(fresh));
        emit FabTimelock.ParameterStoreSet(address(store));
        fresh.setParameterStore(address(store));
        vm.expectRevert(FabTimelock.ParameterStoreAlreadySet.selector);
        fresh.setParameterStore(address(store));
    }

    function test_contradictory_bounds_are_refused() public {
        for (uint256 i; i < 5; ++i) {
            ParameterStore.Parameter[] memory list = storeParameters();
            if (i == 0) list[19].min = list[19].value + 1;
            if (i == 1) list[19].max = list[19].value - 1;
            if (i == 2) list[19].maxStep = 0;
            if (i == 3) list[19].minInterval = 0;
            if (i == 4) list[19].changedAt = 1;
            vm.expectRevert(
                abi.encodeWithSelector(ParameterStore.BadBounds.selector, ParameterStore.Key.ReputationPriorWeight)
            );
            new ParameterStore(timelock, storeTargets(), list);
        }
    }

    function test_a_value_may_start_at_either_bound() public {
        ParameterStore.Parameter[] memory list = storeParameters();
        (list[0].min, list[1].max) = (list[0].value, list[1].value);
        ParameterStore own = new ParameterStore(timelock, storeTargets(), list);
        assertEq(own.parameterOf(ParameterStore.Key.JobFeeBps).min, FEE_BPS);
        assertEq(abi.encode(own.targets()), abi.encode(storeTargets()));
        assertEq(own.KEYS(), 20);
    }

    function test_a_store_tells_its_first_values() public {
        ParameterStore.Parameter[] memory list = storeParameters();
        for (uint256 i; i < 20; ++i) {
            vm.expectEmit();
            emit ParameterStore.ParameterSet(ParameterStore.Key(i), 0, list[i].value);
        }
        new ParameterStore(timelock, storeTargets(), list);
    }

    function test_a_store_needs_all_its_addresses_and_keys() public {
        ParameterStore.Parameter[] memory list = storeParameters();
        for (uint256 i; i < 5; ++i) {
            ParameterStore.Targets memory t = storeTargets();
            if (i == 1) t.jobs = address(0);
            if (i == 2) t.sessions = address(0);
            if (i == 3) t.registry = address(0);
            if (i == 4) t.reputation = address(0);
            vm.expectRevert(ParameterStore.ZeroAddressGiven.selector);
            new ParameterStore(i == 0 ? FabTimelock(payable(address(0))) : timelock, t, list);
        }
        vm.expectRevert(abi.encodeWithSelector(ParameterStore.LengthMismatch.selector, 20, 19));
        new ParameterStore(timelock, storeTargets(), new ParameterStore.Parameter[](19));
    }

    /// @dev However often it is set, in whatever order: never outside, never too far, never too soon.
    function testFuzz_values_stay_within_bounds_and_rate(uint256[8] memory values, uint32[8] memory waits) public {
        ParameterStore.Key key = ParameterStore.Key.StakePerEngagement;
        ParameterStore.Parameter memory last = store.parameterOf(key);
        for (uint256 i; i < 8; ++i) {
            skip(waits[i] % 14 days);
            uint256 value = bound(values[i], last.min / 2, uint256(last.max) * 2);
            (ParameterStore.Key[] memory keys, uint256[] memory list) = (new ParameterStore.Key[](1), new uint256[](1));
            (keys[0], list[0]) = (key, value);
            vm.prank(address(timelock));
            try store.set(keys, list) { } catch { }
            ParameterStore.Parameter memory now_ = store.parameterOf(key);
            assertGe(now_.value, now_.min);
            assertLe(now_.value, now_.max);
            assertApproxEqAbs(now_.value, last.value, last.maxStep);
            if (now_.value != last.value && last.changedAt != 0) {
                assertGe(now_.changedAt - last.changedAt, last.minInterval);
            }
            assertEq(registry.stakePolicy().stakePerEngagement, now_.value);
            last = now_;
        }
    }

    function setAs(ParameterStore.Key key, uint256 value) private {
        (ParameterStore.Key[] memory keys, uint256[] memory values) = (new ParameterStore.Key[](1), new uint256[](1));
        (keys[0], values[0]) = (key, value);
        vm.prank(address(timelock));
        store.set(keys, values);
    }

    /// @dev Where the timelock keeps the store's address.
    function slotOfStore() private returns (bytes32) {
        vm.record();
        timelock.parameterStore();
        (bytes32[] memory reads,) = vm.accesses(address(timelock));
        return reads[0];
    }
}

/// @dev A timelock that takes whatever policy it is given.
contract Taker {
    function applyPolicy(address, bytes calldata) external { }
}
