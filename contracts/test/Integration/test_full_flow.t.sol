// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { UUPSUpgradeable } from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

import { CircuitBreaker } from "../../src/governance/CircuitBreaker.sol";
import { FabTimelock } from "../../src/governance/FabTimelock.sol";
import { ParameterStore } from "../../src/governance/ParameterStore.sol";
import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { GovernanceTest, ITwoStepOwner } from "../support/GovernanceTest.sol";
import { MarketTest } from "../support/MarketTest.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice Lives of a host, a payer and their money, from the first vote to the last withdrawal, with every contract as
/// it is deployed: governance owns, real proofs are verified, nothing is replaced.
contract FullFlowTest is ProofTest, GovernanceTest {
    uint256 private constant FEE = PRICE * FEE_BPS / 10_000;

    function setUp() public override(ProofTest, GovernanceTest) {
        GovernanceTest.setUp();
    }

    function proxyOf(string memory artifact, bytes memory init)
        internal
        override(MarketTest, ProofTest)
        returns (address)
    {
        return ProofTest.proxyOf(artifact, init);
    }

    function test_a_host_and_a_payer_meet_work_and_part() public {
        // The community lets fees in USDC weigh and says what a tier asks for.
        enact(address(reputation), abi.encodeCall(IReputationSystem.setFeeWeight, (address(usdc), 1e18)));
        enact(
            address(reputation),
            abi.encodeCall(
                IReputationSystem.setTierRule, (1, IReputationSystem.TierRule({ minWeight: 1, minQuality: 5_000 }))
            )
        );
        uint256 stakeBefore = fab.balanceOf(host);

        // A payer finds the host by model, token and price.
        INodeRegistry.Filter memory filter = INodeRegistry.Filter({
            modelId: MODEL, token: address(usdc), maxPrice: 2e6, minFreeStake: STAKE_PER_ENGAGEMENT
        });
        (INodeRegistry.Match[] memory found,) = registry.findNodes(filter, 0, 10);
        assertEq(found.length, 1);
        assertEq(found[0].host, host);

        // A job for a fixed price, accepted, and rated.
        bytes32 jobId = postClaimSubmit();
        vm.startPrank(payer);
        jobs.acceptResult(jobId);
        reputation.rate(address(jobs), jobId, 5, 420, "fast");
        vm.stopPrank();
        assertEq(creditOf(host), PRICE - FEE);

        // The rating lifts the host into a tier, which waives a tenth of the fee.
        assertEq(reputation.updateTier(host), 1);
        bytes32 discounted = postClaimSubmit();
        uint256 lowered = PRICE * (uint256(FEE_BPS) * 9_000 / 10_000) / 10_000;
        skip(REVIEW + 1);
        jobs.finalizeJob(discounted);
        assertEq(creditOf(host), 2 * PRICE - FEE - lowered);

        // A conversation, paid by vouchers, left by the payer.
        bytes32 sessionId = open();
        settle(sessionId, 3e6);
        vm.prank(payer);
        sessions.startClose(sessionId);
        settle(sessionId, 5e6);
        skip(GRACE + 1);
        sessions.finishClose(sessionId);
        assertEq(creditOf(payer), DEPOSIT - 5e6);
        reputation.record(address(sessions), sessionId);
        assertEq(reputation.statsOf(host).completed, 2, "the second job was never recorded");

        // The host leaves with its stake and what it has earned.
        vm.startPrank(host);
        registry.unregister();
        skip(7 days);
        registry.finishUnbonding(host);
        escrow.withdraw(address(fab), host, MIN_STAKE);
        escrow.withdraw(address(usdc), host, creditOf(host));
        vm.stopPrank();
        assertEq(fab.balanceOf(host), stakeBefore + MIN_STAKE);

        // The payer takes back what it did not use, and the treasury its fees: nothing is left.
        vm.startPrank(payer);
        escrow.withdraw(address(usdc), payer, creditOf(payer));
        vm.stopPrank();
        uint256 fees = jobs.collectFees(address(usdc));
        assertEq(fees, FEE + lowered + 3e6 * 225 / 10_000 + 2e6 * 225 / 10_000);
        vm.prank(treasury);
        escrow.withdraw(address(usdc), treasury, fees);
        assertEq(usdc.balanceOf(address(escrow)), 0);
        assertEq(fab.balanceOf(address(escrow)), 0);
    }

    /// @dev The community takes over the proof system too, names a model's next verifier, and a real proof is paid.
    function test_a_proof_is_paid_under_governance() public {
        vm.prank(owner);
        ITwoStepOwner(address(proofs)).transferOwnership(address(timelock));
        timelock.acceptOwnershipOf(address(proofs));
        Fixture memory f = fixture("tiny-1");
        bytes memory key = abi.encodeCall(
            IEzklProofs.registerKey, (TINY, tinyVerifier, tinyVerifier.codehash, GAS_CAP, f.proof.length, 2)
        );
        enact(address(proofs), key);
        address fresh = deployCode("ProofSystem.sol:ProofSystem");
        enact(address(proofs), abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (fresh, "")));
        assertEq(proofs.keyCountOf(TINY), 2);

        bytes32 jobId = provable(TINY, f);
        assertEq(proofs.statementOf(jobId), f.statement, "the fixture is for another deployment");
        refused(submission(jobId, f), IEzklProofs.Status.WrongKey);
        IEzklProofs.Submission memory s = submission(jobId, f);
        s.version = 1;
        vm.prank(stranger);
        proofs.submitProof(s);
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(creditOf(host), PRICE - FEE);
        assertEq(reputation.statsOf(host).completed, 1);
    }

    /// @dev Parameters move by vote; who was there before keeps what was agreed.
    function test_a_vote_changes_the_fee_of_what_comes_after_it() public {
        bytes32 before = open();
        uint256 raised = FEE_BPS + FEE_BPS / 10;
        enact(address(store), setCall(ParameterStore.Key.SessionFeeBps, raised));
        assertEq(sessions.sessionOf(before).feeBps, FEE_BPS);
        assertEq(sessions.sessionOf(open()).feeBps, raised);
        // Past the store there is no way.
        Proposal memory p = ready(address(sessions), abi.encodeCall(sessions.setPolicy, (sessionPolicy())));
        vm.expectRevert(
            abi.encodeWithSelector(FabTimelock.OnlyThroughParameterStore.selector, sessions.setPolicy.selector)
        );
        execute(p);
    }

    /// @dev Money runs out, the breaker trips, entry closes, everybody finishes and leaves, and the market opens again.
    function test_an_emergency_from_the_first_alarm_to_the_reopening() public {
        bytes32 jobId = postClaimSubmit();
        bytes32 sessionId = open();
        vm.prank(payer);
        escrow.deposit(address(usdc), 2 * CAP);
        vm.prank(keeper);
        breaker.mark(address(usdc));
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, CAP + 1);
        vm.prank(stranger);
        breaker.trip(address(usdc));

        vm.expectRevert();
        post(host);
        settle(sessionId, 1e6);
        closeByHost(sessionId, 2e6);
        vm.prank(payer);
        jobs.acceptResult(jobId);
        vm.startPrank(host);
        escrow.withdraw(address(usdc), host, creditOf(host));
        registry.unregister();
        vm.stopPrank();
        vm.startPrank(payer);
        escrow.withdraw(address(usdc), payer, creditOf(payer));
        vm.stopPrank();
        assertEq(escrow.liabilitiesOf(address(usdc)), escrow.feesOf(address(usdc)), "only fees are left");

        skip(3 days);
        vm.prank(host);
        vm.expectRevert(abi.encodeWithSelector(CircuitBreaker.NoMark.selector, address(usdc)));
        breaker.trip(address(usdc));
        // Its stake is on the way out still; more is put up, and work goes on.
        vm.prank(host);
        registry.register(MIN_STAKE, CAPACITY, profile(), offersOf(MODEL, address(usdc), 2e6));
        postClaimSubmit();
        skip(4 days);
        registry.finishUnbonding(host);
        assertEq(escrow.creditOf(host, address(fab)), MIN_STAKE);
        assertEq(stakeLock(host), MIN_STAKE);
    }
}
