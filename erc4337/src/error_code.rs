//! JSON-RPC error codes of ERC-7769 (bundler) and ERC-7677 (paymaster).

/// A field of the operation, or the call itself, is malformed.
pub const INVALID_FIELDS: i32 = -32602;
/// The EntryPoint refused the operation in validation.
pub const ENTRY_POINT_REJECTED: i32 = -32500;
/// The paymaster refused the operation in validation.
pub const PAYMASTER_REJECTED: i32 = -32501;
/// A rule on opcodes or storage was broken (ERC-7562).
pub const RULE_VIOLATION: i32 = -32502;
/// The validity window is over, not begun, or too short to be included.
pub const OUT_OF_TIME_RANGE: i32 = -32503;
/// An entity is throttled or banned.
pub const THROTTLED_OR_BANNED: i32 = -32504;
/// An entity's stake or unstake delay is too low.
pub const STAKE_TOO_LOW: i32 = -32505;
/// The account asks for an aggregator that we do not serve.
pub const UNSUPPORTED_AGGREGATOR: i32 = -32506;
/// The account or the paymaster refused the signature.
pub const INVALID_SIGNATURE: i32 = -32507;
/// The paymaster's deposit does not cover the operation.
pub const PAYMASTER_DEPOSIT_TOO_LOW: i32 = -32508;
/// The call reverted while gas was estimated.
pub const EXECUTION_REVERTED: i32 = -32521;
/// Try again later: a limit that passes by itself.
pub const LIMIT_EXCEEDED: i32 = -32005;
/// JSON-RPC 2.0: no such method is served here.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// Something of ours failed; the request may be fine.
pub const INTERNAL: i32 = -32603;
/// The paymaster's policy says no. Outside the codes that clients retry.
pub const POLICY_DENIED: i32 = -32050;
/// The token that gas was to be paid in is not accepted; `data.acceptedTokens` are.
pub const TOKEN_NOT_ACCEPTED: i32 = -32002;
