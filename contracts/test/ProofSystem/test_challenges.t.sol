// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice The optimistic way: a bonded assertion, a bonded challenge, a real proof or silence.
contract ChallengesTest is ProofTest {
    uint256 private constant NET = PRICE - PRICE * FEE_BPS / 10_000;

    Fixture private first;
    bytes32 private jobId;

    function setUp() public override {
        super.setUp();
        first = fixture("tiny-1");
        jobId = provable(TINY, first);
    }

    function allow() private {
        vm.prank(payer);
        proofs.allowAssertion(jobId, CHALLENGE, RESPONSE);
    }

    function asserted() private {
        allow();
        vm.prank(host);
        proofs.assertResult(jobId);
    }

    function challenged() private {
        asserted();
        vm.prank(watcher);
        proofs.challengeAssertion(jobId);
    }

    function held() private view returns (uint256) {
        return lockedIn(address(proofs), proofs.bondLockOf(jobId, true))
            + lockedIn(address(proofs), proofs.bondLockOf(jobId, false));
    }

    function wrongState() private {
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.WrongState.selector, jobId));
    }

    /// @dev Bonds in = bonds out + burnt.
    function check(uint256 hosts, uint256 watchers, uint256 burnt, uint256 bondsIn) private view {
        assertEq(creditOf(host), hosts, "host");
        assertEq(creditOf(watcher), watchers, "watcher");
        assertEq(creditOf(BURN), burnt, "burnt");
        assertEq(held(), 0, "held");
        uint256 paid = statusOf(jobId) == IJobMarketplace.JobStatus.Completed ? NET : 0;
        assertEq(hosts - paid + watchers + burnt, bondsIn, "bonds in = bonds out + burnt");
    }

    function test_the_payer_allows_it_and_only_once() public {
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.NotPayer.selector, jobId, host));
        vm.prank(host);
        proofs.allowAssertion(jobId, CHALLENGE, RESPONSE);
        vm.startPrank(payer);
        wrongState();
        proofs.allowAssertion(jobId, 0, RESPONSE);
        wrongState();
        proofs.allowAssertion(jobId, CHALLENGE, 0);
        vm.expectEmit(address(proofs));
        emit IEzklProofs.AssertionAllowed(jobId, CHALLENGE, RESPONSE);
        proofs.allowAssertion(jobId, CHALLENGE, RESPONSE);
        wrongState();
        proofs.allowAssertion(jobId, CHALLENGE, RESPONSE);
        vm.stopPrank();
    }

    function test_a_job_that_asks_for_no_proof_has_no_assertion() public {
        jobId = post(host);
        vm.prank(payer);
        wrongState();
        proofs.allowAssertion(jobId, CHALLENGE, RESPONSE);
    }

    function test_without_the_payer_the_host_must_prove() public {
        vm.prank(host);
        wrongState();
        proofs.assertResult(jobId);
    }

    function test_only_the_host_asserts_and_only_once() public {
        allow();
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.NotHost.selector, jobId, watcher));
        proofs.assertResult(jobId);
        vm.startPrank(host);
        vm.expectEmit(address(proofs));
        emit IEzklProofs.Asserted(jobId, BOND, block.timestamp + CHALLENGE);
        proofs.assertResult(jobId);
        wrongState();
        proofs.assertResult(jobId);
        vm.stopPrank();
        assertEq(held(), BOND);
    }

    function test_both_windows_must_fit_in_the_review() public {
        allow();
        skip(REVIEW - CHALLENGE - RESPONSE + 1);
        vm.startPrank(host);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.TooLate.selector, jobId, jobs.jobOf(jobId).phaseEndsAt));
        proofs.assertResult(jobId);
        vm.warp(block.timestamp - 1);
        proofs.assertResult(jobId);
        vm.stopPrank();
    }

    function test_a_job_without_a_bond_cannot_be_asserted() public {
        IJobMarketplace.JobPolicy memory policy = jobPolicy();
        policy.bondBps = 0;
        vm.prank(owner);
        jobs.setPolicy(policy);
        jobId = provable(TINY, first);
        allow();
        vm.prank(host);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.NoBond.selector, jobId));
        proofs.assertResult(jobId);
    }

    function test_nobody_challenges_and_the_host_is_paid() public {
        asserted();
        skip(CHALLENGE);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotProven.selector, jobId));
        jobs.completeWithProof(jobId);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.TooEarly.selector, jobId, block.timestamp));
        proofs.settleAssertion(jobId);
        skip(1);
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.TooLate.selector, jobId, block.timestamp - 1));
        proofs.challengeAssertion(jobId);
        jobs.completeWithProof(jobId);
        vm.expectEmit(address(proofs));
        emit IEzklProofs.AssertionSettled(jobId, address(0));
        proofs.settleAssertion(jobId);
        check(NET + BOND, 0, 0, BOND);
        wrongState();
        proofs.settleAssertion(jobId);
    }

    function test_a_real_proof_answers_a_challenge() public {
        challenged();
        assertEq(held(), 2 * BOND);
        skip(RESPONSE);
        proofs.submitProof(submission(jobId, first));
        vm.expectEmit(address(proofs));
        emit IEzklProofs.AssertionSettled(jobId, host);
        proofs.settleAssertion(jobId);
        check(NET + BOND + BOND / 2, 0, BOND - BOND / 2, 2 * BOND);
    }

    function test_silence_costs_the_host_its_bond_and_its_pay() public {
        challenged();
        skip(RESPONSE);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.TooEarly.selector, jobId, block.timestamp));
        proofs.settleAssertion(jobId);
        skip(1);
        vm.expectEmit(address(proofs));
        emit IEzklProofs.AssertionSettled(jobId, watcher);
        proofs.settleAssertion(jobId);
        skip(REVIEW);
        jobs.finalizeJob(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Failed));
        assertEq(creditOf(payer), PRICE);
        check(0, BOND + BOND / 2, BOND - BOND / 2, 2 * BOND);
    }

    function test_a_late_proof_earns_the_pay_but_not_the_bond() public {
        challenged();
        skip(RESPONSE + 1);
        proofs.submitProof(submission(jobId, first));
        proofs.settleAssertion(jobId);
        check(NET, BOND + BOND / 2, BOND - BOND / 2, 2 * BOND);
    }

    function test_a_host_that_challenges_itself_pays_for_it() public {
        asserted();
        vm.prank(host);
        proofs.challengeAssertion(jobId);
        skip(RESPONSE + 1);
        proofs.settleAssertion(jobId);
        check(BOND + BOND / 2, 0, BOND - BOND / 2, 2 * BOND);
    }

    function test_the_payer_may_accept_a_challenged_result() public {
        challenged();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        proofs.settleAssertion(jobId);
        check(NET + BOND, BOND, 0, 2 * BOND);
    }

    function test_the_payer_may_accept_an_asserted_result() public {
        asserted();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        proofs.settleAssertion(jobId);
        check(NET + BOND, 0, 0, BOND);
    }

    function test_a_proof_ends_an_assertion_that_nobody_challenged() public {
        asserted();
        proofs.submitProof(submission(jobId, first));
        vm.prank(watcher);
        wrongState();
        proofs.challengeAssertion(jobId);
        proofs.settleAssertion(jobId);
        check(NET + BOND, 0, 0, BOND);
    }

    function test_a_challenge_says_until_when_it_may_be_answered() public {
        asserted();
        skip(1 hours);
        vm.expectEmit(address(proofs));
        emit IEzklProofs.AssertionChallenged(jobId, watcher, block.timestamp + RESPONSE);
        vm.prank(watcher);
        proofs.challengeAssertion(jobId);
    }

    function test_there_is_one_challenge() public {
        vm.prank(watcher);
        wrongState();
        proofs.challengeAssertion(jobId);
        challenged();
        vm.prank(payer);
        wrongState();
        proofs.challengeAssertion(jobId);
        vm.prank(address(jobs));
        assertFalse(proofs.isProven(jobId, resultOf(first)));
        skip(CHALLENGE + 1);
        vm.prank(address(jobs));
        assertFalse(proofs.isProven(jobId, resultOf(first)), "a challenged assertion never ripens");
    }

    function test_bonds_come_out_even_if_the_registry_is_broken() public {
        challenged();
        skip(RESPONSE + 1);
        vm.mockCallRevert(address(registry), bytes(""), "broken");
        proofs.settleAssertion(jobId);
        vm.clearMockedCalls();
        check(0, BOND + BOND / 2, BOND - BOND / 2, 2 * BOND);
    }

    function test_nothing_asserted_is_nothing_to_settle() public {
        wrongState();
        proofs.settleAssertion(jobId);
    }

    function test_the_smallest_bond_is_burnt_whole() public {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.modelId, r.proofRequired, r.inputHash, r.amount) = (TINY, true, first.inputHash, 10);
        vm.prank(payer);
        jobId = jobs.postJob(r);
        vm.startPrank(host);
        jobs.claimJob(jobId, 10);
        jobs.submitResult(jobId, resultOf(first), "");
        vm.stopPrank();
        challenged();
        skip(RESPONSE + 1);
        proofs.settleAssertion(jobId);
        check(0, 1, 1, 2);
    }
}
