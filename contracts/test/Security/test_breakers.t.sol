// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { CircuitBreaker } from "../../src/governance/CircuitBreaker.sol";
import { Guardian } from "../../src/governance/Guardian.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { GovernanceTest } from "../support/GovernanceTest.sol";

contract BreakersTest is GovernanceTest {
    function setUp() public override {
        super.setUp();
        register(host);
        vm.prank(payer);
        escrow.deposit(address(usdc), 1_000e6);
    }

    function test_an_outflow_above_the_cap_closes_entry_and_no_exit() public {
        mark();
        drain(CAP + 1);
        vm.expectEmit(address(breaker));
        emit CircuitBreaker.Tripped(address(usdc), CAP + 1, CAP);
        vm.prank(stranger);
        breaker.trip(address(usdc));
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 3 days));
        post(host);
        drain(500e6);
        assertWithdrawalsWork();
        // It expires by itself.
        skip(3 days);
        post(host);
    }

    function test_the_cap_itself_is_allowed() public {
        mark();
        drain(CAP);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.WithinCap.selector, address(usdc), CAP, CAP));
        breaker.trip(address(usdc));
    }

    function test_what_comes_in_counts_against_what_leaves() public {
        mark();
        drain(CAP + 1);
        vm.prank(payer);
        escrow.deposit(address(usdc), 50e6);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.WithinCap.selector, address(usdc), CAP + 1 - 50e6, CAP));
        breaker.trip(address(usdc));
        vm.prank(payer);
        escrow.deposit(address(usdc), 500e6);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.WithinCap.selector, address(usdc), 0, CAP));
        breaker.trip(address(usdc));
    }

    function test_a_mark_counts_for_an_hour() public {
        mark();
        drain(CAP + 1);
        skip(1 hours);
        uint256 state = vm.snapshotState();
        breaker.trip(address(usdc));
        vm.revertToState(state);
        skip(1);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.NoMark.selector, address(usdc)));
        breaker.trip(address(usdc));
    }

    function test_a_mark_is_not_replaced_while_it_counts() public {
        mark();
        uint256 until = block.timestamp + 1 hours;
        skip(1 hours - 1);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.MarkedTooRecently.selector, until));
        vm.prank(keeper);
        breaker.mark(address(usdc));
        skip(1);
        mark();
        assertEq(breaker.watchOf(address(usdc)).markedAt, until);
    }

    /// @dev With a flash loan between mark and trip anybody could close the market.
    function test_a_flash_loan_cannot_set_a_mark() public {
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.NotAllowed.selector, stranger));
        vm.prank(stranger);
        breaker.mark(address(usdc));
    }

    function test_a_token_without_cap_is_not_watched() public {
        vm.prank(keeper);
        breaker.mark(ETH);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.NoMark.selector, ETH));
        breaker.trip(ETH);
    }

    function test_a_vote_ends_a_watch() public {
        mark();
        drain(CAP + 1);
        vm.expectEmit(address(breaker));
        emit CircuitBreaker.CapSet(address(usdc), 0);
        vm.prank(address(timelock));
        breaker.setCap(address(usdc), 0);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.NoMark.selector, address(usdc)));
        breaker.trip(address(usdc));
    }

    function test_only_the_timelock_sets_caps() public {
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.NotAllowed.selector, keeper));
        vm.prank(keeper);
        breaker.setCap(address(usdc), 1);
    }

    function test_a_tripped_breaker_cannot_be_held_down() public {
        mark();
        drain(CAP + 1);
        breaker.trip(address(usdc));
        vm.expectRevert(Guardian.NothingToPause.selector);
        breaker.trip(address(usdc));
    }

    function test_a_vote_changes_a_cap() public {
        enact(address(breaker), abi.encodeCall(CircuitBreaker.setCap, (address(usdc), CAP / 2)));
        assertEq(breaker.watchOf(address(usdc)).cap, CAP / 2);
        mark();
        drain(CAP / 2 + 1);
        breaker.trip(address(usdc));
    }

    function test_a_breaker_needs_escrow_and_guardian_and_a_cap_for_each_token() public {
        address[] memory none = new address[](0);
        vm.expectRevert(CircuitBreaker.ZeroAddressGiven.selector);
        new CircuitBreaker(IPaymentEscrow(address(0)), watchman, none, new uint256[](0));
        vm.expectRevert(CircuitBreaker.ZeroAddressGiven.selector);
        new CircuitBreaker(escrow, Guardian(address(0)), none, new uint256[](0));
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.LengthMismatch.selector, 0, 1));
        new CircuitBreaker(escrow, watchman, none, new uint256[](1));
    }

    function mark() private {
        vm.expectEmit(address(breaker));
        emit CircuitBreaker.Marked(address(usdc), escrow.liabilitiesOf(address(usdc)));
        vm.prank(keeper);
        breaker.mark(address(usdc));
    }

    function drain(uint256 amount) private {
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, amount);
    }
}
