// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { HostileToken } from "../support/HostileToken.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { LyingVerifier } from "../support/Verifiers.sol";
import { MarketHandler } from "./MarketHandler.sol";
import { Parts } from "./MarketModel.sol";

/// @notice The ten invariants, as functions, so that `test_mutants` can show that each of them can fail.
abstract contract Invariants is MarketTest {
    MarketHandler internal handler;
    HostileToken internal hostile;

    function setUp() public virtual override {
        super.setUp();
        hostile = new HostileToken();
        vm.startPrank(owner);
        jobs.openToken(address(hostile));
        jobs.setProofSystem(address(proofs));
        address yes = address(new LyingVerifier(1));
        proofs.registerKey(MODEL, yes, yes.codehash, 100_000, 1, 1);
        reputation.setFeeWeight(address(usdc), 1e18);
        reputation.setFeeWeight(ETH, 1e18);
        vm.stopPrank();
        handler = new MarketHandler(
            Parts(
                registry,
                jobs,
                sessions,
                reputation,
                escrow,
                fab,
                address(usdc),
                hostile,
                owner,
                arbiter,
                treasury,
                MODEL,
                proofs
            )
        );
    }

    function accounts() private view returns (address[] memory list) {
        list = new address[](7);
        for (uint256 i; i < 3; ++i) {
            list[i] = handler.payers(i);
        }
        (list[3], list[4]) = (handler.hosts(0), handler.hosts(1));
        (list[5], list[6]) = (treasury, handler.BURN());
    }

    function balanceOf(address token) private view returns (uint256) {
        return token == ETH ? address(escrow).balance : HostileToken(token).balanceOf(address(escrow));
    }

    function locked(address controller, bytes32 id, address token) private view returns (uint256) {
        (, address of_, uint256 amount) = escrow.lockOf(controller, id);
        return of_ == token ? amount : 0;
    }

    /// @dev Sum of all claims on the escrow in one token, counted one by one.
    function claims(address token) private view returns (uint256 sum) {
        address[] memory list = accounts();
        for (uint256 i; i < list.length; ++i) {
            sum += escrow.creditOf(list[i], token);
        }
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobIds(i);
            sum += locked(address(jobs), id, token);
            sum += locked(address(jobs), jobs.bondLockOf(id, false), token);
            sum += locked(address(jobs), jobs.bondLockOf(id, true), token);
            sum += locked(address(proofs), proofs.bondLockOf(id, false), token);
            sum += locked(address(proofs), proofs.bondLockOf(id, true), token);
        }
        for (uint256 i; i < handler.sessionCount(); ++i) {
            sum += locked(address(sessions), handler.sessionIds(i), token);
        }
        if (token == address(fab)) sum += stakeLock(handler.hosts(0)) + stakeLock(handler.hosts(1));
        return sum + escrow.feesOf(token);
    }

    /// @notice 1. Balance = locked + credits + fees, plus what was donated.
    function check1_solvency() public view {
        for (uint256 i; i < 4; ++i) {
            address token = i == 3 ? address(fab) : handler.tokenAt(i);
            assertEq(escrow.liabilitiesOf(token), claims(token), "1: liabilities are the sum of claims");
            assertEq(balanceOf(token), claims(token) + handler.donated(token), "1: balance covers claims");
        }
    }

    /// @notice 2. Deposit = paid + fee + refunded + locked; paid + fee <= min(highest voucher, deposit).
    function check2_conservation() public view {
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobIds(i);
            bool ended = handler.jobGhost(id).terminal != IJobMarketplace.JobStatus.None;
            assertEq(lockedIn(address(jobs), id), ended ? 0 : handler.jobGhost(id).terms.amount, "2: job");
        }
        for (uint256 i; i < handler.sessionCount(); ++i) {
            bytes32 id = handler.sessionIds(i);
            MarketHandler.SessionGhost memory g = handler.sessionGhost(id);
            uint256 left = lockedIn(address(sessions), id);
            uint256 earned = sessions.sessionOf(id).settled;
            assertEq(earned + g.refunded + left, g.deposit, "2: session");
            assertEq(earned, g.settled, "2: earned is what vouchers said");
            assertLe(earned, g.highest, "2: no more than the highest voucher");
        }
    }

    /// @notice 3. What was settled never falls. The ghost only ever rises with what a call has earned.
    function check3_monotony() public view {
        for (uint256 i; i < handler.sessionCount(); ++i) {
            bytes32 id = handler.sessionIds(i);
            assertGe(sessions.sessionOf(id).settled, handler.sessionGhost(id).settled, "3: settled fell");
        }
    }

    /// @notice 4. A terminal state is never left. (That each path ends is shown by `afterInvariant`.)
    function check4_terminality() public view {
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobIds(i);
            IJobMarketplace.JobStatus terminal = handler.jobGhost(id).terminal;
            if (terminal == IJobMarketplace.JobStatus.None) continue;
            assertEq(uint8(statusOf(id)), uint8(terminal), "4: job left its end");
            assertGe(uint8(terminal), uint8(IJobMarketplace.JobStatus.Completed), "4: not an end");
        }
        for (uint256 i; i < handler.sessionCount(); ++i) {
            bytes32 id = handler.sessionIds(i);
            if (!handler.sessionGhost(id).closed) continue;
            assertEq(
                uint8(sessionStatus(id)), uint8(ISessionMarketplace.SessionStatus.Closed), "4: session left its end"
            );
        }
    }

    /// @notice 5. Every credit can be withdrawn whatever is paused or broken.
    function check5_withdrawals() public {
        uint256 snapshot = vm.snapshotState();
        vm.startPrank(owner);
        try IGoverned(address(jobs)).pauseEntry() { } catch { }
        try IGoverned(address(sessions)).pauseEntry() { } catch { }
        try IGoverned(address(registry)).pauseEntry() { } catch { }
        vm.stopPrank();
        vm.mockCallRevert(address(registry), bytes(""), bytes("broken"));
        vm.mockCallRevert(address(verifier), bytes(""), bytes("broken"));
        hostile.setMode(HostileToken.Mode.Honest);
        address[] memory list = accounts();
        for (uint256 i; i < list.length; ++i) {
            for (uint256 t; t < 4; ++t) {
                address token = t == 3 ? address(fab) : handler.tokenAt(t);
                uint256 credit = escrow.creditOf(list[i], token);
                if (credit == 0) continue;
                vm.prank(list[i]);
                try escrow.withdraw(token, stranger, credit) { }
                catch {
                    assertTrue(false, "5: a credit could not be withdrawn");
                }
            }
        }
        vm.clearMockedCalls();
        vm.revertToState(snapshot);
    }

    /// @notice 6. Stake held = active + unbonding; what engagements lock is covered, but for slashes; one slash each.
    function check6_stake() public view {
        for (uint256 i; i < 2; ++i) {
            address h = handler.hosts(i);
            INodeRegistry.Node memory node = registry.nodeOf(h);
            assertEq(stakeLock(h), uint256(node.stake) + node.unbonding, "6: stake held");
            uint256 lockedStake = uint256(node.open) * STAKE_PER_ENGAGEMENT;
            assertGe(node.stake + handler.slashed(h), lockedStake, "6: locked stake is covered");
            assertEq(reputation.statsOf(h).slashes, handler.slashes(h), "6: one slash for each evidence");
            assertEq(node.open, openEngagements(h), "6: open engagements");
        }
    }

    function openEngagements(address h) private view returns (uint256 count) {
        for (uint256 i; i < handler.jobCount(); ++i) {
            IJobMarketplace.Job memory job = jobs.jobOf(handler.jobIds(i));
            bool running =
                job.status >= IJobMarketplace.JobStatus.Claimed && job.status <= IJobMarketplace.JobStatus.Countered;
            if (running && job.host == h) ++count;
        }
        for (uint256 i; i < handler.sessionCount(); ++i) {
            ISessionMarketplace.Session memory s = sessions.sessionOf(handler.sessionIds(i));
            if (s.host == h && s.status != ISessionMarketplace.SessionStatus.Closed) ++count;
        }
    }

    /// @notice 7. Lists and mappings agree, without duplicates.
    function check7_lists() public view {
        (address[] memory listed,) = registry.nodesByModel(MODEL, 0, 100);
        uint256 expected;
        for (uint256 i; i < 2; ++i) {
            address h = handler.hosts(i);
            bool offers = registry.priceOf(h, MODEL, address(usdc)) > 0;
            bool active = registry.nodeOf(h).status == INodeRegistry.NodeStatus.Active;
            if (offers && active) ++expected;
            assertEq(registry.modelsOf(h).length, offers ? 1 : 0, "7: models of node");
            assertEq(registry.hostOf(registry.nodeOf(h).nodeId), h, "7: ids");
            uint256 seen;
            for (uint256 j; j < listed.length; ++j) {
                if (listed[j] == h) ++seen;
            }
            assertEq(seen, offers && active ? 1 : 0, "7: listed once or not at all");
        }
        assertEq(listed.length, expected, "7: nobody else is listed");
        assertEq(registry.nodeCount(), 2, "7: nodes");
    }

    /// @notice 8. Bonds in = bonds out + burnt + still locked.
    function check8_bonds() public view {
        uint256 held;
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobIds(i);
            held += lockedIn(address(jobs), jobs.bondLockOf(id, false));
            held += lockedIn(address(jobs), jobs.bondLockOf(id, true));
            held += lockedIn(address(proofs), proofs.bondLockOf(id, false));
            held += lockedIn(address(proofs), proofs.bondLockOf(id, true));
        }
        assertEq(handler.bondsIn(), handler.bondsOut() + handler.bondsBurnt() + held, "8: bonds");
        for (uint256 i; i < 3; ++i) {
            address token = handler.tokenAt(i);
            assertEq(escrow.creditOf(BURN, token), handler.burnt(token), "8: burnt");
        }
    }

    /// @notice 9. Reputation moves only with settled, unrated engagements; its weight is paid for in fees.
    function check9_reputation() public view {
        uint256 weight;
        for (uint256 i; i < 2; ++i) {
            address h = handler.hosts(i);
            IReputationSystem.Stats memory stats = reputation.statsOf(h);
            assertEq(stats.ratings, handler.ratings(h), "9: ratings");
            assertEq(stats.completed + stats.failed, handler.recorded(h), "9: performance");
            weight += stats.weight;
        }
        uint256 fees;
        for (uint256 i; i < 2; ++i) {
            address token = handler.tokenAt(i);
            // Withdrawn by nobody: the treasury takes no part in the handler.
            fees += escrow.feesOf(token) + escrow.creditOf(treasury, token);
        }
        assertLe(weight, fees + handler.settlements(), "9: weight costs at least as much in fees");
    }

    /// @notice 10. Terms never change once agreed.
    function check10_terms() public view {
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobIds(i);
            IJobMarketplace.Job memory was = handler.jobGhost(id).terms;
            IJobMarketplace.Job memory is_ = jobs.jobOf(id);
            assertEq(is_.payer, was.payer, "10: payer");
            assertEq(is_.host, was.host, "10: host");
            assertEq(is_.token, was.token, "10: token");
            assertEq(is_.amount, was.amount, "10: amount");
            assertEq(is_.feeBps, was.feeBps, "10: fee");
            assertEq(is_.deadline, was.deadline, "10: deadline");
            assertEq(is_.bond, was.bond, "10: bond");
            assertEq(is_.inputHash, was.inputHash, "10: input");
        }
        for (uint256 i; i < handler.sessionCount(); ++i) {
            bytes32 id = handler.sessionIds(i);
            ISessionMarketplace.Session memory was = handler.sessionGhost(id).terms;
            ISessionMarketplace.Session memory is_ = sessions.sessionOf(id);
            assertEq(is_.payer, was.payer, "10: payer");
            assertEq(is_.host, was.host, "10: host");
            assertEq(is_.token, was.token, "10: token");
            assertEq(is_.voucherKey, was.voucherKey, "10: key");
            assertEq(is_.pricePerMillion, was.pricePerMillion, "10: price");
            assertEq(is_.feeBps, was.feeBps, "10: fee");
            assertEq(is_.grace, was.grace, "10: grace");
            assertLe(is_.settleUntil, was.settleUntil, "10: deadline");
        }
    }

    /// @notice 4, second half: with everybody silent and the registry broken, anyone brings everything to its end in
    /// bounded time, and then every lock is empty.
    function checkEverythingEnds() public {
        vm.warp(block.timestamp + 40 days);
        vm.mockCallRevert(address(registry), bytes(""), bytes("broken"));
        vm.startPrank(stranger);
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobIds(i);
            (bool ended,) = address(jobs).call(abi.encodeCall(IJobMarketplace.expireJob, (id)));
            if (!ended) (ended,) = address(jobs).call(abi.encodeCall(IJobMarketplace.finalizeJob, (id)));
            if (!ended) (ended,) = address(jobs).call(abi.encodeCall(IJobMarketplace.resolveDispute, (id)));
            assertEq(lockedIn(address(jobs), id), 0, "4: a job holds money");
            assertEq(lockedIn(address(jobs), jobs.bondLockOf(id, false)), 0, "4: a bond is held");
            assertEq(lockedIn(address(jobs), jobs.bondLockOf(id, true)), 0, "4: a bond is held");
            (ended,) = address(proofs).call(abi.encodeCall(IEzklProofs.settleAssertion, (id)));
            assertEq(lockedIn(address(proofs), proofs.bondLockOf(id, false)), 0, "4: a bond is held");
            assertEq(lockedIn(address(proofs), proofs.bondLockOf(id, true)), 0, "4: a bond is held");
        }
        for (uint256 i; i < handler.sessionCount(); ++i) {
            bytes32 id = handler.sessionIds(i);
            (bool ended,) = address(sessions).call(abi.encodeCall(ISessionMarketplace.finishClose, (id)));
            ended;
            assertEq(lockedIn(address(sessions), id), 0, "4: a session holds money");
        }
        vm.stopPrank();
        vm.clearMockedCalls();
    }
}

/// @notice The ten invariants under a campaign. One function, so that one campaign serves them all.
contract InvariantsTest is Invariants {
    function setUp() public override {
        super.setUp();
        targetContract(address(handler));
        bytes4[] memory steps = new bytes4[](10);
        steps[0] = handler.money.selector;
        steps[1] = handler.world.selector;
        steps[2] = handler.postJob.selector;
        steps[3] = handler.advanceJob.selector;
        steps[4] = handler.disturbJob.selector;
        steps[5] = handler.openSession.selector;
        steps[6] = handler.useSession.selector;
        steps[7] = handler.leaveSession.selector;
        steps[8] = handler.hostStep.selector;
        steps[9] = handler.proofStep.selector;
        targetSelector(FuzzSelector({ addr: address(handler), selectors: steps }));
    }

    /// @dev Checked at every eighth call and at the end of each run: what the checks compare with only ever grows, so a
    /// violation does not heal; and the handler checks each call's effect at once.
    /// forge-config: default.invariant.runs = 256
    /// forge-config: default.invariant.depth = 128
    /// forge-config: default.invariant.fail-on-revert = true
    /// forge-config: default.invariant.check-interval = 8
    /// forge-config: deep.invariant.runs = 1000
    /// forge-config: deep.invariant.depth = 500
    /// forge-config: deep.invariant.fail-on-revert = true
    /// forge-config: deep.invariant.check-interval = 8
    function invariant_all_ten() public view {
        check1_solvency();
        check2_conservation();
        check3_monotony();
        check4_terminality();
        check6_stake();
        check7_lists();
        check8_bonds();
        check9_reputation();
        check10_terms();
    }

    /// @dev Once at the end of each run: what takes a state of its own.
    function afterInvariant() public {
        check5_withdrawals();
        checkEverythingEnds();
    }
}
