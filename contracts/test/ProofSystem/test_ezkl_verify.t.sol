// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs, IHalo2Verifier } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { ProofTest } from "../support/ProofTest.sol";
import {
    EatingVerifier,
    LyingVerifier,
    RefusingVerifier,
    RevertingVerifier,
    TerseVerifier
} from "../support/Verifiers.sol";

/// @notice Real proofs of real models, made by EZKL, and everything that must not pass for one.
contract EzklVerifyTest is ProofTest {
    Fixture private first;
    bytes32 private jobId;
    uint256 private beforeJob;

    function setUp() public override {
        super.setUp();
        first = fixture("tiny-1");
        uint256 snapshot = vm.snapshotState();
        jobId = provable(TINY, first);
        beforeJob = snapshot;
    }

    function good() private view returns (IEzklProofs.Submission memory) {
        return submission(jobId, first);
    }

    function test_a_real_proof_pays_a_real_job() public {
        assertEq(proofs.statementOf(jobId), first.statement);
        vm.expectEmit(address(proofs));
        emit IEzklProofs.Proven(jobId, resultOf(first), 0);
        proofs.submitProof(good());
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
        assertEq(creditOf(host), PRICE - PRICE * FEE_BPS / 10_000);
        assertEq(reputation.statsOf(host).completed, 1);
    }

    function test_a_flipped_byte_is_refused_wherever_it_is() public {
        IEzklProofs.Submission memory s = good();
        for (uint256 i; i < 24; ++i) {
            uint256 at = i * 160 + 31;
            s.proof[at] ^= 0x01;
            refused(s, IEzklProofs.Status.Invalid);
            s.proof[at] ^= 0x01;
        }
    }

    function test_another_jobs_proof_is_refused() public {
        IEzklProofs.Submission memory s = submission(jobId, fixture("tiny-2"));
        refused(s, IEzklProofs.Status.WrongInput);
        bytes32 same = provable(TINY, first);
        refused(submission(same, first), IEzklProofs.Status.WrongStatement);
        // Its own statement written in by hand: the verifier sees it.
        s = submission(same, first);
        uint256 statement = uint256(proofs.statementOf(same));
        for (uint256 i; i < 16; ++i) {
            s.instances[4 + i] = statement >> (16 * (15 - i)) & 0xffff;
        }
        refused(s, IEzklProofs.Status.Invalid);
    }

    /// @dev The same job, number and all, but that another host has done it.
    function test_another_host_is_refused() public {
        IEzklProofs.Submission memory s = good();
        vm.revertToState(beforeJob);
        address other = makeAddr("other host");
        fund(other);
        register(other);
        IJobMarketplace.JobRequest memory r = request(other);
        (r.modelId, r.proofRequired, r.inputHash) = (TINY, true, first.inputHash);
        vm.prank(payer);
        assertEq(jobs.postJob(r), s.jobId);
        vm.startPrank(other);
        jobs.claimJob(s.jobId, PRICE);
        jobs.submitResult(s.jobId, resultOf(first), "");
        vm.stopPrank();
        refused(s, IEzklProofs.Status.WrongStatement);
    }

    function test_another_chain_is_refused() public {
        vm.chainId(8453);
        refused(good(), IEzklProofs.Status.WrongStatement);
    }

    function test_a_clone_is_refused() public {
        address clone = makeAddr("clone");
        vm.etch(clone, address(proofs).code);
        bytes32 slot = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;
        vm.store(clone, slot, vm.load(address(proofs), slot));
        IEzklProofs other = IEzklProofs(clone);
        other.initialize(owner);
        vm.startPrank(owner);
        other.wire(address(escrow), address(jobs), address(0));
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, jobId, IEzklProofs.Status.NoResult));
        other.submitProof(good());
        assertTrue(other.statementOf(jobId) != first.statement);
    }

    function test_an_instance_beyond_the_field_is_refused() public {
        IEzklProofs.Submission memory s = good();
        for (uint256 i; i < s.instances.length; ++i) {
            uint256 honest = s.instances[i];
            s.instances[i] = MODULUS;
            refused(s, IEzklProofs.Status.InstanceTooLarge);
            // The same element of the field in another spelling.
            if (honest <= type(uint256).max - MODULUS) {
                s.instances[i] = honest + MODULUS;
                refused(s, IEzklProofs.Status.InstanceTooLarge);
            }
            s.instances[i] = honest;
        }
    }

    function test_a_changed_instance_is_refused() public {
        IEzklProofs.Submission memory s = good();
        s.instances[1] ^= 1; // Poseidon(statement): only the circuit knows it
        refused(s, IEzklProofs.Status.Invalid);
        s = good();
        s.instances[2] = 7;
        refused(s, IEzklProofs.Status.WrongResult);
    }

    function test_made_up_result_is_refused() public {
        Fixture memory f = first;
        f.outputs[0] = 7;
        bytes32 lie = provable(TINY, f);
        IEzklProofs.Submission memory s = submission(lie, first);
        s.instances[2] = 7;
        uint256 statement = uint256(proofs.statementOf(lie));
        for (uint256 i; i < 16; ++i) {
            s.instances[4 + i] = statement >> (16 * (15 - i)) & 0xffff;
        }
        refused(s, IEzklProofs.Status.Invalid);
    }

    function test_lengths_are_those_of_the_key() public {
        IEzklProofs.Submission memory s = good();
        s.proof = bytes.concat(s.proof, hex"00");
        refused(s, IEzklProofs.Status.WrongLength);
        s = good();
        s.instances = new uint256[](19);
        refused(s, IEzklProofs.Status.WrongLength);
    }

    /// @dev The emitted verifier hashes the proof at its offset, but reads evaluations and commitments from fixed positions
    /// of its calldata: it refuses an honest proof at another offset. The next test forges with that. Through us the same layout means what the ABI says.
    function test_a_layout_with_two_proofs_is_refused() public {
        bytes memory other = bytes.concat(first.proof);
        for (uint256 i = 0x5a4 - 0x64; i < 0x6e4 - 0x64; ++i) {
            other[i] = fixture("tiny-2").proof[i];
        }
        // Straight to the verifier: one proof is accepted, the same one at another offset is not.
        (bool plain,) = tinyVerifier.staticcall{ gas: GAS_CAP }(
            abi.encodeCall(IHalo2Verifier.verifyProof, (first.proof, first.instances))
        );
        assertTrue(plain);
        (bool mixed,) = tinyVerifier.staticcall{ gas: GAS_CAP }(twoProofs(other, first.proof));
        assertFalse(mixed, "it does read from fixed positions");

        // Through us: the ABI's proof is judged, wherever it lies, and nothing else.
        bytes memory call_ = twoSubmissions(first.proof, other);
        (bool success, bytes memory err) = address(proofs).call(call_);
        assertFalse(success);
        bytes memory expected =
            abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, jobId, IEzklProofs.Status.Invalid);
        assertEq(err, expected);
        assertEq(lockedIn(address(jobs), jobId), PRICE, "the money stays");
        (success,) = address(proofs).call(twoSubmissions(other, first.proof));
        assertTrue(success, "the honest one at any offset is the honest one");
    }

    /// @dev A forgery, made without knowing anything secret. Challenges come from an honest proof at the offset. Where the
    /// verifier really reads, everything is zero but the first commitment, which is not hashed and enters the last sum with
    /// factor one: it is what the sum was without it, negated. Then both sides of the pairing are the point at infinity.
    function test_a_forged_layout_fools_the_bare_verifier_and_not_us() public {
        first.instances[1] = 7; // what only the verifier can judge
        bytes memory forged = new bytes(first.proof.length);
        (uint256 x, uint256 y) = (
            0x14fdc0c57ee7a9b4fee7ef186c490a4a933cd0be8211c5522234ba61831745d1,
            0x25a4eb25694eb955bc5254a1a7e12d7295dec0cc238ca5d011edd27f5282ab73
        );
        assembly {
            mstore(add(forged, 0x20), x)
            mstore(add(forged, 0x40), y)
        }
        (bool fooled, bytes memory answer) = tinyVerifier.staticcall(twoProofs(forged, first.proof));
        assertTrue(fooled);
        assertEq(abi.decode(answer, (uint256)), 1, "made-up instances, accepted");

        bytes memory expected =
            abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, jobId, IEzklProofs.Status.Invalid);
        bytes[2] memory calls = [twoSubmissions(forged, first.proof), twoSubmissions(first.proof, forged)];
        for (uint256 i; i < 2; ++i) {
            (bool success, bytes memory err) = address(proofs).call(calls[i]);
            assertFalse(success);
            assertEq(err, expected);
        }
        assertEq(lockedIn(address(jobs), jobId), PRICE, "the money stays");
    }

    /// @dev `decoy` where a plain call has its proof, `judged` where the offset points.
    function twoProofs(bytes memory decoy, bytes memory judged) private view returns (bytes memory) {
        uint256 size = 32 + decoy.length;
        uint256 instancesAt = 64 + 2 * size;
        return abi.encodePacked(
            IHalo2Verifier.verifyProof.selector,
            abi.encode(64 + size, instancesAt),
            abi.encodePacked(decoy.length, decoy, judged.length, judged),
            first.instances.length,
            first.instances
        );
    }

    function twoSubmissions(bytes memory decoy, bytes memory judged) private view returns (bytes memory) {
        uint256 size = 32 + decoy.length;
        return abi.encodePacked(
            IEzklProofs.submitProof.selector,
            abi.encode(uint256(32), jobId, uint256(0), 128 + size, 128 + 2 * size),
            abi.encodePacked(decoy.length, decoy, judged.length, judged),
            first.instances.length,
            first.instances
        );
    }

    // ---------------------------------------------------------------------------------------------------- keys

    function test_a_stale_key_is_refused() public {
        vm.startPrank(owner);
        skip(1);
        assertEq(registerKey(TINY, address(new RevertingVerifier()), first.proof.length, 2), 1);
        vm.stopPrank();
        // The job was claimed before: its key still serves it, and the new one does not.
        IEzklProofs.Submission memory s = good();
        s.version = 1;
        refused(s, IEzklProofs.Status.WrongKey);
        // A job claimed after can only use the new one.
        skip(1);
        IEzklProofs.Submission memory late = submission(provable(TINY, fixture("tiny-2")), fixture("tiny-2"));
        refused(late, IEzklProofs.Status.WrongKey);
        late.version = 1;
        refused(late, IEzklProofs.Status.Invalid);
        late.version = 2;
        refused(late, IEzklProofs.Status.WrongKey);
        proofs.submitProof(good());
        assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
    }

    function test_a_retired_key_serves_running_jobs() public {
        skip(1);
        vm.expectEmit(address(proofs));
        emit IEzklProofs.KeyRetired(TINY, 0);
        vm.prank(owner);
        proofs.retireKey(TINY);
        proofs.submitProof(good());
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.NoKey.selector, TINY));
        proofs.retireKey(TINY);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.NoKey.selector, MLP));
        proofs.retireKey(MLP);
        assertEq(registerKey(TINY, tinyVerifier, 1, 1), 1);
        vm.stopPrank();
        assertEq(proofs.keyCountOf(TINY), 2);
        assertEq(proofs.keyOf(TINY, 0).retiredAt, block.timestamp);
        assertEq(proofs.keyOf(TINY, 1).retiredAt, 0);
    }

    function test_only_the_owner_keeps_keys() public {
        vm.expectRevert();
        registerKey(TINY, tinyVerifier, 1, 1);
        vm.expectRevert();
        proofs.retireKey(TINY);
    }

    function test_keys_have_bounds() public {
        bytes32 hash = tinyVerifier.codehash;
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.OutOfBounds.selector, 2_000_001, 2_000_000));
        proofs.registerKey(TINY, tinyVerifier, hash, 2_000_001, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.OutOfBounds.selector, 0, 2_000_000));
        proofs.registerKey(TINY, tinyVerifier, hash, 0, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.OutOfBounds.selector, 16_385, 16_384));
        proofs.registerKey(TINY, tinyVerifier, hash, 1, 16_385, 1);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.OutOfBounds.selector, 65, 64));
        proofs.registerKey(TINY, tinyVerifier, hash, 1, 1, 65);
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.WrongCode.selector, tinyVerifier, bytes32("other"), hash));
        proofs.registerKey(TINY, tinyVerifier, "other", 1, 1, 1);
        vm.expectRevert();
        proofs.registerKey(TINY, stranger, stranger.codehash, 1, 1, 1);
        vm.stopPrank();
    }

    function test_a_verifier_whose_code_changed_is_refused() public {
        vm.etch(tinyVerifier, address(new LyingVerifier(1)).code);
        refused(good(), IEzklProofs.Status.VerifierChanged);
    }

    function test_a_verifier_that_reverts_eats_or_babbles_says_no() public {
        address[5] memory bad = [
            address(new RevertingVerifier()),
            address(new EatingVerifier()),
            address(new LyingVerifier(2)),
            address(new RefusingVerifier()),
            address(new TerseVerifier())
        ];
        for (uint256 i; i < 5; ++i) {
            vm.prank(owner);
            IEzklProofs.Submission memory s = good();
            s.version = registerKey(TINY, bad[i], first.proof.length, 2);
            uint256 before = gasleft();
            refused(s, IEzklProofs.Status.Invalid);
            assertLt(before - gasleft(), GAS_CAP + 1_000_000);
        }
        proofs.submitProof(good());
    }

    function test_too_little_gas_is_no_verdict() public {
        bytes memory call_ = abi.encodeCall(proofs.submitProof, (good()));
        (bool success, bytes memory err) = address(proofs).call{ gas: 1_000_000 }(call_);
        assertFalse(success);
        assertEq(err, abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, jobId, IEzklProofs.Status.NotAttempted));
        proofs.submitProof(good());
    }

    /// @dev An estimator hands over the least gas with which a call succeeds.
    function test_the_least_gas_that_proves_a_job_also_pays_it() public {
        bytes memory call_ = abi.encodeCall(proofs.submitProof, (good()));
        for (uint256 given = 1_000_000; given < 2_500_000; given += 10_000) {
            (bool success,) = address(proofs).call{ gas: given }(call_);
            if (!success) continue;
            assertEq(uint8(statusOf(jobId)), uint8(IJobMarketplace.JobStatus.Completed));
            assertEq(reputation.statsOf(host).completed, 1);
            return;
        }
        fail();
    }
}
