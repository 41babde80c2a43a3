// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title IReputationSystem
/// @notice What hosts have done, as the markets' outcomes and the payers' ratings show it.
/// @dev Everything is drawn from ended engagements, each once. A rating weighs what the engagement paid in fees, so a
/// ring that rates itself pays for every bit of weight; no payer's weight counts beyond a cap in one period; weight
/// decays by half in each half-life. Nothing is sorted, listed or looped over on chain.
interface IReputationSystem {
    /// @notice A host's record.
    struct Stats {
        /// @dev Engagements in which it earned something.
        uint64 completed;
        /// @dev Engagements in which it failed.
        uint64 failed;
        /// @dev Ratings received.
        uint64 ratings;
        /// @dev Times it was slashed.
        uint64 slashes;
        /// @dev Smoothed latency in milliseconds as payers report it; zero if nobody has.
        uint64 latencyMs;
        /// @dev Weight of ratings, decayed to now.
        uint256 weight;
        /// @dev Quality in 1/10,000, drawn towards the neutral value while there is little weight.
        uint256 quality;
        /// @dev The tier that follows, 0 to 3.
        uint8 tier;
    }

    /// @notice How weight arises and fades.
    struct ReputationPolicy {
        /// @dev Seconds in which weight halves.
        uint32 halfLife;
        /// @dev Seconds of the period to which a payer's cap applies.
        uint32 capPeriod;
        /// @dev Weight that one payer can give one host in a period.
        uint80 payerCap;
        /// @dev Weight with which the neutral quality counts.
        uint80 priorWeight;
    }

    /// @notice What a tier asks for.
    struct TierRule {
        /// @dev Least decayed weight, inclusive.
        uint96 minWeight;
        /// @dev Least quality in 1/10,000, inclusive.
        uint16 minQuality;
    }

    /// @notice An ended engagement entered a host's record.
    /// @param market The market.
    /// @param id The job or session.
    /// @param host The host.
    /// @param completed Whether it counts as completed; otherwise as failed.
    event PerformanceRecorded(address indexed market, bytes32 indexed id, address indexed host, bool completed);
    /// @notice A payer rated an engagement.
    /// @param market The market.
    /// @param id The job or session.
    /// @param host The host.
    /// @param payer The payer.
    /// @param score 1 to 5.
    /// @param weight What the rating weighs.
    /// @param latencyMs Latency as the payer saw it; zero if not stated.
    /// @param commentHash Hash of a comment; zero for none.
    event Rated(
        address indexed market,
        bytes32 indexed id,
        address indexed host,
        address payer,
        uint256 score,
        uint256 weight,
        uint256 latencyMs,
        bytes32 commentHash
    );
    /// @notice A host answered a rating.
    /// @param market The market.
    /// @param id The job or session.
    /// @param host The host.
    /// @param responseHash Hash of the answer.
    event Responded(address indexed market, bytes32 indexed id, address indexed host, bytes32 responseHash);
    /// @notice A slash entered a host's record.
    /// @param host The host.
    /// @param amount Base units of the stake token.
    /// @param weight Weight of the zero score that it counts as.
    event SlashRecorded(address indexed host, uint256 amount, uint256 weight);
    /// @notice A market may or may not be read.
    /// @param market The market.
    /// @param allowed Whether it may.
    event MarketSet(address indexed market, bool allowed);
    /// @notice What a fee in a token weighs changed.
    /// @param token The token; zero for ETH.
    /// @param weightPerUnit Weight of one base unit, times 10^18.
    event FeeWeightSet(address indexed token, uint256 weightPerUnit);
    /// @notice How weight arises and fades changed.
    /// @param policy The rules.
    event ReputationPolicySet(ReputationPolicy policy);
    /// @notice What a tier asks for changed.
    /// @param tier The tier, 1 to 3.
    /// @param rule What it asks for.
    event TierRuleSet(uint256 indexed tier, TierRule rule);

    /// @notice The market is not known.
    error UnknownMarket(address market);
    /// @notice The engagement has no outcome that counts.
    error NoOutcome(address market, bytes32 id);
    /// @notice The engagement is in the record already.
    error AlreadyRecorded(address market, bytes32 id);
    /// @notice The engagement was rated already.
    error AlreadyRated(address market, bytes32 id);
    /// @notice The engagement was answered already.
    error AlreadyAnswered(address market, bytes32 id);
    /// @notice The engagement was not rated.
    error NotRated(address market, bytes32 id);
    /// @notice The caller is not the engagement's payer.
    error NotPayer(address caller);
    /// @notice The caller is not the engagement's host.
    error NotHost(address caller);
    /// @notice The caller is not the registry.
    error NotRegistry(address caller);
    /// @notice The value is outside of its bounds.
    error OutOfBounds(uint256 value, uint256 min, uint256 max);

    /// @notice Sets owner, registry and rules. Once, by the proxy's constructor.
    /// @param owner The owner, later the Timelock.
    /// @param registry The registry: its tiers are set, its slashes heard.
    /// @param policy How weight arises and fades.
    function initialize(address owner, address registry, ReputationPolicy calldata policy) external;

    /// @notice Lets a market be read, or no more. Owner only.
    /// @param market An `IEngagements`.
    /// @param allowed Whether it may.
    function setMarket(address market, bool allowed) external;

    /// @notice Sets what a fee in a token weighs. Owner only.
    /// @param token The token; zero for ETH.
    /// @param weightPerUnit Weight of one base unit, times 10^18, at most 2^96 - 1; zero for none.
    function setFeeWeight(address token, uint256 weightPerUnit) external;

    /// @notice Sets how weight arises and fades. Owner only.
    /// @param policy The rules.
    function setPolicy(ReputationPolicy calldata policy) external;

    /// @notice Sets what a tier asks for. Owner only.
    /// @param tier The tier, 1 to 3.
    /// @param rule What it asks for.
    function setTierRule(uint256 tier, TierRule calldata rule) external;

    /// @notice Enters an ended engagement in its host's record. Anyone may call it; once for each.
    /// @param market The market.
    /// @param id The job or session.
    function record(address market, bytes32 id) external;

    /// @notice Rates an ended engagement, and enters it in the record if it is not there. Its payer only; once for each.
    /// @param market The market.
    /// @param id The job or session.
    /// @param score 1 (worst) to 5 (best).
    /// @param latencyMs Latency as the payer saw it, in milliseconds; zero to state none.
    /// @param commentHash Hash of a comment; zero for none. Not stored; it is in the event.
    function rate(address market, bytes32 id, uint256 score, uint256 latencyMs, bytes32 commentHash) external;

    /// @notice Answers a rating. The rated host only; once for each.
    /// @param market The market.
    /// @param id The job or session.
    /// @param responseHash Hash of the answer. Not stored; it is in the event.
    function respond(address market, bytes32 id, bytes32 responseHash) external;

    /// @notice Enters a slash in a host's record: a zero score with the weight of the amount. The registry only.
    /// @param host The host.
    /// @param amount Base units of the stake token.
    function onSlash(address host, uint256 amount) external;

    /// @notice Has the registry take over the tier that a host's record gives it now. Anyone may call it.
    /// @param host The host.
    /// @return tier The tier, 0 to 3.
    function updateTier(address host) external returns (uint8 tier);

    /// @notice A host's record as of now.
    /// @param host The host.
    function statsOf(address host) external view returns (Stats memory);

    /// @notice What became of an engagement here.
    /// @param market The market.
    /// @param id The job or session.
    /// @return recorded Whether it is in the record.
    /// @return score The payer's score; zero if not rated.
    /// @return answered Whether the host answered.
    function reviewOf(address market, bytes32 id) external view returns (bool recorded, uint8 score, bool answered);

    /// @notice Weight that a payer can still give a host in this period.
    /// @param host The host.
    /// @param payer The payer.
    function capLeft(address host, address payer) external view returns (uint256);

    /// @notice Weight of one base unit of fee in a token, times 10^18.
    /// @param token The token; zero for ETH.
    function feeWeightOf(address token) external view returns (uint256);

    /// @notice Whether a market may be read.
    /// @param market The market.
    function isMarket(address market) external view returns (bool);

    /// @notice How weight arises and fades.
    function policy() external view returns (ReputationPolicy memory);

    /// @notice What a tier asks for.
    /// @param tier The tier, 1 to 3.
    function tierRule(uint256 tier) external view returns (TierRule memory);

    /// @notice The registry.
    function registry() external view returns (address);
}
