// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { EIP712 } from "solady/utils/EIP712.sol";
import { LibCall } from "solady/utils/LibCall.sol";
import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { Governed } from "./base/Governed.sol";
import { IEngagements } from "./interfaces/IEngagements.sol";
import { IJobMarketplace } from "./interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "./interfaces/IPaymentEscrow.sol";
import { IProofSystem } from "./interfaces/IProofSystem.sol";
import { OwnedId } from "./libraries/OwnedId.sol";
import { Signed } from "./libraries/Signed.sol";

/// @title JobMarketplace
/// @notice Jobs: one piece of work for one price.
/// @dev Holds no money. A job's id names its payer, so it can be computed before it is posted and needs no list.
contract JobMarketplace is IJobMarketplace, IEngagements, Governed, EIP712 {
    /// @notice Most entries in a page of a view.
    uint256 public constant MAX_PAGE = 100;

    /// @notice The highest fee that can be set, in 1/10,000 of what a host earns, inclusive.
    uint256 public constant MAX_FEE_BPS = 1_000;

    /// @notice The longest window or duration that can be set, in seconds, inclusive.
    uint256 public constant MAX_WINDOW = 90 days;

    /// @notice Whose credit a burnt half bond becomes. Nobody has the key, so it never leaves the escrow.
    address public constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    /// @dev The host's share if the arbiter is silent, in 1/10,000: neither side may count on silence.
    uint256 private constant SILENT_SHARE = 5_000;

    /// @dev Gas that a proof system gets to answer; one that eats more has not proven anything.
    uint256 private constant PROOF_GAS = 500_000;

    /// @dev Gas for the money at a job's end. A registry that has left less has eaten all it was given, and is not asked
    /// again: it would leave 1/64 of this.
    uint256 private constant ENDING_GAS = 500_000;

    bytes32 private constant QUOTE_TYPEHASH = keccak256(
        "JobQuote(address host,address payer,bytes32 modelId,address token,uint256 amount,bytes32 inputHash,uint32 minDuration,uint40 validUntil,uint256 nonce)"
    );

    /// @dev A job as stored. The payer is in the id.
    struct JobRecord {
        /// @dev Who may claim or has claimed it; zero for any host.
        address host;
        /// @dev Where it stands.
        JobStatus status;
        /// @dev Whether a proof is asked for.
        bool proofRequired;
        /// @dev Fee in 1/10,000 of what the host earns.
        uint16 feeBps;
        /// @dev Bond of either side of a dispute, in 1/10,000 of `amount`.
        uint16 bondBps;
        /// @dev The model's index in the registry.
        uint16 modelIndex;
        /// @dev Seconds for the payer's review.
        uint24 reviewWindow;
        /// @dev The token; zero for ETH.
        address token;
        /// @dev The price in base units.
        uint88 amount;
        /// @dev Unix seconds by which the result must be submitted, inclusive.
        uint40 deadline;
        /// @dev Unix seconds of the claim.
        uint40 claimedAt;
        /// @dev Unix seconds of the submission.
        uint40 submittedAt;
        /// @dev Unix seconds at which the phase after submission ends, inclusive.
        uint40 phaseEndsAt;
        /// @dev Seconds for the host's counter.
        uint24 counterWindow;
        /// @dev Seconds for the arbiter.
        uint24 arbiterWindow;
        /// @dev What a host that does not deliver loses, in 1/10,000 of the stake of one engagement.
        uint16 idleSlashBps;
        /// @dev What a host that loses a dispute loses, likewise.
        uint16 faultSlashBps;
        /// @dev Hash of the input.
        bytes32 inputHash;
        /// @dev Hash of the result.
        bytes32 resultHash;
        /// @dev Who rules; zero before a challenge.
        address arbiter;
        /// @dev Who says whether the result is proven; zero for nobody.
        address proofSystem;
    }

    /// @custom:storage-location erc7201:fabstir.storage.JobMarketplace
    struct MarketStorage {
        /// @dev The rules for new jobs.
        JobPolicy policy;
        /// @dev Knows the hosts.
        INodeRegistry registry;
        /// @dev Who gets the fees.
        address treasury;
        /// @dev Checks signatures of contract accounts; the escrow's.
        address verifier;
        /// @dev Who rules in new disputes; zero for nobody.
        address arbiter;
        /// @dev Who verifies proofs of new jobs; zero for none.
        address proofSystem;
        /// @dev By id.
        mapping(bytes32 jobId => JobRecord) jobs;
        /// @dev Jobs posted, by payer.
        mapping(address payer => uint256) posted;
        /// @dev Jobs claimed, by host, in the order of claiming.
        mapping(address host => bytes32[]) claimed;
        /// @dev Quotes used or taken back, by host and nonce.
        mapping(address host => mapping(uint256 nonce => bool)) quoteSpent;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.JobMarketplace")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant MARKET_STORAGE = 0x89d6ae10e84318e46560931e52aeafde0e8fd06f9ecbe25b58c516312dd35b00;

    /// @inheritdoc IJobMarketplace
    function initialize(address owner_, address treasury_, JobPolicy calldata policy_) external initializer {
        __Ownable_init(owner_);
        _setTreasury(treasury_);
        _setPolicy(policy_);
    }

    // --------------------------------------------------------------------------------------------------- owner

    /// @inheritdoc IJobMarketplace
    function wire(address escrow_, address registry_) external onlyOwner {
        MarketStorage storage $ = _market();
        if (registry_ == address(0)) revert ZeroAddressGiven();
        _setEscrow(escrow_);
        $.registry = INodeRegistry(registry_);
        $.verifier = IPaymentEscrow(escrow_).signatureVerifier();
        emit Wired(escrow_, registry_);
    }

    /// @inheritdoc IJobMarketplace
    function setPolicy(JobPolicy calldata policy_) external onlyOwner {
        _setPolicy(policy_);
    }

    /// @inheritdoc IJobMarketplace
    function setTreasury(address treasury_) external onlyOwner {
        _setTreasury(treasury_);
    }

    /// @inheritdoc IJobMarketplace
    function setArbiter(address arbiter_) external onlyOwner {
        _market().arbiter = arbiter_;
        emit ArbiterSet(arbiter_);
    }

    /// @inheritdoc IJobMarketplace
    function setProofSystem(address proofSystem_) external onlyOwner {
        _market().proofSystem = proofSystem_;
        emit ProofSystemSet(proofSystem_);
    }

    /// @inheritdoc IJobMarketplace
    function openToken(address token) external onlyOwner {
        _escrow().openToken(token);
    }

    /// @inheritdoc IJobMarketplace
    function closeToken(address token) external onlyOwner {
        _escrow().closeToken(token);
    }

    /// @inheritdoc IJobMarketplace
    function collectFees(address token) external nonReentrant returns (uint256 amount) {
        return _escrow().collectFees(token, _market().treasury);
    }

    // --------------------------------------------------------------------------------------------------- payer

    /// @inheritdoc IJobMarketplace
    function postJob(JobRequest calldata request) external payable whenEntryOpen nonReentrant returns (bytes32 jobId) {
        jobId = _post(request);
        _lockPrice(jobId, request);
    }

    /// @inheritdoc IJobMarketplace
    function postJobWithQuote(JobRequest calldata request, JobQuote calldata quote, bytes calldata hostSignature)
        external
        payable
        whenEntryOpen
        nonReentrant
        returns (bytes32 jobId)
    {
        _useQuote(request, quote, hostSignature);
        jobId = _post(request);
        _claim(jobId, _market().jobs[jobId], quote.host);
        _lockPrice(jobId, request);
    }

    /// @inheritdoc IJobMarketplace
    function acceptResult(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Submitted);
        _onlyPayer(jobId);
        _complete(jobId, job, true);
    }

    /// @inheritdoc IJobMarketplace
    function challengeResult(bytes32 jobId, bytes32 reasonHash) external payable nonReentrant {
        MarketStorage storage $ = _market();
        JobRecord storage job = _job(jobId, JobStatus.Submitted);
        _onlyPayer(jobId);
        if (job.proofRequired) revert ProofDecides(jobId);
        _notAfter(jobId, job.phaseEndsAt);

        uint256 counterUntil = block.timestamp + job.counterWindow;
        job.status = JobStatus.Challenged;
        job.phaseEndsAt = SafeCastLib.toUint40(counterUntil);
        job.arbiter = $.arbiter;
        emit JobChallenged(jobId, msg.sender, _bond(job), reasonHash, counterUntil);
        _lockBond(jobId, job, false);
    }

    /// @inheritdoc IJobMarketplace
    function cancelJob(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Open);
        _onlyPayer(jobId);
        _cancel(jobId, job);
    }

    // ---------------------------------------------------------------------------------------------------- host

    /// @inheritdoc IJobMarketplace
    function claimJob(bytes32 jobId, uint256 expectedAmount) external whenEntryOpen nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Open);
        _notAfter(jobId, job.deadline);
        if (job.host != address(0) && job.host != msg.sender) revert NotHost(jobId, msg.sender);
        if (msg.sender == OwnedId.ownerOf(jobId)) revert SelfDealing(msg.sender);
        if (expectedAmount != job.amount) revert UnexpectedAmount(jobId, expectedAmount, job.amount);
        _claim(jobId, job, msg.sender);
    }

    /// @inheritdoc IJobMarketplace
    function cancelQuote(uint256 nonce) external {
        _spendQuote(msg.sender, nonce);
    }

    /// @inheritdoc IJobMarketplace
    function abandonJob(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Claimed);
        _onlyHost(jobId, job.host);
        _fail(jobId, job, 0);
    }

    /// @inheritdoc IJobMarketplace
    function counterChallenge(bytes32 jobId, bytes32 reasonHash) external payable nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Challenged);
        _onlyHost(jobId, job.host);
        _notAfter(jobId, job.phaseEndsAt);

        uint256 ruleUntil = block.timestamp + job.arbiterWindow;
        job.status = JobStatus.Countered;
        job.phaseEndsAt = SafeCastLib.toUint40(ruleUntil);
        emit ChallengeCountered(jobId, msg.sender, _bond(job), reasonHash, ruleUntil);
        _lockBond(jobId, job, true);
    }

    /// @inheritdoc IJobMarketplace
    function submitResult(bytes32 jobId, bytes32 resultHash, string calldata resultURI) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Claimed);
        _onlyHost(jobId, job.host);
        _notAfter(jobId, job.deadline);
        if (resultHash == bytes32(0)) revert EmptyResult();

        uint256 reviewEndsAt = block.timestamp + job.reviewWindow;
        job.status = JobStatus.Submitted;
        job.submittedAt = SafeCastLib.toUint40(block.timestamp);
        job.phaseEndsAt = SafeCastLib.toUint40(reviewEndsAt);
        job.resultHash = resultHash;
        emit ResultSubmitted(jobId, msg.sender, resultHash, resultURI, reviewEndsAt);
    }

    // ------------------------------------------------------------------------------------------------- arbiter

    /// @inheritdoc IJobMarketplace
    function ruleDispute(bytes32 jobId, uint256 hostShareBps) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Countered);
        if (msg.sender != job.arbiter) revert NotArbiter(jobId, msg.sender);
        _notAfter(jobId, job.phaseEndsAt);
        _bound(hostShareBps, 10_000);
        emit DisputeResolved(jobId, job.host, OwnedId.ownerOf(jobId), hostShareBps, true);
        if (hostShareBps == 0) _faultOfHost(jobId, job);
        else if (hostShareBps == 10_000) _faultOfPayer(jobId, job);
        else _split(jobId, job, hostShareBps);
    }

    // -------------------------------------------------------------------------------------------------- anyone

    /// @inheritdoc IJobMarketplace
    function resolveDispute(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _market().jobs[jobId];
        JobStatus status = job.status;
        if (status != JobStatus.Challenged && status != JobStatus.Countered) revert WrongStatus(jobId, status);
        _after(jobId, job.phaseEndsAt);
        bool countered = status == JobStatus.Countered;
        emit DisputeResolved(jobId, job.host, OwnedId.ownerOf(jobId), countered ? SILENT_SHARE : 0, false);
        if (countered) _split(jobId, job, SILENT_SHARE);
        else _faultOfHost(jobId, job);
    }

    /// @inheritdoc IJobMarketplace
    function completeWithProof(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _market().jobs[jobId];
        JobStatus status = job.status;
        if (status < JobStatus.Submitted || status > JobStatus.Countered) revert WrongStatus(jobId, status);
        if (!_isProven(jobId, job)) revert NotProven(jobId);
        if (status == JobStatus.Submitted) {
            _complete(jobId, job, false);
        } else {
            emit DisputeResolved(jobId, job.host, OwnedId.ownerOf(jobId), 10_000, false);
            _faultOfPayer(jobId, job);
        }
    }

    /// @inheritdoc IJobMarketplace
    function finalizeJob(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Submitted);
        _after(jobId, job.phaseEndsAt);
        if (job.proofRequired && !_isProven(jobId, job)) _fail(jobId, job, 0);
        else _complete(jobId, job, false);
    }

    /// @inheritdoc IJobMarketplace
    function expireJob(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _market().jobs[jobId];
        JobStatus status = job.status;
        if (status != JobStatus.Open && status != JobStatus.Claimed) revert WrongStatus(jobId, status);
        _after(jobId, job.deadline);
        if (status == JobStatus.Open) _cancel(jobId, job);
        else _fail(jobId, job, job.idleSlashBps);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IJobMarketplace
    function jobOf(bytes32 jobId) external view returns (Job memory) {
        MarketStorage storage $ = _market();
        JobRecord memory job = $.jobs[jobId];
        if (job.status == JobStatus.None) revert WrongStatus(jobId, JobStatus.None);
        return Job({
            payer: OwnedId.ownerOf(jobId),
            host: job.host,
            token: job.token,
            amount: job.amount,
            feeBps: job.feeBps,
            status: job.status,
            proofRequired: job.proofRequired,
            modelId: $.registry.modelByIndex(job.modelIndex),
            deadline: job.deadline,
            claimedAt: job.claimedAt,
            submittedAt: job.submittedAt,
            phaseEndsAt: job.phaseEndsAt,
            inputHash: job.inputHash,
            resultHash: job.resultHash,
            bond: uint256(job.amount) * job.bondBps / 10_000,
            arbiter: job.arbiter,
            proofSystem: job.proofSystem
        });
    }

    /// @inheritdoc IEngagements
    function outcomeOf(bytes32 jobId) external view returns (Outcome memory outcome) {
        JobRecord memory job = _market().jobs[jobId];
        if (job.status == JobStatus.Completed) {
            outcome.result = Result.Completed;
            outcome.earned = job.amount;
            outcome.fee = outcome.earned * job.feeBps / 10_000;
        } else if (job.status == JobStatus.Failed) {
            outcome.result = Result.Failed;
        } else if (job.status == JobStatus.Split) {
            outcome.result = Result.Neutral;
        } else {
            return outcome;
        }
        (outcome.payer, outcome.host, outcome.token) = (OwnedId.ownerOf(jobId), job.host, job.token);
    }

    /// @inheritdoc IJobMarketplace
    function quoteDigest(JobQuote calldata quote) external view returns (bytes32) {
        return _quoteDigest(quote);
    }

    /// @inheritdoc IJobMarketplace
    function isQuoteSpent(address host, uint256 nonce) external view returns (bool) {
        return _market().quoteSpent[host][nonce];
    }

    /// @inheritdoc IJobMarketplace
    function arbiter() external view returns (address) {
        return _market().arbiter;
    }

    /// @inheritdoc IJobMarketplace
    function proofSystem() external view returns (address) {
        return _market().proofSystem;
    }

    /// @inheritdoc IJobMarketplace
    function jobCountOf(address payer) external view returns (uint256) {
        return _market().posted[payer];
    }

    /// @inheritdoc IJobMarketplace
    function jobsOfHost(address host, uint256 cursor, uint256 limit)
        external
        view
        returns (bytes32[] memory jobIds, uint256 next)
    {
        if (limit == 0 || limit > MAX_PAGE) revert BadPageSize(limit);
        bytes32[] storage list = _market().claimed[host];
        uint256 length = list.length;
        if (cursor >= length) return (jobIds, 0);
        uint256 size = length - cursor;
        if (size > limit) (size, next) = (limit, cursor + limit);
        jobIds = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            jobIds[i] = list[cursor + i];
        }
    }

    /// @inheritdoc IJobMarketplace
    function policy() external view returns (JobPolicy memory) {
        return _market().policy;
    }

    /// @inheritdoc IJobMarketplace
    function treasury() external view returns (address) {
        return _market().treasury;
    }

    /// @inheritdoc IJobMarketplace
    function registry() external view returns (address) {
        return address(_market().registry);
    }

    /// @inheritdoc IJobMarketplace
    function bondLockOf(bytes32 jobId, bool ofHost) external pure returns (bytes32) {
        return _bondLock(jobId, ofHost);
    }

    /// @inheritdoc IJobMarketplace
    function jobIdOf(address payer, uint256 number) external pure returns (bytes32) {
        return OwnedId.make(payer, number);
    }

    // ------------------------------------------------------------------------------------------------ internal

    /// @dev Checks a request and writes the job down.
    function _post(JobRequest calldata request) private returns (bytes32 jobId) {
        MarketStorage storage $ = _market();
        _escrow(); // refuses before wiring
        if (request.host == msg.sender) revert SelfDealing(msg.sender);
        if (request.proofRequired && $.proofSystem == address(0)) revert NoProofSystem();
        (uint16 modelIndex, bool allowed) = $.registry.modelInfo(request.modelId);
        if (!allowed) revert ModelNotAllowed(request.modelId);

        jobId = OwnedId.make(msg.sender, ++$.posted[msg.sender]);
        _write(jobId, request, modelIndex);
        _emitPosted(jobId, request);
    }

    function _lockPrice(bytes32 jobId, JobRequest calldata request) private {
        _escrow().lock{ value: msg.value }(jobId, msg.sender, request.token, request.amount);
    }

    /// @dev Checks that a host has offered what is asked for, and uses its offer up.
    function _useQuote(JobRequest calldata request, JobQuote calldata quote, bytes calldata hostSignature) private {
        if (quote.payer != address(0) && quote.payer != msg.sender) revert QuoteForAnother(quote.payer, msg.sender);
        if (block.timestamp > quote.validUntil) revert QuoteExpired(quote.validUntil);
        if (
            quote.host != request.host || quote.modelId != request.modelId || quote.token != request.token
                || request.amount < quote.amount || request.deadline < block.timestamp + quote.minDuration
                || (quote.inputHash != bytes32(0) && quote.inputHash != request.inputHash)
        ) revert QuoteMismatch();
        _spendQuote(quote.host, quote.nonce);
        if (!_isSignedBy(quote.host, _quoteDigest(quote), hostSignature)) {
            revert BadSignature(quote.host);
        }
    }

    function _spendQuote(address host, uint256 nonce) private {
        MarketStorage storage $ = _market();
        if ($.quoteSpent[host][nonce]) revert QuoteAlreadySpent(host, nonce);
        $.quoteSpent[host][nonce] = true;
        emit QuoteSpent(host, nonce);
    }

    /// @dev Puts a host to work. Its tier may lower the fee, never raise it.
    function _claim(bytes32 jobId, JobRecord storage job, address host) private {
        MarketStorage storage $ = _market();
        job.host = host;
        job.status = JobStatus.Claimed;
        job.claimedAt = SafeCastLib.toUint40(block.timestamp);
        $.claimed[host].push(jobId);
        (,, uint256 discount) = $.registry.acquire(host, $.registry.modelByIndex(job.modelIndex));
        uint256 feeBps = job.feeBps * (10_000 - discount) / 10_000;
        job.feeBps = SafeCastLib.toUint16(feeBps);
        emit JobClaimed(jobId, host, feeBps);
    }

    /// @dev Writes a new job down, with the rules of this moment.
    function _write(bytes32 jobId, JobRequest calldata request, uint16 modelIndex) private {
        MarketStorage storage $ = _market();
        JobPolicy memory rules = $.policy;
        uint256 latest = block.timestamp + rules.maxDuration;
        if (request.deadline <= block.timestamp || request.deadline > latest) {
            revert BadDeadline(request.deadline, latest);
        }
        JobRecord storage job = $.jobs[jobId];
        job.host = request.host;
        job.status = JobStatus.Open;
        job.proofRequired = request.proofRequired;
        job.feeBps = rules.feeBps;
        job.bondBps = rules.bondBps;
        job.modelIndex = modelIndex;
        job.reviewWindow = rules.reviewWindow;
        job.token = request.token;
        job.amount = SafeCastLib.toUint88(request.amount);
        job.deadline = request.deadline;
        job.counterWindow = rules.counterWindow;
        job.arbiterWindow = rules.arbiterWindow;
        job.idleSlashBps = rules.idleSlashBps;
        job.faultSlashBps = rules.faultSlashBps;
        job.inputHash = request.inputHash;
        if ($.proofSystem != address(0)) job.proofSystem = $.proofSystem;
    }

    function _emitPosted(bytes32 jobId, JobRequest calldata request) private {
        emit JobPosted(
            jobId,
            msg.sender,
            request.host,
            request.modelId,
            request.token,
            request.amount,
            request.deadline,
            request.proofRequired,
            request.inputHash,
            request.inputURI
        );
    }

    /// @dev Pays the host and ends the job.
    function _complete(bytes32 jobId, JobRecord storage job, bool byPayer) private {
        job.status = JobStatus.Completed;
        _disengage(jobId, job, 0);
        uint256 amount = job.amount;
        uint256 net = _escrow().release(jobId, job.host, amount, job.feeBps);
        emit JobCompleted(jobId, job.host, OwnedId.ownerOf(jobId), net, amount - net, byPayer);
    }

    /// @dev Refunds a job that no host has touched.
    function _cancel(bytes32 jobId, JobRecord storage job) private {
        job.status = JobStatus.Cancelled;
        emit JobCancelled(jobId, OwnedId.ownerOf(jobId), job.amount);
        _escrow().refund(jobId, job.amount);
    }

    /// @dev Refunds a job without a result that counts.
    function _fail(bytes32 jobId, JobRecord storage job, uint256 slashBps) private {
        job.status = JobStatus.Failed;
        _disengage(jobId, job, slashBps);
        emit JobFailed(jobId, job.host, OwnedId.ownerOf(jobId), job.amount);
        _escrow().refund(jobId, job.amount);
    }

    /// @dev Ends a dispute that the payer has won.
    function _faultOfHost(bytes32 jobId, JobRecord storage job) private {
        _fail(jobId, job, job.faultSlashBps);
        _endBonds(jobId, OwnedId.ownerOf(jobId), OwnedId.ownerOf(jobId));
    }

    /// @dev Ends a dispute that the host has won.
    function _faultOfPayer(bytes32 jobId, JobRecord storage job) private {
        _complete(jobId, job, false);
        _endBonds(jobId, job.host, job.host);
    }

    /// @dev Ends a dispute in between. Rounding favours the payer.
    function _split(bytes32 jobId, JobRecord storage job, uint256 hostShareBps) private {
        job.status = JobStatus.Split;
        _disengage(jobId, job, 0);
        IPaymentEscrow vault = _escrow();
        uint256 toHost = uint256(job.amount) * hostShareBps / 10_000;
        if (toHost > 0) vault.release(jobId, job.host, toHost, job.feeBps);
        vault.refundAll(jobId);
        _endBonds(jobId, OwnedId.ownerOf(jobId), job.host);
    }

    /// @dev Has the registry slash and free the host. It comes before the money, so that a caller cannot starve it of gas
    /// and still end the job; if it fails, the money moves all the same.
    function _disengage(bytes32 jobId, JobRecord storage job, uint256 slashBps) private {
        INodeRegistry nodes = _market().registry;
        address host = job.host;
        if (slashBps > 0) {
            address payer = OwnedId.ownerOf(jobId);
            try nodes.slashEngagement(host, slashBps, jobId, payer, payer) { }
            catch {
                emit RegistryUnreachable(jobId);
                if (gasleft() < ENDING_GAS) return;
            }
        }
        try nodes.release(host) { }
        catch {
            emit RegistryUnreachable(jobId);
        }
    }

    /// @dev Has the escrow lock the caller's bond, unless it is too small to count.
    function _lockBond(bytes32 jobId, JobRecord storage job, bool ofHost) private {
        uint256 bond = _bond(job);
        if (bond == 0) {
            if (msg.value != 0) revert IPaymentEscrow.ValueMismatch(0, msg.value);
            return;
        }
        _escrow().lock{ value: msg.value }(_bondLock(jobId, ofHost), msg.sender, job.token, bond);
    }

    /// @dev Ends both bonds.
    /// @param toOfPayer Who gets the payer's.
    /// @param toOfHost Who gets the host's.
    function _endBonds(bytes32 jobId, address toOfPayer, address toOfHost) private {
        _endBond(jobId, false, toOfPayer);
        _endBond(jobId, true, toOfHost);
    }

    /// @dev Ends a bond, if there is one. Given back, or taken: half to the other side, half burnt, so that a dispute with
    /// oneself costs.
    function _endBond(bytes32 jobId, bool ofHost, address winner) private {
        bytes32 id = _bondLock(jobId, ofHost);
        IPaymentEscrow vault = _escrow();
        (address giver,, uint256 bond) = vault.lockOf(address(this), id);
        if (bond == 0) return;
        if (winner != giver) {
            uint256 burnt = bond - bond / 2;
            vault.release(id, BURN_ADDRESS, burnt, 0);
            bond -= burnt;
        }
        if (bond > 0) vault.release(id, winner, bond, 0);
    }

    function _setPolicy(JobPolicy calldata policy_) private {
        _bound(policy_.feeBps, MAX_FEE_BPS);
        _bound(policy_.reviewWindow, MAX_WINDOW);
        _bound(policy_.counterWindow, MAX_WINDOW);
        _bound(policy_.arbiterWindow, MAX_WINDOW);
        _bound(policy_.maxDuration, MAX_WINDOW);
        _bound(policy_.bondBps, 10_000);
        _bound(policy_.idleSlashBps, 10_000);
        _bound(policy_.faultSlashBps, 10_000);
        _market().policy = policy_;
        emit JobPolicySet(policy_);
    }

    function _setTreasury(address treasury_) private {
        if (treasury_ == address(0)) revert ZeroAddressGiven();
        _market().treasury = treasury_;
        emit TreasurySet(treasury_);
    }

    function _onlyPayer(bytes32 jobId) private view {
        if (msg.sender != OwnedId.ownerOf(jobId)) revert NotPayer(jobId, msg.sender);
    }

    function _onlyHost(bytes32 jobId, address host) private view {
        if (msg.sender != host) revert NotHost(jobId, msg.sender);
    }

    function _notAfter(bytes32 jobId, uint256 deadline) private view {
        if (block.timestamp > deadline) revert TooLate(jobId, deadline);
    }

    function _after(bytes32 jobId, uint256 deadline) private view {
        if (block.timestamp <= deadline) revert TooEarly(jobId, deadline);
    }

    function _bound(uint256 value, uint256 max) private pure {
        if (value > max) revert OutOfBounds(value, max);
    }

    /// @dev The job, if it is in the given state.
    function _job(bytes32 jobId, JobStatus status) private view returns (JobRecord storage job) {
        job = _market().jobs[jobId];
        if (job.status != status) revert WrongStatus(jobId, job.status);
    }

    /// @dev Whether the job's proof system answers yes; anything else is a no. It always gets the same gas, so that a
    /// caller cannot turn a yes into a no.
    function _isProven(bytes32 jobId, JobRecord storage job) private view returns (bool) {
        address prover = job.proofSystem;
        if (prover.code.length == 0) return false;
        if (gasleft() < PROOF_GAS * 64 / 63 + 10_000) revert NotEnoughGas();
        bytes memory question = abi.encodeCall(IProofSystem.isProven, (jobId, job.resultHash));
        (bool success,, bytes memory answer) = LibCall.tryStaticCall(prover, PROOF_GAS, 32, question);
        return success && answer.length == 32 && abi.decode(answer, (uint256)) == 1;
    }

    function _bond(JobRecord storage job) private view returns (uint256) {
        return uint256(job.amount) * job.bondBps / 10_000;
    }

    function _quoteDigest(JobQuote calldata quote) private view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(QUOTE_TYPEHASH, quote)));
    }

    /// @dev Never a job's id: those have a payer's address in their upper bits.
    function _bondLock(bytes32 jobId, bool ofHost) private pure returns (bytes32) {
        return keccak256(abi.encode(jobId, ofHost));
    }

    /// @dev Whether an account stands behind a signature.
    function _isSignedBy(address account, bytes32 digest, bytes calldata signature) private returns (bool) {
        return Signed.byKey(account, digest, signature) || Signed.byCode(_market().verifier, account, digest, signature);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Fabstir JobMarketplace", "1");
    }

    function _market() private pure returns (MarketStorage storage $) {
        assembly {
            $.slot := MARKET_STORAGE
        }
    }
}
