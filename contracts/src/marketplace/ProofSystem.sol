// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { LibCall } from "solady/utils/LibCall.sol";
import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { Governed } from "./base/Governed.sol";
import { IEngagements } from "./interfaces/IEngagements.sol";
import { IEzklProofs, IHalo2Verifier } from "./interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "./interfaces/IJobMarketplace.sol";
import { IPaymentEscrow } from "./interfaces/IPaymentEscrow.sol";
import { IProofSystem } from "./interfaces/IProofSystem.sol";
import { IReputationSystem } from "./interfaces/IReputationSystem.sol";

/// @title ProofSystem
/// @notice Verifies EZKL proofs of jobs' results, or takes a bonded assertion until somebody asks for the proof.
/// @dev Caller-laid-out calldata never reaches an emitted verifier: it hashes the proof from its ABI offset and reads
/// parts of it from fixed positions, so that a layout with two proofs makes it accept anything. A proof is decoded here and
/// encoded anew. Holds no money.
contract ProofSystem is IEzklProofs, Governed {
    /// @notice Most gas that a verifier can be given, inclusive.
    uint256 public constant MAX_GAS_CAP = 2_000_000;

    /// @notice Longest proof in bytes, inclusive.
    uint256 public constant MAX_PROOF_BYTES = 16_384;

    /// @notice Most outputs of a model, inclusive.
    uint256 public constant MAX_OUTPUTS = 64;

    /// @notice Whose credit a burnt half bond becomes; nobody has the key.
    address public constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    /// @dev Order of the scalar field of BN254. Instances are its elements.
    uint256 private constant MODULUS = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    /// @dev Instances before the outputs: the hashes of input and statement.
    uint256 private constant HASHES = 2;

    /// @dev Limbs of the statement, of 16 bits: wide enough to be few, narrow enough for the circuit's range checks.
    uint256 private constant LIMBS = 16;

    /// @dev Gas to go on with after the verifier has eaten all of its own: the marketplace asks for 500,000 and a little
    /// before it asks back. With less, whoever gives the least that works would prove a job and leave its host unpaid.
    uint256 private constant GAS_RESERVE = 700_000;

    /// @dev How the bonds of an assertion end.
    enum Ending {
        Even,
        HostWins,
        ChallengerWins
    }

    /// @custom:storage-location erc7201:fabstir.storage.ProofSystem
    struct ProofStorage {
        /// @dev The marketplace.
        IJobMarketplace market;
        /// @dev Where completed jobs are recorded; zero for nowhere.
        IReputationSystem reputation;
        /// @dev By model, in the order of registration; the last one is in force unless it is retired.
        mapping(bytes32 modelId => Key[]) keys;
        /// @dev By job.
        mapping(bytes32 jobId => Record) records;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.ProofSystem")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant PROOF_STORAGE = 0xdbc9654b26aa3d7902b5c9505feb64b37a9a96f39f68cb7bbafe607b5dd76300;

    /// @inheritdoc IEzklProofs
    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    // --------------------------------------------------------------------------------------------------- owner

    /// @inheritdoc IEzklProofs
    function wire(address escrow_, address market_, address reputation_) external onlyOwner {
        if (market_ == address(0)) revert ZeroAddressGiven();
        _setEscrow(escrow_);
        ProofStorage storage $ = _proofs();
        ($.market, $.reputation) = (IJobMarketplace(market_), IReputationSystem(reputation_));
        emit Wired(escrow_, market_, reputation_);
    }

    /// @inheritdoc IEzklProofs
    function registerKey(
        bytes32 modelId,
        address verifier,
        bytes32 codeHash,
        uint256 gasCap,
        uint256 proofBytes,
        uint256 outputs
    ) external onlyOwner returns (uint256 version) {
        if (verifier.code.length == 0 || verifier.codehash != codeHash) {
            revert WrongCode(verifier, codeHash, verifier.codehash);
        }
        _bound(gasCap, MAX_GAS_CAP);
        _bound(proofBytes, MAX_PROOF_BYTES);
        _bound(outputs, MAX_OUTPUTS);
        Key[] storage keys = _proofs().keys[modelId];
        version = keys.length;
        if (version > 0 && keys[version - 1].retiredAt == 0) _retire(modelId, keys);
        keys.push(
            Key({
                verifier: verifier,
                gasCap: SafeCastLib.toUint32(gasCap),
                proofBytes: SafeCastLib.toUint32(proofBytes),
                outputs: SafeCastLib.toUint16(outputs),
                activeFrom: SafeCastLib.toUint40(block.timestamp),
                retiredAt: 0,
                codeHash: codeHash
            })
        );
        emit KeyRegistered(modelId, version, verifier, codeHash);
    }

    /// @inheritdoc IEzklProofs
    function retireKey(bytes32 modelId) external onlyOwner {
        Key[] storage keys = _proofs().keys[modelId];
        if (keys.length == 0 || keys[keys.length - 1].retiredAt != 0) revert NoKey(modelId);
        _retire(modelId, keys);
    }

    // ------------------------------------------------------------------------------------------------- proving

    /// @inheritdoc IEzklProofs
    function submitProof(Submission calldata submission) external nonReentrant {
        Status status = _submit(submission);
        if (status != Status.Proven) revert ProofRefused(submission.jobId, status);
    }

    /// @inheritdoc IEzklProofs
    function submitBatch(Submission[] calldata submissions) external nonReentrant returns (Status[] memory statuses) {
        statuses = new Status[](submissions.length);
        for (uint256 i; i < submissions.length; ++i) {
            statuses[i] = _submit(submissions[i]);
        }
    }

    // ---------------------------------------------------------------------------------------------- assertions

    /// @inheritdoc IEzklProofs
    function allowAssertion(bytes32 jobId, uint24 challengeWindow, uint24 responseWindow) external {
        IJobMarketplace.Job memory job = _job(jobId);
        if (msg.sender != job.payer) revert NotPayer(jobId, msg.sender);
        Record storage record = _proofs().records[jobId];
        if (!job.proofRequired || record.challengeWindow != 0 || challengeWindow == 0 || responseWindow == 0) {
            revert WrongState(jobId);
        }
        (record.challengeWindow, record.responseWindow) = (challengeWindow, responseWindow);
        emit AssertionAllowed(jobId, challengeWindow, responseWindow);
    }

    /// @inheritdoc IEzklProofs
    function assertResult(bytes32 jobId) external payable nonReentrant {
        IJobMarketplace.Job memory job = _job(jobId);
        Record storage record = _proofs().records[jobId];
        if (msg.sender != job.host) revert NotHost(jobId, msg.sender);
        if (
            job.status != IJobMarketplace.JobStatus.Submitted || record.challengeWindow == 0 || record.assertedAt != 0
                || record.provenAt != 0
        ) revert WrongState(jobId);
        if (job.bond == 0) revert NoBond(jobId);
        // A challenge at the last moment must still leave the host its whole time to answer.
        uint256 until = block.timestamp + record.challengeWindow;
        uint256 latest = job.phaseEndsAt;
        if (until + record.responseWindow > latest) revert TooLate(jobId, latest);
        record.assertedAt = SafeCastLib.toUint40(block.timestamp);
        record.resultHash = job.resultHash;
        emit Asserted(jobId, job.bond, until);
        _lockBond(jobId, true, job);
    }

    /// @inheritdoc IEzklProofs
    function challengeAssertion(bytes32 jobId) external payable nonReentrant {
        IJobMarketplace.Job memory job = _job(jobId);
        Record storage record = _proofs().records[jobId];
        if (
            job.status != IJobMarketplace.JobStatus.Submitted || record.assertedAt == 0 || record.challengedAt != 0
                || record.provenAt != 0
        ) revert WrongState(jobId);
        uint256 until = uint256(record.assertedAt) + record.challengeWindow;
        if (block.timestamp > until) revert TooLate(jobId, until);
        (record.challengedAt, record.challenger) = (SafeCastLib.toUint40(block.timestamp), msg.sender);
        emit AssertionChallenged(jobId, msg.sender, block.timestamp + record.responseWindow);
        _lockBond(jobId, false, job);
    }

    /// @inheritdoc IEzklProofs
    function settleAssertion(bytes32 jobId) external nonReentrant {
        Record storage record = _proofs().records[jobId];
        if (record.assertedAt == 0 || record.settled) revert WrongState(jobId);
        // Not `jobOf`, which asks the registry: bonds must come out whatever happens to that.
        IEngagements.Result result = IEngagements(address(_proofs().market)).outcomeOf(jobId).result;
        (address host,,) = _escrow().lockOf(address(this), _bondLock(jobId, true));
        Ending ending = _ending(jobId, record, result);
        record.settled = true;
        emit AssertionSettled(
            jobId, ending == Ending.HostWins ? host : ending == Ending.ChallengerWins ? record.challenger : address(0)
        );
        _endBond(jobId, true, ending == Ending.ChallengerWins, record.challenger);
        if (record.challengedAt != 0) _endBond(jobId, false, ending == Ending.HostWins, host);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IProofSystem
    function isProven(bytes32 jobId, bytes32 resultHash) external view returns (bool) {
        ProofStorage storage $ = _proofs();
        Record storage record = $.records[jobId];
        if (msg.sender != address($.market) || record.resultHash != resultHash) return false;
        if (record.provenAt != 0) return true;
        return record.assertedAt != 0 && record.challengedAt == 0
            && block.timestamp > uint256(record.assertedAt) + record.challengeWindow;
    }

    /// @inheritdoc IEzklProofs
    function statementOf(bytes32 jobId) external view returns (bytes32) {
        return _statement(jobId, _job(jobId));
    }

    /// @inheritdoc IEzklProofs
    function keyOf(bytes32 modelId, uint256 version) external view returns (Key memory) {
        return _proofs().keys[modelId][version];
    }

    /// @inheritdoc IEzklProofs
    function keyCountOf(bytes32 modelId) external view returns (uint256) {
        return _proofs().keys[modelId].length;
    }

    /// @inheritdoc IEzklProofs
    function recordOf(bytes32 jobId) external view returns (Record memory) {
        return _proofs().records[jobId];
    }

    /// @inheritdoc IEzklProofs
    function bondLockOf(bytes32 jobId, bool ofHost) external pure returns (bytes32) {
        return _bondLock(jobId, ofHost);
    }

    /// @inheritdoc IEzklProofs
    function market() external view returns (address) {
        return address(_proofs().market);
    }

    /// @inheritdoc IEzklProofs
    function reputation() external view returns (address) {
        return address(_proofs().reputation);
    }

    // ------------------------------------------------------------------------------------------------ internal

    /// @dev Judges a proof; if it holds, writes it down and carries the job to its end.
    function _submit(Submission calldata submission) private returns (Status status) {
        bytes32 jobId = submission.jobId;
        ProofStorage storage $ = _proofs();
        Record storage record = $.records[jobId];
        if (record.provenAt != 0) return Status.AlreadyProven;
        IJobMarketplace.Job memory job;
        try $.market.jobOf(jobId) returns (IJobMarketplace.Job memory found) {
            job = found;
        } catch {
            return Status.NoResult;
        }
        status = _judge(submission, job);
        if (status != Status.Proven) return status;
        record.provenAt = SafeCastLib.toUint40(block.timestamp);
        record.resultHash = job.resultHash;
        emit Proven(jobId, job.resultHash, submission.version);
        _complete(jobId);
    }

    /// @dev Everything that can be checked here, then the verifier.
    function _judge(Submission calldata submission, IJobMarketplace.Job memory job) private view returns (Status) {
        if (
            job.status < IJobMarketplace.JobStatus.Submitted || job.status > IJobMarketplace.JobStatus.Countered
                || job.proofSystem != address(this)
        ) return Status.NoResult;
        Key[] storage keys = _proofs().keys[job.modelId];
        if (submission.version >= keys.length) return Status.WrongKey;
        Key memory key = keys[submission.version];
        if (job.claimedAt < key.activeFrom || (key.retiredAt != 0 && job.claimedAt > key.retiredAt)) {
            return Status.WrongKey;
        }
        Status status = _checkInstances(submission, key, job);
        if (status != Status.Proven) return status;
        if (key.verifier.codehash != key.codeHash) return Status.VerifierChanged;
        // The verifier always gets the same gas, so that a caller cannot turn a yes into a no.
        if (gasleft() < (uint256(key.gasCap) + GAS_RESERVE) * 64 / 63) return Status.NotAttempted;
        bytes memory question = abi.encodeCall(IHalo2Verifier.verifyProof, (submission.proof, submission.instances));
        (bool success,, bytes memory answer) = LibCall.tryStaticCall(key.verifier, key.gasCap, 32, question);
        bool holds = success && answer.length == 32 && abi.decode(answer, (uint256)) == 1;
        return holds ? Status.Proven : Status.Invalid;
    }

    /// @dev Compares every instance that is not bound by another one.
    function _checkInstances(Submission calldata submission, Key memory key, IJobMarketplace.Job memory job)
        private
        view
        returns (Status)
    {
        uint256[] calldata instances = submission.instances;
        uint256 limbsAt = HASHES + key.outputs;
        if (submission.proof.length != key.proofBytes || instances.length != limbsAt + LIMBS) {
            return Status.WrongLength;
        }
        for (uint256 i; i < instances.length; ++i) {
            if (instances[i] >= MODULUS) return Status.InstanceTooLarge;
        }
        if (bytes32(instances[0]) != job.inputHash) return Status.WrongInput;
        if (keccak256(abi.encodePacked(instances[HASHES:limbsAt])) != job.resultHash) return Status.WrongResult;
        uint256 statement = uint256(_statement(submission.jobId, job));
        for (uint256 i; i < LIMBS; ++i) {
            if (instances[limbsAt + i] != statement >> (16 * (LIMBS - 1 - i)) & 0xffff) return Status.WrongStatement;
        }
        return Status.Proven;
    }

    /// @dev Pays the host of a proven job and puts the job in its record. Neither can undo the proof.
    function _complete(bytes32 jobId) private {
        ProofStorage storage $ = _proofs();
        try $.market.completeWithProof(jobId) { }
        catch {
            emit NotCompleted(jobId);
            return;
        }
        if (address($.reputation) == address(0)) return;
        try $.reputation.record(address($.market), jobId) { } catch { }
    }

    /// @dev What a proof is made for. Another job, host, model, chain or clone of either contract gives another one.
    function _statement(bytes32 jobId, IJobMarketplace.Job memory job) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                block.chainid,
                address(this),
                address(_proofs().market),
                jobId,
                job.host,
                job.modelId,
                job.inputHash,
                job.resultHash
            )
        );
    }

    /// @dev How the bonds end. Reverts while that is open.
    function _ending(bytes32 jobId, Record storage record, IEngagements.Result result) private view returns (Ending) {
        if (record.challengedAt == 0) {
            uint256 until = uint256(record.assertedAt) + record.challengeWindow;
            bool open = record.provenAt == 0 && result == IEngagements.Result.None;
            if (open && block.timestamp <= until) revert TooEarly(jobId, until);
            return Ending.Even;
        }
        uint256 respondUntil = uint256(record.challengedAt) + record.responseWindow;
        if (record.provenAt != 0) return record.provenAt <= respondUntil ? Ending.HostWins : Ending.ChallengerWins;
        // Completed without a proof: the payer took the result as it is.
        if (result == IEngagements.Result.Completed) return Ending.Even;
        if (block.timestamp <= respondUntil) revert TooEarly(jobId, respondUntil);
        return Ending.ChallengerWins;
    }

    function _lockBond(bytes32 jobId, bool ofHost, IJobMarketplace.Job memory job) private {
        _escrow().lock{ value: msg.value }(_bondLock(jobId, ofHost), msg.sender, job.token, job.bond);
    }

    /// @dev Ends a bond: gives it back, or takes it. Half of what is taken goes to the other side, half is burnt, so that
    /// a dispute with oneself costs.
    function _endBond(bytes32 jobId, bool ofHost, bool taken, address other) private {
        bytes32 id = _bondLock(jobId, ofHost);
        IPaymentEscrow vault = _escrow();
        if (!taken) {
            vault.refundAll(id);
            return;
        }
        (,, uint256 bond) = vault.lockOf(address(this), id);
        vault.release(id, BURN_ADDRESS, bond - bond / 2, 0);
        if (bond > 1) vault.release(id, other, bond / 2, 0);
    }

    function _retire(bytes32 modelId, Key[] storage keys) private {
        uint256 version = keys.length - 1;
        keys[version].retiredAt = SafeCastLib.toUint40(block.timestamp);
        emit KeyRetired(modelId, version);
    }

    function _job(bytes32 jobId) private view returns (IJobMarketplace.Job memory) {
        return _proofs().market.jobOf(jobId);
    }

    function _bound(uint256 value, uint256 max) private pure {
        if (value == 0 || value > max) revert OutOfBounds(value, max);
    }

    function _bondLock(bytes32 jobId, bool ofHost) private pure returns (bytes32) {
        return keccak256(abi.encode(jobId, ofHost));
    }

    function _proofs() private pure returns (ProofStorage storage $) {
        assembly {
            $.slot := PROOF_STORAGE
        }
    }
}
