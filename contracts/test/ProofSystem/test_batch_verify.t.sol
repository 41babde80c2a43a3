// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice Many proofs in one call: each row is judged for itself.
contract BatchVerifyTest is ProofTest {
    Fixture private first;
    Fixture private second;
    bytes32 private one;
    bytes32 private two;

    function setUp() public override {
        super.setUp();
        (first, second) = (fixture("tiny-1"), fixture("tiny-2"));
        (one, two) = (provable(TINY, first), provable(TINY, second));
    }

    function test_an_empty_batch_is_nothing() public {
        assertEq(proofs.submitBatch(new IEzklProofs.Submission[](0)).length, 0);
    }

    function test_a_bad_row_does_not_touch_the_others() public {
        IEzklProofs.Submission[] memory rows = new IEzklProofs.Submission[](5);
        rows[0] = submission(one, second); // another job's
        rows[1] = submission(one, first);
        rows[1].proof = bytes.concat(first.proof);
        rows[1].proof[100] ^= 0x01;
        rows[2] = submission(one, first);
        rows[3] = submission(one, first); // once more
        rows[4] = submission(two, second);
        IEzklProofs.Status[] memory statuses = proofs.submitBatch(rows);
        assertEq(uint8(statuses[0]), uint8(IEzklProofs.Status.WrongInput));
        assertEq(uint8(statuses[1]), uint8(IEzklProofs.Status.Invalid));
        assertEq(uint8(statuses[2]), uint8(IEzklProofs.Status.Proven));
        assertEq(uint8(statuses[3]), uint8(IEzklProofs.Status.AlreadyProven));
        assertEq(uint8(statuses[4]), uint8(IEzklProofs.Status.Proven));
        assertEq(uint8(statusOf(one)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(uint8(statusOf(two)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(creditOf(host), 2 * (PRICE - PRICE * FEE_BPS / 10_000));
    }

    function test_rows_that_the_gas_does_not_reach_are_not_judged() public {
        IEzklProofs.Submission[] memory rows = new IEzklProofs.Submission[](2);
        (rows[0], rows[1]) = (submission(one, first), submission(two, second));
        bytes memory call_ = abi.encodeCall(proofs.submitBatch, (rows));
        (bool success, bytes memory answer) = address(proofs).call{ gas: 1_900_000 }(call_);
        assertTrue(success);
        IEzklProofs.Status[] memory statuses = abi.decode(answer, (IEzklProofs.Status[]));
        assertEq(uint8(statuses[0]), uint8(IEzklProofs.Status.Proven));
        assertEq(uint8(statuses[1]), uint8(IEzklProofs.Status.NotAttempted));
        proofs.submitProof(rows[1]);
    }
}
