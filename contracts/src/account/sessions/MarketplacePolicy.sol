// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ArgumentRule, CallRule, Condition, Session, SpendLimit } from "./SessionTypes.sol";

/// @title MarketplacePolicy
/// @notice The ready-made session: so much of one token in each period, only for jobs of the marketplace, and what
/// comes back goes only to the account.
/// @dev Approvals and jobs have a limit each, of the same size: a job may be paid from an allowance or a credit that
/// was there before the session, so counting approvals alone would not bound what is spent.
library MarketplacePolicy {
    bytes4 private constant APPROVE = bytes4(keccak256("approve(address,uint256)"));
    bytes4 private constant POST_JOB =
        bytes4(keccak256("postJob((address,address,uint256,bytes32,uint40,bool,bytes32,string))"));
    bytes4 private constant CANCEL_JOB = bytes4(keccak256("cancelJob(bytes32)"));
    bytes4 private constant ACCEPT_RESULT = bytes4(keccak256("acceptResult(bytes32)"));
    bytes4 private constant EXPIRE_JOB = bytes4(keccak256("expireJob(bytes32)"));
    bytes4 private constant WITHDRAW = bytes4(keccak256("withdraw(address,address,uint256)"));

    /// @dev Room for a job's fields and an input URI of 512 bytes.
    uint32 private constant MAX_POST_JOB = 4 + 10 * 32 + 512;

    /// @notice Fills in the limits and calls of a session; key, times, gas and salt stay as they are.
    /// @param session The session to fill in.
    /// @param token The token jobs are paid in.
    /// @param escrow The marketplace's escrow, which takes the payments.
    /// @param marketplace Where jobs are posted.
    /// @param perPeriod Most of the token in a period.
    /// @param total Most of the token in the session's life.
    function fill(
        Session memory session,
        address token,
        address escrow,
        address marketplace,
        uint104 perPeriod,
        uint104 total
    ) internal pure returns (Session memory) {
        session.limits = new SpendLimit[](2);
        session.limits[0] = SpendLimit(token, perPeriod, total);
        session.limits[1] = SpendLimit(token, perPeriod, total);

        session.calls = new CallRule[](6);
        session.calls[0] = CallRule(token, APPROVE, 68, 0, 1, 1, new ArgumentRule[](1));
        session.calls[0].arguments[0] = _equal(0, escrow);
        // The job is a struct with a string in it: the first word says where it starts, and must say "right here".
        session.calls[1] = CallRule(marketplace, POST_JOB, MAX_POST_JOB, 0, 2, 3, new ArgumentRule[](2));
        session.calls[1].arguments[0] = _equal(0, address(0x20));
        session.calls[1].arguments[1] = _equal(2, token);
        session.calls[2] = CallRule(marketplace, CANCEL_JOB, 36, 0, 0, 0, new ArgumentRule[](0));
        session.calls[3] = CallRule(marketplace, ACCEPT_RESULT, 36, 0, 0, 0, new ArgumentRule[](0));
        session.calls[4] = CallRule(marketplace, EXPIRE_JOB, 36, 0, 0, 0, new ArgumentRule[](0));
        session.calls[5] = CallRule(escrow, WITHDRAW, 100, 0, 0, 0, new ArgumentRule[](1));
        session.calls[5].arguments[0] = ArgumentRule(1, Condition.Account, new bytes32[](0));
        return session;
    }

    function _equal(uint8 word, address value) private pure returns (ArgumentRule memory rule) {
        rule.word = word;
        rule.condition = Condition.OneOf;
        rule.values = new bytes32[](1);
        rule.values[0] = bytes32(uint256(uint160(value)));
    }
}
