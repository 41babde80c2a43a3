// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";

import { ISessionKeys } from "../interfaces/ISessionKeys.sol";
import { SessionTimeLib } from "./SessionTimeLib.sol";
import { ArgumentRule, CallRule, Condition, Session } from "./SessionTypes.sol";

/// @title SessionPolicyLib
/// @notice What no session may allow, whoever signs it. Checked once, when a session is enabled.
library SessionPolicyLib {
    bytes4 private constant TRANSFER = bytes4(keccak256("transfer(address,uint256)"));
    bytes4 private constant APPROVE = bytes4(keccak256("approve(address,uint256)"));
    bytes4 private constant TRANSFER_FROM = bytes4(keccak256("transferFrom(address,address,uint256)"));

    /// @notice Reverts unless the session is one that may be enabled.
    function check(Session calldata session, address entryPoint) internal view {
        if (!_isKey(session.key)) revert ISessionKeys.InvalidSessionKey(session.key);
        if (session.validUntil <= session.validAfter || session.validUntil >= SessionTimeLib.TIME_END) {
            revert ISessionKeys.InvalidSessionTimes();
        }
        CallRule[] calldata rules = session.calls;
        for (uint256 i; i < rules.length; ++i) {
            CallRule calldata rule = rules[i];
            if (isForbiddenTarget(rule.target, entryPoint) || _isForbidden(rule)) {
                revert ISessionKeys.ForbiddenCallRule(i);
            }
            if (!_hasLimits(session, rule)) revert ISessionKeys.InvalidSpendLimit(i);
        }
    }

    /// @notice The account, where owners are kept, and its EntryPoint, where its deposit and nonces are.
    function isForbiddenTarget(address target, address entryPoint) internal view returns (bool) {
        return target == address(this) || target == entryPoint;
    }

    function _isKey(bytes calldata key) private pure returns (bool) {
        if (key.length == 32) {
            uint256 word = abi.decode(key, (uint256));
            return word != 0 && word <= type(uint160).max;
        }
        if (key.length != 64) return false;
        (bytes32 x, bytes32 y) = abi.decode(key, (bytes32, bytes32));
        return P256.isValidPublicKey(x, y);
    }

    function _isForbidden(CallRule calldata rule) private pure returns (bool) {
        bytes4 selector = rule.selector;
        if (selector == 0) return rule.maxLength != 0 || rule.amountLimit != 0;
        if (_isOpenApproval(selector)) return true;
        if (selector == APPROVE) return rule.maxLength != 68 || rule.amountWord != 1 || !_namesSpender(rule);
        if (selector == TRANSFER) return rule.maxLength != 68 || rule.amountWord != 1;
        return selector == TRANSFER_FROM && (rule.maxLength != 100 || rule.amountWord != 2);
    }

    /// @dev Rights over tokens that no argument rule and no count can bound.
    function _isOpenApproval(bytes4 selector) private pure returns (bool) {
        return selector == bytes4(keccak256("increaseAllowance(address,uint256)"))
            || selector == bytes4(keccak256("increaseApproval(address,uint256)"))
            || selector == bytes4(keccak256("setApprovalForAll(address,bool)"))
            || selector == bytes4(keccak256("approveAndCall(address,uint256)"))
            || selector == bytes4(keccak256("approveAndCall(address,uint256,bytes)"))
            || selector == bytes4(keccak256("authorizeOperator(address)"))
            || selector == bytes4(keccak256("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"))
            || selector == bytes4(keccak256("permit(address,address,uint256,uint256,bytes)"))
            || selector == bytes4(keccak256("permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)"))
            || selector == bytes4(keccak256("approve(address,address,uint160,uint48)"));
    }

    function _namesSpender(CallRule calldata rule) private pure returns (bool) {
        ArgumentRule[] calldata arguments = rule.arguments;
        for (uint256 i; i < arguments.length; ++i) {
            if (arguments[i].word == 0 && arguments[i].condition == Condition.OneOf) return true;
        }
        return false;
    }

    /// @dev Limits must exist and be for what they count; moving or approving a token is always counted.
    function _hasLimits(Session calldata session, CallRule calldata rule) private pure returns (bool) {
        uint256 number = rule.valueLimit;
        if (number != 0) {
            if (number > session.limits.length || session.limits[number - 1].token != address(0)) return false;
        }
        number = rule.amountLimit;
        bool moves = rule.selector == TRANSFER || rule.selector == APPROVE || rule.selector == TRANSFER_FROM;
        if (number == 0) return !moves;
        if (number > session.limits.length) return false;
        address token = session.limits[number - 1].token;
        return moves ? token == rule.target : token != address(0);
    }
}
