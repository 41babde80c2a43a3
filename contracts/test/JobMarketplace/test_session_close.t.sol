// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { SessionTest } from "../support/SessionTest.sol";

/// @notice Every way for a session to end.
contract SessionCloseTest is SessionTest {
    // --------------------------------------------------------------------------------------------------- close

    function test_host_closes_with_last_voucher() public {
        bytes32 id = open();
        settle(id, 1e6);
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        bytes memory signature = signVoucher(v);
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionClosed(id, payer, host, 4e6, DEPOSIT - 4e6);
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionSettled(id, 3e6, v.tokens, v.transcriptRoot);
        vm.prank(host);
        sessions.closeByHost(v, signature);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT - 4e6);
        assertEq(escrow.creditOf(host, address(usdc)), 4e6 - 0.1e6);
        assertEq(registry.nodeOf(host).open, 0);
        ISessionMarketplace.Session memory s = sessions.sessionOf(id);
        assertEq(uint8(s.status), uint8(ISessionMarketplace.SessionStatus.Closed));
        assertEq(s.settled, 4e6);
    }

    function test_host_closes_without_voucher() public {
        bytes32 id = open();
        settle(id, 1e6);
        skip(DURATION + GRACE + 1);
        ISessionMarketplace.Voucher memory none;
        none.sessionId = id;
        vm.prank(host);
        sessions.closeByHost(none, "");
        assertEq(sessions.sessionOf(id).settled, 1e6);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT - 1e6);
    }

    function test_host_closes_with_stale_voucher_and_keeps_what_was_settled() public {
        bytes32 id = open();
        settle(id, 4e6);
        closeByHost(id, 2e6);
        assertEq(sessions.sessionOf(id).settled, 4e6);
    }

    function test_host_close_reverts_for_others() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.NotHost.selector, id, payer));
        vm.prank(payer);
        sessions.closeByHost(v, "");
    }

    function test_host_close_reverts_with_voucher_after_grace() public {
        bytes32 id = open();
        uint256 end = block.timestamp + DURATION + GRACE;
        vm.warp(end + 1);
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooLate.selector, end));
        vm.prank(host);
        sessions.closeByHost(v, "");
    }

    function test_host_close_reverts_with_forged_voucher() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        bytes memory signature = sign(hostKey, sessions.voucherDigest(v));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, payer));
        vm.prank(host);
        sessions.closeByHost(v, signature);
    }

    function test_host_close_reverts_twice() public {
        bytes32 id = open();
        closeByHost(id, 4e6);
        ISessionMarketplace.Voucher memory v = voucherFor(id, 5e6);
        vm.expectRevert(wrongStatus(id, ISessionMarketplace.SessionStatus.Closed));
        vm.prank(host);
        sessions.closeByHost(v, "");
    }

    function test_both_close_at_agreed_amount() public {
        bytes32 id = open();
        settle(id, 1e6);
        closeWithHost(id, 3e6);
        assertEq(escrow.creditOf(host, address(usdc)), 3e6 - 0.075e6);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT - 3e6);
    }

    function test_both_close_at_bounds() public {
        bytes32 id = open();
        closeWithHost(id, 0);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT);
        id = open();
        closeWithHost(id, DEPOSIT);
        assertEq(sessions.sessionOf(id).settled, DEPOSIT);
    }

    function test_agreed_close_reverts_out_of_bounds() public {
        bytes32 id = open();
        settle(id, 2e6);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadFinalAmount.selector, 1e6, 2e6, DEPOSIT));
        sessions.closeWithHost(id, 1e6, block.timestamp, "");
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadFinalAmount.selector, DEPOSIT + 1, 2e6, DEPOSIT));
        sessions.closeWithHost(id, DEPOSIT + 1, block.timestamp, "");
    }

    function test_agreed_close_reverts_when_late() public {
        bytes32 id = open();
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooLate.selector, block.timestamp - 1));
        vm.prank(payer);
        sessions.closeWithHost(id, 1e6, block.timestamp - 1, "");
    }

    function test_agreed_close_reverts_for_others() public {
        bytes32 id = open();
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.NotPayer.selector, id, host));
        vm.prank(host);
        sessions.closeWithHost(id, 1e6, block.timestamp, "");
    }

    function test_agreed_close_reverts_with_another_signature() public {
        bytes32 id = open();
        bytes memory signature = sign(payerKey, sessions.closeDigest(id, 1e6, block.timestamp));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, host));
        vm.prank(payer);
        sessions.closeWithHost(id, 1e6, block.timestamp, signature);
    }

    function test_payer_starts_to_leave() public {
        bytes32 id = open();
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionClosing(id, block.timestamp + GRACE);
        vm.prank(payer);
        sessions.startClose(id);
        ISessionMarketplace.Session memory s = sessions.sessionOf(id);
        assertEq(uint8(s.status), uint8(ISessionMarketplace.SessionStatus.Closing));
        assertEq(s.settleUntil, block.timestamp + GRACE);
    }

    function test_higher_voucher_wins_in_grace() public {
        bytes32 id = open();
        settle(id, 1e6);
        vm.prank(payer);
        sessions.startClose(id);
        skip(GRACE);
        assertEq(settle(id, 4e6), 3e6);
        skip(1);
        sessions.finishClose(id);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT - 4e6);
    }

    function test_leaving_late_does_not_prolong_the_session() public {
        bytes32 id = open();
        uint256 end = block.timestamp + DURATION + GRACE;
        vm.warp(end - 10);
        vm.prank(payer);
        sessions.startClose(id);
        assertEq(sessions.sessionOf(id).settleUntil, end);
    }

    function test_start_close_reverts_for_others() public {
        bytes32 id = open();
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.NotPayer.selector, id, host));
        vm.prank(host);
        sessions.startClose(id);
    }

    function test_start_close_reverts_twice() public {
        bytes32 id = open();
        vm.startPrank(payer);
        sessions.startClose(id);
        vm.expectRevert(wrongStatus(id, ISessionMarketplace.SessionStatus.Closing));
        sessions.startClose(id);
    }

    function test_anyone_finishes_after_deadline() public {
        bytes32 id = open();
        settle(id, 4e6);
        skip(DURATION + GRACE + 1);
        vm.prank(stranger);
        sessions.finishClose(id);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT - 4e6);
        assertEq(registry.nodeOf(host).open, 0);
    }

    function test_finish_reverts_in_last_second() public {
        bytes32 id = open();
        vm.prank(payer);
        sessions.startClose(id);
        uint256 end = block.timestamp + GRACE;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooEarly.selector, end));
        sessions.finishClose(id);
    }

    function test_close_works_without_registry() public {
        bytes32 id = open();
        skip(DURATION + GRACE + 1);
        vm.mockCallRevert(address(registry), bytes(""), bytes("broken"));
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.RegistryUnreachable(id);
        sessions.finishClose(id);
        assertEq(escrow.creditOf(payer, address(usdc)), DEPOSIT);
    }

    /// @dev While the registry is told, the session has ended already, with nothing earned as far as anybody can see.
    function test_the_registry_sees_a_session_that_has_ended() public {
        bytes32 id = open();
        settle(id, 1e6);
        skip(DURATION + GRACE + 1);
        vm.etch(address(registry), address(new SessionWatcher(IEngagements(address(sessions)), id)).code);
        sessions.finishClose(id);
        assertEq(SessionWatcher(address(registry)).seen(), 1 + uint256(IEngagements.Result.Neutral));
    }
}

/// @notice In the place of the registry: notes what it sees of a session when it is told of its end.
contract SessionWatcher {
    IEngagements private immutable SESSIONS;
    bytes32 private immutable ID;

    /// @dev One more than the result.
    uint256 public seen;

    constructor(IEngagements sessions, bytes32 id) {
        (SESSIONS, ID) = (sessions, id);
    }

    function release(address) external {
        seen = 1 + uint256(SESSIONS.outcomeOf(ID).result);
    }
}
