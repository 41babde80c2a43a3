// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Guardian } from "../../src/governance/Guardian.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { GovernanceTest } from "../support/GovernanceTest.sol";

contract EmergencyTest is GovernanceTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function test_the_keeper_pauses_all_entry_and_no_exit() public {
        bytes32 jobId = postClaimSubmit();
        bytes32 sessionId = open();
        vm.expectEmit(address(watchman));
        emit Guardian.Paused(keeper, 4);
        vm.prank(keeper);
        watchman.pause();
        uint256 until = block.timestamp + 3 days;
        for (uint256 i; i < 4; ++i) {
            assertEq(IGoverned(governed()[i]).entryPausedUntil(), until);
        }
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, until));
        post(host);

        // Everything that lets money out still does.
        vm.prank(payer);
        jobs.acceptResult(jobId);
        settle(sessionId, 1e6);
        closeByHost(sessionId, 2e6);
        assertWithdrawalsWork();
    }

    function test_a_pause_ends_by_itself() public {
        vm.prank(keeper);
        watchman.pause();
        skip(3 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 1));
        post(host);
        skip(1);
        post(host);
    }

    /// @dev A hostile keeper pauses as often as it can: of any ten days, seven are open.
    function test_a_hostile_keeper_cannot_pause_again_within_the_cool_down() public {
        vm.prank(keeper);
        watchman.pause();
        skip(10 days - 1);
        vm.expectRevert(Guardian.NothingToPause.selector);
        vm.prank(keeper);
        watchman.pause();
        post(host);
        skip(1);
        vm.prank(keeper);
        watchman.pause();
        assertWithdrawalsWork();
    }

    /// @dev Ending a pause early does not make the next one come sooner than the cool-down after it.
    function test_a_hostile_keeper_gains_nothing_by_resuming() public {
        vm.startPrank(keeper);
        watchman.pause();
        skip(1 hours);
        vm.expectEmit(address(watchman));
        emit Guardian.Resumed(keeper);
        watchman.resume();
        skip(7 days - 1);
        vm.expectRevert(Guardian.NothingToPause.selector);
        watchman.pause();
        vm.stopPrank();
        post(host);
    }

    function test_the_keeper_opens_entry_everywhere() public {
        vm.startPrank(keeper);
        watchman.pause();
        skip(1 hours);
        watchman.resume();
        vm.stopPrank();
        for (uint256 i; i < 4; ++i) {
            assertEq(IGoverned(governed()[i]).entryPausedUntil(), block.timestamp);
        }
        post(host);
        open();
    }

    /// @dev What has ended by itself is not ended again, and its cool-down not moved.
    function test_a_pause_that_is_over_is_not_resumed() public {
        vm.startPrank(keeper);
        watchman.pause();
        skip(3 days);
        vm.recordLogs();
        watchman.resume();
        vm.stopPrank();
        assertEq(vm.getRecordedLogs().length, 1, "only the guardian's own word");
    }

    function test_one_that_cools_down_does_not_keep_the_others_open() public {
        vm.prank(address(timelock));
        IGoverned(address(jobs)).pauseEntry();
        skip(4 days);
        vm.expectEmit(address(watchman));
        emit Guardian.Paused(keeper, 3);
        vm.prank(keeper);
        watchman.pause();
    }

    function test_a_hostile_keeper_cannot_stop_the_vote_that_replaces_it() public {
        address honest = makeAddr("honest");
        Proposal memory p = propose(address(watchman), abi.encodeCall(Guardian.setKeeper, (honest)));
        vm.prank(keeper);
        watchman.pause();
        vm.expectRevert();
        vm.prank(keeper);
        governor.cancel(p.targets, p.values, p.data, p.description);
        pass(p);
        queue(p);
        bytes32 salt = bytes20(address(governor)) ^ p.description;
        bytes32 operation = timelock.hashOperationBatch(p.targets, p.values, p.data, 0, salt);
        assertTrue(timelock.isOperationPending(operation));
        vm.expectRevert();
        vm.prank(keeper);
        timelock.cancel(operation);
        skip(timelock.getMinDelay());
        vm.expectEmit(address(watchman));
        emit Guardian.KeeperSet(honest);
        execute(p);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAllowed.selector, keeper));
        vm.prank(keeper);
        watchman.pause();
    }

    /// @dev A hostile majority names one guardian after another: the cool-down is the contracts', not the guardian's.
    function test_a_new_guardian_inherits_the_cool_down() public {
        vm.prank(keeper);
        watchman.pause();
        Guardian other = new Guardian(address(timelock), whale, governed(), escrow, new address[](0), new uint256[](0));
        for (uint256 i; i < 4; ++i) {
            vm.prank(address(timelock));
            IGoverned(governed()[i]).setGuardian(address(other));
        }
        skip(3 days);
        vm.expectRevert(Guardian.NothingToPause.selector);
        vm.prank(whale);
        other.pause();
        post(host);
    }

    /// @dev All of the vote against everybody else: whoever wants to leave has eight days, and is not held up after.
    function test_a_hostile_majority_cannot_keep_money_in() public {
        bytes32 sessionId = open();
        Proposal memory p = propose(address(jobs), abi.encodeCall(IGoverned.pauseEntry, ()));
        pass(p);
        queue(p);
        assertGe(block.timestamp - governor.proposalSnapshot(p.id) + governor.votingDelay(), 6 days);
        assertWithdrawalsWork();
        skip(timelock.getMinDelay());
        execute(p);
        assertWithdrawalsWork();
        skip(DURATION + GRACE + 1);
        sessions.finishClose(sessionId);
        uint256 credit = escrow.creditOf(payer, address(usdc));
        assertEq(credit, DEPOSIT);
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, credit);
    }

    function test_a_hostile_majority_cannot_take_what_is_credited() public {
        vm.prank(payer);
        escrow.depositFor(host, address(usdc), 5e6);
        // The escrow knows no owner: nothing that the timelock may call moves a credit but its own.
        bytes memory call = abi.encodeWithSignature("withdraw(address,address,uint256)", usdc, whale, 5e6);
        Proposal memory p = ready(address(escrow), call);
        vm.expectRevert();
        execute(p);
        assertEq(escrow.creditOf(host, address(usdc)), 5e6);
    }

    function test_others_can_neither_pause_nor_resume() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAllowed.selector, stranger));
        watchman.pause();
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAllowed.selector, stranger));
        watchman.resume();
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAllowed.selector, stranger));
        watchman.setKeeper(stranger);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAllowed.selector, stranger));
        watchman.setBreaker(stranger);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotAllowed.selector, address(breaker)));
        vm.prank(address(breaker));
        watchman.resume();
    }

    function test_a_vote_names_the_breaker() public {
        vm.expectEmit(address(watchman));
        emit Guardian.BreakerSet(stranger);
        vm.prank(address(timelock));
        watchman.setBreaker(stranger);
        assertEq(watchman.breaker(), stranger);
        assertEq(watchman.keeper(), keeper);
        assertEq(abi.encode(watchman.targets()), abi.encode(governed()));
    }

    function test_a_guardian_needs_a_timelock() public {
        vm.expectRevert(Guardian.ZeroAddressGiven.selector);
        new Guardian(address(0), keeper, governed(), escrow, new address[](0), new uint256[](0));
    }
}
