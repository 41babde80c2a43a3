// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { ISmartAccount } from "../../../src/account/interfaces/ISmartAccount.sol";
import { CallRule, Session, SpendLimit } from "../../../src/account/sessions/SessionTypes.sol";
import { SessionTest } from "../../support/account/SessionTest.sol";

/// @notice Operations of two sessions in any order: honest ones, too large ones, of any period, and attempts to get out.
/// What the sessions may move is two tokens' worth of limits to one merchant; the handler remembers what really moved.
contract SessionHandler is SessionTest {
    Session[2] internal sessions;
    uint48 public constant DAYS = 30;

    mapping(uint256 session => mapping(uint256 day => uint256)) public spentInDay;
    mapping(uint256 session => uint256) public spentInAll;
    uint256 public accepted;
    uint256 public refused;

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < 2; ++i) {
            Session memory session = plainSession();
            session.salt = i;
            session.calls = new CallRule[](2);
            session.calls[0] = transferRule(merchant);
            session.calls[1] = transferRule(merchant);
            session.calls[1].selector = token.approve.selector;
            session.limits[0] = SpendLimit(address(token), uint104(PER_DAY * (i + 1)), uint104(IN_ALL * (i + 1)));
            session.gasBudget = type(uint128).max;
            enable(session);
            _keep(i, session);
        }
        vm.deal(address(account), 1_000_000 ether);
    }

    function _keep(uint256 i, Session memory from) private {
        Session storage to = sessions[i];
        to.key = from.key;
        (to.validAfter, to.validUntil, to.period) = (from.validAfter, from.validUntil, from.period);
        (to.maxUses, to.salt, to.gasBudget) = (from.maxUses, from.salt, from.gasBudget);
        to.limits.push(from.limits[0]);
        for (uint256 j; j < 2; ++j) {
            to.calls.push();
            to.calls[j].target = from.calls[j].target;
            to.calls[j].selector = from.calls[j].selector;
            to.calls[j].maxLength = from.calls[j].maxLength;
            to.calls[j].amountLimit = from.calls[j].amountLimit;
            to.calls[j].amountWord = from.calls[j].amountWord;
            to.calls[j].arguments.push(from.calls[j].arguments[0]);
        }
    }

    function merchantBalance() external view returns (uint256) {
        return token.balanceOf(merchant);
    }

    function allowance(address spender) external view returns (uint256) {
        return token.allowance(address(account), spender);
    }

    function accountOwners() external view returns (uint256 count, bool alicesStill) {
        return (account.ownerCount(), account.isOwner(abi.encode(alice.addr)));
    }

    function ofMerchant() external view returns (address) {
        return merchant;
    }

    function limitOf(uint256 i) external view returns (uint256 perDay, uint256 inAll) {
        return (sessions[i].limits[0].perPeriod, sessions[i].limits[0].total);
    }

    // --- actions ---

    function pass(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 2 days));
    }

    function spend(uint256 which, uint256 day, uint256 amount, uint16 lane, bool claimed, bool approves) external {
        which = which % 2;
        uint256 today = (block.timestamp - START) / DAY;
        // Mostly today; sometimes any day, which must be refused or be today.
        day = claimed ? bound(day, 0, DAYS) : today;
        amount = bound(amount, 0, PER_DAY);
        bytes memory data = approves
            ? abi.encodeCall(token.approve, (merchant, amount))
            : abi.encodeCall(token.transfer, (merchant, amount));
        if (_try(which, uint48(day), lane % 3, executeData(address(token), 0, data))) {
            spentInDay[which][today] += amount;
            spentInAll[which] += amount;
        }
    }

    function spendTwice(uint256 which, uint256 first, uint256 second) external {
        which = which % 2;
        uint256 today = (block.timestamp - START) / DAY;
        (first, second) = (bound(first, 0, PER_DAY), bound(second, 0, PER_DAY));
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](2);
        calls[0] = call(address(token), 0, abi.encodeCall(token.transfer, (merchant, first)));
        calls[1] = call(address(token), 0, abi.encodeCall(token.transfer, (merchant, second)));
        if (_try(which, uint48(today), 0, abi.encodeCall(account.executeBatch, (calls)))) {
            spentInDay[which][today] += first + second;
            spentInAll[which] += first + second;
        }
    }

    function escape(uint256 which, uint256 how, address stranger) external {
        bytes memory data;
        how = how % 6;
        if (how == 0) {
            data = executeData(address(account), 0, abi.encodeCall(account.addOwner, (abi.encode(stranger))));
        }
        if (how == 1) data = abi.encodeCall(account.addOwner, (abi.encode(stranger)));
        if (how == 2) data = executeData(address(token), 0, abi.encodeCall(token.approve, (stranger, 1)));
        if (how == 3) data = executeData(address(token), 0, abi.encodeCall(token.transfer, (stranger, 1)));
        if (how == 4) data = executeData(stranger, 1, "");
        if (how == 5) {
            data = executeData(address(account), 0, abi.encodeCall(account.upgradeToAndCall, (stranger, "")));
        }
        if (stranger == merchant) return;
        uint256 today = (block.timestamp - START) / DAY;
        assertFalse(_try(which % 2, uint48(today), 0, data), "a session got out");
    }

    function _try(uint256 which, uint48 day, uint16 lane, bytes memory callData) private returns (bool) {
        Session memory session = sessions[which];
        PackedUserOperation memory op = newOp(address(account), callData);
        op.nonce = nonceOf(session, day, lane);
        PackedUserOperation[] memory ops = toArray(signed(op, session));
        vm.prank(bundler, bundler);
        try entryPoint.handleOps(ops, beneficiary) {
            ++accepted;
            return true;
        } catch {
            ++refused;
            return false;
        }
    }
}

/// forge-config: default.invariant.runs = 32
contract SessionInvariants is SessionTest {
    SessionHandler internal handler;

    function setUp() public override {
        handler = new SessionHandler();
        handler.setUp();
        bytes4[] memory selectors = new bytes4[](5);
        selectors[0] = handler.pass.selector;
        selectors[1] = handler.spend.selector;
        selectors[2] = handler.spendTwice.selector;
        selectors[3] = handler.escape.selector;
        selectors[4] = handler.spend.selector;
        targetSelector(FuzzSelector(address(handler), selectors));
        targetContract(address(handler));
    }

    function invariant_no_session_spends_more_than_its_limits() public view {
        uint256 moved;
        for (uint256 i; i < 2; ++i) {
            (uint256 perDay, uint256 inAll) = handler.limitOf(i);
            for (uint256 day; day <= handler.DAYS(); ++day) {
                assertLe(handler.spentInDay(i, day), perDay);
            }
            assertLe(handler.spentInAll(i), inAll);
            moved += handler.spentInAll(i);
        }
        // Nothing reached the merchant, now or by what it may still pull, that no session counted.
        assertLe(handler.merchantBalance(), moved);
        assertLe(handler.allowance(handler.ofMerchant()), moved);
    }

    function invariant_no_session_changes_owners_or_other_allowances() public view {
        (uint256 count, bool alicesStill) = handler.accountOwners();
        assertEq(count, 1);
        assertTrue(alicesStill);
        assertEq(handler.allowance(address(handler)), 0);
    }
}
