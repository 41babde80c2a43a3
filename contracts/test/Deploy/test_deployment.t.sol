// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { DeploymentTest } from "../support/DeploymentTest.sol";

interface ISees {
    function escrow() external view returns (address);
    function isController(address account) external view returns (bool);
    function implementation() external view returns (address);
    function owner() external view returns (address);
    function breaker() external view returns (address);
    function entryPoint() external view returns (address);
    function permit2() external view returns (address);
}

/// @notice `deploy/addresses/local.json` is what this build deploys, at the addresses that CREATE2 gives on every chain.
contract DeploymentFileTest is DeploymentTest {
    function test_every_contract_lands_where_the_file_says() public {
        createAll();
        for (uint256 i; i < entries.length; ++i) {
            assertGt(entries[i].at.code.length, 0, entries[i].name);
        }
    }

    function test_names_and_addresses_are_unique() public view {
        for (uint256 i; i < entries.length; ++i) {
            for (uint256 j; j < i; ++j) {
                assertTrue(keccak256(bytes(entries[i].name)) != keccak256(bytes(entries[j].name)), entries[i].name);
                assertTrue(entries[i].at != entries[j].at, entries[i].name);
            }
        }
    }

    /// @dev Why a second run changes nothing: the deployer makes nothing twice, and what is there stays.
    function test_nothing_is_deployed_twice() public {
        createAll();
        for (uint256 i; i < entries.length; ++i) {
            bytes32 code = entries[i].at.codehash;
            assertEq(this.createNumber(i), address(0), entries[i].name);
            assertEq(entries[i].at.codehash, code, entries[i].name);
        }
    }

    function test_entry_points_are_the_canonical_ones() public view {
        assertEq(entry("EntryPoint v0.6").at, 0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789);
        assertEq(entry("EntryPoint v0.7").at, 0x0000000071727De22E5E9d8BAf0edAc6f37da032);
        assertEq(entry("EntryPoint v0.8").at, 0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108);
        // Of v0.9 no package has the canonical bytecode; a release candidate stands in.
        assertTrue(entry("EntryPoint v0.9").at != 0x433709009B8330FDa32311DF1C2AFA402eD8D009);
    }

    function test_the_file_names_the_same_contracts_everywhere() public view {
        assertEq(addressOf("nodeRegistry"), entry("NodeRegistry").at);
        assertEq(addressOf("jobMarketplace"), entry("JobMarketplace").at);
        assertEq(addressOf("sessionMarketplace"), entry("SessionMarketplace").at);
        assertEq(addressOf("reputationSystem"), entry("ReputationSystem").at);
        assertEq(addressOf("proofSystem"), entry("ProofSystem").at);
        assertEq(addressOf("paymentEscrow"), entry("PaymentEscrow").at);
        assertEq(addressOf("smartAccount"), entry("SmartAccount").at);
        assertEq(addressOf("smartAccountFactory"), entry("SmartAccountFactory").at);
        assertEq(addressOf("token"), entry("DemoUSDC").at);
        assertEq(addressOf("governance.governor"), entry("FabGovernor").at);
        assertEq(addressOf("governance.timelock"), entry("FabTimelock").at);
        assertEq(addressOf("governance.token"), entry("FabToken").at);
        assertEq(addressOf("governance.parameterStore"), entry("ParameterStore").at);
        assertEq(addressOf("governance.guardian"), entry("Guardian").at);
    }

    function test_constructors_were_told_of_one_another() public {
        createAll();
        ISees escrow = ISees(entry("PaymentEscrow").at);
        string[4] memory controllers = ["NodeRegistry", "JobMarketplace", "SessionMarketplace", "ProofSystem"];
        for (uint256 i; i < 4; ++i) {
            assertTrue(escrow.isController(entry(controllers[i]).at), controllers[i]);
        }
        assertFalse(escrow.isController(entry("ReputationSystem").at));
        assertEq(escrow.permit2(), 0x000000000022D473030F116dDEE9F6B43aC78BA3);
        assertEq(ISees(entry("SmartAccount").at).entryPoint(), entry("EntryPoint v0.8").at);
        assertEq(ISees(entry("SmartAccountFactory").at).implementation(), entry("SmartAccount").at);
        assertEq(ISees(entry("Guardian").at).breaker(), addressOf("governance.circuitBreaker"));
    }

    /// @dev What a chain has of its own, the token, is in no constructor but the guardian's: that is why the other
    /// addresses are the same on all chains.
    function test_only_the_guardian_is_told_the_token_when_it_is_made() public view {
        bytes32 token = bytes32(uint256(uint160(addressOf("token"))));
        for (uint256 i; i < entries.length; ++i) {
            bool told;
            bytes memory arguments = entries[i].arguments;
            for (uint256 at; at + 32 <= arguments.length; at += 4) {
                bytes32 word;
                assembly ("memory-safe") {
                    word := mload(add(add(arguments, 32), at))
                }
                told = told || word == token;
            }
            assertEq(told, keccak256(bytes(entries[i].name)) == keccak256("Guardian"), entries[i].name);
        }
    }
}
