// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { JobBuyer } from "./examples/JobBuyer.sol";

/// @notice The contract of the guide, as it is printed there, on the marketplace. (Programs and commands of the other
/// guides run in `tests/e2e/docs.rs`.)
contract ExamplesTest is MarketTest {
    JobBuyer private buyer;

    function setUp() public override {
        super.setUp();
        register(host);
        buyer = new JobBuyer(jobs, escrow);
        usdc.mint(address(buyer), 2 * PRICE);
    }

    function test_the_guide_prints_the_contract_that_is_tested_here() public view {
        string memory guide = vm.readFile("../docs/guides/contracts.md");
        string[] memory blocks = vm.split(guide, "```solidity\n");
        assertEq(blocks.length, 2, "one Solidity block");
        string memory code = vm.split(blocks[1], "```")[0];
        assertEq(code, vm.readFile("test/Docs/examples/JobBuyer.sol"));
    }

    function test_it_buys_and_pays() public {
        bytes32 jobId = buyer.buy(request(host));
        assertEq(usdc.allowance(address(buyer), address(escrow)), 0, "no more than the price");
        vm.startPrank(host);
        jobs.claimJob(jobId, PRICE);
        jobs.submitResult(jobId, RESULT, "ipfs://result");
        vm.stopPrank();
        buyer.accept(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(escrow.creditOf(host, address(usdc)), PRICE - PRICE * FEE_BPS / 10_000);
    }

    function test_it_gets_its_money_back_from_a_host_that_does_nothing() public {
        bytes32 jobId = buyer.buy(request(host));
        vm.prank(host);
        jobs.claimJob(jobId, PRICE);
        skip(1 hours + 1);
        vm.prank(stranger);
        jobs.expireJob(jobId);
        buyer.collect(address(usdc));
        assertGe(usdc.balanceOf(address(this)), PRICE);
    }

    function test_it_obeys_its_owner_only() public {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(JobBuyer.NotOwner.selector, stranger));
        buyer.buy(request(host));
        vm.expectRevert(abi.encodeWithSelector(JobBuyer.NotOwner.selector, stranger));
        buyer.accept("job");
        vm.expectRevert(abi.encodeWithSelector(JobBuyer.NotOwner.selector, stranger));
        buyer.collect(address(usdc));
    }
}
