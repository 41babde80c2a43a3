// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice Engagements in every state; then a part of the market breaks and everybody falls silent. Whoever comes by ends
/// them all in bounded time, and every unit that went in comes out again.
contract FailuresTest is ProofTest {
    /// @dev Where the engagements stand when something breaks.
    bytes32[] private jobIds;
    bytes32[] private sessionIds;
    uint256 private moneyIn;
    /// @dev What who ends a job gives.
    uint256 private gasLimit = 100_000_000;

    function setUp() public override {
        super.setUp();
        vm.prank(host);
        registry.addStake(MIN_STAKE);
        Fixture memory f = fixture("tiny-1");
        vm.prank(owner);
        reputation.setFeeWeight(address(usdc), 1e18);

        jobIds.push(post(host)); // open
        jobIds.push(postAndClaim()); // claimed
        jobIds.push(postClaimSubmit()); // submitted
        jobIds.push(postClaimSubmit()); // challenged
        challenge(jobIds[3]);
        jobIds.push(postClaimSubmit()); // countered
        challenge(jobIds[4]);
        counter(jobIds[4]);
        jobIds.push(provable(TINY, f)); // to be proven
        jobIds.push(provable(TINY, f)); // asserted, challenged
        vm.prank(payer);
        proofs.allowAssertion(jobIds[6], CHALLENGE, RESPONSE);
        vm.prank(host);
        proofs.assertResult(jobIds[6]);
        vm.prank(watcher);
        proofs.challengeAssertion(jobIds[6]);
        sessionIds.push(open()); // open
        sessionIds.push(open()); // closing, with something earned
        settle(sessionIds[1], 1e6);
        vm.prank(payer);
        sessions.startClose(sessionIds[1]);
        moneyIn = 7 * PRICE + 5 * BOND + 2 * DEPOSIT;
        assertEq(escrow.liabilitiesOf(address(usdc)), moneyIn);
    }

    // -------------------------------------------------------------------------------------------- what may break

    function test_nothing_is_lost_if_nothing_breaks() public {
        everythingEnds();
        assertEq(registry.nodeOf(host).open, 0);
    }

    function test_nothing_is_lost_if_the_registry_breaks() public {
        vm.mockCallRevert(address(registry), bytes(""), bytes("broken"));
        everythingEnds();
    }

    /// @dev Also within the gas that Base gives to one transaction.
    function test_nothing_is_lost_if_the_registry_eats_gas() public {
        vm.etch(address(registry), hex"5b5f56"); // loops for ever
        gasLimit = 16_777_216;
        everythingEnds();
    }

    function test_nothing_is_lost_if_reputation_breaks() public {
        vm.mockCallRevert(address(reputation), bytes(""), bytes("broken"));
        everythingEnds();
    }

    function test_nothing_is_lost_if_the_signature_verifier_breaks() public {
        vm.etch(verifier, "");
        everythingEnds();
    }

    function test_nothing_is_lost_if_the_model_verifier_breaks() public {
        vm.etch(tinyVerifier, "");
        everythingEnds();
    }

    function test_nothing_is_lost_if_entry_is_paused_and_all_is_forbidden() public {
        vm.startPrank(owner);
        IGoverned(address(registry)).pauseEntry();
        IGoverned(address(jobs)).pauseEntry();
        IGoverned(address(sessions)).pauseEntry();
        IGoverned(address(reputation)).pauseEntry();
        IGoverned(address(proofs)).pauseEntry();
        jobs.closeToken(address(usdc));
        jobs.setArbiter(address(0));
        jobs.setProofSystem(address(0));
        registry.setModel(MODEL, false);
        registry.setModel(TINY, false);
        registry.setMarket(address(jobs), false);
        registry.setMarket(address(sessions), false);
        registry.setReputation(address(0));
        proofs.retireKey(TINY);
        vm.stopPrank();
        everythingEnds();
        assertEq(registry.nodeOf(host).open, 0, "a market that is no more still frees its hosts");
    }

    /// @dev The bond of a challenge in the proof system is the proof system's to give back; all else ends without it.
    function test_without_the_proof_system_only_its_bonds_are_held() public {
        vm.mockCallRevert(address(proofs), bytes(""), bytes("broken"));
        skip(40 days);
        endJobs();
        endSessions();
        assertEq(escrow.liabilitiesOf(address(usdc)) - credits(), 2 * BOND, "held");
        vm.clearMockedCalls();
        proofs.settleAssertion(jobIds[6]);
        allOut();
    }

    function test_a_token_that_stands_still_holds_up_nothing_but_itself() public {
        vm.mockCallRevert(address(usdc), bytes(""), bytes("frozen"));
        skip(40 days);
        endJobs();
        endSessions();
        proofs.settleAssertion(jobIds[6]);
        vm.expectRevert(bytes4(keccak256("TransferFailed()")));
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, 1);
        vm.startPrank(host);
        registry.unregister();
        skip(7 days);
        registry.finishUnbonding(host);
        uint256 stake = escrow.creditOf(host, address(fab));
        escrow.withdraw(address(fab), host, stake);
        vm.stopPrank();
        vm.clearMockedCalls();
        allOut();
    }

    // ------------------------------------------------------------------------------------------- who may misbehave

    /// @dev The host disappears after the result, the payer after the challenge: both get what is due.
    function test_silence_of_both_costs_the_silent_host_only() public {
        skip(40 days);
        uint256 before = escrow.creditOf(payer, address(usdc));
        jobs.resolveDispute(jobIds[3]);
        assertEq(escrow.creditOf(payer, address(usdc)) - before, PRICE + BOND, "price and bond");
        uint256 slash = STAKE_PER_ENGAGEMENT * FAULT_SLASH_BPS / 10_000;
        assertEq(stakeLock(host), 2 * MIN_STAKE - slash, "and stake");
        assertEq(escrow.creditOf(payer, address(fab)), slash * 7_000 / 10_000, "payer is challenger as well");
    }

    /// @dev An arbiter that rules for one side after the other finds the second ruling refused.
    function test_a_hostile_arbiter_rules_once() public {
        vm.startPrank(arbiter);
        jobs.ruleDispute(jobIds[4], 0);
        vm.expectRevert(
            abi.encodeWithSelector(IJobMarketplace.WrongStatus.selector, jobIds[4], IJobMarketplace.JobStatus.Failed)
        );
        jobs.ruleDispute(jobIds[4], 10_000);
        vm.stopPrank();
        everythingEnds();
    }

    /// @dev An owner who swaps the proof system cannot take back what running jobs were promised.
    function test_a_hostile_owner_cannot_withdraw_a_promised_verifier() public {
        vm.startPrank(owner);
        jobs.setProofSystem(makeAddr("nobody"));
        proofs.retireKey(TINY);
        vm.stopPrank();
        // The fixture was made for the payer's first job; here the money does not follow, for that reason alone.
        refused(submission(jobIds[5], fixture("tiny-1")), IEzklProofs.Status.WrongStatement);
        everythingEnds();
    }

    /// @dev With too little gas for the registry the end of a job is refused whole: no host stays engaged for ever, and
    /// none keeps stake that it has lost.
    function test_an_end_cannot_be_starved_of_gas() public {
        skip(40 days);
        uint256 opened = registry.nodeOf(host).open;
        bytes[2] memory ends_ =
            [abi.encodeCall(jobs.finalizeJob, (jobIds[2])), abi.encodeCall(jobs.expireJob, (jobIds[1]))];
        for (uint256 i; i < 2; ++i) {
            bool once;
            for (uint256 gas_ = 30_000; gas_ < 500_000; gas_ += 5_000) {
                uint256 snapshot = vm.snapshotState();
                (bool ended,) = address(jobs).call{ gas: gas_ }(ends_[i]);
                if (ended) {
                    assertEq(registry.nodeOf(host).open, opened - 1, "ended without the registry");
                    uint256 slash = i == 1 ? STAKE_PER_ENGAGEMENT * IDLE_SLASH_BPS / 10_000 : 0;
                    assertEq(stakeLock(host), 2 * MIN_STAKE - slash, "ended without the slash");
                    once = true;
                }
                vm.revertToStateAndDelete(snapshot);
            }
            assertTrue(once);
        }
    }

    // -------------------------------------------------------------------------------------------------- the end

    function everythingEnds() private {
        skip(40 days);
        endJobs();
        endSessions();
        vm.prank(stranger);
        proofs.settleAssertion(jobIds[6]);
        allOut();
    }

    function endJobs() private {
        vm.startPrank(stranger);
        for (uint256 i; i < jobIds.length; ++i) {
            bytes32 id = jobIds[i];
            if (!ends(abi.encodeCall(jobs.expireJob, (id))) && !ends(abi.encodeCall(jobs.finalizeJob, (id)))) {
                ends(abi.encodeCall(jobs.resolveDispute, (id)));
            }
            assertEq(lockedIn(address(jobs), id), 0, vm.toString(i));
            assertEq(lockedIn(address(jobs), jobs.bondLockOf(id, false)), 0, vm.toString(i));
            assertEq(lockedIn(address(jobs), jobs.bondLockOf(id, true)), 0, vm.toString(i));
        }
        vm.stopPrank();
    }

    function ends(bytes memory call) private returns (bool ended) {
        (ended,) = address(jobs).call{ gas: gasLimit }(call);
    }

    function endSessions() private {
        vm.startPrank(stranger);
        for (uint256 i; i < sessionIds.length; ++i) {
            sessions.finishClose{ gas: gasLimit }(sessionIds[i]);
            assertEq(lockedIn(address(sessions), sessionIds[i]), 0);
        }
        vm.stopPrank();
    }

    function credits() private view returns (uint256) {
        return creditOf(payer) + creditOf(host) + creditOf(watcher) + creditOf(BURN) + escrow.feesOf(address(usdc));
    }

    /// @dev Everything is somebody's credit, and is paid out: nothing is left but what was burnt and the fees.
    function allOut() private {
        assertEq(credits(), moneyIn, "in = out");
        address[3] memory parties = [payer, host, watcher];
        for (uint256 i; i < 3; ++i) {
            uint256 credit = creditOf(parties[i]);
            if (credit == 0) continue;
            uint256 before = usdc.balanceOf(parties[i]);
            vm.prank(parties[i]);
            escrow.withdraw(address(usdc), parties[i], credit);
            assertEq(usdc.balanceOf(parties[i]), before + credit);
        }
        uint256 left = creditOf(BURN) + escrow.feesOf(address(usdc));
        assertEq(usdc.balanceOf(address(escrow)), left, "left");
        assertEq(escrow.liabilitiesOf(address(usdc)), left, "liabilities");
    }
}
