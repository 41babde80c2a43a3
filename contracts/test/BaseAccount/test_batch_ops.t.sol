// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { OperationTest } from "../support/account/OperationTest.sol";
import { Target } from "../support/account/Target.sol";

contract BatchOps is OperationTest {
    SmartAccount internal account;

    function setUp() public override {
        super.setUp();
        account = deployAccount(alice);
    }

    function _call(bytes memory data, uint256 value) private view returns (ISmartAccount.Call memory) {
        return ISmartAccount.Call({ target: address(target), value: value, data: data });
    }

    function _batch(uint256 length) private view returns (ISmartAccount.Call[] memory calls) {
        calls = new ISmartAccount.Call[](length);
        for (uint256 i; i < length; ++i) {
            calls[i] = _call(abi.encodeCall(target.increment, ()), i);
        }
    }

    function test_batch_makes_every_call_in_order() public {
        bytes memory data = abi.encodeCall(account.executeBatch, (_batch(5)));
        (bool success,) = bundleAndReport(sign(newOp(address(account), data), alice));
        assertTrue(success);
        assertEq(target.counter(), 5);
        assertEq(address(target).balance, 10);
    }

    function test_batch_undoes_everything_when_one_call_fails() public {
        ISmartAccount.Call[] memory calls = _batch(3);
        calls[2] = _call(abi.encodeCall(target.fail, (9)), 0);
        bytes memory data = abi.encodeCall(account.executeBatch, (calls));
        (bool success,) = bundleAndReport(sign(newOp(address(account), data), alice));
        assertFalse(success);
        assertEq(target.counter(), 0);
        assertEq(address(target).balance, 0);
    }

    function test_failing_call_is_named_by_its_index() public {
        ISmartAccount.Call[] memory calls = _batch(3);
        calls[1] = _call(abi.encodeCall(target.fail, (9)), 0);
        bytes memory inner = abi.encodeWithSelector(Target.Refused.selector, 9);
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.ExecuteError.selector, 1, inner));
        vm.prank(alice.addr);
        account.executeBatch(calls);
    }

    function test_batch_of_one_returns_the_calls_own_error() public {
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](1);
        calls[0] = _call(abi.encodeCall(target.fail, (9)), 0);
        vm.expectRevert(abi.encodeWithSelector(Target.Refused.selector, 9));
        vm.prank(alice.addr);
        account.executeBatch(calls);
    }

    function test_call_sending_more_than_the_balance_fails() public {
        ISmartAccount.Call[] memory calls = _batch(2);
        calls[1].value = 11 ether;
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.ExecuteError.selector, 1, ""));
        vm.prank(alice.addr);
        account.executeBatch(calls);
    }

    function test_empty_batch_of_an_owner_does_nothing() public {
        vm.prank(alice.addr);
        account.executeBatch(new ISmartAccount.Call[](0));
        assertEq(target.counter(), 0);
    }

    function test_stranger_may_not_execute_a_batch() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, bob.addr));
        vm.prank(bob.addr);
        account.executeBatch(_batch(1));
    }

    function testFuzz_return_data_of_any_length_is_passed_on(bytes memory reason) public {
        address reverting = makeAddr("reverting");
        vm.mockCallRevert(reverting, bytes(""), reason);
        ISmartAccount.Call[] memory calls = _batch(2);
        calls[1] = ISmartAccount.Call({ target: reverting, value: 0, data: hex"01020304" });
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.ExecuteError.selector, 1, reason));
        vm.prank(alice.addr);
        account.executeBatch(calls);
    }
}
