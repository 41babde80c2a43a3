// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { IJobMarketplace } from "../marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../marketplace/interfaces/ISessionMarketplace.sol";
import { FabTimelock } from "./FabTimelock.sol";

/// @title ParameterStore
/// @notice What governance may tune, within bounds that it cannot: each key has a least and a highest value, a largest
/// step and a shortest time between steps, all fixed when the store is made.
/// @dev The policy contracts keep their own packed copy: reading it from here would cost each session more gas than it
/// has to spare. `set` gives the copy anew, from the typed getters.
contract ParameterStore {
    /// @notice In the order of the policies' fields.
    enum Key {
        JobFeeBps,
        JobReviewWindow,
        JobCounterWindow,
        JobArbiterWindow,
        JobBondBps,
        JobIdleSlashBps,
        JobFaultSlashBps,
        JobMaxDuration,
        SessionFeeBps,
        SessionGrace,
        SessionMaxDuration,
        MinStake,
        StakePerEngagement,
        UnbondingPeriod,
        ChallengerBps,
        PayerBps,
        ReputationHalfLife,
        ReputationCapPeriod,
        ReputationPayerCap,
        ReputationPriorWeight
    }

    /// @notice A value and what limits it; two slots.
    struct Parameter {
        /// @dev The value now, in the unit of the policy's field.
        uint96 value;
        /// @dev The least value, inclusive.
        uint96 min;
        /// @dev Unix seconds of the last change; zero for never.
        uint40 changedAt;
        /// @dev The highest value, inclusive.
        uint96 max;
        /// @dev The largest difference that one change may make, inclusive.
        uint96 maxStep;
        /// @dev Seconds from one change to the next, at least; never zero.
        uint32 minInterval;
    }

    /// @notice Where the policies go.
    struct Targets {
        /// @dev IJobMarketplace.
        address jobs;
        /// @dev ISessionMarketplace.
        address sessions;
        /// @dev INodeRegistry.
        address registry;
        /// @dev IReputationSystem.
        address reputation;
    }

    /// @notice How many keys there are.
    uint256 public constant KEYS = uint256(type(Key).max) + 1;

    /// @notice Who may change values.
    FabTimelock public immutable timelock;

    /// @dev By key.
    mapping(Key key => Parameter) private _parameters;
    /// @dev Where the policies go.
    Targets private _targets;

    /// @notice A value was changed.
    event ParameterSet(Key indexed key, uint256 from, uint256 to);

    /// @notice The caller is not the timelock.
    error NotTimelock(address caller);
    /// @notice As many values as keys are needed.
    error LengthMismatch(uint256 expected, uint256 actual);
    /// @notice The address must not be zero.
    error ZeroAddressGiven();
    /// @notice The bounds of a key contradict one another, or its first value.
    error BadBounds(Key key);
    /// @notice A value would leave its bounds.
    error ValueOutOfBounds(Key key, uint256 value, uint256 min, uint256 max);
    /// @notice A value would change by too much at once.
    error StepTooLarge(Key key, uint256 step, uint256 maxStep);
    /// @notice A value has changed too recently.
    /// @param from Unix seconds from which it may change again.
    error ChangedTooRecently(Key key, uint256 from);

    /// @param timelock_ Who may change values; the owner of the targets.
    /// @param targets_ Where the policies go.
    /// @param parameters In the order of the keys.
    constructor(FabTimelock timelock_, Targets memory targets_, Parameter[] memory parameters) {
        if (
            address(timelock_) == address(0) || targets_.jobs == address(0) || targets_.sessions == address(0)
                || targets_.registry == address(0) || targets_.reputation == address(0)
        ) revert ZeroAddressGiven();
        if (parameters.length != KEYS) revert LengthMismatch(KEYS, parameters.length);
        timelock = timelock_;
        _targets = targets_;
        for (uint256 i; i < KEYS; ++i) {
            Parameter memory p = parameters[i];
            if (p.value < p.min || p.value > p.max || p.maxStep == 0 || p.minInterval == 0 || p.changedAt != 0) {
                revert BadBounds(Key(i));
            }
            _parameters[Key(i)] = p;
            emit ParameterSet(Key(i), 0, p.value);
        }
    }

    /// @notice Changes values and tells the contracts that they concern. The timelock only.
    /// @param keys What to change; each once.
    /// @param values The new values, in the units of the policies' fields.
    function set(Key[] calldata keys, uint256[] calldata values) external {
        if (msg.sender != address(timelock)) revert NotTimelock(msg.sender);
        if (keys.length != values.length) revert LengthMismatch(keys.length, values.length);
        bool[4] memory touched;
        for (uint256 i; i < keys.length; ++i) {
            _set(keys[i], values[i]);
            touched[_groupOf(keys[i])] = true;
        }
        Targets memory t = _targets;
        if (touched[0]) timelock.applyPolicy(t.jobs, abi.encodeCall(IJobMarketplace.setPolicy, (jobPolicy())));
        if (touched[1]) {
            timelock.applyPolicy(t.sessions, abi.encodeCall(ISessionMarketplace.setPolicy, (sessionPolicy())));
        }
        if (touched[2]) {
            timelock.applyPolicy(t.registry, abi.encodeCall(INodeRegistry.setStakePolicy, (stakePolicy())));
        }
        if (touched[3]) {
            timelock.applyPolicy(t.reputation, abi.encodeCall(IReputationSystem.setPolicy, (reputationPolicy())));
        }
    }

    /// @notice A key's value and what limits it.
    /// @param key Which.
    function parameterOf(Key key) external view returns (Parameter memory) {
        return _parameters[key];
    }

    /// @notice Where the policies go.
    function targets() external view returns (Targets memory) {
        return _targets;
    }

    /// @notice Rules for new jobs.
    function jobPolicy() public view returns (IJobMarketplace.JobPolicy memory) {
        return IJobMarketplace.JobPolicy({
            feeBps: SafeCastLib.toUint16(_value(Key.JobFeeBps)),
            reviewWindow: SafeCastLib.toUint24(_value(Key.JobReviewWindow)),
            counterWindow: SafeCastLib.toUint24(_value(Key.JobCounterWindow)),
            arbiterWindow: SafeCastLib.toUint24(_value(Key.JobArbiterWindow)),
            bondBps: SafeCastLib.toUint16(_value(Key.JobBondBps)),
            idleSlashBps: SafeCastLib.toUint16(_value(Key.JobIdleSlashBps)),
            faultSlashBps: SafeCastLib.toUint16(_value(Key.JobFaultSlashBps)),
            maxDuration: SafeCastLib.toUint32(_value(Key.JobMaxDuration))
        });
    }

    /// @notice Rules for new sessions.
    function sessionPolicy() public view returns (ISessionMarketplace.SessionPolicy memory) {
        return ISessionMarketplace.SessionPolicy({
            feeBps: SafeCastLib.toUint16(_value(Key.SessionFeeBps)),
            grace: SafeCastLib.toUint24(_value(Key.SessionGrace)),
            maxDuration: SafeCastLib.toUint32(_value(Key.SessionMaxDuration))
        });
    }

    /// @notice Rules for stake.
    function stakePolicy() public view returns (INodeRegistry.StakePolicy memory) {
        return INodeRegistry.StakePolicy({
            minStake: SafeCastLib.toUint88(_value(Key.MinStake)),
            stakePerEngagement: SafeCastLib.toUint88(_value(Key.StakePerEngagement)),
            unbondingPeriod: SafeCastLib.toUint32(_value(Key.UnbondingPeriod)),
            challengerBps: SafeCastLib.toUint16(_value(Key.ChallengerBps)),
            payerBps: SafeCastLib.toUint16(_value(Key.PayerBps))
        });
    }

    /// @notice How reputation arises and fades.
    function reputationPolicy() public view returns (IReputationSystem.ReputationPolicy memory) {
        return IReputationSystem.ReputationPolicy({
            halfLife: SafeCastLib.toUint32(_value(Key.ReputationHalfLife)),
            capPeriod: SafeCastLib.toUint32(_value(Key.ReputationCapPeriod)),
            payerCap: SafeCastLib.toUint80(_value(Key.ReputationPayerCap)),
            priorWeight: SafeCastLib.toUint80(_value(Key.ReputationPriorWeight))
        });
    }

    function _set(Key key, uint256 value) private {
        Parameter storage p = _parameters[key];
        uint256 old = p.value;
        if (value < p.min || value > p.max) revert ValueOutOfBounds(key, value, p.min, p.max);
        uint256 step = value > old ? value - old : old - value;
        if (step > p.maxStep) revert StepTooLarge(key, step, p.maxStep);
        uint256 from = uint256(p.changedAt) + p.minInterval;
        if (p.changedAt != 0 && block.timestamp < from) revert ChangedTooRecently(key, from);
        p.value = SafeCastLib.toUint96(value);
        p.changedAt = SafeCastLib.toUint40(block.timestamp);
        emit ParameterSet(key, old, value);
    }

    function _value(Key key) private view returns (uint256) {
        return _parameters[key].value;
    }

    /// @dev Which policy a key is of: jobs, sessions, stake, reputation.
    function _groupOf(Key key) private pure returns (uint256) {
        if (key <= Key.JobMaxDuration) return 0;
        if (key <= Key.SessionMaxDuration) return 1;
        return key <= Key.PayerBps ? 2 : 3;
    }
}
