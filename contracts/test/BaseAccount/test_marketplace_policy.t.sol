// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { ISessionKeys } from "../../src/account/interfaces/ISessionKeys.sol";
import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { MarketplacePolicy } from "../../src/account/sessions/MarketplacePolicy.sol";
import { Session } from "../../src/account/sessions/SessionTypes.sol";
import { SessionTest } from "../support/account/SessionTest.sol";
import { Shop } from "../support/account/Shop.sol";
import { TestToken } from "../support/account/TestToken.sol";

/// @notice The ready-made policy: 100 of a token a day, only for jobs, and refunds only to the account.
contract MarketplacePolicyTest is SessionTest {
    Shop internal shop;

    function setUp() public override {
        super.setUp();
        shop = new Shop();
    }

    function _session() private view returns (Session memory) {
        return MarketplacePolicy.fill(plainSession(), address(token), address(shop), address(shop), PER_DAY, IN_ALL);
    }

    function _request(address token_, uint256 amount) private pure returns (Shop.JobRequest memory request) {
        request.token = token_;
        request.amount = amount;
        request.inputURI = "ipfs://input";
    }

    function _post(uint256 amount) private view returns (bytes memory) {
        ISmartAccount.Call[] memory calls = new ISmartAccount.Call[](2);
        calls[0] = call(address(token), 0, abi.encodeCall(token.approve, (address(shop), amount)));
        calls[1] = call(address(shop), 0, abi.encodeCall(shop.postJob, (_request(address(token), amount))));
        return abi.encodeCall(account.executeBatch, (calls));
    }

    function _refuse(Session memory session, address to, bytes memory data) private {
        PackedUserOperation memory op = op0(session, executeData(to, 0, data));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.CallNotAllowed.selector, 0));
        bundle(op);
    }

    function test_job_is_approved_and_posted_in_one_operation_that_enables_the_session() public {
        Session memory session = _session();
        (bool success,) = bundleAndReport(signedAndEnabling(sessionOp(session, 0, _post(60e6)), session));
        assertTrue(success);
        assertEq(token.balanceOf(address(shop)), 60e6);
    }

    function test_day_is_bounded() public {
        Session memory session = _session();
        enable(session);
        bundle(op0(session, _post(60e6)));
        PackedUserOperation memory op = op0(session, _post(40e6 + 1));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 0, 40e6 + 1));
        bundle(op);
        bundle(op0(session, _post(40e6)));
        vm.warp(START + DAY + 1);
        bundle(signed(sessionOp(session, 1, _post(100e6)), session));
    }

    /// @dev An allowance the owner gave does not widen the session.
    function test_standing_allowance_does_not_widen_the_limit() public {
        Session memory session = _session();
        enable(session);
        vm.prank(address(account));
        token.approve(address(shop), type(uint256).max);
        bytes memory data = abi.encodeCall(shop.postJob, (_request(address(token), PER_DAY + 1)));
        PackedUserOperation memory op = op0(session, executeData(address(shop), 0, data));
        expectRefusal(abi.encodeWithSelector(ISessionKeys.SpendLimitExceeded.selector, 1, PER_DAY + 1));
        bundle(op);
    }

    function test_jobs_life_goes_on_without_the_owner() public {
        Session memory session = _session();
        enable(session);
        bundle(op0(session, executeData(address(shop), 0, abi.encodeCall(shop.cancelJob, (bytes32(0))))));
        bundle(op0(session, executeData(address(shop), 0, abi.encodeCall(shop.acceptResult, (bytes32(0))))));
        bundle(op0(session, executeData(address(shop), 0, abi.encodeCall(shop.expireJob, (bytes32(0))))));
    }

    function test_refunds_go_only_to_the_account() public {
        Session memory session = _session();
        enable(session);
        token.mint(bob.addr, 9e6);
        vm.startPrank(bob.addr);
        token.approve(address(shop), 9e6);
        shop.depositFor(address(account), address(token), 9e6);
        vm.stopPrank();
        _refuse(session, address(shop), abi.encodeCall(shop.withdraw, (address(token), sessionKey.addr, 9e6)));
        uint256 before = token.balanceOf(address(account));
        bytes memory data = abi.encodeCall(shop.withdraw, (address(token), address(account), 9e6));
        bundle(op0(session, executeData(address(shop), 0, data)));
        assertEq(token.balanceOf(address(account)), before + 9e6);
    }

    function test_everything_else_is_refused() public {
        Session memory session = _session();
        enable(session);
        _refuse(session, address(token), abi.encodeCall(token.transfer, (sessionKey.addr, 1)));
        _refuse(session, address(token), abi.encodeCall(token.approve, (sessionKey.addr, 1)));
        _refuse(session, address(shop), abi.encodeCall(shop.depositFor, (sessionKey.addr, address(token), 1)));
        TestToken other = new TestToken();
        _refuse(session, address(shop), abi.encodeCall(shop.postJob, (_request(address(other), 1))));
    }

    /// @dev The job is a struct behind an offset; another offset would put another amount before the marketplace.
    function test_job_elsewhere_in_the_call_data_is_refused() public {
        Session memory session = _session();
        enable(session);
        bytes memory data = abi.encodeCall(shop.postJob, (_request(address(token), 1)));
        assembly ("memory-safe") {
            mstore(add(data, 0x24), 0x40)
        }
        _refuse(session, address(shop), data);
    }

    function test_job_with_too_long_an_input_is_refused() public {
        Session memory session = _session();
        enable(session);
        Shop.JobRequest memory request = _request(address(token), 1);
        request.inputURI = string(new bytes(545));
        _refuse(session, address(shop), abi.encodeCall(shop.postJob, (request)));
    }

    /// @dev Clients build the policy by themselves: tests/viem holds theirs against the same id.
    function test_policy_has_the_id_that_clients_compute() public view {
        Session memory session;
        session.key = abi.encode(address(1));
        (session.validAfter, session.validUntil, session.period, session.maxUses) = (1, 2, 3, 4);
        (session.epoch, session.salt, session.paymaster, session.gasBudget) = (5, 6, address(7), 8);
        session = MarketplacePolicy.fill(session, address(9), address(10), address(11), 12, 13);
        assertEq(account.getSessionId(session), 0x2bf17e77385bb9bac8862bde5562a76e85ec6b87531cccbec85b3f9230e5bf68);
    }
}
