// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { MarketTest } from "./MarketTest.sol";

/// @notice A marketplace whose jobs can be proven with the proofs in `proofs/fixtures`. Those are bound to addresses, so
/// marketplace and proof system stand at fixed ones.
abstract contract ProofTest is MarketTest {
    uint256 internal constant MODULUS = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    bytes32 internal constant TINY = "tiny";
    bytes32 internal constant MLP = "mlp";
    uint256 internal constant GAS_CAP = 1_000_000;
    uint24 internal constant CHALLENGE = 6 hours;
    uint24 internal constant RESPONSE = 12 hours;

    address internal tinyVerifier;
    address internal watcher = makeAddr("watcher");

    /// @dev A proof as `pipeline.py` wrote it.
    struct Fixture {
        bytes32 inputHash;
        uint256[] outputs;
        bytes32 statement;
        bytes proof;
        uint256[] instances;
    }

    function setUp() public virtual override {
        super.setUp();
        register(host);
        fund(watcher);
        tinyVerifier = deployCode("out/TinyVerifier.sol/TinyVerifier.json");
        vm.startPrank(owner);
        jobs.setProofSystem(address(proofs));
        registry.setModel(TINY, true);
        registerKey(TINY, tinyVerifier, fixture("tiny-1").proof.length, 2);
        vm.stopPrank();
    }

    function proxyOf(string memory artifact, bytes memory init) internal virtual override returns (address proxy) {
        proxy = super.proxyOf(artifact, init);
        bytes32 name = keccak256(bytes(artifact));
        bool bound =
            name == keccak256("JobMarketplace.sol:JobMarketplace") || name == keccak256("ProofSystem.sol:ProofSystem");
        if (!bound) return proxy;
        address fixed_ = makeAddr(artifact);
        bytes32 slot = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;
        vm.etch(fixed_, proxy.code);
        vm.store(fixed_, slot, vm.load(proxy, slot));
        (bool success,) = fixed_.call(init);
        assertTrue(success);
        return fixed_;
    }

    function registerKey(bytes32 model, address verifier_, uint256 proofBytes, uint256 outputs)
        internal
        returns (uint256)
    {
        return proofs.registerKey(model, verifier_, verifier_.codehash, GAS_CAP, proofBytes, outputs);
    }

    function fixture(string memory name) internal view returns (Fixture memory f) {
        string memory json = vm.readFile(string.concat("proofs/fixtures/", name, ".json"));
        f.inputHash = vm.parseJsonBytes32(json, ".inputHash");
        f.outputs = vm.parseJsonUintArray(json, ".outputs");
        f.statement = vm.parseJsonBytes32(json, ".statement");
        f.proof = vm.parseJsonBytes(json, ".proof");
        f.instances = vm.parseJsonUintArray(json, ".instances");
    }

    function resultOf(Fixture memory f) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(f.outputs));
    }

    function submission(bytes32 jobId, Fixture memory f) internal pure returns (IEzklProofs.Submission memory) {
        return IEzklProofs.Submission({ jobId: jobId, version: 0, proof: f.proof, instances: f.instances });
    }

    /// @dev The payer's next job, as far as the host's result; a fixture's number is that of its job.
    function provable(bytes32 model, Fixture memory f) internal returns (bytes32 jobId) {
        IJobMarketplace.JobRequest memory r = request(host);
        (r.modelId, r.proofRequired, r.inputHash) = (model, true, f.inputHash);
        vm.prank(payer);
        jobId = jobs.postJob(r);
        vm.startPrank(host);
        jobs.claimJob(jobId, PRICE);
        jobs.submitResult(jobId, resultOf(f), "");
        vm.stopPrank();
    }

    function refused(IEzklProofs.Submission memory s, IEzklProofs.Status status) internal {
        vm.expectRevert(abi.encodeWithSelector(IEzklProofs.ProofRefused.selector, s.jobId, status));
        proofs.submitProof(s);
        assertEq(lockedIn(address(jobs), s.jobId), PRICE, "the money stays");
    }

    function creditOf(address account) internal view returns (uint256) {
        return escrow.creditOf(account, address(usdc));
    }
}
