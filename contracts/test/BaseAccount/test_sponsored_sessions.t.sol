// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { ISessionKeys } from "../../src/account/interfaces/ISessionKeys.sol";
import { Session } from "../../src/account/sessions/SessionTypes.sol";
import { Version } from "../support/account/EntryPoints.sol";
import { SessionTest } from "../support/account/SessionTest.sol";
import { SponsorTest } from "../support/account/SponsorTest.sol";

/// @notice Sessions whose gas a paymaster pays, and sessions that outlive an upgrade.
contract SponsoredSessions is SponsorTest, SessionTest {
    function setUp() public override(SponsorTest, SessionTest) {
        super.setUp();
        vm.warp(START + 1);
        vm.deal(address(account), 0);
    }

    function _session(uint128 gasBudget) private view returns (Session memory session) {
        session = plainSession();
        session.paymaster = address(paymaster);
        session.gasBudget = gasBudget;
    }

    function _sponsored(Session memory session) private view returns (PackedUserOperation memory) {
        return signed(sponsor(sessionOp(session, 0, transferData(1))), session);
    }

    function test_named_paymaster_pays_and_nothing_is_counted_without_a_budget() public {
        Session memory session = _session(0);
        bytes32 id = enable(session);
        bundle(_sponsored(session));
        assertEq(token.balanceOf(merchant), 1);
        assertEq(address(account).balance, 0);
        (,, uint128 gasSpent) = account.getSession(id);
        assertEq(gasSpent, 0);
    }

    /// @dev A paymaster may charge the account in tokens, so a budget counts its gas too, both of its limits included.
    function test_budget_counts_the_paymasters_gas_too() public {
        uint256 cost = (500_000 + 500_000 + 60_000 + 100_000) * MAX_FEE;
        Session memory session = _session(uint128(cost));
        bytes32 id = enable(session);
        bundle(_sponsored(session));
        (,, uint128 gasSpent) = account.getSession(id);
        assertEq(gasSpent, cost);
        PackedUserOperation memory op = _sponsored(session);
        expectRefusal(abi.encodeWithSelector(ISessionKeys.GasBudgetExceeded.selector, cost));
        bundle(op);
    }

    /// @dev The new EntryPoint was an ordinary contract when the session was enabled.
    function test_upgrade_to_another_entry_point_closes_it_to_old_sessions() public {
        address v09 = deployEntryPoint(Version.V09);
        Session memory session = plainSession();
        session.calls[0] = callRule(v09, bytes4(keccak256("incrementNonce(uint192)")), 36);
        enable(session);
        address next = address(new SmartAccount(v09));
        vm.prank(alice.addr);
        account.upgradeToAndCall(next, "");
        bytes memory call_ = abi.encodeWithSignature("incrementNonce(uint192)", 0);
        PackedUserOperation memory op = signed(sessionOp(session, 0, executeData(v09, 0, call_)), session);
        vm.expectRevert(abi.encodeWithSelector(ISessionKeys.CallNotAllowed.selector, 0));
        vm.prank(v09);
        account.validateUserOp(op, bytes32(0), 0);
    }

    /// @dev Such an operation has expired; the account does not rely on the EntryPoint alone to say so.
    function test_earlier_period_is_refused_once_a_later_one_was_used() public {
        Session memory session = _session(0);
        enable(session);
        vm.startPrank(address(entryPoint));
        account.validateUserOp(signed(sponsor(sessionOp(session, 5, transferData(1))), session), bytes32(0), 0);
        PackedUserOperation memory op = signed(sponsor(sessionOp(session, 4, transferData(1))), session);
        vm.expectRevert(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 1));
        account.validateUserOp(op, bytes32(0), 0);
        vm.stopPrank();
    }
}
