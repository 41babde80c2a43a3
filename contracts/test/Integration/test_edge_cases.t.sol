// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice What happens where the contracts' rules meet: at their bounds, in the same second, and when one of them changes
/// under the others' feet.
contract EdgeCasesTest is ProofTest {
    function accept(bytes32 jobId) private {
        vm.prank(payer);
        jobs.acceptResult(jobId);
    }

    function postOf(uint256 amount) private returns (bytes32 jobId) {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = amount;
        vm.startPrank(payer);
        jobId = jobs.postJob(r);
        vm.stopPrank();
        vm.startPrank(host);
        jobs.claimJob(jobId, amount);
        jobs.submitResult(jobId, RESULT, "");
        vm.stopPrank();
    }

    // --------------------------------------------------------------------------------------------------- amounts

    function test_the_smallest_job_pays_all_of_it() public {
        bytes32 jobId = postOf(1);
        accept(jobId);
        assertEq(creditOf(host), 1, "a fee that rounds to nothing is not taken");
        assertEq(escrow.feesOf(address(usdc)), 0);
        vm.prank(host);
        escrow.withdraw(address(usdc), host, 1);
    }

    function test_the_first_job_that_pays_a_fee() public {
        accept(postOf(39));
        assertEq(escrow.feesOf(address(usdc)), 0);
        accept(postOf(40));
        assertEq(escrow.feesOf(address(usdc)), 1);
        assertEq(creditOf(host), 39 + 39);
    }

    function test_the_largest_job_goes_through_a_dispute_and_out() public {
        uint256 most = type(uint88).max;
        usdc.mint(payer, 2 * most);
        usdc.mint(host, most);
        bytes32 jobId = postOf(most);
        challenge(jobId);
        counter(jobId);
        vm.prank(arbiter);
        jobs.ruleDispute(jobId, 10_000);
        uint256 bond = most * BOND_BPS / 10_000;
        uint256 fee = most * FEE_BPS / 10_000;
        assertEq(creditOf(host), most - fee + bond + bond / 2);
        assertEq(creditOf(BURN), bond - bond / 2);
        vm.startPrank(host);
        escrow.withdraw(address(usdc), host, creditOf(host));
        vm.stopPrank();
    }

    /// @dev Fees have 96 bits in the escrow: what can be earned in one go is far below, what they add up to is not bound.
    function test_fees_of_the_largest_jobs_add_up() public {
        uint256 most = type(uint88).max;
        usdc.mint(payer, 4 * most);
        for (uint256 i; i < 4; ++i) {
            accept(postOf(most));
        }
        assertEq(escrow.feesOf(address(usdc)), 4 * (most * FEE_BPS / 10_000));
        assertEq(jobs.collectFees(address(usdc)), 4 * (most * FEE_BPS / 10_000));
        assertEq(jobs.collectFees(address(usdc)), 0, "once");
    }

    // ------------------------------------------------------------------------------------------------------- time

    function test_a_whole_job_within_one_second() public {
        bytes32 jobId = postClaimSubmit();
        accept(jobId);
        IJobMarketplace.Job memory job = jobs.jobOf(jobId);
        assertEq(job.claimedAt, job.submittedAt);
        assertEq(job.phaseEndsAt, block.timestamp + REVIEW);
    }

    /// @dev In its last second a phase still belongs to whom it is for; in the next one to everybody.
    function test_no_second_belongs_to_nobody_or_to_both() public {
        bytes32 jobId = postClaimSubmit();
        uint256 end = jobs.jobOf(jobId).phaseEndsAt;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooEarly.selector, jobId, end));
        jobs.finalizeJob(jobId);
        uint256 state = vm.snapshotState();
        challenge(jobId);
        vm.revertToState(state);
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooLate.selector, jobId, end));
        challenge(jobId);
        jobs.finalizeJob(jobId);
    }

    /// @dev Payer and host act in the same block, in either order: one of them is refused, the money moves once.
    function test_accept_and_challenge_in_one_block() public {
        bytes32 jobId = postClaimSubmit();
        uint256 state = vm.snapshotState();
        challenge(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Challenged)
        );
        accept(jobId);
        vm.revertToState(state);
        accept(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Completed)
        );
        challenge(jobId);
    }

    // --------------------------------------------------------------------------------------- jobs beside sessions

    /// @dev Both markets draw on one capacity and one row of tickets.
    function test_jobs_and_sessions_share_capacity_and_tickets() public {
        vm.prank(host);
        registry.setCapacity(2);
        bytes32 jobId = postAndClaim();
        bytes32 sessionId = open();
        assertEq(uint96(uint256(sessionId)), 2, "the job took the first ticket");
        bytes32 third = post(host);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NoCapacity.selector, host, 2, 2));
        vm.prank(host);
        jobs.claimJob(third, PRICE);
        closeByHost(sessionId, 0);
        vm.prank(host);
        jobs.claimJob(third, PRICE);
        assertEq(registry.nodeOf(host).open, 2);
        assertEq(lockedIn(address(jobs), jobId), PRICE);
    }

    /// @dev A job's id begins with its payer, a session's with its host: whoever is both gets equal ids in two markets.
    function test_equal_ids_in_two_markets_do_not_meet() public {
        vm.prank(payer);
        registry.register(MIN_STAKE, CAPACITY, profile(), offersOf(MODEL, address(usdc), 2e6));
        ISessionMarketplace.SessionQuote memory q = quote();
        q.host = payer;
        bytes memory signature = sign(payerKey, sessions.quoteDigest(q));
        vm.prank(host);
        bytes32 sessionId = sessions.openSession(q, signature, DEPOSIT, voucherKey);
        bytes32 jobId = postClaimSubmit();
        assertEq(jobId, sessionId);
        accept(jobId);
        assertEq(lockedIn(address(jobs), jobId), 0);
        assertEq(lockedIn(address(sessions), sessionId), DEPOSIT);
        vm.prank(payer);
        reputation.rate(address(jobs), jobId, 4, 0, "");
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NoOutcome.selector, address(sessions), sessionId));
        reputation.rate(address(sessions), sessionId, 1, 0, "");
        (, uint8 score,) = reputation.reviewOf(address(jobs), jobId);
        assertEq(score, 4);
    }

    function test_a_host_may_pay_another_with_what_it_has_earned() public {
        (address other,) = makeAddrAndKey("other");
        fund(other);
        register(other);
        accept(postClaimSubmit());
        uint256 earned = creditOf(host);
        uint256 balance = usdc.balanceOf(host);
        IJobMarketplace.JobRequest memory r = request(other);
        r.amount = earned;
        vm.prank(host);
        jobs.postJob(r);
        assertEq(creditOf(host), 0, "credit goes first");
        assertEq(usdc.balanceOf(host), balance);
    }

    // --------------------------------------------------------------------------- rules that change under one's feet

    function test_a_closed_token_and_a_forbidden_model_stop_only_what_is_new() public {
        bytes32 jobId = postClaimSubmit();
        bytes32 waiting = post(host);
        bytes32 sessionId = open();
        vm.startPrank(owner);
        jobs.closeToken(address(usdc));
        registry.setModel(MODEL, false);
        vm.stopPrank();
        accept(jobId);
        settle(sessionId, 1e6);
        closeByHost(sessionId, 2e6);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ModelNotAllowed.selector, MODEL));
        vm.prank(host);
        jobs.claimJob(waiting, PRICE);
        vm.prank(payer);
        jobs.cancelJob(waiting);
        assertEq(creditOf(payer), PRICE + DEPOSIT - 2e6);
        assertEq(jobs.jobOf(jobId).modelId, MODEL, "its name is kept");
    }

    /// @dev Twice the stake for each engagement: what is open stays, what is new waits for stake.
    function test_more_stake_for_each_engagement_leaves_the_open_ones() public {
        bytes32 first = postAndClaim();
        INodeRegistry.StakePolicy memory policy = stakePolicy();
        policy.stakePerEngagement = MIN_STAKE;
        vm.prank(owner);
        registry.setStakePolicy(policy);
        registry.refresh(host);
        assertEq(registry.nodeOf(host).slots, 1);
        bytes32 second = post(host);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NoCapacity.selector, host, 1, 1));
        vm.prank(host);
        jobs.claimJob(second, PRICE);
        vm.prank(host);
        jobs.submitResult(first, RESULT, "");
        accept(first);
        vm.prank(host);
        jobs.claimJob(second, PRICE);
    }

    /// @dev A host that falls below the least stake works on, is found no more, and gets no new work.
    function test_a_slashed_host_finishes_what_it_has() public {
        bytes32 running = postAndClaim();
        bytes32 late = postAndClaim();
        vm.prank(host);
        jobs.submitResult(running, RESULT, "");
        skip(1 hours + 1);
        jobs.expireJob(late);
        assertTrue(registry.nodeOf(host).paused);
        bytes32 next = post(host);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeIsPaused.selector, host));
        vm.prank(host);
        jobs.claimJob(next, PRICE);
        accept(running);
        assertEq(registry.nodeOf(host).open, 0);
        vm.startPrank(host);
        registry.addStake(STAKE_PER_ENGAGEMENT);
        registry.setPaused(false);
        jobs.claimJob(next, PRICE);
        vm.stopPrank();
    }

    function test_a_new_key_takes_over_in_the_second_of_its_registration() public {
        Fixture memory f = fixture("tiny-1");
        bytes32 jobId = provable(TINY, f);
        vm.prank(owner);
        uint256 version = registerKey(TINY, tinyVerifier, f.proof.length, 2);
        assertEq(version, 1);
        // Claimed in the same second: both keys were in force.
        IEzklProofs.Submission memory s = submission(jobId, f);
        s.version = 1;
        proofs.submitProof(s);
        IEngagements.Outcome memory outcome = IEngagements(address(jobs)).outcomeOf(jobId);
        assertEq(uint8(outcome.result), uint8(IEngagements.Result.Completed));
    }

    function test_a_market_that_returns_can_be_read_again() public {
        bytes32 jobId = postClaimSubmit();
        accept(jobId);
        vm.startPrank(owner);
        reputation.setMarket(address(jobs), false);
        registry.setMarket(address(jobs), false);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.UnknownMarket.selector, address(jobs)));
        reputation.record(address(jobs), jobId);
        bytes32 waiting = post(host);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotMarket.selector, address(jobs)));
        vm.prank(host);
        jobs.claimJob(waiting, PRICE);
        vm.startPrank(owner);
        reputation.setMarket(address(jobs), true);
        registry.setMarket(address(jobs), true);
        vm.stopPrank();
        reputation.record(address(jobs), jobId);
        vm.prank(host);
        jobs.claimJob(waiting, PRICE);
    }
}
