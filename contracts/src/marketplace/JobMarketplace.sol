// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { Governed } from "./base/Governed.sol";
import { IJobMarketplace } from "./interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "./interfaces/IPaymentEscrow.sol";
import { OwnedId } from "./libraries/OwnedId.sol";

/// @title JobMarketplace
/// @notice Jobs: one piece of work for one price.
/// @dev Holds no money. A job's id names its payer, so it can be computed before it is posted and needs no list.
contract JobMarketplace is IJobMarketplace, Governed {
    /// @notice Most entries in a page of a view.
    uint256 public constant MAX_PAGE = 100;

    /// @notice The highest fee that can be set, in 1/10,000 of what a host earns, inclusive.
    uint256 public constant MAX_FEE_BPS = 1_000;

    /// @notice The longest window or duration that can be set, in seconds, inclusive.
    uint256 public constant MAX_WINDOW = 90 days;

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
        /// @dev Hash of the input.
        bytes32 inputHash;
        /// @dev Hash of the result.
        bytes32 resultHash;
    }

    /// @custom:storage-location erc7201:fabstir.storage.JobMarketplace
    struct MarketStorage {
        /// @dev The rules for new jobs.
        JobPolicy policy;
        /// @dev Holds the money.
        IPaymentEscrow escrow;
        /// @dev Knows the hosts.
        INodeRegistry registry;
        /// @dev Who gets the fees.
        address treasury;
        /// @dev By id.
        mapping(bytes32 jobId => JobRecord) jobs;
        /// @dev Jobs posted, by payer.
        mapping(address payer => uint256) posted;
        /// @dev Jobs claimed, by host, in the order of claiming.
        mapping(address host => bytes32[]) claimed;
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
        if (address($.escrow) != address(0)) revert AlreadyWired();
        if (escrow_ == address(0) || registry_ == address(0)) revert ZeroAddressGiven();
        $.escrow = IPaymentEscrow(escrow_);
        $.registry = INodeRegistry(registry_);
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
    function openToken(address token) external onlyOwner {
        _market().escrow.openToken(token);
    }

    /// @inheritdoc IJobMarketplace
    function closeToken(address token) external onlyOwner {
        _market().escrow.closeToken(token);
    }

    /// @inheritdoc IJobMarketplace
    function collectFees(address token) external nonReentrant returns (uint256 amount) {
        MarketStorage storage $ = _market();
        return $.escrow.collectFees(token, $.treasury);
    }

    // --------------------------------------------------------------------------------------------------- payer

    /// @inheritdoc IJobMarketplace
    function postJob(JobRequest calldata request) external payable whenEntryOpen nonReentrant returns (bytes32 jobId) {
        MarketStorage storage $ = _market();
        if (address($.escrow) == address(0)) revert NotWired();
        if (request.host == msg.sender) revert SelfDealing(msg.sender);
        if (request.proofRequired) revert NoProofSystem();
        (uint16 modelIndex, bool allowed) = $.registry.modelInfo(request.modelId);
        if (!allowed) revert ModelNotAllowed(request.modelId);

        jobId = OwnedId.make(msg.sender, ++$.posted[msg.sender]);
        _write(jobId, request, modelIndex);
        _emitPosted(jobId, request);
        $.escrow.lock{ value: msg.value }(jobId, msg.sender, request.token, request.amount);
    }

    /// @inheritdoc IJobMarketplace
    function acceptResult(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Submitted);
        if (msg.sender != OwnedId.ownerOf(jobId)) revert NotPayer(jobId, msg.sender);
        _complete(jobId, job, true);
    }

    /// @inheritdoc IJobMarketplace
    function cancelJob(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Open);
        if (msg.sender != OwnedId.ownerOf(jobId)) revert NotPayer(jobId, msg.sender);
        _cancel(jobId, job);
    }

    // ---------------------------------------------------------------------------------------------------- host

    /// @inheritdoc IJobMarketplace
    function claimJob(bytes32 jobId, uint256 expectedAmount) external whenEntryOpen nonReentrant {
        MarketStorage storage $ = _market();
        JobRecord storage job = _job(jobId, JobStatus.Open);
        if (block.timestamp > job.deadline) revert TooLate(jobId, job.deadline);
        if (job.host != address(0) && job.host != msg.sender) revert NotHost(jobId, msg.sender);
        if (msg.sender == OwnedId.ownerOf(jobId)) revert SelfDealing(msg.sender);
        if (expectedAmount != job.amount) revert UnexpectedAmount(jobId, expectedAmount, job.amount);

        job.host = msg.sender;
        job.status = JobStatus.Claimed;
        job.claimedAt = SafeCastLib.toUint40(block.timestamp);
        $.claimed[msg.sender].push(jobId);
        (,,, uint256 discount) = $.registry.acquire(msg.sender, $.registry.modelByIndex(job.modelIndex));
        uint256 feeBps = job.feeBps - job.feeBps * discount / 10_000;
        job.feeBps = SafeCastLib.toUint16(feeBps);
        emit JobClaimed(jobId, msg.sender, feeBps);
    }

    /// @inheritdoc IJobMarketplace
    function submitResult(bytes32 jobId, bytes32 resultHash, string calldata resultURI) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Claimed);
        if (msg.sender != job.host) revert NotHost(jobId, msg.sender);
        if (block.timestamp > job.deadline) revert TooLate(jobId, job.deadline);
        if (resultHash == bytes32(0)) revert EmptyResult();

        uint256 reviewEndsAt = block.timestamp + job.reviewWindow;
        job.status = JobStatus.Submitted;
        job.submittedAt = SafeCastLib.toUint40(block.timestamp);
        job.phaseEndsAt = SafeCastLib.toUint40(reviewEndsAt);
        job.resultHash = resultHash;
        emit ResultSubmitted(jobId, msg.sender, resultHash, resultURI, reviewEndsAt);
    }

    // -------------------------------------------------------------------------------------------------- anyone

    /// @inheritdoc IJobMarketplace
    function finalizeJob(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _job(jobId, JobStatus.Submitted);
        if (block.timestamp <= job.phaseEndsAt) revert TooEarly(jobId, job.phaseEndsAt);
        _complete(jobId, job, false);
    }

    /// @inheritdoc IJobMarketplace
    function expireJob(bytes32 jobId) external nonReentrant {
        JobRecord storage job = _market().jobs[jobId];
        JobStatus status = job.status;
        if (status != JobStatus.Open && status != JobStatus.Claimed) revert WrongStatus(jobId, status);
        if (block.timestamp <= job.deadline) revert TooEarly(jobId, job.deadline);
        if (status == JobStatus.Open) _cancel(jobId, job);
        else _fail(jobId, job);
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
            resultHash: job.resultHash
        });
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
    function escrow() external view returns (address) {
        return address(_market().escrow);
    }

    /// @inheritdoc IJobMarketplace
    function registry() external view returns (address) {
        return address(_market().registry);
    }

    /// @inheritdoc IJobMarketplace
    function jobIdOf(address payer, uint256 number) external pure returns (bytes32) {
        return OwnedId.make(payer, number);
    }

    // ------------------------------------------------------------------------------------------------ internal

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
        job.inputHash = request.inputHash;
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
        MarketStorage storage $ = _market();
        job.status = JobStatus.Completed;
        uint256 amount = job.amount;
        uint256 net = $.escrow.release(jobId, job.host, amount, job.feeBps);
        emit JobCompleted(jobId, job.host, OwnedId.ownerOf(jobId), net, amount - net, byPayer);
        $.registry.release(job.host);
    }

    /// @dev Refunds a job that no host has touched.
    function _cancel(bytes32 jobId, JobRecord storage job) private {
        job.status = JobStatus.Cancelled;
        emit JobCancelled(jobId, OwnedId.ownerOf(jobId), job.amount);
        _market().escrow.refund(jobId, job.amount);
    }

    /// @dev Refunds a job that its host did not deliver.
    function _fail(bytes32 jobId, JobRecord storage job) private {
        MarketStorage storage $ = _market();
        job.status = JobStatus.Failed;
        emit JobFailed(jobId, job.host, OwnedId.ownerOf(jobId), job.amount);
        $.escrow.refund(jobId, job.amount);
        $.registry.release(job.host);
    }

    function _setPolicy(JobPolicy calldata policy_) private {
        if (policy_.feeBps > MAX_FEE_BPS) revert OutOfBounds(policy_.feeBps, MAX_FEE_BPS);
        if (policy_.reviewWindow > MAX_WINDOW) revert OutOfBounds(policy_.reviewWindow, MAX_WINDOW);
        if (policy_.counterWindow > MAX_WINDOW) revert OutOfBounds(policy_.counterWindow, MAX_WINDOW);
        if (policy_.arbiterWindow > MAX_WINDOW) revert OutOfBounds(policy_.arbiterWindow, MAX_WINDOW);
        if (policy_.maxDuration > MAX_WINDOW) revert OutOfBounds(policy_.maxDuration, MAX_WINDOW);
        if (policy_.bondBps > 10_000) revert OutOfBounds(policy_.bondBps, 10_000);
        if (policy_.idleSlashBps > 10_000) revert OutOfBounds(policy_.idleSlashBps, 10_000);
        if (policy_.faultSlashBps > 10_000) revert OutOfBounds(policy_.faultSlashBps, 10_000);
        _market().policy = policy_;
        emit JobPolicySet(policy_);
    }

    function _setTreasury(address treasury_) private {
        if (treasury_ == address(0)) revert ZeroAddressGiven();
        _market().treasury = treasury_;
        emit TreasurySet(treasury_);
    }

    /// @dev The job, if it is in the given state.
    function _job(bytes32 jobId, JobStatus status) private view returns (JobRecord storage job) {
        job = _market().jobs[jobId];
        if (job.status != status) revert WrongStatus(jobId, job.status);
    }

    function _market() private pure returns (MarketStorage storage $) {
        assembly {
            $.slot := MARKET_STORAGE
        }
    }
}
