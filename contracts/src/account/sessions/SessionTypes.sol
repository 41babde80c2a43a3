// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @notice How an argument is compared.
/// @dev `OneOf`: equal to one of the values. `AtMost`, `AtLeast`: as unsigned integers, inclusive, with exactly one
/// value. `Account`: the account's own address, with no value.
enum Condition {
    OneOf,
    AtMost,
    AtLeast,
    Account
}

/// @notice What one argument of a call must be.
/// @param word Index of the 32-byte word after the selector.
/// @param condition How it is compared.
/// @param values What it is compared with.
struct ArgumentRule {
    uint8 word;
    Condition condition;
    bytes32[] values;
}

/// @notice A call the session may make. Everything not listed is denied.
/// @param target The contract.
/// @param selector The function; zero allows a plain transfer of native currency, without data.
/// @param maxLength Most bytes of calldata, selector included: no argument may be smuggled in behind the last.
/// @param valueLimit Number of the spend limit (from 1) that counts native currency sent; 0 allows none.
/// @param amountLimit Number of the spend limit (from 1) that counts an argument; 0 counts none.
/// @param amountWord Index of the counted argument's word.
/// @param arguments Rules that must all hold.
struct CallRule {
    address target;
    bytes4 selector;
    uint32 maxLength;
    uint8 valueLimit;
    uint8 amountLimit;
    uint8 amountWord;
    ArgumentRule[] arguments;
}

/// @notice How much of a token the session may spend. Both limits are inclusive.
/// @param token The token, or zero for native currency.
/// @param perPeriod Most of its smallest units in one period.
/// @param total Most of its smallest units in the session's life.
struct SpendLimit {
    address token;
    uint104 perPeriod;
    uint104 total;
}

/// @notice The right to sign one kind of EIP-712 message for the account through ERC-1271, such as a payment voucher.
/// @dev The message must name who pays (as a marketplace session does), because the key signs its hash as it is.
/// @param domainSeparator EIP-712 domain of the contract that takes the message.
/// @param typeHash EIP-712 type of the message; its fields must all be static.
/// @param amountField Index of the field that is limited.
/// @param maxAmount Most that field may say, inclusive.
struct VoucherRight {
    bytes32 domainSeparator;
    bytes32 typeHash;
    uint8 amountField;
    uint256 maxAmount;
}

/// @notice All that a session key may do. The session's id is the EIP-712 hash of this struct, and an owner enables
/// it by signing this struct in the account's domain.
/// @param key The session key: 32 bytes are an address, 64 bytes a P-256 public key, x then y.
/// @param validAfter First second of the session, and of its period 0.
/// @param validUntil Last second of the session.
/// @param period Length of a period in seconds; 0 makes the whole session one period.
/// @param maxUses Most operations; the largest value is no limit.
/// @param epoch Must be the account's session epoch, which revoking all sessions raises.
/// @param salt Tells sessions of equal content apart: an id is used once.
/// @param paymaster Who must pay for gas; zero means the account pays.
/// @param gasBudget Most wei of gas the operations may cost at their worst. With a paymaster, zero is no limit.
/// @param limits What may be spent.
/// @param calls What may be called.
/// @param vouchers What may be signed.
struct Session {
    bytes key;
    uint48 validAfter;
    uint48 validUntil;
    uint48 period;
    uint32 maxUses;
    uint64 epoch;
    uint256 salt;
    address paymaster;
    uint128 gasBudget;
    SpendLimit[] limits;
    CallRule[] calls;
    VoucherRight[] vouchers;
}

/// @notice Where a session stands.
enum SessionStatus {
    None,
    Enabled,
    Revoked
}
