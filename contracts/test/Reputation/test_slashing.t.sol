// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice Slashes of stake, and what they do to reputation.
contract SlashingTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function slash(uint256 shareBps, bytes32 evidence) private returns (uint256) {
        vm.prank(address(jobs));
        return registry.slashEngagement(host, shareBps, evidence, stranger, payer);
    }

    function test_slash_is_split_three_ways() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.Slashed(host, address(jobs), "e", 50e18, 15e18, 20e18, 15e18);
        assertEq(slash(5_000, "e"), 50e18);
        assertEq(escrow.creditOf(stranger, address(fab)), 15e18);
        assertEq(escrow.creditOf(payer, address(fab)), 20e18);
        assertEq(escrow.creditOf(BURN, address(fab)), 15e18);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE - 50e18);
        assertEq(stakeLock(host), MIN_STAKE - 50e18);
    }

    function test_slash_of_nothing_moves_nothing() public {
        assertEq(slash(0, "e"), 0);
        assertEq(stakeLock(host), MIN_STAKE);
    }

    function test_slash_below_min_stake_pauses_node() public {
        slash(1, "e");
        assertTrue(registry.nodeOf(host).paused);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, MIN_STAKE - 0.01e18, MIN_STAKE));
        vm.prank(host);
        registry.setPaused(false);
        vm.startPrank(host);
        registry.addStake(0.01e18);
        registry.setPaused(false);
        assertFalse(registry.nodeOf(host).paused);
    }

    function test_slash_above_min_stake_does_not_pause() public {
        vm.prank(host);
        registry.addStake(100e18);
        slash(10_000, "e");
        assertFalse(registry.nodeOf(host).paused);
    }

    function test_slash_reaches_unbonding_stake() public {
        vm.prank(host);
        registry.unregister();
        slash(10_000, "e");
        assertEq(registry.nodeOf(host).unbonding, MIN_STAKE - 100e18);
        skip(7 days);
        registry.finishUnbonding(host);
        assertEq(escrow.creditOf(host, address(fab)), MIN_STAKE - 100e18);
    }

    function test_slash_takes_what_there_is() public {
        INodeRegistry.StakePolicy memory p = stakePolicy();
        p.stakePerEngagement = 2 * MIN_STAKE;
        vm.prank(owner);
        registry.setStakePolicy(p);
        assertEq(slash(10_000, "e"), MIN_STAKE);
        assertEq(stakeLock(host), 0);
        assertEq(registry.nodeOf(host).stake, 0);
    }

    function test_evidence_counts_once_for_each_market() public {
        slash(100, "e");
        assertTrue(registry.isEvidenceUsed(address(jobs), "e"));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.EvidenceUsed.selector, address(jobs), bytes32("e")));
        slash(100, "e");
        vm.prank(address(sessions));
        registry.slashEngagement(host, 100, "e", stranger, payer);
    }

    function test_slash_is_bounded_by_one_engagement() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 10_001, 10_000));
        slash(10_001, "e");
    }

    function test_slash_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMarket.selector, stranger));
        vm.prank(stranger);
        registry.slashEngagement(host, 1, "e", stranger, payer);
    }

    function test_idle_host_is_slashed() public {
        bytes32 jobId = postAndClaim();
        skip(1 hours + 1);
        jobs.expireJob(jobId);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE - STAKE_PER_ENGAGEMENT * uint256(IDLE_SLASH_BPS) / 10_000);
        assertTrue(registry.isEvidenceUsed(address(jobs), jobId));
    }

    // ----------------------------------------------------------------------------------------------- reputation

    function test_slash_enters_the_record_as_a_zero_score() public {
        vm.prank(owner);
        reputation.setFeeWeight(address(fab), 1e6);
        vm.expectEmit(address(reputation));
        emit IReputationSystem.SlashRecorded(host, 100e18, 100e6);
        slash(10_000, "e");
        IReputationSystem.Stats memory stats = reputation.statsOf(host);
        assertEq(stats.slashes, 1);
        assertEq(stats.weight, 100e6);
        assertEq(stats.quality, uint256(10e6) * 5_000 / 110e6);
    }

    function test_weight_of_a_slash_is_bounded() public {
        vm.prank(owner);
        reputation.setFeeWeight(address(fab), type(uint96).max);
        slash(10_000, "e");
        assertEq(reputation.statsOf(host).weight, type(uint80).max);
    }

    function test_slash_works_without_reputation() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.ReputationSet(address(0));
        vm.prank(owner);
        registry.setReputation(address(0));
        slash(100, "e");
        assertEq(registry.nodeOf(host).stake, MIN_STAKE - 1e18);
    }

    function test_slash_works_if_reputation_reverts() public {
        vm.mockCallRevert(address(reputation), bytes(""), bytes("broken"));
        slash(100, "e");
        assertEq(registry.nodeOf(host).stake, MIN_STAKE - 1e18);
    }

    function test_hook_is_for_registry_only() public {
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotRegistry.selector, stranger));
        vm.prank(stranger);
        reputation.onSlash(host, 1);
    }

    function test_reputation_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        registry.setReputation(stranger);
    }
}
