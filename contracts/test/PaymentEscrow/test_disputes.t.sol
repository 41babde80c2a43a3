// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Prover } from "../support/Provers.sol";

/// @notice Challenge, counter, ruling and silence. Every outcome states where price and bonds went.
contract DisputesTest is MarketTest {
    uint256 private constant FEE = PRICE * FEE_BPS / 10_000;
    uint256 private constant SLASH = STAKE_PER_ENGAGEMENT * uint256(FAULT_SLASH_BPS) / 10_000;
    bytes32 private jobId;

    function setUp() public override {
        super.setUp();
        register(host);
        jobId = postClaimSubmit();
    }

    function credits(address account) private view returns (uint256) {
        return escrow.creditOf(account, address(usdc));
    }

    /// @dev Price and both bonds (if there were two) are all accounted for.
    function assertBooks(uint256 toPayer, uint256 toHost, uint256 fee, uint256 burnt) private view {
        assertEq(credits(payer), toPayer, "payer");
        assertEq(credits(host), toHost, "host");
        assertEq(escrow.feesOf(address(usdc)), fee, "fee");
        assertEq(credits(BURN), burnt, "burnt");
        assertEq(escrow.liabilitiesOf(address(usdc)), toPayer + toHost + fee + burnt, "sum");
    }

    // ----------------------------------------------------------------------------------------------- challenge

    function test_challenge_locks_bond_of_payer() public {
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobChallenged(jobId, payer, BOND, "reason", block.timestamp + COUNTER);
        challenge(jobId);
        assertEq(lockedIn(address(jobs), jobs.bondLockOf(jobId, false)), BOND);
        IJobMarketplace.Job memory job = jobs.jobOf(jobId);
        assertEq(uint8(job.status), uint8(IJobMarketplace.JobStatus.Challenged));
        assertEq(job.phaseEndsAt, block.timestamp + COUNTER);
        assertEq(job.arbiter, arbiter);
        assertEq(job.bond, BOND);
    }

    function test_challenge_works_in_last_second_of_review() public {
        skip(REVIEW);
        challenge(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Challenged));
    }

    function test_challenge_works_while_entry_is_paused() public {
        vm.prank(owner);
        IGoverned(address(jobs)).pauseEntry();
        challenge(jobId);
    }

    function test_challenge_reverts_after_review() public {
        uint256 end = block.timestamp + REVIEW;
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooLate.selector, jobId, end));
        challenge(jobId);
    }

    function test_challenge_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotPayer.selector, jobId, stranger));
        vm.prank(stranger);
        jobs.challengeResult(jobId, "");
    }

    function test_challenge_reverts_before_submission() public {
        bytes32 other = postAndClaim();
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, other, IJobMarketplace.JobStatus.Claimed)
        );
        challenge(other);
    }

    function test_challenge_reverts_if_proof_decides() public {
        Prover prover = new Prover();
        vm.prank(owner);
        jobs.setProofSystem(address(prover));
        IJobMarketplace.JobRequest memory r = request(host);
        r.proofRequired = true;
        vm.prank(payer);
        bytes32 other = jobs.postJob(r);
        vm.startPrank(host);
        jobs.claimJob(other, PRICE);
        jobs.submitResult(other, RESULT, "");
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.ProofDecides.selector, other));
        challenge(other);
    }

    function test_challenge_reverts_without_bond() public {
        vm.prank(payer);
        usdc.approve(address(escrow), 0);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        challenge(jobId);
    }

    function test_challenge_reverts_with_eth_on_token_job() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ValueMismatch.selector, 0, 1));
        vm.prank(payer);
        jobs.challengeResult{ value: 1 }(jobId, "");
    }

    function test_challenge_of_eth_job_takes_bond_in_eth() public {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.token, r.amount) = (ETH, 1 ether);
        vm.prank(payer);
        bytes32 other = jobs.postJob{ value: 1 ether }(r);
        vm.startPrank(host);
        jobs.claimJob(other, 1 ether);
        jobs.submitResult(other, RESULT, "");
        vm.stopPrank();
        vm.prank(payer);
        jobs.challengeResult{ value: 0.1 ether }(other, "");
        assertEq(lockedIn(address(jobs), jobs.bondLockOf(other, false)), 0.1 ether);
    }

    function smallJob() private returns (bytes32 other) {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = 9; // a bond of a tenth rounds to nothing
        vm.prank(payer);
        other = jobs.postJob(r);
        vm.startPrank(host);
        jobs.claimJob(other, 9);
        jobs.submitResult(other, RESULT, "");
        vm.stopPrank();
    }

    function test_bond_that_rounds_to_nothing_is_not_locked() public {
        bytes32 other = smallJob();
        challenge(other);
        skip(COUNTER + 1);
        jobs.resolveDispute(other);
        assertEq(credits(payer), 9);
    }

    function test_eth_for_bond_that_rounds_to_nothing_is_refused() public {
        bytes32 other = smallJob();
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ValueMismatch.selector, 0, 1));
        vm.prank(payer);
        jobs.challengeResult{ value: 1 }(other, "");
    }

    function test_bond_of_one_unit_is_burnt_when_lost() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = 10;
        vm.prank(payer);
        bytes32 other = jobs.postJob(r);
        vm.startPrank(host);
        jobs.claimJob(other, 10);
        jobs.submitResult(other, RESULT, "");
        vm.stopPrank();
        challenge(other);
        counter(other);
        vm.prank(arbiter);
        jobs.ruleDispute(other, 0);
        assertEq(credits(payer), 11);
        assertEq(credits(BURN), 1);
    }

    // ------------------------------------------------------------------------------------------------- counter

    function test_counter_locks_bond_of_host() public {
        challenge(jobId);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.ChallengeCountered(jobId, host, BOND, "reason", block.timestamp + ARBITRATION);
        counter(jobId);
        assertEq(lockedIn(address(jobs), jobs.bondLockOf(jobId, true)), BOND);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Countered));
    }

    function test_counter_works_in_last_second() public {
        challenge(jobId);
        skip(COUNTER);
        counter(jobId);
    }

    function test_counter_reverts_when_late() public {
        challenge(jobId);
        uint256 end = block.timestamp + COUNTER;
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooLate.selector, jobId, end));
        counter(jobId);
    }

    function test_counter_reverts_for_others() public {
        challenge(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotHost.selector, jobId, stranger));
        vm.prank(stranger);
        jobs.counterChallenge(jobId, "");
    }

    function test_counter_reverts_without_challenge() public {
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Submitted)
        );
        counter(jobId);
    }

    // -------------------------------------------------------------------------------------------------- ruling

    function test_ruling_for_payer_refunds_and_slashes() public {
        challenge(jobId);
        counter(jobId);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.DisputeResolved(jobId, host, payer, 0, true);
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 0);
        assertBooks(PRICE + BOND + BOND / 2, 0, 0, BOND / 2);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Failed));
        assertEq(registry.nodeOf(host).stake, MIN_STAKE - SLASH);
    }

    function test_ruling_for_host_pays_and_takes_bond_of_payer() public {
        challenge(jobId);
        counter(jobId);
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 10_000);
        assertBooks(0, PRICE - FEE + BOND + BOND / 2, FEE, BOND / 2);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(registry.nodeOf(host).stake, MIN_STAKE);
    }

    function test_ruling_in_between_splits_and_returns_bonds() public {
        challenge(jobId);
        counter(jobId);
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 2_500);
        uint256 part = PRICE / 4;
        uint256 fee = part * FEE_BPS / 10_000;
        assertBooks(PRICE - part + BOND, part - fee + BOND, fee, 0);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Split));
        assertEq(registry.nodeOf(host).open, 0);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE, "nobody was at fault");
    }

    function test_ruling_of_share_that_rounds_to_nothing_refunds() public {
        bytes32 other = smallJob();
        challenge(other);
        counter(other);
        vm.prank(arbiter);
        jobs.ruleDispute(other, 1);
        assertEq(credits(payer), 9);
    }

    /// @dev The smallest share that is anything.
    function test_ruling_of_share_of_one_unit_pays_it() public {
        bytes32 other = smallJob();
        challenge(other);
        counter(other);
        vm.prank(arbiter);
        jobs.ruleDispute(other, 1_200);
        assertEq(credits(host), 1);
        assertEq(credits(payer), 8);
    }

    function test_ruling_works_in_last_second() public {
        challenge(jobId);
        counter(jobId);
        skip(ARBITRATION);
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 10_000);
    }

    function test_ruling_reverts_when_late() public {
        challenge(jobId);
        counter(jobId);
        uint256 end = block.timestamp + ARBITRATION;
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooLate.selector, jobId, end));
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 0);
    }

    function test_ruling_reverts_for_others() public {
        challenge(jobId);
        counter(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotArbiter.selector, jobId, owner));
        vm.prank(owner);
        jobs.ruleDispute(jobId, 0);
    }

    function test_ruling_reverts_above_whole() public {
        challenge(jobId);
        counter(jobId);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.OutOfBounds.selector, 10_001, 10_000));
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 10_001);
    }

    function test_ruling_reverts_before_counter() public {
        challenge(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Challenged)
        );
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 0);
    }

    function test_dispute_keeps_the_arbiter_it_began_with() public {
        challenge(jobId);
        counter(jobId);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.ArbiterSet(stranger);
        vm.prank(owner);
        jobs.setArbiter(stranger);
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 10_000);
        assertEq(jobs.arbiter(), stranger);
    }

    function test_arbiter_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        jobs.setArbiter(stranger);
    }

    // ------------------------------------------------------------------------------------------------- silence

    function test_silent_host_loses() public {
        challenge(jobId);
        skip(COUNTER + 1);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.DisputeResolved(jobId, host, payer, 0, false);
        vm.prank(stranger);
        jobs.resolveDispute(jobId);
        assertBooks(PRICE + BOND, 0, 0, 0);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE - SLASH);
    }

    function test_silent_arbiter_means_half_each() public {
        challenge(jobId);
        counter(jobId);
        skip(ARBITRATION + 1);
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.DisputeResolved(jobId, host, payer, 5_000, false);
        vm.prank(stranger);
        jobs.resolveDispute(jobId);
        uint256 half = PRICE / 2;
        uint256 fee = half * FEE_BPS / 10_000;
        assertBooks(half + BOND, half - fee + BOND, fee, 0);
    }

    function test_missing_arbiter_means_half_each() public {
        vm.prank(owner);
        jobs.setArbiter(address(0));
        challenge(jobId);
        counter(jobId);
        skip(ARBITRATION + 1);
        jobs.resolveDispute(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Split));
    }

    function test_resolve_reverts_in_last_second() public {
        challenge(jobId);
        uint256 end = block.timestamp + COUNTER;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooEarly.selector, jobId, end));
        jobs.resolveDispute(jobId);
    }

    function test_resolve_reverts_without_dispute() public {
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Submitted)
        );
        jobs.resolveDispute(jobId);
    }

    function test_dispute_ends_without_registry() public {
        challenge(jobId);
        skip(COUNTER + 1);
        vm.mockCallRevert(address(registry), bytes(""), bytes("broken"));
        // Once for the slash, once for the end of the engagement.
        for (uint256 i; i < 2; ++i) {
            vm.expectEmit(address(jobs));
            emit IJobMarketplace.RegistryUnreachable(jobId);
        }
        jobs.resolveDispute(jobId);
        assertBooks(PRICE + BOND, 0, 0, 0);
    }

    function test_accept_is_refused_in_dispute() public {
        challenge(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Challenged)
        );
        vm.prank(payer);
        jobs.acceptResult(jobId);
    }
}
