// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title ISpendPermissionManager
/// @notice The part of Coinbase's Spend Permissions that SpendRouter uses.
interface ISpendPermissionManager {
    /// @notice What an account lets a spender take.
    /// @param account The account.
    /// @param spender Who may take it.
    /// @param token The token; 0xEeee…EEeE is native currency.
    /// @param allowance Most base units in a period.
    /// @param period Length of a period in seconds.
    /// @param start First second, inclusive.
    /// @param end Last second, exclusive.
    /// @param salt Tells permissions of equal content apart.
    /// @param extraData For the spender; see SpendRouter.
    struct SpendPermission {
        address account;
        address spender;
        address token;
        uint160 allowance;
        uint48 period;
        uint48 start;
        uint48 end;
        uint256 salt;
        bytes extraData;
    }

    /// @notice Approves a permission by the account's signature.
    function approveWithSignature(SpendPermission calldata permission, bytes calldata signature) external returns (bool);

    /// @notice Takes `value` from the account to the spender, who must be the caller.
    function spend(SpendPermission calldata permission, uint160 value) external;
}
