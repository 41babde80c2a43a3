// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { SessionTest } from "../support/SessionTest.sol";
import { Wallet, WalletFactory } from "../support/Wallet.sol";

/// @notice Opening and topping up sessions.
contract SessionsTest is SessionTest {
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

    function test_the_smallest_discount_lowers_the_highest_fee() public {
        ISessionMarketplace.SessionPolicy memory policy = sessionPolicy();
        policy.feeBps = 1_000;
        vm.startPrank(owner);
        sessions.setPolicy(policy);
        registry.setTier(0, INodeRegistry.Tier({ capacity: 16, feeDiscountBps: 1 }));
        vm.stopPrank();
        registry.refresh(host);
        assertEq(sessions.sessionOf(open()).feeBps, 999);
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
}
