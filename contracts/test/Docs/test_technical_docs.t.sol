// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Abi } from "../support/Abi.sol";
import { DeploymentTest } from "../support/DeploymentTest.sol";

/// @notice The contract reference names what there is, all of it and nothing else; addresses are those of the deployment.
contract TechnicalDocsTest is DeploymentTest {
    string private page;

    function setUp() public override {
        super.setUp();
        page = vm.readFile("../docs/contracts.md");
    }

    function contracts() private pure returns (string[16] memory) {
        return [
            "JobMarketplace",
            "SessionMarketplace",
            "NodeRegistry",
            "PaymentEscrow",
            "ReputationSystem",
            "ProofSystem",
            "SignatureVerifier",
            "SmartAccount",
            "SmartAccountFactory",
            "VerifyingPaymaster",
            "TokenPaymaster",
            "FabGovernor",
            "FabTimelock",
            "ParameterStore",
            "Guardian",
            "CircuitBreaker"
        ];
    }

    function has(string memory text, string memory part) private pure returns (bool) {
        return vm.indexOf(text, part) != type(uint256).max;
    }

    /// @dev Of one contract: from its heading to the next.
    function section(string memory name) private view returns (string memory) {
        string[] memory parts = vm.split(page, string.concat("\n### ", name, "\n"));
        assertEq(parts.length, 2, name);
        return vm.split(parts[1], "\n### ")[0];
    }

    function test_every_function_is_documented() public view {
        string[16] memory names = contracts();
        for (uint256 i; i < names.length; ++i) {
            string memory text = section(names[i]);
            string[] memory functions = Abi.functions(names[i]);
            assertGt(functions.length, 0, names[i]);
            for (uint256 j; j < functions.length; ++j) {
                string memory mark = string.concat("\n- `", vm.split(functions[j], "(")[0], "(");
                assertTrue(has(text, mark), string.concat(names[i], ".", functions[j]));
            }
        }
    }

    /// @dev As many entries under Calls and Views as the contract has functions: nothing is made up.
    function test_nothing_else_is_documented() public view {
        string[16] memory names = contracts();
        for (uint256 i; i < names.length; ++i) {
            string memory calls = vm.split(vm.split(section(names[i]), "\n**Events**")[0], "\n**Errors**")[0];
            assertEq(vm.split(calls, "\n- `").length - 1, Abi.functions(names[i]).length, names[i]);
        }
    }

    /// @dev A few by hand, so that the tool that writes the page is not its only judge.
    function test_events_and_errors_that_users_meet_are_there() public view {
        string memory jobs = section("JobMarketplace");
        assertTrue(has(jobs, "- `JobPosted(bytes32 jobId, address payer, address host"));
        assertTrue(has(section("PaymentEscrow"), "- `Withdrawn(address account, address token, address to"));
        string memory selector = vm.toString(abi.encodePacked(bytes4(keccak256("TokenNotOpen(address)"))));
        string memory entry = string.concat("- `TokenNotOpen(address token)` `", selector, "`: ");
        assertTrue(has(section("PaymentEscrow"), entry));
        selector = vm.toString(abi.encodePacked(bytes4(keccak256("EntryIsPaused(uint256)"))));
        assertTrue(has(jobs, string.concat("` `", selector, "`")));
    }

    function test_addresses_are_those_of_the_deployment() public view {
        string memory table = vm.readFile("../docs/addresses.md");
        for (uint256 i; i < entries.length; ++i) {
            string memory row =
                string.concat("| ", entries[i].name, " | `", vm.toLowercase(vm.toString(entries[i].at)), "` |");
            assertTrue(has(table, row), row);
        }
        assertEq(vm.split(table, "\n| ").length - 2, entries.length, "a row for each, beside the heading");
    }
}
