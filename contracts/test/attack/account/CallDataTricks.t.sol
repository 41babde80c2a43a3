// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { ISessionKeys } from "../../../src/account/interfaces/ISessionKeys.sol";
import { ISmartAccount } from "../../../src/account/interfaces/ISmartAccount.sol";
import { CallDataLib } from "../../../src/account/sessions/CallDataLib.sol";
import { Session } from "../../../src/account/sessions/SessionTypes.sol";
import { SessionTest } from "../../support/account/SessionTest.sol";

/// @notice Call data that says one thing to a careless reader and another to the account.
contract CallDataTricks is SessionTest {
    Session internal session;

    function setUp() public override {
        super.setUp();
        _store(plainSession());
        enable(session);
    }

    function _store(Session memory from) private {
        session.key = from.key;
        session.validAfter = from.validAfter;
        session.validUntil = from.validUntil;
        session.period = from.period;
        session.maxUses = from.maxUses;
        session.gasBudget = from.gasBudget;
        session.limits.push(from.limits[0]);
        session.calls.push();
        session.calls[0].target = from.calls[0].target;
        session.calls[0].selector = from.calls[0].selector;
        session.calls[0].maxLength = from.calls[0].maxLength;
        session.calls[0].amountLimit = from.calls[0].amountLimit;
        session.calls[0].amountWord = from.calls[0].amountWord;
        session.calls[0].arguments.push(from.calls[0].arguments[0]);
    }

    function _refuse(bytes memory callData, bytes memory reason) private {
        PackedUserOperation memory op = op0(session, callData);
        expectRefusal(reason);
        bundle(op);
    }

    function _malformed(bytes memory callData) private {
        _refuse(callData, abi.encodeWithSelector(ISessionKeys.MalformedCallData.selector));
    }

    function _transfer(uint256 amount) private view returns (bytes memory) {
        return abi.encodeCall(token.transfer, (merchant, amount));
    }

    function _batch(uint256 length) private view returns (bytes memory) {
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](length);
        for (uint256 i; i < length; ++i) {
            calls[i] = call(address(token), 0, _transfer(i + 1));
        }
        return abi.encodeCall(account.executeBatch, (calls));
    }

    function _set(bytes memory callData, uint256 at, uint256 value) private pure returns (bytes memory) {
        assembly ("memory-safe") {
            mstore(add(add(callData, 0x24), at), value)
        }
        return callData;
    }

    function test_honest_batch_is_accepted_and_every_call_counted() public {
        bundle(op0(session, _batch(3)));
        assertEq(token.balanceOf(merchant), 6);
        (, uint104 inPeriod,) = account.getSpent(account.getSessionId(session), 0);
        assertEq(inPeriod, 6);
    }

    function test_empty_batch_is_refused() public {
        _refuse(_batch(0), abi.encodeWithSelector(ISessionKeys.EmptyBatch.selector));
    }

    function test_empty_and_short_call_data_is_refused() public {
        _refuse("", abi.encodeWithSelector(ISessionKeys.FunctionNotAllowed.selector, bytes4(0)));
        _refuse(hex"b61d27", abi.encodeWithSelector(ISessionKeys.FunctionNotAllowed.selector, bytes4(0xb61d2700)));
        _malformed(hex"b61d27f6");
        _malformed(hex"34fcd5be");
    }

    function test_any_other_function_of_the_account_is_refused() public {
        bytes4[4] memory selectors = [
            account.addOwner.selector,
            account.enableSession.selector,
            account.initialize.selector,
            bytes4(
                keccak256("executeUserOp((address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes),bytes32)")
            )
        ];
        for (uint256 i; i < selectors.length; ++i) {
            _refuse(
                abi.encodePacked(selectors[i], new bytes(64)),
                abi.encodeWithSelector(ISessionKeys.FunctionNotAllowed.selector, selectors[i])
            );
        }
    }

    function test_bytes_behind_the_last_call_are_refused() public {
        _malformed(bytes.concat(transferData(1), hex"00"));
        _malformed(bytes.concat(transferData(1), new bytes(32)));
        _malformed(bytes.concat(_batch(2), new bytes(32)));
    }

    function test_bytes_behind_the_last_argument_are_refused() public {
        bytes memory data = bytes.concat(_transfer(1), abi.encode(alice.addr));
        _refuse(executeData(address(token), 0, data), abi.encodeWithSelector(ISessionKeys.CallNotAllowed.selector, 0));
        data = bytes.concat(_transfer(1), hex"01");
        _refuse(executeData(address(token), 0, data), abi.encodeWithSelector(ISessionKeys.CallNotAllowed.selector, 0));
    }

    function test_padding_must_be_zero() public {
        bytes memory data = transferData(1);
        data[data.length - 1] = 0x01;
        _malformed(data);
        // The first byte of the padding, right behind the data.
        data = transferData(1);
        data[4 + 0x80 + 68] = 0x01;
        _malformed(data);
    }

    function test_target_with_high_bits_is_refused() public {
        _malformed(_set(transferData(1), 0, uint256(uint160(address(token))) | 1 << 160));
    }

    function test_data_elsewhere_is_refused() public {
        _malformed(_set(transferData(1), 0x40, 0x80));
        _malformed(_set(transferData(1), 0x40, 0x40));
        _malformed(_set(transferData(1), 0x40, type(uint256).max));
    }

    function test_length_beyond_the_end_is_refused() public {
        _malformed(_set(transferData(1), 0x60, 97));
        _malformed(_set(transferData(1), 0x60, type(uint256).max));
        _malformed(_set(transferData(1), 0x60, 4 + 0x80 + 96));
    }

    function test_length_before_the_end_is_refused() public {
        _malformed(_set(transferData(1), 0x60, 36));
    }

    function test_batch_elsewhere_is_refused() public {
        _malformed(_set(_batch(1), 0, 0x40));
        _malformed(_set(_batch(1), 0, 0));
    }

    function test_batch_that_counts_wrong_is_refused() public {
        _malformed(_set(_batch(2), 0x20, 1));
        _malformed(_set(_batch(2), 0x20, 3));
        _malformed(_set(_batch(2), 0x20, type(uint256).max));
        _malformed(_set(_batch(2), 0x20, 2 ** 255 / 32));
    }

    function test_calls_that_overlap_are_refused() public {
        // Both offsets name the first call: it is counted twice, or the second is never looked at.
        _malformed(_set(_batch(2), 0x60, 0x40));
        _malformed(_set(_batch(2), 0x40, 0x60));
        // The two calls swapped.
        bytes memory swapped = _set(_batch(2), 0x40, 0x40 + 0xe0);
        _malformed(_set(swapped, 0x60, 0x40));
    }

    function test_second_call_of_a_batch_is_checked() public {
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](2);
        calls[0] = call(address(token), 0, _transfer(1));
        calls[1] = call(address(token), 0, abi.encodeCall(token.transfer, (bob.addr, 1)));
        _refuse(
            abi.encodeCall(account.executeBatch, (calls)),
            abi.encodeWithSelector(ISessionKeys.CallNotAllowed.selector, 1)
        );
    }

    function test_batch_is_counted_as_a_whole() public {
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](2);
        calls[0] = call(address(token), 0, _transfer(60e6));
        calls[1] = call(address(token), 0, _transfer(60e6));
        _refuse(
            abi.encodeCall(account.executeBatch, (calls)),
            abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 120e6)
        );
    }

    // --- the reader against the ABI's encoder and decoder ---

    function read(bytes calldata callData) external pure returns (ISmartAccount.Call[] memory calls) {
        (uint256 count, uint256 cursor) = CallDataLib.open(callData);
        calls = new ISmartAccount.Call[](count);
        for (uint256 i; i < count; ++i) {
            bytes calldata data;
            (calls[i].target, calls[i].value, data, cursor) = CallDataLib.read(callData, i, count, cursor);
            calls[i].data = data;
        }
    }

    function decodeBatch(bytes calldata callData) external pure returns (ISmartAccount.Call[] memory) {
        return abi.decode(callData[4:], (ISmartAccount.Call[]));
    }

    function testFuzz_what_the_encoder_makes_is_read_back(ISmartAccount.Call[] memory calls) public view {
        vm.assume(calls.length != 0);
        assertEq(abi.encode(this.read(abi.encodeCall(account.executeBatch, (calls)))), abi.encode(calls));
    }

    function testFuzz_single_call_is_read_back(address to, uint256 value, bytes memory data) public view {
        ISmartAccount.Call[] memory calls = this.read(executeData(to, value, data));
        assertEq(abi.encode(calls[0]), abi.encode(call(to, value, data)));
    }

    /// @dev Whatever is done to one word: what is read is what the account would decode, or it is refused.
    function testFuzz_tampered_batch_is_read_as_decoded_or_refused(uint256 at, uint256 value, bool near) public view {
        bytes memory callData = _batch(3);
        at = bound(at, 0, (callData.length - 4) / 32 - 1) * 32;
        if (near) value = bound(value, 0, callData.length + 64);
        _set(callData, at, value);
        try this.read(callData) returns (ISmartAccount.Call[] memory calls) {
            assertEq(abi.encode(calls), abi.encode(this.decodeBatch(callData)));
        } catch { }
    }
}
