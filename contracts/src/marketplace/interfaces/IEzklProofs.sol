// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IProofSystem } from "./IProofSystem.sol";

/// @title IHalo2Verifier
/// @notice The entry of a verifier that EZKL emits.
interface IHalo2Verifier {
    /// @notice Whether a proof holds; reverts if it does not.
    /// @param proof The proof.
    /// @param instances The public instances.
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external returns (bool);
}

/// @title IEzklProofs
/// @notice Proofs that a small model, its weights fixed by a verifier's code, gave a job's result on the job's input.
/// @dev The public instances of a circuit are, in this order: the Poseidon hash of the input, which is the job's
/// `inputHash`; the Poseidon hash of the statement; the outputs, whose keccak256 is the job's `resultHash`; the
/// statement's 16 limbs of 16 bits, most significant first.
interface IEzklProofs is IProofSystem {
    /// @notice What became of a submitted proof.
    enum Status {
        /// @dev It holds; the job is proven.
        Proven,
        /// @dev The job was proven before.
        AlreadyProven,
        /// @dev The job has no result that is still to be decided.
        NoResult,
        /// @dev The key was not in force when the job was claimed.
        WrongKey,
        /// @dev Proof or instances are not as long as the key says.
        WrongLength,
        /// @dev An instance is not below the field's modulus.
        InstanceTooLarge,
        /// @dev The proof is about another input.
        WrongInput,
        /// @dev The proof is about another result.
        WrongResult,
        /// @dev The proof was made for another job, host, model, chain or contract.
        WrongStatement,
        /// @dev The verifier is no longer the code that was registered.
        VerifierChanged,
        /// @dev The verifier did not accept it.
        Invalid,
        /// @dev Too little gas was left to ask the verifier.
        NotAttempted
    }

    /// @notice A verifier of a model, in force for jobs claimed from `activeFrom` to `retiredAt`, both inclusive.
    struct Key {
        /// @dev The verifier that EZKL emitted; the key is in its code.
        address verifier;
        /// @dev Gas that it gets for one proof.
        uint32 gasCap;
        /// @dev Length of a proof in bytes.
        uint32 proofBytes;
        /// @dev How many outputs the model has.
        uint16 outputs;
        /// @dev Unix seconds of the registration.
        uint40 activeFrom;
        /// @dev Unix seconds of the retirement; zero while in force.
        uint40 retiredAt;
        /// @dev Hash of the verifier's code.
        bytes32 codeHash;
    }

    /// @notice A proof for a job.
    struct Submission {
        /// @dev The job.
        bytes32 jobId;
        /// @dev The model's key, counted from 0.
        uint256 version;
        /// @dev The proof.
        bytes proof;
        /// @dev The public instances.
        uint256[] instances;
    }

    /// @notice What is known about a job.
    struct Record {
        /// @dev Unix seconds of the proof; zero without.
        uint40 provenAt;
        /// @dev Unix seconds of the host's assertion; zero without.
        uint40 assertedAt;
        /// @dev Unix seconds of the challenge; zero without.
        uint40 challengedAt;
        /// @dev Seconds to challenge an assertion; zero while the payer has not allowed one.
        uint24 challengeWindow;
        /// @dev Seconds to answer a challenge.
        uint24 responseWindow;
        /// @dev Whether the bonds have ended.
        bool settled;
        /// @dev Who challenged.
        address challenger;
        /// @dev The result that is proven or asserted.
        bytes32 resultHash;
    }

    /// @notice A model has a new key; the one before it is retired.
    /// @param modelId The model.
    /// @param version The key's number.
    /// @param verifier The verifier.
    /// @param codeHash Hash of its code.
    event KeyRegistered(bytes32 indexed modelId, uint256 indexed version, address verifier, bytes32 codeHash);
    /// @notice A key serves no jobs claimed after now.
    /// @param modelId The model.
    /// @param version The key's number.
    event KeyRetired(bytes32 indexed modelId, uint256 indexed version);
    /// @notice A job's result is proven.
    /// @param jobId The job.
    /// @param resultHash The result.
    /// @param version The key.
    event Proven(bytes32 indexed jobId, bytes32 resultHash, uint256 version);
    /// @notice The marketplace did not complete a proven job; anyone may do so later.
    /// @param jobId The job.
    event NotCompleted(bytes32 indexed jobId);
    /// @notice A payer lets its host assert the result instead of proving it.
    /// @param jobId The job.
    /// @param challengeWindow Seconds to challenge.
    /// @param responseWindow Seconds to answer with a proof.
    event AssertionAllowed(bytes32 indexed jobId, uint256 challengeWindow, uint256 responseWindow);
    /// @notice A host put up a bond for its result.
    /// @param jobId The job.
    /// @param bond Base units of the job's token.
    /// @param until Unix seconds up to which it can be challenged.
    event Asserted(bytes32 indexed jobId, uint256 bond, uint256 until);
    /// @notice Somebody put up a bond against an assertion.
    /// @param jobId The job.
    /// @param challenger Who.
    /// @param until Unix seconds up to which a proof answers it.
    event AssertionChallenged(bytes32 indexed jobId, address indexed challenger, uint256 until);
    /// @notice The bonds of an assertion ended.
    /// @param jobId The job.
    /// @param winner Who got more than its own bond; zero for nobody.
    event AssertionSettled(bytes32 indexed jobId, address winner);
    /// @notice The contract learnt the others.
    /// @param escrow The escrow.
    /// @param market The marketplace.
    /// @param reputation The reputation system; zero for none.
    event Wired(address indexed escrow, address indexed market, address reputation);

    /// @notice The proof was refused.
    error ProofRefused(bytes32 jobId, Status status);
    /// @notice The verifier's code is not the one named.
    error WrongCode(address verifier, bytes32 expected, bytes32 actual);
    /// @notice The value is outside of its bounds.
    error OutOfBounds(uint256 value, uint256 max);
    /// @notice The model has no key in force.
    error NoKey(bytes32 modelId);
    /// @notice The caller is not the job's payer.
    error NotPayer(bytes32 jobId, address caller);
    /// @notice The caller is not the job's host.
    error NotHost(bytes32 jobId, address caller);
    /// @notice The job or its assertion is not in a state that allows the call.
    error WrongState(bytes32 jobId);
    /// @notice It is too early for the call.
    error TooEarly(bytes32 jobId, uint256 after_);
    /// @notice It is too late for the call.
    error TooLate(bytes32 jobId, uint256 until);
    /// @notice The job's terms ask for no bond, so its result cannot be asserted.
    error NoBond(bytes32 jobId);

    /// @notice Sets the owner. Once, by the proxy's constructor.
    /// @param owner The owner, later the Timelock.
    function initialize(address owner) external;

    /// @notice Connects the contract to the rest. Once, by the owner.
    /// @param escrow The escrow; this contract is one of its controllers.
    /// @param market The marketplace whose jobs are proven.
    /// @param reputation Where completed jobs are recorded; zero for nowhere.
    function wire(address escrow, address market, address reputation) external;

    /// @notice Gives a model a key, from now on, and retires the one before. Owner only.
    /// @param modelId The model.
    /// @param verifier The verifier that EZKL emitted.
    /// @param codeHash Hash of its code.
    /// @param gasCap Gas for one proof, at most 2,000,000.
    /// @param proofBytes Length of a proof, at most 16,384 bytes.
    /// @param outputs How many outputs the model has, 1 to 64.
    /// @return version The key's number.
    function registerKey(
        bytes32 modelId,
        address verifier,
        bytes32 codeHash,
        uint256 gasCap,
        uint256 proofBytes,
        uint256 outputs
    ) external returns (uint256 version);

    /// @notice Retires a model's key: jobs claimed up to now can still be proven with it. Owner only.
    /// @param modelId The model.
    function retireKey(bytes32 modelId) external;

    /// @notice Proves a job's result, and has the marketplace complete the job. Anyone may bring the proof.
    /// @param submission The proof.
    function submitProof(Submission calldata submission) external;

    /// @notice The same for many; a row that is refused does not touch the others.
    /// @param submissions The proofs.
    /// @return statuses What became of each.
    function submitBatch(Submission[] calldata submissions) external returns (Status[] memory statuses);

    /// @notice Lets the host of a job of the caller's assert its result against a bond. Once for each job.
    /// @param jobId The job, which asks for a proof.
    /// @param challengeWindow Seconds that anyone has to challenge the assertion, not zero.
    /// @param responseWindow Seconds that the host has to answer with a proof, not zero.
    function allowAssertion(bytes32 jobId, uint24 challengeWindow, uint24 responseWindow) external;

    /// @notice Asserts the result of a job of the caller's, with the job's dispute bond (ETH sent, credit or allowance).
    /// It counts as proven once the challenge window has passed. Both windows must fit in the job's review.
    /// @param jobId The job.
    function assertResult(bytes32 jobId) external payable;

    /// @notice Challenges an assertion, with the same bond. Only a real proof answers it.
    /// @param jobId The job.
    function challengeAssertion(bytes32 jobId) external payable;

    /// @notice Ends the bonds of an assertion. A proof in time gives the host its own and half of the challenger's, silence
    /// the challenger its own and half of the host's; the other half is burnt. If the payer accepted a result that was
    /// challenged and not proven, or nobody challenged it, everyone gets their own back. Anyone may call it.
    /// @param jobId The job.
    function settleAssertion(bytes32 jobId) external;

    /// @notice What a proof for a job has to be made for, to be given to the circuit in limbs.
    /// @param jobId The job.
    function statementOf(bytes32 jobId) external view returns (bytes32);

    /// @notice A model's key.
    /// @param modelId The model.
    /// @param version The key's number.
    function keyOf(bytes32 modelId, uint256 version) external view returns (Key memory);

    /// @notice How many keys a model has had.
    /// @param modelId The model.
    function keyCountOf(bytes32 modelId) external view returns (uint256);

    /// @notice What is known about a job.
    /// @param jobId The job.
    function recordOf(bytes32 jobId) external view returns (Record memory);

    /// @notice The escrow lock that holds a bond of an assertion.
    /// @param jobId The job.
    /// @param ofHost Whether the host's; otherwise the challenger's.
    function bondLockOf(bytes32 jobId, bool ofHost) external pure returns (bytes32);

    /// @notice The marketplace.
    function market() external view returns (address);

    /// @notice The reputation system; zero for none.
    function reputation() external view returns (address);
}
