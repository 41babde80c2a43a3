// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ArgumentRule, CallRule, Session, SpendLimit, VoucherRight } from "./SessionTypes.sol";

/// @title SessionHashLib
/// @notice The EIP-712 struct hash of a session, which is its id: a wallet shows the owner all that it allows.
library SessionHashLib {
    string internal constant ARGUMENT_RULE_TYPE = "ArgumentRule(uint8 word,uint8 condition,bytes32[] values)";
    string internal constant CALL_RULE_TYPE =
        "CallRule(address target,bytes4 selector,uint32 maxLength,uint8 valueLimit,uint8 amountLimit,uint8 amountWord,ArgumentRule[] arguments)";
    string internal constant SPEND_LIMIT_TYPE = "SpendLimit(address token,uint104 perPeriod,uint104 total)";
    string internal constant VOUCHER_RIGHT_TYPE =
        "VoucherRight(bytes32 domainSeparator,bytes32 typeHash,uint8 amountField,uint256 maxAmount)";
    string internal constant SESSION_TYPE =
        "Session(bytes key,uint48 validAfter,uint48 validUntil,uint48 period,uint32 maxUses,uint64 epoch,uint256 salt,address paymaster,uint128 gasBudget,SpendLimit[] limits,CallRule[] calls,VoucherRight[] vouchers)";

    bytes32 internal constant ARGUMENT_RULE_TYPEHASH = keccak256(bytes(ARGUMENT_RULE_TYPE));
    bytes32 internal constant CALL_RULE_TYPEHASH = keccak256(abi.encodePacked(CALL_RULE_TYPE, ARGUMENT_RULE_TYPE));
    bytes32 internal constant SPEND_LIMIT_TYPEHASH = keccak256(bytes(SPEND_LIMIT_TYPE));
    bytes32 internal constant VOUCHER_RIGHT_TYPEHASH = keccak256(bytes(VOUCHER_RIGHT_TYPE));
    bytes32 internal constant SESSION_TYPEHASH = keccak256(
        abi.encodePacked(SESSION_TYPE, ARGUMENT_RULE_TYPE, CALL_RULE_TYPE, SPEND_LIMIT_TYPE, VOUCHER_RIGHT_TYPE)
    );

    /// @notice The id of a session.
    function hash(Session calldata session) internal pure returns (bytes32) {
        // Two halves, joined: one call with thirteen words is more than the stack holds.
        return keccak256(
            bytes.concat(
                abi.encode(
                    SESSION_TYPEHASH,
                    keccak256(session.key),
                    session.validAfter,
                    session.validUntil,
                    session.period,
                    session.maxUses,
                    session.epoch,
                    session.salt
                ),
                abi.encode(
                    session.paymaster,
                    session.gasBudget,
                    _hashLimits(session.limits),
                    _hashCalls(session.calls),
                    _hashVouchers(session.vouchers)
                )
            )
        );
    }

    function _hashLimits(SpendLimit[] calldata limits) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](limits.length);
        for (uint256 i; i < hashes.length; ++i) {
            SpendLimit calldata limit = limits[i];
            hashes[i] = keccak256(abi.encode(SPEND_LIMIT_TYPEHASH, limit.token, limit.perPeriod, limit.total));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _hashCalls(CallRule[] calldata rules) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](rules.length);
        for (uint256 i; i < hashes.length; ++i) {
            CallRule calldata rule = rules[i];
            hashes[i] = keccak256(
                abi.encode(
                    CALL_RULE_TYPEHASH,
                    rule.target,
                    rule.selector,
                    rule.maxLength,
                    rule.valueLimit,
                    rule.amountLimit,
                    rule.amountWord,
                    _hashArguments(rule.arguments)
                )
            );
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _hashArguments(ArgumentRule[] calldata rules) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](rules.length);
        for (uint256 i; i < hashes.length; ++i) {
            ArgumentRule calldata rule = rules[i];
            hashes[i] = keccak256(
                abi.encode(ARGUMENT_RULE_TYPEHASH, rule.word, rule.condition, keccak256(abi.encodePacked(rule.values)))
            );
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _hashVouchers(VoucherRight[] calldata rights) private pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](rights.length);
        for (uint256 i; i < hashes.length; ++i) {
            VoucherRight calldata right = rights[i];
            hashes[i] = keccak256(
                abi.encode(
                    VOUCHER_RIGHT_TYPEHASH, right.domainSeparator, right.typeHash, right.amountField, right.maxAmount
                )
            );
        }
        return keccak256(abi.encodePacked(hashes));
    }
}
