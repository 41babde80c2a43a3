// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";

contract CompletionTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function test_whole_job_pays_host_who_withdraws() public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);

        uint256 fee = PRICE * FEE_BPS / 10_000;
        assertEq(escrow.creditOf(host, address(usdc)), PRICE - fee);
        assertEq(escrow.feesOf(address(usdc)), fee);
        uint256 before = usdc.balanceOf(host);
        vm.prank(host);
        escrow.withdraw(address(usdc), host, PRICE - fee);
        assertEq(usdc.balanceOf(host), before + PRICE - fee);
    }

    function test_accept_completes_job() public {
        bytes32 jobId = postClaimSubmit();
        uint256 fee = PRICE * FEE_BPS / 10_000;
        vm.expectEmit(address(jobs));
        emit IJobMarketplace.JobCompleted(jobId, host, payer, PRICE - fee, fee, true);
        vm.prank(payer);
        jobs.acceptResult(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(lockedIn(address(jobs), jobId), 0);
    }

    function test_accept_slashes_nobody() public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        assertEq(reputation.statsOf(host).slashes, 0);
        assertFalse(registry.isEvidenceUsed(address(jobs), jobId));
    }

    function test_accept_frees_host_stake() public {
        bytes32 jobId = postClaimSubmit();
        assertEq(registry.nodeOf(host).open, 1);
        assertEq(registry.freeStakeOf(host), MIN_STAKE - STAKE_PER_ENGAGEMENT);
        vm.prank(payer);
        jobs.acceptResult(jobId);
        assertEq(registry.nodeOf(host).open, 0);
        assertEq(registry.freeStakeOf(host), MIN_STAKE);
    }

    function test_accept_works_after_review_window() public {
        bytes32 jobId = postClaimSubmit();
        skip(REVIEW + 1);
        vm.prank(payer);
        jobs.acceptResult(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
    }

    function test_accept_works_while_entry_is_paused() public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(owner);
        IGoverned(address(jobs)).pauseEntry();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
    }

    function test_accept_reverts_for_others() public {
        bytes32 jobId = postClaimSubmit();
        vm.expectRevert(abi.encodeWithSelector(IJobMarketplace.NotPayer.selector, jobId, host));
        vm.prank(host);
        jobs.acceptResult(jobId);
    }

    function test_accept_reverts_before_submission() public {
        bytes32 jobId = postAndClaim();
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Claimed)
        );
        vm.prank(payer);
        jobs.acceptResult(jobId);
    }

    function test_accept_reverts_twice() public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobId, IJobMarketplace.JobStatus.Completed)
        );
        vm.prank(payer);
        jobs.acceptResult(jobId);
    }

    function test_collect_fees_credits_treasury() public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        vm.prank(stranger);
        uint256 amount = jobs.collectFees(address(usdc));
        assertEq(amount, PRICE * FEE_BPS / 10_000);
        assertEq(escrow.creditOf(treasury, address(usdc)), amount);
        assertEq(escrow.feesOf(address(usdc)), 0);
    }
}
