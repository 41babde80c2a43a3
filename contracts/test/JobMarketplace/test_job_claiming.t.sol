// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Wallet } from "../support/Wallet.sol";

contract JobClaimingTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function claim(bytes32 jobId) private {
        vm.prank(host);
        jobs.claimJob(jobId, PRICE);
    }

    function test_claim_puts_host_to_work() public {
        bytes32 jobId = post(address(0));
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobClaimed(jobId, host, FEE_BPS);
        claim(jobId);
        IJobMarketplace.Job memory job = jobs.jobOf(jobId);
        assertEq(job.host, host);
        assertEq(uint8(job.status), uint8(IJobMarketplace.JobStatus.Claimed));
        assertEq(job.claimedAt, block.timestamp);
    }

    function test_claim_locks_stake() public {
        claim(post(host));
        assertEq(registry.nodeOf(host).open, 1);
        assertEq(registry.freeStakeOf(host), MIN_STAKE - STAKE_PER_ENGAGEMENT);
    }

    function test_claim_in_last_second_works() public {
        bytes32 jobId = post(host);
        skip(1 hours);
        claim(jobId);
    }

    function test_claim_lists_job_of_host() public {
        bytes32 first = post(host);
        bytes32 second = post(address(0));
        claim(second);
        claim(first);
        (bytes32[] memory ids, uint256 next) = jobs.jobsOfHost(host, 0, 10);
        assertEq(ids.length, 2);
        assertEq(ids[0], second);
        assertEq(ids[1], first);
        assertEq(next, 0);
    }

    function test_jobs_of_host_are_paged() public {
        for (uint256 i; i < 3; ++i) {
            claim(post(host));
        }
        (bytes32[] memory ids, uint256 next) = jobs.jobsOfHost(host, 0, 2);
        assertEq(ids.length, 2);
        assertEq(next, 2);
        (ids, next) = jobs.jobsOfHost(host, next, 2);
        assertEq(ids.length, 1);
        assertEq(ids[0], jobs.jobIdOf(payer, 3));
        assertEq(next, 0);
        (ids, next) = jobs.jobsOfHost(host, 3, 2);
        assertEq(ids.length, 0);
    }

    function test_page_size_is_bounded() public {
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.BadPageSize.selector, 0));
        jobs.jobsOfHost(host, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.BadPageSize.selector, 101));
        jobs.jobsOfHost(host, 0, 101);
    }

    function test_tier_lowers_fee() public {
        vm.prank(address(reputation));
        registry.setTierOf(host, 2);
        bytes32 jobId = post(host);
        claim(jobId);
        assertEq(jobs.jobOf(jobId).feeBps, 200);
    }

    /// @dev A waiver of one in 10,000 counts: what is left is rounded down, in favour of the host.
    function test_the_smallest_discount_lowers_the_highest_fee() public {
        IJobMarketplace.JobPolicy memory policy = jobPolicy();
        policy.feeBps = 1_000;
        vm.startPrank(owner);
        jobs.setPolicy(policy);
        registry.setTier(0, INodeRegistry.Tier({ capacity: 16, feeDiscountBps: 1 }));
        vm.stopPrank();
        registry.refresh(host);
        bytes32 jobId = post(host);
        claim(jobId);
        assertEq(jobs.jobOf(jobId).feeBps, 999);
    }

    function test_claim_reverts_after_deadline() public {
        bytes32 jobId = post(host);
        uint256 end = block.timestamp + 1 hours;
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.TooLate.selector, jobId, end));
        claim(jobId);
    }

    function test_claim_reverts_for_another_host() public {
        bytes32 jobId = post(stranger);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotHost.selector, jobId, host));
        claim(jobId);
    }

    function test_claim_reverts_for_payer() public {
        register(payer);
        bytes32 jobId = post(address(0));
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.SelfDealing.selector, payer));
        vm.prank(payer);
        jobs.claimJob(jobId, PRICE);
    }

    function test_claim_reverts_for_unexpected_amount() public {
        bytes32 jobId = post(host);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.UnexpectedAmount.selector, jobId, PRICE + 1, PRICE));
        vm.prank(host);
        jobs.claimJob(jobId, PRICE + 1);
    }

    function test_claim_reverts_if_claimed() public {
        bytes32 jobId = post(address(0));
        claim(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Claimed)
        );
        claim(jobId);
    }

    function test_claim_reverts_for_unregistered_host() public {
        bytes32 jobId = post(address(0));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        jobs.claimJob(jobId, PRICE);
    }

    function test_claim_reverts_while_entry_is_paused() public {
        bytes32 jobId = post(host);
        vm.prank(owner);
        IGoverned(address(jobs)).pauseEntry();
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 3 days));
        claim(jobId);
    }

    // --------------------------------------------------------------------------------------------------- quotes

    function jobQuote() private view returns (IJobMarketplace.JobQuote memory) {
        return IJobMarketplace.JobQuote({
            host: host,
            payer: payer,
            modelId: MODEL,
            token: address(usdc),
            amount: PRICE,
            inputHash: keccak256("input"),
            minDuration: 1 hours,
            validUntil: uint40(block.timestamp + 10),
            nonce: 42
        });
    }

    function postQuoted(IJobMarketplace.JobRequest memory r, IJobMarketplace.JobQuote memory q)
        private
        returns (bytes32)
    {
        bytes memory signature = sign(hostKey, jobs.quoteDigest(q));
        vm.prank(payer);
        return jobs.postJobWithQuote(r, q, signature);
    }

    function expectMismatch(IJobMarketplace.JobRequest memory r, IJobMarketplace.JobQuote memory q) private {
        bytes memory signature = sign(hostKey, jobs.quoteDigest(q));
        vm.expectRevert(IJobMarketplace.QuoteMismatch.selector);
        vm.prank(payer);
        jobs.postJobWithQuote(r, q, signature);
    }

    function test_quoted_job_is_claimed_at_once() public {
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.QuoteSpent(host, 42);
        bytes32 jobId = postQuoted(request(host), jobQuote());
        IJobMarketplace.Job memory job = jobs.jobOf(jobId);
        assertEq(uint8(job.status), uint8(IJobMarketplace.JobStatus.Claimed));
        assertEq(job.host, host);
        assertEq(lockedIn(address(jobs), jobId), PRICE);
        assertTrue(jobs.isQuoteSpent(host, 42));
    }

    function test_quote_for_anyone_and_any_input_works() public {
        IJobMarketplace.JobQuote memory q = jobQuote();
        (q.payer, q.inputHash) = (address(0), 0);
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = PRICE + 1;
        postQuoted(r, q);
    }

    function test_quote_of_contract_host_works() public {
        Wallet wallet = new Wallet(host);
        fab.mint(address(wallet), MIN_STAKE);
        wallet.execute(address(fab), 0, abi.encodeCall(fab.approve, (address(escrow), MIN_STAKE)));
        wallet.execute(
            address(registry),
            0,
            abi.encodeCall(INodeRegistry.register, (MIN_STAKE, CAPACITY, profile(), new INodeRegistry.Offer[](0)))
        );
        IJobMarketplace.JobQuote memory q = jobQuote();
        q.host = address(wallet);
        bytes32 jobId = postQuoted(request(address(wallet)), q);
        assertEq(jobs.jobOf(jobId).host, address(wallet));
    }

    function test_quote_reverts_twice() public {
        postQuoted(request(host), jobQuote());
        bytes memory signature = sign(hostKey, jobs.quoteDigest(jobQuote()));
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.QuoteAlreadySpent.selector, host, 42));
        vm.prank(payer);
        jobs.postJobWithQuote(request(host), jobQuote(), signature);
    }

    function test_cancelled_quote_reverts() public {
        vm.prank(host);
        jobs.cancelQuote(42);
        bytes memory signature = sign(hostKey, jobs.quoteDigest(jobQuote()));
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.QuoteAlreadySpent.selector, host, 42));
        vm.prank(payer);
        jobs.postJobWithQuote(request(host), jobQuote(), signature);
    }

    function test_quote_reverts_when_late() public {
        IJobMarketplace.JobQuote memory q = jobQuote();
        IJobMarketplace.JobRequest memory r = request(host);
        q.validUntil = uint40(block.timestamp - 1);
        bytes memory signature = sign(hostKey, jobs.quoteDigest(q));
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.QuoteExpired.selector, q.validUntil));
        vm.prank(payer);
        jobs.postJobWithQuote(r, q, signature);
    }

    function test_quote_reverts_for_another_payer() public {
        IJobMarketplace.JobQuote memory q = jobQuote();
        bytes memory signature = sign(hostKey, jobs.quoteDigest(q));
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.QuoteForAnother.selector, payer, stranger));
        vm.prank(stranger);
        jobs.postJobWithQuote(request(host), q, signature);
    }

    function test_quote_reverts_with_another_signature() public {
        IJobMarketplace.JobQuote memory q = jobQuote();
        bytes memory signature = sign(payerKey, jobs.quoteDigest(q));
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.BadSignature.selector, host));
        vm.prank(payer);
        jobs.postJobWithQuote(request(host), q, signature);
    }

    function test_quote_reverts_for_another_host() public {
        expectMismatch(request(stranger), jobQuote());
    }

    function test_quote_reverts_for_another_model() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.modelId = OTHER_MODEL;
        expectMismatch(r, jobQuote());
    }

    function test_quote_reverts_for_another_token() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.token = address(fab);
        expectMismatch(r, jobQuote());
    }

    function test_quote_reverts_for_less_money() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = PRICE - 1;
        expectMismatch(r, jobQuote());
    }

    function test_quote_reverts_for_less_time() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.deadline -= 1;
        expectMismatch(r, jobQuote());
    }

    function test_quote_reverts_for_another_input() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.inputHash = "other";
        expectMismatch(r, jobQuote());
    }
}
