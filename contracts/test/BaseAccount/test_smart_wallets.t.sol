// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IEntryPoint } from "account-abstraction-v08/interfaces/IEntryPoint.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { SmartAccountFactory } from "../../src/account/SmartAccountFactory.sol";
import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { ISmartAccountFactory } from "../../src/account/interfaces/ISmartAccountFactory.sol";
import { Version } from "../support/account/EntryPoints.sol";
import { OperationTest } from "../support/account/OperationTest.sol";
import { Target } from "../support/account/Target.sol";

/// @notice The wallet's life on one EntryPoint: creation, operations, owners.
abstract contract SmartWallets is OperationTest {
    SmartAccount internal account;

    function setUp() public override {
        super.setUp();
        account = deployAccount(alice);
    }

    function _increment() internal view returns (bytes memory) {
        return abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.increment, ())));
    }

    function _selfCall(bytes memory data) internal view returns (bytes memory) {
        return abi.encodeCall(account.execute, (address(account), 0, data));
    }

    // --- creation ---

    function test_first_operation_creates_the_account_and_executes() public {
        bytes[] memory owners = ownersOf(bob.addr);
        address predicted = factory.getAddress(owners, 7);
        assertEq(predicted.code.length, 0);
        vm.deal(predicted, 1 ether);
        PackedUserOperation memory op = newOp(predicted, _increment());
        op.initCode = initCodeOf(owners, 7);
        bundle(sign(op, bob));
        assertEq(target.lastCaller(), predicted);
        assertTrue(SmartAccount(payable(predicted)).isOwner(ownerBytes(bob.addr)));
        assertEq(SmartAccount(payable(predicted)).ownerCount(), 1);
        assertEq(SmartAccount(payable(predicted)).entryPoint(), address(entryPoint));
    }

    function test_factory_announces_the_account() public {
        address predicted = factory.getAddress(ownersOf(bob.addr), 1);
        vm.expectEmit(predicted);
        emit ISmartAccount.OwnerAdded(ownerBytes(bob.addr));
        vm.expectEmit(address(factory));
        emit ISmartAccountFactory.AccountCreated(predicted, 1);
        assertEq(address(factory.createAccount(ownersOf(bob.addr), 1)), predicted);
    }

    function test_creating_twice_returns_the_same_account_and_passes_on_value() public {
        uint256 before = address(account).balance;
        assertEq(address(factory.createAccount{ value: 1 ether }(ownersOf(alice.addr), 0)), address(account));
        assertEq(address(account).balance, before + 1 ether);
    }

    function test_creation_passes_on_value() public {
        SmartAccount created = factory.createAccount{ value: 2 ether }(ownersOf(bob.addr), 0);
        assertEq(address(created).balance, 2 ether);
    }

    function test_address_depends_on_owners_and_nonce() public view {
        address base = factory.getAddress(ownersOf(bob.addr), 0);
        assertNotEq(base, factory.getAddress(ownersOf(bob.addr), 1));
        assertNotEq(base, factory.getAddress(ownersOf(alice.addr), 0));
    }

    function test_factory_needs_an_implementation() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccountFactory.NotAnImplementation.selector, address(1)));
        new SmartAccountFactory(address(1));
    }

    function test_implementation_needs_an_entry_point() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.NotAnEntryPoint.selector, address(0xdead)));
        new SmartAccount(address(0xdead));
    }

    function test_implementation_cannot_be_initialized() public {
        vm.expectRevert(ISmartAccount.AlreadyInitialized.selector);
        implementation.initialize(ownersOf(alice.addr));
    }

    function test_account_cannot_be_initialized_again() public {
        vm.expectRevert(ISmartAccount.AlreadyInitialized.selector);
        account.initialize(ownersOf(bob.addr));
    }

    function test_account_needs_an_owner() public {
        vm.expectRevert(ISmartAccount.NoOwners.selector);
        factory.createAccount(new bytes[](0), 0);
    }

    function test_owner_given_twice_is_refused() public {
        bytes[] memory owners = new bytes[](2);
        owners[0] = owners[1] = ownerBytes(bob.addr);
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.DuplicateOwner.selector, owners[0]));
        factory.createAccount(owners, 0);
    }

    function test_owner_of_odd_length_is_refused() public {
        _assertRefused(hex"");
        _assertRefused(abi.encodePacked(bob.addr));
        _assertRefused(abi.encodePacked(ownerBytes(bob.addr), uint8(0)));
    }

    function test_owner_that_is_no_address_is_refused() public {
        _assertRefused(abi.encode(0));
        _assertRefused(abi.encode(uint256(type(uint160).max) + 1));
        _assertRefused(abi.encode(type(uint256).max));
    }

    function _assertRefused(bytes memory owner) private {
        bytes[] memory owners = new bytes[](1);
        owners[0] = owner;
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.InvalidOwner.selector, owner));
        factory.createAccount(owners, 0);
    }

    // --- validation ---

    function test_owner_signature_is_accepted_and_account_pays_its_gas() public {
        uint256 before = address(account).balance;
        (bool success, uint256 cost) = bundleAndReport(sign(newOp(address(account), _increment()), alice));
        assertTrue(success);
        assertEq(target.counter(), 1);
        assertEq(beneficiary.balance, cost);
        assertEq(before - address(account).balance - entryPoint.balanceOf(address(account)), cost);
    }

    function test_deposit_pays_before_balance() public {
        entryPoint.depositTo{ value: 5 ether }(address(account));
        uint256 before = address(account).balance;
        bundle(sign(newOp(address(account), _increment()), alice));
        assertEq(address(account).balance, before);
    }

    function test_stranger_signature_fails_with_aa24() public {
        PackedUserOperation memory op = sign(newOp(address(account), _increment()), bob);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_signature_over_another_operation_fails_with_aa24() public {
        PackedUserOperation memory op = sign(newOp(address(account), _increment()), alice);
        op.callData = _selfCall("");
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_malformed_signatures_fail_with_aa24() public {
        bytes[4] memory bad = [bytes(""), new bytes(64), new bytes(65), new bytes(66)];
        for (uint256 i; i < bad.length; ++i) {
            PackedUserOperation memory op = newOp(address(account), _increment());
            op.signature = bad[i];
            expectFailedOp("AA24 signature error");
            bundle(op);
        }
    }

    function test_high_s_signature_fails_with_aa24() public {
        PackedUserOperation memory op = newOp(address(account), _increment());
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(alice.privateKey, digestOf(op));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        op.signature = abi.encodePacked(r, order - uint256(s), v == 27 ? uint8(28) : uint8(27));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_operation_cannot_be_replayed() public {
        PackedUserOperation memory op = sign(newOp(address(account), _increment()), alice);
        bundle(op);
        expectFailedOp("AA25 invalid account nonce");
        bundle(op);
    }

    function test_account_without_money_fails_with_aa21() public {
        vm.deal(address(account), 0);
        PackedUserOperation memory op = sign(newOp(address(account), _increment()), alice);
        expectFailedOp("AA21 didn't pay prefund");
        bundle(op);
    }

    function test_bad_signature_returns_one_and_still_pays_prefund() public {
        PackedUserOperation memory op = sign(newOp(address(account), _increment()), bob);
        bytes32 hash = entryPoint.getUserOpHash(op);
        uint256 before = entryPoint.balanceOf(address(account));
        vm.prank(address(entryPoint));
        assertEq(account.validateUserOp(op, hash, 1 ether), 1);
        assertEq(entryPoint.balanceOf(address(account)), before + 1 ether);
    }

    function test_only_the_entry_point_may_validate() public {
        PackedUserOperation memory op = sign(newOp(address(account), _increment()), alice);
        bytes32 hash = entryPoint.getUserOpHash(op);
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, alice.addr));
        vm.prank(alice.addr);
        account.validateUserOp(op, hash, 0);
    }

    // --- execution ---

    function test_owner_may_execute_without_the_entry_point() public {
        vm.prank(alice.addr);
        account.execute(address(target), 1 ether, abi.encodeCall(target.increment, ()));
        assertEq(address(target).balance, 1 ether);
    }

    function test_stranger_may_not_execute() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, bob.addr));
        vm.prank(bob.addr);
        account.execute(address(target), 0, "");
    }

    function test_failing_call_returns_its_own_error() public {
        vm.expectRevert(abi.encodeWithSelector(Target.Refused.selector, 42));
        vm.prank(alice.addr);
        account.execute(address(target), 0, abi.encodeCall(target.fail, (42)));
    }

    function test_failing_call_of_an_operation_is_reported_and_paid_for() public {
        bytes memory data = abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.fail, (42))));
        PackedUserOperation memory op = sign(newOp(address(account), data), alice);
        vm.expectEmit(address(entryPoint));
        emit IEntryPoint.UserOperationRevertReason(
            entryPoint.getUserOpHash(op),
            address(account),
            op.nonce,
            abi.encodeWithSelector(Target.Refused.selector, 42)
        );
        bundle(op);
        assertEq(entryPoint.getNonce(address(account), 0), op.nonce + 1);
    }

    function test_account_receives_native_currency() public {
        uint256 before = address(account).balance;
        (bool ok,) = address(account).call{ value: 1 ether }("");
        assertTrue(ok);
        assertEq(address(account).balance, before + 1 ether);
    }

    // --- owners ---

    function test_owner_adds_an_owner_by_operation() public {
        bytes memory data = _selfCall(abi.encodeCall(account.addOwner, (ownerBytes(bob.addr))));
        vm.expectEmit(address(account));
        emit ISmartAccount.OwnerAdded(ownerBytes(bob.addr));
        bundle(sign(newOp(address(account), data), alice));
        assertEq(account.ownerCount(), 2);
        bundle(sign(newOp(address(account), _increment()), bob));
        assertEq(target.counter(), 1);
    }

    function test_owner_adds_an_owner_directly() public {
        vm.prank(alice.addr);
        account.addOwner(ownerBytes(bob.addr));
        assertTrue(account.isOwner(ownerBytes(bob.addr)));
    }

    function test_removed_owner_cannot_sign() public {
        vm.startPrank(alice.addr);
        account.addOwner(ownerBytes(bob.addr));
        vm.expectEmit(address(account));
        emit ISmartAccount.OwnerRemoved(ownerBytes(alice.addr));
        account.removeOwner(ownerBytes(alice.addr));
        vm.stopPrank();
        assertEq(account.ownerCount(), 1);
        PackedUserOperation memory op = sign(newOp(address(account), _increment()), alice);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_last_owner_cannot_be_removed() public {
        vm.expectRevert(ISmartAccount.LastOwner.selector);
        vm.prank(alice.addr);
        account.removeOwner(ownerBytes(alice.addr));
    }

    function test_unknown_owner_cannot_be_removed() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.UnknownOwner.selector, ownerBytes(bob.addr)));
        vm.prank(alice.addr);
        account.removeOwner(ownerBytes(bob.addr));
    }

    function test_owner_cannot_be_added_twice() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.DuplicateOwner.selector, ownerBytes(alice.addr)));
        vm.prank(alice.addr);
        account.addOwner(ownerBytes(alice.addr));
    }

    function test_stranger_and_entry_point_may_not_change_owners() public {
        address[2] memory callers = [bob.addr, address(entryPoint)];
        for (uint256 i; i < callers.length; ++i) {
            vm.startPrank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, callers[i]));
            account.addOwner(ownerBytes(bob.addr));
            vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, callers[i]));
            account.removeOwner(ownerBytes(alice.addr));
            vm.stopPrank();
        }
    }
}

contract SmartWalletsV07 is SmartWallets {
    function _version() internal pure override returns (Version) {
        return Version.V07;
    }
}

contract SmartWalletsV08 is SmartWallets { }

contract SmartWalletsV09 is SmartWallets {
    function _version() internal pure override returns (Version) {
        return Version.V09;
    }
}
