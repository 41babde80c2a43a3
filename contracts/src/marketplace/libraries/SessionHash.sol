// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ISessionMarketplace } from "../interfaces/ISessionMarketplace.sol";

/// @title SessionHash
/// @notice EIP-712 struct hashes of what sessions are made of.
library SessionHash {
    bytes32 internal constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 sessionId,uint256 cumulativeAmount,uint256 tokens,bytes32 transcriptRoot)");

    bytes32 internal constant CLOSE_TYPEHASH =
        keccak256("CloseAgreement(bytes32 sessionId,uint256 finalAmount,uint256 validUntil)");

    bytes32 internal constant QUOTE_TYPEHASH = keccak256(
        "SessionQuote(address host,address payer,bytes32 modelId,address token,uint80 pricePerMillion,uint88 minDeposit,uint88 maxDeposit,uint32 duration,uint40 validUntil)"
    );

    bytes32 internal constant OPEN_TYPEHASH = keccak256(
        "OpenAuthorization(SessionQuote quote,address payer,uint256 deposit,address voucherKey,uint256 nonce,uint256 validUntil)SessionQuote(address host,address payer,bytes32 modelId,address token,uint80 pricePerMillion,uint88 minDeposit,uint88 maxDeposit,uint32 duration,uint40 validUntil)"
    );

    /// @dev `keccak256(abi.encode(VOUCHER_TYPEHASH, voucher))`, copied in one piece: it is done for every voucher.
    function hash(ISessionMarketplace.Voucher calldata voucher) internal pure returns (bytes32 result) {
        bytes32 typehash = VOUCHER_TYPEHASH;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, typehash)
            calldatacopy(add(m, 0x20), voucher, 0x80)
            result := keccak256(m, 0xa0)
        }
    }

    /// @dev `keccak256(abi.encode(QUOTE_TYPEHASH, quote))`, copied in one piece. Dirty upper bits of a short field give
    /// another hash than the one that was signed.
    function hash(ISessionMarketplace.SessionQuote calldata quote) internal pure returns (bytes32 result) {
        bytes32 typehash = QUOTE_TYPEHASH;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, typehash)
            calldatacopy(add(m, 0x20), quote, 0x120)
            result := keccak256(m, 0x140)
        }
    }

    function hash(
        ISessionMarketplace.SessionQuote calldata quote,
        ISessionMarketplace.OpenAuthorization calldata authorization
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(OPEN_TYPEHASH, hash(quote), authorization));
    }

    function hashClose(bytes32 sessionId, uint256 finalAmount, uint256 validUntil) internal pure returns (bytes32) {
        return keccak256(abi.encode(CLOSE_TYPEHASH, sessionId, finalAmount, validUntil));
    }
}
