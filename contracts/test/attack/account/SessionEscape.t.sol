// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";
import { UUPSUpgradeable } from "solady/utils/UUPSUpgradeable.sol";

import { ISessionKeys } from "../../../src/account/interfaces/ISessionKeys.sol";
import { ISmartAccount } from "../../../src/account/interfaces/ISmartAccount.sol";
import { SessionNonceLib } from "../../../src/account/sessions/SessionNonceLib.sol";
import { SessionTimeLib } from "../../../src/account/sessions/SessionTimeLib.sol";
import {
    ArgumentRule,
    CallRule,
    Condition,
    Session,
    SessionStatus,
    SpendLimit,
    VoucherRight
} from "../../../src/account/sessions/SessionTypes.sol";
import { SessionTest } from "../../support/account/SessionTest.sol";

/// @notice Ways out of a session that others left open.
contract SessionEscape is SessionTest {
    function _refuse(PackedUserOperation memory op, bytes memory reason) private {
        expectRefusal(reason);
        bundle(op);
    }

    function _refuseRule(CallRule memory rule) private {
        Session memory session = plainSession();
        session.calls[0] = rule;
        vm.expectRevert(abi.encodeWithSelector(ISessionKeys.ForbiddenCallRule.selector, 0));
        vm.prank(alice.addr);
        account.enableSession(session);
        // Nor can an owner's signature bring it in.
        bytes memory owner = ownerSignature(session);
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1));
        signSession(op, session, owner, signBytes(sessionKey, digestOf(op)));
        _refuse(op, abi.encodeWithSelector(ISessionKeys.ForbiddenCallRule.selector, 0));
    }

    // --- targets and functions that no session may list ---

    function test_account_itself_cannot_be_a_target() public {
        _refuseRule(callRule(address(account), account.addOwner.selector, 1000));
        _refuseRule(callRule(address(account), UUPSUpgradeable.upgradeToAndCall.selector, 1000));
        _refuseRule(callRule(address(account), account.execute.selector, 1000));
        _refuseRule(callRule(address(account), bytes4(0), 0));
    }

    function test_entry_point_cannot_be_a_target() public {
        _refuseRule(callRule(address(entryPoint), entryPoint.withdrawTo.selector, 1000));
        _refuseRule(callRule(address(entryPoint), entryPoint.incrementNonce.selector, 1000));
    }

    function test_approval_must_name_its_spender() public {
        CallRule memory rule = transferRule(merchant);
        rule.selector = token.approve.selector;
        rule.arguments = new ArgumentRule[](0);
        _refuseRule(rule);
        rule.arguments = new ArgumentRule[](1);
        rule.arguments[0] = argument(0, Condition.AtMost, bytes32(type(uint256).max));
        _refuseRule(rule);
        rule.arguments[0] = equal(1, word(merchant));
        _refuseRule(rule);
    }

    function test_approval_is_counted_in_full_and_exact_in_length() public {
        CallRule memory rule = transferRule(merchant);
        rule.selector = token.approve.selector;
        rule.amountWord = 0;
        _refuseRule(rule);
        rule.amountWord = 1;
        rule.maxLength = 100;
        _refuseRule(rule);
    }

    function test_transfers_are_counted_at_the_amount() public {
        CallRule memory rule = transferRule(merchant);
        rule.amountWord = 0;
        _refuseRule(rule);
        rule = transferRule(merchant);
        rule.maxLength = 69;
        _refuseRule(rule);
        rule = transferRule(merchant);
        rule.selector = token.transferFrom.selector;
        _refuseRule(rule);
        rule.maxLength = 100;
        _refuseRule(rule);
    }

    function test_open_approvals_are_forbidden() public {
        string[10] memory functions = [
            "increaseAllowance(address,uint256)",
            "increaseApproval(address,uint256)",
            "setApprovalForAll(address,bool)",
            "approveAndCall(address,uint256)",
            "approveAndCall(address,uint256,bytes)",
            "authorizeOperator(address)",
            "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
            "permit(address,address,uint256,uint256,bytes)",
            "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
            "approve(address,address,uint160,uint48)"
        ];
        for (uint256 i; i < functions.length; ++i) {
            _refuseRule(callRule(address(token), bytes4(keccak256(bytes(functions[i]))), 1000));
        }
    }

    function test_transfer_of_native_currency_has_no_data_to_count() public {
        _refuseRule(callRule(merchant, bytes4(0), 4));
        CallRule memory rule = callRule(merchant, bytes4(0), 0);
        rule.amountLimit = 1;
        _refuseRule(rule);
    }

    // --- limits that do not limit ---

    function _refuseLimit(Session memory session) private {
        vm.expectRevert(abi.encodeWithSelector(ISessionKeys.InvalidSpendLimit.selector, 0));
        vm.prank(alice.addr);
        account.enableSession(session);
    }

    function test_moving_a_token_without_a_limit_is_refused() public {
        Session memory session = plainSession();
        session.calls[0].amountLimit = 0;
        _refuseLimit(session);
        session.calls[0].selector = token.approve.selector;
        _refuseLimit(session);
        session.calls[0].selector = token.transferFrom.selector;
        session.calls[0].maxLength = 100;
        session.calls[0].amountWord = 2;
        _refuseLimit(session);
    }

    function test_limit_that_does_not_exist_is_refused() public {
        Session memory session = plainSession();
        session.calls[0].amountLimit = 2;
        _refuseLimit(session);
        session.calls[0].amountLimit = 1;
        session.calls[0].valueLimit = 2;
        _refuseLimit(session);
    }

    function test_limit_of_another_token_is_refused() public {
        Session memory session = plainSession();
        session.limits[0].token = address(target);
        _refuseLimit(session);
        // Native currency is counted by what is sent, never by an argument.
        session.limits[0].token = address(0);
        session.calls[0].selector = bytes4(0x12345678);
        _refuseLimit(session);
        session = plainSession();
        session.calls[0].valueLimit = 1;
        _refuseLimit(session);
    }

    function test_transfer_from_of_the_right_shape_may_be_listed() public {
        Session memory session = plainSession();
        session.calls[0].selector = token.transferFrom.selector;
        session.calls[0].maxLength = 100;
        session.calls[0].amountWord = 2;
        session.calls[0].arguments[0] = ArgumentRule(1, Condition.Account, new bytes32[](0));
        enable(session);
        token.mint(bob.addr, 5e6);
        vm.prank(bob.addr);
        token.approve(address(account), 5e6);
        bytes memory pull = abi.encodeCall(token.transferFrom, (bob.addr, address(account), 5e6));
        (bool success,) = bundleAndReport(op0(session, executeData(address(token), 0, pull)));
        assertTrue(success);
    }

    // --- sessions that are not sessions ---

    function test_session_must_have_a_key() public {
        bytes[5] memory keys = [
            bytes(""),
            abi.encode(0),
            abi.encode(uint256(type(uint160).max) + 1),
            new bytes(33),
            abi.encode(uint256(1), uint256(1))
        ];
        for (uint256 i; i < keys.length; ++i) {
            Session memory session = plainSession();
            session.key = keys[i];
            vm.expectRevert(abi.encodeWithSelector(ISessionKeys.InvalidSessionKey.selector, keys[i]));
            vm.prank(alice.addr);
            account.enableSession(session);
        }
    }

    function test_session_must_end() public {
        uint48[3] memory ends = [uint48(0), START, uint48(1 << 47)];
        for (uint256 i; i < ends.length; ++i) {
            Session memory session = plainSession();
            session.validUntil = ends[i];
            vm.expectRevert(ISessionKeys.InvalidSessionTimes.selector);
            vm.prank(alice.addr);
            account.enableSession(session);
        }
    }

    // --- what the signature and the hash must hold together ---

    /// @dev The session is in the signature, which the operation's hash does not cover; a bundler may swap it.
    function test_session_cannot_be_swapped_for_another_of_the_same_key() public {
        Session memory small = plainSession();
        Session memory large = plainSession();
        large.limits[0].perPeriod = 100_000e6;
        large.limits[0].total = 100_000e6;
        enable(small);
        enable(large);
        PackedUserOperation memory op = op0(small, transferData(PER_DAY + 1));
        bytes memory key = signBytes(sessionKey, digestOf(op));
        signSession(op, large, "", key);
        _refuse(op, abi.encodeWithSelector(ISessionKeys.NonceOfAnotherSession.selector, op.nonce));
    }

    function test_session_cannot_be_changed() public {
        Session memory session = plainSession();
        enable(session);
        session.limits[0].perPeriod = type(uint104).max;
        PackedUserOperation memory op = op0(session, transferData(1));
        _refuse(op, abi.encodeWithSelector(ISessionKeys.SessionNotEnabled.selector, account.getSessionId(session)));
    }

    function test_period_is_under_the_operations_hash() public {
        Session memory session = plainSession();
        enable(session);
        PackedUserOperation memory op = op0(session, transferData(1));
        op.nonce = nonceOf(session, 1, 0);
        vm.warp(START + DAY + 1);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_session_key_cannot_sign_as_an_owner() public {
        Session memory session = plainSession();
        enable(session);
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1));
        sign(op, sessionKey);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_session_key_cannot_enable_a_session() public {
        Session memory session = plainSession();
        enable(session);
        Session memory wider = plainSession();
        wider.limits[0].perPeriod = type(uint104).max;
        PackedUserOperation memory op = sessionOp(wider, 0, transferData(1));
        bytes memory owner = signBytes(sessionKey, account.getSessionDigest(wider));
        signSession(op, wider, owner, signBytes(sessionKey, digestOf(op)));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_owners_signature_for_one_account_does_not_enable_on_another() public {
        Session memory session = plainSession();
        bytes memory owner = ownerSignature(session);
        account = factory.createAccount(ownersOf(alice.addr), 1);
        vm.deal(address(account), 1 ether);
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1));
        signSession(op, session, owner, signBytes(sessionKey, digestOf(op)));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_session_key_cannot_call_the_account_directly() public {
        enable(plainSession());
        bytes memory reason = abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, sessionKey.addr);
        vm.startPrank(sessionKey.addr);
        vm.expectRevert(reason);
        account.execute(address(token), 0, "");
        vm.expectRevert(reason);
        account.executeBatch(new ISmartAccount.Call[](0));
        vm.stopPrank();
    }

    function test_session_key_cannot_sign_messages_of_the_account() public {
        Session memory session = plainSession();
        enable(session);
        bytes32 hash = keccak256("permit");
        bytes memory key = signBytes(sessionKey, hash);
        assertEq(account.isValidSignature(hash, key), bytes4(0xffffffff));
        bytes memory wrapped = bytes.concat(bytes1(0x02), abi.encode(session, bytes(""), key));
        assertEq(account.isValidSignature(hash, wrapped), bytes4(0xffffffff));
        wrapped[0] = 0x03;
        assertEq(account.isValidSignature(hash, wrapped), bytes4(0xffffffff));
    }

    // --- estimation ---

    /// @dev With dummies everything runs, and only the result says no.
    function test_dummy_signatures_run_the_whole_validation_and_return_one() public {
        Session memory session = plainSession();
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1));
        signSession(op, session, new bytes(65), new bytes(65));
        bytes32 hash = entryPoint.getUserOpHash(op);
        vm.prank(address(entryPoint));
        uint256 data = account.validateUserOp(op, hash, 0);
        assertEq(uint160(data), 1);
        // The times are returned even so.
        assertEq(uint48(data >> 160), START + DAY - 1);
        assertEq(uint48(data >> 208), START);
        (, uint104 inPeriod,) = account.getSpent(account.getSessionId(session), 0);
        assertEq(inPeriod, 1);
    }

    function test_validation_data_never_names_an_aggregator() public {
        Session memory session = plainSession();
        enable(session);
        for (uint48 period; period < 30; ++period) {
            PackedUserOperation memory op = signed(sessionOp(session, period, transferData(1)), session);
            bytes32 hash = entryPoint.getUserOpHash(op);
            vm.prank(address(entryPoint));
            assertEq(uint160(account.validateUserOp(op, hash, 0)), 0);
        }
    }

    function test_status_of_a_session_that_was_never_seen() public view {
        (SessionStatus status, uint32 uses, uint128 gasSpent) = account.getSession(bytes32(uint256(1)));
        assertEq(uint8(status), uint8(SessionStatus.None));
        assertEq(uses, 0);
        assertEq(gasSpent, 0);
    }

    function test_limits_cannot_be_overflowed() public {
        Session memory session = plainSession();
        session.limits[0] = SpendLimit(address(token), type(uint104).max, type(uint104).max);
        enable(session);
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](2);
        bytes memory half = abi.encodeCall(token.transfer, (merchant, 1 << 255));
        (calls[0], calls[1]) = (call(address(token), 0, half), call(address(token), 0, half));
        PackedUserOperation memory op = op0(session, abi.encodeCall(account.executeBatch, (calls)));
        _refuse(op, abi.encodeWithSignature("Panic(uint256)", 0x11));
        op = op0(session, transferData(1 << 104));
        _refuse(op, abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 1 << 104));
    }

    function testFuzz_nonce_key_holds_all_its_parts(bytes32 id, uint48 period, uint16 lane, uint64 sequence)
        public
        pure
    {
        uint256 nonce = uint256(SessionNonceLib.keyOf(id, period, lane)) << 64 | sequence;
        assertTrue(SessionNonceLib.isOf(nonce, id));
        assertEq(SessionNonceLib.periodOf(nonce), period);
        assertFalse(SessionNonceLib.isOf(nonce, ~id));
    }

    /// @dev What a wallet shows and signs is this type; Foundry's own EIP-712 agrees with the account on its hash.
    function test_session_id_is_the_eip712_hash_of_the_published_type() public view {
        string memory sessionType =
            "Session(bytes key,uint48 validAfter,uint48 validUntil,uint48 period,uint32 maxUses,uint64 epoch,uint256 salt,address paymaster,uint128 gasBudget,SpendLimit[] limits,CallRule[] calls,VoucherRight[] vouchers)ArgumentRule(uint8 word,uint8 condition,bytes32[] values)CallRule(address target,bytes4 selector,uint32 maxLength,uint8 valueLimit,uint8 amountLimit,uint8 amountWord,ArgumentRule[] arguments)SpendLimit(address token,uint104 perPeriod,uint104 total)VoucherRight(bytes32 domainSeparator,bytes32 typeHash,uint8 amountField,uint256 maxAmount)";
        Session memory session = plainSession();
        session.vouchers = new VoucherRight[](2);
        session.vouchers[1] = VoucherRight(bytes32("domain"), bytes32("type"), 1, 500e6);
        session.calls[0].arguments = new ArgumentRule[](2);
        session.calls[0].arguments[0] = ArgumentRule(0, Condition.OneOf, new bytes32[](3));
        session.calls[0].arguments[1] = argument(1, Condition.AtLeast, bytes32(uint256(9)));
        assertEq(account.getSessionId(session), vm.eip712HashStruct(sessionType, abi.encode(session)));
    }

    function testFuzz_windows_lie_within_the_session_and_do_not_overlap(
        uint48 from,
        uint48 until,
        uint48 length,
        uint48 period
    ) public pure {
        until = uint48(bound(until, 1, (1 << 47) - 1));
        from = uint48(bound(from, 0, until - 1));
        length = uint48(bound(length, 1, type(uint48).max));
        period = uint48(bound(period, 0, (until - from) / length));
        (bool ok, uint48 start, uint48 end) = SessionTimeLib.window(from, until, length, period);
        assertTrue(ok);
        assertTrue(start >= from && start <= end && end <= until && end - start < length);
        (bool more, uint48 nextStart,) = SessionTimeLib.window(from, until, length, period + 1);
        if (more) assertEq(nextStart, end + 1);
    }
}
