// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title ISessionMarketplace
/// @notice Streaming inference: one deposit, any number of messages, paid by cumulative vouchers off chain.
/// @dev A session's money lies in the PaymentEscrow under the lock `sessionId`. What is still locked is what has not
/// been settled, so settling writes nothing here. Either side can leave at any time and loses at most what was served
/// without a voucher. Times are unix seconds; a step is allowed up to and including its deadline.
///
/// Two money rules: a voucher never pays more than its `tokens` at the session's price (rounded down), nor more than
/// the deposit.
interface ISessionMarketplace {
    /// @notice Where a session stands.
    enum SessionStatus {
        /// @dev No such session.
        None,
        /// @dev Vouchers are settled until `deadline + grace`.
        Open,
        /// @dev The payer is leaving; vouchers are settled until `deadline`.
        Closing,
        /// @dev Ended for good; the rest was refunded.
        Closed
    }

    /// @notice A host's standing offer, signed by it (EIP-712). It may be used any number of times until `validUntil`,
    /// within the host's capacity; the host ends it earlier by pausing itself in the registry.
    struct SessionQuote {
        /// @dev Who offers, and signs.
        address host;
        /// @dev Who may use it; zero for anyone.
        address payer;
        /// @dev The model, allowed by the registry.
        bytes32 modelId;
        /// @dev The token to pay in; zero for ETH.
        address token;
        /// @dev Base units of `token` for 1,000,000 LLM tokens.
        uint80 pricePerMillion;
        /// @dev Least deposit, inclusive; keeps dust from taking up capacity.
        uint88 minDeposit;
        /// @dev Greatest first deposit, inclusive; what the host is ready to serve.
        uint88 maxDeposit;
        /// @dev Seconds from opening to the session's deadline.
        uint32 duration;
        /// @dev Unix seconds until which a session may be opened, inclusive.
        uint40 validUntil;
    }

    /// @notice A payer's consent to a session that another account opens for it (EIP-712).
    struct OpenAuthorization {
        /// @dev Who pays, and signs.
        address payer;
        /// @dev Base units to lock, from the payer's credit, then from its allowance to the escrow.
        uint256 deposit;
        /// @dev The key that signs vouchers besides the payer; zero for none.
        address voucherKey;
        /// @dev `openNonceOf(payer)`.
        uint256 nonce;
        /// @dev Unix seconds until which it may be used, inclusive.
        uint256 validUntil;
    }

    /// @notice What a payer owes so far, signed by it or by its voucher key (EIP-712).
    struct Voucher {
        /// @dev The session.
        bytes32 sessionId;
        /// @dev Base units owed since the session's start, fee included.
        uint256 cumulativeAmount;
        /// @dev LLM tokens received since the session's start.
        uint256 tokens;
        /// @dev Commitment to the conversation so far; not interpreted here.
        bytes32 transcriptRoot;
    }

    /// @notice A session as a client sees it.
    struct Session {
        /// @dev Who pays, and who is refunded.
        address payer;
        /// @dev Who is paid.
        address host;
        /// @dev The token; zero for ETH.
        address token;
        /// @dev The key that signs vouchers besides the payer; zero for none.
        address voucherKey;
        /// @dev The model.
        bytes32 modelId;
        /// @dev Base units of `token` for 1,000,000 LLM tokens.
        uint80 pricePerMillion;
        /// @dev Protocol fee in 1/10,000 of what the host earns.
        uint16 feeBps;
        /// @dev Where it stands.
        SessionStatus status;
        /// @dev Base units ever locked; once closed, what was earned.
        uint88 deposit;
        /// @dev Base units earned so far, fee included.
        uint88 settled;
        /// @dev Last second in which a voucher is settled.
        uint40 settleUntil;
        /// @dev Seconds of grace.
        uint24 grace;
    }

    /// @notice The rules for new sessions. Each session keeps those it was opened under.
    struct SessionPolicy {
        /// @dev Protocol fee in 1/10,000 of what a host earns, at most 1,000.
        uint16 feeBps;
        /// @dev Seconds that a host has for its last voucher after a payer leaves or a deadline passes.
        uint24 grace;
        /// @dev Longest session, in seconds.
        uint32 maxDuration;
    }

    /// @notice A session was opened and its deposit locked.
    /// @param sessionId The session.
    /// @param payer Who pays.
    /// @param host Who is paid.
    /// @param modelId The model.
    /// @param token The token; zero for ETH.
    /// @param pricePerMillion Base units for 1,000,000 LLM tokens.
    /// @param deposit Base units locked.
    /// @param voucherKey The key that signs vouchers besides the payer; zero for none.
    /// @param feeBps The fee on what the host will earn.
    /// @param deadline Unix seconds; vouchers are settled until this plus the grace.
    event SessionOpened(
        bytes32 indexed sessionId,
        address indexed payer,
        address indexed host,
        bytes32 modelId,
        address token,
        uint256 pricePerMillion,
        uint256 deposit,
        address voucherKey,
        uint256 feeBps,
        uint256 deadline
    );
    /// @notice The payer added to the deposit.
    /// @param sessionId The session.
    /// @param amount Base units added.
    /// @param deposit Base units ever locked.
    event SessionToppedUp(bytes32 indexed sessionId, uint256 amount, uint256 deposit);
    /// @notice A voucher was settled. What the host got and the fee are in the escrow's `Released`.
    /// @param sessionId The session.
    /// @param amount Base units earned by it beyond what was settled before, fee included.
    /// @param tokens LLM tokens that the voucher states.
    /// @param transcriptRoot The voucher's commitment to the conversation.
    event SessionSettled(bytes32 indexed sessionId, uint256 amount, uint256 tokens, bytes32 transcriptRoot);
    /// @notice The payer is leaving.
    /// @param sessionId The session.
    /// @param settleUntil Last second in which a voucher is settled.
    event SessionClosing(bytes32 indexed sessionId, uint256 settleUntil);
    /// @notice A session ended; what was not earned is the payer's credit.
    /// @param sessionId The session.
    /// @param payer The payer.
    /// @param host The host.
    /// @param earned Base units earned in all, fee included.
    /// @param refunded Base units refunded.
    event SessionClosed(
        bytes32 indexed sessionId, address indexed payer, address indexed host, uint256 earned, uint256 refunded
    );
    /// @notice The registry did not take note of a session's end; the money moved all the same.
    /// @param sessionId The session.
    event RegistryUnreachable(bytes32 indexed sessionId);
    /// @notice The rules for new sessions changed.
    /// @param policy The rules.
    event SessionPolicySet(SessionPolicy policy);
    /// @notice The marketplace learnt the others.
    /// @param escrow The escrow.
    /// @param registry The registry.
    event Wired(address indexed escrow, address indexed registry);

    /// @notice The session is not in a state that allows the call.
    error WrongStatus(bytes32 sessionId, SessionStatus status);
    /// @notice The caller is not the session's payer.
    error NotPayer(bytes32 sessionId, address caller);
    /// @notice The caller is not the session's host.
    error NotHost(bytes32 sessionId, address caller);
    /// @notice The signature is not of the account that had to sign.
    error BadSignature(address expectedSigner);
    /// @notice The quote is for another payer.
    error QuoteForAnother(address payer, address caller);
    /// @notice It is too late: the quote, the consent or the session has run out.
    error TooLate(uint256 until);
    /// @notice It is too early: vouchers can still be settled.
    error TooEarly(uint256 until);
    /// @notice The deposit is outside of what the quote takes.
    error BadDeposit(uint256 deposit, uint256 min, uint256 max);
    /// @notice A payer cannot be its own host.
    error SelfDealing(address account);
    /// @notice The nonce is not the next one.
    error BadNonce(uint256 expected, uint256 given);
    /// @notice The amount agreed on is below what was settled or above the deposit.
    error BadFinalAmount(uint256 amount, uint256 settled, uint256 deposit);
    /// @notice The lists differ in length.
    error LengthMismatch(uint256 vouchers, uint256 signatures);
    /// @notice The value is outside of its bounds.
    error OutOfBounds(uint256 value, uint256 max);
    /// @notice A page holds 1 to `MAX_PAGE` entries.
    error BadPageSize(uint256 limit);

    /// @notice Sets owner and rules. Once, by the proxy's constructor.
    /// @param owner The owner, later the Timelock.
    /// @param policy The rules for new sessions.
    function initialize(address owner, SessionPolicy calldata policy) external;

    /// @notice Connects the marketplace to the rest. Once, by the owner.
    /// @param escrow The escrow; this marketplace is one of its controllers.
    /// @param registry The registry; this marketplace is one of its markets.
    function wire(address escrow, address registry) external;

    /// @notice Sets the rules for new sessions. Owner only.
    /// @param policy The rules.
    function setPolicy(SessionPolicy calldata policy) external;

    /// @notice Opens a session as its payer: ETH sent, then the caller's escrow credit, then its allowance to the escrow.
    /// @param quote The host's offer.
    /// @param hostSignature The host's signature of it.
    /// @param deposit Base units to lock.
    /// @param voucherKey A key that signs vouchers besides the payer; zero for none. Only its ECDSA signatures count, so
    /// what it signed stays good whatever happens to the payer's account: hosts should insist on one.
    /// @return sessionId `host << 96 | ticket`.
    function openSession(SessionQuote calldata quote, bytes calldata hostSignature, uint256 deposit, address voucherKey)
        external
        payable
        returns (bytes32 sessionId);

    /// @notice Opens a session for a payer that consents by signature (ECDSA, ERC-1271 or ERC-6492). Anyone may call it.
    /// @param quote The host's offer.
    /// @param hostSignature The host's signature of it.
    /// @param authorization The payer's consent.
    /// @param payerSignature The payer's signature of `openDigest(quote, authorization)`.
    /// @return sessionId `host << 96 | ticket`.
    function openSessionFor(
        SessionQuote calldata quote,
        bytes calldata hostSignature,
        OpenAuthorization calldata authorization,
        bytes calldata payerSignature
    ) external returns (bytes32 sessionId);

    /// @notice Adds to the deposit. The payer only, while the session is open and its deadline has not passed.
    /// @param sessionId The session.
    /// @param amount Base units.
    function topUp(bytes32 sessionId, uint256 amount) external payable;

    /// @notice Pays the host what a voucher shows beyond what was settled. Anyone may call it. An older or equal voucher
    /// changes nothing.
    /// @param voucher The voucher.
    /// @param signature Of the voucher key, or of the payer (ECDSA, ERC-1271 or ERC-6492).
    /// @return amount Base units earned by this call, fee included.
    function settle(Voucher calldata voucher, bytes calldata signature) external returns (uint256 amount);

    /// @notice Settles vouchers of many sessions. A row that cannot be settled is skipped and earns zero, so that no
    /// payer can spoil another row.
    /// @param vouchers The vouchers.
    /// @param signatures One for each voucher.
    /// @return amounts Base units earned by each row, fee included.
    function settleBatch(Voucher[] calldata vouchers, bytes[] calldata signatures)
        external
        returns (uint256[] memory amounts);

    /// @notice Ends a session at once, as its host, with a last voucher.
    /// @param voucher The highest voucher; `cumulativeAmount` zero for none.
    /// @param signature As in `settle`; not looked at if there is no voucher.
    function closeByHost(Voucher calldata voucher, bytes calldata signature) external;

    /// @notice Ends a session at once, as its payer, with the host's signature under the final amount.
    /// @param sessionId The session.
    /// @param finalAmount Base units earned in all, fee included.
    /// @param validUntil Unix seconds until which the host's signature counts, inclusive.
    /// @param hostSignature The host's signature of `closeDigest`.
    function closeWithHost(bytes32 sessionId, uint256 finalAmount, uint256 validUntil, bytes calldata hostSignature)
        external;

    /// @notice Starts to leave, as the payer. The host has the grace to settle its highest voucher.
    /// @param sessionId The session.
    function startClose(bytes32 sessionId) external;

    /// @notice Ends a session after `settleUntil` and refunds the payer what was not earned. Anyone may call it.
    /// @param sessionId The session.
    function finishClose(bytes32 sessionId) external;

    /// @notice A session.
    /// @param sessionId The session.
    function sessionOf(bytes32 sessionId) external view returns (Session memory);

    /// @notice What `settle` would earn now, provided that the signature is good.
    /// @param voucher The voucher.
    /// @return Base units, fee included.
    function previewSettle(Voucher calldata voucher) external view returns (uint256);

    /// @notice A page of a host's sessions, oldest first.
    /// @param host The host.
    /// @param cursor Tickets to skip; zero for the first page. Tickets are shared with jobs, so a page may have gaps.
    /// @param limit Most tickets to look at, 1 to `MAX_PAGE`.
    /// @return sessionIds The sessions among those tickets.
    /// @return next Cursor of the next page; zero if this was the last.
    function sessionsOfHost(address host, uint256 cursor, uint256 limit)
        external
        view
        returns (bytes32[] memory sessionIds, uint256 next);

    /// @notice A page of a payer's sessions with one host, oldest first. With whom a payer has sessions at all is in the
    /// `SessionOpened` events, which are indexed by payer.
    /// @param payer The payer.
    /// @param host The host.
    /// @param cursor Tickets of the host to skip; zero for the first page.
    /// @param limit Most tickets to look at, 1 to `MAX_PAGE`.
    /// @return sessionIds The payer's sessions among those tickets.
    /// @return next Cursor of the next page; zero if this was the last.
    function sessionsOfPayer(address payer, address host, uint256 cursor, uint256 limit)
        external
        view
        returns (bytes32[] memory sessionIds, uint256 next);

    /// @notice What a host signs for a quote.
    /// @param quote The quote.
    function quoteDigest(SessionQuote calldata quote) external view returns (bytes32);

    /// @notice What a payer signs for `openSessionFor`.
    /// @param quote The quote.
    /// @param authorization The consent.
    function openDigest(SessionQuote calldata quote, OpenAuthorization calldata authorization)
        external
        view
        returns (bytes32);

    /// @notice What a payer or its key signs for a voucher.
    /// @param voucher The voucher.
    function voucherDigest(Voucher calldata voucher) external view returns (bytes32);

    /// @notice What a host signs for `closeWithHost`.
    /// @param sessionId The session.
    /// @param finalAmount Base units earned in all, fee included.
    /// @param validUntil Unix seconds until which it counts, inclusive.
    function closeDigest(bytes32 sessionId, uint256 finalAmount, uint256 validUntil) external view returns (bytes32);

    /// @notice The nonce of a payer's next `OpenAuthorization`.
    /// @param payer The payer.
    function openNonceOf(address payer) external view returns (uint256);

    /// @notice The rules for new sessions.
    function policy() external view returns (SessionPolicy memory);

    /// @notice The registry; zero before `wire`.
    function registry() external view returns (address);
}
