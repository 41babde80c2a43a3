// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Wallet, WalletFactory } from "../support/Wallet.sol";

/// @notice Opening, settling and closing sessions.
contract SessionsTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function openQuoted(ISessionMarketplace.SessionQuote memory q, uint256 deposit) private returns (bytes32) {
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        return sessions.openSession(q, signature, deposit, voucherKey);
    }

    function expectOpenRevert(ISessionMarketplace.SessionQuote memory q, uint256 deposit, bytes memory err) private {
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.expectRevert(err);
        vm.prank(payer);
        sessions.openSession(q, signature, deposit, voucherKey);
    }

    function wrongStatus(bytes32 id, ISessionMarketplace.SessionStatus status) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ISessionMarketplace.WrongStatus.selector, id, status);
    }

    // ---------------------------------------------------------------------------------------------------- open

    function test_open_locks_deposit_and_writes_terms_down() public {
        uint256 before = usdc.balanceOf(payer);
        bytes32 id = open();
        assertEq(id, bytes32(uint256(uint160(host)) << 96 | 1));
        assertEq(usdc.balanceOf(payer), before - DEPOSIT);
        assertEq(lockedIn(address(sessions), id), DEPOSIT);
        ISessionMarketplace.Session memory s = sessions.sessionOf(id);
        assertEq(s.payer, payer);
        assertEq(s.host, host);
        assertEq(s.token, address(usdc));
        assertEq(s.voucherKey, voucherKey);
        assertEq(s.modelId, MODEL);
        assertEq(s.pricePerMillion, PER_MILLION);
        assertEq(s.feeBps, FEE_BPS);
        assertEq(uint8(s.status), uint8(ISessionMarketplace.SessionStatus.Open));
        assertEq(s.deposit, DEPOSIT);
        assertEq(s.settled, 0);
        assertEq(s.settleUntil, block.timestamp + DURATION + GRACE);
        assertEq(s.grace, GRACE);
        assertEq(registry.nodeOf(host).open, 1);
    }

    function test_open_emits() public {
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionOpened(
            bytes32(uint256(uint160(host)) << 96 | 1),
            payer,
            host,
            MODEL,
            address(usdc),
            PER_MILLION,
            DEPOSIT,
            voucherKey,
            FEE_BPS,
            block.timestamp + DURATION
        );
        open();
    }

    function test_open_in_eth() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        (q.token, q.minDeposit, q.maxDeposit) = (ETH, 0, 1 ether);
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        bytes32 id = sessions.openSession{ value: 1 ether }(q, signature, 1 ether, voucherKey);
        assertEq(lockedIn(address(sessions), id), 1 ether);
    }

    function test_open_at_bounds_of_quote_works() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        q.payer = payer;
        q.duration = 30 days;
        q.validUntil = uint40(block.timestamp);
        openQuoted(q, q.minDeposit);
        openQuoted(q, q.maxDeposit);
    }

    function test_open_takes_fee_discount_of_tier() public {
        vm.prank(address(reputation));
        registry.setTierOf(host, 3);
        assertEq(sessions.sessionOf(open()).feeBps, 175);
    }

    function test_open_with_quote_of_contract_host() public {
        Wallet wallet = new Wallet(host);
        fab.mint(address(wallet), MIN_STAKE);
        wallet.execute(address(fab), 0, abi.encodeCall(fab.approve, (address(escrow), MIN_STAKE)));
        wallet.execute(
            address(registry),
            0,
            abi.encodeCall(INodeRegistry.register, (MIN_STAKE, CAPACITY, profile(), new INodeRegistry.Offer[](0)))
        );
        ISessionMarketplace.SessionQuote memory q = quote();
        q.host = address(wallet);
        assertEq(sessions.sessionOf(openQuoted(q, DEPOSIT)).host, address(wallet));
    }

    function test_open_reverts_for_another_payer() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        q.payer = stranger;
        expectOpenRevert(
            q, DEPOSIT, abi.encodeWithSelector(ISessionMarketplace.QuoteForAnother.selector, stranger, payer)
        );
    }

    function test_open_reverts_for_own_host() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        q.host = payer;
        expectOpenRevert(q, DEPOSIT, abi.encodeWithSelector(ISessionMarketplace.SelfDealing.selector, payer));
    }

    function test_open_reverts_when_quote_is_late() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        q.validUntil = uint40(block.timestamp - 1);
        expectOpenRevert(q, DEPOSIT, abi.encodeWithSelector(ISessionMarketplace.TooLate.selector, q.validUntil));
    }

    function test_open_reverts_for_too_long_session() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        q.duration = 30 days + 1;
        expectOpenRevert(
            q, DEPOSIT, abi.encodeWithSelector(ISessionMarketplace.OutOfBounds.selector, 30 days + 1, 30 days)
        );
    }

    function test_open_reverts_for_deposit_out_of_bounds() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        expectOpenRevert(
            q, 1e6 - 1, abi.encodeWithSelector(ISessionMarketplace.BadDeposit.selector, 1e6 - 1, 1e6, 1_000e6)
        );
        expectOpenRevert(
            q, 1_000e6 + 1, abi.encodeWithSelector(ISessionMarketplace.BadDeposit.selector, 1_000e6 + 1, 1e6, 1_000e6)
        );
    }

    function test_open_reverts_with_another_signature() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        bytes memory signature = sign(payerKey, sessions.quoteDigest(q));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, host));
        vm.prank(payer);
        sessions.openSession(q, signature, DEPOSIT, voucherKey);
    }

    function test_open_reverts_with_changed_price() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        q.pricePerMillion -= 1;
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, host));
        vm.prank(payer);
        sessions.openSession(q, signature, DEPOSIT, voucherKey);
    }

    function test_open_reverts_for_model_not_allowed() public {
        vm.prank(owner);
        registry.setModel(MODEL, false);
        expectOpenRevert(quote(), DEPOSIT, abi.encodeWithSelector(INodeRegistry.ModelNotAllowed.selector, MODEL));
    }

    function test_open_reverts_while_entry_is_paused() public {
        vm.prank(owner);
        IGoverned(address(sessions)).pauseEntry();
        expectOpenRevert(
            quote(), DEPOSIT, abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 3 days)
        );
    }

    function test_open_reverts_before_wiring() public {
        ISessionMarketplace other =
            ISessionMarketplace(proxyOf("SessionMarketplace.sol:SessionMarketplace", sessionsInit()));
        vm.expectRevert(IGoverned.NotWired.selector);
        other.openSession(quote(), "", DEPOSIT, voucherKey);
    }

    // ---------------------------------------------------------------------------------------- open by signature

    function authorization() private view returns (ISessionMarketplace.OpenAuthorization memory) {
        return ISessionMarketplace.OpenAuthorization({
            payer: payer,
            deposit: DEPOSIT,
            voucherKey: voucherKey,
            nonce: sessions.openNonceOf(payer),
            validUntil: block.timestamp
        });
    }

    function openFor(ISessionMarketplace.OpenAuthorization memory a, bytes memory payerSignature)
        private
        returns (bytes32)
    {
        return sessions.openSessionFor(quote(), sign(hostKey, sessions.quoteDigest(quote())), a, payerSignature);
    }

    function test_open_for_payer_by_its_signature() public {
        ISessionMarketplace.OpenAuthorization memory a = authorization();
        bytes32 id = openFor(a, sign(payerKey, sessions.openDigest(quote(), a)));
        assertEq(sessions.sessionOf(id).payer, payer);
        assertEq(sessions.openNonceOf(payer), 1);
    }

    function test_open_for_undeployed_payer() public {
        WalletFactory factory = new WalletFactory();
        ISessionMarketplace.OpenAuthorization memory a = authorization();
        a.payer = factory.addressOf(payer);
        a.nonce = 0;
        vm.prank(payer);
        escrow.depositFor(a.payer, address(usdc), DEPOSIT);
        bytes32 id = openFor(a, factory.wrap(payer, sign(payerKey, sessions.openDigest(quote(), a))));
        assertEq(sessions.sessionOf(id).payer, a.payer);
    }

    function test_open_for_reverts_twice() public {
        ISessionMarketplace.OpenAuthorization memory a = authorization();
        bytes memory signature = sign(payerKey, sessions.openDigest(quote(), a));
        openFor(a, signature);
        bytes memory hostSignature = sign(hostKey, sessions.quoteDigest(quote()));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadNonce.selector, 1, 0));
        sessions.openSessionFor(quote(), hostSignature, a, signature);
    }

    function test_open_for_reverts_when_late() public {
        ISessionMarketplace.OpenAuthorization memory a = authorization();
        a.validUntil = block.timestamp - 1;
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooLate.selector, a.validUntil));
        sessions.openSessionFor(quote(), "", a, "");
    }

    function test_open_for_reverts_with_another_signature() public {
        ISessionMarketplace.OpenAuthorization memory a = authorization();
        bytes memory signature = sign(hostKey, sessions.openDigest(quote(), a));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, payer));
        sessions.openSessionFor(quote(), "", a, signature);
    }

    // -------------------------------------------------------------------------------------------------- top up

    function test_top_up_adds_to_deposit() public {
        bytes32 id = open();
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionToppedUp(id, 5e6, DEPOSIT + 5e6);
        vm.prank(payer);
        sessions.topUp(id, 5e6);
        assertEq(sessions.sessionOf(id).deposit, DEPOSIT + 5e6);
        assertEq(settle(id, DEPOSIT + 5e6), DEPOSIT + 5e6);
    }

    function test_top_up_in_last_second_works() public {
        bytes32 id = open();
        skip(DURATION);
        vm.prank(payer);
        sessions.topUp(id, 5e6);
    }

    function test_top_up_reverts_after_deadline() public {
        bytes32 id = open();
        uint256 end = block.timestamp + DURATION;
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooLate.selector, end));
        vm.prank(payer);
        sessions.topUp(id, 5e6);
    }

    function test_top_up_reverts_for_others() public {
        bytes32 id = open();
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.NotPayer.selector, id, stranger));
        vm.prank(stranger);
        sessions.topUp(id, 5e6);
    }

    function test_top_up_reverts_while_closing() public {
        bytes32 id = open();
        vm.startPrank(payer);
        sessions.startClose(id);
        vm.expectRevert(wrongStatus(id, ISessionMarketplace.SessionStatus.Closing));
        sessions.topUp(id, 5e6);
    }

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

    function closeWithHost(bytes32 id, uint256 amount) private {
        bytes memory signature = sign(hostKey, sessions.closeDigest(id, amount, block.timestamp));
        vm.prank(payer);
        sessions.closeWithHost(id, amount, block.timestamp, signature);
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

    // --------------------------------------------------------------------------------------------------- views

    function test_view_reverts_for_no_session() public {
        vm.expectRevert(wrongStatus("none", ISessionMarketplace.SessionStatus.None));
        sessions.sessionOf("none");
    }

    function test_outcomes() public {
        IEngagements market = IEngagements(address(sessions));
        bytes32 id = open();
        assertEq(uint8(market.outcomeOf(id).result), uint8(IEngagements.Result.None));
        closeByHost(id, 4e6);
        IEngagements.Outcome memory o = market.outcomeOf(id);
        assertEq(uint8(o.result), uint8(IEngagements.Result.Completed));
        assertEq(o.payer, payer);
        assertEq(o.host, host);
        assertEq(o.token, address(usdc));
        assertEq(o.earned, 4e6);
        assertEq(o.fee, 0.1e6);
        id = open();
        closeWithHost(id, 0);
        assertEq(uint8(market.outcomeOf(id).result), uint8(IEngagements.Result.Neutral));
    }

    function test_sessions_are_paged_by_host_with_gaps_for_jobs() public {
        bytes32 first = open();
        postAndClaim();
        bytes32 second = open();
        (bytes32[] memory ids, uint256 next) = sessions.sessionsOfHost(host, 0, 2);
        assertEq(ids.length, 1);
        assertEq(ids[0], first);
        assertEq(next, 2);
        (ids, next) = sessions.sessionsOfHost(host, next, 2);
        assertEq(ids.length, 1);
        assertEq(ids[0], second);
        assertEq(next, 0);
        (ids, next) = sessions.sessionsOfHost(host, 3, 2);
        assertEq(ids.length, 0);
    }

    function test_sessions_are_paged_by_payer_and_host() public {
        open();
        fund(stranger);
        bytes memory signature = sign(hostKey, sessions.quoteDigest(quote()));
        vm.prank(stranger);
        bytes32 second = sessions.openSession(quote(), signature, DEPOSIT, voucherKey);
        (bytes32[] memory ids,) = sessions.sessionsOfPayer(stranger, host, 0, 100);
        assertEq(ids.length, 1);
        assertEq(ids[0], second);
    }

    function test_page_size_is_bounded() public {
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadPageSize.selector, 0));
        sessions.sessionsOfHost(host, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadPageSize.selector, 101));
        sessions.sessionsOfPayer(payer, host, 0, 101);
    }

    // ------------------------------------------------------------------------------------------------- digests

    function test_digests_are_eip712() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Fabstir SessionMarketplace"),
                keccak256("1"),
                block.chainid,
                address(sessions)
            )
        );
        ISessionMarketplace.Voucher memory v = voucherFor("id", 4e6);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Voucher(bytes32 sessionId,uint256 cumulativeAmount,uint256 tokens,bytes32 transcriptRoot)"),
                v.sessionId,
                v.cumulativeAmount,
                v.tokens,
                v.transcriptRoot
            )
        );
        assertEq(sessions.voucherDigest(v), keccak256(abi.encodePacked("\x19\x01", domain, structHash)));

        ISessionMarketplace.SessionQuote memory q = quote();
        bytes32 quoteHash = keccak256(
            abi.encode(
                keccak256(
                    "SessionQuote(address host,address payer,bytes32 modelId,address token,uint80 pricePerMillion,uint88 minDeposit,uint88 maxDeposit,uint32 duration,uint40 validUntil)"
                ),
                q
            )
        );
        assertEq(sessions.quoteDigest(q), keccak256(abi.encodePacked("\x19\x01", domain, quoteHash)));
    }

    // --------------------------------------------------------------------------------------------------- owner

    function test_policy_is_what_owner_sets() public {
        ISessionMarketplace.SessionPolicy memory p =
            ISessionMarketplace.SessionPolicy({ feeBps: 7, grace: 8, maxDuration: 9 });
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionPolicySet(p);
        vm.prank(owner);
        sessions.setPolicy(p);
        assertEq(abi.encode(sessions.policy()), abi.encode(p));
    }

    function test_running_session_keeps_its_terms() public {
        bytes32 id = open();
        vm.prank(owner);
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 1_000, grace: 0, maxDuration: 0 }));
        ISessionMarketplace.Session memory s = sessions.sessionOf(id);
        assertEq(s.feeBps, FEE_BPS);
        assertEq(s.settleUntil, block.timestamp + DURATION + GRACE);
    }

    function test_policy_is_bounded() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.OutOfBounds.selector, 1_001, 1_000));
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 1_001, grace: 0, maxDuration: 0 }));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.OutOfBounds.selector, 90 days + 1, 90 days));
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 0, grace: 90 days + 1, maxDuration: 0 }));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.OutOfBounds.selector, 90 days + 1, 90 days));
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 0, grace: 0, maxDuration: 90 days + 1 }));
    }

    function test_policy_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        sessions.setPolicy(sessionPolicy());
    }

    function test_wire_reverts_twice() public {
        vm.expectRevert(IGoverned.AlreadyWired.selector);
        vm.prank(owner);
        sessions.wire(address(escrow), address(registry));
    }

    function test_wire_reverts_without_registry() public {
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        vm.prank(owner);
        sessions.wire(address(escrow), address(0));
    }

    function test_wire_is_for_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        sessions.wire(address(escrow), address(registry));
    }

    function test_registry_is_shown() public view {
        assertEq(sessions.registry(), address(registry));
    }

    function test_initialize_reverts_twice() public {
        vm.expectRevert(bytes4(keccak256("InvalidInitialization()")));
        sessions.initialize(stranger, sessionPolicy());
    }
}
