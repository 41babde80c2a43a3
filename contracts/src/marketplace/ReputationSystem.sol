// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { Governed } from "./base/Governed.sol";
import { IEngagements } from "./interfaces/IEngagements.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IReputationSystem } from "./interfaces/IReputationSystem.sol";
import { Decay } from "./libraries/Decay.sol";

/// @title ReputationSystem
/// @notice Performance, quality and tiers of hosts.
/// @dev Pulls outcomes from the markets instead of being called by them: ending a job or session costs nothing for it,
/// and can never fail because of it. A host's record is tied to its address for good.
contract ReputationSystem is IReputationSystem, Governed {
    /// @notice Quality of a host that nobody has rated, in 1/10,000.
    uint256 public constant NEUTRAL_QUALITY = 5_000;

    /// @dev Quality in 1/10,000 that one step of the score is worth: 1 to 5 become 0 to 10,000.
    uint256 private constant QUALITY_STEP = 2_500;

    /// @dev Share that a new latency has in the smoothed one: 1/8.
    uint256 private constant LATENCY_SMOOTHING = 8;

    /// @dev A host's record; three slots.
    struct HostRecord {
        /// @dev Engagements in which it earned something.
        uint64 completed;
        /// @dev Engagements in which it failed.
        uint64 failed;
        /// @dev Ratings received.
        uint64 ratings;
        /// @dev Times it was slashed.
        uint64 slashes;
        /// @dev Weight of the ratings, as of `updatedAt`.
        uint128 weight;
        /// @dev Sum of weight times quality in 1/10,000, as of `updatedAt`.
        uint128 weighted;
        /// @dev Unix seconds of the last change of the weight.
        uint40 updatedAt;
        /// @dev Smoothed latency in milliseconds.
        uint64 latencyMs;
    }

    /// @dev What a payer has given a host in a period; one slot.
    struct Given {
        /// @dev Number of the period: unix seconds divided by its length.
        uint40 period;
        /// @dev Weight given in that period.
        uint80 weight;
    }

    /// @dev What became of an engagement here; one slot.
    struct Review {
        /// @dev Whether it is in the host's record.
        bool recorded;
        /// @dev 1 to 5; zero if not rated.
        uint8 score;
        /// @dev Whether the host answered.
        bool answered;
    }

    /// @custom:storage-location erc7201:fabstir.storage.ReputationSystem
    struct ReputationStorage {
        /// @dev How weight arises and fades.
        ReputationPolicy policy;
        /// @dev The registry.
        INodeRegistry registry;
        /// @dev Markets that may be read.
        mapping(address market => bool) markets;
        /// @dev Weight of one base unit of fee, times 10^18, by token.
        mapping(address token => uint96) feeWeights;
        /// @dev What a tier asks for.
        mapping(uint256 tier => TierRule) tierRules;
        /// @dev By host.
        mapping(address host => HostRecord) records;
        /// @dev By host and payer.
        mapping(address host => mapping(address payer => Given)) given;
        /// @dev By market and engagement.
        mapping(address market => mapping(bytes32 id => Review)) reviews;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.ReputationSystem")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant REPUTATION_STORAGE = 0x34c14be2f5becbfe870d3054d156e03255a646199038bff191d94cca944f7500;

    /// @inheritdoc IReputationSystem
    function initialize(address owner_, address registry_, ReputationPolicy calldata policy_) external initializer {
        if (registry_ == address(0)) revert ZeroAddressGiven();
        __Ownable_init(owner_);
        _reputation().registry = INodeRegistry(registry_);
        _setPolicy(policy_);
        // Out of reach until the owner says what a tier asks for.
        for (uint256 tier = 1; tier <= 3; ++tier) {
            _reputation().tierRules[tier] = TierRule({ minWeight: type(uint96).max, minQuality: 10_000 });
        }
    }

    // --------------------------------------------------------------------------------------------------- owner

    /// @inheritdoc IReputationSystem
    function setMarket(address market, bool allowed) external onlyOwner {
        _reputation().markets[market] = allowed;
        emit MarketSet(market, allowed);
    }

    /// @inheritdoc IReputationSystem
    function setFeeWeight(address token, uint256 weightPerUnit) external onlyOwner {
        _reputation().feeWeights[token] = SafeCastLib.toUint96(weightPerUnit);
        emit FeeWeightSet(token, weightPerUnit);
    }

    /// @inheritdoc IReputationSystem
    function setPolicy(ReputationPolicy calldata policy_) external onlyOwner {
        _setPolicy(policy_);
    }

    /// @inheritdoc IReputationSystem
    function setTierRule(uint256 tier, TierRule calldata rule) external onlyOwner {
        if (tier == 0 || tier > 3) revert OutOfBounds(tier, 1, 3);
        if (rule.minQuality > 10_000) revert OutOfBounds(rule.minQuality, 0, 10_000);
        _reputation().tierRules[tier] = rule;
        emit TierRuleSet(tier, rule);
    }

    // ------------------------------------------------------------------------------------------ payers and hosts

    /// @inheritdoc IReputationSystem
    function rate(address market, bytes32 id, uint256 score, uint256 latencyMs, bytes32 commentHash)
        external
        nonReentrant
    {
        if (score == 0 || score > 5) revert OutOfBounds(score, 1, 5);
        if (latencyMs > type(uint32).max) revert OutOfBounds(latencyMs, 0, type(uint32).max);
        IEngagements.Outcome memory outcome = _outcome(market, id);
        if (msg.sender != outcome.payer) revert NotPayer(msg.sender);
        ReputationStorage storage $ = _reputation();
        Review storage review = $.reviews[market][id];
        if (review.score != 0) revert AlreadyRated(market, id);
        review.score = SafeCastLib.toUint8(score);
        if (!review.recorded) _record(market, id, outcome);

        uint256 weight = outcome.fee * $.feeWeights[outcome.token] / 1e18;
        weight = _takeFromCap(outcome.host, outcome.payer, weight);
        HostRecord storage host = $.records[outcome.host];
        ++host.ratings;
        if (latencyMs > 0) _addLatency(host, latencyMs);
        _addWeight(host, weight, (score - 1) * QUALITY_STEP);
        emit Rated(market, id, outcome.host, msg.sender, score, weight, latencyMs, commentHash);
    }

    /// @inheritdoc IReputationSystem
    function respond(address market, bytes32 id, bytes32 responseHash) external nonReentrant {
        Review storage review = _reputation().reviews[market][id];
        if (review.score == 0) revert NotRated(market, id);
        if (review.answered) revert AlreadyAnswered(market, id);
        if (msg.sender != _outcome(market, id).host) revert NotHost(msg.sender);
        review.answered = true;
        emit Responded(market, id, msg.sender, responseHash);
    }

    // -------------------------------------------------------------------------------------------------- anyone

    /// @inheritdoc IReputationSystem
    function record(address market, bytes32 id) external nonReentrant {
        IEngagements.Outcome memory outcome = _outcome(market, id);
        if (_reputation().reviews[market][id].recorded) revert AlreadyRecorded(market, id);
        _record(market, id, outcome);
    }

    /// @inheritdoc IReputationSystem
    function updateTier(address host) external nonReentrant returns (uint8 tier) {
        tier = _stats(host).tier;
        _reputation().registry.setTierOf(host, tier);
    }

    // ------------------------------------------------------------------------------------------------ registry

    /// @inheritdoc IReputationSystem
    function onSlash(address host, uint256 amount) external {
        ReputationStorage storage $ = _reputation();
        if (msg.sender != address($.registry)) revert NotRegistry(msg.sender);
        HostRecord storage hostRecord = $.records[host];
        ++hostRecord.slashes;
        uint256 weight = amount * $.feeWeights[$.registry.stakeToken()] / 1e18;
        if (weight > type(uint80).max) weight = type(uint80).max;
        _addWeight(hostRecord, weight, 0);
        emit SlashRecorded(host, amount, weight);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IReputationSystem
    function statsOf(address host) external view returns (Stats memory) {
        return _stats(host);
    }

    /// @inheritdoc IReputationSystem
    function reviewOf(address market, bytes32 id) external view returns (bool recorded, uint8 score, bool answered) {
        Review memory review = _reputation().reviews[market][id];
        return (review.recorded, review.score, review.answered);
    }

    /// @inheritdoc IReputationSystem
    function capLeft(address host, address payer) external view returns (uint256 left) {
        (, left) = _capLeft(host, payer);
    }

    /// @inheritdoc IReputationSystem
    function feeWeightOf(address token) external view returns (uint256) {
        return _reputation().feeWeights[token];
    }

    /// @inheritdoc IReputationSystem
    function isMarket(address market) external view returns (bool) {
        return _reputation().markets[market];
    }

    /// @inheritdoc IReputationSystem
    function policy() external view returns (ReputationPolicy memory) {
        return _reputation().policy;
    }

    /// @inheritdoc IReputationSystem
    function tierRule(uint256 tier) external view returns (TierRule memory) {
        return _reputation().tierRules[tier];
    }

    /// @inheritdoc IReputationSystem
    function registry() external view returns (address) {
        return address(_reputation().registry);
    }

    // ------------------------------------------------------------------------------------------------ internal

    function _setPolicy(ReputationPolicy calldata policy_) private {
        if (policy_.halfLife == 0) revert OutOfBounds(0, 1, type(uint32).max);
        if (policy_.capPeriod == 0) revert OutOfBounds(0, 1, type(uint32).max);
        _reputation().policy = policy_;
        emit ReputationPolicySet(policy_);
    }

    /// @dev Enters an outcome in its host's record.
    function _record(address market, bytes32 id, IEngagements.Outcome memory outcome) private {
        ReputationStorage storage $ = _reputation();
        $.reviews[market][id].recorded = true;
        bool completed = outcome.result == IEngagements.Result.Completed;
        if (completed) ++$.records[outcome.host].completed;
        else ++$.records[outcome.host].failed;
        emit PerformanceRecorded(market, id, outcome.host, completed);
    }

    /// @dev Adds weight of one quality to what has decayed until now.
    function _addWeight(HostRecord storage host, uint256 weight, uint256 quality) private {
        (uint256 old, uint256 oldWeighted) = _decayed(host);
        host.weight = SafeCastLib.toUint128(old + weight);
        host.weighted = SafeCastLib.toUint128(oldWeighted + weight * quality);
        host.updatedAt = SafeCastLib.toUint40(block.timestamp);
    }

    function _addLatency(HostRecord storage host, uint256 latencyMs) private {
        uint256 old = host.latencyMs;
        if (old != 0) latencyMs = (old * (LATENCY_SMOOTHING - 1) + latencyMs) / LATENCY_SMOOTHING;
        host.latencyMs = SafeCastLib.toUint64(latencyMs);
    }

    /// @dev Reduces a weight to what the payer's cap leaves, and uses the cap up by it.
    function _takeFromCap(address host, address payer, uint256 weight) private returns (uint256) {
        (uint256 period, uint256 left) = _capLeft(host, payer);
        if (weight > left) weight = left;
        ReputationStorage storage $ = _reputation();
        $.given[host][payer] = Given({
            period: SafeCastLib.toUint40(period), weight: SafeCastLib.toUint80($.policy.payerCap - left + weight)
        });
        return weight;
    }

    /// @dev The outcome of an engagement of a known market, if it counts.
    function _outcome(address market, bytes32 id) private view returns (IEngagements.Outcome memory outcome) {
        if (!_reputation().markets[market]) revert UnknownMarket(market);
        outcome = IEngagements(market).outcomeOf(id);
        if (outcome.result == IEngagements.Result.None || outcome.result == IEngagements.Result.Neutral) {
            revert NoOutcome(market, id);
        }
    }

    function _stats(address host) private view returns (Stats memory stats) {
        ReputationStorage storage $ = _reputation();
        HostRecord storage hostRecord = $.records[host];
        (uint256 weight, uint256 weighted) = _decayed(hostRecord);
        uint256 prior = $.policy.priorWeight;
        uint256 quality =
            weight + prior == 0 ? NEUTRAL_QUALITY : (weighted + prior * NEUTRAL_QUALITY) / (weight + prior);
        return Stats({
            completed: hostRecord.completed,
            failed: hostRecord.failed,
            ratings: hostRecord.ratings,
            slashes: hostRecord.slashes,
            latencyMs: hostRecord.latencyMs,
            weight: weight,
            quality: quality,
            tier: _tierFor(weight, quality)
        });
    }

    /// @dev The highest tier whose rule is met.
    function _tierFor(uint256 weight, uint256 quality) private view returns (uint8) {
        ReputationStorage storage $ = _reputation();
        for (uint8 tier = 3; tier > 0; --tier) {
            TierRule memory rule = $.tierRules[tier];
            if (weight >= rule.minWeight && quality >= rule.minQuality) return tier;
        }
        return 0;
    }

    function _decayed(HostRecord storage host) private view returns (uint256 weight, uint256 weighted) {
        uint256 elapsed = block.timestamp - host.updatedAt;
        uint256 halfLife = _reputation().policy.halfLife;
        return (Decay.decayed(host.weight, elapsed, halfLife), Decay.decayed(host.weighted, elapsed, halfLife));
    }

    /// @dev The period now, and what the payer can still give the host in it.
    function _capLeft(address host, address payer) private view returns (uint256 period, uint256 left) {
        ReputationStorage storage $ = _reputation();
        period = block.timestamp / $.policy.capPeriod;
        left = $.policy.payerCap;
        Given memory given = $.given[host][payer];
        if (given.period == period) left = left > given.weight ? left - given.weight : 0;
    }

    function _reputation() private pure returns (ReputationStorage storage $) {
        assembly {
            $.slot := REPUTATION_STORAGE
        }
    }
}
