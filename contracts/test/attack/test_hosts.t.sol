// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ReputationTest } from "../support/ReputationTest.sol";

/// @notice Attacks by and on hosts: claims, stake, lists, reputation. Silence of the arbiter is in `test_disputes`.
contract HostAttackTest is ReputationTest {
    address private rival = makeAddr("rival");

    function setUp() public override {
        super.setUp();
        fund(rival);
        register(rival);
    }

    // -------------------------------------------------------------------------------------------------- claims

    /// @dev A job made out to a host, or agreed by its quote, cannot be claimed by another.
    function test_direct_claim_cannot_be_front_run() public {
        bytes32 jobId = post(host);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotHost.selector, jobId, rival));
        vm.prank(rival);
        jobs.claimJob(jobId, PRICE);
    }

    function test_quoted_job_leaves_nothing_to_front_run() public {
        IJobMarketplace.JobQuote memory q = IJobMarketplace.JobQuote({
            host: host,
            payer: payer,
            modelId: MODEL,
            token: address(usdc),
            amount: PRICE,
            inputHash: 0,
            minDuration: 0,
            validUntil: uint40(block.timestamp),
            nonce: 1
        });
        bytes memory signature = sign(hostKey, jobs.quoteDigest(q));
        vm.prank(payer);
        bytes32 jobId = jobs.postJobWithQuote(request(host), q, signature);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Claimed)
        );
        vm.prank(rival);
        jobs.claimJob(jobId, PRICE);
    }

    /// @dev After a reorg the same id may be another job: the host says what price it expects.
    function test_swapped_job_is_not_claimed_unseen() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = 1;
        vm.prank(payer);
        bytes32 jobId = jobs.postJob(r);
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.UnexpectedAmount.selector, jobId, PRICE, 1));
        vm.prank(host);
        jobs.claimJob(jobId, PRICE);
    }

    function test_claim_and_idle_costs_stake_and_pays_the_payer() public {
        bytes32 jobId = postAndClaim();
        skip(1 hours + 1);
        jobs.expireJob(jobId);
        uint256 slashed = STAKE_PER_ENGAGEMENT * uint256(IDLE_SLASH_BPS) / 10_000;
        assertEq(escrow.creditOf(payer, address(fab)), slashed * 7_000 / 10_000); // as challenger and as payer
        assertEq(escrow.creditOf(payer, address(usdc)), PRICE);
        assertTrue(registry.nodeOf(host).paused);
        reputation.record(address(jobs), jobId);
        assertEq(reputation.statsOf(host).failed, 1);
    }

    /// @dev A price changed around the claim does not reach the job: its amount is fixed.
    function test_price_sandwich_does_not_reach_a_job() public {
        bytes32 jobId = post(host);
        vm.startPrank(host);
        registry.setOffers(offersOf(MODEL, address(usdc), 1_000e6));
        jobs.claimJob(jobId, PRICE);
        vm.stopPrank();
        assertEq(jobs.jobOf(jobId).amount, PRICE);
    }

    /// @dev Jobs that nobody has claimed cost a host nothing, however many there are.
    function test_dust_jobs_do_not_take_capacity_up() public {
        IJobMarketplace.JobRequest memory r = request(host);
        r.amount = 1;
        for (uint256 i; i < 20; ++i) {
            vm.prank(payer);
            jobs.postJob(r);
        }
        assertEq(registry.nodeOf(host).open, 0);
        (bytes32[] memory ids,) = jobs.jobsOfHost(host, 0, 100);
        assertEq(ids.length, 0);
    }

    // --------------------------------------------------------------------------------------------------- lists

    /// @dev A bloated list costs stake for each entry, leaves the list with its owner, and never makes a page dearer.
    function test_list_bloat_is_paid_for_and_goes_away() public {
        address[] memory sybils = new address[](30);
        for (uint256 i; i < 30; ++i) {
            sybils[i] = makeAddr(string.concat("sybil", vm.toString(i)));
            fund(sybils[i]);
            register(sybils[i]);
            assertEq(stakeLock(sybils[i]), MIN_STAKE);
        }
        uint256 before = gasleft();
        registry.nodesByModel(MODEL, 0, 10);
        uint256 cost = before - gasleft();
        assertLt(cost, 100_000);
        for (uint256 i; i < 30; ++i) {
            vm.prank(sybils[i]);
            registry.unregister();
        }
        (address[] memory hosts,) = registry.nodesByModel(MODEL, 0, 100);
        assertEq(hosts.length, 2);
    }

    // --------------------------------------------------------------------------------------------------- stake

    function test_slash_cannot_be_front_run_by_leaving() public {
        bytes32 jobId = postClaimSubmit();
        challenge(jobId);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.EngagementsOpen.selector, host, 1));
        vm.prank(host);
        registry.unregister();
        vm.prank(host);
        registry.addStake(500e18);
        vm.prank(host);
        registry.startUnbonding(500e18); // free stake may leave, but stays slashable
        skip(COUNTER + 1);
        jobs.resolveDispute(jobId);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE - 50e18);
    }

    function test_exit_mid_job_is_refused() public {
        postAndClaim();
        vm.startPrank(host);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.EngagementsOpen.selector, host, 1));
        registry.unregister();
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, MIN_STAKE, uint256(MIN_STAKE) + 1));
        registry.startUnbonding(1);
    }

    /// @dev Nobody can keep a host from leaving for longer than the deadlines of what it took on.
    function test_exit_is_only_ever_delayed_by_deadlines() public {
        bytes32 id = open();
        skip(DURATION + GRACE + 1);
        vm.startPrank(host);
        sessions.finishClose(id);
        registry.unregister();
        skip(7 days);
        registry.finishUnbonding(host);
        assertEq(escrow.creditOf(host, address(fab)), MIN_STAKE);
    }

    function test_registering_again_does_not_wash_history() public {
        bytes32 jobId = failedJob();
        rate(jobId, 1);
        vm.startPrank(host);
        registry.unregister();
        registry.register(MIN_STAKE, CAPACITY, profile(), offersOf(MODEL, address(usdc), 1));
        vm.stopPrank();
        assertEq(reputation.statsOf(host).failed, 1);
        assertEq(registry.nodeOf(host).nodeId, 1);
        assertEq(registry.ticketsOf(host), 1);
    }

    // ---------------------------------------------------------------------------------------------- reputation

    function test_payer_cannot_be_its_own_host() public {
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.SelfDealing.selector, host));
        vm.prank(host);
        jobs.postJob(request(host));
    }

    /// @dev With a second account self-dealing works, and pays the fee in full for every bit of weight.
    function test_self_payment_costs_the_fee() public {
        uint256 before = usdc.balanceOf(payer) + usdc.balanceOf(host);
        bytes32 jobId = completedJob();
        rate(jobId, 5);
        vm.startPrank(host);
        escrow.withdraw(address(usdc), payer, escrow.creditOf(host, address(usdc)));
        vm.stopPrank();
        assertEq(usdc.balanceOf(payer) + usdc.balanceOf(host), before - FEE);
        assertEq(reputation.statsOf(host).weight, FEE);
    }

    /// @dev A ring of payers buys weight at the price of the fees, each up to its cap and no further.
    function test_rating_ring_is_capped_and_pays() public {
        vm.prank(owner);
        reputation.setPolicy(IReputationSystem.ReputationPolicy(30 days, 7 days, uint80(FEE), 0));
        rate(completedJob(), 5);
        rate(completedJob(), 5);
        rate(completedJob(), 5);
        assertEq(reputation.statsOf(host).weight, FEE);
        assertEq(escrow.feesOf(address(usdc)), 3 * FEE);
    }

    function test_repeat_rating_is_refused() public {
        bytes32 jobId = completedJob();
        rate(jobId, 5);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.AlreadyRated.selector, address(jobs), jobId));
        rate(jobId, 5);
    }

    function test_free_session_gives_no_reputation() public {
        bytes32 id = open();
        skip(DURATION + GRACE + 1);
        sessions.finishClose(id);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NoOutcome.selector, address(sessions), id));
        vm.prank(payer);
        reputation.rate(address(sessions), id, 5, 0, 0);
    }
}
