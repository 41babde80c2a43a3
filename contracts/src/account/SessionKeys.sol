// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { OwnerSignatures } from "./OwnerSignatures.sol";
import { ISessionKeys } from "./interfaces/ISessionKeys.sol";
import { CallDataLib } from "./sessions/CallDataLib.sol";
import { GasCostLib } from "./sessions/GasCostLib.sol";
import { RuleLib } from "./sessions/RuleLib.sol";
import { SessionHashLib } from "./sessions/SessionHashLib.sol";
import { SessionNonceLib } from "./sessions/SessionNonceLib.sol";
import { SessionPolicyLib } from "./sessions/SessionPolicyLib.sol";
import { SessionSignatureLib } from "./sessions/SessionSignatureLib.sol";
import { SessionTimeLib } from "./sessions/SessionTimeLib.sol";
import { CallRule, Session, SessionStatus, SpendLimit } from "./sessions/SessionTypes.sol";
import { Spend, SpendLib } from "./sessions/SpendLib.sol";

/// @title SessionKeys
/// @notice Keys that may do a listed few things for the account, within limits, for a time.
/// @dev The account stores a few counters of a session and never the session itself: each operation brings the whole
/// session, and its hash is the id under which an owner enabled it. All storage is the account's own, so ERC-7562
/// asks for no stake (STO-010). What is spent is counted in validation: an operation that fails later has still spent.
abstract contract SessionKeys is ISessionKeys, OwnerSignatures {
    /// @notice A session's counters, in one slot.
    struct SessionState {
        /// @dev Once enabled it never is `None` again, so that an owner's signature enables once.
        SessionStatus status;
        /// @dev Operations made; counted only when the session limits them.
        uint32 uses;
        /// @dev Wei of gas the operations could have cost; counted only when the session limits it.
        uint128 gasSpent;
    }

    /// @custom:storage-location erc7201:fabstir.storage.Sessions
    struct SessionsStorage {
        /// @dev Sessions must carry this number; raising it revokes them all.
        uint64 epoch;
        /// @dev The counters of each session.
        mapping(bytes32 id => SessionState) states;
        /// @dev What each session spent under each of its limits.
        mapping(bytes32 id => mapping(uint256 limit => Spend)) spent;
    }

    /// @dev keccak256(abi.encode(uint256(keccak256("fabstir.storage.Sessions")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant SESSIONS_SLOT = 0x7ce43d7f033497b7b681f56466e943a6001a98ec3d9eea36d63ee81fb0541b00;

    /// @inheritdoc ISessionKeys
    function enableSession(Session calldata session) external onlyOwner {
        bytes32 id = SessionHashLib.hash(session);
        SessionsStorage storage $ = _sessions();
        SessionStatus status = $.states[id].status;
        if (status == SessionStatus.Enabled) revert SessionIsEnabled(id);
        if (status == SessionStatus.Revoked || session.epoch != $.epoch) revert SessionIsRevoked(id);
        _enable(session, id);
    }

    /// @inheritdoc ISessionKeys
    function revokeSession(bytes32 id) external onlyOwner {
        _sessions().states[id].status = SessionStatus.Revoked;
        emit SessionRevoked(id);
    }

    /// @inheritdoc ISessionKeys
    function revokeAllSessions() external onlyOwner {
        _revokeAll();
    }

    /// @inheritdoc ISessionKeys
    function getSessionId(Session calldata session) external pure returns (bytes32) {
        return SessionHashLib.hash(session);
    }

    /// @inheritdoc ISessionKeys
    function getSessionDigest(Session calldata session) external view returns (bytes32) {
        return _hashTypedData(SessionHashLib.hash(session));
    }

    /// @inheritdoc ISessionKeys
    function getSession(bytes32 id) external view returns (SessionStatus status, uint32 uses, uint128 gasSpent) {
        SessionState storage state = _sessions().states[id];
        return (state.status, state.uses, state.gasSpent);
    }

    /// @inheritdoc ISessionKeys
    function getSpent(bytes32 id, uint256 limit)
        external
        view
        returns (uint48 period, uint104 inPeriod, uint104 total)
    {
        Spend storage spent = _sessions().spent[id][limit];
        return (spent.period, spent.inPeriod, spent.total);
    }

    /// @inheritdoc ISessionKeys
    function sessionEpoch() external view returns (uint64) {
        return _sessions().epoch;
    }

    /// @dev The one EntryPoint the account obeys.
    function _entryPoint() internal view virtual returns (address);

    /// @dev An owner's grants must not outlive it, so removing one revokes every session.
    function _ownerRemoved() internal override {
        _revokeAll();
    }

    /// @dev Validates an operation that a session key signed. A wrong signature is reported in the result and all the
    /// rest still runs, so that gas can be estimated with dummies. What the session does not allow reverts, naming it.
    /// @param userOp The operation.
    /// @param digest What the session key signed.
    function _validateSession(PackedUserOperation calldata userOp, bytes32 digest)
        internal
        returns (uint256 validationData)
    {
        (Session calldata session, bytes32 id, bool signed) = _authenticate(userOp.signature, digest);
        if (!SessionNonceLib.isOf(userOp.nonce, id)) revert NonceOfAnotherSession(userOp.nonce);
        uint48 period = SessionNonceLib.periodOf(userOp.nonce);
        _countUse(session, id, userOp);
        _spend(session, id, period, _checkCalls(session, userOp.callData));
        return _validationData(session, period, !signed);
    }

    /// @dev Reads the session and whether it was signed for: by its key, and by an owner unless it is enabled.
    function _authenticate(bytes calldata signature, bytes32 digest)
        private
        returns (Session calldata session, bytes32 id, bool signed)
    {
        bytes calldata ownerSignature;
        bytes calldata keySignature;
        (session, ownerSignature, keySignature) = SessionSignatureLib.decode(signature);
        id = SessionHashLib.hash(session);
        bool enabled = _useSession(session, id, ownerSignature);
        signed = _isKeySignature(session.key, digest, keySignature) && enabled;
    }

    function _validationData(Session calldata session, uint48 period, bool failed) private pure returns (uint256) {
        (bool ok, uint48 validAfter, uint48 validUntil) =
            SessionTimeLib.window(session.validAfter, session.validUntil, session.period, period);
        if (!ok) revert InvalidPeriod(period);
        return SessionTimeLib.packValidationData(failed, validAfter, validUntil);
    }

    /// @dev Whether the session is enabled, by now or by the owner's signature; reverts when it cannot be.
    function _useSession(Session calldata session, bytes32 id, bytes calldata ownerSignature)
        private
        returns (bool enabled)
    {
        SessionsStorage storage $ = _sessions();
        SessionStatus status = $.states[id].status;
        if (status == SessionStatus.Revoked || session.epoch != $.epoch) revert SessionIsRevoked(id);
        if (status == SessionStatus.Enabled) return true;
        if (ownerSignature.length == 0) revert SessionNotEnabled(id);
        enabled = _isOwnerSignature(_hashTypedData(id), ownerSignature);
        _enable(session, id);
    }

    function _enable(Session calldata session, bytes32 id) private {
        SessionPolicyLib.check(session, _entryPoint());
        _sessions().states[id].status = SessionStatus.Enabled;
        emit SessionEnabled(id, session.key);
    }

    function _revokeAll() private {
        uint64 epoch = ++_sessions().epoch;
        emit AllSessionsRevoked(epoch);
    }

    /// @dev Counts the operation and the gas it may cost, and checks who pays for it.
    function _countUse(Session calldata session, bytes32 id, PackedUserOperation calldata userOp) private {
        SessionState storage state = _sessions().states[id];
        if (session.maxUses != type(uint32).max) {
            uint32 uses = state.uses;
            if (uses >= session.maxUses) revert UsesExceeded(session.maxUses);
            state.uses = uses + 1;
        }
        address paymaster = GasCostLib.paymasterOf(userOp);
        if (paymaster != session.paymaster) revert PaymasterNotAllowed(paymaster);
        if (paymaster == address(0) || session.gasBudget != 0) {
            uint256 maxCost = GasCostLib.maxCost(userOp);
            uint256 gasSpent = state.gasSpent + maxCost;
            if (gasSpent > session.gasBudget) revert GasBudgetExceeded(maxCost);
            state.gasSpent = uint128(gasSpent);
        }
    }

    /// @dev Finds the first rule that allows each call, and adds up what the calls spend under each limit.
    function _checkCalls(Session calldata session, bytes calldata callData)
        private
        view
        returns (uint256[] memory amounts)
    {
        amounts = new uint256[](session.limits.length);
        (uint256 count, uint256 cursor) = CallDataLib.open(callData);
        for (uint256 i; i < count; ++i) {
            address target;
            uint256 value;
            bytes calldata data;
            (target, value, data, cursor) = CallDataLib.read(callData, i, count, cursor);
            CallRule calldata rule = _findRule(session.calls, i, target, value, data);
            if (value != 0) amounts[rule.valueLimit - 1] += value;
            if (rule.amountLimit != 0) {
                amounts[rule.amountLimit - 1] += uint256(RuleLib.wordAt(data, rule.amountWord));
            }
        }
    }

    function _findRule(CallRule[] calldata rules, uint256 index, address target, uint256 value, bytes calldata data)
        private
        view
        returns (CallRule calldata rule)
    {
        // Checked when the session was enabled; again here, because an upgrade may have changed the EntryPoint since.
        if (SessionPolicyLib.isForbiddenTarget(target, _entryPoint())) revert CallNotAllowed(index);
        for (uint256 i; i < rules.length; ++i) {
            rule = rules[i];
            if (RuleLib.allows(rule, target, value, data)) return rule;
        }
        revert CallNotAllowed(index);
    }

    function _spend(Session calldata session, bytes32 id, uint48 period, uint256[] memory amounts) private {
        for (uint256 i; i < amounts.length; ++i) {
            if (amounts[i] == 0) continue;
            SpendLimit calldata limit = session.limits[i];
            Spend storage stored = _sessions().spent[id][i];
            (bool ok, Spend memory next) = SpendLib.add(stored, period, amounts[i], limit.perPeriod, limit.total);
            if (!ok) revert SpendLimitExceeded(i, amounts[i]);
            _sessions().spent[id][i] = next;
        }
    }

    function _isKeySignature(bytes calldata key, bytes32 digest, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        if (key.length == 32) {
            (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
            return signer != address(0) && signer == abi.decode(key, (address));
        }
        (bytes32 x, bytes32 y) = abi.decode(key, (bytes32, bytes32));
        return PASSKEY_VERIFIER.verifySignature(digest, signature, x, y);
    }

    function _sessions() internal pure returns (SessionsStorage storage $) {
        assembly ("memory-safe") {
            $.slot := SESSIONS_SLOT
        }
    }
}
