// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { IPaymaster } from "account-abstraction-v08/interfaces/IPaymaster.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { TokenPaymentLib } from "../../src/paymaster/TokenPaymentLib.sol";
import { IPaymasterBase } from "../../src/paymaster/interfaces/IPaymasterBase.sol";
import { ITokenPaymasterBase } from "../../src/paymaster/interfaces/ITokenPaymasterBase.sol";
import { Version } from "../support/account/EntryPoints.sol";
import { TokenPaymasterTest } from "../support/account/TokenPaymasterTest.sol";

/// @notice Gas paid in a token, on one EntryPoint.
abstract contract TokenGas is TokenPaymasterTest {
    function _assertSettled(uint256 before, uint256 cost, uint256 price) private view {
        uint256 charged = before - token.balanceOf(address(account));
        assertEq(token.balanceOf(address(paymaster)), charged);
        assertGe(charged * 1 ether, cost * price, "charged below cost");
        // What is charged for settling and for penalties is an upper bound, and a close one.
        assertLe(charged, inTokens(cost + 90_000 * MAX_FEE, price), "charged far above cost");
        assertEq(paymaster.availableOf(address(token)), charged);
        assertEq(paymaster.totalCreditOf(address(token)), 0);
    }

    function test_gas_is_paid_in_tokens_at_a_signed_price() public {
        uint256 before = token.balanceOf(address(account));
        (bool success, uint256 cost) = bundleAndReport(quoted(tokenOp()));
        assertTrue(success);
        assertEq(target.counter(), 1);
        assertEq(address(account).balance, 0);
        _assertSettled(before, cost, PRICE);
    }

    function test_gas_is_paid_in_tokens_at_the_oracles_price_with_markup() public {
        uint256 before = token.balanceOf(address(account));
        (bool success, uint256 cost) = bundleAndReport(priced(tokenOp()));
        assertTrue(success);
        _assertSettled(before, cost, PRICE * 105 / 100);
    }

    function test_failing_operation_is_paid_for_too() public {
        PackedUserOperation memory op = tokenOp();
        op.callData = abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.fail, (1))));
        uint256 before = token.balanceOf(address(account));
        (bool success, uint256 cost) = bundleAndReport(quoted(op));
        assertFalse(success);
        _assertSettled(before, cost, PRICE);
    }

    /// @dev The operation cannot leave the paymaster unpaid: it was paid before.
    function test_operation_that_sends_its_tokens_away_is_paid_for() public {
        PackedUserOperation memory op = tokenOp();
        op.callData = abi.encodeCall(
            account.execute, (address(token), 0, abi.encodeCall(token.approve, (address(paymaster), 0)))
        );
        uint256 before = token.balanceOf(address(account));
        (, uint256 cost) = bundleAndReport(quoted(op));
        _assertSettled(before, cost, PRICE);
    }

    function test_permit_in_the_same_operation() public {
        vm.prank(address(account));
        token.approve(address(paymaster), 0);
        PackedUserOperation memory op = quote(tokenOp(), signer, PRICE, _permit());
        (bool success,) = bundleAndReport(sign(op, alice));
        assertTrue(success);
        assertEq(token.allowance(address(account), address(paymaster)) < 500e6, true);
    }

    /// @dev Someone brought the permit before us: only the allowance counts.
    function test_permit_that_was_used_does_no_harm() public {
        PackedUserOperation memory op = quote(tokenOp(), signer, PRICE, abi.encodePacked(uint256(1), new bytes(65)));
        (bool success,) = bundleAndReport(sign(op, alice));
        assertTrue(success);
    }

    function _permit() private view returns (bytes memory) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                account,
                paymaster,
                500e6,
                token.nonces(address(account)),
                type(uint256).max
            )
        );
        bytes32 typeHash = keccak256(
            "TypedDataSign(Permit contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        bytes32 wrapped = keccak256(
            abi.encode(
                typeHash,
                structHash,
                keccak256("Fabstir SmartAccount"),
                keccak256("1"),
                block.chainid,
                address(account),
                bytes32(0)
            )
        );
        bytes32 domain = token.DOMAIN_SEPARATOR();
        bytes memory signature = signBytes(alice, keccak256(abi.encodePacked(hex"1901", domain, wrapped)));
        string memory kind = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)";
        return abi.encodePacked(uint256(500e6), signature, domain, structHash, kind, uint16(bytes(kind).length));
    }

    function test_account_without_allowance_or_tokens_is_refused() public {
        PackedUserOperation memory op = quoted(tokenOp());
        vm.prank(address(account));
        token.approve(address(paymaster), 0);
        vm.expectPartialRevert(bytes4(keccak256("FailedOpWithRevert(uint256,string,bytes)")));
        bundle(op);
    }

    function test_price_signed_by_a_stranger_fails_with_aa34() public {
        PackedUserOperation memory op = sign(quote(tokenOp(), bob, PRICE, ""), alice);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_price_changed_after_signing_fails_with_aa34() public {
        PackedUserOperation memory op = quote(tokenOp(), signer, PRICE, "");
        op.paymasterAndData[52 + 52] = 0x01;
        sign(op, alice);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_expired_price_fails_with_aa32() public {
        PackedUserOperation memory op = quoted(tokenOp());
        vm.warp(VALID_UNTIL + 1);
        expectFailedOp("AA32 paymaster expired or not due");
        bundle(op);
    }

    /// @dev Validation reads no clock: the EntryPoint finds the price too old.
    function test_stale_oracle_fails_with_aa32() public {
        PackedUserOperation memory op = priced(tokenOp());
        vm.warp(block.timestamp + 1 hours + 1);
        expectFailedOp("AA32 paymaster expired or not due");
        bundle(op);
        vm.warp(block.timestamp - 1);
        bundle(op);
    }

    function _refuse(PackedUserOperation memory op, bytes memory reason) private {
        expectFailedOp("AA33 reverted", reason);
        bundle(op);
    }

    function test_oracle_that_deviates_is_refused() public {
        oracle.set(3_300e8, block.timestamp);
        bundle(priced(tokenOp()));
        oracle.set(3_301e8, block.timestamp);
        _refuse(priced(tokenOp()), abi.encodeWithSelector(ITokenPaymasterBase.PriceDeviates.selector, 3_301e6, PRICE));
        oracle.set(2_699e8, block.timestamp);
        _refuse(priced(tokenOp()), abi.encodeWithSelector(ITokenPaymasterBase.PriceDeviates.selector, 2_699e6, PRICE));
    }

    function test_oracle_without_a_price_is_refused() public {
        int256[3] memory answers = [int256(0), -1, int256(uint256(type(uint128).max)) + 1];
        for (uint256 i; i < answers.length; ++i) {
            oracle.set(answers[i], block.timestamp);
            _refuse(priced(tokenOp()), abi.encodeWithSelector(ITokenPaymasterBase.InvalidPrice.selector));
        }
    }

    function test_signed_price_of_zero_is_refused() public {
        PackedUserOperation memory op = sign(quote(tokenOp(), signer, 0, ""), alice);
        _refuse(op, abi.encodeWithSelector(ITokenPaymasterBase.InvalidPrice.selector));
    }

    function test_sender_limits_what_it_pays() public {
        PackedUserOperation memory op = priced(tokenOp(), 1, "");
        uint256 maxCost = (300_000 + 100_000 + 60_000 + 300_000 + POST_OP_LIMIT) * MAX_FEE;
        uint256 worst = inTokens(maxCost, uint256(PRICE) * 105 / 100);
        _refuse(op, abi.encodeWithSelector(ITokenPaymasterBase.TooManyTokens.selector, worst, 1));
        bundle(priced(tokenOp(), uint128(worst), ""));
    }

    function test_too_little_gas_for_settling_is_refused() public {
        PackedUserOperation memory op = tokenOp();
        op.paymasterAndData =
            bytes.concat(prefix(POST_OP_GAS - 1), abi.encodePacked(uint8(1), token, type(uint128).max));
        sign(op, alice);
        _refuse(op, abi.encodeWithSelector(ITokenPaymasterBase.PostOpGasTooLow.selector, POST_OP_GAS - 1, POST_OP_GAS));
    }

    function test_token_that_is_not_accepted_is_refused() public {
        paymaster.removeToken(address(token));
        bytes memory reason = abi.encodeWithSelector(ITokenPaymasterBase.TokenNotAccepted.selector, token);
        _refuse(priced(tokenOp()), reason);
        _refuse(quoted(tokenOp()), reason);
    }

    function test_token_without_an_oracle_takes_signed_prices_only() public {
        ITokenPaymasterBase.TokenConfig memory config = tokenConfig();
        config.oracle = address(0);
        paymaster.setToken(address(token), config);
        _refuse(priced(tokenOp()), abi.encodeWithSelector(ITokenPaymasterBase.TokenNotAccepted.selector, token));
        bundle(quoted(tokenOp()));
    }

    function test_malformed_data_is_refused() public {
        bytes[4] memory bad = [
            bytes(""),
            new bytes(36),
            abi.encodePacked(uint8(2), token, type(uint128).max),
            abi.encodePacked(uint8(0), new bytes(128))
        ];
        for (uint256 i; i < bad.length; ++i) {
            PackedUserOperation memory op = tokenOp();
            op.paymasterAndData = bytes.concat(prefix(POST_OP_LIMIT), bad[i]);
            sign(op, alice);
            _refuse(op, abi.encodeWithSelector(ITokenPaymasterBase.InvalidPaymasterData.selector));
        }
    }

    /// @dev Whatever the limits and fees: what is kept is worth at least what the EntryPoint took.
    function testFuzz_charge_is_never_below_cost(
        uint32 callGas,
        uint32 postOpGas,
        uint64 maxFee,
        uint64 priority,
        uint64 baseFee,
        uint128 price,
        bool fails
    ) public {
        PackedUserOperation memory op = tokenOp();
        uint256 fee = bound(maxFee, 1, 100 gwei);
        vm.fee(bound(baseFee, 0, fee));
        op.gasFees = packUints(bound(priority, 0, fee), fee);
        op.accountGasLimits = packUints(300_000, bound(callGas, 40_000, 5_000_000));
        if (fails) {
            op.callData = abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.fail, (1))));
        }
        price = uint128(bound(price, 1, 1e12));
        token.mint(address(account), 1e30);
        uint128 limit = uint128(bound(postOpGas, POST_OP_GAS, 1_000_000));
        op.paymasterAndData = prefix(limit);
        _quoteAt(op, price);
        uint256 before = token.balanceOf(address(account));
        (, uint256 cost) = bundleAndReport(sign(op, alice));
        uint256 charged = before - token.balanceOf(address(account));
        assertGe(charged * 1 ether, cost * price);
        assertEq(token.balanceOf(address(paymaster)), charged);
    }

    function _quoteAt(PackedUserOperation memory op, uint128 price) private view {
        bytes memory head = op.paymasterAndData;
        PackedUserOperation memory with = quote(op, signer, price, "");
        // `quote` sets its own limits; sign again under these.
        bytes memory data = with.paymasterAndData;
        for (uint256 i; i < head.length; ++i) {
            data[i] = head[i];
        }
        op.paymasterAndData = data;
        bytes memory signature = signBytes(signer, paymaster.getHash(op, _payment(price)));
        for (uint256 i; i < 65; ++i) {
            data[52 + 65 + i] = signature[i];
        }
    }

    function _payment(uint128 price) private view returns (TokenPaymentLib.Payment memory) {
        return TokenPaymentLib.Payment(true, address(token), type(uint128).max, price, VALID_UNTIL, 0);
    }
}

contract TokenGasV07 is TokenGas {
    function _version() internal pure override returns (Version) {
        return Version.V07;
    }
}

contract TokenGasV08 is TokenGas { }

contract TokenGasV09 is TokenGas {
    function _version() internal pure override returns (Version) {
        return Version.V09;
    }
}

/// @notice What the owner may do, and what waits for others.
contract TokenPaymasterMoney is TokenPaymasterTest {
    function _creditRefund() private returns (uint256 credit) {
        vm.mockCallRevert(address(token), abi.encodeWithSelector(token.transfer.selector), "paused");
        (bool success,) = bundleAndReport(quoted(tokenOp()));
        assertTrue(success, "a refund that fails must not undo the operation");
        vm.clearMockedCalls();
        credit = paymaster.creditOf(address(token), address(account));
        assertGt(credit, 0);
    }

    function test_refund_that_cannot_be_sent_is_credited_and_claimed_once() public {
        uint256 credit = _creditRefund();
        assertEq(paymaster.totalCreditOf(address(token)), credit);
        uint256 before = token.balanceOf(address(account));
        vm.startPrank(address(account));
        paymaster.claimRefund(address(token));
        assertEq(token.balanceOf(address(account)), before + credit);
        vm.expectRevert(ITokenPaymasterBase.NothingToClaim.selector);
        paymaster.claimRefund(address(token));
        vm.stopPrank();
        assertEq(paymaster.totalCreditOf(address(token)), 0);
    }

    function test_owner_cannot_take_what_waits_for_others() public {
        uint256 credit = _creditRefund();
        uint256 available = token.balanceOf(address(paymaster)) - credit;
        assertEq(paymaster.availableOf(address(token)), available);
        vm.expectRevert(abi.encodeWithSelector(ITokenPaymasterBase.NotAvailable.selector, available));
        paymaster.withdrawToken(address(token), bob.addr, available + 1);
        paymaster.withdrawToken(address(token), bob.addr, available);
        assertEq(token.balanceOf(bob.addr), available);
        vm.prank(address(account));
        paymaster.claimRefund(address(token));
        assertEq(token.balanceOf(address(paymaster)), 0);
    }

    /// @dev The owner's own operation, in the same bundle, while another's worst case is held.
    function test_owner_cannot_take_what_is_held_for_an_operation() public {
        paymaster.transferOwnership(address(account));
        vm.prank(address(account));
        paymaster.acceptOwnership();
        PackedUserOperation memory op = tokenOp();
        op.callData = abi.encodeCall(
            account.execute,
            (address(paymaster), 0, abi.encodeCall(paymaster.withdrawToken, (address(token), bob.addr, 1)))
        );
        (bool success,) = bundleAndReport(quoted(op));
        assertFalse(success);
        assertEq(token.balanceOf(bob.addr), 0);
    }

    function test_tokens_are_set_and_removed_by_the_owner() public {
        vm.expectEmit(address(paymaster));
        emit ITokenPaymasterBase.TokenRemoved(address(token));
        paymaster.removeToken(address(token));
        assertEq(paymaster.getToken(address(token)).postOpGas, 0);
        vm.expectEmit(address(paymaster));
        emit ITokenPaymasterBase.TokenSet(address(token), tokenConfig());
        paymaster.setToken(address(token), tokenConfig());
        assertEq(paymaster.getToken(address(token)).postOpGas, POST_OP_GAS);
        (uint256 price, uint48 validUntil) = paymaster.getOraclePrice(address(token));
        assertEq(price, 3_150e6);
        assertEq(validUntil, block.timestamp + 1 hours);
    }

    function _refuseConfig(ITokenPaymasterBase.TokenConfig memory config, address of_) private {
        vm.expectRevert(abi.encodeWithSelector(ITokenPaymasterBase.InvalidTokenConfig.selector, of_));
        paymaster.setToken(of_, config);
    }

    function test_configuration_that_cannot_work_is_refused() public {
        ITokenPaymasterBase.TokenConfig memory config = tokenConfig();
        _refuseConfig(config, bob.addr);
        config.postOpGas = 0;
        _refuseConfig(config, address(token));
        config = tokenConfig();
        config.oracle = bob.addr;
        _refuseConfig(config, address(token));
        config = tokenConfig();
        config.maxAge = 0;
        _refuseConfig(config, address(token));
        config = tokenConfig();
        config.referencePrice = 0;
        _refuseConfig(config, address(token));
        config = tokenConfig();
        config.maxDeviationBps = 10_000;
        _refuseConfig(config, address(token));
    }

    function test_strangers_may_do_none_of_it() public {
        bytes memory reason = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, bob.addr);
        vm.startPrank(bob.addr);
        vm.expectRevert(reason);
        paymaster.setToken(address(token), tokenConfig());
        vm.expectRevert(reason);
        paymaster.removeToken(address(token));
        vm.expectRevert(reason);
        paymaster.withdrawToken(address(token), bob.addr, 0);
        reason = abi.encodeWithSelector(IPaymasterBase.NotFromEntryPoint.selector, bob.addr);
        PackedUserOperation memory op = quoted(tokenOp());
        vm.expectRevert(reason);
        paymaster.validatePaymasterUserOp(op, 0, 0);
        vm.expectRevert(reason);
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, "", 0, 0);
        vm.stopPrank();
    }

    function test_hash_is_the_eip712_hash_of_the_published_type() public view {
        PackedUserOperation memory op = tokenOp();
        op.paymasterAndData = prefix(POST_OP_LIMIT);
        bytes memory first = abi.encode(0x20, op.sender, op.nonce, uint256(16 * 32), uint256(17 * 32), 300_000, 100_000);
        bytes memory second = abi.encode(
            op.preVerificationGas, PRIORITY_FEE, MAX_FEE, 300_000, POST_OP_LIMIT, VALID_UNTIL, 0, entryPoint
        );
        bytes memory data = bytes.concat(
            first,
            second,
            abi.encode(token, PRICE, 0, op.callData.length),
            op.callData,
            new bytes((32 - op.callData.length % 32) % 32)
        );
        bytes32 structHash = vm.eip712HashStruct(paymaster.TOKEN_PAYMENT_TYPE(), data);
        (, string memory name,, uint256 chainId, address verifyingContract,,) = paymaster.eip712Domain();
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Fabstir TokenPaymaster"),
                keccak256("1"),
                chainId,
                verifyingContract
            )
        );
        assertEq(name, "Fabstir TokenPaymaster");
        TokenPaymentLib.Payment memory payment =
            TokenPaymentLib.Payment(true, address(token), type(uint128).max, PRICE, VALID_UNTIL, 0);
        assertEq(paymaster.getHash(op, payment), keccak256(abi.encodePacked(hex"1901", domain, structHash)));
    }

    /// @dev More than was held is never kept, and what was held is never given back twice.
    function test_settling_is_capped_at_what_was_held() public {
        PackedUserOperation memory op = quoted(tokenOp());
        vm.startPrank(address(entryPoint));
        (bytes memory context,) = paymaster.validatePaymasterUserOp(op, 0, 0.001 ether);
        assertEq(paymaster.availableOf(address(token)), 0);
        uint256 held = token.balanceOf(address(paymaster));
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, context, 1 ether, 1 gwei);
        assertEq(paymaster.availableOf(address(token)), held);
        vm.expectRevert();
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, context, 0, 0);
        vm.stopPrank();
    }
}
