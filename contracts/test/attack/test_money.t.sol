// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { Force, HookCaller, HostileReceiver } from "../support/Attackers.sol";
import { HostileToken } from "../support/HostileToken.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice Attacks on money: receivers, reentrancy, hooks, force. Hostile tokens at the door are in `test_multi_token`.
contract MoneyAttackTest is MarketTest {
    bytes4 private constant REENTRANT = bytes4(keccak256("ReentrancyGuardReentrantCall()"));

    HostileReceiver private attacker;
    HookCaller private hook;
    HostileToken private token;

    function setUp() public override {
        super.setUp();
        register(host);
        attacker = new HostileReceiver();
        hook = new HookCaller();
        token = new HostileToken();
        vm.prank(owner);
        jobs.openToken(address(token));
        vm.deal(address(attacker), 10 ether);
    }

    function ethJob() private returns (bytes32 jobId) {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.token, r.amount) = (ETH, 1 ether);
        jobId = abi.decode(
            attacker.execute(address(jobs), 1 ether, abi.encodeCall(IJobMarketplace.postJob, (r))), (bytes32)
        );
        vm.startPrank(host);
        jobs.claimJob(jobId, 1 ether);
        jobs.submitResult(jobId, RESULT, "");
        vm.stopPrank();
    }

    // ----------------------------------------------------------------------------------------------- receivers

    /// @dev No step of the host's pay, nor of another's refund, calls the payer.
    function test_hostile_payer_cannot_block_pay_or_refund() public {
        for (uint8 mode = 1; mode < 4; ++mode) {
            attacker.set(HostileReceiver.Mode(mode), address(0), "");
            bytes32 jobId = ethJob();
            skip(REVIEW + 1);
            uint256 before = escrow.creditOf(host, ETH);
            jobs.finalizeJob(jobId);
            assertGt(escrow.creditOf(host, ETH), before);
        }
    }

    function test_reverting_receiver_hurts_only_itself() public {
        attacker.execute(address(escrow), 1 ether, abi.encodeCall(IPaymentEscrow.deposit, (ETH, 1 ether)));
        attacker.set(HostileReceiver.Mode.Revert, address(0), "");
        vm.expectRevert(bytes4(keccak256("ETHTransferFailed()")));
        attacker.execute(address(escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether)));
        attacker.execute(address(escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (ETH, stranger, 1 ether)));
        assertEq(stranger.balance, 1 ether);
    }

    function test_gas_burning_receiver_hurts_only_itself() public {
        attacker.execute(address(escrow), 1 ether, abi.encodeCall(IPaymentEscrow.deposit, (ETH, 1 ether)));
        attacker.set(HostileReceiver.Mode.Burn, address(0), "");
        vm.expectRevert();
        attacker.execute{ gas: 1_000_000 }(
            address(escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether))
        );
        assertEq(escrow.creditOf(address(attacker), ETH), 1 ether);
    }

    function test_return_bomb_is_not_copied() public {
        attacker.execute(address(escrow), 1 ether, abi.encodeCall(IPaymentEscrow.deposit, (ETH, 1 ether)));
        attacker.set(HostileReceiver.Mode.Bomb, address(0), "");
        bytes memory data = abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether));
        uint256 before = gasleft();
        attacker.execute(address(escrow), 0, data);
        // The receiver pays for its memory; copying it once more would double that.
        assertLt(before - gasleft(), 2_400_000);
        assertEq(address(attacker).balance, 10 ether);
    }

    // ---------------------------------------------------------------------------------------------- reentrancy

    function test_withdraw_cannot_be_reentered() public {
        attacker.execute(address(escrow), 2 ether, abi.encodeCall(IPaymentEscrow.deposit, (ETH, 2 ether)));
        attacker.set(
            HostileReceiver.Mode.Reenter,
            address(escrow),
            abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether))
        );
        attacker.execute(address(escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether)));
        assertFalse(attacker.reentered());
        assertEq(bytes4(attacker.seen()), REENTRANT);
        assertEq(escrow.creditOf(address(attacker), ETH), 1 ether);
    }

    /// @dev Cross-function: from the escrow's payment into a marketplace that would lock the same credit.
    function test_withdrawn_credit_cannot_be_locked_from_within() public {
        attacker.execute(address(escrow), 1 ether, abi.encodeCall(IPaymentEscrow.deposit, (ETH, 1 ether)));
        IJobMarketplace.JobRequest memory r = request(host);
        (r.token, r.amount) = (ETH, 1 ether);
        attacker.set(HostileReceiver.Mode.Reenter, address(jobs), abi.encodeCall(IJobMarketplace.postJob, (r)));
        attacker.execute(address(escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether)));
        assertFalse(attacker.reentered());
        assertEq(escrow.liabilitiesOf(ETH), 0);
    }

    function test_read_only_reentrancy_sees_settled_books() public {
        attacker.execute(address(escrow), 3 ether, abi.encodeCall(IPaymentEscrow.deposit, (ETH, 3 ether)));
        attacker.set(
            HostileReceiver.Mode.Reenter,
            address(escrow),
            abi.encodeCall(IPaymentEscrow.creditOf, (address(attacker), ETH))
        );
        attacker.execute(address(escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether)));
        assertEq(abi.decode(attacker.seen(), (uint256)), 2 ether);
        attacker.set(HostileReceiver.Mode.Reenter, address(escrow), abi.encodeCall(IPaymentEscrow.liabilitiesOf, (ETH)));
        attacker.execute(address(escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(attacker), 1 ether)));
        assertEq(abi.decode(attacker.seen(), (uint256)), 1 ether);
    }

    // --------------------------------------------------------------------------------------------------- hooks

    function hooked() private {
        token.mint(payer, 1_000);
        token.setHook(payer, hook);
        vm.startPrank(payer);
        token.approve(address(escrow), type(uint256).max);
        vm.stopPrank();
    }

    function test_sender_hook_cannot_reenter_deposit() public {
        hooked();
        hook.set(address(escrow), abi.encodeCall(IPaymentEscrow.depositFor, (stranger, address(token), 1)));
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
        assertFalse(hook.succeeded());
        assertEq(bytes4(hook.result()), REENTRANT);
    }

    function test_sender_hook_cannot_skim_what_is_under_way() public {
        hooked();
        token.setHook(payer, HookCaller(address(0)));
        token.setHook(address(escrow), hook);
        hook.set(address(escrow), abi.encodeCall(IPaymentEscrow.skim, (address(token))));
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
        assertFalse(hook.succeeded());
        assertEq(escrow.feesOf(address(token)), 0);
    }

    function test_receiver_hook_cannot_withdraw_twice() public {
        hooked();
        token.setHook(payer, HookCaller(address(0)));
        vm.prank(payer);
        escrow.depositFor(address(hook), address(token), 1_000);
        token.setHook(address(hook), hook);
        bytes memory again = abi.encodeCall(IPaymentEscrow.withdraw, (address(token), address(hook), 500));
        hook.set(address(escrow), again);
        vm.prank(address(hook));
        escrow.withdraw(address(token), address(hook), 500);
        assertFalse(hook.succeeded());
        assertEq(escrow.creditOf(address(hook), address(token)), 500);
    }

    /// @dev The hook runs while a job is being posted: the job cannot be cancelled before it is paid for.
    function test_hook_cannot_cancel_a_job_that_is_not_paid_yet() public {
        hooked();
        hook.set(address(jobs), abi.encodeCall(IJobMarketplace.cancelJob, (jobs.jobIdOf(payer, 1))));
        IJobMarketplace.JobRequest memory r = request(host);
        (r.token, r.amount) = (address(token), 1_000);
        vm.prank(payer);
        jobs.postJob(r);
        assertFalse(hook.succeeded());
        assertEq(lockedIn(address(jobs), jobs.jobIdOf(payer, 1)), 1_000);
    }

    // --------------------------------------------------------------------------------------------------- force

    function test_forced_eth_is_nobodys_credit() public {
        attacker.execute(address(escrow), 1 ether, abi.encodeCall(IPaymentEscrow.deposit, (ETH, 1 ether)));
        vm.deal(address(this), 5);
        Force.send(address(escrow), 5);
        assertEq(escrow.liabilitiesOf(ETH), 1 ether);
        assertEq(escrow.skim(ETH), 5);
        assertEq(address(escrow).balance, escrow.liabilitiesOf(ETH));
    }

    function test_plain_eth_is_refused() public {
        (bool success,) = address(escrow).call{ value: 1 }("");
        assertFalse(success);
        (success,) = address(jobs).call{ value: 1 }("");
        assertFalse(success);
    }

    /// @dev A donation cannot be made to count as somebody's deposit.
    function test_donation_during_deposit_does_not_count() public {
        hooked();
        token.mint(address(hook), 10);
        hook.set(address(token), abi.encodeCall(HostileToken.transfer, (address(escrow), 10)));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.InexactTransfer.selector, address(token), 1_000, 1_010));
        vm.prank(payer);
        escrow.deposit(address(token), 1_000);
    }

    /// @dev A token that turns hostile after it was opened cannot touch the money of another.
    function test_hostile_token_cannot_reach_another_token() public {
        hooked();
        token.setHook(payer, HookCaller(address(0)));
        vm.startPrank(payer);
        escrow.deposit(address(usdc), 5e6);
        escrow.deposit(address(token), 1_000);
        token.setIndex(1); // rebased to nothing
        escrow.withdraw(address(usdc), payer, 5e6);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        escrow.withdraw(address(token), payer, 1_000);
    }

    function test_stake_is_out_of_reach_of_markets() public {
        bytes32 stakeId = bytes32(uint256(uint160(host)));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.LockMissing.selector, address(jobs), stakeId));
        vm.prank(address(jobs));
        escrow.release(stakeId, stranger, 1, 0);
        assertEq(registry.nodeOf(host).stake, MIN_STAKE);
        assertEq(uint8(registry.nodeOf(host).status), uint8(INodeRegistry.NodeStatus.Active));
    }
}
