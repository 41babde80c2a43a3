// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { Abi } from "../support/Abi.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice The steps of the guide for hosts, in their order, on the contracts.
contract IntegrationTest is MarketTest {
    /// @dev Rows of the table: contract and call.
    function steps() private view returns (string[2][] memory list) {
        string memory guide = vm.readFile("../docs/guides/hosts.md");
        string[] memory rows = vm.split(vm.split(guide, "|---|---|---|\n")[1], "\n");
        uint256 count;
        while (bytes(rows[count]).length > 0) ++count;
        list = new string[2][](count);
        for (uint256 i; i < count; ++i) {
            string[] memory cells = vm.split(rows[i], "|");
            list[i] = [vm.trim(cells[2]), vm.replace(vm.trim(cells[3]), "`", "")];
        }
    }

    function test_every_step_names_a_function_of_its_contract() public view {
        string[2][] memory list = steps();
        assertEq(list.length, 8);
        for (uint256 i; i < list.length; ++i) {
            string memory contract_ = list[i][0];
            string[] memory functions = Abi.functions(contract_);
            bool found;
            for (uint256 j; j < functions.length; ++j) {
                found = found || vm.indexOf(functions[j], string.concat(list[i][1], "(")) == 0;
            }
            assertTrue(found, string.concat(contract_, ".", list[i][1]));
        }
    }

    function test_the_steps_work_in_their_order() public {
        register(host);
        vm.prank(host);
        registry.setOffers(offersOf(MODEL, address(usdc), 3e6));
        assertEq(registry.priceOf(host, MODEL, address(usdc)), 3e6);

        bytes32 jobId = post(host);
        vm.startPrank(host);
        jobs.claimJob(jobId, PRICE);
        jobs.submitResult(jobId, RESULT, "ipfs://result");
        vm.stopPrank();
        skip(REVIEW + 1);
        jobs.finalizeJob(jobId);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));

        bytes32 sessionId = open();
        settle(sessionId, 1e6);
        closeByHost(sessionId, 2e6);

        uint256 earned = escrow.creditOf(host, address(usdc));
        uint256 gross = PRICE + 2e6;
        uint256 fee = 2e6 * uint256(FEE_BPS) / 10_000;
        assertEq(earned, gross - PRICE * FEE_BPS / 10_000 - fee);
        uint256 had = usdc.balanceOf(host);
        vm.startPrank(host);
        escrow.withdraw(address(usdc), host, earned);
        registry.unregister();
        vm.stopPrank();
        assertEq(usdc.balanceOf(host), had + earned);
    }
}
