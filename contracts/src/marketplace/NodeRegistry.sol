// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { Governed } from "./base/Governed.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "./interfaces/IPaymentEscrow.sol";

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
        /// @dev Where the stake lies.
        IPaymentEscrow escrow;
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
        /// @dev Base units of the token for 1,000,000 LLM tokens; zero if not offered.
        mapping(uint256 nodeId => mapping(uint256 modelIndex => mapping(address token => uint80))) prices;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.NodeRegistry")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant REGISTRY_STORAGE = 0xb1849ed940e121315e41d940d6962b30ef7ab820ff68efd5f67fc07a1fb98a00;

    /// @inheritdoc INodeRegistry
    function initialize(address owner_, address stakeToken_, StakePolicy calldata policy) external initializer {
        if (stakeToken_ == address(0)) revert ZeroAddressGiven();
        __Ownable_init(owner_);
        RegistryStorage storage $ = _registry();
        $.stakeToken = stakeToken_;
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
    function wire(address escrow_, address[] calldata markets) external onlyOwner {
        RegistryStorage storage $ = _registry();
        if (address($.escrow) != address(0)) revert AlreadyWired();
        if (escrow_ == address(0)) revert ZeroAddressGiven();
        $.escrow = IPaymentEscrow(escrow_);
        for (uint256 i; i < markets.length; ++i) {
            _setMarket(markets[i], true);
        }
        emit Wired(escrow_);
        IPaymentEscrow(escrow_).openToken($.stakeToken);
    }

    /// @inheritdoc INodeRegistry
    function setMarket(address market, bool allowed) external onlyOwner {
        _setMarket(market, allowed);
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
        _setProfile(profile);
        _relist(nodeId);
        _setOffers(nodeId, offers);
        emit NodeRegistered(msg.sender, nodeId, stake, capacity);
        _lockStake(first, stake);
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
        $.escrow.refund(_lockId(host), amount);
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
        emit CapacitySet(msg.sender, capacity);
    }

    /// @inheritdoc INodeRegistry
    function setPaused(bool paused) external onlyActive {
        _registry().nodes[msg.sender].state.paused = paused;
        emit NodePaused(msg.sender, paused);
    }

    // ------------------------------------------------------------------------------------------------- markets

    /// @inheritdoc INodeRegistry
    function acquire(address host, bytes32 modelId)
        external
        nonReentrant
        returns (uint32 nodeId, uint40 ticket, uint16 modelIndex, uint16 feeDiscountBps)
    {
        RegistryStorage storage $ = _registry();
        if (!$.markets[msg.sender]) revert NotMarket(msg.sender);
        Model memory model = $.models[modelId];
        if (!model.allowed) revert ModelNotAllowed(modelId);
        NodeState memory state = $.nodes[host].state;
        if (state.status != NodeStatus.Active) revert NotRegistered(host);
        if (state.paused) revert NodeIsPaused(host);

        Tier memory tier = _tier(state.tier);
        uint256 capacity = state.capacity < tier.capacity ? state.capacity : tier.capacity;
        if (state.open >= capacity) revert NoCapacity(host, state.open, capacity);
        state.open += 1;
        state.tickets += 1;
        uint256 needed = uint256(state.open) * $.stakePerEngagement;
        if (state.stake < needed) revert StakeExhausted(host, state.stake, needed);
        $.nodes[host].state = state;
        return (state.nodeId, state.tickets, model.index, tier.feeDiscountBps);
    }

    /// @inheritdoc INodeRegistry
    function release(address host) external nonReentrant {
        RegistryStorage storage $ = _registry();
        if (!$.knownMarkets[msg.sender]) revert NotMarket(msg.sender);
        $.nodes[host].state.open -= 1;
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
    function escrow() external view returns (address) {
        return address(_registry().escrow);
    }

    /// @inheritdoc INodeRegistry
    function isMarket(address account) external view returns (bool) {
        return _registry().markets[account];
    }

    // ------------------------------------------------------------------------------------------------ internal

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
        emit UnbondingStarted(msg.sender, amount, node.unbondsAt);
    }

    /// @dev Has the escrow lock the caller's money as stake.
    function _lockStake(bool first, uint256 amount) private {
        RegistryStorage storage $ = _registry();
        if (address($.escrow) == address(0)) revert NotWired();
        if (first) $.escrow.lock(_lockId(msg.sender), msg.sender, $.stakeToken, amount);
        else $.escrow.increaseLock(_lockId(msg.sender), amount);
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
