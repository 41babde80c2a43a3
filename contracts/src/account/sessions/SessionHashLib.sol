// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { EfficientHashLib } from "solady/utils/EfficientHashLib.sol";

import { ArgumentRule, CallRule, Session, SpendLimit, VoucherRight } from "./SessionTypes.sol";

/// @title SessionHashLib
/// @notice The EIP-712 struct hash of a session, which is its id: a wallet shows the owner all that it allows.
library SessionHashLib {
    using EfficientHashLib for bytes32[];

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
        bytes32[] memory words = EfficientHashLib.malloc(13);
        words.set(0, SESSION_TYPEHASH);
        words.set(1, EfficientHashLib.hashCalldata(session.key));
        words.set(2, session.validAfter);
        words.set(3, session.validUntil);
        words.set(4, session.period);
        words.set(5, session.maxUses);
        words.set(6, session.epoch);
        words.set(7, session.salt);
        words.set(8, uint160(session.paymaster));
        words.set(9, session.gasBudget);
        words.set(10, _hashLimits(session.limits));
        words.set(11, _hashCalls(session.calls));
        words.set(12, _hashVouchers(session.vouchers));
        return words.hash();
    }

    function _hashLimits(SpendLimit[] calldata limits) private pure returns (bytes32) {
        bytes32[] memory hashes = EfficientHashLib.malloc(limits.length);
        for (uint256 i; i < hashes.length; ++i) {
            SpendLimit calldata limit = limits[i];
            hashes.set(
                i,
                EfficientHashLib.hash(uint256(SPEND_LIMIT_TYPEHASH), uint160(limit.token), limit.perPeriod, limit.total)
            );
        }
        return hashes.hash();
    }

    function _hashCalls(CallRule[] calldata rules) private pure returns (bytes32) {
        bytes32[] memory hashes = EfficientHashLib.malloc(rules.length);
        for (uint256 i; i < hashes.length; ++i) {
            CallRule calldata rule = rules[i];
            bytes32[] memory words = EfficientHashLib.malloc(8);
            words.set(0, CALL_RULE_TYPEHASH);
            words.set(1, uint160(rule.target));
            words.set(2, bytes32(rule.selector));
            words.set(3, rule.maxLength);
            words.set(4, rule.valueLimit);
            words.set(5, rule.amountLimit);
            words.set(6, rule.amountWord);
            words.set(7, _hashArguments(rule.arguments));
            hashes.set(i, words.hash());
        }
        return hashes.hash();
    }

    function _hashArguments(ArgumentRule[] calldata rules) private pure returns (bytes32) {
        bytes32[] memory hashes = EfficientHashLib.malloc(rules.length);
        for (uint256 i; i < hashes.length; ++i) {
            ArgumentRule calldata rule = rules[i];
            bytes32 values = keccak256(abi.encodePacked(rule.values));
            hashes.set(
                i,
                EfficientHashLib.hash(
                    uint256(ARGUMENT_RULE_TYPEHASH), rule.word, uint8(rule.condition), uint256(values)
                )
            );
        }
        return hashes.hash();
    }

    function _hashVouchers(VoucherRight[] calldata rights) private pure returns (bytes32) {
        bytes32[] memory hashes = EfficientHashLib.malloc(rights.length);
        for (uint256 i; i < hashes.length; ++i) {
            VoucherRight calldata right = rights[i];
            hashes.set(
                i,
                EfficientHashLib.hash(
                    uint256(VOUCHER_RIGHT_TYPEHASH),
                    uint256(right.domainSeparator),
                    uint256(right.typeHash),
                    right.amountField,
                    right.maxAmount
                )
            );
        }
        return hashes.hash();
    }
}
