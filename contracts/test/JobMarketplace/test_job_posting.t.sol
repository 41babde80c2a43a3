// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { MarketTest } from "../support/MarketTest.sol";

contract JobPostingTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function test_post_locks_price_in_escrow() public {
        uint256 before = usdc.balanceOf(payer);
        bytes32 jobId = post(address(0));
        assertEq(usdc.balanceOf(payer), before - PRICE);
        assertEq(usdc.balanceOf(address(escrow)), PRICE);
        assertEq(lockedIn(address(jobs), jobId), PRICE);
    }

    function test_post_writes_job_down() public {
        IJobMarketplace.JobRequest memory r = request(host);
        IJobMarketplace.Job memory job = jobs.jobOf(post(host));
        assertEq(job.payer, payer);
        assertEq(job.host, host);
        assertEq(job.token, address(usdc));
        assertEq(job.amount, PRICE);
        assertEq(job.feeBps, FEE_BPS);
        assertEq(uint8(job.status), uint8(IJobMarketplace.JobStatus.Open));
        assertFalse(job.proofRequired);
        assertEq(job.modelId, MODEL);
        assertEq(job.deadline, r.deadline);
        assertEq(job.claimedAt, 0);
        assertEq(job.submittedAt, 0);
        assertEq(job.phaseEndsAt, 0);
        assertEq(job.inputHash, r.inputHash);
        assertEq(job.resultHash, bytes32(0));
    }

    function test_post_returns_id_known_beforehand() public {
        assertEq(post(address(0)), jobs.jobIdOf(payer, 1));
        assertEq(post(address(0)), jobs.jobIdOf(payer, 2));
        assertEq(jobs.jobCountOf(payer), 2);
    }

    function test_post_emits() public {
        IJobMarketplace.JobRequest memory r = request(host);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobPosted(
            jobs.jobIdOf(payer, 1),
            payer,
            host,
            MODEL,
            address(usdc),
            PRICE,
            r.deadline,
            false,
            r.inputHash,
            "ipfs://input"
        );
        post(host);
    }

    function test_post_takes_credit_before_allowance() public {
        vm.prank(payer);
        escrow.deposit(address(usdc), 4e6);
        uint256 before = usdc.balanceOf(payer);
        bytes32 jobId = post(address(0));
        assertEq(escrow.creditOf(payer, address(usdc)), 0);
        assertEq(usdc.balanceOf(payer), before - 6e6);
        assertEq(lockedIn(address(jobs), jobId), PRICE);
    }

    function test_post_takes_no_allowance_if_credit_suffices() public {
        vm.prank(payer);
        escrow.deposit(address(usdc), 12e6);
        uint256 before = usdc.balanceOf(payer);
        post(address(0));
        assertEq(escrow.creditOf(payer, address(usdc)), 2e6);
        assertEq(usdc.balanceOf(payer), before);
    }

    function test_post_in_eth_locks_value_sent() public {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.token, r.amount) = (ETH, 1 ether);
        vm.prank(payer);
        bytes32 jobId = jobs.postJob{ value: 1 ether }(r);
        assertEq(address(escrow).balance, 1 ether);
        assertEq(lockedIn(address(jobs), jobId), 1 ether);
    }

    function test_post_at_latest_deadline_works() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.deadline = uint40(block.timestamp + 30 days);
        vm.prank(payer);
        jobs.postJob(r);
    }

    function test_post_reverts_without_allowance() public {
        vm.prank(payer);
        usdc.approve(address(escrow), PRICE - 1);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        post(host);
    }

    function test_post_reverts_if_value_is_short() public {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.token, r.amount) = (ETH, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ValueMismatch.selector, 1 ether, 1 ether - 1));
        vm.prank(payer);
        jobs.postJob{ value: 1 ether - 1 }(r);
    }

    function test_post_reverts_for_closed_token() public {
        vm.prank(owner);
        jobs.closeToken(address(usdc));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TokenNotOpen.selector, address(usdc)));
        post(host);
    }

    function test_post_reverts_for_zero_amount() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = 0;
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        vm.prank(payer);
        jobs.postJob(r);
    }

    function test_post_reverts_for_amount_above_88_bits() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = uint256(type(uint88).max) + 1;
        vm.expectRevert(bytes4(keccak256("Overflow()")));
        vm.prank(payer);
        jobs.postJob(r);
    }

    function test_post_reverts_for_unknown_model() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.modelId = "unknown";
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.ModelNotAllowed.selector, r.modelId));
        vm.prank(payer);
        jobs.postJob(r);
    }

    function test_post_reverts_for_deadline_now() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.deadline = uint40(block.timestamp);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.BadDeadline.selector, r.deadline, block.timestamp + 30 days)
        );
        vm.prank(payer);
        jobs.postJob(r);
    }

    function test_post_reverts_for_deadline_too_far() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.deadline = uint40(block.timestamp + 30 days + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.BadDeadline.selector, r.deadline, block.timestamp + 30 days)
        );
        vm.prank(payer);
        jobs.postJob(r);
    }

    function test_post_reverts_for_own_host() public {
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.SelfDealing.selector, payer));
        post(payer);
    }

    function test_post_reverts_if_proof_is_asked_without_proof_system() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.proofRequired = true;
        vm.expectRevert(IJobMarketplace.NoProofSystem.selector);
        vm.prank(payer);
        jobs.postJob(r);
    }

    function test_post_reverts_while_entry_is_paused() public {
        vm.prank(owner);
        IGoverned(address(jobs)).pauseEntry();
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 3 days));
        post(host);
    }

    function test_post_reverts_before_wiring() public {
        IJobMarketplace unwired = IJobMarketplace(proxyOf("JobMarketplace.sol:JobMarketplace", jobsInit()));
        vm.expectRevert(IGoverned.NotWired.selector);
        unwired.postJob(request(host));
    }

    function test_cancel_refunds_payer_as_credit() public {
        bytes32 jobId = post(host);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobCancelled(jobId, payer, PRICE);
        vm.prank(payer);
        jobs.cancelJob(jobId);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Cancelled));
    }

    function test_cancel_works_while_entry_is_paused() public {
        bytes32 jobId = post(host);
        vm.prank(owner);
        IGoverned(address(jobs)).pauseEntry();
        vm.prank(payer);
        jobs.cancelJob(jobId);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
    }

    function test_cancel_reverts_for_others() public {
        bytes32 jobId = post(host);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotPayer.selector, jobId, host));
        vm.prank(host);
        jobs.cancelJob(jobId);
    }

    function test_cancel_reverts_once_claimed() public {
        bytes32 jobId = postAndClaim();
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Claimed)
        );
        vm.prank(payer);
        jobs.cancelJob(jobId);
    }

    function test_view_reverts_for_no_job() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IJobMarketplace.WrongStatus.selector, bytes32(uint256(1)), IJobMarketplace.JobStatus.None
            )
        );
        jobs.jobOf(bytes32(uint256(1)));
    }
}
