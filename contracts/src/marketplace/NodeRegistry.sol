// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { Governed } from "./base/Governed.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "./interfaces/IPaymentEscrow.sol";
import { IReputationSystem } from "./interfaces/IReputationSystem.sol";

/// @title NodeRegistry
/// @notice Hosts, their stake, their offers and their capacity.
/// @dev Stake locked by open engagements is `open * stakePerEngagement`: counted, not stored, so that a change of the
/// rules can never leave stake locked without an engagement.
contract NodeRegistry is INodeRegistry, Governed {
    /// @notice Most entries in a page of a view.
    uint256 public constant MAX_PAGE = 100;

    /// @notice Most models that one node offers.
    uint256 public constant MAX_MODELS_PER_NODE = 32;

    /// @notice Longest unbonding period that can be set, in seconds, inclusive.
    uint256 public constant MAX_UNBONDING = 60 days;

    /// @notice Longest endpoint, in bytes, inclusive.
    uint256 public constant MAX_ENDPOINT = 256;

    /// @notice Whose credit burnt stake becomes. Nobody has the key, so it never leaves the escrow.
    address public constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    /// @dev Gas that the reputation system gets to take note of a slash.
    uint256 private constant HOOK_GAS = 150_000;

    /// @dev What opening and closing an engagement touches; one slot.
    struct NodeState {
        /// @dev Active stake in base units, locked part included.
        uint88 stake;
        /// @dev Open engagements.
        uint24 open;
        /// @dev Engagements that the host takes at once.
        uint16 capacity;
        /// @dev Engagements ever opened.
        uint40 tickets;
        /// @dev Permanent id, from 1 on.
        uint32 nodeId;
        /// @dev Reputation tier, 0 to 3.
        uint8 tier;
        /// @dev Whether it is registered.
        NodeStatus status;
        /// @dev Whether the host paused itself.
        bool paused;
        /// @dev Engagements that may be open at once: the least of `capacity`, the tier's and what the stake covers.
        uint16 slots;
        /// @dev Part of the protocol fee that the tier waives, in 1/10,000 of the fee.
        uint16 feeDiscountBps;
    }

    /// @dev A host's record.
    struct NodeRecord {
        /// @dev One slot, see there.
        NodeState state;
        /// @dev Stake on its way out, in base units.
        uint88 unbonding;
        /// @dev Unix seconds from which `unbonding` may be withdrawn.
        uint40 unbondsAt;
        /// @dev How the host describes itself.
        Profile profile;
        /// @dev Indices of the models with at least one price.
        uint16[] models;
    }

    /// @dev A node's place among a model's nodes.
    struct Membership {
        /// @dev Position in the model's list plus one; zero while the node has left.
        uint32 position;
        /// @dev Position in the node's list of models plus one; zero if there is no price.
        uint16 modelPosition;
        /// @dev Tokens that the node has a price in.
        uint16 prices;
    }

    /// @dev A model's record.
    struct Model {
        /// @dev Permanent index, from 1 on.
        uint16 index;
        /// @dev Whether new engagements and offers may use it.
        bool allowed;
    }

    /// @custom:storage-location erc7201:fabstir.storage.NodeRegistry
    struct RegistryStorage {
        /// @dev What the tiers give: for tier t, 16 bits of capacity at bit 32t and 16 bits of fee discount above them.
        /// With the next field one slot, read for each engagement.
        uint128 tiers;
        /// @dev Stake that each open engagement locks.
        uint88 stakePerEngagement;
        /// @dev Least stake of an active node.
        uint88 minStake;
        /// @dev Seconds from asking for stake to getting it.
        uint32 unbondingPeriod;
        /// @dev Share of a slash for the challenger, in 1/10,000.
        uint16 challengerBps;
        /// @dev Share of a slash for the payer, in 1/10,000.
        uint16 payerBps;
        /// @dev Hosts that ever registered.
        uint32 nodeCount;
        /// @dev The token that stake is in.
        address stakeToken;
        /// @dev Contracts that may open engagements.
        mapping(address market => bool) markets;
        /// @dev Contracts that ever were markets: they can still close what they opened.
        mapping(address market => bool) knownMarkets;
        /// @dev By host.
        mapping(address host => NodeRecord) nodes;
        /// @dev Hosts by id.
        mapping(uint256 nodeId => address) hosts;
        /// @dev Model ids by index minus one.
        bytes32[] modelIds;
        /// @dev By model id.
        mapping(bytes32 modelId => Model) models;
        /// @dev Ids of the active nodes that offer a model, by model index.
        mapping(uint256 modelIndex => uint32[]) modelNodes;
        /// @dev By node and model.
        mapping(uint256 nodeId => mapping(uint256 modelIndex => Membership)) memberships;
        /// @dev Evidence that each market has used.
        mapping(address market => mapping(bytes32 evidenceId => bool)) evidence;
        /// @dev Sets tiers and hears of slashes; zero for none.
        address reputation;
        /// @dev Base units of the token for 1,000,000 LLM tokens; zero if not offered.
        mapping(uint256 nodeId => mapping(uint256 modelIndex => mapping(address token => uint80))) prices;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.NodeRegistry")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant REGISTRY_STORAGE = 0xb1849ed940e121315e41d940d6962b30ef7ab820ff68efd5f67fc07a1fb98a00;

    /// @inheritdoc INodeRegistry
    function initialize(address owner_, StakePolicy calldata policy) external initializer {
        __Ownable_init(owner_);
        _setStakePolicy(policy);
        _setTier(0, Tier({ capacity: 16, feeDiscountBps: 0 }));
        _setTier(1, Tier({ capacity: 64, feeDiscountBps: 1_000 }));
        _setTier(2, Tier({ capacity: 256, feeDiscountBps: 2_000 }));
        _setTier(3, Tier({ capacity: 1_024, feeDiscountBps: 3_000 }));
    }

    modifier onlyActive() {
        if (_registry().nodes[msg.sender].state.status != NodeStatus.Active) revert NotRegistered(msg.sender);
        _;
    }

    // --------------------------------------------------------------------------------------------------- owner

    /// @inheritdoc INodeRegistry
    function wire(address escrow_, address stakeToken_, address[] calldata markets) external onlyOwner {
        if (stakeToken_ == address(0)) revert ZeroAddressGiven();
        _setEscrow(escrow_);
        _registry().stakeToken = stakeToken_;
        for (uint256 i; i < markets.length; ++i) {
            _setMarket(markets[i], true);
        }
        emit Wired(escrow_);
        IPaymentEscrow(escrow_).openToken(stakeToken_);
    }

    /// @inheritdoc INodeRegistry
    function setMarket(address market, bool allowed) external onlyOwner {
        _setMarket(market, allowed);
    }

    /// @inheritdoc INodeRegistry
    function setReputation(address reputation_) external onlyOwner {
        _registry().reputation = reputation_;
        emit ReputationSet(reputation_);
    }

    /// @inheritdoc INodeRegistry
    function setStakePolicy(StakePolicy calldata policy) external onlyOwner {
        _setStakePolicy(policy);
    }

    /// @inheritdoc INodeRegistry
    function setTier(uint256 tier, Tier calldata terms) external onlyOwner {
        if (tier > 3) revert OutOfBounds(tier, 3);
        if (terms.feeDiscountBps > 10_000) revert OutOfBounds(terms.feeDiscountBps, 10_000);
        _setTier(tier, terms);
    }

    /// @inheritdoc INodeRegistry
    function setModel(bytes32 modelId, bool allowed) external onlyOwner {
        if (modelId == bytes32(0)) revert ModelNotAllowed(modelId);
        RegistryStorage storage $ = _registry();
        Model storage model = $.models[modelId];
        if (model.index == 0) {
            uint256 index = $.modelIds.length + 1;
            if (index > type(uint16).max) revert TooManyModels();
            $.modelIds.push(modelId);
            model.index = SafeCastLib.toUint16(index);
        }
        model.allowed = allowed;
        emit ModelSet(modelId, model.index, allowed);
    }

    // ---------------------------------------------------------------------------------------------------- host

    /// @inheritdoc INodeRegistry
    function register(uint256 stake, uint16 capacity, Profile calldata profile, Offer[] calldata offers)
        external
        whenEntryOpen
        nonReentrant
        returns (uint256 nodeId)
    {
        return _register(stake, capacity, profile, offers);
    }

    /// @inheritdoc INodeRegistry
    function registerWithPermit(
        uint256 stake,
        uint16 capacity,
        Profile calldata profile,
        Offer[] calldata offers,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external whenEntryOpen nonReentrant returns (uint256 nodeId) {
        RegistryStorage storage $ = _registry();
        // Whoever saw the permit may have used it; then the allowance is there.
        try IERC20Permit($.stakeToken).permit(msg.sender, address(_escrow()), stake, deadline, v, r, s) { } catch { }
        return _register(stake, capacity, profile, offers);
    }

    /// @inheritdoc INodeRegistry
    function unregister() external onlyActive nonReentrant {
        NodeState storage state = _registry().nodes[msg.sender].state;
        if (state.open != 0) revert EngagementsOpen(msg.sender, state.open);
        state.status = NodeStatus.Left;
        _unlist(state.nodeId);
        emit NodeUnregistered(msg.sender);
        if (state.stake > 0) _startUnbonding(state.stake);
    }

    /// @inheritdoc INodeRegistry
    function addStake(uint256 amount) external onlyActive whenEntryOpen nonReentrant {
        if (amount == 0) revert ZeroStake();
        NodeState storage state = _registry().nodes[msg.sender].state;
        state.stake += SafeCastLib.toUint88(amount);
        _refresh(msg.sender);
        emit StakeAdded(msg.sender, amount, state.stake);
        _lockStake(false, amount);
    }

    /// @inheritdoc INodeRegistry
    function startUnbonding(uint256 amount) external onlyActive nonReentrant {
        if (amount == 0) revert ZeroStake();
        RegistryStorage storage $ = _registry();
        NodeState storage state = $.nodes[msg.sender].state;
        uint256 locked = uint256(state.open) * $.stakePerEngagement;
        uint256 needed = amount + (locked > $.minStake ? locked : $.minStake);
        if (state.stake < needed) revert StakeTooLow(state.stake, needed);
        _startUnbonding(SafeCastLib.toUint88(amount));
    }

    /// @inheritdoc INodeRegistry
    function cancelUnbonding() external onlyActive nonReentrant {
        NodeRecord storage node = _registry().nodes[msg.sender];
        uint88 amount = node.unbonding;
        if (amount == 0) revert NothingUnbonding(msg.sender);
        (node.unbonding, node.unbondsAt) = (0, 0);
        node.state.stake += amount;
        _refresh(msg.sender);
        emit StakeAdded(msg.sender, amount, node.state.stake);
    }

    /// @inheritdoc INodeRegistry
    function finishUnbonding(address host) external nonReentrant {
        RegistryStorage storage $ = _registry();
        NodeRecord storage node = $.nodes[host];
        uint256 amount = node.unbonding;
        if (amount == 0) revert NothingUnbonding(host);
        if (block.timestamp < node.unbondsAt) revert StillUnbonding(node.unbondsAt);
        (node.unbonding, node.unbondsAt) = (0, 0);
        emit StakeWithdrawn(host, amount);
        _escrow().refund(_lockId(host), amount);
    }

    /// @inheritdoc INodeRegistry
    function setProfile(Profile calldata profile) external onlyActive {
        _setProfile(profile);
    }

    /// @inheritdoc INodeRegistry
    function setOffers(Offer[] calldata offers) external onlyActive {
        _setOffers(_registry().nodes[msg.sender].state.nodeId, offers);
    }

    /// @inheritdoc INodeRegistry
    function setCapacity(uint16 capacity) external onlyActive {
        _registry().nodes[msg.sender].state.capacity = capacity;
        _refresh(msg.sender);
        emit CapacitySet(msg.sender, capacity);
    }

    /// @inheritdoc INodeRegistry
    function setPaused(bool paused) external onlyActive {
        RegistryStorage storage $ = _registry();
        NodeState storage state = $.nodes[msg.sender].state;
        if (!paused && state.stake < $.minStake) revert StakeTooLow(state.stake, $.minStake);
        state.paused = paused;
        emit NodePaused(msg.sender, paused);
    }

    // ------------------------------------------------------------------------------------------------- markets

    /// @inheritdoc INodeRegistry
    function acquire(address host, bytes32 modelId)
        external
        returns (uint40 ticket, uint16 modelIndex, uint16 feeDiscountBps)
    {
        RegistryStorage storage $ = _registry();
        if (!$.markets[msg.sender]) revert NotMarket(msg.sender);
        Model storage model = $.models[modelId];
        if (!model.allowed) revert ModelNotAllowed(modelId);
        NodeState storage state = $.nodes[host].state;
        if (state.status != NodeStatus.Active) revert NotRegistered(host);
        if (state.paused) revert NodeIsPaused(host);
        if (state.open >= state.slots) revert NoCapacity(host, state.open, state.slots);
        state.open += 1;
        ticket = state.tickets + 1;
        state.tickets = ticket;
        return (ticket, model.index, state.feeDiscountBps);
    }

    /// @inheritdoc INodeRegistry
    function release(address host) external {
        RegistryStorage storage $ = _registry();
        if (!$.knownMarkets[msg.sender]) revert NotMarket(msg.sender);
        $.nodes[host].state.open -= 1;
    }

    /// @inheritdoc INodeRegistry
    function refresh(address host) external {
        _refresh(host);
    }

    /// @inheritdoc INodeRegistry
    function slashEngagement(address host, uint256 shareBps, bytes32 evidenceId, address challenger, address payer)
        external
        nonReentrant
        returns (uint256 taken)
    {
        RegistryStorage storage $ = _registry();
        if (!$.knownMarkets[msg.sender]) revert NotMarket(msg.sender);
        if (shareBps > 10_000) revert OutOfBounds(shareBps, 10_000);
        if ($.evidence[msg.sender][evidenceId]) revert EvidenceUsed(msg.sender, evidenceId);
        $.evidence[msg.sender][evidenceId] = true;

        taken = _takeStake($.nodes[host], uint256($.stakePerEngagement) * shareBps / 10_000);
        _refresh(host);
        uint256 toChallenger = taken * $.challengerBps / 10_000;
        uint256 toPayer = taken * $.payerBps / 10_000;
        uint256 burnt = taken - toChallenger - toPayer;
        emit Slashed(host, msg.sender, evidenceId, taken, toChallenger, toPayer, burnt);
        _payStake(host, challenger, toChallenger);
        _payStake(host, payer, toPayer);
        _payStake(host, BURN_ADDRESS, burnt);
        if ($.reputation != address(0)) {
            try IReputationSystem($.reputation).onSlash{ gas: HOOK_GAS }(host, taken) { } catch { }
        }
    }

    /// @inheritdoc INodeRegistry
    function setTierOf(address host, uint8 tier) external {
        RegistryStorage storage $ = _registry();
        if (msg.sender != $.reputation) revert NotReputation(msg.sender);
        if (tier > 3) revert OutOfBounds(tier, 3);
        $.nodes[host].state.tier = tier;
        _refresh(host);
        emit NodeTierSet(host, tier);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc INodeRegistry
    function nodeOf(address host) external view returns (Node memory) {
        return _node(host);
    }

    /// @inheritdoc INodeRegistry
    function hostOf(uint256 nodeId) external view returns (address) {
        return _registry().hosts[nodeId];
    }

    /// @inheritdoc INodeRegistry
    function nodeCount() external view returns (uint256) {
        return _registry().nodeCount;
    }

    /// @inheritdoc INodeRegistry
    function nodes(uint256 cursor, uint256 limit) external view returns (Node[] memory page, uint256 next) {
        RegistryStorage storage $ = _registry();
        uint256 size;
        (size, next) = _page($.nodeCount, cursor, limit);
        page = new Node[](size);
        for (uint256 i; i < size; ++i) {
            page[i] = _node($.hosts[cursor + i + 1]);
        }
    }

    /// @inheritdoc INodeRegistry
    function nodesByModel(bytes32 modelId, uint256 cursor, uint256 limit)
        external
        view
        returns (address[] memory hosts, uint256 next)
    {
        RegistryStorage storage $ = _registry();
        uint32[] storage list = $.modelNodes[$.models[modelId].index];
        uint256 size;
        (size, next) = _page(list.length, cursor, limit);
        hosts = new address[](size);
        for (uint256 i; i < size; ++i) {
            hosts[i] = $.hosts[list[cursor + i]];
        }
    }

    /// @inheritdoc INodeRegistry
    function findNodes(Filter calldata filter, uint256 cursor, uint256 limit)
        external
        view
        returns (Match[] memory matches, uint256 next)
    {
        RegistryStorage storage $ = _registry();
        uint32[] storage list = $.modelNodes[$.models[filter.modelId].index];
        uint256 size;
        (size, next) = _page(list.length, cursor, limit);
        matches = new Match[](size);
        uint256 found;
        for (uint256 i; i < size; ++i) {
            Match memory candidate = _match(list[cursor + i], filter);
            if (candidate.freeSlots > 0) matches[found++] = candidate;
        }
        assembly ("memory-safe") {
            mstore(matches, found)
        }
    }

    /// @inheritdoc INodeRegistry
    function ticketsOf(address host) external view returns (uint256) {
        return _registry().nodes[host].state.tickets;
    }

    /// @inheritdoc INodeRegistry
    function isEvidenceUsed(address market, bytes32 evidenceId) external view returns (bool) {
        return _registry().evidence[market][evidenceId];
    }

    /// @inheritdoc INodeRegistry
    function priceOf(address host, bytes32 modelId, address token) external view returns (uint256) {
        RegistryStorage storage $ = _registry();
        return $.prices[$.nodes[host].state.nodeId][$.models[modelId].index][token];
    }

    /// @inheritdoc INodeRegistry
    function modelsOf(address host) external view returns (bytes32[] memory list) {
        RegistryStorage storage $ = _registry();
        uint16[] storage indices = $.nodes[host].models;
        list = new bytes32[](indices.length);
        for (uint256 i; i < list.length; ++i) {
            list[i] = $.modelIds[indices[i] - 1];
        }
    }

    /// @inheritdoc INodeRegistry
    function modelByIndex(uint256 index) external view returns (bytes32) {
        bytes32[] storage list = _registry().modelIds;
        return index == 0 || index > list.length ? bytes32(0) : list[index - 1];
    }

    /// @inheritdoc INodeRegistry
    function modelInfo(bytes32 modelId) external view returns (uint16 index, bool allowed) {
        Model memory model = _registry().models[modelId];
        return (model.index, model.allowed);
    }

    /// @inheritdoc INodeRegistry
    function freeStakeOf(address host) external view returns (uint256) {
        return _freeStake(_registry().nodes[host].state);
    }

    /// @inheritdoc INodeRegistry
    function stakePolicy() external view returns (StakePolicy memory) {
        RegistryStorage storage $ = _registry();
        return StakePolicy({
            minStake: $.minStake,
            stakePerEngagement: $.stakePerEngagement,
            unbondingPeriod: $.unbondingPeriod,
            challengerBps: $.challengerBps,
            payerBps: $.payerBps
        });
    }

    /// @inheritdoc INodeRegistry
    function tierTerms(uint256 tier) external view returns (Tier memory) {
        if (tier > 3) revert OutOfBounds(tier, 3);
        return _tier(tier);
    }

    /// @inheritdoc INodeRegistry
    function stakeToken() external view returns (address) {
        return _registry().stakeToken;
    }

    /// @inheritdoc INodeRegistry
    function reputation() external view returns (address) {
        return _registry().reputation;
    }

    /// @inheritdoc INodeRegistry
    function isMarket(address account) external view returns (bool) {
        return _registry().markets[account];
    }

    // ------------------------------------------------------------------------------------------------ internal

    function _register(uint256 stake, uint16 capacity, Profile calldata profile, Offer[] calldata offers)
        private
        returns (uint256 nodeId)
    {
        RegistryStorage storage $ = _registry();
        NodeState storage state = $.nodes[msg.sender].state;
        if (state.status == NodeStatus.Active) revert AlreadyRegistered(msg.sender);
        if (stake < $.minStake) revert StakeTooLow(stake, $.minStake);

        bool first = state.nodeId == 0;
        if (first) {
            nodeId = ++$.nodeCount;
            state.nodeId = SafeCastLib.toUint32(nodeId);
            $.hosts[nodeId] = msg.sender;
        } else {
            nodeId = state.nodeId;
        }
        (state.status, state.stake, state.capacity, state.paused) =
        (NodeStatus.Active, SafeCastLib.toUint88(stake), capacity, false);
        _refresh(msg.sender);
        _setProfile(profile);
        _relist(nodeId);
        _setOffers(nodeId, offers);
        emit NodeRegistered(msg.sender, nodeId, stake, capacity);
        _lockStake(first, stake);
    }

    function _setMarket(address market, bool allowed) private {
        if (market == address(0)) revert ZeroAddressGiven();
        RegistryStorage storage $ = _registry();
        $.markets[market] = allowed;
        if (allowed) $.knownMarkets[market] = true;
        emit MarketSet(market, allowed);
    }

    function _setStakePolicy(StakePolicy calldata policy) private {
        if (policy.unbondingPeriod > MAX_UNBONDING) revert OutOfBounds(policy.unbondingPeriod, MAX_UNBONDING);
        uint256 shares = uint256(policy.challengerBps) + policy.payerBps;
        if (shares > 10_000) revert OutOfBounds(shares, 10_000);
        RegistryStorage storage $ = _registry();
        $.minStake = policy.minStake;
        $.stakePerEngagement = policy.stakePerEngagement;
        $.unbondingPeriod = policy.unbondingPeriod;
        $.challengerBps = policy.challengerBps;
        $.payerBps = policy.payerBps;
        emit StakePolicySet(policy);
    }

    function _setTier(uint256 tier, Tier memory terms) private {
        RegistryStorage storage $ = _registry();
        uint256 shift = tier * 32;
        uint256 packed = uint256(terms.feeDiscountBps) << 16 | terms.capacity;
        $.tiers = SafeCastLib.toUint128(uint256($.tiers) & ~(uint256(type(uint32).max) << shift) | packed << shift);
        emit TierSet(tier, terms);
    }

    function _tier(uint256 tier) private view returns (Tier memory) {
        uint256 packed = uint256(_registry().tiers) >> (tier * 32);
        return Tier({
            capacity: SafeCastLib.toUint16(packed & type(uint16).max),
            feeDiscountBps: SafeCastLib.toUint16(packed >> 16 & type(uint16).max)
        });
    }

    function _setProfile(Profile calldata profile) private {
        uint256 length = bytes(profile.endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT) revert BadEndpoint(length);
        _registry().nodes[msg.sender].profile = profile;
        emit ProfileSet(msg.sender, profile);
    }

    /// @dev Sets the caller's prices; a model's first price lists the node under it, its last one unlists it.
    function _setOffers(uint256 nodeId, Offer[] calldata offers) private {
        RegistryStorage storage $ = _registry();
        for (uint256 i; i < offers.length; ++i) {
            Offer calldata offer = offers[i];
            Model memory model = $.models[offer.modelId];
            uint80 old = $.prices[nodeId][model.index][offer.token];
            if (model.index == 0 || (offer.pricePerMillion != 0 && !model.allowed)) {
                revert ModelNotAllowed(offer.modelId);
            }

            $.prices[nodeId][model.index][offer.token] = offer.pricePerMillion;
            Membership storage member = $.memberships[nodeId][model.index];
            if (old == 0 && offer.pricePerMillion != 0) {
                if (++member.prices == 1) _addModel(nodeId, model.index, member);
            } else if (old != 0 && offer.pricePerMillion == 0) {
                if (--member.prices == 0) _removeModel(model.index, member);
            }
            emit OfferSet(msg.sender, offer.modelId, offer.token, offer.pricePerMillion);
        }
    }

    function _addModel(uint256 nodeId, uint16 modelIndex, Membership storage member) private {
        RegistryStorage storage $ = _registry();
        uint16[] storage own = $.nodes[msg.sender].models;
        if (own.length == MAX_MODELS_PER_NODE) revert TooManyModelsOfNode(msg.sender);
        own.push(modelIndex);
        member.modelPosition = SafeCastLib.toUint16(own.length);
        _list(nodeId, modelIndex, member);
    }

    function _removeModel(uint16 modelIndex, Membership storage member) private {
        RegistryStorage storage $ = _registry();
        NodeRecord storage node = $.nodes[msg.sender];
        uint16[] storage own = node.models;
        uint16 moved = own[own.length - 1];
        own[member.modelPosition - 1] = moved;
        $.memberships[node.state.nodeId][moved].modelPosition = member.modelPosition;
        member.modelPosition = 0;
        own.pop();
        _delist(modelIndex, member);
    }

    /// @dev Puts a node on a model's list.
    function _list(uint256 nodeId, uint256 modelIndex, Membership storage member) private {
        uint32[] storage list = _registry().modelNodes[modelIndex];
        list.push(SafeCastLib.toUint32(nodeId));
        member.position = SafeCastLib.toUint32(list.length);
    }

    /// @dev Takes a node off a model's list; the last one takes its place.
    function _delist(uint256 modelIndex, Membership storage member) private {
        RegistryStorage storage $ = _registry();
        uint32[] storage list = $.modelNodes[modelIndex];
        uint32 moved = list[list.length - 1];
        list[member.position - 1] = moved;
        $.memberships[moved][modelIndex].position = member.position;
        member.position = 0;
        list.pop();
    }

    /// @dev Takes the caller's node off all lists. Bounded by `MAX_MODELS_PER_NODE`.
    function _unlist(uint256 nodeId) private {
        RegistryStorage storage $ = _registry();
        uint16[] storage own = $.nodes[msg.sender].models;
        for (uint256 i; i < own.length; ++i) {
            _delist(own[i], $.memberships[nodeId][own[i]]);
        }
    }

    /// @dev Puts the caller's node back on the lists that it was on when it left. Bounded likewise.
    function _relist(uint256 nodeId) private {
        RegistryStorage storage $ = _registry();
        uint16[] storage own = $.nodes[msg.sender].models;
        for (uint256 i; i < own.length; ++i) {
            _list(nodeId, own[i], $.memberships[nodeId][own[i]]);
        }
    }

    function _startUnbonding(uint88 amount) private {
        RegistryStorage storage $ = _registry();
        NodeRecord storage node = $.nodes[msg.sender];
        node.state.stake -= amount;
        node.unbonding += amount;
        node.unbondsAt = SafeCastLib.toUint40(block.timestamp + $.unbondingPeriod);
        _refresh(msg.sender);
        emit UnbondingStarted(msg.sender, amount, node.unbondsAt);
    }

    /// @dev Has the escrow lock the caller's money as stake.
    function _lockStake(bool first, uint256 amount) private {
        if (first) _escrow().lock(_lockId(msg.sender), msg.sender, _registry().stakeToken, amount);
        else _escrow().increaseLock(_lockId(msg.sender), amount);
    }

    /// @dev Takes up to `amount` of a host's stake, the active part first. A node left with less than the least stake
    /// is paused.
    function _takeStake(NodeRecord storage node, uint256 amount) private returns (uint256 taken) {
        RegistryStorage storage $ = _registry();
        uint256 active = node.state.stake;
        uint256 unbonding = node.unbonding;
        taken = amount < active + unbonding ? amount : active + unbonding;
        uint256 fromActive = taken < active ? taken : active;
        node.state.stake = SafeCastLib.toUint88(active - fromActive);
        node.unbonding = SafeCastLib.toUint88(unbonding - (taken - fromActive));
        if (active - fromActive < $.minStake) node.state.paused = true;
    }

    /// @dev Turns a part of a host's locked stake into somebody's credit.
    function _payStake(address host, address to, uint256 amount) private {
        if (amount > 0) _escrow().release(_lockId(host), to, amount, 0);
    }

    /// @dev What a node offers under a filter; no free slots if it does not fit or cannot be engaged.
    function _match(uint256 nodeId, Filter calldata filter) private view returns (Match memory candidate) {
        RegistryStorage storage $ = _registry();
        address host = $.hosts[nodeId];
        NodeState memory state = $.nodes[host].state;
        uint256 price = $.prices[nodeId][$.models[filter.modelId].index][filter.token];
        uint256 free = _freeStake(state);
        if (state.paused || price == 0 || price > filter.maxPrice || free < filter.minFreeStake) return candidate;

        uint256 slots = state.slots > state.open ? state.slots - state.open : 0;
        return Match({
            host: host,
            pricePerMillion: price,
            freeStake: free,
            freeSlots: slots,
            tier: state.tier,
            endpoint: $.nodes[host].profile.endpoint
        });
    }

    /// @dev Works out what `acquire` looks at, so that it need not read the rules.
    function _refresh(address host) private {
        RegistryStorage storage $ = _registry();
        NodeState storage state = $.nodes[host].state;
        Tier memory tier = _tier(state.tier);
        uint256 slots = state.capacity < tier.capacity ? state.capacity : tier.capacity;
        uint256 perEngagement = $.stakePerEngagement;
        if (perEngagement > 0 && state.stake / perEngagement < slots) slots = state.stake / perEngagement;
        (state.slots, state.feeDiscountBps) = (SafeCastLib.toUint16(slots), tier.feeDiscountBps);
        emit SlotsSet(host, slots);
    }

    function _node(address host) private view returns (Node memory) {
        NodeRecord storage node = _registry().nodes[host];
        NodeState memory state = node.state;
        return Node({
            host: host,
            nodeId: state.nodeId,
            status: state.status,
            paused: state.paused,
            tier: state.tier,
            open: state.open,
            capacity: state.capacity,
            slots: state.slots,
            stake: state.stake,
            unbonding: node.unbonding,
            unbondsAt: node.unbondsAt,
            profile: node.profile
        });
    }

    function _freeStake(NodeState memory state) private view returns (uint256) {
        uint256 locked = uint256(state.open) * _registry().stakePerEngagement;
        return state.stake > locked ? state.stake - locked : 0;
    }

    /// @dev Size of a page and the cursor after it, zero at the end of the list.
    function _page(uint256 length, uint256 cursor, uint256 limit) private pure returns (uint256 size, uint256 next) {
        if (limit == 0 || limit > MAX_PAGE) revert BadPageSize(limit);
        if (cursor >= length) return (0, 0);
        size = length - cursor;
        if (size > limit) (size, next) = (limit, cursor + limit);
    }

    /// @dev A host's stake is one lock for good.
    function _lockId(address host) private pure returns (bytes32) {
        return bytes32(uint256(uint160(host)));
    }

    function _registry() private pure returns (RegistryStorage storage $) {
        assembly {
            $.slot := REGISTRY_STORAGE
        }
    }
}
