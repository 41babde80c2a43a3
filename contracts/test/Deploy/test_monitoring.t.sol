// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { GovernanceTest, ITwoStepOwner } from "../support/GovernanceTest.sol";

/// @notice What `fabstir monitor` reads means what it takes it for, whatever has happened before.
contract MonitoringTest is GovernanceTest {
    address[] private accounts;
    bytes32 private jobId;
    bytes32 private sessionId;

    function setUp() public override {
        super.setUp();
        register(host);
        accounts = [host, payer, treasury, stranger, burnt()];
    }

    function burnt() private pure returns (address) {
        return 0x000000000000000000000000000000000000dEaD;
    }

    /// @dev Credits, locks and fees of everybody there is.
    function owed() private view returns (uint256 sum) {
        for (uint256 i; i < accounts.length; ++i) {
            sum += escrow.creditOf(accounts[i], address(usdc));
        }
        sum += escrow.feesOf(address(usdc)) + lockedIn(address(jobs), jobId) + lockedIn(address(sessions), sessionId);
    }

    function assertSolvent() private view {
        assertEq(escrow.liabilitiesOf(address(usdc)), owed());
        assertGe(usdc.balanceOf(address(escrow)), owed());
        INodeRegistry.Node memory node = registry.nodeOf(host);
        assertEq(stakeLock(host), uint256(node.stake) + node.unbonding);
    }

    function test_liabilities_are_the_sum_of_what_is_owed_at_every_step() public {
        assertSolvent();
        jobId = post(host);
        assertSolvent();
        vm.prank(host);
        jobs.claimJob(jobId, PRICE);
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "ipfs://result");
        assertSolvent();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        assertSolvent();
        assertGt(escrow.feesOf(address(usdc)), 0);
        sessionId = open();
        assertSolvent();
        settle(sessionId, 1e6);
        assertSolvent();
        closeByHost(sessionId, 2e6);
        assertSolvent();
        uint256 credit = escrow.creditOf(host, address(usdc));
        vm.prank(host);
        escrow.withdraw(address(usdc), host, credit);
        assertSolvent();
    }

    function test_stake_on_its_way_out_is_counted() public {
        vm.startPrank(host);
        registry.addStake(5);
        uint256 locked = stakeLock(host);
        registry.startUnbonding(5);
        vm.stopPrank();
        assertEq(stakeLock(host), locked);
        assertSolvent();
    }

    function test_a_hole_in_the_escrow_shows() public {
        jobId = post(host);
        uint256 owes = escrow.liabilitiesOf(address(usdc));
        vm.prank(address(escrow));
        usdc.transfer(stranger, 1);
        assertLt(usdc.balanceOf(address(escrow)), owes);
    }

    /// @dev A present makes nobody poorer: more than is owed is no alarm.
    function test_a_present_to_the_escrow_is_no_hole() public {
        uint256 owes = escrow.liabilitiesOf(address(usdc));
        usdc.mint(address(escrow), 5);
        assertEq(escrow.liabilitiesOf(address(usdc)), owes);
        assertGe(usdc.balanceOf(address(escrow)), owes);
    }

    function test_roles_are_where_the_monitor_looks_for_them() public view {
        assertTrue(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(timelock)));
        assertTrue(timelock.hasRole(keccak256("PROPOSER_ROLE"), address(governor)));
        assertTrue(timelock.hasRole(keccak256("CANCELLER_ROLE"), address(governor)));
        assertTrue(timelock.hasRole(keccak256("EXECUTOR_ROLE"), address(0)));
        assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(this)));
        for (uint256 i; i < 4; ++i) {
            assertEq(ITwoStepOwner(governed()[i]).owner(), address(timelock));
            assertEq(IGoverned(governed()[i]).guardian(), address(watchman));
        }
        assertEq(watchman.breaker(), address(breaker));
    }

    /// @dev The numbers of states that the monitor calls under way: pending 0, active 1, succeeded 4, queued 5.
    function test_a_proposal_under_way_has_the_states_that_are_reported() public {
        bytes memory call = abi.encodeCall(IGoverned.setGuardian, (stranger));
        Proposal memory p = propose(address(reputation), call);
        assertEq(uint8(governor.state(p.id)), 0);
        vm.warp(governor.proposalSnapshot(p.id) + 1);
        assertEq(uint8(governor.state(p.id)), 1);
        vm.prank(whale);
        governor.castVote(p.id, FOR);
        vm.warp(governor.proposalDeadline(p.id) + 1);
        assertEq(uint8(governor.state(p.id)), 4);
        queue(p);
        assertEq(uint8(governor.state(p.id)), 5);
        skip(timelock.getMinDelay());
        execute(p);
        assertEq(uint8(governor.state(p.id)), uint8(IGovernor.ProposalState.Executed));
        assertEq(uint8(IGovernor.ProposalState.Executed), 7);
    }

    function test_a_pause_shows_until_it_ends() public {
        assertLe(IGoverned(address(jobs)).entryPausedUntil(), block.timestamp);
        vm.prank(keeper);
        watchman.pause();
        assertGt(IGoverned(address(jobs)).entryPausedUntil(), block.timestamp);
        skip(3 days);
        assertLe(IGoverned(address(jobs)).entryPausedUntil(), block.timestamp);
    }
}
