// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IERC20Metadata } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import { IERC20, SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { LibTransient } from "solady/utils/LibTransient.sol";

import { PaymasterBase } from "./PaymasterBase.sol";
import { SignerSet } from "./SignerSet.sol";
import { TokenPaymentLib } from "./TokenPaymentLib.sol";
import { IPriceOracle } from "./interfaces/IPriceOracle.sol";
import { ITokenPaymasterBase } from "./interfaces/ITokenPaymasterBase.sol";

/// @dev The permit of tokens that take contract signatures, as USDC does.
interface IContractPermit {
    function permit(address owner, address spender, uint256 value, uint256 deadline, bytes calldata signature) external;
}

/// @title TokenPaymasterBase
/// @notice Takes a token for gas: prices, holds and settles, whatever the EntryPoint's version.
/// @dev The worst case is taken before the operation runs, so that nothing the operation does can leave the paymaster
/// unpaid. ERC-7562: validation writes this contract's storage at the token and reads an oracle's, so the paymaster
/// must be staked (STO-031, STO-033). It never reads the clock: an oracle's price is stale after the `validUntil` that
/// validation returns, and the EntryPoint checks it.
abstract contract TokenPaymasterBase is ITokenPaymasterBase, PaymasterBase, SignerSet {
    using SafeERC20 for IERC20;
    using LibTransient for LibTransient.TUint256;

    /// @notice What settling needs to know; the EntryPoint carries it from validation to postOp.
    /// @param token The token.
    /// @param account Who pays.
    /// @param held Base units taken in validation.
    /// @param tokensPerEth The price.
    /// @param extraGas Gas the EntryPoint will charge that it does not yet report to postOp.
    struct Charge {
        address token;
        address account;
        uint256 held;
        uint256 tokensPerEth;
        uint256 extraGas;
    }

    /// @notice What an operation may cost.
    /// @param maxCost The most wei the EntryPoint can take.
    /// @param postOpLimit The operation's gas limit for postOp.
    /// @param penalty Gas the EntryPoint may charge, unused, after it reports to postOp.
    struct GasTerms {
        uint256 maxCost;
        uint256 postOpLimit;
        uint256 penalty;
    }

    uint256 private constant ETHER = 1 ether;
    uint256 private constant BPS = 10_000;

    /// @dev How each token is accepted; `postOpGas` is zero when it is not.
    mapping(address token => TokenConfig) private _configs;

    /// @inheritdoc ITokenPaymasterBase
    mapping(address token => mapping(address account => uint256)) public creditOf;

    /// @inheritdoc ITokenPaymasterBase
    mapping(address token => uint256) public totalCreditOf;

    /// @inheritdoc ITokenPaymasterBase
    function setToken(address token, TokenConfig calldata config) external onlyOwner {
        bool works = token.code.length != 0 && config.postOpGas != 0;
        if (config.oracle != address(0)) {
            works = works && config.oracle.code.length != 0 && config.maxAge != 0 && config.referencePrice != 0
                && config.maxDeviationBps < BPS;
        }
        if (!works) revert InvalidTokenConfig(token);
        _configs[token] = config;
        emit TokenSet(token, config);
    }

    /// @inheritdoc ITokenPaymasterBase
    function removeToken(address token) external onlyOwner {
        delete _configs[token];
        emit TokenRemoved(token);
    }

    /// @inheritdoc ITokenPaymasterBase
    function withdrawToken(address token, address to, uint256 amount) external onlyOwner {
        uint256 available = availableOf(token);
        if (amount > available) revert NotAvailable(available);
        IERC20(token).safeTransfer(to, amount);
    }

    /// @inheritdoc ITokenPaymasterBase
    function claimRefund(address token) external {
        uint256 amount = creditOf[token][msg.sender];
        if (amount == 0) revert NothingToClaim();
        // Before the transfer, so that a token that calls back finds nothing left.
        delete creditOf[token][msg.sender];
        totalCreditOf[token] -= amount;
        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc ITokenPaymasterBase
    function getToken(address token) external view returns (TokenConfig memory) {
        return _configs[token];
    }

    /// @inheritdoc ITokenPaymasterBase
    function getOraclePrice(address token) public view returns (uint256 tokensPerEth, uint48 validUntil) {
        TokenConfig memory config = _configs[token];
        if (config.oracle == address(0)) revert TokenNotAccepted(token);
        (, int256 answer,, uint256 updatedAt,) = IPriceOracle(config.oracle).latestRoundData();
        if (answer <= 0 || answer > int256(uint256(type(uint128).max))) revert InvalidPrice();
        uint256 price = Math.mulDiv(
            uint256(answer),
            10 ** IERC20Metadata(token).decimals(),
            10 ** IPriceOracle(config.oracle).decimals(),
            Math.Rounding.Ceil
        );
        uint256 deviation =
            price > config.referencePrice ? price - config.referencePrice : config.referencePrice - price;
        if (deviation * BPS > uint256(config.referencePrice) * config.maxDeviationBps) {
            revert PriceDeviates(price, config.referencePrice);
        }
        tokensPerEth = Math.mulDiv(price, BPS + config.markupBps, BPS, Math.Rounding.Ceil);
        validUntil = uint48(updatedAt) + config.maxAge;
    }

    /// @inheritdoc ITokenPaymasterBase
    function availableOf(address token) public view returns (uint256) {
        return IERC20(token).balanceOf(address(this)) - totalCreditOf[token] - _inFlight(token).get();
    }

    /// @dev Finds the price, and takes the worst case from the account.
    /// @param payment How the operation pays; an oracle's price and its time are filled in.
    /// @param permit The permit, or empty.
    /// @param account Who pays.
    /// @param gas What the operation may cost.
    function _hold(TokenPaymentLib.Payment memory payment, bytes calldata permit, address account, GasTerms memory gas)
        internal
        returns (Charge memory charge)
    {
        uint256 postOpGas = _configs[payment.token].postOpGas;
        if (postOpGas == 0) revert TokenNotAccepted(payment.token);
        if (gas.postOpLimit < postOpGas) revert PostOpGasTooLow(gas.postOpLimit, postOpGas);
        uint256 tokensPerEth = payment.tokensPerEth;
        if (!payment.signed) (tokensPerEth, payment.validUntil) = getOraclePrice(payment.token);
        if (tokensPerEth == 0) revert InvalidPrice();
        uint256 held = _toTokens(gas.maxCost, tokensPerEth);
        if (held > payment.maxTokens) revert TooManyTokens(held, payment.maxTokens);
        charge = Charge(payment.token, account, held, tokensPerEth, postOpGas + gas.penalty);

        if (permit.length > 32) {
            // Someone may have brought the same permit before; only the allowance counts.
            try IContractPermit(payment.token)
                .permit(account, address(this), uint256(bytes32(permit[:32])), type(uint256).max, permit[32:]) { }
                catch { }
        }
        _inFlight(payment.token).inc(held);
        IERC20(payment.token).safeTransferFrom(account, address(this), held);
    }

    /// @dev Keeps what the operation cost and gives the rest back. Never reverts for the token's sake.
    /// @param charge What was held.
    /// @param actualGasCost Wei the EntryPoint reports so far.
    /// @param feePerGas Wei for one unit of gas.
    /// @param send Whether to try to send the refund, and not only to credit it.
    function _settle(Charge memory charge, uint256 actualGasCost, uint256 feePerGas, bool send) internal {
        uint256 charged = _toTokens(actualGasCost + charge.extraGas * feePerGas, charge.tokensPerEth);
        // The worst case was taken: it is never exceeded, and never refunded below zero.
        if (charged > charge.held) charged = charge.held;
        uint256 refund = charge.held - charged;
        _inFlight(charge.token).dec(charge.held);
        emit TokensCharged(charge.token, charge.account, charged, refund);
        if (refund == 0) return;
        if (send && IERC20(charge.token).trySafeTransfer(charge.account, refund)) return;
        creditOf[charge.token][charge.account] += refund;
        totalCreditOf[charge.token] += refund;
        emit RefundCredited(charge.token, charge.account, refund);
    }

    /// @dev Rounded up: a charge is never below its cost.
    function _toTokens(uint256 weiAmount, uint256 tokensPerEth) private pure returns (uint256) {
        return Math.mulDiv(weiAmount, tokensPerEth, ETHER, Math.Rounding.Ceil);
    }

    /// @dev Tokens held for operations of this transaction that are not settled: not the owner's yet.
    function _inFlight(address token) private pure returns (LibTransient.TUint256 storage) {
        return LibTransient.tUint256(uint256(uint160(token)));
    }
}
