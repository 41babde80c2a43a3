// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { SessionTest } from "../support/SessionTest.sol";

/// @notice Settling sessions by vouchers, one by one and in batches.
contract SessionSettlementTest is SessionTest {
    // -------------------------------------------------------------------------------------------------- settle

    function test_settle_pays_host() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        bytes memory signature = signVoucher(v);
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionSettled(id, 4e6, v.tokens, v.transcriptRoot);
        vm.prank(stranger);
        assertEq(sessions.settle(v, signature), 4e6);
        assertEq(escrow.creditOf(host, address(usdc)), 4e6 - 0.1e6);
        assertEq(escrow.feesOf(address(usdc)), 0.1e6);
        assertEq(sessions.sessionOf(id).settled, 4e6);
    }

    function test_settle_pays_only_the_difference() public {
        bytes32 id = open();
        settle(id, 4e6);
        assertEq(settle(id, 7e6), 3e6);
        assertEq(sessions.sessionOf(id).settled, 7e6);
    }

    function test_the_smallest_payment_is_told() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory voucher = voucherFor(id, 1);
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionSettled(id, 1, voucher.tokens, voucher.transcriptRoot);
        assertEq(settle(id, 1), 1);
    }

    function test_equal_voucher_changes_nothing() public {
        bytes32 id = open();
        settle(id, 4e6);
        vm.recordLogs();
        assertEq(settle(id, 4e6), 0);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_old_voucher_changes_nothing() public {
        bytes32 id = open();
        settle(id, 4e6);
        assertEq(settle(id, 3e6), 0);
        assertEq(sessions.sessionOf(id).settled, 4e6);
    }

    function test_settle_pays_no_more_than_deposit() public {
        bytes32 id = open();
        assertEq(settle(id, DEPOSIT + 1), DEPOSIT);
        assertEq(settle(id, type(uint128).max), 0);
    }

    function test_settle_pays_no_more_than_tokens_are_worth() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        v.tokens = 999_999; // worth 1.999998, rounded down in base units
        assertEq(sessions.settle(v, signVoucher(v)), 1_999_998);
    }

    function test_rounding_favours_payer() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        v.tokens = 1; // worth 2 units
        assertEq(sessions.settle(v, signVoucher(v)), 2);
        ISessionMarketplace.SessionQuote memory q = quote();
        q.pricePerMillion = 999_999;
        v.sessionId = openQuoted(q, DEPOSIT);
        v.tokens = 2; // worth 1.999998 units
        assertEq(sessions.settle(v, signVoucher(v)), 1);
    }

    function test_endless_tokens_are_bounded_by_amount() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        v.tokens = type(uint256).max;
        assertEq(sessions.settle(v, signVoucher(v)), 4e6);
    }

    function test_payer_may_sign_beside_its_key() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        assertEq(sessions.settle(v, sign(payerKey, sessions.voucherDigest(v))), 4e6);
    }

    function test_payer_signs_if_there_is_no_key() public {
        bytes32 id = openWith(address(0));
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        assertEq(sessions.settle(v, sign(payerKey, sessions.voucherDigest(v))), 4e6);
    }

    function test_settle_in_last_second_of_grace_works() public {
        bytes32 id = open();
        skip(DURATION + GRACE);
        assertEq(settle(id, 4e6), 4e6);
    }

    function test_settle_reverts_after_grace() public {
        bytes32 id = open();
        uint256 end = block.timestamp + DURATION + GRACE;
        vm.warp(end + 1);
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        bytes memory signature = signVoucher(v);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooLate.selector, end));
        sessions.settle(v, signature);
    }

    function test_settle_reverts_with_another_signature() public {
        ISessionMarketplace.Voucher memory v = voucherFor(open(), 4e6);
        bytes memory signature = sign(hostKey, sessions.voucherDigest(v));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, payer));
        sessions.settle(v, signature);
    }

    function test_settle_reverts_for_missing_session() public {
        ISessionMarketplace.Voucher memory v = voucherFor("none", 4e6);
        vm.expectRevert(wrongStatus("none", ISessionMarketplace.SessionStatus.None));
        sessions.settle(v, "");
    }

    function test_settle_reverts_after_close() public {
        bytes32 id = open();
        closeByHost(id, 4e6);
        ISessionMarketplace.Voucher memory v = voucherFor(id, 5e6);
        bytes memory signature = signVoucher(v);
        vm.expectRevert(wrongStatus(id, ISessionMarketplace.SessionStatus.Closed));
        sessions.settle(v, signature);
    }

    function test_settle_works_while_entry_is_paused() public {
        bytes32 id = open();
        vm.prank(owner);
        IGoverned(address(sessions)).pauseEntry();
        assertEq(settle(id, 4e6), 4e6);
    }

    function test_preview_tells_what_settle_pays() public {
        bytes32 id = open();
        assertEq(sessions.previewSettle(voucherFor(id, 4e6)), 4e6);
        settle(id, 3e6);
        assertEq(sessions.previewSettle(voucherFor(id, 4e6)), 1e6);
        assertEq(sessions.previewSettle(voucherFor(id, 3e6)), 0);
        skip(DURATION + GRACE + 1);
        assertEq(sessions.previewSettle(voucherFor(id, 4e6)), 0);
        assertEq(sessions.previewSettle(voucherFor("none", 4e6)), 0);
    }

    // --------------------------------------------------------------------------------------------------- batch

    function batch(ISessionMarketplace.Voucher[] memory vouchers) private returns (uint256[] memory) {
        bytes[] memory signatures = new bytes[](vouchers.length);
        for (uint256 i; i < vouchers.length; ++i) {
            signatures[i] = signVoucher(vouchers[i]);
        }
        return sessions.settleBatch(vouchers, signatures);
    }

    function test_batch_settles_many_sessions() public {
        ISessionMarketplace.Voucher[] memory vouchers = new ISessionMarketplace.Voucher[](3);
        for (uint256 i; i < 3; ++i) {
            vouchers[i] = voucherFor(open(), (i + 1) * 1e6);
        }
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionSettled(
            vouchers[1].sessionId, 2e6, vouchers[1].tokens, vouchers[1].transcriptRoot
        );
        uint256[] memory amounts = batch(vouchers);
        assertEq(amounts[0], 1e6);
        assertEq(amounts[1], 2e6);
        assertEq(amounts[2], 3e6);
        assertEq(escrow.creditOf(host, address(usdc)), 6e6 - 0.15e6);
    }

    function test_batch_skips_what_cannot_be_settled() public {
        bytes32 closed = open();
        bytes32 forged = open();
        bytes32 late = open();
        bytes32 old = open();
        closeByHost(closed, 1e6);
        settle(old, 2e6);
        skip(DURATION + GRACE + 1);
        bytes32 good = open();
        ISessionMarketplace.Voucher[] memory vouchers = new ISessionMarketplace.Voucher[](5);
        bytes[] memory signatures = new bytes[](5);
        vouchers[0] = voucherFor(closed, 5e6);
        vouchers[1] = voucherFor(late, 5e6);
        vouchers[2] = voucherFor(good, 5e6);
        vouchers[3] = voucherFor(good, 6e6);
        vouchers[4] = voucherFor(good, 4e6);
        for (uint256 i; i < 5; ++i) {
            signatures[i] = signVoucher(vouchers[i]);
        }
        signatures[3] = sign(hostKey, sessions.voucherDigest(vouchers[3]));
        uint256[] memory amounts = sessions.settleBatch(vouchers, signatures);
        assertEq(amounts[0] + amounts[1] + amounts[3] + amounts[4], 0);
        assertEq(amounts[2], 5e6);
        assertEq(sessions.sessionOf(forged).settled, 0);
    }

    function test_batch_reverts_for_lists_of_different_length() public {
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.LengthMismatch.selector, 1, 2));
        sessions.settleBatch(new ISessionMarketplace.Voucher[](1), new bytes[](2));
    }
}
