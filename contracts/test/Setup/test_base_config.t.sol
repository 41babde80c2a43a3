// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { UUPSUpgradeable } from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { MarketTest } from "../support/MarketTest.sol";

interface IOwnable2Step {
    function owner() external view returns (address);
    function transferOwnership(address newOwner) external;
    function acceptOwnership() external;
}

interface IConstants {
    function MAX_PAUSE() external view returns (uint256);
    function PAUSE_COOLDOWN() external view returns (uint256);
}

/// @notice What the upgradeable contracts share: owner, guardian, pause, upgrades, storage.
contract BaseConfigTest is MarketTest {
    string[4] private names = ["NodeRegistry", "JobMarketplace", "SessionMarketplace", "ReputationSystem"];

    function proxies() private view returns (address[4] memory) {
        return [address(registry), address(jobs), address(sessions), address(reputation)];
    }

    function test_owner_is_who_was_given() public view {
        for (uint256 i; i < 4; ++i) {
            assertEq(IOwnable2Step(proxies()[i]).owner(), owner);
        }
    }

    function test_ownership_takes_two_steps() public {
        vm.prank(owner);
        IOwnable2Step(address(jobs)).transferOwnership(stranger);
        assertEq(IOwnable2Step(address(jobs)).owner(), owner);
        vm.prank(stranger);
        IOwnable2Step(address(jobs)).acceptOwnership();
        assertEq(IOwnable2Step(address(jobs)).owner(), stranger);
    }

    function test_implementations_cannot_be_initialized() public {
        address implementation = deployCode("JobMarketplace.sol:JobMarketplace");
        (bool success, bytes memory err) = implementation.call(jobsInit());
        assertFalse(success);
        assertEq(bytes4(err), bytes4(keccak256("InvalidInitialization()")));
    }

    function test_owner_upgrades_and_state_stays() public {
        for (uint256 i; i < 4; ++i) {
            address implementation = deployCode(string.concat(names[i], ".sol:", names[i]));
            vm.prank(owner);
            UUPSUpgradeable(proxies()[i]).upgradeToAndCall(implementation, "");
            bytes32 slot = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;
            assertEq(address(uint160(uint256(vm.load(proxies()[i], slot)))), implementation);
            assertEq(IOwnable2Step(proxies()[i]).owner(), owner);
        }
        assertEq(IGoverned(address(jobs)).escrow(), address(escrow));
    }

    function test_upgrade_reverts_for_others() public {
        address implementation = deployCode("JobMarketplace.sol:JobMarketplace");
        for (uint256 i; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
            vm.prank(stranger);
            UUPSUpgradeable(proxies()[i]).upgradeToAndCall(implementation, "");
        }
    }

    function test_escrow_has_no_owner_and_no_upgrade() public {
        (bool success,) = address(escrow).call(abi.encodeWithSignature("owner()"));
        assertFalse(success);
        (success,) = address(escrow).call(abi.encodeWithSignature("upgradeToAndCall(address,bytes)", stranger, ""));
        assertFalse(success);
    }

    // --------------------------------------------------------------------------------------------------- pause

    function setGuardian() private {
        vm.prank(owner);
        IGoverned(address(jobs)).setGuardian(guardian);
    }

    function test_guardian_is_set_by_owner() public {
        vm.expectEmit(address(jobs));
        emit IGoverned.GuardianSet(guardian);
        setGuardian();
        assertEq(IGoverned(address(jobs)).guardian(), guardian);
    }

    function test_guardian_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        IGoverned(address(jobs)).setGuardian(stranger);
    }

    function test_guardian_pauses_for_three_days() public {
        setGuardian();
        vm.expectEmit(address(jobs));
        emit IGoverned.EntryPaused(guardian, block.timestamp + 3 days);
        vm.prank(guardian);
        IGoverned(address(jobs)).pauseEntry();
        assertEq(IGoverned(address(jobs)).entryPausedUntil(), block.timestamp + 3 days);
        assertEq(IConstants(address(jobs)).MAX_PAUSE(), 3 days);
    }

    function test_pause_ends_by_itself() public {
        register(host);
        vm.prank(owner);
        IGoverned(address(jobs)).pauseEntry();
        skip(3 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 1));
        post(host);
        skip(1);
        post(host);
    }

    function test_pause_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotGuardian.selector, stranger));
        vm.prank(stranger);
        IGoverned(address(jobs)).pauseEntry();
    }

    function test_pause_needs_a_cool_down() public {
        vm.startPrank(owner);
        IGoverned(address(jobs)).pauseEntry();
        uint256 from = block.timestamp + 3 days + IConstants(address(jobs)).PAUSE_COOLDOWN();
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(IGoverned.PauseCoolingDown.selector, from));
        IGoverned(address(jobs)).pauseEntry();
        vm.warp(from);
        IGoverned(address(jobs)).pauseEntry();
    }

    function test_resume_ends_pause() public {
        setGuardian();
        vm.startPrank(guardian);
        IGoverned(address(jobs)).pauseEntry();
        skip(1 hours);
        vm.expectEmit(address(jobs));
        emit IGoverned.EntryResumed(guardian);
        IGoverned(address(jobs)).resumeEntry();
        assertEq(IGoverned(address(jobs)).entryPausedUntil(), block.timestamp);
    }

    function test_resume_without_pause_changes_nothing() public {
        vm.startPrank(owner);
        IGoverned(address(jobs)).pauseEntry();
        uint256 until = block.timestamp + 3 days;
        skip(4 days);
        IGoverned(address(jobs)).resumeEntry();
        assertEq(IGoverned(address(jobs)).entryPausedUntil(), until);
    }

    function test_resume_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IGoverned.NotGuardian.selector, stranger));
        vm.prank(stranger);
        IGoverned(address(jobs)).resumeEntry();
    }

    // ------------------------------------------------------------------------------------------------- storage

    function slotOf(string memory name) private pure returns (bytes32) {
        return keccak256(abi.encode(uint256(keccak256(bytes(string.concat("fabstir.storage.", name)))) - 1))
            & ~bytes32(uint256(0xff));
    }

    /// @dev The constants in the contracts are what ERC-7201 says: known values are where the formula puts them.
    function test_namespaces_follow_erc7201() public {
        setGuardian();
        bytes32 governed = slotOf("Governed");
        assertEq(address(uint160(uint256(vm.load(address(jobs), governed)))), address(escrow));
        assertEq(address(uint160(uint256(vm.load(address(jobs), bytes32(uint256(governed) + 1))))), guardian);
        bytes32 own = slotOf("SessionMarketplace");
        assertEq(address(uint160(uint256(vm.load(address(sessions), own)))), address(registry));
        own = bytes32(uint256(slotOf("JobMarketplace")) + 1);
        assertEq(address(uint160(uint256(vm.load(address(jobs), own)))), address(registry));
        own = bytes32(uint256(slotOf("ReputationSystem")) + 1);
        assertEq(address(uint160(uint256(vm.load(address(reputation), own)))), address(registry));
        own = slotOf("NodeRegistry");
        assertEq(uint88(uint256(vm.load(address(registry), own)) >> 128), STAKE_PER_ENGAGEMENT);
        // Nothing outside of namespaces.
        for (uint256 i; i < 4; ++i) {
            for (uint256 slot; slot < 10; ++slot) {
                assertEq(vm.load(proxies()[i], bytes32(slot)), bytes32(0));
            }
        }
    }
}
