// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { WebAuthn } from "@openzeppelin/contracts/utils/cryptography/WebAuthn.sol";
import { IEntryPoint } from "account-abstraction-v06/interfaces/IEntryPoint.sol";
import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";
import { Test, Vm } from "forge-std/Test.sol";

import { CoinbaseFormatWallet } from "./CoinbaseFormatWallet.sol";
import { EntryPoints, Version } from "./EntryPoints.sol";
import { Passkeys } from "./Passkeys.sol";
import { Target } from "./Target.sol";

/// @title OperationTestV06
/// @notice Builds, signs and bundles operations of EntryPoint v0.6, through the canonical EntryPoint.
abstract contract OperationTestV06 is Test, EntryPoints, Passkeys {
    uint256 internal constant MAX_FEE = 2 gwei;
    uint256 internal constant PRIORITY_FEE = 1 gwei;
    bytes32 internal constant USER_OPERATION_EVENT =
        keccak256("UserOperationEvent(bytes32,address,address,uint256,bool,uint256,uint256)");

    IEntryPoint internal entryPoint;
    CoinbaseFormatWallet internal wallet;
    Target internal target;
    Vm.Wallet internal alice;
    Vm.Wallet internal bob;
    Passkey internal phone;
    address internal bundler;
    address payable internal beneficiary;

    function setUp() public virtual {
        vm.fee(1 gwei);
        vm.warp(1_750_000_000);
        entryPoint = IEntryPoint(deployEntryPoint(Version.V06));
        target = new Target();
        alice = vm.createWallet("alice");
        bob = vm.createWallet("bob");
        phone = newPasskey("phone");
        bundler = makeAddr("bundler");
        beneficiary = payable(makeAddr("beneficiary"));
        bytes[] memory owners = new bytes[](2);
        owners[0] = abi.encode(alice.addr);
        owners[1] = keyBytes(phone);
        wallet = new CoinbaseFormatWallet(address(entryPoint), owners);
    }

    function newOp(bytes memory callData) internal view returns (UserOperation memory op) {
        op.sender = address(wallet);
        op.nonce = entryPoint.getNonce(address(wallet), 0);
        op.callData = callData;
        op.callGasLimit = 300_000;
        // Coinbase Smart Wallet asks for this much for passkeys, and gets it.
        op.verificationGasLimit = 800_000;
        op.preVerificationGas = 60_000;
        op.maxFeePerGas = MAX_FEE;
        op.maxPriorityFeePerGas = PRIORITY_FEE;
    }

    function incrementData() internal view returns (bytes memory) {
        CoinbaseFormatWallet.Call[] memory calls = new CoinbaseFormatWallet.Call[](2);
        calls[0] = CoinbaseFormatWallet.Call(address(target), 0, abi.encodeCall(target.increment, ()));
        calls[1] = calls[0];
        return abi.encodeCall(wallet.executeBatch, (calls));
    }

    function signBytes(Vm.Wallet memory signer, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signer.privateKey, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev Signed by the wallet's owner 0.
    function sign(UserOperation memory op) internal view returns (UserOperation memory) {
        bytes memory signature = signBytes(alice, entryPoint.getUserOpHash(op));
        op.signature = abi.encode(CoinbaseFormatWallet.SignatureWrapper(0, signature));
        return op;
    }

    /// @dev Signed by the wallet's owner 1, a passkey, in the struct's order of that wallet.
    function signWithPasskey(UserOperation memory op) internal view returns (UserOperation memory) {
        WebAuthn.WebAuthnAuth memory auth = assertion(phone, entryPoint.getUserOpHash(op), 0x01, "webauthn.get");
        bytes memory signature = abi.encode(
            CoinbaseFormatWallet.WebAuthnAuth(
                auth.authenticatorData,
                auth.clientDataJSON,
                auth.challengeIndex,
                auth.typeIndex,
                uint256(auth.r),
                uint256(auth.s)
            )
        );
        op.signature = abi.encode(CoinbaseFormatWallet.SignatureWrapper(1, signature));
        return op;
    }

    function bundle(UserOperation memory op) internal {
        UserOperation[] memory ops = new UserOperation[](1);
        ops[0] = op;
        vm.prank(bundler, bundler);
        entryPoint.handleOps(ops, beneficiary);
    }

    function bundleAndReport(UserOperation memory op) internal returns (bool success, uint256 actualGasCost) {
        vm.recordLogs();
        bundle(op);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == USER_OPERATION_EVENT) {
                (, success, actualGasCost,) = abi.decode(logs[i].data, (uint256, bool, uint256, uint256));
                return (success, actualGasCost);
            }
        }
        revert("no UserOperationEvent");
    }

    function expectFailedOp(string memory reason) internal {
        vm.expectRevert(abi.encodeWithSelector(IEntryPoint.FailedOp.selector, 0, reason));
    }
}
