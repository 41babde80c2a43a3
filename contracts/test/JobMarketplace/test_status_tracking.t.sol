// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice Submission, abandonment, outcomes, and the rules of the marketplace.
contract StatusTrackingTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function outcome(bytes32 jobId) private view returns (IEngagements.Outcome memory) {
        return IEngagements(address(jobs)).outcomeOf(jobId);
    }

    function test_submit_records_result() public {
        bytes32 jobId = postAndClaim();
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.ResultSubmitted(jobId, host, RESULT, "ipfs://result", block.timestamp + REVIEW);
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "ipfs://result");
        IJobMarketplace.Job memory job = jobs.jobOf(jobId);
        assertEq(uint8(job.status), uint8(IJobMarketplace.JobStatus.Submitted));
        assertEq(job.resultHash, RESULT);
        assertEq(job.submittedAt, block.timestamp);
        assertEq(job.phaseEndsAt, block.timestamp + REVIEW);
    }

    function test_submit_in_last_second_works() public {
        bytes32 jobId = postAndClaim();
        skip(1 hours);
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "");
    }

    function test_submit_reverts_when_late() public {
        bytes32 jobId = postAndClaim();
        uint256 end = block.timestamp + 1 hours;
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooLate.selector, jobId, end));
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "");
    }

    function test_submit_reverts_for_others() public {
        bytes32 jobId = postAndClaim();
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotHost.selector, jobId, payer));
        vm.prank(payer);
        jobs.submitResult(jobId, RESULT, "");
    }

    function test_submit_reverts_without_hash() public {
        bytes32 jobId = postAndClaim();
        vm.expectRevert(IJobMarketplace.EmptyResult.selector);
        vm.prank(host);
        jobs.submitResult(jobId, 0, "");
    }

    function test_submit_reverts_before_claim() public {
        bytes32 jobId = post(host);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Open)
        );
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "");
    }

    function test_abandon_refunds_payer_and_frees_host() public {
        bytes32 jobId = postAndClaim();
        vm.prank(host);
        jobs.abandonJob(jobId);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
        assertEq(registry.nodeOf(host).open, 0);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE);
        assertEq(uint8(outcome(jobId).result), uint8(IEngagements.Result.Failed));
    }

    function test_abandon_reverts_for_others() public {
        bytes32 jobId = postAndClaim();
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotHost.selector, jobId, payer));
        vm.prank(payer);
        jobs.abandonJob(jobId);
    }

    function test_abandon_reverts_after_submission() public {
        bytes32 jobId = postClaimSubmit();
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Submitted)
        );
        vm.prank(host);
        jobs.abandonJob(jobId);
    }

    function test_outcome_of_running_job_is_empty() public {
        bytes32 jobId = postClaimSubmit();
        IEngagements.Outcome memory o = outcome(jobId);
        assertEq(uint8(o.result), uint8(IEngagements.Result.None));
        assertEq(o.host, address(0));
    }

    function test_outcome_of_completed_job() public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        IEngagements.Outcome memory o = outcome(jobId);
        assertEq(uint8(o.result), uint8(IEngagements.Result.Completed));
        assertEq(o.payer, payer);
        assertEq(o.host, host);
        assertEq(o.token, address(usdc));
        assertEq(o.earned, PRICE);
        assertEq(o.fee, PRICE * FEE_BPS / 10_000);
    }

    function test_outcome_of_split_job_is_neutral() public {
        bytes32 jobId = postClaimSubmit();
        challenge(jobId);
        counter(jobId);
        skip(ARBITRATION + 1);
        jobs.resolveDispute(jobId);
        assertEq(uint8(outcome(jobId).result), uint8(IEngagements.Result.Neutral));
    }

    function test_running_job_keeps_its_terms() public {
        bytes32 jobId = postAndClaim();
        IJobMarketplace.JobPolicy memory p = jobPolicy();
        (p.feeBps, p.reviewWindow) = (1_000, 1);
        vm.prank(owner);
        jobs.setPolicy(p);
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "");
        IJobMarketplace.Job memory job = jobs.jobOf(jobId);
        assertEq(job.feeBps, FEE_BPS);
        assertEq(job.phaseEndsAt, block.timestamp + REVIEW);
    }

    // --------------------------------------------------------------------------------------------------- owner

    function test_policy_is_what_owner_sets() public {
        IJobMarketplace.JobPolicy memory p = jobPolicy();
        p.feeBps = 7;
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobPolicySet(p);
        vm.prank(owner);
        jobs.setPolicy(p);
        assertEq(abi.encode(jobs.policy()), abi.encode(p));
    }

    function test_policy_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        jobs.setPolicy(jobPolicy());
    }

    function expectOutOfBounds(IJobMarketplace.JobPolicy memory p, uint256 value, uint256 max) private {
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.OutOfBounds.selector, value, max));
        vm.prank(owner);
        jobs.setPolicy(p);
    }

    function test_policy_is_bounded() public {
        IJobMarketplace.JobPolicy memory p = jobPolicy();
        p.feeBps = 1_001;
        expectOutOfBounds(p, 1_001, 1_000);
        p = jobPolicy();
        p.reviewWindow = 90 days + 1;
        expectOutOfBounds(p, 90 days + 1, 90 days);
        p = jobPolicy();
        p.counterWindow = 90 days + 1;
        expectOutOfBounds(p, 90 days + 1, 90 days);
        p = jobPolicy();
        p.arbiterWindow = 90 days + 1;
        expectOutOfBounds(p, 90 days + 1, 90 days);
        p = jobPolicy();
        p.maxDuration = 90 days + 1;
        expectOutOfBounds(p, 90 days + 1, 90 days);
        p = jobPolicy();
        p.bondBps = 10_001;
        expectOutOfBounds(p, 10_001, 10_000);
        p = jobPolicy();
        p.idleSlashBps = 10_001;
        expectOutOfBounds(p, 10_001, 10_000);
        p = jobPolicy();
        p.faultSlashBps = 10_001;
        expectOutOfBounds(p, 10_001, 10_000);
    }

    function test_treasury_is_set_by_owner() public {
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.TreasurySet(stranger);
        vm.prank(owner);
        jobs.setTreasury(stranger);
        assertEq(jobs.treasury(), stranger);
    }

    function test_treasury_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        jobs.setTreasury(stranger);
    }

    function test_treasury_cannot_be_zero() public {
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        vm.prank(owner);
        jobs.setTreasury(address(0));
    }

    function test_tokens_are_opened_and_closed_by_owner_only() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        jobs.openToken(address(usdc));
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        jobs.closeToken(address(usdc));
    }

    function test_wire_reverts_twice() public {
        vm.expectRevert(IGoverned.AlreadyWired.selector);
        vm.prank(owner);
        jobs.wire(address(escrow), address(registry));
    }

    function test_wire_is_told() public {
        IJobMarketplace other = IJobMarketplace(proxyOf("JobMarketplace.sol:JobMarketplace", jobsInit()));
        vm.expectEmit(address(other));
        emit IJobMarketplace.Wired(address(escrow), address(registry));
        vm.prank(owner);
        other.wire(address(escrow), address(registry));
    }

    function test_wire_reverts_with_zero() public {
        IJobMarketplace other = IJobMarketplace(proxyOf("JobMarketplace.sol:JobMarketplace", jobsInit()));
        vm.startPrank(owner);
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        other.wire(address(escrow), address(0));
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        other.wire(address(0), address(registry));
    }

    function test_wire_is_for_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        jobs.wire(address(escrow), address(registry));
    }

    function test_wired_parts_are_shown() public view {
        assertEq(jobs.registry(), address(registry));
        assertEq(jobs.proofSystem(), address(0));
        assertEq(IGoverned(address(jobs)).escrow(), address(escrow));
    }

    function test_initialize_reverts_twice() public {
        vm.expectRevert(bytes4(keccak256("InvalidInitialization()")));
        jobs.initialize(stranger, stranger, jobPolicy());
    }
}
