// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IPaymasterBase } from "./IPaymasterBase.sol";
import { ISignerSet } from "./ISignerSet.sol";

/// @title ITokenPaymasterBase
/// @notice Pays for gas and takes a token for it. In validation the worst case is taken; in postOp the rest goes back.
/// What follows the EntryPoint's prefix in `paymasterAndData` is one of
///   `0x00 ‖ token ‖ uint128 maxTokens ‖ uint128 tokensPerEth ‖ uint48 validUntil ‖ uint48 validAfter ‖ signature (65
///   bytes) ‖ permit` — at a price that a signer promised for this operation;
///   `0x01 ‖ token ‖ uint128 maxTokens ‖ permit` — at the price of the token's oracle, for anyone.
/// `permit` is empty, or `uint256 value ‖ signature` of an ERC-2612 permit without deadline, in the form that takes
/// contract signatures. A deadline would make the token read the clock, which no validation may.
interface ITokenPaymasterBase is IPaymasterBase, ISignerSet {
    /// @notice How a token is accepted.
    /// @param oracle Price of 1 ETH in the token; zero allows signed prices only.
    /// @param maxAge Seconds an oracle's price holds.
    /// @param maxDeviationBps How far an oracle's price may be from the reference, in 1/10,000.
    /// @param markupBps Added to an oracle's price, in 1/10,000.
    /// @param postOpGas Gas charged for settling: at least what postOp costs with this token, with the EntryPoint's own
    /// work around it. Not zero.
    /// @param referencePrice What 1 ETH costs in the token's base units, as the owner sees it.
    struct TokenConfig {
        address oracle;
        uint32 maxAge;
        uint16 maxDeviationBps;
        uint16 markupBps;
        uint32 postOpGas;
        uint128 referencePrice;
    }

    /// @notice A token is accepted from now on, in this way.
    /// @param token The token.
    /// @param config How.
    event TokenSet(address indexed token, TokenConfig config);

    /// @notice A token is no longer accepted.
    /// @param token The token.
    event TokenRemoved(address indexed token);

    /// @notice An operation was paid for.
    /// @param token The token.
    /// @param account Who paid.
    /// @param charged Base units kept.
    /// @param refunded Base units given back, or credited.
    event TokensCharged(address indexed token, address indexed account, uint256 charged, uint256 refunded);

    /// @notice A refund could not be sent and waits to be claimed.
    /// @param token The token.
    /// @param account Whose it is.
    /// @param amount Base units.
    event RefundCredited(address indexed token, address indexed account, uint256 amount);

    /// @notice The paymaster's data is not of one of the two forms.
    error InvalidPaymasterData();

    /// @notice The token is not accepted, or has no oracle.
    /// @param token The token.
    error TokenNotAccepted(address token);

    /// @notice The configuration cannot work.
    /// @param token The token.
    error InvalidTokenConfig(address token);

    /// @notice The price is zero, negative or too large.
    error InvalidPrice();

    /// @notice The oracle's price is too far from the reference.
    /// @param price The oracle's price.
    /// @param referencePrice The reference.
    error PriceDeviates(uint256 price, uint256 referencePrice);

    /// @notice The operation could cost more than its sender allows.
    /// @param tokens What it could cost.
    /// @param maxTokens What the sender allows.
    error TooManyTokens(uint256 tokens, uint256 maxTokens);

    /// @notice The gas limit for postOp would not be enough to settle.
    /// @param limit The operation's limit.
    /// @param required The least it must be.
    error PostOpGasTooLow(uint256 limit, uint256 required);

    /// @notice These tokens are held for others.
    /// @param available What the owner may take.
    error NotAvailable(uint256 available);

    /// @notice There is nothing to claim.
    error NothingToClaim();

    /// @notice Accepts a token, or changes how. Owner only.
    /// @param token The token. It must be a plain ERC-20: no fee on transfer, no rebasing.
    /// @param config How it is accepted.
    function setToken(address token, TokenConfig calldata config) external;

    /// @notice Stops accepting a token. Owner only.
    /// @param token The token.
    function removeToken(address token) external;

    /// @notice Takes the tokens earned. Owner only.
    /// @param token The token.
    /// @param to Who receives them.
    /// @param amount Base units.
    function withdrawToken(address token, address to, uint256 amount) external;

    /// @notice Sends the caller its credited refunds.
    /// @param token The token.
    function claimRefund(address token) external;

    /// @notice How a token is accepted; all zero when it is not.
    /// @param token The token.
    function getToken(address token) external view returns (TokenConfig memory);

    /// @notice The oracle's price of 1 ETH in the token's base units, with markup, and until when it holds.
    /// @param token The token.
    function getOraclePrice(address token) external view returns (uint256 tokensPerEth, uint48 validUntil);

    /// @notice Refunds that an account may claim.
    /// @param token The token.
    /// @param account The account.
    function creditOf(address token, address account) external view returns (uint256);

    /// @notice Refunds that all accounts together may claim.
    /// @param token The token.
    function totalCreditOf(address token) external view returns (uint256);

    /// @notice What the owner may withdraw now.
    /// @param token The token.
    function availableOf(address token) external view returns (uint256);
}
