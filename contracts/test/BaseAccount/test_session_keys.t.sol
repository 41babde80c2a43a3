// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { ISessionKeys } from "../../src/account/interfaces/ISessionKeys.sol";
import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { SessionNonceLib } from "../../src/account/sessions/SessionNonceLib.sol";
import {
    ArgumentRule,
    CallRule,
    Condition,
    Session,
    SessionStatus,
    SpendLimit
} from "../../src/account/sessions/SessionTypes.sol";
import { Version } from "../support/account/EntryPoints.sol";
import { SessionTest } from "../support/account/SessionTest.sol";

/// @notice What a session key can do, on one EntryPoint: enabling, spending, time, revoking.
abstract contract SessionLife is SessionTest {
    // --- enabling ---

    function test_first_operation_enables_the_session_and_spends() public {
        Session memory session = plainSession();
        PackedUserOperation memory op = signedAndEnabling(sessionOp(session, 0, transferData(40e6)), session);
        vm.expectEmit(address(account));
        emit ISessionKeys.SessionEnabled(account.getSessionId(session), session.key);
        bundle(op);
        assertEq(token.balanceOf(merchant), 40e6);
        (SessionStatus status,,) = account.getSession(account.getSessionId(session));
        assertEq(uint8(status), uint8(SessionStatus.Enabled));
        bundle(op0(session, transferData(60e6)));
        assertEq(token.balanceOf(merchant), 100e6);
    }

    function test_one_operation_creates_the_account_enables_a_session_and_spends() public {
        bytes[] memory owners = ownersOf(alice.addr);
        account = SmartAccount(payable(factory.getAddress(owners, 9)));
        vm.deal(address(account), 1 ether);
        token.mint(address(account), 100e6);
        Session memory session = plainSession();
        // The account is not there yet, so the hashes are asked of another and of no account.
        bytes32 id = implementation.getSessionId(session);
        PackedUserOperation memory op = newOp(address(account), transferData(1e6));
        op.nonce = uint256(SessionNonceLib.keyOf(id, 0, 0)) << 64;
        op.initCode = initCodeOf(owners, 9);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Fabstir SmartAccount"),
                keccak256("1"),
                block.chainid,
                account
            )
        );
        bytes memory owner = signBytes(alice, keccak256(abi.encodePacked(hex"1901", domain, id)));
        bundle(signSession(op, session, owner, signBytes(sessionKey, digestOf(op))));
        assertEq(token.balanceOf(merchant), 1e6);
    }

    function test_passkey_owner_enables_a_session() public {
        Passkey memory phone = newPasskey("phone");
        vm.prank(alice.addr);
        account.addOwner(keyBytes(phone));
        Session memory session = plainSession();
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1e6));
        op.accountGasLimits = packUints(1_500_000, 200_000);
        bytes memory owner = signWebAuthn(phone, account.getSessionDigest(session));
        bundle(signSession(op, session, owner, signBytes(sessionKey, digestOf(op))));
        assertEq(token.balanceOf(merchant), 1e6);
    }

    function test_p256_session_key_signs() public {
        Passkey memory browser = newPasskey("browser");
        Session memory session = plainSession();
        session.key = keyBytes(browser);
        enable(session);
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1e6));
        op.accountGasLimits = packUints(1_500_000, 200_000);
        bundle(signSession(op, session, "", signWebCrypto(browser, digestOf(op))));
        assertEq(token.balanceOf(merchant), 1e6);
        op.nonce = nonceOf(session, 0, 0);
        signSession(op, session, "", signWebCrypto(newPasskey("another"), digestOf(op)));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_session_that_is_not_enabled_is_refused() public {
        Session memory session = plainSession();
        PackedUserOperation memory op = op0(session, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SessionNotEnabled.selector, account.getSessionId(session)));
        bundle(op);
    }

    function test_session_signed_by_a_stranger_fails_with_aa24() public {
        Session memory session = plainSession();
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1));
        bytes memory owner = signBytes(bob, account.getSessionDigest(session));
        signSession(op, session, owner, signBytes(sessionKey, digestOf(op)));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_operation_signed_by_another_key_fails_with_aa24() public {
        Session memory session = plainSession();
        enable(session);
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1));
        signSession(op, session, "", signBytes(bob, digestOf(op)));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_enabling_twice_in_operations_changes_nothing() public {
        Session memory session = plainSession();
        bundle(signedAndEnabling(sessionOp(session, 0, transferData(60e6)), session));
        bundle(signedAndEnabling(sessionOp(session, 0, transferData(40e6)), session));
        PackedUserOperation memory op = signedAndEnabling(sessionOp(session, 0, transferData(1)), session);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 1));
        bundle(op);
    }

    // --- spending ---

    function test_limit_of_a_period_is_exact() public {
        Session memory session = plainSession();
        enable(session);
        bundle(op0(session, transferData(PER_DAY)));
        PackedUserOperation memory op = op0(session, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 1));
        bundle(op);
    }

    function test_next_period_starts_afresh_and_the_total_still_counts() public {
        Session memory session = plainSession();
        bytes32 id = enable(session);
        for (uint48 day; day < 2; ++day) {
            vm.warp(START + day * DAY + 1);
            bundle(signed(sessionOp(session, day, transferData(PER_DAY)), session));
        }
        vm.warp(START + 2 * DAY + 1);
        PackedUserOperation memory op = signed(sessionOp(session, 2, transferData(50e6 + 1)), session);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 50e6 + 1));
        bundle(op);
        bundle(signed(sessionOp(session, 2, transferData(50e6)), session));
        (uint48 period, uint104 inPeriod, uint104 total) = account.getSpent(id, 0);
        assertEq(period, 2);
        assertEq(inPeriod, 50e6);
        assertEq(total, IN_ALL);
    }

    function test_failed_execution_has_still_spent() public {
        Session memory session = plainSession();
        bytes32 id = enable(session);
        token.transfer(address(0xdead), 0);
        vm.mockCallRevert(address(token), abi.encodeWithSelector(token.transfer.selector), "paused");
        (bool success,) = bundleAndReport(op0(session, transferData(30e6)));
        assertFalse(success);
        (, uint104 inPeriod,) = account.getSpent(id, 0);
        assertEq(inPeriod, 30e6);
    }

    // --- time ---

    function test_operation_is_valid_only_in_the_period_it_claims() public {
        Session memory session = plainSession();
        enable(session);
        PackedUserOperation memory early = signed(sessionOp(session, 1, transferData(1)), session);
        expectFailedOp("AA22 expired or not due");
        bundle(early);
        vm.warp(START + DAY - 1);
        expectFailedOp("AA22 expired or not due");
        bundle(early);
        vm.warp(START + DAY + 1);
        bundle(early);
        vm.warp(START + 2 * DAY);
        PackedUserOperation memory late = signed(sessionOp(session, 1, transferData(1)), session);
        expectFailedOp("AA22 expired or not due");
        bundle(late);
    }

    function test_last_period_is_cut_at_the_end_of_the_session() public {
        Session memory session = plainSession();
        session.validUntil = START + DAY + 100;
        enable(session);
        vm.warp(START + DAY + 100);
        bundle(signed(sessionOp(session, 1, transferData(1)), session));
        vm.warp(START + DAY + 101);
        PackedUserOperation memory op = signed(sessionOp(session, 1, transferData(1)), session);
        expectFailedOp("AA22 expired or not due");
        bundle(op);
    }

    function test_period_beyond_the_session_is_refused() public {
        Session memory session = plainSession();
        enable(session);
        PackedUserOperation memory op = signed(sessionOp(session, 30, transferData(1)), session);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.InvalidPeriod.selector, 30));
        bundle(op);
    }

    function test_session_without_periods_is_one_period() public {
        Session memory session = plainSession();
        session.period = 0;
        enable(session);
        bundle(op0(session, transferData(60e6)));
        vm.warp(START + 20 * DAY);
        PackedUserOperation memory op = op0(session, transferData(40e6 + 1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 40e6 + 1));
        bundle(op);
        op = signed(sessionOp(session, 1, transferData(1)), session);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.InvalidPeriod.selector, 1));
        bundle(op);
        bundle(op0(session, transferData(40e6)));
    }

    function test_session_has_not_started_or_has_ended() public {
        Session memory session = plainSession();
        session.period = 0;
        session.validAfter = START + DAY;
        enable(session);
        PackedUserOperation memory op = op0(session, transferData(1));
        expectFailedOp("AA22 expired or not due");
        bundle(op);
        vm.warp(session.validUntil + 1);
        expectFailedOp("AA22 expired or not due");
        bundle(op);
        vm.warp(session.validUntil);
        bundle(op);
    }

    // --- in parallel ---

    function test_sessions_and_lanes_run_in_parallel_in_one_bundle() public {
        Session memory first = plainSession();
        Session memory second = plainSession();
        second.salt = 1;
        enable(first);
        enable(second);
        PackedUserOperation[] memory ops = new PackedUserOperation[](2);
        ops[0] = op0(first, transferData(10e6));
        ops[1] = op0(second, transferData(20e6));
        bundle(ops);
        PackedUserOperation memory lane = sessionOp(first, 0, transferData(1e6));
        lane.nonce = nonceOf(first, 0, 5);
        bundle(signed(lane, first));
        assertEq(token.balanceOf(merchant), 31e6);
        (, uint104 inPeriod,) = account.getSpent(account.getSessionId(first), 0);
        assertEq(inPeriod, 11e6);
    }

    // --- revoking ---

    function test_revoked_session_is_refused_for_good() public {
        Session memory session = plainSession();
        bytes32 id = enable(session);
        vm.expectEmit(address(account));
        emit ISessionKeys.SessionRevoked(id);
        vm.prank(alice.addr);
        account.revokeSession(id);
        PackedUserOperation memory op = signedAndEnabling(sessionOp(session, 0, transferData(1)), session);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SessionIsRevoked.selector, id));
        bundle(op);
        vm.expectRevert(abi.encodeWithSelector(ISessionKeys.SessionIsRevoked.selector, id));
        vm.prank(alice.addr);
        account.enableSession(session);
    }

    function test_session_can_be_revoked_before_it_is_enabled() public {
        Session memory session = plainSession();
        bytes32 id = account.getSessionId(session);
        vm.prank(alice.addr);
        account.revokeSession(id);
        PackedUserOperation memory op = signedAndEnabling(sessionOp(session, 0, transferData(1)), session);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SessionIsRevoked.selector, id));
        bundle(op);
    }

    function test_revoking_all_ends_every_session_and_every_signature_given() public {
        Session memory enabled = plainSession();
        Session memory promised = plainSession();
        promised.salt = 1;
        enable(enabled);
        vm.expectEmit(address(account));
        emit ISessionKeys.AllSessionsRevoked(1);
        bundle(
            sign(
                newOp(
                    address(account), executeData(address(account), 0, abi.encodeCall(account.revokeAllSessions, ()))
                ),
                alice
            )
        );
        assertEq(account.sessionEpoch(), 1);
        PackedUserOperation memory op = op0(enabled, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SessionIsRevoked.selector, account.getSessionId(enabled)));
        bundle(op);
        op = signedAndEnabling(sessionOp(promised, 0, transferData(1)), promised);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SessionIsRevoked.selector, account.getSessionId(promised)));
        bundle(op);
        vm.expectRevert(abi.encodeWithSelector(ISessionKeys.SessionIsRevoked.selector, account.getSessionId(promised)));
        vm.prank(alice.addr);
        account.enableSession(promised);
        promised.epoch = 1;
        enable(promised);
        bundle(op0(promised, transferData(1)));
    }

    function test_removing_an_owner_ends_every_session() public {
        Session memory session = plainSession();
        enable(session);
        vm.startPrank(alice.addr);
        account.addOwner(ownerBytes(bob.addr));
        account.removeOwner(ownerBytes(bob.addr));
        vm.stopPrank();
        PackedUserOperation memory op = op0(session, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SessionIsRevoked.selector, account.getSessionId(session)));
        bundle(op);
    }
}

contract SessionLifeV07 is SessionLife {
    function _version() internal pure override returns (Version) {
        return Version.V07;
    }
}

contract SessionLifeV08 is SessionLife { }

contract SessionLifeV09 is SessionLife {
    function _version() internal pure override returns (Version) {
        return Version.V09;
    }
}

/// @notice What a session's rules allow.
contract SessionRules is SessionTest {
    function _refuseCall(Session memory session, bytes memory callData, uint256 index) private {
        PackedUserOperation memory op = op0(session, callData);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.CallNotAllowed.selector, index));
        bundle(op);
    }

    function _countedRule() private view returns (Session memory session) {
        session = plainSession();
        session.calls[0] = callRule(address(target), bytes4(0x12345678), 68);
        session.calls[0].arguments = new ArgumentRule[](1);
    }

    function _data(uint256 first, uint256 second) private view returns (bytes memory) {
        return executeData(address(target), 0, abi.encodeWithSelector(bytes4(0x12345678), first, second));
    }

    /// @dev The target has no such function: execution fails, and validation is what is tested.
    function _accept(Session memory session, bytes memory callData) private {
        bundle(op0(session, callData));
    }

    function test_another_target_function_or_recipient_is_refused() public {
        Session memory session = plainSession();
        enable(session);
        _refuseCall(session, executeData(address(target), 0, abi.encodeCall(token.transfer, (merchant, 1))), 0);
        _refuseCall(session, executeData(address(token), 0, abi.encodeCall(token.mint, (merchant, 1))), 0);
        _refuseCall(session, executeData(address(token), 0, abi.encodeCall(token.transfer, (bob.addr, 1))), 0);
        _refuseCall(session, executeData(address(token), 0, ""), 0);
    }

    function test_argument_in_a_set() public {
        Session memory session = _countedRule();
        bytes32[] memory set = new bytes32[](2);
        (set[0], set[1]) = (bytes32(uint256(3)), bytes32(uint256(7)));
        session.calls[0].arguments[0] = ArgumentRule(1, Condition.OneOf, set);
        enable(session);
        _accept(session, _data(0, 3));
        _accept(session, _data(0, 7));
        _refuseCall(session, _data(3, 5), 0);
    }

    function test_argument_at_most_and_at_least_are_inclusive() public {
        Session memory session = _countedRule();
        session.calls[0].arguments = new ArgumentRule[](2);
        session.calls[0].arguments[0] = argument(0, Condition.AtMost, bytes32(uint256(10)));
        session.calls[0].arguments[1] = argument(1, Condition.AtLeast, bytes32(uint256(20)));
        enable(session);
        _accept(session, _data(10, 20));
        _accept(session, _data(0, type(uint256).max));
        _refuseCall(session, _data(11, 20), 0);
        _refuseCall(session, _data(10, 19), 0);
    }

    function test_argument_equal_to_the_account() public {
        Session memory session = _countedRule();
        session.calls[0].arguments[0] = ArgumentRule(0, Condition.Account, new bytes32[](0));
        enable(session);
        _accept(session, _data(uint256(uint160(address(account))), 0));
        _refuseCall(session, _data(uint256(uint160(bob.addr)), 0), 0);
        _refuseCall(session, _data(uint256(uint160(address(account))) | 1 << 160, 0), 0);
    }

    function test_condition_with_the_wrong_number_of_values_never_holds() public {
        Session memory session = _countedRule();
        session.calls[0].arguments[0] = ArgumentRule(0, Condition.AtMost, new bytes32[](2));
        enable(session);
        _refuseCall(session, _data(0, 0), 0);
        session.calls[0].arguments[0] = ArgumentRule(0, Condition.OneOf, new bytes32[](0));
        enable(session);
        _refuseCall(session, _data(0, 0), 0);
        session.calls[0].arguments[0] = ArgumentRule(0, Condition.Account, new bytes32[](1));
        enable(session);
        _refuseCall(session, _data(uint256(uint160(address(account))), 0), 0);
    }

    function test_call_too_short_for_its_rule_is_refused() public {
        Session memory session = _countedRule();
        session.calls[0].arguments[0] = argument(1, Condition.AtMost, bytes32(type(uint256).max));
        enable(session);
        _refuseCall(session, executeData(address(target), 0, abi.encodePacked(bytes4(0x12345678), new bytes(63))), 0);
        _accept(session, _data(0, 0));
    }

    function test_call_too_short_to_be_counted_is_refused() public {
        Session memory session = plainSession();
        session.calls[0].arguments = new ArgumentRule[](0);
        enable(session);
        bytes memory short = abi.encodePacked(token.transfer.selector, abi.encode(merchant));
        _refuseCall(session, executeData(address(token), 0, short), 0);
    }

    function test_first_rule_that_allows_the_call_counts() public {
        Session memory session = plainSession();
        session.limits = new SpendLimit[](2);
        session.limits[0] = SpendLimit(address(token), 1e6, 1e6);
        session.limits[1] = SpendLimit(address(token), 50e6, 50e6);
        session.calls = new CallRule[](2);
        session.calls[0] = transferRule(bob.addr);
        session.calls[1] = transferRule(merchant);
        session.calls[1].amountLimit = 2;
        bytes32 id = enable(session);
        _accept(session, transferData(50e6));
        _accept(session, executeData(address(token), 0, abi.encodeCall(token.transfer, (bob.addr, 1e6))));
        (, uint104 first,) = account.getSpent(id, 0);
        (, uint104 second,) = account.getSpent(id, 1);
        assertEq(first, 1e6);
        assertEq(second, 50e6);
    }

    // --- native currency ---

    function _nativeSession() private view returns (Session memory session) {
        session = plainSession();
        session.limits[0] = SpendLimit(address(0), 1 ether, 2 ether);
        session.calls = new CallRule[](2);
        session.calls[0] = callRule(merchant, bytes4(0), 0);
        session.calls[0].valueLimit = 1;
        session.calls[1] = callRule(address(target), target.increment.selector, 4);
        session.calls[1].valueLimit = 1;
    }

    function test_native_currency_is_counted_over_all_calls() public {
        Session memory session = _nativeSession();
        enable(session);
        _accept(session, executeData(merchant, 0.6 ether, ""));
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](2);
        calls[0] = call(merchant, 0.3 ether, "");
        calls[1] = call(address(target), 0.1 ether, abi.encodeCall(target.increment, ()));
        _accept(session, abi.encodeCall(account.executeBatch, (calls)));
        assertEq(merchant.balance, 0.9 ether);
        assertEq(address(target).balance, 0.1 ether);
        PackedUserOperation memory op = op0(session, executeData(merchant, 1, ""));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 1));
        bundle(op);
    }

    function test_native_currency_that_nothing_counts_is_refused() public {
        Session memory session = plainSession();
        enable(session);
        bytes memory data = abi.encodeCall(token.transfer, (merchant, 1));
        _refuseCall(session, executeData(address(token), 1, data), 0);
    }

    function test_transfer_rule_without_data_allows_no_data() public {
        Session memory session = _nativeSession();
        enable(session);
        _refuseCall(session, executeData(merchant, 1, hex"00000000"), 0);
        _refuseCall(session, executeData(merchant, 1, hex"00"), 0);
    }

    function test_function_rule_does_not_allow_empty_data() public {
        Session memory session = _nativeSession();
        enable(session);
        _refuseCall(session, executeData(address(target), 1, ""), 0);
    }

    // --- uses, gas, paymaster ---

    function test_number_of_uses_is_limited() public {
        Session memory session = plainSession();
        session.maxUses = 2;
        bytes32 id = enable(session);
        _accept(session, transferData(1));
        _accept(session, transferData(1));
        PackedUserOperation memory op = op0(session, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.UsesExceeded.selector, 2));
        bundle(op);
        (, uint32 uses,) = account.getSession(id);
        assertEq(uses, 2);
    }

    function test_session_without_uses_can_do_nothing() public {
        Session memory session = plainSession();
        session.maxUses = 0;
        enable(session);
        PackedUserOperation memory op = op0(session, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.UsesExceeded.selector, 0));
        bundle(op);
    }

    function test_gas_budget_counts_the_worst_case_of_every_operation() public {
        Session memory session = plainSession();
        uint256 cost = (500_000 + 500_000 + 60_000) * MAX_FEE;
        session.gasBudget = uint128(2 * cost);
        bytes32 id = enable(session);
        _accept(session, transferData(1));
        _accept(session, transferData(1));
        (,, uint128 gasSpent) = account.getSession(id);
        assertEq(gasSpent, 2 * cost);
        PackedUserOperation memory op = op0(session, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.GasBudgetExceeded.selector, cost));
        bundle(op);
    }

    function test_session_without_budget_cannot_spend_the_accounts_gas() public {
        Session memory session = plainSession();
        session.gasBudget = 0;
        enable(session);
        PackedUserOperation memory op = op0(session, transferData(1));
        uint256 cost = (500_000 + 500_000 + 60_000) * MAX_FEE;
        expectRefusal(abi.encodeWithSelector(ISessionKeys.GasBudgetExceeded.selector, cost));
        bundle(op);
    }

    function test_paymaster_that_was_not_named_is_refused() public {
        Session memory session = plainSession();
        enable(session);
        PackedUserOperation memory op = sessionOp(session, 0, transferData(1));
        op.paymasterAndData = abi.encodePacked(bob.addr, uint128(1), uint128(1));
        signed(op, session);
        entryPoint.depositTo{ value: 5 ether }(bob.addr);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.PaymasterNotAllowed.selector, bob.addr));
        bundle(op);
    }

    function test_paymaster_that_was_named_must_pay() public {
        Session memory session = plainSession();
        session.paymaster = bob.addr;
        enable(session);
        PackedUserOperation memory op = op0(session, transferData(1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.PaymasterNotAllowed.selector, address(0)));
        bundle(op);
    }

    // --- direct calls ---

    function test_enabling_directly_twice_is_refused() public {
        Session memory session = plainSession();
        bytes32 id = enable(session);
        vm.expectRevert(abi.encodeWithSelector(ISessionKeys.SessionIsEnabled.selector, id));
        vm.prank(alice.addr);
        account.enableSession(session);
    }

    function test_strangers_the_entry_point_and_session_keys_may_not_manage_sessions() public {
        Session memory session = plainSession();
        address[3] memory callers = [bob.addr, address(entryPoint), sessionKey.addr];
        for (uint256 i; i < callers.length; ++i) {
            bytes memory reason = abi.encodeWithSelector(ISmartAccount.Unauthorized.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(reason);
            account.enableSession(session);
            vm.expectRevert(reason);
            account.revokeSession(bytes32(0));
            vm.expectRevert(reason);
            account.revokeAllSessions();
            vm.stopPrank();
        }
    }
}
