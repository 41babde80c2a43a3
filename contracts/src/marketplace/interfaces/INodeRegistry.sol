// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title INodeRegistry
/// @notice Hosts: their stake, what they offer, and how much work they may take on at once.
/// @dev The stake itself lies in the PaymentEscrow under the lock `bytes32(uint256(uint160(host)))`; this contract keeps
/// the account of it: `locked amount = stake + unbonding`. Stake amounts are base units of `stakeToken`.
interface INodeRegistry {
    /// @notice Where a node stands. A node is never deleted: its id, its tickets and its history stay with its host.
    enum NodeStatus {
        /// @dev Never registered.
        None,
        /// @dev Registered and listed.
        Active,
        /// @dev Unregistered; its stake is unbonding or withdrawn; may register again.
        Left
    }

    /// @notice How a node describes itself.
    struct Profile {
        /// @dev Base URL of the node's API; up to 31 bytes cost one storage slot.
        string endpoint;
        /// @dev Hash of the metadata document that the endpoint serves.
        bytes32 metadataHash;
        /// @dev Short ASCII code of the region, zero-padded.
        bytes8 region;
        /// @dev Short ASCII description of the hardware, zero-padded.
        bytes24 hardware;
    }

    /// @notice The price of one model in one token.
    struct Offer {
        /// @dev The model.
        bytes32 modelId;
        /// @dev The token to pay with; zero for ETH.
        address token;
        /// @dev Base units of `token` for 1,000,000 LLM tokens; zero withdraws the offer.
        uint80 pricePerMillion;
    }

    /// @notice A node as a client sees it.
    struct Node {
        /// @dev The account that registered.
        address host;
        /// @dev Permanent, from 1 on.
        uint32 nodeId;
        /// @dev Whether it is registered.
        NodeStatus status;
        /// @dev Whether the host has paused itself.
        bool paused;
        /// @dev Reputation tier, 0 to 3.
        uint8 tier;
        /// @dev Engagements (jobs and sessions) now open.
        uint24 open;
        /// @dev Engagements that may be open at once by the host's own choice.
        uint16 capacity;
        /// @dev Engagements that may be open at once by choice, tier and stake together.
        uint16 slots;
        /// @dev Stake not unbonding, locked part included.
        uint88 stake;
        /// @dev Stake on its way out, still slashable.
        uint88 unbonding;
        /// @dev Unix seconds from which `unbonding` may be withdrawn.
        uint40 unbondsAt;
        /// @dev How it describes itself.
        Profile profile;
    }

    /// @notice What a client looks for.
    struct Filter {
        /// @dev The model.
        bytes32 modelId;
        /// @dev The token to pay with; zero for ETH.
        address token;
        /// @dev Highest price in base units of `token` for 1,000,000 LLM tokens, inclusive.
        uint256 maxPrice;
        /// @dev Least stake not locked, in base units, inclusive.
        uint256 minFreeStake;
    }

    /// @notice A node that fits a filter and can be engaged now.
    struct Match {
        /// @dev The host.
        address host;
        /// @dev Base units of the filter's token for 1,000,000 LLM tokens.
        uint256 pricePerMillion;
        /// @dev Stake not locked, in base units.
        uint256 freeStake;
        /// @dev Engagements that it can still take.
        uint256 freeSlots;
        /// @dev Reputation tier, 0 to 3.
        uint8 tier;
        /// @dev Base URL of the node's API.
        string endpoint;
    }

    /// @notice The rules for stake.
    struct StakePolicy {
        /// @dev Least stake of an active node, inclusive.
        uint88 minStake;
        /// @dev Stake that each open engagement locks.
        uint88 stakePerEngagement;
        /// @dev Seconds from asking for stake to getting it.
        uint32 unbondingPeriod;
        /// @dev Share of a slash for the challenger, in 1/10,000.
        uint16 challengerBps;
        /// @dev Share of a slash for the payer, in 1/10,000. The rest is burnt.
        uint16 payerBps;
    }

    /// @notice What a reputation tier gives.
    struct Tier {
        /// @dev Most engagements open at once.
        uint16 capacity;
        /// @dev Part of the protocol fee that is waived, in 1/10,000 of the fee.
        uint16 feeDiscountBps;
    }

    /// @notice A host registered, for the first time or again.
    /// @param host The host.
    /// @param nodeId Its permanent id.
    /// @param stake Its active stake.
    /// @param capacity Engagements that it takes at once.
    event NodeRegistered(address indexed host, uint256 indexed nodeId, uint256 stake, uint256 capacity);
    /// @notice A host left; all its stake is unbonding.
    /// @param host The host.
    event NodeUnregistered(address indexed host);
    /// @notice A host described itself.
    /// @param host The host.
    /// @param profile The description.
    event ProfileSet(address indexed host, Profile profile);
    /// @notice A host set or withdrew (zero) a price.
    /// @param host The host.
    /// @param modelId The model.
    /// @param token The token to pay with; zero for ETH.
    /// @param pricePerMillion Base units of `token` for 1,000,000 LLM tokens.
    event OfferSet(address indexed host, bytes32 indexed modelId, address indexed token, uint256 pricePerMillion);
    /// @notice How many engagements a host may have open was worked out anew.
    /// @param host The host.
    /// @param slots Engagements open at once, by choice, tier and stake together.
    event SlotsSet(address indexed host, uint256 slots);
    /// @notice A host chose how much it takes on at once.
    /// @param host The host.
    /// @param capacity Engagements open at once.
    event CapacitySet(address indexed host, uint256 capacity);
    /// @notice A host paused or resumed itself.
    /// @param host The host.
    /// @param paused Whether it is paused now.
    event NodePaused(address indexed host, bool paused);
    /// @notice Stake was added, or taken back from unbonding.
    /// @param host The host.
    /// @param amount Base units added.
    /// @param stake The active stake now.
    event StakeAdded(address indexed host, uint256 amount, uint256 stake);
    /// @notice Stake began to unbond.
    /// @param host The host.
    /// @param amount Base units that joined the unbonding stake.
    /// @param unbondsAt Unix seconds from which all of the unbonding stake may be withdrawn.
    event UnbondingStarted(address indexed host, uint256 amount, uint256 unbondsAt);
    /// @notice Unbonded stake became the host's credit in the escrow.
    /// @param host The host.
    /// @param amount Base units.
    event StakeWithdrawn(address indexed host, uint256 amount);
    /// @notice A model was added, allowed or disallowed.
    /// @param modelId The model.
    /// @param index Its permanent index, from 1 on.
    /// @param allowed Whether new engagements may use it.
    event ModelSet(bytes32 indexed modelId, uint256 index, bool allowed);
    /// @notice The rules for stake changed.
    /// @param policy The new rules.
    event StakePolicySet(StakePolicy policy);
    /// @notice What a tier gives changed.
    /// @param tier The tier, 0 to 3.
    /// @param terms What it gives now.
    event TierSet(uint256 indexed tier, Tier terms);
    /// @notice A contract may or may not open engagements.
    /// @param market The contract.
    /// @param allowed Whether it may.
    event MarketSet(address indexed market, bool allowed);
    /// @notice A host lost stake.
    /// @param host The host.
    /// @param market The market that asked for it.
    /// @param evidenceId What for; counts once for each market.
    /// @param amount Base units taken in all.
    /// @param toChallenger Base units credited to the challenger.
    /// @param toPayer Base units credited to the payer.
    /// @param burnt Base units that nobody gets: credited to `BURN_ADDRESS`.
    event Slashed(
        address indexed host,
        address indexed market,
        bytes32 indexed evidenceId,
        uint256 amount,
        uint256 toChallenger,
        uint256 toPayer,
        uint256 burnt
    );
    /// @notice A host's tier changed.
    /// @param host The host.
    /// @param tier The tier, 0 to 3.
    event NodeTierSet(address indexed host, uint256 tier);
    /// @notice The reputation system changed.
    /// @param reputation The contract; zero for none.
    event ReputationSet(address indexed reputation);
    /// @notice The registry learnt its escrow.
    /// @param escrow The escrow.
    event Wired(address indexed escrow);

    /// @notice The caller is not a market.
    error NotMarket(address caller);
    /// @notice The host is registered already.
    error AlreadyRegistered(address host);
    /// @notice The host is not registered.
    error NotRegistered(address host);
    /// @notice The host has paused itself.
    error NodeIsPaused(address host);
    /// @notice The stake would be below what is needed.
    error StakeTooLow(uint256 stake, uint256 needed);
    /// @notice The host has engagements open.
    error EngagementsOpen(address host, uint256 open);
    /// @notice The host takes no more engagements now: by its own choice, its tier or its stake.
    error NoCapacity(address host, uint256 open, uint256 slots);
    /// @notice Nothing is unbonding.
    error NothingUnbonding(address host);
    /// @notice The stake is still unbonding.
    error StillUnbonding(uint256 unbondsAt);
    /// @notice The model is unknown or not allowed.
    error ModelNotAllowed(bytes32 modelId);
    /// @notice The list of models is full.
    error TooManyModels();
    /// @notice A node offers at most `MAX_MODELS_PER_NODE` models.
    error TooManyModelsOfNode(address host);
    /// @notice A page holds 1 to `MAX_PAGE` entries.
    error BadPageSize(uint256 limit);
    /// @notice The value is outside of its bounds.
    error OutOfBounds(uint256 value, uint256 max);
    /// @notice The amount must not be zero.
    error ZeroStake();
    /// @notice The market has used this evidence before.
    error EvidenceUsed(address market, bytes32 evidenceId);
    /// @notice The caller is not the reputation system.
    error NotReputation(address caller);
    /// @notice The endpoint is empty or longer than 256 bytes.
    error BadEndpoint(uint256 length);

    /// @notice Sets owner and rules. Once, by the proxy's constructor.
    /// @param owner The owner, later the Timelock.
    /// @param policy The rules for stake.
    function initialize(address owner, StakePolicy calldata policy) external;

    /// @notice Connects the registry to the rest. Once, by the owner. What differs from chain to chain is told here and
    /// not at construction, so that addresses are the same everywhere.
    /// @param escrow The escrow; this registry is one of its controllers.
    /// @param stakeToken The ERC-20 that stake is in; fixed for good.
    /// @param markets Contracts that may open engagements.
    function wire(address escrow, address stakeToken, address[] calldata markets) external;

    /// @notice Lets a contract open engagements, or no more. It can always close those it opened, and slash for them.
    /// Owner only.
    /// @param market The contract.
    /// @param allowed Whether it may.
    function setMarket(address market, bool allowed) external;

    /// @notice Names the contract that sets tiers and hears of slashes. Owner only.
    /// @param reputation The contract; zero for none.
    function setReputation(address reputation) external;

    /// @notice Sets the rules for stake. Owner only.
    /// @param policy The rules.
    function setStakePolicy(StakePolicy calldata policy) external;

    /// @notice Sets what a tier gives. Owner only.
    /// @param tier The tier, 0 to 3.
    /// @param terms What it gives.
    function setTier(uint256 tier, Tier calldata terms) external;

    /// @notice Adds a model, or allows or disallows it. Open engagements go on. Owner only.
    /// @param modelId The model, not zero.
    /// @param allowed Whether new engagements and offers may use it.
    function setModel(bytes32 modelId, bool allowed) external;

    /// @notice Registers the caller as a host. Its stake comes from its escrow credit, then from its allowance to the
    /// escrow.
    /// @param stake Base units of the stake token, at least `minStake`.
    /// @param capacity Engagements it takes at once.
    /// @param profile How it describes itself.
    /// @param offers Its first prices; may be empty.
    /// @return nodeId Its permanent id.
    function register(uint256 stake, uint16 capacity, Profile calldata profile, Offer[] calldata offers)
        external
        returns (uint256 nodeId);

    /// @notice Registers with an ERC-2612 permit for the escrow instead of an allowance. If the permit was used already,
    /// the allowance that it gave serves.
    /// @param stake Base units of the stake token, at least `minStake`; the permit is for exactly this.
    /// @param capacity Engagements it takes at once.
    /// @param profile How it describes itself.
    /// @param offers Its first prices; may be empty.
    /// @param deadline Unix seconds until which the permit counts.
    /// @param v Of the permit's signature.
    /// @param r Of the permit's signature.
    /// @param s Of the permit's signature.
    /// @return nodeId Its permanent id.
    function registerWithPermit(
        uint256 stake,
        uint16 capacity,
        Profile calldata profile,
        Offer[] calldata offers,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint256 nodeId);

    /// @notice Leaves. No engagement may be open; all stake starts to unbond and stays slashable until withdrawn.
    function unregister() external;

    /// @notice Adds to the caller's stake, from its escrow credit, then from its allowance to the escrow.
    /// @param amount Base units.
    function addStake(uint256 amount) external;

    /// @notice Starts to unbond a part of the stake; restarts the clock of what is unbonding already.
    /// @param amount Base units; the rest must cover `minStake` and what open engagements lock.
    function startUnbonding(uint256 amount) external;

    /// @notice Takes all unbonding stake back into the active stake.
    function cancelUnbonding() external;

    /// @notice Turns the unbonded stake into the host's credit in the escrow. Anyone may call it.
    /// @param host The host.
    function finishUnbonding(address host) external;

    /// @notice Replaces the caller's description.
    /// @param profile The description.
    function setProfile(Profile calldata profile) external;

    /// @notice Sets or withdraws (zero) prices of the caller.
    /// @param offers The prices.
    function setOffers(Offer[] calldata offers) external;

    /// @notice Sets how many engagements the caller takes at once. Open ones go on.
    /// @param capacity Engagements.
    function setCapacity(uint16 capacity) external;

    /// @notice Pauses or resumes the caller: a paused node gets no new engagements. A slash below `minStake` pauses the
    /// node too; resuming needs `minStake`.
    /// @param paused Whether to pause.
    function setPaused(bool paused) external;

    /// @notice Opens an engagement: locks stake of the host and gives out a ticket. Markets only.
    /// @param host The host, registered and not paused.
    /// @param modelId The model, allowed.
    /// @return ticket Number of the engagement among the host's, from 1 on, never used twice.
    /// @return modelIndex The model's index.
    /// @return feeDiscountBps Part of the protocol fee that the host's tier waives, in 1/10,000 of the fee.
    function acquire(address host, bytes32 modelId)
        external
        returns (uint40 ticket, uint16 modelIndex, uint16 feeDiscountBps);

    /// @notice Closes an engagement and unlocks its stake. Markets only, once for each `acquire`.
    /// @param host The host.
    function release(address host) external;

    /// @notice Works out anew how many engagements a host may have open and what its tier waives, after the rules have
    /// changed. Anyone may call it; the host's own calls do it too.
    /// @param host The host.
    function refresh(address host) external;

    /// @notice Takes stake of a host, unbonding stake included, for evidence that has not been used. Markets only.
    /// @param host The host.
    /// @param shareBps How much, in 1/10,000 of what one engagement locks, at most 10,000; less is taken if there is less.
    /// @param evidenceId What for; counts once for each market.
    /// @param challenger Who gets the challenger's share.
    /// @param payer Who gets the payer's share.
    /// @return taken Base units taken.
    function slashEngagement(address host, uint256 shareBps, bytes32 evidenceId, address challenger, address payer)
        external
        returns (uint256 taken);

    /// @notice Sets a host's tier. The reputation system only.
    /// @param host The host.
    /// @param tier The tier, 0 to 3.
    function setTierOf(address host, uint8 tier) external;

    /// @notice A node.
    /// @param host The host.
    function nodeOf(address host) external view returns (Node memory);

    /// @notice The host of a node id; zero if there is none.
    /// @param nodeId The id.
    function hostOf(uint256 nodeId) external view returns (address);

    /// @notice How many hosts ever registered; their ids are 1 to this, inclusive.
    function nodeCount() external view returns (uint256);

    /// @notice A page of all nodes in the order of their ids, whatever their status.
    /// @param cursor Nodes to skip; zero for the first page.
    /// @param limit Most nodes to return, 1 to `MAX_PAGE`.
    /// @return page The nodes.
    /// @return next Cursor of the next page; zero if this was the last.
    function nodes(uint256 cursor, uint256 limit) external view returns (Node[] memory page, uint256 next);

    /// @notice A page of the active nodes that offer a model, in no particular order.
    /// @param modelId The model.
    /// @param cursor Nodes to skip; zero for the first page.
    /// @param limit Most nodes to return, 1 to `MAX_PAGE`.
    /// @return hosts The hosts.
    /// @return next Cursor of the next page; zero if this was the last.
    function nodesByModel(bytes32 modelId, uint256 cursor, uint256 limit)
        external
        view
        returns (address[] memory hosts, uint256 next);

    /// @notice The nodes among a page of a model's nodes that fit a filter and can be engaged now.
    /// @param filter What to look for.
    /// @param cursor Nodes of the model to skip; zero for the first page.
    /// @param limit Most nodes to look at, 1 to `MAX_PAGE`; as many or fewer are returned.
    /// @return matches The nodes that fit.
    /// @return next Cursor of the next page; zero if this was the last.
    function findNodes(Filter calldata filter, uint256 cursor, uint256 limit)
        external
        view
        returns (Match[] memory matches, uint256 next);

    /// @notice Tickets given out for a host: the number of engagements that it ever had.
    /// @param host The host.
    function ticketsOf(address host) external view returns (uint256);

    /// @notice Whether a market has used an evidence.
    /// @param market The market.
    /// @param evidenceId The evidence.
    function isEvidenceUsed(address market, bytes32 evidenceId) external view returns (bool);

    /// @notice The price of a node for a model in a token; zero if it does not offer that.
    /// @param host The host.
    /// @param modelId The model.
    /// @param token The token; zero for ETH.
    /// @return pricePerMillion Base units of `token` for 1,000,000 LLM tokens.
    function priceOf(address host, bytes32 modelId, address token) external view returns (uint256 pricePerMillion);

    /// @notice The models that a node offers.
    /// @param host The host.
    function modelsOf(address host) external view returns (bytes32[] memory);

    /// @notice A model by its index; zero if there is none.
    /// @param index From 1 on.
    function modelByIndex(uint256 index) external view returns (bytes32);

    /// @notice A model's index and whether it is allowed; zero and false if it is unknown.
    /// @param modelId The model.
    function modelInfo(bytes32 modelId) external view returns (uint16 index, bool allowed);

    /// @notice What the active stake covers beyond what open engagements lock.
    /// @param host The host.
    /// @return Base units of the stake token.
    function freeStakeOf(address host) external view returns (uint256);

    /// @notice The rules for stake.
    function stakePolicy() external view returns (StakePolicy memory);

    /// @notice What a tier gives.
    /// @param tier The tier, 0 to 3.
    function tierTerms(uint256 tier) external view returns (Tier memory);

    /// @notice The token that stake is in.
    function stakeToken() external view returns (address);

    /// @notice The contract that sets tiers and hears of slashes; zero for none.
    function reputation() external view returns (address);

    /// @notice Whether a contract may open engagements.
    /// @param account The contract.
    function isMarket(address account) external view returns (bool);
}
