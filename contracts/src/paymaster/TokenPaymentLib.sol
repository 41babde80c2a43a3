// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ITokenPaymasterBase } from "./interfaces/ITokenPaymasterBase.sol";

/// @title TokenPaymentLib
/// @notice The token paymaster's own data.
library TokenPaymentLib {
    /// @notice How the operation pays.
    /// @param signed Whether a signer promised the price; otherwise it is the oracle's.
    /// @param token The token.
    /// @param maxTokens Most base units the sender allows.
    /// @param tokensPerEth The signed price.
    /// @param validUntil Last second of the signed price, or 0 for no end.
    /// @param validAfter The signed price holds after this second.
    struct Payment {
        bool signed;
        address token;
        uint128 maxTokens;
        uint128 tokensPerEth;
        uint48 validUntil;
        uint48 validAfter;
    }

    uint256 private constant ORACLE_LENGTH = 37;
    uint256 private constant SIGNATURE_OFFSET = 65;
    uint256 private constant SIGNED_LENGTH = 130;

    /// @notice The parts of the data. The signature is empty when the price is the oracle's.
    function read(bytes calldata data)
        internal
        pure
        returns (Payment memory payment, bytes calldata signature, bytes calldata permit)
    {
        if (data.length < ORACLE_LENGTH || uint8(data[0]) > 1) revert ITokenPaymasterBase.InvalidPaymasterData();
        payment.signed = data[0] == 0;
        payment.token = address(bytes20(data[1:21]));
        payment.maxTokens = uint128(bytes16(data[21:37]));
        if (!payment.signed) return (payment, data[:0], data[ORACLE_LENGTH:]);
        if (data.length < SIGNED_LENGTH) revert ITokenPaymasterBase.InvalidPaymasterData();
        payment.tokensPerEth = uint128(bytes16(data[37:53]));
        payment.validUntil = uint48(bytes6(data[53:59]));
        payment.validAfter = uint48(bytes6(data[59:65]));
        return (payment, data[SIGNATURE_OFFSET:SIGNED_LENGTH], data[SIGNED_LENGTH:]);
    }
}
