// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { MarketModel, Parts } from "./MarketModel.sol";

/// @notice The handler's steps around proofs and assertions. The verifier says yes to everything, as proofs of jobs that
/// the fuzzer makes up cannot be had; what is around it is the real thing.
abstract contract ProofHandler is MarketModel {
    uint24 private constant CHALLENGE = 20 minutes;
    uint24 private constant RESPONSE = 20 minutes;

    constructor(Parts memory parts) MarketModel(parts) { }

    /// @dev Takes a job that asks for a proof along either way.
    function proofStep(uint256 op, uint256 which, uint256 choice) external {
        op %= 8;
        if (op < 2) this.allowAssertion(which);
        else if (op < 4) this.assertResult(which);
        else if (op == 4) this.challengeAssertion(which, choice);
        else if (op == 5) this.settleAssertion(which);
        else if (op == 6) this.completeWithProof(which);
        else this.submitProof(which);
    }

    function allowAssertion(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bool can = job.proofRequired && p.proofs.recordOf(jobId).challengeWindow == 0;
        bytes memory data = abi.encodeCall(IEzklProofs.allowAssertion, (jobId, CHALLENGE, RESPONSE));
        _call(job.payer, address(p.proofs), 0, data, can ? NONE : IEzklProofs.WrongState.selector);
    }

    function assertResult(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0 || job.host == address(0)) return;
        IEzklProofs.Record memory r = p.proofs.recordOf(jobId);
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Submitted);
        if (err != NONE || r.challengeWindow == 0 || r.assertedAt != 0 || r.provenAt != 0) {
            err = IEzklProofs.WrongState.selector;
        } else if (job.bond == 0) {
            err = IEzklProofs.NoBond.selector;
        } else if (block.timestamp + CHALLENGE + RESPONSE > job.phaseEndsAt) {
            err = IEzklProofs.TooLate.selector;
        }
        _stake(job.host, job, abi.encodeCall(IEzklProofs.assertResult, (jobId)), err);
    }

    function challengeAssertion(uint256 which, uint256 by) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        IEzklProofs.Record memory r = p.proofs.recordOf(jobId);
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Submitted);
        if (err != NONE || r.assertedAt == 0 || r.challengedAt != 0 || r.provenAt != 0) {
            err = IEzklProofs.WrongState.selector;
        } else if (block.timestamp > uint256(r.assertedAt) + CHALLENGE) {
            err = IEzklProofs.TooLate.selector;
        }
        _stake(payers[by % 3], job, abi.encodeCall(IEzklProofs.challengeAssertion, (jobId)), err);
    }

    function submitProof(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bool open =
            job.status >= IJobMarketplace.JobStatus.Submitted && job.status <= IJobMarketplace.JobStatus.Countered;
        bytes4 err = open ? NONE : IEzklProofs.ProofRefused.selector;
        bytes memory data = abi.encodeCall(IEzklProofs.submitProof, (_submission(jobId, job)));
        _endJobAt(address(p.proofs), address(this), jobId, job, data, err, 10_000);
        if (err == NONE) _noteRecord(jobId, true, job.host);
    }

    function completeWithProof(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bytes4 err;
        if (job.status < IJobMarketplace.JobStatus.Submitted || job.status > IJobMarketplace.JobStatus.Countered) {
            err = IJobMarketplace.WrongStatus.selector;
        } else if (!_isProven(jobId, job)) {
            err = IJobMarketplace.NotProven.selector;
        }
        _endJob(address(this), jobId, job, abi.encodeCall(IJobMarketplace.completeWithProof, (jobId)), err, 10_000);
    }

    function settleAssertion(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        IEzklProofs.Record memory r = p.proofs.recordOf(jobId);
        (bytes4 err, uint256 hosts, uint256 challengers) = _settlement(job, r);
        uint256 host = p.escrow.creditOf(job.host, job.token);
        uint256 challenger = p.escrow.creditOf(r.challenger, job.token);
        bytes memory data = abi.encodeCall(IEzklProofs.settleAssertion, (jobId));
        (bool ok,) = _call(address(this), address(p.proofs), 0, data, err);
        if (!ok) return;
        assertEq(p.escrow.creditOf(job.host, job.token), host + hosts, "host's bonds");
        if (r.challenger != address(0)) {
            assertEq(p.escrow.creditOf(r.challenger, job.token), challenger + challengers, "challenger's bonds");
        }
        uint256 lost = (r.challengedAt == 0 ? job.bond : 2 * job.bond) - hosts - challengers;
        bondsOut += hosts + challengers;
        bondsBurnt += lost;
        burnt[job.token] += lost;
    }

    /// @dev What settling ends with, and who gets how much.
    function _settlement(IJobMarketplace.Job memory job, IEzklProofs.Record memory r)
        private
        view
        returns (bytes4 err, uint256 hosts, uint256 challengers)
    {
        if (r.assertedAt == 0 || r.settled) return (IEzklProofs.WrongState.selector, 0, 0);
        uint256 won = job.bond + job.bond / 2;
        bool open = r.provenAt == 0 && job.status != IJobMarketplace.JobStatus.Completed;
        if (r.challengedAt == 0) {
            open = open && job.status == IJobMarketplace.JobStatus.Submitted;
            bool early = open && block.timestamp <= uint256(r.assertedAt) + CHALLENGE;
            return (early ? IEzklProofs.TooEarly.selector : NONE, job.bond, 0);
        }
        uint256 until = uint256(r.challengedAt) + RESPONSE;
        if (r.provenAt != 0 && r.provenAt <= until) return (NONE, won, 0);
        if (r.provenAt != 0) return (NONE, 0, won);
        if (!open) return (NONE, job.bond, job.bond);
        return (block.timestamp <= until ? IEzklProofs.TooEarly.selector : NONE, 0, won);
    }

    /// @dev A bond of an assertion.
    function _stake(address actor, IJobMarketplace.Job memory job, bytes memory data, bytes4 err) private {
        if (err == NONE) err = _fundingError(actor, job.token, job.bond);
        uint256 value = err == NONE ? _valueFor(actor, job.token, job.bond) : 0;
        (bool ok,) = _call(actor, address(p.proofs), value, data, err);
        if (ok) bondsIn += job.bond;
    }

    function _submission(bytes32 jobId, IJobMarketplace.Job memory job)
        private
        view
        returns (IEzklProofs.Submission memory s)
    {
        (s.jobId, s.proof, s.instances) = (jobId, new bytes(1), new uint256[](19));
        s.instances[0] = uint256(job.inputHash);
        s.instances[2] = OUTPUT;
        uint256 statement = uint256(p.proofs.statementOf(jobId));
        for (uint256 i; i < 16; ++i) {
            s.instances[3 + i] = statement >> (16 * (15 - i)) & 0xffff;
        }
    }
}
