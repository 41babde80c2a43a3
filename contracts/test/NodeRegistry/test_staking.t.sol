// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { MarketTest } from "../support/MarketTest.sol";

contract StakingTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function unbond(uint256 amount) private {
        vm.prank(host);
        registry.startUnbonding(amount);
    }

    function addStake(uint256 amount) private {
        vm.prank(host);
        registry.addStake(amount);
    }

    function test_add_stake() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.StakeAdded(host, 5e18, MIN_STAKE + 5e18);
        addStake(5e18);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE + 5e18);
        assertEq(stakeLock(host), MIN_STAKE + 5e18);
    }

    function test_add_stake_from_credit() public {
        vm.prank(host);
        escrow.deposit(address(fab), 5e18);
        addStake(5e18);
        assertEq(escrow.creditOf(host, address(fab)), 0);
    }

    function test_add_zero_reverts() public {
        vm.expectRevert(INodeRegistry.ZeroStake.selector);
        addStake(0);
    }

    function test_add_reverts_if_not_registered() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.addStake(1);
    }

    function test_add_reverts_while_entry_is_paused() public {
        vm.prank(owner);
        IGoverned(address(registry)).pauseEntry();
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 3 days));
        addStake(1);
    }

    function test_unbond_moves_stake() public {
        addStake(50e18);
        vm.expectEmit(address(registry));
        emit INodeRegistry.UnbondingStarted(host, 20e18, block.timestamp + 7 days);
        unbond(20e18);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE + 30e18);
        assertEq(registry.nodeOf(host).unbonding, 20e18);
        assertEq(stakeLock(host), MIN_STAKE + 50e18);
    }

    function test_unbond_more_restarts_the_clock() public {
        addStake(50e18);
        unbond(20e18);
        skip(6 days);
        unbond(10e18);
        assertEq(registry.nodeOf(host).unbonding, 30e18);
        assertEq(registry.nodeOf(host).unbondsAt, block.timestamp + 7 days);
    }

    function test_unbond_reverts_below_min_stake() public {
        addStake(50e18);
        vm.expectRevert(
            abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, MIN_STAKE + 50e18, MIN_STAKE + 50e18 + 1)
        );
        unbond(50e18 + 1);
    }

    function test_unbond_reverts_below_what_is_locked() public {
        INodeRegistry.StakePolicy memory p = stakePolicy();
        p.minStake = 100e18;
        vm.prank(owner);
        registry.setStakePolicy(p);
        for (uint256 i; i < 3; ++i) {
            postAndClaim();
        }
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, MIN_STAKE, uint256(MIN_STAKE) + 1));
        unbond(MIN_STAKE - 300e18 + 1);
        unbond(MIN_STAKE - 300e18);
    }

    function test_unbond_zero_reverts() public {
        vm.expectRevert(INodeRegistry.ZeroStake.selector);
        unbond(0);
    }

    function test_unbond_lowers_slots() public {
        INodeRegistry.StakePolicy memory p = stakePolicy();
        p.minStake = 100e18;
        vm.prank(owner);
        registry.setStakePolicy(p);
        unbond(750e18);
        assertEq(registry.nodeOf(host).slots, 2);
    }

    function test_finish_credits_host() public {
        addStake(50e18);
        unbond(50e18);
        skip(7 days);
        vm.expectEmit(address(registry));
        emit INodeRegistry.StakeWithdrawn(host, 50e18);
        vm.prank(stranger);
        registry.finishUnbonding(host);
        assertEq(escrow.creditOf(host, address(fab)), 50e18);
        assertEq(stakeLock(host), MIN_STAKE);
    }

    function test_finish_reverts_a_second_early() public {
        addStake(50e18);
        unbond(50e18);
        uint256 end = block.timestamp + 7 days;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StillUnbonding.selector, end));
        registry.finishUnbonding(host);
    }

    function test_finish_reverts_with_nothing_unbonding() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NothingUnbonding.selector, host));
        registry.finishUnbonding(host);
    }

    function test_finish_works_while_entry_is_paused_and_after_leaving() public {
        vm.prank(host);
        registry.unregister();
        vm.prank(owner);
        IGoverned(address(registry)).pauseEntry();
        skip(7 days);
        registry.finishUnbonding(host);
        assertEq(escrow.creditOf(host, address(fab)), MIN_STAKE);
    }

    function test_cancel_takes_stake_back() public {
        addStake(50e18);
        unbond(50e18);
        vm.prank(host);
        registry.cancelUnbonding();
        assertEq(registry.nodeOf(host).stake, MIN_STAKE + 50e18);
        assertEq(registry.nodeOf(host).unbonding, 0);
        assertEq(registry.nodeOf(host).unbondsAt, 0);
    }

    function test_cancel_reverts_with_nothing_unbonding() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NothingUnbonding.selector, host));
        vm.prank(host);
        registry.cancelUnbonding();
    }

    // ---------------------------------------------------------------------------------------------- engagements

    function acquire() private {
        vm.prank(address(jobs));
        registry.acquire(host, MODEL);
    }

    function test_acquire_gives_tickets_and_terms() public {
        vm.startPrank(address(jobs));
        (uint40 ticket, uint16 modelIndex, uint16 discount) = registry.acquire(host, OTHER_MODEL);
        assertEq(ticket, 1);
        assertEq(modelIndex, 2);
        assertEq(discount, 0);
        registry.release(host);
        (ticket,,) = registry.acquire(host, OTHER_MODEL);
        assertEq(ticket, 2);
        assertEq(registry.nodeOf(host).open, 1);
    }

    function test_acquire_reverts_at_capacity() public {
        for (uint256 i; i < CAPACITY; ++i) {
            acquire();
        }
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NoCapacity.selector, host, CAPACITY, CAPACITY));
        acquire();
    }

    function test_acquire_reverts_beyond_stake() public {
        vm.prank(host);
        registry.setCapacity(100);
        assertEq(registry.nodeOf(host).slots, 10);
        for (uint256 i; i < 10; ++i) {
            acquire();
        }
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NoCapacity.selector, host, 10, 10));
        acquire();
    }

    function test_tier_bounds_capacity() public {
        addStake(10_000e18);
        vm.prank(host);
        registry.setCapacity(50);
        assertEq(registry.nodeOf(host).slots, 16);
        vm.prank(address(reputation));
        registry.setTierOf(host, 1);
        assertEq(registry.nodeOf(host).slots, 50);
    }

    function test_engagements_without_stake_lock_are_bounded_by_capacity() public {
        INodeRegistry.StakePolicy memory p = stakePolicy();
        p.stakePerEngagement = 0;
        vm.prank(owner);
        registry.setStakePolicy(p);
        registry.refresh(host);
        assertEq(registry.nodeOf(host).slots, CAPACITY);
    }

    function test_the_smallest_stake_lock_bounds_engagements() public {
        INodeRegistry.StakePolicy memory p = stakePolicy();
        (p.minStake, p.stakePerEngagement) = (3, 1);
        vm.prank(owner);
        registry.setStakePolicy(p);
        fund(stranger);
        vm.prank(stranger);
        registry.register(3, CAPACITY, profile(), new INodeRegistry.Offer[](0));
        assertEq(registry.nodeOf(stranger).slots, 3);
    }

    function test_acquire_reverts_for_unregistered_host() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(address(jobs));
        registry.acquire(stranger, MODEL);
    }

    function test_acquire_reverts_for_paused_host() public {
        vm.prank(host);
        registry.setPaused(true);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeIsPaused.selector, host));
        acquire();
    }

    function test_acquire_reverts_for_unknown_model() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ModelNotAllowed.selector, bytes32("x")));
        vm.prank(address(jobs));
        registry.acquire(host, "x");
    }

    function test_acquire_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMarket.selector, stranger));
        vm.prank(stranger);
        registry.acquire(host, MODEL);
    }

    function test_release_reverts_for_others() public {
        acquire();
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMarket.selector, stranger));
        vm.prank(stranger);
        registry.release(host);
    }

    function test_former_market_can_still_release() public {
        acquire();
        vm.prank(owner);
        registry.setMarket(address(jobs), false);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMarket.selector, address(jobs)));
        acquire();
        vm.prank(address(jobs));
        registry.release(host);
        assertEq(registry.nodeOf(host).open, 0);
    }

    function test_free_stake_is_never_negative() public {
        acquire();
        INodeRegistry.StakePolicy memory p = stakePolicy();
        p.stakePerEngagement = MIN_STAKE + 1;
        vm.prank(owner);
        registry.setStakePolicy(p);
        assertEq(registry.freeStakeOf(host), 0);
    }

    // --------------------------------------------------------------------------------------------------- policy

    function test_policy_is_what_owner_sets() public {
        INodeRegistry.StakePolicy memory p = INodeRegistry.StakePolicy(1, 2, 3, 4, 5);
        vm.expectEmit(address(registry));
        emit INodeRegistry.StakePolicySet(p);
        vm.prank(owner);
        registry.setStakePolicy(p);
        assertEq(abi.encode(registry.stakePolicy()), abi.encode(p));
    }

    function test_policy_is_bounded() public {
        INodeRegistry.StakePolicy memory p = stakePolicy();
        p.unbondingPeriod = 60 days + 1;
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 60 days + 1, 60 days));
        registry.setStakePolicy(p);
        p = stakePolicy();
        (p.challengerBps, p.payerBps) = (5_000, 5_001);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 10_001, 10_000));
        registry.setStakePolicy(p);
    }

    function test_policy_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        registry.setStakePolicy(stakePolicy());
    }

    function test_tier_terms_are_what_owner_sets() public {
        INodeRegistry.Tier memory terms = INodeRegistry.Tier({ capacity: 3, feeDiscountBps: 10_000 });
        vm.expectEmit(address(registry));
        emit INodeRegistry.TierSet(0, terms);
        vm.prank(owner);
        registry.setTier(0, terms);
        assertEq(abi.encode(registry.tierTerms(0)), abi.encode(terms));
        assertEq(registry.tierTerms(1).capacity, 64);
        assertEq(registry.tierTerms(3).feeDiscountBps, 3_000);
        registry.refresh(host);
        assertEq(registry.nodeOf(host).slots, 3);
    }

    function test_tiers_begin_with_these_terms() public view {
        uint16[4] memory capacities = [uint16(16), 64, 256, 1_024];
        uint16[4] memory discounts = [uint16(0), 1_000, 2_000, 3_000];
        for (uint256 i; i < 4; ++i) {
            assertEq(abi.encode(registry.tierTerms(i)), abi.encode(INodeRegistry.Tier(capacities[i], discounts[i])));
        }
    }

    function test_slots_are_told_whenever_they_are_worked_out() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.SlotsSet(host, 3);
        vm.prank(host);
        registry.setCapacity(3);
    }

    function test_tiers_are_bounded() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 4, 3));
        registry.setTier(4, INodeRegistry.Tier(0, 0));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 10_001, 10_000));
        registry.setTier(0, INodeRegistry.Tier(0, 10_001));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.OutOfBounds.selector, 4, 3));
        registry.tierTerms(4);
    }

    function test_tiers_are_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        registry.setTier(0, INodeRegistry.Tier(0, 0));
    }
}
