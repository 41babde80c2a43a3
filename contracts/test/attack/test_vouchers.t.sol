// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Wallet, WalletFactory } from "../support/Wallet.sol";

/// @notice Attacks on vouchers: replay, malleability, keys and accounts that change their mind, races.
contract VoucherAttackTest is MarketTest {
    uint256 private constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function setUp() public override {
        super.setUp();
        register(host);
    }

    function expectBadSignature() private {
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, payer));
    }

    function openAs(Wallet wallet, address key) private returns (bytes32) {
        usdc.mint(address(wallet), DEPOSIT);
        wallet.execute(address(usdc), 0, abi.encodeCall(usdc.approve, (address(escrow), DEPOSIT)));
        bytes memory signature = sign(hostKey, sessions.quoteDigest(quote()));
        bytes memory result = wallet.execute(
            address(sessions), 0, abi.encodeCall(ISessionMarketplace.openSession, (quote(), signature, DEPOSIT, key))
        );
        return abi.decode(result, (bytes32));
    }

    // -------------------------------------------------------------------------------------------------- replay

    function test_voucher_of_another_session_is_refused() public {
        ISessionMarketplace.Voucher memory v = voucherFor(open(), 4e6);
        bytes memory signature = signVoucher(v);
        v.sessionId = open();
        expectBadSignature();
        sessions.settle(v, signature);
    }

    function test_voucher_of_another_chain_is_refused() public {
        ISessionMarketplace.Voucher memory v = voucherFor(open(), 4e6);
        bytes memory signature = signVoucher(v);
        vm.chainId(block.chainid + 1); // a fork with another id, sessions included
        expectBadSignature();
        sessions.settle(v, signature);
    }

    function test_voucher_of_a_clone_is_refused() public {
        ISessionMarketplace.Voucher memory v = voucherFor(open(), 4e6);
        ISessionMarketplace clone =
            ISessionMarketplace(proxyOf("SessionMarketplace.sol:SessionMarketplace", sessionsInit()));
        bytes memory signature = sign(voucherSecret, clone.voucherDigest(v));
        expectBadSignature();
        sessions.settle(v, signature);
    }

    function test_settled_voucher_cannot_be_replayed_after_top_up() public {
        bytes32 id = open();
        settle(id, DEPOSIT);
        vm.prank(payer);
        sessions.topUp(id, 5e6);
        assertEq(settle(id, DEPOSIT), 0);
    }

    function test_ticket_is_never_used_twice() public {
        bytes32 id = open();
        closeByHost(id, 1e6);
        vm.startPrank(host);
        registry.unregister();
        registry.register(MIN_STAKE, CAPACITY, profile(), offersOf(MODEL, address(usdc), 1));
        vm.stopPrank();
        assertTrue(open() != id);
    }

    // ---------------------------------------------------------------------------------------------- signatures

    function test_high_s_signature_is_refused() public {
        ISessionMarketplace.Voucher memory v = voucherFor(open(), 4e6);
        (uint8 recovery, bytes32 r, bytes32 s) = vm.sign(voucherSecret, sessions.voucherDigest(v));
        bytes memory twin = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), recovery == 27 ? 28 : 27);
        expectBadSignature();
        sessions.settle(v, twin);
    }

    /// @dev A signature that recovers to nobody, where there is no voucher key.
    function test_zero_signer_is_refused() public {
        ISessionMarketplace.Voucher memory v = voucherFor(openWith(address(0)), 4e6);
        expectBadSignature();
        sessions.settle(v, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
        expectBadSignature();
        sessions.settle(v, "");
    }

    function test_host_cannot_sign_its_own_voucher() public {
        ISessionMarketplace.Voucher memory v = voucherFor(open(), 4e6);
        bytes memory signature = sign(hostKey, sessions.voucherDigest(v));
        expectBadSignature();
        sessions.settle(v, signature);
    }

    function test_contract_payer_signs_by_erc1271() public {
        bytes32 id = openAs(new Wallet(payer), address(0));
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        assertEq(sessions.settle(v, sign(payerKey, sessions.voucherDigest(v))), 4e6);
    }

    /// @dev A payer that takes its ERC-1271 word back takes back only what was not settled: with a voucher key, nothing.
    function test_flipping_account_cannot_take_a_key_signature_back() public {
        Wallet wallet = new Wallet(payer);
        bytes32 id = openAs(wallet, voucherKey);
        wallet.setRefusing(true);
        assertEq(settle(id, 4e6), 4e6);
    }

    function test_flipping_account_takes_back_only_what_was_not_settled() public {
        Wallet wallet = new Wallet(payer);
        bytes32 id = openAs(wallet, address(0));
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        sessions.settle(v, sign(payerKey, sessions.voucherDigest(v)));
        wallet.setRefusing(true);
        v = voucherFor(id, 5e6);
        bytes memory signature = sign(payerKey, sessions.voucherDigest(v));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, address(wallet)));
        sessions.settle(v, signature);
        assertEq(sessions.sessionOf(id).settled, 4e6);
    }

    /// @dev Code put on the key's or the payer's own address (EIP-7702) does not void what the key signed.
    function test_key_revoked_by_delegation_still_counts() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        bytes memory signature = signVoucher(v);
        vm.prank(payer);
        sessions.startClose(id);
        Wallet refusing = new Wallet(stranger);
        vm.etch(voucherKey, abi.encodePacked(hex"ef0100", address(refusing)));
        vm.etch(payer, abi.encodePacked(hex"ef0100", address(refusing)));
        assertEq(sessions.settle(v, signature), 4e6);
        v = voucherFor(id, 5e6);
        assertEq(sessions.settle(v, sign(payerKey, sessions.voucherDigest(v))), 1e6);
    }

    function test_undeployed_payer_signs_by_erc6492() public {
        WalletFactory factory = new WalletFactory();
        address wallet = factory.addressOf(payer);
        vm.prank(payer);
        escrow.depositFor(wallet, address(usdc), DEPOSIT);
        ISessionMarketplace.OpenAuthorization memory a = ISessionMarketplace.OpenAuthorization({
            payer: wallet, deposit: DEPOSIT, voucherKey: address(0), nonce: 0, validUntil: block.timestamp
        });
        uint256 snapshot = vm.snapshotState();
        bytes32 id = sessions.openSessionFor(
            quote(),
            sign(hostKey, sessions.quoteDigest(quote())),
            a,
            factory.wrap(payer, sign(payerKey, sessions.openDigest(quote(), a)))
        );
        ISessionMarketplace.Voucher memory v = voucherFor(id, 4e6);
        assertEq(sessions.settle(v, factory.wrap(payer, sign(payerKey, sessions.voucherDigest(v)))), 4e6);
        vm.revertToState(snapshot);
        bytes memory hostSignature = sign(hostKey, sessions.quoteDigest(quote()));
        bytes memory forged = factory.wrap(payer, sign(hostKey, sessions.openDigest(quote(), a)));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadSignature.selector, wallet));
        sessions.openSessionFor(quote(), hostSignature, a, forged);
    }

    /// @dev The preparation of ERC-6492 may call anything: nothing here trusts the verifier that calls.
    function test_erc6492_preparation_has_no_rights() public {
        assertFalse(escrow.isController(verifier));
        assertFalse(registry.isMarket(verifier));
        ISessionMarketplace.Voucher memory v = voucherFor(open(), 4e6);
        bytes memory theft = abi.encodeCall(IPaymentEscrow.release, (v.sessionId, stranger, DEPOSIT, 0));
        bytes memory signature = abi.encodePacked(
            abi.encode(address(escrow), theft, bytes("")),
            bytes32(0x6492649264926492649264926492649264926492649264926492649264926492)
        );
        expectBadSignature();
        sessions.settle(v, signature);
        assertEq(lockedIn(address(sessions), v.sessionId), DEPOSIT);
    }

    /// @dev A row whose signature makes the verifier revert is skipped; the other is paid.
    function test_spoilt_row_does_not_spoil_the_batch() public {
        ISessionMarketplace.Voucher[] memory vouchers = new ISessionMarketplace.Voucher[](2);
        bytes[] memory signatures = new bytes[](2);
        vouchers[0] = voucherFor(open(), 4e6);
        signatures[0] =
            abi.encodePacked("not abi", bytes32(0x6492649264926492649264926492649264926492649264926492649264926492));
        vouchers[1] = voucherFor(open(), 3e6);
        signatures[1] = signVoucher(vouchers[1]);
        uint256[] memory amounts = sessions.settleBatch(vouchers, signatures);
        assertEq(amounts[0], 0);
        assertEq(amounts[1], 3e6);
    }

    // --------------------------------------------------------------------------------------------------- races

    /// @dev In each second either the voucher counts or the session can be ended, never both.
    function test_deadline_second_belongs_to_the_host() public {
        bytes32 id = open();
        vm.prank(payer);
        sessions.startClose(id);
        uint256 end = sessions.sessionOf(id).settleUntil;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooEarly.selector, end));
        sessions.finishClose(id);
        assertEq(settle(id, 4e6), 4e6);
        vm.warp(end + 1);
        ISessionMarketplace.Voucher memory v = voucherFor(id, 5e6);
        bytes memory signature = signVoucher(v);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.TooLate.selector, end));
        sessions.settle(v, signature);
        sessions.finishClose(id);
    }

    /// @dev The payer leaves before the host has settled: the host's later, higher voucher still wins.
    function test_stale_close_loses_to_a_higher_voucher() public {
        bytes32 id = open();
        settle(id, 1e6);
        vm.prank(payer);
        sessions.startClose(id);
        assertEq(settle(id, 9e6), 8e6);
    }

    function test_one_deposit_backs_one_session_only() public {
        vm.prank(payer);
        usdc.approve(address(escrow), DEPOSIT);
        open();
        bytes memory signature = sign(hostKey, sessions.quoteDigest(quote()));
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        vm.prank(payer);
        sessions.openSession(quote(), signature, DEPOSIT, voucherKey);
    }

    function test_credit_backs_one_session_only() public {
        vm.startPrank(payer);
        escrow.deposit(address(usdc), DEPOSIT);
        usdc.approve(address(escrow), 0);
        vm.stopPrank();
        open();
        assertEq(escrow.creditOf(payer, address(usdc)), 0);
        bytes memory signature = sign(hostKey, sessions.quoteDigest(quote()));
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        vm.prank(payer);
        sessions.openSession(quote(), signature, DEPOSIT, voucherKey);
    }

    /// @dev Dust cannot take a host's capacity up: the host says in its quote what a deposit must be.
    function test_dust_session_is_refused() public {
        bytes memory signature = sign(hostKey, sessions.quoteDigest(quote()));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadDeposit.selector, 1, 1e6, 1_000e6));
        vm.prank(payer);
        sessions.openSession(quote(), signature, 1, voucherKey);
    }

    /// @dev A price changed in the registry just before the session opens does not reach it: the quote is the price.
    function test_price_sandwich_does_not_reach_a_session() public {
        bytes memory signature = sign(hostKey, sessions.quoteDigest(quote()));
        vm.prank(host);
        registry.setOffers(offersOf(MODEL, address(usdc), 1_000e6));
        vm.prank(payer);
        bytes32 id = sessions.openSession(quote(), signature, DEPOSIT, voucherKey);
        assertEq(sessions.sessionOf(id).pricePerMillion, PER_MILLION);
    }
}
