// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Vm } from "forge-std/Vm.sol";

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Prover, SlowProver } from "../support/Provers.sol";

/// @notice Money that moves because time has passed.
contract AutoReleaseTest is MarketTest {
    uint256 private constant NET = PRICE - PRICE * FEE_BPS / 10_000;

    function setUp() public override {
        super.setUp();
        register(host);
    }

    function test_host_is_paid_after_review_window() public {
        bytes32 jobId = postClaimSubmit();
        skip(REVIEW + 1);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobCompleted(jobId, host, payer, NET, PRICE - NET, false);
        vm.prank(stranger);
        jobs.finalizeJob(jobId);
        assertEq(escrow.creditOf(host, address(usdc)), NET);
    }

    function test_host_is_not_paid_in_last_second_of_review() public {
        bytes32 jobId = postClaimSubmit();
        uint256 end = block.timestamp + REVIEW;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooEarly.selector, jobId, end));
        jobs.finalizeJob(jobId);
    }

    function test_payer_is_refunded_after_deadline_without_claim() public {
        bytes32 jobId = post(host);
        skip(1 hours + 1);
        vm.prank(stranger);
        jobs.expireJob(jobId);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Cancelled));
    }

    function test_payer_is_refunded_after_deadline_without_result() public {
        bytes32 jobId = postAndClaim();
        skip(1 hours + 1);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobFailed(jobId, host, payer, PRICE);
        vm.prank(stranger);
        jobs.expireJob(jobId);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Failed));
    }

    function test_job_does_not_expire_in_last_second() public {
        bytes32 jobId = postAndClaim();
        uint256 end = block.timestamp + 1 hours;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooEarly.selector, jobId, end));
        jobs.expireJob(jobId);
    }

    function test_submitted_job_does_not_expire() public {
        bytes32 jobId = postClaimSubmit();
        skip(2 hours);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Submitted)
        );
        jobs.expireJob(jobId);
    }

    function test_release_and_refund_work_while_entry_is_paused() public {
        bytes32 first = postClaimSubmit();
        bytes32 second = postAndClaim();
        vm.startPrank(owner);
        IGoverned(address(jobs)).pauseEntry();
        IGoverned(address(registry)).pauseEntry();
        vm.stopPrank();
        skip(REVIEW + 1);
        jobs.finalizeJob(first);
        jobs.expireJob(second);
        assertEq(escrow.creditOf(host, address(usdc)), NET);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
    }

    /// @dev Not even an upgraded registry that reverts on everything can hold money back.
    function test_release_and_refund_work_without_registry() public {
        bytes32 first = postClaimSubmit();
        bytes32 second = postAndClaim();
        vm.mockCallRevert(address(registry), bytes(""), bytes("broken"));
        skip(REVIEW + 1);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.RegistryUnreachable(first);
        jobs.finalizeJob(first);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.RegistryUnreachable(second);
        jobs.expireJob(second);
        assertEq(escrow.creditOf(host, address(usdc)), NET);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
    }

    // --------------------------------------------------------------------------------------------------- proofs

    function proofJob() private returns (bytes32 jobId, Prover prover) {
        prover = new Prover();
        vm.prank(owner);
        jobs.setProofSystem(address(prover));
        IJobMarketplace.JobRequest memory r = request(host);
        r.proofRequired = true;
        vm.prank(payer);
        jobId = jobs.postJob(r);
        vm.startPrank(host);
        jobs.claimJob(jobId, PRICE);
        jobs.submitResult(jobId, RESULT, "");
        vm.stopPrank();
    }

    function test_proof_pays_host_at_once() public {
        (bytes32 jobId, Prover prover) = proofJob();
        prover.set(Prover.Answer.Yes);
        vm.expectCall(address(prover), abi.encodeCall(prover.isProven, (jobId, RESULT)));
        vm.recordLogs();
        jobs.completeWithProof(jobId);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            assertNotEq(logs[i].topics[0], IJobMarketplace.DisputeResolved.selector, "there was no dispute");
        }
        assertEq(escrow.creditOf(host, address(usdc)), NET);
    }

    function test_missing_proof_refunds_payer_after_review() public {
        (bytes32 jobId,) = proofJob();
        skip(REVIEW + 1);
        jobs.finalizeJob(jobId);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Failed));
        assertEq(registry.nodeOf(host).stake, MIN_STAKE);
    }

    function test_late_finalize_with_proof_pays_host() public {
        (bytes32 jobId, Prover prover) = proofJob();
        prover.set(Prover.Answer.Yes);
        skip(REVIEW + 1);
        jobs.finalizeJob(jobId);
        assertEq(escrow.creditOf(host, address(usdc)), NET);
    }

    function test_proof_job_can_be_accepted_without_proof() public {
        (bytes32 jobId,) = proofJob();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        assertEq(escrow.creditOf(host, address(usdc)), NET);
    }

    function test_unproven_result_is_refused() public {
        (bytes32 jobId, Prover prover) = proofJob();
        for (uint8 a; a < 7; ++a) {
            if (Prover.Answer(a) == Prover.Answer.Yes) continue;
            prover.set(Prover.Answer(a));
            vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotProven.selector, jobId));
            jobs.completeWithProof(jobId);
        }
    }

    /// @dev Whatever the proof system does, the money leaves.
    function test_hostile_proof_system_cannot_hold_money() public {
        (bytes32 jobId, Prover prover) = proofJob();
        skip(REVIEW + 1);
        uint256 snapshot = vm.snapshotState();
        for (uint8 a = 2; a < 7; ++a) {
            prover.set(Prover.Answer(a));
            jobs.finalizeJob(jobId);
            assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
            vm.revertToState(snapshot);
        }
        vm.etch(address(prover), "");
        jobs.finalizeJob(jobId);
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
    }

    function test_little_gas_does_not_turn_a_proof_into_a_failure() public {
        (bytes32 jobId, Prover prover) = proofJob();
        prover.set(Prover.Answer.Yes);
        skip(REVIEW + 1);
        vm.expectRevert(IJobMarketplace.NotEnoughGas.selector);
        jobs.finalizeJob{ gas: 500_000 }(jobId);
    }

    /// @dev The proof system needs almost all that it is promised: whatever who calls gives, it gets it, or nothing is
    /// decided.
    function test_no_gas_turns_a_proof_into_a_failure() public {
        (bytes32 jobId, Prover prover) = proofJob();
        vm.etch(address(prover), address(new SlowProver(495_000)).code);
        skip(REVIEW + 1);
        bool paid;
        for (uint256 gas_ = 480_000; gas_ < 800_000; gas_ += 1_000) {
            uint256 snapshot = vm.snapshotState();
            (bool ended,) = address(jobs).call{ gas: gas_ }(abi.encodeCall(jobs.finalizeJob, (jobId)));
            if (ended) {
                assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed), vm.toString(gas_));
                paid = true;
            }
            vm.revertToStateAndDelete(snapshot);
        }
        assertTrue(paid);
    }

    function test_running_job_keeps_its_proof_system() public {
        (bytes32 jobId, Prover prover) = proofJob();
        prover.set(Prover.Answer.Yes);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.ProofSystemSet(address(0));
        vm.prank(owner);
        jobs.setProofSystem(address(0));
        jobs.completeWithProof(jobId);
        assertEq(escrow.creditOf(host, address(usdc)), NET);
    }

    function test_proof_is_refused_before_submission() public {
        bytes32 jobId = postAndClaim();
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Claimed)
        );
        jobs.completeWithProof(jobId);
    }

    function test_proof_is_refused_after_the_end() public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Completed)
        );
        jobs.completeWithProof(jobId);
    }

    function test_proof_is_refused_for_job_without_proof_system() public {
        bytes32 jobId = postClaimSubmit();
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotProven.selector, jobId));
        jobs.completeWithProof(jobId);
    }

    function test_proof_wins_a_dispute() public {
        Prover prover = new Prover();
        vm.prank(owner);
        jobs.setProofSystem(address(prover));
        bytes32 jobId = postClaimSubmit();
        challenge(jobId);
        prover.set(Prover.Answer.Yes);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.DisputeResolved(jobId, host, payer, 10_000, false);
        jobs.completeWithProof(jobId);
        assertEq(escrow.creditOf(host, address(usdc)), NET + BOND / 2);
        assertEq(escrow.creditOf(BURN, address(usdc)), BOND / 2);
    }

    function test_proof_system_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        jobs.setProofSystem(stranger);
    }
}
