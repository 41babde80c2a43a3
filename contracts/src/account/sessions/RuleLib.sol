// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ArgumentRule, CallRule, Condition } from "./SessionTypes.sol";

/// @title RuleLib
/// @notice Whether a call is what a rule allows.
library RuleLib {
    /// @notice Whether the rule allows the call, its limits apart.
    function allows(CallRule calldata rule, address target, uint256 value, bytes calldata data)
        internal
        view
        returns (bool)
    {
        if (rule.target != target || rule.selector != bytes4(data)) return false;
        // Native currency that no limit counts cannot be sent.
        if (value != 0 && rule.valueLimit == 0) return false;
        // A shorter call would be read as if zeros followed; a selector cut short would match a longer one.
        if (data.length > rule.maxLength || (data.length < 4 && data.length != 0)) return false;
        if (data.length == 0) return rule.selector == 0;
        if (rule.amountLimit != 0 && !_hasWord(data, rule.amountWord)) return false;
        ArgumentRule[] calldata arguments = rule.arguments;
        for (uint256 i; i < arguments.length; ++i) {
            if (!_holds(arguments[i], data)) return false;
        }
        return true;
    }

    /// @notice The word of an argument; the caller knows that it is there.
    function wordAt(bytes calldata data, uint256 word) internal pure returns (bytes32) {
        uint256 start = 4 + word * 32;
        return bytes32(data[start:start + 32]);
    }

    function _holds(ArgumentRule calldata rule, bytes calldata data) private view returns (bool) {
        if (!_hasWord(data, rule.word)) return false;
        bytes32 argument = wordAt(data, rule.word);
        bytes32[] calldata values = rule.values;
        if (rule.condition == Condition.OneOf) {
            for (uint256 i; i < values.length; ++i) {
                if (argument == values[i]) return true;
            }
            return false;
        }
        if (rule.condition == Condition.Account) {
            return values.length == 0 && argument == bytes32(uint256(uint160(address(this))));
        }
        if (values.length != 1) return false;
        return rule.condition == Condition.AtMost ? argument <= values[0] : argument >= values[0];
    }

    function _hasWord(bytes calldata data, uint256 word) private pure returns (bool) {
        return data.length >= 4 + (word + 1) * 32;
    }
}
