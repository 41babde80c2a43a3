// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ERC1967Proxy } from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice Who may submit what, when, and what it leads to.
contract SubmissionTest is ProofTest {
    Fixture private first;

    function setUp() public override {
        super.setUp();
        first = fixture("tiny-1");
    }

    function test_wiring_happens_once_and_by_the_owner() public {
        assertEq(proofs.market(), address(jobs));
        assertEq(proofs.reputation(), address(reputation));
        assertEq(IGoverned(address(proofs)).escrow(), address(escrow));
        vm.expectRevert();
        proofs.wire(address(escrow), address(jobs), address(0));
        vm.startPrank(owner);
        vm.expectRevert(IGoverned.AlreadyWired.selector);
        proofs.wire(address(escrow), address(jobs), address(0));
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        proofs.wire(address(escrow), address(0), address(0));
        vm.stopPrank();
        vm.expectRevert();
        proofs.initialize(stranger);
    }

    function test_wiring_is_told() public {
        bytes memory init = abi.encodeCall(IEzklProofs.initialize, (address(this)));
        IEzklProofs fresh = IEzklProofs(address(new ERC1967Proxy(deployCode("ProofSystem.sol:ProofSystem"), init)));
        vm.expectEmit(address(fresh));
        emit IEzklProofs.Wired(address(escrow), address(jobs), address(reputation));
        fresh.wire(address(escrow), address(jobs), address(reputation));
    }

    function test_a_job_that_does_not_exist_cannot_be_proven() public {
        vm.expectRevert(
            abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, bytes32("no"), IEzklProofs.Status.NoResult)
        );
        proofs.submitProof(submission("no", first));
    }

    function test_a_job_without_a_result_cannot_be_proven() public {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.modelId, r.proofRequired, r.inputHash) = (TINY, true, first.inputHash);
        vm.prank(payer);
        bytes32 jobId = jobs.postJob(r);
        refused(submission(jobId, first), IEzklProofs.Status.NoResult);
    }

    function test_an_ended_job_cannot_be_proven() public {
        bytes32 jobId = provable(TINY, first);
        vm.prank(payer);
        jobs.acceptResult(jobId);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, jobId, IEzklProofs.Status.NoResult));
        proofs.submitProof(submission(jobId, first));
    }

    function test_a_job_is_proven_once() public {
        bytes32 jobId = provable(TINY, first);
        proofs.submitProof(submission(jobId, first));
        uint256 credit = creditOf(host);
        vm.expectRevert(
            abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, jobId, IEzklProofs.Status.AlreadyProven)
        );
        proofs.submitProof(submission(jobId, first));
        assertEq(creditOf(host), credit);
    }

    function test_unproven_job_refunds_its_payer() public {
        bytes32 jobId = provable(TINY, first);
        assertEq(proofs.recordOf(jobId).provenAt, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotProven.selector, jobId));
        jobs.completeWithProof(jobId);
        skip(REVIEW + 1);
        jobs.finalizeJob(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Failed));
        assertEq(creditOf(payer), PRICE);
    }

    function test_a_proof_that_the_market_does_not_take_yet_is_kept() public {
        bytes32 jobId = provable(TINY, first);
        vm.mockCallRevert(address(jobs), abi.encodeCall(IJobMarketplace.completeWithProof, (jobId)), "later");
        vm.expectEmit(address(proofs));
        emit IEzklProofs.NotCompleted(jobId);
        proofs.submitProof(submission(jobId, first));
        vm.clearMockedCalls();
        jobs.completeWithProof(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
    }

    function test_a_broken_reputation_system_does_not_stop_the_money() public {
        bytes32 jobId = provable(TINY, first);
        vm.mockCallRevert(address(reputation), bytes(""), "broken");
        proofs.submitProof(submission(jobId, first));
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
    }

    function test_without_a_reputation_system_it_works_as_well() public {
        // The slot after the marketplace's.
        bytes32 slot = bytes32(uint256(0xdbc9654b26aa3d7902b5c9505feb64b37a9a96f39f68cb7bbafe607b5dd76300) + 1);
        vm.store(address(proofs), slot, 0);
        assertEq(proofs.reputation(), address(0));
        bytes32 jobId = provable(TINY, first);
        proofs.submitProof(submission(jobId, first));
        assertEq(reputation.statsOf(host).completed, 0);
    }

    function test_only_the_market_is_told_and_only_about_its_result() public {
        bytes32 jobId = provable(TINY, first);
        vm.mockCallRevert(address(jobs), abi.encodeCall(IJobMarketplace.completeWithProof, (jobId)), "later");
        proofs.submitProof(submission(jobId, first));
        assertFalse(proofs.isProven(jobId, resultOf(first)));
        vm.startPrank(address(jobs));
        assertTrue(proofs.isProven(jobId, resultOf(first)));
        assertFalse(proofs.isProven(jobId, "other"));
        vm.stopPrank();
    }

    function test_a_proof_wins_a_dispute_that_the_payer_began() public {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.modelId, r.inputHash) = (TINY, first.inputHash);
        vm.prank(payer);
        bytes32 jobId = jobs.postJob(r);
        vm.startPrank(host);
        jobs.claimJob(jobId, PRICE);
        jobs.submitResult(jobId, resultOf(first), "");
        vm.stopPrank();
        challenge(jobId);
        proofs.submitProof(submission(jobId, first));
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(creditOf(host), PRICE - PRICE * FEE_BPS / 10_000 + BOND / 2);
        assertEq(creditOf(BURN), BOND - BOND / 2);
    }
}
