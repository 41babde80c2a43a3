// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { Version } from "../support/account/EntryPoints.sol";
import { OperationTest } from "../support/account/OperationTest.sol";

/// @notice EOAs that run the account's code by EIP-7702.
abstract contract DelegatedAccounts is OperationTest {
    SmartAccount internal account;

    function setUp() public override {
        super.setUp();
        vm.signAndAttachDelegation(address(implementation), alice.privateKey);
        target.increment();
        account = SmartAccount(payable(alice.addr));
        vm.deal(alice.addr, 10 ether);
        assertEq(alice.addr.code, abi.encodePacked(hex"ef0100", address(implementation)));
    }

    function _op() internal view returns (PackedUserOperation memory) {
        return newOp(
            alice.addr, abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.increment, ())))
        );
    }

    function test_own_key_signs_without_any_setup() public {
        bundle(sign(_op(), alice));
        assertEq(target.lastCaller(), alice.addr);
        assertEq(account.ownerCount(), 0);
    }

    function test_stranger_fails_with_aa24() public {
        PackedUserOperation memory op = sign(_op(), bob);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_own_key_acts_directly() public {
        vm.prank(alice.addr);
        account.execute(address(target), 0, abi.encodeCall(target.increment, ()));
        assertEq(target.lastCaller(), alice.addr);
    }

    function test_nobody_else_can_initialize() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, bob.addr));
        vm.prank(bob.addr);
        account.initialize(ownersOf(bob.addr));
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, address(entryPoint)));
        vm.prank(address(entryPoint));
        account.initialize(ownersOf(bob.addr));
    }

    function test_own_key_may_initialize_and_remove_every_owner() public {
        vm.startPrank(alice.addr);
        account.initialize(ownersOf(bob.addr));
        vm.stopPrank();
        bundle(sign(_op(), bob));
        vm.prank(alice.addr);
        account.removeOwner(ownerBytes(bob.addr));
        assertEq(account.ownerCount(), 0);
        PackedUserOperation memory op = sign(_op(), bob);
        expectFailedOp("AA24 signature error");
        bundle(op);
        bundle(sign(_op(), alice));
    }
}

contract DelegatedAccountsV07 is DelegatedAccounts {
    function _version() internal pure override returns (Version) {
        return Version.V07;
    }
}

contract DelegatedAccountsV08 is DelegatedAccounts {
    /// @dev `0x7702`, padded: the EntryPoint puts the delegate in its place when it hashes.
    bytes internal constant MARKER = hex"7702000000000000000000000000000000000000";

    function test_operation_with_the_marker_is_accepted() public {
        PackedUserOperation memory op = _op();
        op.initCode = MARKER;
        bundle(sign(op, alice));
        assertEq(target.lastCaller(), alice.addr);
    }

    function test_init_code_cannot_give_the_account_to_someone_else() public {
        PackedUserOperation memory op = _op();
        op.initCode = bytes.concat(MARKER, abi.encodeCall(account.initialize, (ownersOf(bob.addr))));
        sign(op, bob);
        address creator = address(entryPoint.senderCreator());
        expectFailedOp(
            "AA13 EIP7702 sender init failed", abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, creator)
        );
        bundle(op);
    }
}

contract DelegatedAccountsV09 is DelegatedAccounts {
    function _version() internal pure override returns (Version) {
        return Version.V09;
    }
}
