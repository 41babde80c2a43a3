// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ReputationTest } from "../support/ReputationTest.sol";

contract IncentivesTest is ReputationTest {
    function setUp() public override {
        super.setUp();
        vm.startPrank(owner);
        reputation.setPolicy(IReputationSystem.ReputationPolicy(30 days, 7 days, 100e6, 0));
        reputation.setTierRule(1, IReputationSystem.TierRule(uint96(FEE), 5_000));
        reputation.setTierRule(2, IReputationSystem.TierRule(uint96(2 * FEE), 7_500));
        reputation.setTierRule(3, IReputationSystem.TierRule(uint96(3 * FEE), 10_000));
        vm.stopPrank();
    }

    function test_tiers_follow_weight() public {
        assertEq(reputation.statsOf(host).tier, 0);
        for (uint8 tier = 1; tier <= 3; ++tier) {
            rate(completedJob(), 5);
            assertEq(reputation.statsOf(host).tier, tier);
        }
    }

    function test_tiers_follow_quality() public {
        for (uint256 i; i < 4; ++i) {
            rate(completedJob(), 3);
        }
        assertEq(reputation.statsOf(host).tier, 1);
    }

    function test_tiers_fade() public {
        rate(completedJob(), 5);
        skip(1 days);
        assertEq(reputation.statsOf(host).tier, 0);
    }

    function test_update_moves_tier_into_registry() public {
        rate(completedJob(), 5);
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeTierSet(host, 1);
        vm.prank(stranger);
        assertEq(reputation.updateTier(host), 1);
        assertEq(registry.nodeOf(host).tier, 1);
    }

    function test_tier_lowers_fee_and_raises_capacity() public {
        rate(completedJob(), 5);
        reputation.updateTier(host);
        vm.startPrank(host);
        registry.addStake(5_000e18);
        registry.setCapacity(60);
        vm.stopPrank();
        assertEq(registry.nodeOf(host).slots, 60);
        bytes32 jobId = postAndClaim();
        assertEq(jobs.jobOf(jobId).feeBps, FEE_BPS * 9 / 10);
    }

    function test_tiers_begin_with_rules_that_nobody_meets() public {
        IReputationSystem fresh = IReputationSystem(proxyOf("ReputationSystem.sol:ReputationSystem", reputationInit()));
        for (uint256 tier = 1; tier <= 3; ++tier) {
            IReputationSystem.TierRule memory rule = fresh.tierRule(tier);
            assertEq(rule.minWeight, type(uint96).max);
            assertEq(rule.minQuality, 10_000);
        }
    }

    function test_tiers_are_out_of_reach_until_set() public {
        IReputationSystem fresh = IReputationSystem(proxyOf("ReputationSystem.sol:ReputationSystem", reputationInit()));
        assertEq(fresh.statsOf(host).tier, 0);
        assertEq(fresh.tierRule(1).minWeight, type(uint96).max);
    }

    function test_tier_rule_is_what_owner_sets() public {
        IReputationSystem.TierRule memory rule = IReputationSystem.TierRule(7, 8);
        vm.expectEmit(address(reputation));
        emit IReputationSystem.TierRuleSet(2, rule);
        vm.prank(owner);
        reputation.setTierRule(2, rule);
        assertEq(abi.encode(reputation.tierRule(2)), abi.encode(rule));
    }

    function test_tier_rules_are_bounded() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, 0, 1, 3));
        reputation.setTierRule(0, IReputationSystem.TierRule(0, 0));
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, 4, 1, 3));
        reputation.setTierRule(4, IReputationSystem.TierRule(0, 0));
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, 10_001, 0, 10_000));
        reputation.setTierRule(1, IReputationSystem.TierRule(0, 10_001));
    }

    function test_registry_takes_tiers_from_reputation_only() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotReputation.selector, stranger));
        vm.prank(stranger);
        registry.setTierOf(host, 3);
    }

    function test_registry_bounds_tiers() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 4, 3));
        vm.prank(address(reputation));
        registry.setTierOf(host, 4);
    }
}
