// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice What the guides advise, tried: each piece of advice is true, and ignoring it costs what they say.
contract BestPracticesTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function test_the_markets_need_no_allowance() public {
        assertEq(usdc.allowance(payer, address(jobs)), 0);
        assertEq(usdc.allowance(payer, address(sessions)), 0);
        bytes32 jobId = post(host);
        assertEq(lockedIn(address(jobs), jobId), PRICE);
        assertEq(usdc.balanceOf(address(jobs)), 0);
    }

    function test_a_jobs_id_is_known_before_it_is_posted() public {
        uint256 number = jobs.jobCountOf(payer) + 1;
        bytes32 expected = bytes32(uint256(uint160(payer)) << 96 | number);
        assertEq(jobs.jobIdOf(payer, number), expected);
        assertEq(post(host), expected);
    }

    function test_money_comes_back_as_a_credit() public {
        bytes32 jobId = post(host);
        uint256 had = usdc.balanceOf(payer);
        vm.prank(payer);
        jobs.cancelJob(jobId);
        assertEq(usdc.balanceOf(payer), had);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
    }

    function test_anybody_ends_what_is_over() public {
        bytes32 done = postClaimSubmit();
        bytes32 idle = post(host);
        skip(REVIEW + 1);
        vm.startPrank(stranger);
        jobs.finalizeJob(done);
        jobs.expireJob(idle);
        vm.stopPrank();
        assertEq(uint8(statusOf(done)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
    }

    function test_a_claimed_job_that_is_not_done_costs_stake() public {
        bytes32 jobId = postAndClaim();
        uint256 stake = stakeLock(host);
        skip(1 hours + 1);
        jobs.expireJob(jobId);
        assertLt(stakeLock(host), stake);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
    }

    /// @dev What a host does before it sends the next chunk: asks what `settle` would do, without doing it.
    function test_a_voucher_can_be_tried_without_settling_it() public {
        bytes32 sessionId = open();
        ISessionMarketplace.Voucher memory voucher = voucherFor(sessionId, 1e6);
        bytes memory signature = signVoucher(voucher);
        uint256 snapshot = vm.snapshotState();
        assertEq(sessions.settle(voucher, signature), 1e6);
        vm.revertToState(snapshot);
        voucher.cumulativeAmount += 1;
        vm.expectRevert();
        sessions.settle(voucher, signature);
    }

    function test_the_highest_voucher_counts_whoever_brings_it() public {
        bytes32 sessionId = open();
        ISessionMarketplace.Voucher memory later = voucherFor(sessionId, 3e6);
        bytes memory signature = signVoucher(later);
        assertEq(settle(sessionId, 1e6), 1e6);
        vm.prank(stranger);
        assertEq(sessions.settle(later, signature), 2e6, "only what is new");
    }

    function test_after_the_grace_the_rest_is_the_payers() public {
        bytes32 sessionId = open();
        vm.prank(payer);
        sessions.startClose(sessionId);
        skip(GRACE + 1);
        vm.expectRevert();
        this.settleLate(sessionId);
        vm.prank(stranger);
        sessions.finishClose(sessionId);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT);
    }

    function settleLate(bytes32 sessionId) external {
        settle(sessionId, 1e6);
    }

    function test_a_pause_does_not_hold_credits() public {
        vm.prank(payer);
        escrow.depositFor(host, address(usdc), 1e6);
        vm.startPrank(owner);
        IGoverned(address(registry)).pauseEntry();
        IGoverned(address(jobs)).pauseEntry();
        IGoverned(address(sessions)).pauseEntry();
        vm.stopPrank();
        vm.prank(host);
        escrow.withdraw(address(usdc), host, 1e6);
        assertEq(escrow.creditOf(host, address(usdc)), 0);
    }

    function test_a_quote_is_spent_once_or_taken_back() public {
        vm.prank(host);
        jobs.cancelQuote(7);
        assertTrue(jobs.isQuoteSpent(host, 7));
        assertFalse(jobs.isQuoteSpent(host, 8));
    }
}
