// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ReputationTest } from "../support/ReputationTest.sol";

contract QualityScoringTest is ReputationTest {
    uint256 private constant PRIOR = 10e6;

    function quality() private view returns (uint256) {
        return reputation.statsOf(host).quality;
    }

    function test_unrated_host_is_neutral() public view {
        assertEq(quality(), 5_000);
        assertEq(reputation.statsOf(host).weight, 0);
    }

    function test_unrated_host_is_neutral_without_prior() public {
        vm.prank(owner);
        reputation.setPolicy(IReputationSystem.ReputationPolicy(30 days, 7 days, 100e6, 0));
        assertEq(quality(), 5_000);
    }

    function test_rating_weighs_the_fee_paid() public {
        bytes32 jobId = completedJob();
        vm.expectEmit(address(reputation));
        emit IReputationSystem.Rated(address(jobs), jobId, host, payer, 5, FEE, 120, "comment");
        vm.prank(payer);
        reputation.rate(address(jobs), jobId, 5, 120, "comment");
        IReputationSystem.Stats memory stats = reputation.statsOf(host);
        assertEq(stats.weight, FEE);
        assertEq(stats.quality, (FEE * 10_000 + PRIOR * 5_000) / (FEE + PRIOR));
        assertEq(stats.ratings, 1);
        assertEq(stats.completed, 1);
    }

    function test_rating_after_record_counts_performance_once() public {
        bytes32 jobId = completedJob();
        reputation.record(address(jobs), jobId);
        rate(jobId, 4);
        assertEq(reputation.statsOf(host).completed, 1);
    }

    function test_worst_score_is_zero_quality() public {
        rate(completedJob(), 1);
        assertEq(quality(), PRIOR * 5_000 / (FEE + PRIOR));
    }

    function test_rating_of_failed_job_has_no_weight() public {
        rate(failedJob(), 1);
        assertEq(reputation.statsOf(host).weight, 0);
        assertEq(reputation.statsOf(host).ratings, 1);
        assertEq(quality(), 5_000);
    }

    function test_fee_in_unweighted_token_has_no_weight() public {
        vm.expectEmit(address(reputation));
        emit IReputationSystem.FeeWeightSet(address(usdc), 0);
        vm.prank(owner);
        reputation.setFeeWeight(address(usdc), 0);
        assertEq(reputation.feeWeightOf(address(usdc)), 0);
        rate(completedJob(), 5);
        assertEq(reputation.statsOf(host).weight, 0);
    }

    function test_fee_weight_is_bounded() public {
        vm.expectRevert(bytes4(keccak256("Overflow()")));
        vm.prank(owner);
        reputation.setFeeWeight(address(usdc), uint256(type(uint96).max) + 1);
    }

    function test_session_can_be_rated() public {
        bytes32 id = open();
        closeByHost(id, 4e6);
        vm.prank(payer);
        reputation.rate(address(sessions), id, 5, 0, 0);
        assertEq(reputation.statsOf(host).weight, 0.1e6);
    }

    function test_rating_reverts_twice() public {
        bytes32 jobId = completedJob();
        rate(jobId, 5);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.AlreadyRated.selector, address(jobs), jobId));
        rate(jobId, 1);
    }

    function test_rating_reverts_for_others() public {
        bytes32 jobId = completedJob();
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotPayer.selector, stranger));
        vm.prank(stranger);
        reputation.rate(address(jobs), jobId, 5, 0, 0);
    }

    function test_rating_reverts_for_running_job() public {
        bytes32 jobId = postClaimSubmit();
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NoOutcome.selector, address(jobs), jobId));
        rate(jobId, 5);
    }

    function test_score_is_bounded() public {
        bytes32 jobId = completedJob();
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, 0, 1, 5));
        rate(jobId, 0);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.OutOfBounds.selector, 6, 1, 5));
        rate(jobId, 6);
    }

    function test_weight_halves_in_a_half_life() public {
        rate(completedJob(), 5);
        skip(30 days);
        assertEq(reputation.statsOf(host).weight, FEE / 2);
        skip(15 days);
        assertEq(reputation.statsOf(host).weight, FEE / 2 - FEE / 8);
        skip(10_000 days);
        assertEq(reputation.statsOf(host).weight, 0);
        assertEq(quality(), 5_000);
    }

    function test_old_and_new_weight_add_up() public {
        rate(completedJob(), 5);
        skip(30 days);
        rate(completedJob(), 1);
        assertEq(reputation.statsOf(host).weight, FEE / 2 + FEE);
        assertEq(quality(), (FEE / 2 * 10_000 + PRIOR * 5_000) / (FEE / 2 + FEE + PRIOR));
    }

    function test_payer_cap_bounds_weight_in_a_period() public {
        vm.prank(owner);
        reputation.setPolicy(IReputationSystem.ReputationPolicy(type(uint32).max, 7 days, uint80(FEE + 1), 0));
        assertEq(reputation.capLeft(host, payer), FEE + 1);
        rate(completedJob(), 5);
        assertEq(reputation.capLeft(host, payer), 1);
        rate(completedJob(), 5);
        assertEq(reputation.statsOf(host).weight, FEE + 1);
        assertEq(reputation.capLeft(host, payer), 0);
        skip(7 days);
        assertEq(reputation.capLeft(host, payer), FEE + 1);
    }

    function test_lowered_cap_leaves_nothing() public {
        rate(completedJob(), 5);
        vm.prank(owner);
        reputation.setPolicy(IReputationSystem.ReputationPolicy(30 days, 7 days, uint80(FEE - 1), 0));
        assertEq(reputation.capLeft(host, payer), 0);
    }

    // ------------------------------------------------------------------------------------------------- response

    function respond(bytes32 jobId) private {
        vm.prank(host);
        reputation.respond(address(jobs), jobId, "answer");
    }

    function test_host_answers_a_rating() public {
        bytes32 jobId = completedJob();
        rate(jobId, 2);
        vm.expectEmit(address(reputation));
        emit IReputationSystem.Responded(address(jobs), jobId, host, "answer");
        respond(jobId);
        (, uint8 score, bool answered) = reputation.reviewOf(address(jobs), jobId);
        assertEq(score, 2);
        assertTrue(answered);
    }

    function test_answer_reverts_twice() public {
        bytes32 jobId = completedJob();
        rate(jobId, 2);
        respond(jobId);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.AlreadyAnswered.selector, address(jobs), jobId));
        respond(jobId);
    }

    function test_answer_reverts_without_rating() public {
        bytes32 jobId = completedJob();
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotRated.selector, address(jobs), jobId));
        respond(jobId);
    }

    function test_answer_reverts_for_others() public {
        bytes32 jobId = completedJob();
        rate(jobId, 2);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotHost.selector, stranger));
        vm.prank(stranger);
        reputation.respond(address(jobs), jobId, "answer");
    }
}
