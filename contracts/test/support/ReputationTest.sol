// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { MarketTest } from "./MarketTest.sol";

/// @notice A marketplace in which USDC fees weigh, with jobs and sessions that end.
abstract contract ReputationTest is MarketTest {
    uint256 internal constant FEE = PRICE * FEE_BPS / 10_000;

    function setUp() public virtual override {
        super.setUp();
        register(host);
        vm.prank(owner);
        reputation.setFeeWeight(address(usdc), 1e18); // one for one
    }

    function completedJob() internal returns (bytes32 jobId) {
        jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
    }

    function failedJob() internal returns (bytes32 jobId) {
        jobId = postAndClaim();
        vm.prank(host);
        jobs.abandonJob(jobId);
    }

    function rate(bytes32 jobId, uint256 score) internal {
        vm.prank(payer);
        reputation.rate(address(jobs), jobId, score, 0, 0);
    }
}
