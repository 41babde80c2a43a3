// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { Session, SessionStatus } from "../sessions/SessionTypes.sol";

/// @title ISessionKeys
/// @notice Keys that may do a listed few things for the account, within limits, for a time.
interface ISessionKeys {
    /// @notice A session was enabled.
    /// @param id The session's id.
    /// @param key The session key.
    event SessionEnabled(bytes32 indexed id, bytes key);

    /// @notice A session was revoked; it can never be enabled again.
    /// @param id The session's id.
    event SessionRevoked(bytes32 indexed id);

    /// @notice All sessions were revoked, and every signature that would have enabled one.
    /// @param epoch The new epoch.
    event AllSessionsRevoked(uint64 epoch);

    /// @notice The session is not enabled and the operation brings no signature of an owner.
    /// @param id The session's id.
    error SessionNotEnabled(bytes32 id);

    /// @notice The session cannot be used or enabled: it was revoked, or it is of another epoch.
    /// @param id The session's id.
    error SessionIsRevoked(bytes32 id);

    /// @notice The session is enabled already.
    /// @param id The session's id.
    error SessionIsEnabled(bytes32 id);

    /// @notice The session key is neither an address nor a P-256 public key.
    /// @param key The key given.
    error InvalidSessionKey(bytes key);

    /// @notice The session never ends, ends before it starts, or its times are out of range.
    error InvalidSessionTimes();

    /// @notice A session may never list such a call.
    /// @param index Position of the call's rule.
    error ForbiddenCallRule(uint256 index);

    /// @notice The rule names a spend limit that does not exist or is for another token.
    /// @param index Position of the call's rule.
    error InvalidSpendLimit(uint256 index);

    /// @notice The nonce's key is not of this session.
    /// @param nonce The operation's nonce.
    error NonceOfAnotherSession(uint256 nonce);

    /// @notice The period claimed in the nonce does not lie within the session.
    /// @param period The claimed period.
    error InvalidPeriod(uint48 period);

    /// @notice The operation calls neither `execute` nor `executeBatch`.
    /// @param selector What it calls.
    error FunctionNotAllowed(bytes4 selector);

    /// @notice The operation's call data is not what the ABI's encoder makes.
    error MalformedCallData();

    /// @notice A session may not send an empty batch.
    error EmptyBatch();

    /// @notice No rule of the session allows this call.
    /// @param index Position of the call in the operation.
    error CallNotAllowed(uint256 index);

    /// @notice The operation would spend more than the session may.
    /// @param limit Position of the spend limit.
    /// @param amount What the operation spends.
    error SpendLimitExceeded(uint256 limit, uint256 amount);

    /// @notice The session has been used as often as it may.
    /// @param maxUses The session's limit.
    error UsesExceeded(uint256 maxUses);

    /// @notice The operation may cost more gas than the session has left.
    /// @param maxCost Wei this operation may cost.
    error GasBudgetExceeded(uint256 maxCost);

    /// @notice The operation's paymaster is not the session's.
    /// @param paymaster The operation's paymaster, or zero.
    error PaymasterNotAllowed(address paymaster);

    /// @notice Enables a session. Only an owner or the account itself may ask for it.
    /// @dev An operation can do the same by carrying an owner's signature of the session.
    /// @param session The session.
    function enableSession(Session calldata session) external;

    /// @notice Revokes a session, enabled or not yet. Only an owner or the account itself may ask for it.
    /// @param id The session's id.
    function revokeSession(bytes32 id) external;

    /// @notice Revokes all sessions at once. Only an owner or the account itself may ask for it.
    function revokeAllSessions() external;

    /// @notice A session's id: its EIP-712 struct hash.
    /// @param session The session.
    function getSessionId(Session calldata session) external pure returns (bytes32);

    /// @notice What an owner signs to enable a session: its EIP-712 hash in this account's domain.
    /// @param session The session.
    function getSessionDigest(Session calldata session) external view returns (bytes32);

    /// @notice Where a session stands. A session of an earlier epoch is revoked, whatever it was.
    /// @param id The session's id.
    /// @return status Its status.
    /// @return uses How many operations it made, counted only when it has a limit of uses.
    /// @return gasSpent Wei of gas its operations could have cost, counted only when it has a gas budget.
    function getSession(bytes32 id) external view returns (SessionStatus status, uint32 uses, uint128 gasSpent);

    /// @notice What a session spent.
    /// @param id The session's id.
    /// @param limit Position of the spend limit.
    /// @return period The last period in which it spent.
    /// @return inPeriod What it spent in that period.
    /// @return total What it spent in its life.
    function getSpent(bytes32 id, uint256 limit) external view returns (uint48 period, uint104 inPeriod, uint104 total);

    /// @notice The epoch a new session must carry.
    function sessionEpoch() external view returns (uint64);
}
