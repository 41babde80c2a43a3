// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { IPaymaster } from "account-abstraction-v08/interfaces/IPaymaster.sol";
import { IStakeManager } from "account-abstraction-v08/interfaces/IStakeManager.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { VerifyingPaymaster } from "../../src/paymaster/VerifyingPaymaster.sol";
import { IPaymasterBase } from "../../src/paymaster/interfaces/IPaymasterBase.sol";
import { ISignerSet } from "../../src/paymaster/interfaces/ISignerSet.sol";
import { IVerifyingPaymaster } from "../../src/paymaster/interfaces/IVerifyingPaymaster.sol";
import { SponsorTest } from "../support/account/SponsorTest.sol";

/// @notice Who moves a paymaster's money, and who may promise it.
contract PaymasterAdministration is SponsorTest {
    function _asStranger() private {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, bob.addr));
        vm.prank(bob.addr);
    }

    // --- money ---

    function test_anyone_may_deposit() public {
        uint256 before = paymaster.getDeposit();
        vm.deal(bob.addr, 1 ether);
        vm.prank(bob.addr);
        paymaster.deposit{ value: 1 ether }();
        assertEq(paymaster.getDeposit(), before + 1 ether);
    }

    function test_owner_withdraws_from_the_deposit() public {
        uint256 before = paymaster.getDeposit();
        vm.prank(treasurer);
        paymaster.withdrawTo(beneficiary, 3 ether);
        assertEq(beneficiary.balance, 3 ether);
        assertEq(paymaster.getDeposit(), before - 3 ether);
    }

    function test_owner_withdraws_the_stake_after_the_delay() public {
        vm.startPrank(treasurer);
        paymaster.unlockStake();
        assertFalse(entryPoint.getDepositInfo(address(paymaster)).staked);
        vm.warp(block.timestamp + 1 days);
        paymaster.withdrawStake(beneficiary);
        vm.stopPrank();
        assertEq(beneficiary.balance, 1 ether);
    }

    function test_stake_meets_what_bundlers_ask() public view {
        IStakeManager.DepositInfo memory info = entryPoint.getDepositInfo(address(paymaster));
        assertTrue(info.staked);
        assertGe(info.unstakeDelaySec, 86_400);
    }

    function test_stranger_may_not_withdraw() public {
        _asStranger();
        paymaster.withdrawTo(beneficiary, 1);
    }

    function test_stranger_may_not_add_stake() public {
        _asStranger();
        paymaster.addStake(1);
    }

    function test_stranger_may_not_unlock_the_stake() public {
        _asStranger();
        paymaster.unlockStake();
    }

    function test_stranger_may_not_withdraw_the_stake() public {
        _asStranger();
        paymaster.withdrawStake(beneficiary);
    }

    function test_ownership_moves_in_two_steps() public {
        vm.prank(treasurer);
        paymaster.transferOwnership(bob.addr);
        assertEq(paymaster.owner(), treasurer);
        vm.prank(bob.addr);
        paymaster.acceptOwnership();
        assertEq(paymaster.owner(), bob.addr);
    }

    // --- signers ---

    function test_signers_start_as_constructed() public view {
        assertTrue(paymaster.isSigner(signer.addr));
        assertFalse(paymaster.isProposedSigner(signer.addr));
        assertFalse(paymaster.isSigner(bob.addr));
        assertFalse(paymaster.isSigner(address(0)));
        assertEq(paymaster.entryPoint(), address(entryPoint));
    }

    function test_proposed_signer_does_not_count_yet() public {
        vm.expectEmit(address(paymaster));
        emit ISignerSet.SignerProposed(bob.addr);
        vm.prank(treasurer);
        paymaster.proposeSigner(bob.addr);
        assertTrue(paymaster.isProposedSigner(bob.addr));
        assertFalse(paymaster.isSigner(bob.addr));
    }

    function test_proposal_may_be_taken_back() public {
        vm.startPrank(treasurer);
        paymaster.proposeSigner(bob.addr);
        vm.expectEmit(address(paymaster));
        emit ISignerSet.SignerRemoved(bob.addr);
        paymaster.removeSigner(bob.addr);
        vm.stopPrank();
        bytes memory proof = signBytes(bob, paymaster.getAcceptSignerHash(bob.addr));
        vm.expectRevert(abi.encodeWithSelector(ISignerSet.UnknownSigner.selector, bob.addr));
        paymaster.acceptSigner(bob.addr, proof);
    }

    function test_signer_that_was_not_proposed_cannot_accept() public {
        bytes memory proof = signBytes(bob, paymaster.getAcceptSignerHash(bob.addr));
        vm.expectRevert(abi.encodeWithSelector(ISignerSet.UnknownSigner.selector, bob.addr));
        paymaster.acceptSigner(bob.addr, proof);
    }

    function test_proof_by_another_key_is_refused() public {
        vm.prank(treasurer);
        paymaster.proposeSigner(bob.addr);
        bytes memory proof = signBytes(alice, paymaster.getAcceptSignerHash(bob.addr));
        vm.expectRevert(abi.encodeWithSelector(ISignerSet.InvalidProof.selector, bob.addr));
        paymaster.acceptSigner(bob.addr, proof);
    }

    function test_signer_cannot_be_proposed_twice() public {
        vm.expectRevert(abi.encodeWithSelector(ISignerSet.DuplicateSigner.selector, signer.addr));
        vm.prank(treasurer);
        paymaster.proposeSigner(signer.addr);
    }

    function test_zero_address_cannot_be_proposed() public {
        vm.expectRevert(ISignerSet.InvalidSigner.selector);
        vm.prank(treasurer);
        paymaster.proposeSigner(address(0));
    }

    function test_unknown_signer_cannot_be_removed() public {
        vm.expectRevert(abi.encodeWithSelector(ISignerSet.UnknownSigner.selector, bob.addr));
        vm.prank(treasurer);
        paymaster.removeSigner(bob.addr);
    }

    function test_stranger_may_not_propose_a_signer() public {
        _asStranger();
        paymaster.proposeSigner(bob.addr);
    }

    function test_stranger_may_not_remove_a_signer() public {
        _asStranger();
        paymaster.removeSigner(signer.addr);
    }

    function test_constructor_refuses_bad_arguments() public {
        address[] memory signers = new address[](2);
        signers[0] = signers[1] = bob.addr;
        vm.expectRevert(abi.encodeWithSelector(ISignerSet.DuplicateSigner.selector, bob.addr));
        new VerifyingPaymaster(address(entryPoint), treasurer, signers);
        signers[1] = address(0);
        vm.expectRevert(ISignerSet.InvalidSigner.selector);
        new VerifyingPaymaster(address(entryPoint), treasurer, signers);
        vm.expectRevert(abi.encodeWithSelector(IPaymasterBase.NotAnEntryPoint.selector, address(0xdead)));
        new VerifyingPaymaster(address(0xdead), treasurer, signers);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new VerifyingPaymaster(address(entryPoint), address(0), signers);
    }

    // --- who may call the paymaster's hooks ---

    function test_only_the_entry_point_may_validate() public {
        PackedUserOperation memory op = sponsor(newOp(bob.addr, ""));
        vm.expectRevert(abi.encodeWithSelector(IPaymasterBase.NotFromEntryPoint.selector, address(this)));
        paymaster.validatePaymasterUserOp(op, bytes32(0), 0);
    }

    function test_only_the_entry_point_may_call_post_op() public {
        vm.expectRevert(abi.encodeWithSelector(IPaymasterBase.NotFromEntryPoint.selector, address(this)));
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, "", 0, 0);
    }

    function test_post_op_is_never_expected() public {
        vm.expectRevert(IVerifyingPaymaster.UnexpectedPostOp.selector);
        vm.prank(address(entryPoint));
        paymaster.postOp(IPaymaster.PostOpMode.opSucceeded, "", 0, 0);
    }
}
