// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title IPaymentEscrow
/// @notice The only holder of money in the marketplace: job and session deposits, host stake, bonds and fees.
/// @dev Controllers (the policy contracts) move money between locks and credits; they can never take it out.
/// Money leaves only when the owner of a credit pulls it, which depends on nothing but this contract and the token.
///
/// Terms used below:
/// - *credit*: money of an account that it may withdraw at any time;
/// - *lock*: money of a payer that a controller holds for one purpose, named by `(controller, id)`;
/// - *fees*: protocol fees taken from earned amounts, not yet credited to a collector;
/// - *liabilities*: credits + locks + fees of one token. The escrow's balance is never below it.
///
/// `address(0)` stands for ETH everywhere. Amounts are in base units of the token.
interface IPaymentEscrow {
    /// @notice A lock as stored; one slot. Never deleted, so an id is never used twice.
    struct Lock {
        /// @dev Whose money it is, and where `refund` goes. Zero: the lock was never made.
        address payer;
        /// @dev Base units still locked.
        uint88 amount;
        /// @dev Index of the token in the list of tokens.
        uint8 tokenIndex;
    }

    /// @notice A cumulative payment out of a lock.
    struct Settlement {
        /// @dev The lock's id; zero to skip the row.
        bytes32 id;
        /// @dev Whose credit grows.
        address payee;
        /// @dev Base units that stay locked.
        uint256 remainder;
        /// @dev Fee in 1/10,000 of the released amount, at most 1,000, rounded down.
        uint256 feeBps;
    }

    /// @notice A withdrawal that another account submits (EIP-712).
    struct Withdrawal {
        /// @dev Whose credit it is, and who signs.
        address account;
        /// @dev The token; zero for ETH.
        address token;
        /// @dev Who receives the money.
        address to;
        /// @dev Base units, at most the account's credit.
        uint256 amount;
        /// @dev `nonceOf(account)`.
        uint256 nonce;
        /// @dev Unix seconds until which it may be submitted, inclusive.
        uint256 validUntil;
    }

    /// @notice A token was opened for deposits and locks.
    /// @param token The token.
    /// @param index Its permanent index in the list of tokens.
    event TokenOpened(address indexed token, uint256 index);

    /// @notice A token was closed for new deposits and locks. Releases, refunds and withdrawals go on.
    /// @param token The token.
    event TokenClosed(address indexed token);

    /// @notice Money came in as a credit.
    /// @param account Whose credit grew.
    /// @param token The token.
    /// @param amount Base units received.
    /// @param funder Who paid.
    event Deposited(address indexed account, address indexed token, uint256 amount, address indexed funder);

    /// @notice Money of a payer was locked, for the first time or in addition.
    /// @param controller Which policy contract holds the lock.
    /// @param id The lock's id, chosen by the controller.
    /// @param payer Whose money it is.
    /// @param token The token.
    /// @param amount Base units added to the lock.
    event Locked(address indexed controller, bytes32 indexed id, address indexed payer, address token, uint256 amount);

    /// @notice Locked money was earned.
    /// @param controller Which policy contract holds the lock.
    /// @param id The lock's id.
    /// @param payee Whose credit grew by `amount - fee`.
    /// @param amount Base units taken from the lock.
    /// @param fee The part of `amount` kept as protocol fee.
    event Released(address indexed controller, bytes32 indexed id, address indexed payee, uint256 amount, uint256 fee);

    /// @notice Locked money of several locks was earned by one payee. Which lock gave how much is in the controller's
    /// events.
    /// @param controller Which policy contract holds the locks.
    /// @param payee Whose credit grew by `amount - fee`.
    /// @param token The token.
    /// @param amount Base units taken from the locks.
    /// @param fee The part of `amount` kept as protocol fee.
    event BatchReleased(
        address indexed controller, address indexed payee, address indexed token, uint256 amount, uint256 fee
    );

    /// @notice Locked money went back to its payer's credit.
    /// @param controller Which policy contract holds the lock.
    /// @param id The lock's id.
    /// @param payer Whose credit grew.
    /// @param amount Base units.
    event Refunded(address indexed controller, bytes32 indexed id, address indexed payer, uint256 amount);

    /// @notice Fees became the credit of their collector.
    /// @param token The token.
    /// @param to Whose credit grew.
    /// @param amount Base units.
    event FeesCollected(address indexed token, address indexed to, uint256 amount);

    /// @notice A credit was paid out.
    /// @param account Whose credit shrank.
    /// @param token The token.
    /// @param to Who received the money.
    /// @param amount Base units.
    event Withdrawn(address indexed account, address indexed token, address indexed to, uint256 amount);

    /// @notice Money that nobody had a claim to became fees.
    /// @param token The token.
    /// @param amount Base units.
    event Skimmed(address indexed token, uint256 amount);

    /// @notice The caller is not one of the controllers.
    error NotController(address caller);
    /// @notice The token is not open for deposits and locks.
    error TokenNotOpen(address token);
    /// @notice The list of tokens is full; it holds at most 256, ETH included.
    error TooManyTokens();
    /// @notice There is no code at the token's address.
    error NotAToken(address token);
    /// @notice The amount must not be zero.
    error ZeroAmount();
    /// @notice The address must not be zero.
    error ZeroAddress();
    /// @notice More controllers than there is room for (four).
    error TooManyControllers(uint256 given);
    /// @notice The ETH sent does not fit what the call needs.
    error ValueMismatch(uint256 expected, uint256 actual);
    /// @notice A deposit and a lock are at most `type(uint88).max` base units.
    error AmountTooLarge(uint256 amount);
    /// @notice The controller has used this id before.
    error LockExists(address controller, bytes32 id);
    /// @notice The controller never made a lock of this id.
    error LockMissing(address controller, bytes32 id);
    /// @notice The lock holds less than was asked for.
    error LockTooSmall(address controller, bytes32 id, uint256 held, uint256 asked);
    /// @notice The fee is above the hard cap of 10 %.
    error FeeTooHigh(uint256 feeBps, uint256 cap);
    /// @notice After a transfer the escrow's balance is not what it should be: the token moved another amount.
    error InexactTransfer(address token, uint256 expectedBalance, uint256 actualBalance);
    /// @notice The account's credit is smaller than what was asked for.
    error CreditTooSmall(address account, address token, uint256 credit, uint256 asked);

    /// @notice There is no Permit2 on this chain.
    error NoPermit2();
    /// @notice The signature is not the account's.
    error BadSignature(address account);
    /// @notice The nonce is not the next one.
    error BadNonce(uint256 expected, uint256 given);
    /// @notice It is too late to submit the withdrawal.
    error TooLate(uint256 validUntil);

    /// @notice Adds to the caller's credit.
    /// @param token The token, approved to the escrow; zero for ETH.
    /// @param amount Base units; for ETH it equals the value sent.
    function deposit(address token, uint256 amount) external payable;

    /// @notice Adds to another account's credit with the caller's money.
    /// @param account Whose credit grows.
    /// @param token The token, approved to the escrow by the caller; zero for ETH.
    /// @param amount Base units; for ETH it equals the value sent.
    function depositFor(address account, address token, uint256 amount) external payable;

    /// @notice Adds to the caller's credit with an ERC-2612 permit instead of an allowance. If the permit was used already,
    /// the allowance that it gave serves.
    /// @param token The token.
    /// @param amount Base units; the permit is for exactly this.
    /// @param deadline Unix seconds until which the permit counts.
    /// @param v Of the permit's signature.
    /// @param r Of the permit's signature.
    /// @param s Of the permit's signature.
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Adds to `from`'s credit by its ERC-3009 `ReceiveWithAuthorization` to the escrow. Anyone may submit it.
    /// @param token The token.
    /// @param from Who pays, signed, and is credited.
    /// @param amount Base units.
    /// @param validAfter Unix seconds, exclusive.
    /// @param validBefore Unix seconds, exclusive.
    /// @param nonce The authorization's.
    /// @param signature The authorization's.
    function depositWithAuthorization(
        address token,
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;

    /// @notice Adds to `from`'s credit by its Permit2 `PermitTransferFrom` with the escrow as spender. Anyone may submit
    /// it.
    /// @param token The token.
    /// @param from Who pays, signed, and is credited.
    /// @param amount Base units; the permit is for exactly this.
    /// @param nonce The permit's, unordered.
    /// @param deadline Unix seconds until which the permit counts.
    /// @param signature The permit's.
    function depositWithPermit2(
        address token,
        address from,
        uint256 amount,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external;

    /// @notice Pays out of an account's credit by its signature (ECDSA, ERC-1271 or ERC-6492). Anyone may submit it.
    /// @param withdrawal What is to be paid out.
    /// @param signature The account's signature of `withdrawalDigest(withdrawal)`.
    function withdrawBySignature(Withdrawal calldata withdrawal, bytes calldata signature) external;

    /// @notice Turns what the escrow has of a token beyond its liabilities (sent by mistake or by force, rebased up) into
    /// fees. Anyone may call it.
    /// @param token The token, known to the escrow; zero for ETH.
    /// @return amount Base units; zero if there was no excess.
    function skim(address token) external returns (uint256 amount);

    /// @notice Pays out of the caller's credit.
    /// @param token The token; zero for ETH.
    /// @param to Who receives the money.
    /// @param amount Base units, at most the caller's credit.
    function withdraw(address token, address to, uint256 amount) external;

    /// @notice Opens a token for deposits and locks; no effect if it is open. Controllers only.
    /// @param token A contract; ETH is open from the start.
    function openToken(address token) external;

    /// @notice Closes a token for new deposits and locks. Controllers only. What is inside can always leave.
    /// @param token The token; zero for ETH.
    function closeToken(address token) external;

    /// @notice Locks a payer's money under a new id. Controllers only.
    /// @dev Sources, in this order: the ETH sent with the call, the payer's credit, the payer's token allowance.
    /// @param id The lock's id, never used before by this controller.
    /// @param payer Whose money is locked. The controller answers for the payer's consent.
    /// @param token The token; zero for ETH.
    /// @param amount Base units, 1 to `type(uint88).max`.
    function lock(bytes32 id, address payer, address token, uint256 amount) external payable;

    /// @notice Adds to a lock with more of its payer's money. Controllers only.
    /// @param id The lock's id.
    /// @param amount Base units to add; the lock's sum is at most `type(uint88).max`.
    function increaseLock(bytes32 id, uint256 amount) external payable;

    /// @notice Turns locked money into a payee's credit, minus the fee. Controllers only.
    /// @param id The lock's id.
    /// @param payee Whose credit grows.
    /// @param amount Base units, at most what is locked.
    /// @param feeBps Fee in 1/10,000 of `amount`, at most 1,000, rounded down.
    /// @return net Base units credited to the payee.
    function release(bytes32 id, address payee, uint256 amount, uint256 feeBps) external returns (uint256 net);

    /// @notice Releases everything above `remainder`: nothing if no more than that is locked. Controllers only.
    /// @dev The idempotent form for cumulative payments: `remainder` is deposit minus cumulative amount.
    /// @param id The lock's id.
    /// @param payee Whose credit grows.
    /// @param remainder Base units that stay locked.
    /// @param feeBps Fee in 1/10,000 of the released amount, at most 1,000, rounded down.
    /// @return amount Base units taken from the lock, fee included.
    function releaseAbove(bytes32 id, address payee, uint256 remainder, uint256 feeBps)
        external
        returns (uint256 amount);

    /// @notice `releaseAbove` for many locks. Controllers only.
    /// @param rows The payments. Rows of one payee and token in a row are credited together.
    /// @return amounts Base units taken from each lock, fee included.
    function releaseAboveBatch(Settlement[] calldata rows) external returns (uint256[] memory amounts);

    /// @notice Turns locked money back into its payer's credit. Controllers only.
    /// @param id The lock's id.
    /// @param amount Base units, at most what is locked.
    function refund(bytes32 id, uint256 amount) external;

    /// @notice Turns all that is left in a lock into its payer's credit. Controllers only.
    /// @param id The lock's id.
    /// @return amount Base units refunded; zero if nothing was left.
    function refundAll(bytes32 id) external returns (uint256 amount);

    /// @notice Empties a lock: releases what is above `remainder` and refunds the rest. Controllers only.
    /// @param id The lock's id.
    /// @param payee Whose credit grows by what is released, minus the fee.
    /// @param remainder Base units that go back to the payer; all that is left if it is less.
    /// @param feeBps Fee in 1/10,000 of the released amount, at most 1,000, rounded down.
    /// @return payer Whose money it was.
    /// @return released Base units taken from the lock for the payee, fee included.
    /// @return refunded Base units refunded.
    function finalize(bytes32 id, address payee, uint256 remainder, uint256 feeBps)
        external
        returns (address payer, uint256 released, uint256 refunded);

    /// @notice Turns all fees of a token into the credit of `to`. Controllers only.
    /// @param token The token; zero for ETH.
    /// @param to Whose credit grows.
    /// @return amount Base units credited.
    function collectFees(address token, address to) external returns (uint256 amount);

    /// @notice What an account may withdraw.
    /// @param account The account.
    /// @param token The token; zero for ETH.
    /// @return Base units.
    function creditOf(address account, address token) external view returns (uint256);

    /// @notice A lock by its controller and id; all zero if it was never made.
    /// @param controller The policy contract that holds the lock.
    /// @param id The lock's id.
    /// @return payer Whose money it is.
    /// @return token The token; zero for ETH.
    /// @return amount Base units still locked.
    function lockOf(address controller, bytes32 id) external view returns (address payer, address token, uint256 amount);

    /// @notice Fees not yet collected.
    /// @param token The token; zero for ETH.
    /// @return Base units.
    function feesOf(address token) external view returns (uint256);

    /// @notice Credits + locks + fees of one token.
    /// @param token The token; zero for ETH.
    /// @return Base units.
    function liabilitiesOf(address token) external view returns (uint256);

    /// @notice Whether a token is open for deposits and locks.
    /// @param token The token; zero for ETH.
    function isTokenOpen(address token) external view returns (bool);

    /// @notice All tokens ever opened, in the order of their index; the first is ETH. At most 256.
    function tokens() external view returns (address[] memory);

    /// @notice Whether an address may instruct the escrow.
    /// @param account The address.
    function isController(address account) external view returns (bool);

    /// @notice The nonce of an account's next `Withdrawal`.
    /// @param account The account.
    function nonceOf(address account) external view returns (uint256);

    /// @notice What an account signs for `withdrawBySignature`.
    /// @param withdrawal What is to be paid out.
    function withdrawalDigest(Withdrawal calldata withdrawal) external view returns (bytes32);

    /// @notice Uniswap's Permit2 on this chain; zero if there is none.
    function permit2() external view returns (address);

    /// @notice Checks signatures of accounts that may not be deployed yet; holds no rights.
    function signatureVerifier() external view returns (address);
}
