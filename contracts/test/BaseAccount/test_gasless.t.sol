// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { VerifyingPaymaster } from "../../src/paymaster/VerifyingPaymaster.sol";
import { ISignerSet } from "../../src/paymaster/interfaces/ISignerSet.sol";
import { IVerifyingPaymaster } from "../../src/paymaster/interfaces/IVerifyingPaymaster.sol";
import { Version } from "../support/account/EntryPoints.sol";
import { SponsorTest } from "../support/account/SponsorTest.sol";

/// @notice Operations of accounts that never hold native currency.
abstract contract Gasless is SponsorTest {
    SmartAccount internal account;

    function setUp() public override {
        super.setUp();
        account = deployAccount(alice);
        vm.deal(address(account), 0);
    }

    function _increment() internal view returns (bytes memory) {
        return abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.increment, ())));
    }

    function _op() internal view returns (PackedUserOperation memory) {
        return newOp(address(account), _increment());
    }

    function test_sponsored_operation_costs_the_account_nothing() public {
        uint256 before = paymaster.getDeposit();
        (bool success, uint256 cost) = bundleAndReport(sign(sponsor(_op()), alice));
        assertTrue(success);
        assertEq(target.counter(), 1);
        assertEq(before - paymaster.getDeposit(), cost);
        assertEq(address(account).balance, 0);
        assertEq(entryPoint.balanceOf(address(account)), 0);
    }

    function test_account_is_created_and_used_without_native_currency() public {
        address predicted = factory.getAddress(ownersOf(bob.addr), 3);
        PackedUserOperation memory op = newOp(predicted, _increment());
        op.initCode = initCodeOf(ownersOf(bob.addr), 3);
        (bool success,) = bundleAndReport(sign(sponsor(op), bob));
        assertTrue(success);
        assertEq(target.lastCaller(), predicted);
        assertEq(predicted.balance, 0);
    }

    function test_paymaster_pays_for_a_failing_operation_too() public {
        PackedUserOperation memory op = newOp(
            address(account), abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.fail, (1))))
        );
        uint256 before = paymaster.getDeposit();
        (bool success, uint256 cost) = bundleAndReport(sign(sponsor(op), alice));
        assertFalse(success);
        assertEq(before - paymaster.getDeposit(), cost);
    }

    function test_stranger_as_signer_fails_with_aa34() public {
        PackedUserOperation memory op = sign(sponsor(_op(), bob, VALID_UNTIL, VALID_AFTER), alice);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_garbage_as_signature_fails_with_aa34() public {
        PackedUserOperation memory op = _op();
        op.paymasterAndData = bytes.concat(paymasterPrefix(), abi.encodePacked(VALID_UNTIL, VALID_AFTER), new bytes(65));
        sign(op, alice);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_removed_signer_fails_with_aa34() public {
        PackedUserOperation memory op = sign(sponsor(_op()), alice);
        vm.prank(treasurer);
        paymaster.removeSigner(signer.addr);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_expired_sponsorship_fails_with_aa32() public {
        PackedUserOperation memory op = sign(sponsor(_op()), alice);
        vm.warp(uint256(VALID_UNTIL) + 1);
        expectFailedOp("AA32 paymaster expired or not due");
        bundle(op);
    }

    function test_early_sponsorship_fails_with_aa32() public {
        PackedUserOperation memory op = sign(sponsor(_op()), alice);
        vm.warp(VALID_AFTER - 1);
        expectFailedOp("AA32 paymaster expired or not due");
        bundle(op);
    }

    function test_sponsorship_without_end_is_possible() public {
        PackedUserOperation memory op = sign(sponsor(_op(), signer, 0, 0), alice);
        vm.warp(block.timestamp + 365 days);
        bundle(op);
        assertEq(target.counter(), 1);
    }

    function test_data_of_wrong_length_reverts_with_its_length() public {
        uint256[4] memory lengths = [uint256(52), 64, 128, 130];
        for (uint256 i; i < lengths.length; ++i) {
            PackedUserOperation memory op = _op();
            op.paymasterAndData = bytes.concat(paymasterPrefix(), new bytes(lengths[i] - 52));
            sign(op, alice);
            expectFailedOp(
                "AA33 reverted",
                abi.encodeWithSelector(IVerifyingPaymaster.InvalidPaymasterDataLength.selector, lengths[i])
            );
            bundle(op);
        }
    }

    function test_paymaster_without_deposit_fails_with_aa31() public {
        PackedUserOperation memory op = sign(sponsor(_op()), alice);
        uint256 all = paymaster.getDeposit();
        vm.prank(treasurer);
        paymaster.withdrawTo(payable(treasurer), all);
        expectFailedOp("AA31 paymaster deposit too low");
        bundle(op);
    }

    /// @dev Changes one field after the paymaster signed. The account signs last, so only the paymaster can object.
    function test_changing_any_field_after_sponsoring_fails_with_aa34() public {
        for (uint256 field; field < 11; ++field) {
            PackedUserOperation memory op = _change(sponsor(_op()), field);
            sign(op, alice);
            expectFailedOp("AA34 signature error");
            bundle(op);
        }
    }

    function _change(PackedUserOperation memory op, uint256 field) private view returns (PackedUserOperation memory) {
        if (field == 0) op.nonce = entryPoint.getNonce(address(account), 1);
        if (field == 1) op.callData = bytes.concat(op.callData, hex"00");
        if (field == 2) op.accountGasLimits = packUints(500_001, 500_000);
        if (field == 3) op.accountGasLimits = packUints(500_000, 500_001);
        if (field == 4) op.preVerificationGas += 1;
        if (field == 5) op.gasFees = packUints(PRIORITY_FEE + 1, MAX_FEE);
        if (field == 6) op.gasFees = packUints(PRIORITY_FEE, MAX_FEE + 1);
        if (field == 7) op.paymasterAndData[35] = 0xa1;
        if (field == 8) op.paymasterAndData[51] = 0x01;
        if (field == 9) op.paymasterAndData[57] = 0xff;
        if (field == 10) op.paymasterAndData[63] = 0x01;
        return op;
    }

    function test_sender_is_under_the_signature() public {
        SmartAccount other = factory.createAccount(ownersOf(alice.addr), 1);
        PackedUserOperation memory op = sponsor(_op());
        op.sender = address(other);
        sign(op, alice);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_init_code_is_under_the_signature() public {
        bytes[] memory owners = ownersOf(bob.addr);
        PackedUserOperation memory op = newOp(factory.getAddress(owners, 0), _increment());
        op.initCode = initCodeOf(owners, 0);
        sponsor(op);
        // Same account, but the call to the factory carries one more byte.
        op.initCode = bytes.concat(op.initCode, hex"00");
        sign(op, bob);
        expectFailedOp("AA34 signature error");
        bundle(op);
    }

    function test_sponsorship_is_bound_to_chain_and_paymaster() public {
        PackedUserOperation memory op = _op();
        op.paymasterAndData = paymasterPrefix();
        bytes32 hash = paymaster.getHash(op, 0, 0);
        vm.chainId(424_242);
        assertNotEq(paymaster.getHash(op, 0, 0), hash);
        vm.chainId(31_337);
        assertEq(paymaster.getHash(op, 0, 0), hash);
        paymaster = new VerifyingPaymaster(address(entryPoint), treasurer, new address[](0));
        assertNotEq(paymaster.getHash(op, 0, 0), hash);
    }

    function test_hash_is_the_eip712_hash_of_the_published_type() public view {
        PackedUserOperation memory op = _op();
        op.paymasterAndData = paymasterPrefix();
        bytes memory head = abi.encode(
            keccak256(bytes(paymaster.SPONSORSHIP_TYPE())),
            op.sender,
            op.nonce,
            keccak256(op.initCode),
            keccak256(op.callData)
        );
        bytes memory gas = abi.encode(500_000, 500_000, op.preVerificationGas, PRIORITY_FEE, MAX_FEE, 100_000, 0);
        bytes memory tail = abi.encode(VALID_UNTIL, VALID_AFTER, entryPoint);
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
            paymaster.getHash(op, VALID_UNTIL, VALID_AFTER),
            keccak256(abi.encodePacked(hex"1901", domain, keccak256(bytes.concat(head, gas, tail))))
        );
    }

    function test_new_signer_sponsors_only_after_its_proof() public {
        vm.prank(treasurer);
        paymaster.proposeSigner(bob.addr);
        PackedUserOperation memory op = sign(sponsor(_op(), bob, 0, 0), alice);
        expectFailedOp("AA34 signature error");
        bundle(op);
        bytes memory proof = signBytes(bob, paymaster.getAcceptSignerHash(bob.addr));
        vm.expectEmit(address(paymaster));
        emit ISignerSet.SignerAdded(bob.addr);
        paymaster.acceptSigner(bob.addr, proof);
        bundle(op);
        assertEq(target.counter(), 1);
        // The old signer still counts: a rotation never leaves a moment without one.
        bundle(sign(sponsor(_op()), alice));
        assertEq(target.counter(), 2);
    }
}

contract GaslessV07 is Gasless {
    function _version() internal pure override returns (Version) {
        return Version.V07;
    }
}

contract GaslessV08 is Gasless { }

contract GaslessV09 is Gasless {
    function _version() internal pure override returns (Version) {
        return Version.V09;
    }

    /// @dev `uint16 length ‖ magic`: with it, the EntryPoint leaves the paymaster's signature out of the hash.
    bytes internal constant SUFFIX = hex"004122e325a297439656";

    function _parallel() private view returns (PackedUserOperation memory op) {
        op = _op();
        bytes memory times = abi.encodePacked(VALID_UNTIL, VALID_AFTER);
        // The account signs first, over a signature of the paymaster that is not there yet.
        op.paymasterAndData = bytes.concat(paymasterPrefix(), times, new bytes(65), SUFFIX);
        sign(op, alice);
        bytes memory signature = signBytes(signer, paymaster.getHash(op, VALID_UNTIL, VALID_AFTER));
        op.paymasterAndData = bytes.concat(paymasterPrefix(), times, signature, SUFFIX);
    }

    function test_paymaster_may_sign_after_the_account() public {
        bundle(_parallel());
        assertEq(target.counter(), 1);
    }

    function test_suffix_of_another_length_or_magic_is_refused() public {
        PackedUserOperation memory op = _parallel();
        op.paymasterAndData[130] = 0x40;
        vm.prank(address(entryPoint));
        vm.expectRevert(abi.encodeWithSelector(IVerifyingPaymaster.InvalidPaymasterDataLength.selector, 139));
        paymaster.validatePaymasterUserOp(op, 0, 0);
    }
}
