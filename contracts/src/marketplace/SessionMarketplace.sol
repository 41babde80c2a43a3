// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { EIP712 } from "solady/utils/EIP712.sol";
import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { Governed } from "./base/Governed.sol";
import { IEngagements } from "./interfaces/IEngagements.sol";
import { INodeRegistry } from "./interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "./interfaces/IPaymentEscrow.sol";
import { ISessionMarketplace } from "./interfaces/ISessionMarketplace.sol";
import { OwnedId } from "./libraries/OwnedId.sol";
import { SessionHash } from "./libraries/SessionHash.sol";
import { SessionStore } from "./libraries/SessionStore.sol";
import { Signed } from "./libraries/Signed.sol";

/// @title SessionMarketplace
/// @notice Sessions: streaming inference paid by cumulative vouchers.
/// @dev Holds no money. Three new slots a session: the escrow's lock (payer, token, what is left) and two of `SessionStore`;
/// the host is in the id. What was settled is the deposit minus what is left, so settling writes nothing here.
contract SessionMarketplace is ISessionMarketplace, IEngagements, Governed, EIP712 {
    using SessionStore for SessionStore.Slots;

    /// @notice Most entries in a page of a view.
    uint256 public constant MAX_PAGE = 100;

    /// @notice The highest fee that can be set, in 1/10,000 of what a host earns, inclusive.
    uint256 public constant MAX_FEE_BPS = 1_000;

    /// @notice The longest grace and duration that can be set, in seconds, inclusive.
    uint256 public constant MAX_WINDOW = 90 days;

    /// @dev LLM tokens that a price is for.
    uint256 private constant PRICE_UNIT = 1_000_000;

    /// @custom:storage-location erc7201:fabstir.storage.SessionMarketplace
    struct MarketStorage {
        /// @dev Knows the hosts. In one slot with the rules: opening reads them all.
        INodeRegistry registry;
        /// @dev Rule for new sessions, see `SessionPolicy`.
        uint16 feeBps;
        /// @dev Rule for new sessions, see `SessionPolicy`.
        uint24 grace;
        /// @dev Rule for new sessions, see `SessionPolicy`.
        uint32 maxDuration;
        /// @dev Checks signatures of contract accounts; the escrow's.
        address verifier;
        /// @dev By id.
        mapping(bytes32 sessionId => SessionStore.Slots) sessions;
        /// @dev Nonces of `OpenAuthorization`.
        mapping(address payer => uint256) openNonces;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.SessionMarketplace")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant MARKET_STORAGE = 0xf98158d67fcaeef3690cd787a2f1e50eda3bf150d4a5554e98074d7e877f1700;

    /// @inheritdoc ISessionMarketplace
    function initialize(address owner_, SessionPolicy calldata policy_) external initializer {
        __Ownable_init(owner_);
        _setPolicy(policy_);
    }

    // --------------------------------------------------------------------------------------------------- owner

    /// @inheritdoc ISessionMarketplace
    function wire(address escrow_, address registry_) external onlyOwner {
        MarketStorage storage $ = _market();
        if (registry_ == address(0)) revert ZeroAddressGiven();
        _setEscrow(escrow_);
        $.registry = INodeRegistry(registry_);
        $.verifier = IPaymentEscrow(escrow_).signatureVerifier();
        emit Wired(escrow_, registry_);
    }

    /// @inheritdoc ISessionMarketplace
    function setPolicy(SessionPolicy calldata policy_) external onlyOwner {
        _setPolicy(policy_);
    }

    // --------------------------------------------------------------------------------------------------- payer

    /// @inheritdoc ISessionMarketplace
    function openSession(SessionQuote calldata quote, bytes calldata hostSignature, uint256 deposit, address voucherKey)
        external
        payable
        whenEntryOpen
        nonReentrant
        returns (bytes32 sessionId)
    {
        return _open(quote, hostSignature, msg.sender, deposit, voucherKey);
    }

    /// @inheritdoc ISessionMarketplace
    function openSessionFor(
        SessionQuote calldata quote,
        bytes calldata hostSignature,
        OpenAuthorization calldata authorization,
        bytes calldata payerSignature
    ) external whenEntryOpen nonReentrant returns (bytes32 sessionId) {
        MarketStorage storage $ = _market();
        address payer = authorization.payer;
        if (block.timestamp > authorization.validUntil) revert TooLate(authorization.validUntil);
        uint256 nonce = $.openNonces[payer]++;
        if (authorization.nonce != nonce) revert BadNonce(nonce, authorization.nonce);
        bytes32 digest = _hashTypedData(SessionHash.hash(quote, authorization));
        if (!_isSignedBy(payer, digest, payerSignature)) revert BadSignature(payer);
        return _open(quote, hostSignature, payer, authorization.deposit, authorization.voucherKey);
    }

    /// @inheritdoc ISessionMarketplace
    function topUp(bytes32 sessionId, uint256 amount) external payable whenEntryOpen nonReentrant {
        SessionStore.Slots storage slots = _market().sessions[sessionId];
        SessionStore.Slots memory session = slots.load();
        if (session.status() != SessionStatus.Open) revert WrongStatus(sessionId, session.status());
        if (msg.sender != _payerOf(sessionId)) revert NotPayer(sessionId, msg.sender);
        if (block.timestamp > session.deadline()) revert TooLate(session.deadline());
        uint256 deposit = session.amount() + amount;
        slots.head = SessionStore.packHead(session.voucherKey(), SafeCastLib.toUint88(deposit), SessionStatus.Open);
        emit SessionToppedUp(sessionId, amount, deposit);
        _escrow().increaseLock{ value: msg.value }(sessionId, amount);
    }

    /// @inheritdoc ISessionMarketplace
    function startClose(bytes32 sessionId) external nonReentrant {
        SessionStore.Slots storage slots = _market().sessions[sessionId];
        SessionStore.Slots memory session = slots.load();
        if (session.status() != SessionStatus.Open) revert WrongStatus(sessionId, session.status());
        if (msg.sender != _payerOf(sessionId)) revert NotPayer(sessionId, msg.sender);
        uint256 until = session.settleUntil();
        uint256 graceEnd = block.timestamp + session.grace();
        if (graceEnd < until) until = graceEnd;
        slots.head = SessionStore.packHead(
            session.voucherKey(), SafeCastLib.toUint88(session.amount()), SessionStatus.Closing
        );
        slots.terms = session.termsUntil(SafeCastLib.toUint40(until));
        emit SessionClosing(sessionId, until);
    }

    /// @inheritdoc ISessionMarketplace
    function closeWithHost(bytes32 sessionId, uint256 finalAmount, uint256 validUntil, bytes calldata hostSignature)
        external
        nonReentrant
    {
        SessionStore.Slots memory session = _live(sessionId);
        (address payer,, uint256 left) = _escrow().lockOf(address(this), sessionId);
        if (msg.sender != payer) revert NotPayer(sessionId, msg.sender);
        if (block.timestamp > validUntil) revert TooLate(validUntil);
        uint256 deposit = session.amount();
        if (finalAmount < deposit - left || finalAmount > deposit) {
            revert BadFinalAmount(finalAmount, deposit - left, deposit);
        }
        address host = OwnedId.ownerOf(sessionId);
        bytes32 digest = _hashTypedData(SessionHash.hashClose(sessionId, finalAmount, validUntil));
        if (!_isSignedBy(host, digest, hostSignature)) revert BadSignature(host);
        _close(sessionId, session, finalAmount);
    }

    // ---------------------------------------------------------------------------------------------------- host

    /// @inheritdoc ISessionMarketplace
    function closeByHost(Voucher calldata voucher, bytes calldata signature) external nonReentrant {
        bytes32 sessionId = voucher.sessionId;
        SessionStore.Slots memory session = _live(sessionId);
        if (msg.sender != OwnedId.ownerOf(sessionId)) revert NotHost(sessionId, msg.sender);
        if (voucher.cumulativeAmount == 0) {
            _close(sessionId, session, 0);
            return;
        }
        uint256 until = session.settleUntil();
        if (block.timestamp > until) revert TooLate(until);
        if (!_isSigned(session, voucher, _domainSeparator(), signature)) revert BadSignature(_payerOf(sessionId));
        uint256 amount = _close(sessionId, session, _earned(session, voucher));
        emit SessionSettled(sessionId, amount, voucher.tokens, voucher.transcriptRoot);
    }

    // -------------------------------------------------------------------------------------------------- anyone

    /// @inheritdoc ISessionMarketplace
    function settle(Voucher calldata voucher, bytes calldata signature) external nonReentrant returns (uint256 amount) {
        SessionStore.Slots memory session = _live(voucher.sessionId);
        uint256 until = session.settleUntil();
        if (block.timestamp > until) revert TooLate(until);
        if (!_isSigned(session, voucher, _domainSeparator(), signature)) {
            revert BadSignature(_payerOf(voucher.sessionId));
        }
        return _pay(session, voucher);
    }

    /// @inheritdoc ISessionMarketplace
    function settleBatch(Voucher[] calldata vouchers, bytes[] calldata signatures)
        external
        nonReentrant
        returns (uint256[] memory amounts)
    {
        if (vouchers.length != signatures.length) {
            revert LengthMismatch(vouchers.length, signatures.length);
        }
        IPaymentEscrow.Settlement[] memory rows = new IPaymentEscrow.Settlement[](vouchers.length);
        bytes32 domain = _domainSeparator();
        for (uint256 i; i < vouchers.length; ++i) {
            Voucher calldata voucher = vouchers[i];
            SessionStore.Slots memory session = _market().sessions[voucher.sessionId].load();
            if (!session.isLive() || block.timestamp > session.settleUntil()) continue;
            if (!_isSigned(session, voucher, domain, signatures[i])) continue;
            IPaymentEscrow.Settlement memory row = rows[i];
            row.id = voucher.sessionId;
            row.payee = OwnedId.ownerOf(voucher.sessionId);
            row.remainder = session.amount() - _earned(session, voucher);
            row.feeBps = session.feeBps();
        }
        amounts = _escrow().releaseAboveBatch(rows);
        for (uint256 i; i < vouchers.length; ++i) {
            if (amounts[i] > 0) {
                Voucher calldata voucher = vouchers[i];
                emit SessionSettled(voucher.sessionId, amounts[i], voucher.tokens, voucher.transcriptRoot);
            }
        }
    }

    /// @inheritdoc ISessionMarketplace
    function finishClose(bytes32 sessionId) external nonReentrant {
        SessionStore.Slots memory session = _live(sessionId);
        uint256 until = session.settleUntil();
        if (block.timestamp <= until) revert TooEarly(until);
        _close(sessionId, session, 0);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc ISessionMarketplace
    function sessionOf(bytes32 sessionId) external view returns (Session memory) {
        MarketStorage storage $ = _market();
        SessionStore.Slots memory session = $.sessions[sessionId].load();
        if (session.status() == SessionStatus.None) revert WrongStatus(sessionId, SessionStatus.None);
        (address payer, address token, uint256 left) = _escrow().lockOf(address(this), sessionId);
        return Session({
            payer: payer,
            host: OwnedId.ownerOf(sessionId),
            token: token,
            voucherKey: session.voucherKey(),
            modelId: $.registry.modelByIndex(session.modelIndex()),
            pricePerMillion: SafeCastLib.toUint80(session.pricePerMillion()),
            feeBps: SafeCastLib.toUint16(session.feeBps()),
            status: session.status(),
            deposit: SafeCastLib.toUint88(session.amount()),
            settled: SafeCastLib.toUint88(session.amount() - left),
            settleUntil: SafeCastLib.toUint40(session.settleUntil()),
            grace: SafeCastLib.toUint24(session.grace())
        });
    }

    /// @inheritdoc ISessionMarketplace
    function previewSettle(Voucher calldata voucher) external view returns (uint256) {
        MarketStorage storage $ = _market();
        SessionStore.Slots memory session = $.sessions[voucher.sessionId].load();
        if (!session.isLive() || block.timestamp > session.settleUntil()) return 0;
        (,, uint256 left) = _escrow().lockOf(address(this), voucher.sessionId);
        uint256 remainder = session.amount() - _earned(session, voucher);
        return left > remainder ? left - remainder : 0;
    }

    /// @inheritdoc IEngagements
    function outcomeOf(bytes32 sessionId) external view returns (Outcome memory outcome) {
        MarketStorage storage $ = _market();
        SessionStore.Slots memory session = $.sessions[sessionId].load();
        if (session.status() != SessionStatus.Closed) return outcome;
        (outcome.payer, outcome.token,) = _escrow().lockOf(address(this), sessionId);
        outcome.host = OwnedId.ownerOf(sessionId);
        outcome.earned = session.amount();
        outcome.fee = outcome.earned * session.feeBps() / 10_000;
        outcome.result = outcome.earned == 0 ? Result.Neutral : Result.Completed;
    }

    /// @inheritdoc ISessionMarketplace
    function sessionsOfHost(address host, uint256 cursor, uint256 limit)
        external
        view
        returns (bytes32[] memory sessionIds, uint256 next)
    {
        return _page(host, address(0), cursor, limit);
    }

    /// @inheritdoc ISessionMarketplace
    function sessionsOfPayer(address payer, address host, uint256 cursor, uint256 limit)
        external
        view
        returns (bytes32[] memory sessionIds, uint256 next)
    {
        return _page(host, payer, cursor, limit);
    }

    /// @inheritdoc ISessionMarketplace
    function quoteDigest(SessionQuote calldata quote) external view returns (bytes32) {
        return _hashTypedData(SessionHash.hash(quote));
    }

    /// @inheritdoc ISessionMarketplace
    function openDigest(SessionQuote calldata quote, OpenAuthorization calldata authorization)
        external
        view
        returns (bytes32)
    {
        return _hashTypedData(SessionHash.hash(quote, authorization));
    }

    /// @inheritdoc ISessionMarketplace
    function voucherDigest(Voucher calldata voucher) external view returns (bytes32) {
        return _hashTypedData(SessionHash.hash(voucher));
    }

    /// @inheritdoc ISessionMarketplace
    function closeDigest(bytes32 sessionId, uint256 finalAmount, uint256 validUntil) external view returns (bytes32) {
        return _hashTypedData(SessionHash.hashClose(sessionId, finalAmount, validUntil));
    }

    /// @inheritdoc ISessionMarketplace
    function openNonceOf(address payer) external view returns (uint256) {
        return _market().openNonces[payer];
    }

    /// @inheritdoc ISessionMarketplace
    function policy() external view returns (SessionPolicy memory) {
        MarketStorage storage $ = _market();
        return SessionPolicy({ feeBps: $.feeBps, grace: $.grace, maxDuration: $.maxDuration });
    }

    /// @inheritdoc ISessionMarketplace
    function registry() external view returns (address) {
        return address(_market().registry);
    }

    // ------------------------------------------------------------------------------------------------ internal

    /// @dev Opens a session for a payer whose consent was checked.
    function _open(
        SessionQuote calldata quote,
        bytes calldata hostSignature,
        address payer,
        uint256 deposit,
        address voucherKey
    ) private returns (bytes32 sessionId) {
        MarketStorage storage $ = _market();
        IPaymentEscrow vault = _escrow();
        if (quote.payer != address(0) && quote.payer != payer) revert QuoteForAnother(quote.payer, payer);
        if (quote.host == payer) revert SelfDealing(payer);
        if (block.timestamp > quote.validUntil) revert TooLate(quote.validUntil);
        if (quote.duration > $.maxDuration) revert OutOfBounds(quote.duration, $.maxDuration);
        if (deposit < quote.minDeposit || deposit > quote.maxDeposit) {
            revert BadDeposit(deposit, quote.minDeposit, quote.maxDeposit);
        }
        bytes32 digest = _hashTypedData(SessionHash.hash(quote));
        if (!_isSignedBy(quote.host, digest, hostSignature)) revert BadSignature(quote.host);

        sessionId = _write(quote, payer, deposit, voucherKey);
        vault.lock{ value: msg.value }(sessionId, payer, quote.token, deposit);
    }

    /// @dev Engages the host and writes the session down, with the rules of this moment.
    function _write(SessionQuote calldata quote, address payer, uint256 deposit, address voucherKey)
        private
        returns (bytes32 sessionId)
    {
        MarketStorage storage $ = _market();
        (uint40 ticket, uint16 modelIndex, uint16 discount) = $.registry.acquire(quote.host, quote.modelId);
        sessionId = OwnedId.make(quote.host, ticket);
        SessionStore.Slots memory session = SessionStore.Slots({
            head: SessionStore.packHead(voucherKey, SafeCastLib.toUint88(deposit), SessionStatus.Open),
            terms: SessionStore.packTerms(
                SessionStore.Terms({
                    pricePerMillion: quote.pricePerMillion,
                    feeBps: SafeCastLib.toUint16(uint256($.feeBps) * (10_000 - discount) / 10_000),
                    deadline: SafeCastLib.toUint40(block.timestamp + quote.duration),
                    grace: $.grace,
                    modelIndex: modelIndex
                })
            )
        });
        SessionStore.Slots storage slots = $.sessions[sessionId];
        (slots.head, slots.terms) = (session.head, session.terms);
        _emitOpened(sessionId, payer, quote, session);
    }

    function _emitOpened(
        bytes32 sessionId,
        address payer,
        SessionQuote calldata quote,
        SessionStore.Slots memory session
    ) private {
        emit SessionOpened(
            sessionId,
            payer,
            quote.host,
            quote.modelId,
            quote.token,
            quote.pricePerMillion,
            session.amount(),
            session.voucherKey(),
            session.feeBps(),
            session.deadline()
        );
    }

    /// @dev Pays the host what a signed voucher shows beyond what was settled.
    function _pay(SessionStore.Slots memory session, Voucher calldata voucher) private returns (uint256 amount) {
        bytes32 sessionId = voucher.sessionId;
        uint256 remainder = session.amount() - _earned(session, voucher);
        amount = _escrow().releaseAbove(sessionId, OwnedId.ownerOf(sessionId), remainder, session.feeBps());
        if (amount > 0) emit SessionSettled(sessionId, amount, voucher.tokens, voucher.transcriptRoot);
    }

    /// @dev Pays the host up to `earned` in all, refunds the rest and ends the session. The registry comes before the
    /// money, so that a caller cannot starve it of gas and still end the session; if it fails, the money moves all the
    /// same.
    /// @param earned Base units earned in all; less than what was settled changes nothing.
    /// @return amount Base units earned by this call, fee included.
    function _close(bytes32 sessionId, SessionStore.Slots memory session, uint256 earned)
        private
        returns (uint256 amount)
    {
        address host = OwnedId.ownerOf(sessionId);
        uint256 deposit = session.amount();
        // The escrow knows best what was settled; until it says so, the session has ended with nothing earned.
        SessionStore.Slots storage slots = _market().sessions[sessionId];
        slots.head = SessionStore.packHead(session.voucherKey(), 0, SessionStatus.Closed);
        try _market().registry.release(host) { }
        catch {
            emit RegistryUnreachable(sessionId);
        }
        address payer;
        uint256 refunded;
        (payer, amount, refunded) = _escrow().finalize(sessionId, host, deposit - earned, session.feeBps());
        earned = deposit - refunded;
        slots.head = SessionStore.packHead(session.voucherKey(), SafeCastLib.toUint88(earned), SessionStatus.Closed);
        emit SessionClosed(sessionId, payer, host, earned, refunded);
    }

    function _setPolicy(SessionPolicy calldata policy_) private {
        if (policy_.feeBps > MAX_FEE_BPS) revert OutOfBounds(policy_.feeBps, MAX_FEE_BPS);
        if (policy_.grace > MAX_WINDOW) revert OutOfBounds(policy_.grace, MAX_WINDOW);
        if (policy_.maxDuration > MAX_WINDOW) revert OutOfBounds(policy_.maxDuration, MAX_WINDOW);
        MarketStorage storage $ = _market();
        ($.feeBps, $.grace, $.maxDuration) = (policy_.feeBps, policy_.grace, policy_.maxDuration);
        emit SessionPolicySet(policy_);
    }

    /// @dev Whether the voucher key or the payer signed the voucher.
    function _isSigned(
        SessionStore.Slots memory session,
        Voucher calldata voucher,
        bytes32 domain,
        bytes calldata signature
    ) private returns (bool) {
        bytes32 digest = MessageHashUtils.toTypedDataHash(domain, SessionHash.hash(voucher));
        address key = session.voucherKey();
        if (key != address(0) && Signed.byKey(key, digest, signature)) return true;
        return _isSignedBy(_payerOf(voucher.sessionId), digest, signature);
    }

    /// @dev What a voucher is worth: no more than its tokens at the session's price, rounded down, nor the deposit.
    function _earned(SessionStore.Slots memory session, Voucher calldata voucher)
        private
        pure
        returns (uint256 earned)
    {
        earned = session.amount();
        if (voucher.cumulativeAmount < earned) earned = voucher.cumulativeAmount;
        uint256 tokens = voucher.tokens;
        if (tokens <= type(uint128).max) {
            uint256 worth = tokens * session.pricePerMillion() / PRICE_UNIT;
            if (worth < earned) earned = worth;
        }
    }

    /// @dev The session, if it has not ended.
    function _live(bytes32 sessionId) private view returns (SessionStore.Slots memory session) {
        session = _market().sessions[sessionId].load();
        if (!session.isLive()) revert WrongStatus(sessionId, session.status());
    }

    /// @dev The payer is whose money the escrow has locked.
    function _payerOf(bytes32 sessionId) private view returns (address payer) {
        (payer,,) = _escrow().lockOf(address(this), sessionId);
    }

    /// @dev The sessions among a page of a host's tickets, of one payer or (zero) of any.
    function _page(address host, address payer, uint256 cursor, uint256 limit)
        private
        view
        returns (bytes32[] memory sessionIds, uint256 next)
    {
        if (limit == 0 || limit > MAX_PAGE) revert BadPageSize(limit);
        MarketStorage storage $ = _market();
        uint256 end = $.registry.ticketsOf(host);
        if (cursor >= end) return (sessionIds, 0);
        if (end - cursor > limit) (end, next) = (cursor + limit, cursor + limit);
        sessionIds = new bytes32[](end - cursor);
        uint256 found;
        for (uint256 ticket = cursor + 1; ticket <= end; ++ticket) {
            bytes32 sessionId = OwnedId.make(host, ticket);
            if ($.sessions[sessionId].head == 0) continue;
            if (payer == address(0) || payer == _payerOf(sessionId)) sessionIds[found++] = sessionId;
        }
        assembly ("memory-safe") {
            mstore(sessionIds, found)
        }
    }

    /// @dev Whether an account stands behind a signature.
    function _isSignedBy(address account, bytes32 digest, bytes calldata signature) private returns (bool) {
        return Signed.byKey(account, digest, signature) || Signed.byCode(_market().verifier, account, digest, signature);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Fabstir SessionMarketplace", "1");
    }

    function _market() private pure returns (MarketStorage storage $) {
        assembly {
            $.slot := MARKET_STORAGE
        }
    }
}
