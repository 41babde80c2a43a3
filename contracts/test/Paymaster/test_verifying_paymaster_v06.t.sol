// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IPaymaster } from "account-abstraction-v06/interfaces/IPaymaster.sol";
import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";
import { Vm } from "forge-std/Test.sol";

import { VerifyingPaymasterV06 } from "../../src/paymaster/VerifyingPaymasterV06.sol";
import { IPaymasterBase } from "../../src/paymaster/interfaces/IPaymasterBase.sol";
import { IVerifyingPaymasterV06 } from "../../src/paymaster/interfaces/IVerifyingPaymasterV06.sol";
import { OperationTestV06 } from "../support/account/OperationTestV06.sol";

/// @notice Sponsoring a wallet that speaks the formats of Coinbase Smart Wallet, on EntryPoint v0.6.
contract VerifyingPaymasterV06Test is OperationTestV06 {
    uint48 internal constant VALID_UNTIL = 1_750_000_600;
    uint48 internal constant VALID_AFTER = 1_749_999_900;

    VerifyingPaymasterV06 internal paymaster;
    Vm.Wallet internal signer;

    function setUp() public override {
        super.setUp();
        signer = vm.createWallet("signer");
        address[] memory signers = new address[](1);
        signers[0] = signer.addr;
        paymaster = new VerifyingPaymasterV06(address(entryPoint), address(this), signers);
        paymaster.deposit{ value: 10 ether }();
        paymaster.addStake{ value: 1 ether }(1 days);
    }

    function _sponsor(UserOperation memory op, Vm.Wallet memory by) private view returns (UserOperation memory) {
        bytes32 digest = paymaster.getHash(op, VALID_UNTIL, VALID_AFTER);
        op.paymasterAndData = abi.encodePacked(paymaster, VALID_UNTIL, VALID_AFTER, signBytes(by, digest));
        return op;
    }

    function test_wallet_of_an_address_is_sponsored() public {
        uint256 before = paymaster.getDeposit();
        (bool success, uint256 cost) = bundleAndReport(sign(_sponsor(newOp(incrementData()), signer)));
        assertTrue(success);
        assertEq(target.counter(), 2);
        assertEq(before - paymaster.getDeposit(), cost);
        assertEq(address(wallet).balance, 0);
    }

    function test_wallet_of_a_passkey_is_sponsored() public {
        (bool success,) = bundleAndReport(signWithPasskey(_sponsor(newOp(incrementData()), signer)));
        assertTrue(success);
        assertEq(target.counter(), 2);
    }

    function test_any_bundler_may_carry_it() public {
        bundler = makeAddr("somebody else's bundler");
        bundle(sign(_sponsor(newOp(incrementData()), signer)));
        assertEq(target.counter(), 2);
    }

    function test_stranger_as_signer_fails_with_aa34() public {
        UserOperation memory op = sign(_sponsor(newOp(incrementData()), bob));
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_expired_sponsorship_fails_with_aa32() public {
        UserOperation memory op = sign(_sponsor(newOp(incrementData()), signer));
        vm.warp(VALID_UNTIL + 1);
        expectFailedOp("AA32 paymaster expired or not due");
        bundle(op);
    }

    function test_changing_any_field_after_sponsoring_fails_with_aa34() public {
        for (uint256 field; field < 8; ++field) {
            UserOperation memory op = _sponsor(newOp(incrementData()), signer);
            if (field == 0) op.nonce = 1 << 64;
            if (field == 1) op.callData = bytes.concat(op.callData, hex"00");
            if (field == 2) op.callGasLimit += 1;
            if (field == 3) op.verificationGasLimit += 1;
            if (field == 4) op.preVerificationGas += 1;
            if (field == 5) op.maxFeePerGas += 1;
            if (field == 6) op.maxPriorityFeePerGas += 1;
            if (field == 7) op.paymasterAndData[25] = 0xff;
            sign(op);
            expectFailedOp("AA34 signature error");
            bundle(op);
        }
    }

    function test_sender_init_code_and_chain_are_under_the_signature() public {
        UserOperation memory op = newOp(incrementData());
        bytes32 hash = paymaster.getHash(op, 0, 0);
        op.sender = address(this);
        assertNotEq(paymaster.getHash(op, 0, 0), hash);
        op.sender = address(wallet);
        op.initCode = hex"01";
        assertNotEq(paymaster.getHash(op, 0, 0), hash);
        op.initCode = "";
        assertEq(paymaster.getHash(op, 0, 0), hash);
        vm.chainId(424_242);
        assertNotEq(paymaster.getHash(op, 0, 0), hash);
    }

    function test_data_of_wrong_length_is_refused() public {
        uint256[3] memory lengths = [uint256(20), 96, 107];
        for (uint256 i; i < lengths.length; ++i) {
            UserOperation memory op = newOp(incrementData());
            op.paymasterAndData = bytes.concat(bytes20(address(paymaster)), new bytes(lengths[i] - 20));
            vm.expectRevert(
                abi.encodeWithSelector(IVerifyingPaymasterV06.InvalidPaymasterDataLength.selector, lengths[i])
            );
            vm.prank(address(entryPoint));
            paymaster.validatePaymasterUserOp(op, 0, 0);
        }
    }

    function test_only_the_entry_point_may_call_the_hooks() public {
        UserOperation memory op = _sponsor(newOp(incrementData()), signer);
        vm.expectRevert(abi.encodeWithSelector(IPaymasterBase.NotFromEntryPoint.selector, address(this)));
        paymaster.validatePaymasterUserOp(op, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymasterBase.NotFromEntryPoint.selector, address(this)));
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, "", 0);
        vm.expectRevert(IVerifyingPaymasterV06.UnexpectedPostOp.selector);
        vm.prank(address(entryPoint));
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, "", 0);
    }

    function test_hash_is_the_eip712_hash_of_the_published_type() public view {
        UserOperation memory op = newOp(incrementData());
        bytes memory words = abi.encode(
            op.sender,
            op.nonce,
            op.initCode,
            op.callData,
            op.callGasLimit,
            op.verificationGasLimit,
            op.preVerificationGas,
            op.maxFeePerGas,
            op.maxPriorityFeePerGas,
            VALID_UNTIL,
            VALID_AFTER,
            entryPoint
        );
        bytes32 structHash = vm.eip712HashStruct(paymaster.SPONSORSHIP_TYPE(), bytes.concat(abi.encode(0x20), words));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Fabstir VerifyingPaymaster"),
                keccak256("1"),
                block.chainid,
                paymaster
            )
        );
        assertEq(
            paymaster.getHash(op, VALID_UNTIL, VALID_AFTER), keccak256(abi.encodePacked(hex"1901", domain, structHash))
        );
    }
}
