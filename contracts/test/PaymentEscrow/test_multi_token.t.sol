// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { ISignatureTransfer } from "../../src/marketplace/interfaces/ITokenSignatures.sol";
import { HostileToken } from "../support/HostileToken.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { Permit2 } from "../support/Permit2.sol";
import { TestToken } from "../support/TestToken.sol";

/// @notice Tokens and the ways in.
contract MultiTokenTest is MarketTest {
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    function permitSignature(uint256 key, address account, uint256 amount)
        private
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        bytes32 structHash = keccak256(
            abi.encode(PERMIT_TYPEHASH, account, address(escrow), amount, usdc.nonces(account), block.timestamp)
        );
        return vm.sign(key, keccak256(abi.encodePacked("\x19\x01", usdc.DOMAIN_SEPARATOR(), structHash)));
    }

    function authorization(uint256 amount) private view returns (bytes memory) {
        bytes32 structHash = keccak256(
            abi.encode(
                RECEIVE_TYPEHASH, payer, address(escrow), amount, uint256(0), block.timestamp + 1, bytes32("nonce")
            )
        );
        return sign(payerKey, keccak256(abi.encodePacked("\x19\x01", usdc.DOMAIN_SEPARATOR(), structHash)));
    }

    function listToken(address token) private {
        vm.prank(owner);
        jobs.openToken(token);
    }

    // ------------------------------------------------------------------------------------------------- tokens

    function test_eth_is_open_from_the_start() public view {
        assertTrue(escrow.isTokenOpen(ETH));
        assertEq(escrow.tokens()[0], ETH);
    }

    function test_open_token_gets_next_index() public {
        TestToken token = new TestToken("T", "T", 18);
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.TokenOpened(address(token), 3);
        listToken(address(token));
        assertEq(escrow.tokens()[3], address(token));
        assertTrue(escrow.isTokenOpen(address(token)));
    }

    function test_open_token_twice_changes_nothing() public {
        vm.recordLogs();
        listToken(address(usdc));
        assertEq(escrow.tokens().length, 3);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_reopened_token_keeps_its_index() public {
        vm.startPrank(owner);
        jobs.closeToken(address(usdc));
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.TokenOpened(address(usdc), 2);
        jobs.openToken(address(usdc));
        vm.stopPrank();
        assertEq(escrow.tokens().length, 3);
    }

    function test_open_token_reverts_without_code() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotAToken.selector, stranger));
        listToken(stranger);
    }

    function test_open_token_reverts_when_list_is_full() public {
        address code = address(new TestToken("T", "T", 18));
        for (uint160 i = 3; i < 256; ++i) {
            vm.etch(address(0x1000 + i), code.code);
            listToken(address(0x1000 + i));
        }
        vm.expectRevert(IPaymentEscrow.TooManyTokens.selector);
        listToken(code);
    }

    function test_open_token_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.openToken(address(usdc));
    }

    function test_close_token_reverts_for_others() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotController.selector, stranger));
        vm.prank(stranger);
        escrow.closeToken(address(usdc));
    }

    function test_close_token_reverts_if_closed() public {
        vm.startPrank(owner);
        jobs.closeToken(address(usdc));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TokenNotOpen.selector, address(usdc)));
        jobs.closeToken(address(usdc));
    }

    function test_close_token_leaves_withdrawals_open() public {
        vm.prank(payer);
        escrow.deposit(address(usdc), 5e6);
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.TokenClosed(address(usdc));
        vm.prank(owner);
        jobs.closeToken(address(usdc));
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, 5e6);
        assertEq(escrow.creditOf(payer, address(usdc)), 0);
    }

    // ------------------------------------------------------------------------------------------------ deposits

    function test_deposit_credits_caller() public {
        vm.expectEmit(address(escrow));
        emit IPaymentEscrow.Deposited(payer, address(usdc), 5e6, payer);
        vm.prank(payer);
        escrow.deposit(address(usdc), 5e6);
        assertEq(escrow.creditOf(payer, address(usdc)), 5e6);
        assertEq(escrow.liabilitiesOf(address(usdc)), 5e6);
    }

    function test_deposit_of_eth_credits_caller() public {
        vm.prank(payer);
        escrow.deposit{ value: 1 ether }(ETH, 1 ether);
        assertEq(escrow.creditOf(payer, ETH), 1 ether);
        assertEq(escrow.liabilitiesOf(ETH), 1 ether);
    }

    function test_deposit_for_credits_another() public {
        vm.prank(payer);
        escrow.depositFor(stranger, address(usdc), 5e6);
        assertEq(escrow.creditOf(stranger, address(usdc)), 5e6);
    }

    function test_deposit_for_zero_account_reverts() public {
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        vm.prank(payer);
        escrow.depositFor(address(0), address(usdc), 5e6);
    }

    function test_deposit_of_zero_reverts() public {
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        vm.prank(payer);
        escrow.deposit(address(usdc), 0);
    }

    function test_deposit_above_88_bits_reverts() public {
        uint256 amount = uint256(type(uint88).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AmountTooLarge.selector, amount));
        vm.prank(payer);
        escrow.deposit(address(usdc), amount);
    }

    function test_deposit_of_closed_token_reverts() public {
        TestToken token = new TestToken("T", "T", 18);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TokenNotOpen.selector, address(token)));
        vm.prank(payer);
        escrow.deposit(address(token), 1);
    }

    function test_deposit_of_eth_with_wrong_value_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ValueMismatch.selector, 2 ether, 1 ether));
        vm.prank(payer);
        escrow.deposit{ value: 1 ether }(ETH, 2 ether);
    }

    function test_eth_on_token_path_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ValueMismatch.selector, 0, 1));
        vm.prank(payer);
        escrow.deposit{ value: 1 }(address(usdc), 5e6);
    }

    function test_deposit_with_permit_credits_caller() public {
        vm.prank(payer);
        usdc.approve(address(escrow), 0);
        (uint8 v, bytes32 r, bytes32 s) = permitSignature(payerKey, payer, 5e6);
        vm.prank(payer);
        escrow.depositWithPermit(address(usdc), 5e6, block.timestamp, v, r, s);
        assertEq(escrow.creditOf(payer, address(usdc)), 5e6);
    }

    function test_deposit_with_permit_survives_front_run_permit() public {
        vm.prank(payer);
        usdc.approve(address(escrow), 0);
        (uint8 v, bytes32 r, bytes32 s) = permitSignature(payerKey, payer, 5e6);
        usdc.permit(payer, address(escrow), 5e6, block.timestamp, v, r, s);
        vm.prank(payer);
        escrow.depositWithPermit(address(usdc), 5e6, block.timestamp, v, r, s);
        assertEq(escrow.creditOf(payer, address(usdc)), 5e6);
    }

    function test_deposit_with_authorization_credits_signer() public {
        bytes memory signature = authorization(5e6);
        vm.prank(stranger);
        escrow.depositWithAuthorization(address(usdc), payer, 5e6, 0, block.timestamp + 1, "nonce", signature);
        assertEq(escrow.creditOf(payer, address(usdc)), 5e6);
        assertEq(escrow.creditOf(stranger, address(usdc)), 0);
    }

    function test_deposit_with_authorization_reverts_twice() public {
        bytes memory signature = authorization(5e6);
        escrow.depositWithAuthorization(address(usdc), payer, 5e6, 0, block.timestamp + 1, "nonce", signature);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(usdc), payer, 5e6, 0, block.timestamp + 1, "nonce", signature);
    }

    function test_deposit_with_authorization_of_another_amount_reverts() public {
        bytes memory signature = authorization(5e6);
        vm.expectRevert();
        escrow.depositWithAuthorization(address(usdc), payer, 6e6, 0, block.timestamp + 1, "nonce", signature);
    }

    function test_deposit_with_authorization_of_closed_token_reverts() public {
        vm.prank(owner);
        jobs.closeToken(address(usdc));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TokenNotOpen.selector, address(usdc)));
        escrow.depositWithAuthorization(address(usdc), payer, 5e6, 0, block.timestamp + 1, "nonce", "");
    }

    /// @dev A token that claims to have moved money and has not.
    function test_deposit_with_authorization_reverts_if_nothing_came() public {
        AuthorizingToken token = new AuthorizingToken();
        listToken(address(token));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.InexactTransfer.selector, address(token), 5, 0));
        escrow.depositWithAuthorization(address(token), payer, 5, 0, block.timestamp + 1, "nonce", "");
    }

    function permit2Signature(uint256 amount) private returns (bytes memory) {
        vm.etch(PERMIT2, address(new Permit2()).code);
        vm.prank(payer);
        usdc.approve(PERMIT2, type(uint256).max);
        ISignatureTransfer.PermitTransferFrom memory permit = ISignatureTransfer.PermitTransferFrom({
            permitted: ISignatureTransfer.TokenPermissions({ token: address(usdc), amount: amount }),
            nonce: 7,
            deadline: block.timestamp
        });
        return sign(payerKey, Permit2(PERMIT2).digest(permit, address(escrow)));
    }

    function test_deposit_with_permit2_credits_signer() public {
        bytes memory signature = permit2Signature(5e6);
        vm.prank(stranger);
        escrow.depositWithPermit2(address(usdc), payer, 5e6, 7, block.timestamp, signature);
        assertEq(escrow.creditOf(payer, address(usdc)), 5e6);
    }

    function test_deposit_with_permit2_of_another_account_reverts() public {
        bytes memory signature = permit2Signature(5e6);
        vm.expectRevert(bytes("signature"));
        escrow.depositWithPermit2(address(usdc), host, 5e6, 7, block.timestamp, signature);
    }

    function test_deposit_with_permit2_reverts_where_there_is_none() public {
        address[] memory controllers = new address[](1);
        controllers[0] = address(jobs);
        IPaymentEscrow other = IPaymentEscrow(
            deployCode("PaymentEscrow.sol:PaymentEscrow", abi.encode(controllers, address(0), verifier))
        );
        vm.expectRevert(IPaymentEscrow.NoPermit2.selector);
        other.depositWithPermit2(address(usdc), payer, 5e6, 7, block.timestamp, "");
    }

    // ------------------------------------------------------------------------------------------------- hostile

    function hostile(HostileToken.Mode mode) private returns (HostileToken token) {
        token = new HostileToken();
        listToken(address(token));
        token.mint(payer, 1_000);
        vm.prank(payer);
        token.approve(address(escrow), type(uint256).max);
        token.setMode(mode);
    }

    function test_fee_on_transfer_token_is_refused() public {
        HostileToken token = hostile(HostileToken.Mode.FeeOnTransfer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.InexactTransfer.selector, address(token), 1_000, 990));
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
    }

    function test_silent_token_is_refused() public {
        HostileToken token = hostile(HostileToken.Mode.Silent);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.InexactTransfer.selector, address(token), 1_000, 0));
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
    }

    function test_false_returning_token_is_refused() public {
        HostileToken token = hostile(HostileToken.Mode.FalseReturn);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
    }

    function test_token_without_return_value_works() public {
        HostileToken token = hostile(HostileToken.Mode.NoReturn);
        vm.startPrank(payer);
        escrow.deposit(address(token), 1_000);
        escrow.withdraw(address(token), payer, 1_000);
        assertEq(token.balanceOf(payer), 1_000);
    }

    function test_paused_token_blocks_only_itself() public {
        HostileToken token = hostile(HostileToken.Mode.Honest);
        vm.startPrank(payer);
        escrow.deposit(address(token), 1_000);
        escrow.deposit(address(usdc), 5e6);
        token.setMode(HostileToken.Mode.Paused);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        escrow.withdraw(address(token), payer, 1_000);
        escrow.withdraw(address(usdc), payer, 5e6);
        assertEq(escrow.creditOf(payer, address(token)), 1_000);
    }

    function test_blacklisted_owner_can_withdraw_to_another_account() public {
        HostileToken token = hostile(HostileToken.Mode.Honest);
        vm.startPrank(payer);
        escrow.deposit(address(token), 1_000);
        token.setMode(HostileToken.Mode.Blacklisting);
        token.setBlacklisted(payer, true);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        escrow.withdraw(address(token), payer, 1_000);
        escrow.withdraw(address(token), stranger, 1_000);
        assertEq(token.balanceOf(stranger), 1_000);
    }

    function test_rebase_up_is_excess_and_can_be_skimmed() public {
        HostileToken token = hostile(HostileToken.Mode.Honest);
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
        token.setIndex(110);
        assertEq(escrow.skim(address(token)), 100);
        assertEq(escrow.feesOf(address(token)), 100);
    }

    function test_rebase_down_is_no_excess() public {
        HostileToken token = hostile(HostileToken.Mode.Honest);
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
        token.setIndex(90);
        assertEq(escrow.skim(address(token)), 0);
    }
}

/// @notice Takes any authorization and moves nothing.
contract AuthorizingToken {
    function balanceOf(address) external pure returns (uint256) {
        return 0;
    }

    function receiveWithAuthorization(address, address, uint256, uint256, uint256, bytes32, bytes calldata)
        external
        pure { }
}
