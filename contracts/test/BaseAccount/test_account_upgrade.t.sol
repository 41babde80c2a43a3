// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { IERC1155Receiver } from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import { IERC721Receiver } from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";
import { IERC165 } from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import { IAccount } from "account-abstraction-v08/interfaces/IAccount.sol";

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { UUPSUpgradeable } from "solady/utils/UUPSUpgradeable.sol";

import { Version } from "../support/account/EntryPoints.sol";
import { OperationTest } from "../support/account/OperationTest.sol";
import { Passkeys } from "../support/account/Passkeys.sol";

/// @notice Upgrades, where things are stored, and what the account says of itself.
contract AccountUpgrade is OperationTest, Passkeys {
    bytes32 internal constant IMPLEMENTATION_SLOT = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    SmartAccount internal account;

    function setUp() public override {
        super.setUp();
        account = deployAccount(alice);
    }

    function _slot(string memory id) private pure returns (bytes32) {
        return keccak256(abi.encode(uint256(keccak256(bytes(id))) - 1)) & ~bytes32(uint256(0xff));
    }

    function _implementation() private view returns (address) {
        return address(uint160(uint256(vm.load(address(account), IMPLEMENTATION_SLOT))));
    }

    // --- upgrade ---

    function test_owner_upgrades_to_another_entry_point_by_operation() public {
        address v09 = deployEntryPoint(Version.V09);
        address next = address(new SmartAccount(v09));
        bytes memory upgrade = abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (next, ""));
        bytes memory data = abi.encodeCall(account.execute, (address(account), 0, upgrade));
        bundle(sign(newOp(address(account), data), alice));
        assertEq(_implementation(), next);
        assertEq(account.entryPoint(), v09);
        assertTrue(account.isOwner(ownerBytes(alice.addr)));
    }

    function test_owner_upgrades_directly() public {
        address next = address(new SmartAccount(address(entryPoint)));
        vm.prank(alice.addr);
        account.upgradeToAndCall(next, abi.encodeCall(account.addOwner, (ownerBytes(bob.addr))));
        assertEq(_implementation(), next);
        assertEq(account.ownerCount(), 2);
    }

    function test_stranger_and_entry_point_may_not_upgrade() public {
        address[2] memory callers = [bob.addr, address(entryPoint)];
        for (uint256 i; i < callers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, callers[i]));
            vm.prank(callers[i]);
            account.upgradeToAndCall(address(implementation), "");
        }
    }

    function test_upgrade_to_something_else_is_refused() public {
        vm.expectRevert(UUPSUpgradeable.UpgradeFailed.selector);
        vm.prank(alice.addr);
        account.upgradeToAndCall(address(target), "");
    }

    // --- storage ---

    function test_first_address_and_count_share_the_first_slot() public view {
        bytes32 slot = _slot("fabstir.storage.Owners");
        assertEq(slot, 0x6192f3719a53bd8a8cf16ee33ab2297b80ba164e773d826a2635234c05435600);
        assertEq(vm.load(address(account), slot), bytes32(uint256(1) << 160 | uint256(uint160(alice.addr))));
    }

    function test_other_owners_are_in_the_mapping_of_the_second_slot() public {
        bytes memory phone = keyBytes(newPasskey("phone"));
        vm.startPrank(alice.addr);
        account.addOwner(ownerBytes(bob.addr));
        account.addOwner(phone);
        vm.stopPrank();
        uint256 mappingSlot = uint256(_slot("fabstir.storage.Owners")) + 1;
        bytes32 bobSlot = keccak256(abi.encode(keccak256(ownerBytes(bob.addr)), mappingSlot));
        bytes32 phoneSlot = keccak256(abi.encode(keccak256(phone), mappingSlot));
        assertEq(vm.load(address(account), bobSlot), bytes32(uint256(1)));
        assertEq(vm.load(address(account), phoneSlot), bytes32(uint256(1)));
    }

    function test_first_address_is_freed_and_taken_again() public {
        vm.startPrank(alice.addr);
        account.addOwner(ownerBytes(bob.addr));
        account.removeOwner(ownerBytes(alice.addr));
        vm.stopPrank();
        assertFalse(account.isOwner(ownerBytes(alice.addr)));
        vm.startPrank(bob.addr);
        account.addOwner(ownerBytes(beneficiary));
        account.removeOwner(ownerBytes(bob.addr));
        vm.stopPrank();
        bytes32 slot = _slot("fabstir.storage.Owners");
        assertEq(vm.load(address(account), slot), bytes32(uint256(1) << 160 | uint256(uint160(address(beneficiary)))));
        assertFalse(account.isOwner(ownerBytes(bob.addr)));
    }

    function test_an_account_writes_no_other_slot() public {
        vm.record();
        factory.createAccount(ownersOf(bob.addr), 0);
        (, bytes32[] memory writes) = vm.accesses(factory.getAddress(ownersOf(bob.addr), 0));
        for (uint256 i; i < writes.length; ++i) {
            assertTrue(writes[i] == IMPLEMENTATION_SLOT || writes[i] == _slot("fabstir.storage.Owners"));
        }
    }

    // --- what the account says of itself ---

    function test_account_takes_tokens() public view {
        uint256[] memory none = new uint256[](0);
        assertEq(account.onERC721Received(address(0), address(0), 0, ""), IERC721Receiver.onERC721Received.selector);
        assertEq(
            account.onERC1155Received(address(0), address(0), 0, 0, ""), IERC1155Receiver.onERC1155Received.selector
        );
        assertEq(
            account.onERC1155BatchReceived(address(0), address(0), none, none, ""),
            IERC1155Receiver.onERC1155BatchReceived.selector
        );
    }

    function test_interfaces_are_announced() public view {
        assertTrue(account.supportsInterface(type(IERC165).interfaceId));
        assertTrue(account.supportsInterface(type(IAccount).interfaceId));
        assertTrue(account.supportsInterface(type(IERC1271).interfaceId));
        assertTrue(account.supportsInterface(type(IERC721Receiver).interfaceId));
        assertTrue(account.supportsInterface(type(IERC1155Receiver).interfaceId));
        assertFalse(account.supportsInterface(0xffffffff));
    }
}
