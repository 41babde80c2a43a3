// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IAccessControl } from "@openzeppelin/contracts/access/IAccessControl.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";

import { FabGovernor } from "../../src/governance/FabGovernor.sol";
import { FabTimelock } from "../../src/governance/FabTimelock.sol";
import { FabToken } from "../../src/governance/FabToken.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { GovernanceTest, ITwoStepOwner } from "../support/GovernanceTest.sol";

contract VotingTest is GovernanceTest {
    bytes32 private constant NEW_MODEL = "gpt-oss-120b";

    function test_a_vote_allows_a_model_and_another_forbids_it() public {
        enact(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, true)));
        (, bool allowed) = registry.modelInfo(NEW_MODEL);
        assertTrue(allowed);
        enact(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, false)));
        (, allowed) = registry.modelInfo(NEW_MODEL);
        assertFalse(allowed);
    }

    function test_nothing_is_executed_before_its_delay() public {
        Proposal memory p = propose(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, true)));
        assertTrue(governor.proposalNeedsQueuing(p.id));
        assertState(p, IGovernor.ProposalState.Pending);
        vm.expectRevert();
        execute(p);
        pass(p);
        assertState(p, IGovernor.ProposalState.Succeeded);
        // Not queued: the timelock does not know it.
        vm.expectRevert();
        execute(p);
        queue(p);
        assertState(p, IGovernor.ProposalState.Queued);
        skip(timelock.getMinDelay() - 1);
        vm.expectRevert();
        execute(p);
        skip(1);
        execute(p);
        assertState(p, IGovernor.ProposalState.Executed);
    }

    function test_a_vote_without_quorum_fails() public {
        FabToken own = votes;
        vm.prank(whale);
        own.transfer(others, SUPPLY * 57 / 100); // leaves 3 % of 4 %
        skip(1);
        Proposal memory p = propose(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, true)));
        pass(p);
        assertState(p, IGovernor.ProposalState.Defeated);
    }

    function test_a_minority_fails() public {
        Proposal memory p = propose(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, true)));
        vm.warp(governor.proposalSnapshot(p.id) + 1);
        vm.prank(others);
        governor.castVote(p.id, FOR);
        vm.prank(whale);
        governor.castVote(p.id, AGAINST);
        vm.warp(governor.proposalDeadline(p.id) + 1);
        assertState(p, IGovernor.ProposalState.Defeated);
    }

    /// @dev Whoever brings quorum about at the last moment gives the others two days to answer.
    function test_late_quorum_prolongs_the_vote() public {
        Proposal memory p = propose(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, true)));
        vm.warp(governor.proposalDeadline(p.id));
        vm.prank(others);
        governor.castVote(p.id, FOR);
        assertEq(governor.proposalDeadline(p.id), block.timestamp + 2 days);
        vm.warp(block.timestamp + 2 days);
        vm.prank(whale);
        governor.castVote(p.id, AGAINST);
        skip(1);
        assertState(p, IGovernor.ProposalState.Defeated);
    }

    function test_borrowed_votes_count_for_nothing() public {
        Proposal memory p = propose(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, true)));
        vm.warp(governor.proposalSnapshot(p.id) + 1);
        Borrower borrower = new Borrower(votes, governor);
        // The whole of the whale's tokens, for one transaction.
        vm.prank(whale);
        votes.transfer(address(borrower), SUPPLY * 60 / 100);
        borrower.vote(p.id, whale);
        (, uint256 inFavour,) = governor.proposalVotes(p.id);
        assertEq(inFavour, 0);
        assertEq(votes.balanceOf(whale), SUPPLY * 60 / 100);
    }

    function test_borrowed_votes_cannot_propose() public {
        Borrower borrower = new Borrower(votes, governor);
        vm.prank(whale);
        votes.transfer(address(borrower), SUPPLY * 60 / 100);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernor.GovernorInsufficientProposerVotes.selector, address(borrower), 0, THRESHOLD
            )
        );
        borrower.propose(address(registry));
    }

    function test_a_proposer_can_cancel_while_pending() public {
        Proposal memory p = propose(address(registry), abi.encodeCall(INodeRegistry.setModel, (NEW_MODEL, true)));
        vm.prank(whale);
        governor.cancel(p.targets, p.values, p.data, p.description);
        assertState(p, IGovernor.ProposalState.Canceled);
    }

    function test_roles_are_the_governors_alone() public view {
        assertTrue(timelock.hasRole(timelock.PROPOSER_ROLE(), address(governor)));
        assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(this)));
        assertFalse(timelock.hasRole(timelock.PROPOSER_ROLE(), whale));
        assertFalse(timelock.hasRole(timelock.CANCELLER_ROLE(), keeper));
        for (uint256 i; i < 4; ++i) {
            assertEq(ITwoStepOwner(governed()[i]).owner(), address(timelock));
        }
    }

    function test_nobody_else_schedules() public {
        bytes32 role = timelock.PROPOSER_ROLE();
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, whale, role));
        vm.prank(whale);
        timelock.schedule(address(registry), 0, "", 0, 0, 2 days);
    }

    function test_the_delay_stays_within_its_bounds() public {
        uint256[2] memory bad = [timelock.MIN_DELAY() - 1, timelock.MAX_DELAY() + 1];
        for (uint256 i; i < 2; ++i) {
            Proposal memory p = ready(address(timelock), abi.encodeCall(TimelockController.updateDelay, (bad[i])));
            vm.expectRevert(abi.encodeWithSelector(FabTimelock.DelayOutOfBounds.selector, bad[i]));
            execute(p);
        }
        enact(address(timelock), abi.encodeCall(TimelockController.updateDelay, (30 days)));
        assertEq(timelock.getMinDelay(), 30 days);
        enact(address(timelock), abi.encodeCall(TimelockController.updateDelay, (2 days)));
        assertEq(timelock.getMinDelay(), 2 days);
        vm.expectRevert();
        timelock.updateDelay(3 days);
    }

    function test_the_rules_of_voting_stay_within_their_bounds() public {
        bounded(governor.setVotingDelay.selector, 1 days, 14 days);
        bounded(governor.setVotingPeriod.selector, 3 days, 30 days);
        bounded(governor.updateQuorumNumerator.selector, 2, 20);
        bounded(governor.setLateQuorumVoteExtension.selector, 1 days, 7 days);
        bounded(governor.setProposalThreshold.selector, 0, 10_000_000e18);
        assertEq(governor.votingDelay(), 14 days);
        assertEq(governor.votingPeriod(), 30 days);
        assertEq(governor.quorumNumerator(), 20);
        assertEq(governor.lateQuorumVoteExtension(), 7 days);
        assertEq(governor.proposalThreshold(), 10_000_000e18);
    }

    function test_the_rules_are_the_ones_documented() public view {
        assertEq(governor.votingDelay(), 1 days);
        assertEq(governor.votingPeriod(), 5 days);
        assertEq(governor.proposalThreshold(), THRESHOLD);
        assertEq(governor.lateQuorumVoteExtension(), 2 days);
        assertEq(governor.quorum(block.timestamp - 1), SUPPLY * 4 / 100);
        assertEq(timelock.getMinDelay(), 2 days);
        assertEq(governor.timelock(), address(timelock));
    }

    function test_the_token_counts_by_the_clock() public {
        assertEq(votes.clock(), block.timestamp);
        assertEq(votes.CLOCK_MODE(), "mode=timestamp");
        assertEq(governor.CLOCK_MODE(), "mode=timestamp");
        assertEq(votes.totalSupply(), SUPPLY);
        (address signer, uint256 key) = makeAddrAndKey("signer");
        bytes32 permit = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 content = keccak256(abi.encode(permit, signer, stranger, 5, 0, block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", votes.DOMAIN_SEPARATOR(), content));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        votes.permit(signer, stranger, 5, block.timestamp, v, r, s);
        assertEq(votes.allowance(signer, stranger), 5);
        assertEq(votes.nonces(signer), 1);
    }

    /// @dev A majority's own say over the rules, one beyond each bound and on it.
    function bounded(bytes4 setter, uint256 min, uint256 max) private {
        for (uint256 i; i < 4; ++i) {
            if (i == 0 && min == 0) continue;
            uint256 value = i == 0 ? min - 1 : i == 1 ? max + 1 : i == 2 ? min : max;
            uint256 state = vm.snapshotState();
            Proposal memory p = ready(address(governor), abi.encodeWithSelector(setter, value));
            if (i < 2) vm.expectRevert(abi.encodeWithSelector(FabGovernor.RuleOutOfBounds.selector, value, min, max));
            execute(p);
            if (i < 3) vm.revertToState(state);
        }
    }

    function assertState(Proposal memory p, IGovernor.ProposalState expected) private view {
        assertEq(uint8(governor.state(p.id)), uint8(expected));
    }
}

/// @dev Has many votes for one transaction.
contract Borrower {
    FabToken private immutable VOTES;
    FabGovernor private immutable GOVERNOR;

    constructor(FabToken votes, FabGovernor governor) {
        (VOTES, GOVERNOR) = (votes, governor);
    }

    function vote(uint256 proposalId, address lender) external {
        VOTES.delegate(address(this));
        GOVERNOR.castVote(proposalId, 1);
        VOTES.transfer(lender, VOTES.balanceOf(address(this)));
    }

    function propose(address target) external {
        VOTES.delegate(address(this));
        (address[] memory targets, uint256[] memory values, bytes[] memory data) =
            (new address[](1), new uint256[](1), new bytes[](1));
        targets[0] = target;
        GOVERNOR.propose(targets, values, data, "borrowed");
    }
}
