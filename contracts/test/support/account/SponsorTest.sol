// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";
import { Vm } from "forge-std/Test.sol";

import { VerifyingPaymaster } from "../../../src/paymaster/VerifyingPaymaster.sol";
import { OperationTest } from "./OperationTest.sol";

/// @title SponsorTest
/// @notice Adds a staked and funded VerifyingPaymaster with one signer.
abstract contract SponsorTest is OperationTest {
    VerifyingPaymaster internal paymaster;
    Vm.Wallet internal signer;
    address internal treasurer;

    uint48 internal constant VALID_UNTIL = 1_750_000_600;
    uint48 internal constant VALID_AFTER = 1_749_999_900;

    function setUp() public virtual override {
        super.setUp();
        signer = vm.createWallet("signer");
        treasurer = makeAddr("treasurer");
        address[] memory signers = new address[](1);
        signers[0] = signer.addr;
        paymaster = new VerifyingPaymaster(address(entryPoint), treasurer, signers);
        paymaster.deposit{ value: 10 ether }();
        vm.deal(treasurer, 10 ether);
        vm.prank(treasurer);
        paymaster.addStake{ value: 1 ether }(1 days);
    }

    function paymasterPrefix() internal view returns (bytes memory) {
        return abi.encodePacked(address(paymaster), uint128(100_000), uint128(0));
    }

    /// @dev Has `by` sponsor the operation; sign the operation itself afterwards.
    function sponsor(PackedUserOperation memory op, Vm.Wallet memory by, uint48 validUntil, uint48 validAfter)
        internal
        view
        returns (PackedUserOperation memory)
    {
        op.paymasterAndData = paymasterPrefix();
        bytes32 digest = paymaster.getHash(op, validUntil, validAfter);
        op.paymasterAndData =
            bytes.concat(op.paymasterAndData, abi.encodePacked(validUntil, validAfter), signBytes(by, digest));
        return op;
    }

    function sponsor(PackedUserOperation memory op) internal view returns (PackedUserOperation memory) {
        return sponsor(op, signer, VALID_UNTIL, VALID_AFTER);
    }
}
