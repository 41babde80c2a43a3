// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs, IHalo2Verifier } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice What proofs cost as transactions, base gas and calldata included, for two sizes of model.
/// @dev The figures are checked against `snapshots/proofs.json`.
/// forge-config: default.isolate = true
contract ProofGasTest is ProofTest {
    string private constant GROUP = "proofs";

    function measured(string memory name, uint256 goal) private {
        assertLe(vm.snapshotGasLastCall(GROUP, name), goal, name);
    }

    function measure(bytes32 model, string memory name, address verifier_) private {
        Fixture memory f = fixture(string.concat(name, "-1"));
        (bool holds,) = verifier_.call(abi.encodeCall(IHalo2Verifier.verifyProof, (f.proof, f.instances)));
        assertTrue(holds);
        measured(string.concat(name, ": verifier alone"), 900_000);
        bytes32 jobId = provable(model, f);
        IEzklProofs.Submission memory s = submission(jobId, f);
        proofs.submitProof(s);
        measured(string.concat(name, ": proof and payment"), 1_300_000);
        assertEq(proofs.recordOf(jobId).provenAt, block.timestamp);
    }

    function test_tiny() public {
        measure(TINY, "tiny", tinyVerifier);
    }

    function test_mlp() public {
        address mlp = deployCode("out/MlpVerifier.sol/MlpVerifier.json");
        vm.startPrank(owner);
        registry.setModel(MLP, true);
        registerKey(MLP, mlp, fixture("mlp-1").proof.length, 10);
        vm.stopPrank();
        measure(MLP, "mlp", mlp);
    }

    function test_batch_of_two() public {
        Fixture memory first = fixture("tiny-1");
        Fixture memory second = fixture("tiny-2");
        IEzklProofs.Submission[] memory rows = new IEzklProofs.Submission[](2);
        (rows[0], rows[1]) = (submission(provable(TINY, first), first), submission(provable(TINY, second), second));
        IEzklProofs.Status[] memory statuses = proofs.submitBatch(rows);
        measured("tiny: batch of two", 2_600_000);
        assertEq(uint8(statuses[0]), uint8(IEzklProofs.Status.Proven));
        assertEq(uint8(statuses[1]), uint8(IEzklProofs.Status.Proven));
    }
}
