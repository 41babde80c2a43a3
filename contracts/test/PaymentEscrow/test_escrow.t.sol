// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Wallet, WalletFactory } from "../support/Wallet.sol";

/// @notice Locks, releases, refunds, withdrawals. The test speaks for the controller `jobs`.
contract EscrowTest is MarketTest {
    bytes32 private constant ID = "id";
    uint256 private constant AMOUNT = 10e6;

    modifier asController() {
        vm.startPrank(address(jobs));
        _;
        vm.stopPrank();
    }

    function locked() private view returns (uint256) {
        return lockedIn(address(jobs), ID);
    }

    function lock() private {
        escrow.lock(ID, payer, address(usdc), AMOUNT);
    }

    // --------------------------------------------------------------------------------------------- constructor

    function test_constructor_fixes_its_parts() public view {
        assertTrue(escrow.isController(address(registry)));
        assertTrue(escrow.isController(address(jobs)));
        assertTrue(escrow.isController(address(sessions)));
        assertFalse(escrow.isController(address(reputation)));
        assertFalse(escrow.isController(address(0)));
        assertEq(escrow.permit2(), PERMIT2);
        assertEq(escrow.signatureVerifier(), verifier);
    }

    function deployWith(address[] memory controllers, address verifier_) private returns (IPaymentEscrow) {
        bytes memory code = abi.encodePacked(
            vm.getCode("PaymentEscrow.sol:PaymentEscrow"), abi.encode(controllers, PERMIT2, verifier_)
        );
        address deployed;
        assembly {
            deployed := create(0, add(code, 0x20), mload(code))
            if iszero(deployed) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
        return IPaymentEscrow(deployed);
    }

    function deployExternally(address[] memory controllers, address verifier_) external returns (IPaymentEscrow) {
        return deployWith(controllers, verifier_);
    }

    function test_constructor_opens_eth() public {
        vm.expectEmit();
        emit IPaymentEscrow.TokenOpened(ETH, 0);
        assertTrue(deployWith(new address[](0), verifier).isTokenOpen(ETH));
    }

    function test_constructor_takes_four_controllers() public {
        address[] memory controllers = new address[](4);
        for (uint160 i; i < 4; ++i) {
            controllers[i] = address(i + 1);
        }
        IPaymentEscrow other = deployWith(controllers, verifier);
        assertTrue(other.isController(address(4)));
    }

    function test_constructor_takes_no_controller() public {
        assertFalse(deployWith(new address[](0), verifier).isController(address(1)));
    }

    function test_constructor_reverts_with_five_controllers() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TooManyControllers.selector, 5));
        this.deployExternally(new address[](5), verifier);
    }

    function test_constructor_reverts_with_zero_controller() public {
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        this.deployExternally(new address[](1), verifier);
    }

    function test_constructor_reverts_without_verifier() public {
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        this.deployExternally(new address[](0), address(0));
    }

    // ---------------------------------------------------------------------------------------------------- lock

    function test_lock_pulls_from_allowance() public asController {
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.Locked(address(jobs), ID, payer, address(usdc), AMOUNT);
        lock();
        (address of_, address token, uint256 amount) = escrow.lockOf(address(jobs), ID);
        assertEq(of_, payer);
        assertEq(token, address(usdc));
        assertEq(amount, AMOUNT);
        assertEq(escrow.liabilitiesOf(address(usdc)), AMOUNT);
    }

    function test_lock_from_credit_leaves_liabilities() public {
        vm.prank(payer);
        escrow.deposit(address(usdc), AMOUNT);
        vm.prank(address(jobs));
        lock();
        assertEq(escrow.liabilitiesOf(address(usdc)), AMOUNT);
        assertEq(escrow.creditOf(payer, address(usdc)), 0);
    }

    function test_lock_of_eth_adds_credit_to_value() public {
        vm.prank(payer);
        escrow.deposit{ value: 1 ether }(ETH, 1 ether);
        vm.deal(address(jobs), 1 ether);
        vm.prank(address(jobs));
        escrow.lock{ value: 1 ether }(ID, payer, ETH, 1.5 ether);
        assertEq(locked(), 1.5 ether);
        assertEq(escrow.creditOf(payer, ETH), 0.5 ether);
        assertEq(escrow.liabilitiesOf(ETH), 2 ether);
    }

    function test_lock_ids_of_controllers_are_apart() public {
        vm.prank(address(jobs));
        lock();
        vm.prank(address(sessions));
        lock();
        assertEq(lockedIn(address(sessions), ID), AMOUNT);
    }

    function test_missing_lock_reads_as_zero() public view {
        (address of_, address token, uint256 amount) = escrow.lockOf(address(jobs), "none");
        assertEq(of_, address(0));
        assertEq(token, address(0));
        assertEq(amount, 0);
    }

    function test_lock_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        lock();
    }

    function test_lock_reverts_for_used_id() public asController {
        lock();
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.LockExists.selector, address(jobs), ID));
        lock();
    }

    function test_lock_reverts_for_emptied_id() public asController {
        lock();
        escrow.refundAll(ID);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.LockExists.selector, address(jobs), ID));
        lock();
    }

    function test_lock_reverts_without_payer() public asController {
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        escrow.lock(ID, address(0), address(usdc), AMOUNT);
    }

    function test_lock_reverts_for_zero_amount() public asController {
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        escrow.lock(ID, payer, address(usdc), 0);
    }

    function test_lock_reverts_above_88_bits() public asController {
        uint256 amount = uint256(type(uint88).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AmountTooLarge.selector, amount));
        escrow.lock(ID, payer, address(usdc), amount);
    }

    function test_lock_reverts_for_eth_on_token_path() public {
        vm.deal(address(jobs), 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ValueMismatch.selector, 0, 1));
        vm.prank(address(jobs));
        escrow.lock{ value: 1 }(ID, payer, address(usdc), AMOUNT);
    }

    function test_lock_reverts_for_too_much_eth() public {
        vm.deal(address(jobs), 2);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ValueMismatch.selector, 1, 2));
        vm.prank(address(jobs));
        escrow.lock{ value: 2 }(ID, payer, ETH, 1);
    }

    // ------------------------------------------------------------------------------------------- increase lock

    function test_increase_adds_to_lock() public asController {
        lock();
        escrow.increaseLock(ID, 5e6);
        assertEq(locked(), AMOUNT + 5e6);
    }

    function test_increase_reverts_for_missing_lock() public asController {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.LockMissing.selector, address(jobs), ID));
        escrow.increaseLock(ID, 5e6);
    }

    function test_increase_up_to_88_bits_works() public asController {
        usdc.mint(payer, type(uint88).max);
        lock();
        escrow.increaseLock(ID, type(uint88).max - AMOUNT);
        assertEq(locked(), type(uint88).max);
    }

    function test_increase_reverts_above_88_bits() public asController {
        lock();
        uint256 amount = uint256(type(uint88).max) - AMOUNT + 1;
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AmountTooLarge.selector, amount));
        escrow.increaseLock(ID, amount);
    }

    function test_increase_reverts_for_closed_token() public {
        vm.prank(address(jobs));
        lock();
        vm.prank(owner);
        jobs.closeToken(address(usdc));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TokenNotOpen.selector, address(usdc)));
        vm.prank(address(jobs));
        escrow.increaseLock(ID, 1);
    }

    function test_increase_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.increaseLock(ID, 1);
    }

    // ------------------------------------------------------------------------------------------------- release

    function test_release_credits_payee_and_fees() public asController {
        lock();
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.Released(address(jobs), ID, host, 4e6, 0.1e6);
        assertEq(escrow.release(ID, host, 4e6, 250), 3.9e6);
        assertEq(escrow.creditOf(host, address(usdc)), 3.9e6);
        assertEq(escrow.feesOf(address(usdc)), 0.1e6);
        assertEq(locked(), 6e6);
    }

    function test_release_works_for_closed_token() public {
        vm.prank(address(jobs));
        lock();
        vm.prank(owner);
        jobs.closeToken(address(usdc));
        vm.prank(address(jobs));
        escrow.release(ID, host, AMOUNT, 0);
        assertEq(escrow.creditOf(host, address(usdc)), AMOUNT);
    }

    function test_release_takes_fee_of_ten_percent_at_most() public asController {
        lock();
        escrow.release(ID, host, 5e6, 1_000);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.FeeTooHigh.selector, 1_001, 1_000));
        escrow.release(ID, host, 5e6, 1_001);
    }

    function testFuzz_release_rounds_fee_down(uint256 amount, uint256 feeBps) public asController {
        amount = bound(amount, 1, AMOUNT);
        feeBps = bound(feeBps, 0, 1_000);
        lock();
        uint256 net = escrow.release(ID, host, amount, feeBps);
        assertEq(amount - net, amount * feeBps / 10_000);
        assertEq(escrow.creditOf(host, address(usdc)) + escrow.feesOf(address(usdc)) + locked(), AMOUNT);
    }

    function test_release_reverts_beyond_lock() public asController {
        lock();
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.LockTooSmall.selector, address(jobs), ID, AMOUNT, AMOUNT + 1)
        );
        escrow.release(ID, host, AMOUNT + 1, 0);
    }

    function test_release_reverts_for_zero_amount() public asController {
        lock();
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        escrow.release(ID, host, 0, 0);
    }

    function test_release_reverts_for_zero_payee() public asController {
        lock();
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        escrow.release(ID, address(0), 1, 0);
    }

    function test_release_reverts_for_missing_lock() public asController {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.LockMissing.selector, address(jobs), ID));
        escrow.release(ID, host, 1, 0);
    }

    function test_release_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.release(ID, stranger, 1, 0);
    }

    function test_release_above_releases_the_difference() public asController {
        lock();
        assertEq(escrow.releaseAbove(ID, host, 7e6, 0), 3e6);
        assertEq(escrow.creditOf(host, address(usdc)), 3e6);
    }

    function test_release_above_same_remainder_changes_nothing() public asController {
        lock();
        escrow.releaseAbove(ID, host, 7e6, 0);
        assertEq(escrow.releaseAbove(ID, host, 7e6, 0), 0);
        assertEq(escrow.releaseAbove(ID, host, 8e6, 0), 0);
        assertEq(locked(), 7e6);
    }

    function test_release_above_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.releaseAbove(ID, stranger, 0, 0);
    }

    function rowsOf(address secondPayee) private returns (IPaymentEscrow.Settlement[] memory rows) {
        lock();
        escrow.lock("other", payer, address(usdc), AMOUNT);
        rows = new IPaymentEscrow.Settlement[](4);
        rows[0] = IPaymentEscrow.Settlement({ id: ID, payee: host, remainder: 6e6, feeBps: 250 });
        // The second row is empty and skipped; the third changes nothing.
        rows[2] = IPaymentEscrow.Settlement({ id: ID, payee: host, remainder: 6e6, feeBps: 250 });
        rows[3] = IPaymentEscrow.Settlement({ id: "other", payee: secondPayee, remainder: 0, feeBps: 0 });
    }

    function test_batch_credits_one_payee_together() public asController {
        IPaymentEscrow.Settlement[] memory rows = rowsOf(host);
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.BatchReleased(address(jobs), host, address(usdc), 14e6, 0.1e6);
        uint256[] memory amounts = escrow.releaseAboveBatch(rows);
        assertEq(amounts[0], 4e6);
        assertEq(amounts[1], 0);
        assertEq(amounts[2], 0);
        assertEq(amounts[3], 10e6);
        assertEq(escrow.creditOf(host, address(usdc)), 13.9e6);
        assertEq(escrow.feesOf(address(usdc)), 0.1e6);
    }

    /// @dev A row of another payee that brings nothing does not part the rows around it.
    function test_batch_credits_one_payee_together_around_nothing() public asController {
        IPaymentEscrow.Settlement[] memory rows = rowsOf(host);
        rows[2] = IPaymentEscrow.Settlement({ id: "other", payee: stranger, remainder: AMOUNT, feeBps: 0 });
        vm.recordLogs();
        escrow.releaseAboveBatch(rows);
        assertEq(vm.getRecordedLogs().length, 1);
    }

    function test_batch_of_nothing_says_nothing() public asController {
        IPaymentEscrow.Settlement[] memory rows = rowsOf(host);
        (rows[0].remainder, rows[2].remainder, rows[3].remainder) = (AMOUNT, AMOUNT, AMOUNT);
        vm.recordLogs();
        escrow.releaseAboveBatch(rows);
        escrow.releaseAboveBatch(new IPaymentEscrow.Settlement[](0));
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_batch_credits_payees_apart() public asController {
        IPaymentEscrow.Settlement[] memory rows = rowsOf(stranger);
        escrow.releaseAboveBatch(rows);
        assertEq(escrow.creditOf(host, address(usdc)), 3.9e6);
        assertEq(escrow.creditOf(stranger, address(usdc)), 10e6);
    }

    function test_batch_keeps_tokens_apart() public asController {
        IPaymentEscrow.Settlement[] memory rows = rowsOf(host);
        escrow.lock("fab", payer, address(fab), 5);
        rows[3].id = "fab";
        escrow.releaseAboveBatch(rows);
        assertEq(escrow.creditOf(host, address(usdc)), 3.9e6);
        assertEq(escrow.creditOf(host, address(fab)), 5);
    }

    function test_batch_reverts_for_zero_payee() public asController {
        IPaymentEscrow.Settlement[] memory rows = rowsOf(address(0));
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        escrow.releaseAboveBatch(rows);
    }

    function test_batch_reverts_for_missing_lock() public asController {
        IPaymentEscrow.Settlement[] memory rows = rowsOf(host);
        rows[3].id = "missing";
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.LockMissing.selector, address(jobs), bytes32("missing")));
        escrow.releaseAboveBatch(rows);
    }

    function test_batch_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.releaseAboveBatch(new IPaymentEscrow.Settlement[](0));
    }

    // -------------------------------------------------------------------------------------------------- refund

    function test_refund_credits_payer() public asController {
        lock();
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.Refunded(address(jobs), ID, payer, 4e6);
        escrow.refund(ID, 4e6);
        assertEq(escrow.creditOf(payer, address(usdc)), 4e6);
        assertEq(locked(), 6e6);
    }

    function test_refund_reverts_beyond_lock() public asController {
        lock();
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.LockTooSmall.selector, address(jobs), ID, AMOUNT, AMOUNT + 1)
        );
        escrow.refund(ID, AMOUNT + 1);
    }

    function test_refund_reverts_for_zero_amount() public asController {
        lock();
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        escrow.refund(ID, 0);
    }

    function test_refund_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.refund(ID, 1);
    }

    function test_refund_all_empties_lock() public asController {
        lock();
        assertEq(escrow.refundAll(ID), AMOUNT);
        assertEq(escrow.refundAll(ID), 0);
        assertEq(escrow.creditOf(payer, address(usdc)), AMOUNT);
    }

    function test_refund_all_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.refundAll(ID);
    }

    function test_finalize_pays_and_refunds() public asController {
        lock();
        (address of_, uint256 released, uint256 refunded) = escrow.finalize(ID, host, 7e6, 0);
        assertEq(of_, payer);
        assertEq(released, 3e6);
        assertEq(refunded, 7e6);
        assertEq(escrow.creditOf(host, address(usdc)), 3e6);
        assertEq(escrow.creditOf(payer, address(usdc)), 7e6);
        assertEq(locked(), 0);
    }

    /// @dev The smallest parts are moved as well.
    function test_finalize_of_single_units() public asController {
        lock();
        escrow.release(ID, host, AMOUNT - 2, 0);
        escrow.finalize(ID, stranger, 1, 0);
        assertEq(escrow.creditOf(stranger, address(usdc)), 1);
        assertEq(escrow.creditOf(payer, address(usdc)), 1);
        assertEq(locked(), 0);
    }

    function test_finalize_of_empty_lock_changes_nothing() public asController {
        lock();
        escrow.refundAll(ID);
        (, uint256 released, uint256 refunded) = escrow.finalize(ID, host, 7e6, 0);
        assertEq(released, 0);
        assertEq(refunded, 0);
    }

    function test_finalize_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.finalize(ID, stranger, 0, 0);
    }

    // ---------------------------------------------------------------------------------------------------- fees

    function test_collect_credits_collector() public asController {
        lock();
        escrow.release(ID, host, AMOUNT, 1_000);
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.FeesCollected(address(usdc), treasury, 1e6);
        assertEq(escrow.collectFees(address(usdc), treasury), 1e6);
        assertEq(escrow.creditOf(treasury, address(usdc)), 1e6);
    }

    function test_collect_reverts_for_zero_collector() public asController {
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        escrow.collectFees(address(usdc), address(0));
    }

    function test_collect_reverts_for_unknown_token() public asController {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TokenNotOpen.selector, stranger));
        escrow.collectFees(stranger, treasury);
    }

    function test_collect_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.collectFees(address(usdc), stranger);
    }

    function test_fees_of_unknown_token_are_zero() public view {
        assertEq(escrow.feesOf(stranger), 0);
    }

    function test_skim_takes_donation_only() public {
        vm.prank(payer);
        escrow.deposit(address(usdc), 5e6);
        usdc.mint(address(escrow), 7);
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.Skimmed(address(usdc), 7);
        assertEq(escrow.skim(address(usdc)), 7);
        assertEq(escrow.skim(address(usdc)), 0);
        assertEq(escrow.feesOf(address(usdc)), 7);
        assertEq(escrow.liabilitiesOf(address(usdc)), 5e6 + 7);
    }

    function test_skim_takes_forced_eth() public {
        vm.deal(address(escrow), 3);
        assertEq(escrow.skim(ETH), 3);
    }

    function test_skim_reverts_for_unknown_token() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TokenNotOpen.selector, stranger));
        escrow.skim(stranger);
    }

    // ------------------------------------------------------------------------------------------------ withdraw

    function deposit() private {
        vm.prank(payer);
        escrow.deposit(address(usdc), AMOUNT);
    }

    function test_withdraw_pays_out() public {
        deposit();
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.Withdrawn(payer, address(usdc), stranger, 4e6);
        vm.prank(payer);
        escrow.withdraw(address(usdc), stranger, 4e6);
        assertEq(usdc.balanceOf(stranger), 4e6);
        assertEq(escrow.creditOf(payer, address(usdc)), 6e6);
        assertEq(escrow.liabilitiesOf(address(usdc)), 6e6);
    }

    function test_withdraw_pays_out_eth() public {
        vm.startPrank(payer);
        escrow.deposit{ value: 1 ether }(ETH, 1 ether);
        escrow.withdraw(ETH, stranger, 1 ether);
        assertEq(stranger.balance, 1 ether);
    }

    function test_withdraw_reverts_beyond_credit() public {
        deposit();
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.CreditTooSmall.selector, payer, address(usdc), AMOUNT, AMOUNT + 1)
        );
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, AMOUNT + 1);
    }

    function test_withdraw_reverts_to_zero() public {
        deposit();
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        vm.prank(payer);
        escrow.withdraw(address(usdc), address(0), 1);
    }

    function test_withdraw_reverts_for_zero_amount() public {
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, 0);
    }

    function withdrawal() private view returns (IPaymentEscrow.Withdrawal memory) {
        return IPaymentEscrow.Withdrawal({
            account: payer, token: address(usdc), to: stranger, amount: 4e6, nonce: 0, validUntil: block.timestamp
        });
    }

    function test_withdraw_by_signature_pays_out() public {
        deposit();
        IPaymentEscrow.Withdrawal memory w = withdrawal();
        escrow.withdrawBySignature(w, sign(payerKey, escrow.withdrawalDigest(w)));
        assertEq(usdc.balanceOf(stranger), 4e6);
        assertEq(escrow.nonceOf(payer), 1);
    }

    function test_withdraw_by_signature_reverts_twice() public {
        deposit();
        IPaymentEscrow.Withdrawal memory w = withdrawal();
        bytes memory signature = sign(payerKey, escrow.withdrawalDigest(w));
        escrow.withdrawBySignature(w, signature);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.BadNonce.selector, 1, 0));
        escrow.withdrawBySignature(w, signature);
    }

    function test_withdraw_by_signature_reverts_when_late() public {
        deposit();
        IPaymentEscrow.Withdrawal memory w = withdrawal();
        bytes memory signature = sign(payerKey, escrow.withdrawalDigest(w));
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TooLate.selector, w.validUntil));
        escrow.withdrawBySignature(w, signature);
    }

    function test_withdraw_by_signature_of_another_reverts() public {
        deposit();
        IPaymentEscrow.Withdrawal memory w = withdrawal();
        bytes memory signature = sign(hostKey, escrow.withdrawalDigest(w));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.BadSignature.selector, payer));
        escrow.withdrawBySignature(w, signature);
    }

    function test_withdraw_by_signature_of_contract_account() public {
        Wallet wallet = new Wallet(payer);
        vm.prank(payer);
        escrow.depositFor(address(wallet), address(usdc), AMOUNT);
        IPaymentEscrow.Withdrawal memory w = withdrawal();
        w.account = address(wallet);
        escrow.withdrawBySignature(w, sign(payerKey, escrow.withdrawalDigest(w)));
        assertEq(usdc.balanceOf(stranger), 4e6);
    }

    function test_withdraw_by_signature_of_undeployed_account() public {
        WalletFactory factory = new WalletFactory();
        address wallet = factory.addressOf(payer);
        vm.prank(payer);
        escrow.depositFor(wallet, address(usdc), AMOUNT);
        IPaymentEscrow.Withdrawal memory w = withdrawal();
        w.account = wallet;
        escrow.withdrawBySignature(w, factory.wrap(payer, sign(payerKey, escrow.withdrawalDigest(w))));
        assertEq(usdc.balanceOf(stranger), 4e6);
        assertGt(wallet.code.length, 0);
    }
}
