// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title IJobMarketplace
/// @notice One piece of work for one price: post, claim, submit, accept.
/// @dev A job's money lies in the PaymentEscrow under the lock `jobId` from `postJob` to the job's end. Whatever the
/// other parties do or fail to do, each job reaches an end within its deadlines, and anyone can carry it there.
/// Times are unix seconds; a step is allowed up to and including its deadline, and may be forced after it.
interface IJobMarketplace {
    /// @notice Where a job stands. From `Completed` on it has ended for good.
    enum JobStatus {
        /// @dev No such job.
        None,
        /// @dev Funded; may be claimed.
        Open,
        /// @dev A host is at work, until `deadline`.
        Claimed,
        /// @dev There is a result; the payer may look at it until `phaseEndsAt`.
        Submitted,
        /// @dev The payer has challenged the result; the host may counter until `phaseEndsAt`.
        Challenged,
        /// @dev The host stands by its result; the arbiter may rule until `phaseEndsAt`.
        Countered,
        /// @dev The host was paid in full.
        Completed,
        /// @dev Taken back before a host claimed it; the payer was refunded.
        Cancelled,
        /// @dev The host did not deliver; the payer was refunded.
        Failed,
        /// @dev A dispute ended with the money split.
        Split
    }

    /// @notice What a payer asks for.
    struct JobRequest {
        /// @dev Who may claim it; zero for any host.
        address host;
        /// @dev The token to pay in, open in the escrow; zero for ETH.
        address token;
        /// @dev The price in base units of `token`, fee included; at most `type(uint88).max`.
        uint256 amount;
        /// @dev The model to run, allowed by the registry.
        bytes32 modelId;
        /// @dev Unix seconds by which the result must be submitted, inclusive.
        uint40 deadline;
        /// @dev Whether only a proof, or the payer's own acceptance, releases the money.
        bool proofRequired;
        /// @dev Hash of the input.
        bytes32 inputHash;
        /// @dev Where the host finds the input. Not stored; it is in the event.
        string inputURI;
    }

    /// @notice A host's offer to do a job, signed by it (EIP-712). It serves once.
    struct JobQuote {
        /// @dev Who offers, and signs.
        address host;
        /// @dev Who may use it; zero for anyone.
        address payer;
        /// @dev The model.
        bytes32 modelId;
        /// @dev The token to pay in; zero for ETH.
        address token;
        /// @dev Least price in base units of `token`, fee included, inclusive.
        uint256 amount;
        /// @dev Hash of the input; zero for any.
        bytes32 inputHash;
        /// @dev Least time from posting to deadline that the host needs, in seconds.
        uint32 minDuration;
        /// @dev Unix seconds until which it may be used, inclusive.
        uint40 validUntil;
        /// @dev Any number that the host has not used.
        uint256 nonce;
    }

    /// @notice A job as a client sees it.
    struct Job {
        /// @dev Who pays, and who is refunded.
        address payer;
        /// @dev Who may claim or has claimed it; zero for any host.
        address host;
        /// @dev The token; zero for ETH.
        address token;
        /// @dev The price in base units, fee included.
        uint88 amount;
        /// @dev Protocol fee in 1/10,000 of what the host earns, fixed at the latest when claimed.
        uint16 feeBps;
        /// @dev Where it stands.
        JobStatus status;
        /// @dev Whether only a proof or the payer's own acceptance releases the money.
        bool proofRequired;
        /// @dev The model.
        bytes32 modelId;
        /// @dev Unix seconds by which the result must be submitted, inclusive.
        uint40 deadline;
        /// @dev Unix seconds of the claim; zero before.
        uint40 claimedAt;
        /// @dev Unix seconds of the submission; zero before.
        uint40 submittedAt;
        /// @dev Unix seconds at which the current phase after submission ends, inclusive; zero before.
        uint40 phaseEndsAt;
        /// @dev Hash of the input.
        bytes32 inputHash;
        /// @dev Hash of the result; zero before submission.
        bytes32 resultHash;
        /// @dev Base units that either side of a dispute has to put up.
        uint256 bond;
        /// @dev Who rules in a dispute; zero before a challenge.
        address arbiter;
        /// @dev Who says whether the result is proven; zero for nobody.
        address proofSystem;
    }

    /// @notice The rules for new jobs. Each job keeps those it was posted under.
    struct JobPolicy {
        /// @dev Protocol fee in 1/10,000 of what a host earns, at most 1,000.
        uint16 feeBps;
        /// @dev Seconds that a payer has to look at a result.
        uint24 reviewWindow;
        /// @dev Seconds that a host has to counter a challenge.
        uint24 counterWindow;
        /// @dev Seconds that the arbiter has to rule.
        uint24 arbiterWindow;
        /// @dev Bond of either side of a dispute, in 1/10,000 of the job's amount.
        uint16 bondBps;
        /// @dev What a host that claims and does not deliver loses, in 1/10,000 of the stake of one engagement.
        uint16 idleSlashBps;
        /// @dev What a host that loses a dispute loses, likewise.
        uint16 faultSlashBps;
        /// @dev Longest time from posting to deadline, in seconds.
        uint32 maxDuration;
    }

    /// @notice A job was posted and its money locked.
    /// @param jobId The job.
    /// @param payer Who pays.
    /// @param host Who may claim it; zero for any host.
    /// @param modelId The model.
    /// @param token The token; zero for ETH.
    /// @param amount The price in base units.
    /// @param deadline Unix seconds by which the result must be submitted.
    /// @param proofRequired Whether a proof is asked for.
    /// @param inputHash Hash of the input.
    /// @param inputURI Where the host finds the input.
    event JobPosted(
        bytes32 indexed jobId,
        address indexed payer,
        address indexed host,
        bytes32 modelId,
        address token,
        uint256 amount,
        uint256 deadline,
        bool proofRequired,
        bytes32 inputHash,
        string inputURI
    );
    /// @notice A host took a job on.
    /// @param jobId The job.
    /// @param host The host.
    /// @param feeBps The fee that will be charged on what it earns.
    event JobClaimed(bytes32 indexed jobId, address indexed host, uint256 feeBps);
    /// @notice A host delivered.
    /// @param jobId The job.
    /// @param host The host.
    /// @param resultHash Hash of the result.
    /// @param resultURI Where the payer finds the result.
    /// @param reviewEndsAt Unix seconds up to which the payer may look at it.
    event ResultSubmitted(
        bytes32 indexed jobId, address indexed host, bytes32 resultHash, string resultURI, uint256 reviewEndsAt
    );
    /// @notice A job ended with the host paid in full.
    /// @param jobId The job.
    /// @param host The host.
    /// @param payer The payer.
    /// @param hostPaid Base units credited to the host.
    /// @param fee Base units kept as fee.
    /// @param byPayer Whether the payer accepted; otherwise the window passed.
    event JobCompleted(
        bytes32 indexed jobId, address indexed host, address indexed payer, uint256 hostPaid, uint256 fee, bool byPayer
    );
    /// @notice A job was taken back before anyone claimed it, or its deadline passed unclaimed.
    /// @param jobId The job.
    /// @param payer The payer, refunded.
    /// @param amount Base units refunded.
    event JobCancelled(bytes32 indexed jobId, address indexed payer, uint256 amount);
    /// @notice A job ended without a result that counts.
    /// @param jobId The job.
    /// @param host The host that failed.
    /// @param payer The payer, refunded.
    /// @param amount Base units refunded.
    event JobFailed(bytes32 indexed jobId, address indexed host, address indexed payer, uint256 amount);
    /// @notice The payer disputes a result.
    /// @param jobId The job.
    /// @param payer The payer.
    /// @param bond Base units of the job's token put up.
    /// @param reasonHash Hash of the reason.
    /// @param counterUntil Unix seconds up to which the host may counter.
    event JobChallenged(
        bytes32 indexed jobId, address indexed payer, uint256 bond, bytes32 reasonHash, uint256 counterUntil
    );
    /// @notice The host stands by its result.
    /// @param jobId The job.
    /// @param host The host.
    /// @param bond Base units of the job's token put up.
    /// @param reasonHash Hash of the reason.
    /// @param ruleUntil Unix seconds up to which the arbiter may rule.
    event ChallengeCountered(
        bytes32 indexed jobId, address indexed host, uint256 bond, bytes32 reasonHash, uint256 ruleUntil
    );
    /// @notice A dispute ended.
    /// @param jobId The job.
    /// @param host The host.
    /// @param payer The payer.
    /// @param hostShareBps Share of the money that the host got, in 1/10,000.
    /// @param byArbiter Whether the arbiter ruled; otherwise a deadline passed, or a proof decided.
    event DisputeResolved(
        bytes32 indexed jobId, address indexed host, address indexed payer, uint256 hostShareBps, bool byArbiter
    );
    /// @notice A host took a quote back, or it was used.
    /// @param host The host.
    /// @param nonce The quote's nonce.
    event QuoteSpent(address indexed host, uint256 indexed nonce);
    /// @notice The registry did not take note of a job's end or of a slash; the money moved all the same.
    /// @param jobId The job.
    event RegistryUnreachable(bytes32 indexed jobId);
    /// @notice Who rules in new disputes changed.
    /// @param arbiter The account; zero for nobody.
    event ArbiterSet(address indexed arbiter);
    /// @notice Who verifies proofs of new jobs changed.
    /// @param proofSystem The contract; zero for none.
    event ProofSystemSet(address indexed proofSystem);
    /// @notice The rules for new jobs changed.
    /// @param policy The rules.
    event JobPolicySet(JobPolicy policy);
    /// @notice Who gets the fees changed.
    /// @param treasury The account.
    event TreasurySet(address indexed treasury);
    /// @notice The marketplace learnt the others.
    /// @param escrow The escrow.
    /// @param registry The registry.
    event Wired(address indexed escrow, address indexed registry);

    /// @notice The job is not in a state that allows the call.
    error WrongStatus(bytes32 jobId, JobStatus status);
    /// @notice The caller is not the job's payer.
    error NotPayer(bytes32 jobId, address caller);
    /// @notice The caller is not the job's host.
    error NotHost(bytes32 jobId, address caller);
    /// @notice A payer cannot be the host of its own job.
    error SelfDealing(address account);
    /// @notice The job's price is not what the host expected.
    error UnexpectedAmount(bytes32 jobId, uint256 expected, uint256 actual);
    /// @notice The deadline is not after now, or too far away.
    error BadDeadline(uint256 deadline, uint256 latest);
    /// @notice It is too late for the call.
    error TooLate(bytes32 jobId, uint256 until);
    /// @notice It is too early for the call.
    error TooEarly(bytes32 jobId, uint256 after_);
    /// @notice The model is unknown or not allowed.
    error ModelNotAllowed(bytes32 modelId);
    /// @notice A result needs a hash.
    error EmptyResult();
    /// @notice No proof system is known, so a job cannot ask for a proof.
    error NoProofSystem();
    /// @notice A job that asks for a proof is decided by it, not by a challenge.
    error ProofDecides(bytes32 jobId);
    /// @notice The result is not proven.
    error NotProven(bytes32 jobId);
    /// @notice The call needs more gas, so that the proof system can answer.
    error NotEnoughGas();
    /// @notice The caller is not the dispute's arbiter.
    error NotArbiter(bytes32 jobId, address caller);
    /// @notice The signature is not of the account that had to sign.
    error BadSignature(address expectedSigner);
    /// @notice The quote is for another payer.
    error QuoteForAnother(address payer, address caller);
    /// @notice The quote has run out.
    error QuoteExpired(uint256 validUntil);
    /// @notice The quote was used or taken back.
    error QuoteAlreadySpent(address host, uint256 nonce);
    /// @notice The request is not what the quote offers.
    error QuoteMismatch();
    /// @notice The value is outside of its bounds.
    error OutOfBounds(uint256 value, uint256 max);
    /// @notice A page holds 1 to `MAX_PAGE` entries.
    error BadPageSize(uint256 limit);

    /// @notice Sets owner, treasury and rules. Once, by the proxy's constructor.
    /// @param owner The owner, later the Timelock.
    /// @param treasury Who gets the fees.
    /// @param policy The rules for new jobs.
    function initialize(address owner, address treasury, JobPolicy calldata policy) external;

    /// @notice Connects the marketplace to the rest. Once, by the owner.
    /// @param escrow The escrow; this marketplace is one of its controllers.
    /// @param registry The registry; this marketplace is one of its markets.
    function wire(address escrow, address registry) external;

    /// @notice Sets the rules for new jobs. Owner only.
    /// @param policy The rules.
    function setPolicy(JobPolicy calldata policy) external;

    /// @notice Names who rules in new disputes. Owner only.
    /// @param arbiter The account; zero for nobody: then disputes end by their deadlines.
    function setArbiter(address arbiter) external;

    /// @notice Names who verifies proofs of new jobs. Owner only.
    /// @param proofSystem An `IProofSystem`; zero for none.
    function setProofSystem(address proofSystem) external;

    /// @notice Sets who gets the fees. Owner only.
    /// @param treasury The account.
    function setTreasury(address treasury) external;

    /// @notice Opens a token for payments. Owner only.
    /// @param token The token.
    function openToken(address token) external;

    /// @notice Closes a token for new payments; what is inside can leave. Owner only.
    /// @param token The token; zero for ETH.
    function closeToken(address token) external;

    /// @notice Turns the escrow's fees in a token into the treasury's credit. Anyone may call it.
    /// @param token The token; zero for ETH.
    /// @return amount Base units credited.
    function collectFees(address token) external returns (uint256 amount);

    /// @notice Posts a job and locks its price: ETH sent, then the caller's escrow credit, then its allowance to the
    /// escrow.
    /// @param request What is asked for.
    /// @return jobId `payer << 96 | number`, number counting the payer's jobs from 1.
    function postJob(JobRequest calldata request) external payable returns (bytes32 jobId);

    /// @notice Posts a job that its host has agreed to beforehand: it is claimed in the same call, so nobody can come
    /// between.
    /// @param request What is asked for; its host is the quote's.
    /// @param quote The host's offer; it serves once.
    /// @param hostSignature The host's signature of `quoteDigest(quote)` (ECDSA, ERC-1271 or ERC-6492).
    /// @return jobId As in `postJob`.
    function postJobWithQuote(JobRequest calldata request, JobQuote calldata quote, bytes calldata hostSignature)
        external
        payable
        returns (bytes32 jobId);

    /// @notice Takes a quote of the caller back.
    /// @param nonce The quote's nonce.
    function cancelQuote(uint256 nonce) external;

    /// @notice Takes a job on as the caller. Locks stake of the caller until the job ends.
    /// @param jobId The job, open to any host or to the caller.
    /// @param expectedAmount The job's price as the host knows it; another price is refused.
    function claimJob(bytes32 jobId, uint256 expectedAmount) external;

    /// @notice Delivers the result. The job's host only, up to the deadline.
    /// @param jobId The job.
    /// @param resultHash Hash of the result, not zero.
    /// @param resultURI Where the payer finds it. Not stored; it is in the event.
    function submitResult(bytes32 jobId, bytes32 resultHash, string calldata resultURI) external;

    /// @notice Gives a claimed job up and refunds its payer. The host only. Counts as a failure but costs no stake.
    /// @param jobId The job.
    function abandonJob(bytes32 jobId) external;

    /// @notice Accepts the result and pays the host into its escrow credit. The payer only, any time after submission
    /// unless the job is in dispute.
    /// @param jobId The job.
    function acceptResult(bytes32 jobId) external;

    /// @notice Disputes a result within the review window. The payer only. Puts up a bond from the ETH sent, the caller's
    /// escrow credit, then its allowance to the escrow.
    /// @param jobId The job.
    /// @param reasonHash Hash of the reason.
    function challengeResult(bytes32 jobId, bytes32 reasonHash) external payable;

    /// @notice Stands by a challenged result within the counter window. The host only. Puts up the same bond likewise.
    /// @param jobId The job.
    /// @param reasonHash Hash of the reason.
    function counterChallenge(bytes32 jobId, bytes32 reasonHash) external payable;

    /// @notice Decides a countered dispute. The arbiter named at the challenge only, within its window. A share of zero
    /// means that the host is at fault: it loses its bond and stake. A share of 10,000 means that the payer is: it loses
    /// its bond. Half of a lost bond goes to the other side, half is burnt. Anything between returns both bonds.
    /// @param jobId The job.
    /// @param hostShareBps Share of the money for the host, in 1/10,000, inclusive.
    function ruleDispute(bytes32 jobId, uint256 hostShareBps) external;

    /// @notice Ends a dispute in which somebody let a deadline pass. Anyone may call it. A host that did not counter is at
    /// fault; if the arbiter did not rule, the money is halved and both bonds return.
    /// @param jobId The job.
    function resolveDispute(bytes32 jobId) external;

    /// @notice Pays the host of a proven result, whatever else is under way. Anyone may call it. In a dispute the payer is
    /// then at fault.
    /// @param jobId The job.
    function completeWithProof(bytes32 jobId) external;

    /// @notice Ends a job after the review window has passed without a challenge. Anyone may call it. The host is paid,
    /// unless the job asked for a proof and there is none: then the payer is refunded.
    /// @param jobId The job.
    function finalizeJob(bytes32 jobId) external;

    /// @notice Takes an unclaimed job back. The payer only.
    /// @param jobId The job.
    function cancelJob(bytes32 jobId) external;

    /// @notice Refunds the payer of a job whose deadline has passed without a result. Anyone may call it. A host that had
    /// claimed it loses stake.
    /// @param jobId The job.
    function expireJob(bytes32 jobId) external;

    /// @notice A job.
    /// @param jobId The job.
    function jobOf(bytes32 jobId) external view returns (Job memory);

    /// @notice How many jobs a payer has posted; their ids are `jobIdOf(payer, 1)` to this number, inclusive.
    /// @param payer The payer.
    function jobCountOf(address payer) external view returns (uint256);

    /// @notice The id of a payer's job.
    /// @param payer The payer.
    /// @param number From 1 on.
    function jobIdOf(address payer, uint256 number) external pure returns (bytes32);

    /// @notice A page of the jobs that a host has claimed, oldest first.
    /// @param host The host.
    /// @param cursor Jobs to skip; zero for the first page.
    /// @param limit Most ids to return, 1 to `MAX_PAGE`.
    /// @return jobIds The jobs.
    /// @return next Cursor of the next page; zero if this was the last.
    function jobsOfHost(address host, uint256 cursor, uint256 limit)
        external
        view
        returns (bytes32[] memory jobIds, uint256 next);

    /// @notice What a host signs for a quote.
    /// @param quote The quote.
    function quoteDigest(JobQuote calldata quote) external view returns (bytes32);

    /// @notice Whether a quote was used or taken back.
    /// @param host The host.
    /// @param nonce The quote's nonce.
    function isQuoteSpent(address host, uint256 nonce) external view returns (bool);

    /// @notice The escrow's lock of a bond.
    /// @param jobId The job.
    /// @param ofHost Whether it is the host's; otherwise the payer's.
    function bondLockOf(bytes32 jobId, bool ofHost) external pure returns (bytes32);

    /// @notice Who rules in new disputes; zero for nobody.
    function arbiter() external view returns (address);

    /// @notice Who verifies proofs of new jobs; zero for none.
    function proofSystem() external view returns (address);

    /// @notice The rules for new jobs.
    function policy() external view returns (JobPolicy memory);

    /// @notice Who gets the fees.
    function treasury() external view returns (address);

    /// @notice The registry; zero before `wire`.
    function registry() external view returns (address);
}
