// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { IEntryPoint } from "account-abstraction-v08/interfaces/IEntryPoint.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";
import { Test, Vm } from "forge-std/Test.sol";

import { SmartAccount } from "../../../src/account/SmartAccount.sol";
import { SmartAccountFactory } from "../../../src/account/SmartAccountFactory.sol";
import { EntryPoints, Version } from "./EntryPoints.sol";
import { Target } from "./Target.sol";

/// @title OperationTest
/// @notice Builds, signs and bundles operations of EntryPoint v0.7 and later, through the real EntryPoint.
abstract contract OperationTest is Test, EntryPoints {
    uint256 internal constant MAX_FEE = 2 gwei;
    uint256 internal constant PRIORITY_FEE = 1 gwei;

    IEntryPoint internal entryPoint;
    SmartAccount internal implementation;
    SmartAccountFactory internal factory;
    Target internal target;

    Vm.Wallet internal alice;
    Vm.Wallet internal bob;
    address internal bundler;
    address payable internal beneficiary;

    /// @dev Which EntryPoint the test contract runs on.
    function _version() internal pure virtual returns (Version) {
        return Version.V08;
    }

    function setUp() public virtual {
        vm.fee(1 gwei);
        vm.warp(1_750_000_000);
        entryPoint = IEntryPoint(deployEntryPoint(_version()));
        implementation = new SmartAccount(address(entryPoint));
        factory = new SmartAccountFactory(address(implementation));
        target = new Target();
        alice = vm.createWallet("alice");
        bob = vm.createWallet("bob");
        bundler = makeAddr("bundler");
        beneficiary = payable(makeAddr("beneficiary"));
        vm.deal(bundler, 100 ether);
    }

    function ownerBytes(address owner) internal pure returns (bytes memory) {
        return abi.encode(owner);
    }

    function ownersOf(address owner) internal pure returns (bytes[] memory owners) {
        owners = new bytes[](1);
        owners[0] = ownerBytes(owner);
    }

    /// @dev A deployed account of one ECDSA owner, with money to pay for gas.
    function deployAccount(Vm.Wallet memory owner) internal returns (SmartAccount account) {
        account = factory.createAccount(ownersOf(owner.addr), 0);
        vm.deal(address(account), 10 ether);
    }

    function newOp(address sender, bytes memory callData) internal view returns (PackedUserOperation memory op) {
        op.sender = sender;
        op.nonce = entryPoint.getNonce(sender, 0);
        op.callData = callData;
        op.accountGasLimits = packUints(500_000, 500_000);
        op.preVerificationGas = 60_000;
        op.gasFees = packUints(PRIORITY_FEE, MAX_FEE);
    }

    function packUints(uint256 high, uint256 low) internal pure returns (bytes32) {
        return bytes32(high << 128 | low);
    }

    function initCodeOf(bytes[] memory owners, uint256 nonce) internal view returns (bytes memory) {
        return bytes.concat(bytes20(address(factory)), abi.encodeCall(factory.createAccount, (owners, nonce)));
    }

    /// @dev The digest an owner signs: the typed hash as it is, or the v0.7 hash as a message.
    function digestOf(PackedUserOperation memory op) internal view returns (bytes32 hash) {
        hash = entryPoint.getUserOpHash(op);
        if (_version() == Version.V07) hash = MessageHashUtils.toEthSignedMessageHash(hash);
    }

    function signBytes(Vm.Wallet memory signer, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signer.privateKey, digest);
        return abi.encodePacked(r, s, v);
    }

    function sign(PackedUserOperation memory op, Vm.Wallet memory signer)
        internal
        view
        returns (PackedUserOperation memory)
    {
        op.signature = signBytes(signer, digestOf(op));
        return op;
    }

    /// @dev Sends a bundle as an EOA does: v0.9 refuses any other caller.
    function bundle(PackedUserOperation[] memory ops) internal {
        vm.prank(bundler, bundler);
        entryPoint.handleOps(ops, beneficiary);
    }

    function bundle(PackedUserOperation memory op) internal {
        bundle(toArray(op));
    }

    function toArray(PackedUserOperation memory op) internal pure returns (PackedUserOperation[] memory ops) {
        ops = new PackedUserOperation[](1);
        ops[0] = op;
    }

    function expectFailedOp(string memory reason) internal {
        vm.expectRevert(abi.encodeWithSelector(IEntryPoint.FailedOp.selector, 0, reason));
    }

    function expectFailedOp(string memory reason, bytes memory inner) internal {
        vm.expectRevert(abi.encodeWithSelector(IEntryPoint.FailedOpWithRevert.selector, 0, reason, inner));
    }

    /// @dev Bundles one operation and says whether its execution succeeded, as the EntryPoint's event does.
    function bundleAndReport(PackedUserOperation memory op) internal returns (bool success, uint256 actualGasCost) {
        vm.recordLogs();
        bundle(op);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == IEntryPoint.UserOperationEvent.selector) {
                (, success, actualGasCost,) = abi.decode(logs[i].data, (uint256, bool, uint256, uint256));
                return (success, actualGasCost);
            }
        }
        revert("no UserOperationEvent");
    }
}
