// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import {
    BoastfulReputation,
    CarelessJobs,
    CarelessProofs,
    ForgetfulRegistry,
    ForgetfulSessions,
    GenerousSessions,
    GreedySessions,
    PatientJobs,
    PausableEscrow,
    PayingTwiceEscrow,
    RepetitiveRegistry,
    RestlessJobs
} from "./Mutants.sol";
import { Invariants } from "./test_invariants.t.sol";

/// @notice Negative controls: for each invariant a marketplace that is broken in one place, and a few steps after which
/// the invariant says so. The same steps leave the whole one in order.
contract MutantsTest is Invariants {
    bytes32 private constant IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    function realOf(address proxy) private view returns (address) {
        return address(uint160(uint256(vm.load(proxy, IMPLEMENTATION))));
    }

    function install(address proxy, address mutant) private {
        vm.store(proxy, IMPLEMENTATION, bytes32(uint256(uint160(mutant))));
    }

    /// @dev The escrow has no proxy: its code moves elsewhere, and the mutant takes its place.
    function escrowCopy() private returns (address real) {
        real = makeAddr("real escrow");
        vm.etch(real, address(escrow).code);
    }

    /// @dev USDC everywhere; the first payer, the first host.
    function aJob() private {
        handler.postJob(0, 1, 0, 100e6);
        handler.claimJob(0, 0);
    }

    function aResult() private {
        aJob();
        handler.submitResult(0);
    }

    function aSession() private {
        handler.openSession(0, 1, 0, 1_000_000);
        handler.settle(0, 500_000, type(uint256).max);
    }

    function expectFailure(bytes memory call, string memory reason) private {
        (bool success, bytes memory err) = address(this).call(call);
        assertFalse(success, "the mutant was not caught");
        bytes memory text = bytes(abi.decode(slice(err), (string)));
        assertTrue(startsWith(text, bytes(reason)), string.concat("caught for another reason: ", string(text)));
    }

    function slice(bytes memory err) private pure returns (bytes memory rest) {
        rest = new bytes(err.length - 4);
        for (uint256 i; i < rest.length; ++i) {
            rest[i] = err[i + 4];
        }
    }

    function startsWith(bytes memory text, bytes memory prefix) private pure returns (bool) {
        if (text.length < prefix.length) return false;
        for (uint256 i; i < prefix.length; ++i) {
            if (text[i] != prefix[i]) return false;
        }
        return true;
    }

    function test_whole_marketplace_passes_the_same_steps() public {
        handler.deposit(0, 1, 5e6);
        handler.withdraw(0, 1, 1e6);
        aResult();
        aSession();
        handler.challengeResult(0);
        handler.setOffer(0, 1);
        handler.addStake(0, 10e18);
        handler.startUnbonding(0, 5e18);
        handler.startClose(0);
        check1_solvency();
        check2_conservation();
        check3_monotony();
        check4_terminality();
        check5_withdrawals();
        check6_stake();
        check7_lists();
        check8_bonds();
        check9_reputation();
        check10_terms();
        checkEverythingEnds();
    }

    function test_1_catches_paying_twice() public {
        handler.deposit(0, 1, 5e6);
        vm.etch(address(escrow), address(new PayingTwiceEscrow(escrowCopy())).code);
        handler.withdraw(0, 1, 1e6);
        expectFailure(abi.encodeCall(this.check1_solvency, ()), "1:");
    }

    function test_2_catches_paying_more_than_the_voucher() public {
        handler.openSession(0, 1, 0, 1_000_000);
        install(address(sessions), address(new GenerousSessions(realOf(address(sessions)), escrow)));
        (bool success,) = address(handler).call(abi.encodeCall(handler.settle, (0, 500_000, type(uint256).max)));
        assertFalse(success, "the handler sees it too");
        sessions.settle(voucherFor(handler.sessionIds(0), 1), "");
        expectFailure(abi.encodeCall(this.check2_conservation, ()), "2:");
    }

    function test_3_catches_settled_falling() public {
        aSession();
        install(address(sessions), address(new ForgetfulSessions(realOf(address(sessions)), escrow)));
        handler.startClose(0);
        expectFailure(abi.encodeCall(this.check3_monotony, ()), "3:");
    }

    function test_4_catches_a_job_that_comes_back() public {
        aResult();
        install(address(jobs), address(new RestlessJobs(realOf(address(jobs)))));
        bytes32 jobId = handler.jobIds(0);
        handler.acceptResult(0);
        assertEq(uint8(statusOf(jobId)), 3);
        expectFailure(abi.encodeCall(this.check4_terminality, ()), "4:");
    }

    function test_4_catches_a_path_without_an_end() public {
        aJob();
        install(address(jobs), address(new PatientJobs(realOf(address(jobs)))));
        expectFailure(abi.encodeCall(this.checkEverythingEnds, ()), "4:");
    }

    function test_5_catches_withdrawals_that_depend_on_pause() public {
        handler.deposit(0, 1, 5e6);
        vm.etch(address(escrow), address(new PausableEscrow(escrowCopy(), IGoverned(address(jobs)))).code);
        expectFailure(abi.encodeCall(this.check5_withdrawals, ()), "5:");
    }

    function test_6_catches_stake_that_is_on_the_books_only() public {
        handler.addStake(0, 10e18);
        install(address(registry), address(new ForgetfulRegistry(realOf(address(registry)), escrow)));
        handler.startUnbonding(0, 5e18);
        expectFailure(abi.encodeCall(this.check6_stake, ()), "6:");
    }

    function test_7_catches_a_node_listed_twice() public {
        install(address(registry), address(new RepetitiveRegistry(realOf(address(registry)))));
        handler.setOffer(0, 1);
        expectFailure(abi.encodeCall(this.check7_lists, ()), "7:");
    }

    function test_8_catches_a_bond_that_is_not_kept() public {
        aResult();
        install(address(jobs), address(new CarelessJobs(realOf(address(jobs)), escrow)));
        handler.challengeResult(0);
        expectFailure(abi.encodeCall(this.check8_bonds, ()), "8:");
    }

    function anAssertion() private {
        handler.postJob(0, 1, 0, 100e6 + 3);
        handler.claimJob(0, 0);
        handler.submitResult(0);
        handler.allowAssertion(0);
        handler.assertResult(0);
    }

    function test_8_catches_a_bond_of_an_assertion_that_is_not_kept() public {
        uint256 snapshot = vm.snapshotState();
        anAssertion();
        handler.challengeAssertion(0, 1);
        check8_bonds();
        check1_solvency();
        handler.submitProof(0);
        handler.settleAssertion(0);
        check8_bonds();
        vm.revertToState(snapshot);
        install(address(proofs), address(new CarelessProofs(realOf(address(proofs)), escrow)));
        anAssertion();
        expectFailure(abi.encodeCall(this.check8_bonds, ()), "8:");
    }

    function test_9_catches_performance_counted_twice() public {
        aResult();
        handler.acceptResult(0);
        install(address(reputation), address(new BoastfulReputation(realOf(address(reputation)), handler.hosts(0))));
        handler.record(0, true);
        expectFailure(abi.encodeCall(this.check9_reputation, ()), "9:");
    }

    function test_10_catches_a_price_that_moves() public {
        aSession();
        install(address(sessions), address(new GreedySessions(realOf(address(sessions)))));
        handler.startClose(0);
        expectFailure(abi.encodeCall(this.check10_terms, ()), "10:");
    }
}
