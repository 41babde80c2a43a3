// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ReputationTest } from "../support/ReputationTest.sol";

contract PerformanceTest is ReputationTest {
    function record(bytes32 jobId) private {
        vm.prank(stranger);
        reputation.record(address(jobs), jobId);
    }

    function test_completed_job_is_recorded() public {
        bytes32 jobId = completedJob();
        vm.expectEmit(address(reputation));
        emit IReputationSystem.PerformanceRecorded(address(jobs), jobId, host, true);
        record(jobId);
        assertEq(reputation.statsOf(host).completed, 1);
        assertEq(reputation.statsOf(host).failed, 0);
        (bool recorded, uint8 score, bool answered) = reputation.reviewOf(address(jobs), jobId);
        assertTrue(recorded);
        assertEq(score, 0);
        assertFalse(answered);
    }

    function test_failed_job_is_recorded() public {
        record(failedJob());
        assertEq(reputation.statsOf(host).completed, 0);
        assertEq(reputation.statsOf(host).failed, 1);
    }

    function test_session_is_recorded() public {
        bytes32 id = open();
        closeByHost(id, 4e6);
        reputation.record(address(sessions), id);
        assertEq(reputation.statsOf(host).completed, 1);
    }

    function test_record_reverts_twice() public {
        bytes32 jobId = completedJob();
        record(jobId);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.AlreadyRecorded.selector, address(jobs), jobId));
        record(jobId);
    }

    function test_record_reverts_for_running_job() public {
        bytes32 jobId = postClaimSubmit();
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NoOutcome.selector, address(jobs), jobId));
        record(jobId);
    }

    function test_record_reverts_for_neutral_end() public {
        bytes32 id = open();
        skip(DURATION + GRACE + 1);
        sessions.finishClose(id);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NoOutcome.selector, address(sessions), id));
        reputation.record(address(sessions), id);
    }

    function test_record_reverts_for_unknown_market() public {
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.UnknownMarket.selector, stranger));
        reputation.record(stranger, "x");
    }

    function rateWithLatency(uint256 latencyMs) private {
        bytes32 jobId = completedJob();
        vm.prank(payer);
        reputation.rate(address(jobs), jobId, 5, latencyMs, 0);
    }

    function test_latency_is_smoothed() public {
        rateWithLatency(800);
        assertEq(reputation.statsOf(host).latencyMs, 800);
        rateWithLatency(1_600);
        assertEq(reputation.statsOf(host).latencyMs, 900);
        rateWithLatency(0);
        assertEq(reputation.statsOf(host).latencyMs, 900);
    }

    function test_latency_is_bounded() public {
        bytes32 jobId = completedJob();
        uint256 latency = uint256(type(uint32).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, latency, 0, type(uint32).max));
        vm.prank(payer);
        reputation.rate(address(jobs), jobId, 5, latency, 0);
    }

    // --------------------------------------------------------------------------------------------------- owner

    function test_markets_are_set_by_owner() public {
        vm.expectEmit(address(reputation));
        emit IReputationSystem.MarketSet(address(jobs), false);
        vm.prank(owner);
        reputation.setMarket(address(jobs), false);
        assertFalse(reputation.isMarket(address(jobs)));
        bytes32 jobId = completedJob();
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.UnknownMarket.selector, address(jobs)));
        record(jobId);
    }

    function test_owner_only() public {
        bytes memory err = abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger);
        vm.startPrank(stranger);
        vm.expectRevert(err);
        reputation.setMarket(stranger, true);
        vm.expectRevert(err);
        reputation.setFeeWeight(stranger, 1);
        vm.expectRevert(err);
        reputation.setPolicy(reputationPolicy());
        vm.expectRevert(err);
        reputation.setTierRule(1, IReputationSystem.TierRule(0, 0));
    }

    function test_policy_is_what_owner_sets() public {
        IReputationSystem.ReputationPolicy memory p = IReputationSystem.ReputationPolicy(1, 2, 3, 4);
        vm.expectEmit(address(reputation));
        emit IReputationSystem.ReputationPolicySet(p);
        vm.prank(owner);
        reputation.setPolicy(p);
        assertEq(abi.encode(reputation.policy()), abi.encode(p));
    }

    function test_policy_is_bounded() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, 0, 1, type(uint32).max));
        reputation.setPolicy(IReputationSystem.ReputationPolicy(0, 1, 1, 1));
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, 0, 1, type(uint32).max));
        reputation.setPolicy(IReputationSystem.ReputationPolicy(1, 0, 1, 1));
    }

    function test_initialize_reverts_without_registry() public {
        address implementation = deployCode("ReputationSystem.sol:ReputationSystem");
        bytes memory init = abi.encodeCall(IReputationSystem.initialize, (owner, address(0), reputationPolicy()));
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        this.proxyWith(implementation, init);
    }

    function test_initialize_reverts_twice() public {
        vm.expectRevert(bytes4(keccak256("InvalidInitialization()")));
        reputation.initialize(stranger, stranger, reputationPolicy());
    }

    function test_registry_is_shown() public view {
        assertEq(reputation.registry(), address(registry));
    }
}
