// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IPaymaster } from "account-abstraction-v06/interfaces/IPaymaster.sol";
import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";
import { Vm } from "forge-std/Test.sol";

import { TokenPaymasterV06 } from "../../src/paymaster/TokenPaymasterV06.sol";
import { TokenPaymentLib } from "../../src/paymaster/TokenPaymentLib.sol";
import { IPaymasterBase } from "../../src/paymaster/interfaces/IPaymasterBase.sol";
import { ITokenPaymasterBase } from "../../src/paymaster/interfaces/ITokenPaymasterBase.sol";
import { OperationTestV06 } from "../support/account/OperationTestV06.sol";
import { Oracle } from "../support/account/Oracle.sol";
import { TestToken } from "../support/account/TestToken.sol";

/// @notice Gas paid in a token by a wallet that speaks the formats of Coinbase Smart Wallet, on EntryPoint v0.6.
contract TokenPaymasterV06Test is OperationTestV06 {
    uint128 internal constant PRICE = 3_000e6;
    uint32 internal constant POST_OP_GAS = 80_000;
    uint48 internal constant VALID_UNTIL = 1_750_000_600;

    TokenPaymasterV06 internal paymaster;
    TestToken internal token;
    Oracle internal oracle;
    Vm.Wallet internal signer;

    function setUp() public override {
        super.setUp();
        signer = vm.createWallet("signer");
        address[] memory signers = new address[](1);
        signers[0] = signer.addr;
        paymaster = new TokenPaymasterV06(address(entryPoint), address(this), signers);
        paymaster.deposit{ value: 100 ether }();
        token = new TestToken();
        oracle = new Oracle();
        oracle.set(3_000e8, block.timestamp);
        paymaster.setToken(
            address(token), ITokenPaymasterBase.TokenConfig(address(oracle), 1 hours, 1_000, 500, POST_OP_GAS, PRICE)
        );
        token.mint(address(wallet), 1e30);
        vm.prank(address(wallet));
        token.approve(address(paymaster), type(uint256).max);
    }

    function _payment(uint128 price) private view returns (TokenPaymentLib.Payment memory) {
        return TokenPaymentLib.Payment(true, address(token), type(uint128).max, price, VALID_UNTIL, 0);
    }

    function _quoted(UserOperation memory op, Vm.Wallet memory by, uint128 price)
        private
        view
        returns (UserOperation memory)
    {
        bytes memory signature = signBytes(by, paymaster.getHash(op, _payment(price)));
        op.paymasterAndData = bytes.concat(
            bytes20(address(paymaster)),
            abi.encodePacked(uint8(0), token, type(uint128).max, price, VALID_UNTIL, uint48(0)),
            signature
        );
        return sign(op);
    }

    function _priced(UserOperation memory op) private view returns (UserOperation memory) {
        op.paymasterAndData = abi.encodePacked(paymaster, uint8(1), token, type(uint128).max);
        return sign(op);
    }

    function _assertCharged(uint256 before, uint256 cost, uint256 price) private view {
        uint256 charged = before - token.balanceOf(address(wallet));
        assertEq(token.balanceOf(address(paymaster)), charged);
        assertGe(charged * 1 ether, cost * price, "charged below cost");
    }

    function test_gas_is_paid_in_tokens_at_a_signed_price() public {
        uint256 before = token.balanceOf(address(wallet));
        (bool success, uint256 cost) = bundleAndReport(_quoted(newOp(incrementData()), signer, PRICE));
        assertTrue(success);
        assertEq(target.counter(), 2);
        assertEq(address(wallet).balance, 0);
        _assertCharged(before, cost, PRICE);
    }

    function test_gas_is_paid_in_tokens_at_the_oracles_price() public {
        uint256 before = token.balanceOf(address(wallet));
        (bool success, uint256 cost) = bundleAndReport(_priced(newOp(incrementData())));
        assertTrue(success);
        _assertCharged(before, cost, PRICE * 105 / 100);
    }

    function test_price_signed_by_a_stranger_fails_with_aa34() public {
        UserOperation memory op = _quoted(newOp(incrementData()), bob, PRICE);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_stale_oracle_fails_with_aa32() public {
        UserOperation memory op = _priced(newOp(incrementData()));
        vm.warp(block.timestamp + 1 hours + 1);
        expectFailedOp("AA32 paymaster expired or not due");
        bundle(op);
    }

    /// @dev This version gives postOp the verification gas limit.
    function test_too_little_gas_for_settling_is_refused() public {
        UserOperation memory op = newOp(incrementData());
        op.verificationGasLimit = POST_OP_GAS - 1;
        op.paymasterAndData = abi.encodePacked(paymaster, uint8(1), token, type(uint128).max);
        vm.expectRevert(
            abi.encodeWithSelector(ITokenPaymasterBase.PostOpGasTooLow.selector, POST_OP_GAS - 1, POST_OP_GAS)
        );
        vm.prank(address(entryPoint));
        paymaster.validatePaymasterUserOp(op, 0, 1 ether);
    }

    function test_refund_that_cannot_be_sent_is_credited() public {
        vm.mockCallRevert(address(token), abi.encodeWithSelector(token.transfer.selector), "");
        uint256 before = token.balanceOf(address(wallet));
        (bool success, uint256 cost) = bundleAndReport(_quoted(newOp(incrementData()), signer, PRICE));
        assertTrue(success);
        vm.clearMockedCalls();
        uint256 credit = paymaster.creditOf(address(token), address(wallet));
        assertGt(credit, 0);
        uint256 charged = before - token.balanceOf(address(wallet)) - credit;
        assertGe(charged * 1 ether, cost * PRICE);
    }

    /// @dev The second call, after a first one that reverted: it must not depend on the token at all.
    function test_second_call_of_post_op_only_credits() public {
        UserOperation memory op = _quoted(newOp(incrementData()), signer, PRICE);
        vm.startPrank(address(entryPoint));
        (bytes memory context,) = paymaster.validatePaymasterUserOp(op, 0, 1 ether);
        vm.expectCall(address(token), bytes(""), 0);
        paymaster.postOp(IPaymaster.PostOpMode.postOpReverted, context, 0.1 ether);
        vm.stopPrank();
        assertGt(paymaster.creditOf(address(token), address(wallet)), 0);
    }

    function test_only_the_entry_point_may_call_the_hooks() public {
        UserOperation memory op = _priced(newOp(incrementData()));
        vm.expectRevert(abi.encodeWithSelector(IPaymasterBase.NotFromEntryPoint.selector, address(this)));
        paymaster.validatePaymasterUserOp(op, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymasterBase.NotFromEntryPoint.selector, address(this)));
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, "", 0);
    }

    function testFuzz_charge_is_never_below_cost(
        uint32 callGas,
        uint64 maxFee,
        uint64 priority,
        uint64 baseFee,
        uint128 price
    ) public {
        UserOperation memory op = newOp(incrementData());
        op.maxFeePerGas = bound(maxFee, 1, 100 gwei);
        vm.fee(bound(baseFee, 0, op.maxFeePerGas));
        op.maxPriorityFeePerGas = bound(priority, 0, op.maxFeePerGas);
        op.callGasLimit = bound(callGas, 60_000, 5_000_000);
        price = uint128(bound(price, 1, 1e12));
        uint256 before = token.balanceOf(address(wallet));
        (, uint256 cost) = bundleAndReport(_quoted(op, signer, price));
        _assertCharged(before, cost, price);
    }

    function test_legacy_fees_are_charged_as_they_are() public {
        UserOperation memory op = newOp(incrementData());
        op.maxPriorityFeePerGas = op.maxFeePerGas;
        uint256 before = token.balanceOf(address(wallet));
        (, uint256 cost) = bundleAndReport(_quoted(op, signer, PRICE));
        _assertCharged(before, cost, PRICE);
    }
}
