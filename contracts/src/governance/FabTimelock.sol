// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";
import { UUPSUpgradeable } from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { Bytes } from "@openzeppelin/contracts/utils/Bytes.sol";

import { IJobMarketplace } from "../marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../marketplace/interfaces/INodeRegistry.sol";
import { IReputationSystem } from "../marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../marketplace/interfaces/ISessionMarketplace.sol";

/// @title FabTimelock
/// @notice Owns the policy contracts. What the governor has passed waits here, and anybody may then execute it.
/// @dev Policies are not set by proposals directly but by the ParameterStore, which knows their bounds: a call to a
/// policy setter is refused unless the store makes it.
contract FabTimelock is TimelockController {
    /// @notice Least and most seconds between queueing and execution, inclusive.
    uint256 public constant MIN_DELAY = 2 days;
    uint256 public constant MAX_DELAY = 30 days;

    /// @notice Holds the policies; zero until named.
    address public parameterStore;

    /// @notice The store was named, for good.
    event ParameterStoreSet(address indexed store);

    /// @notice Policies are set by the store.
    error OnlyThroughParameterStore(bytes4 selector);
    /// @notice The caller is not the store.
    error NotParameterStore(address caller);
    /// @notice The store is named once.
    error ParameterStoreAlreadySet();
    /// @notice The address must not be zero.
    error ZeroAddressGiven();
    /// @notice The delay would leave its bounds.
    error DelayOutOfBounds(uint256 delay);

    /// @param admin Wires the roles, then renounces its own.
    constructor(address admin) TimelockController(MIN_DELAY, new address[](0), new address[](0), admin) { }

    /// @notice Names the store. Admin only, once.
    /// @param store The ParameterStore.
    function setParameterStore(address store) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (store == address(0)) revert ZeroAddressGiven();
        if (parameterStore != address(0)) revert ParameterStoreAlreadySet();
        parameterStore = store;
        emit ParameterStoreSet(store);
    }

    /// @notice Passes a policy on to its contract. The store only.
    /// @param target The contract.
    /// @param data The call of its policy setter.
    function applyPolicy(address target, bytes calldata data) external {
        if (msg.sender != parameterStore) revert NotParameterStore(msg.sender);
        Address.functionCall(target, data);
    }

    /// @notice Completes a transfer of ownership to the timelock. Anybody: owning more harms nobody.
    /// @param target A contract with a two-step owner.
    function acceptOwnershipOf(address target) external {
        Address.functionCall(target, abi.encodeWithSignature("acceptOwnership()"));
    }

    /// @notice Changes the delay, within bounds. By a proposal only.
    /// @param newDelay Seconds.
    function updateDelay(uint256 newDelay) public override {
        if (newDelay < MIN_DELAY || newDelay > MAX_DELAY) revert DelayOutOfBounds(newDelay);
        super.updateDelay(newDelay);
    }

    /// @dev Also looks into the calls that may come with an upgrade, however deep: they would be made in the timelock's
    /// name.
    function _execute(address target, uint256 value, bytes calldata data) internal override {
        bytes memory call = data;
        while (call.length >= 4) {
            bytes4 selector = bytes4(call);
            _refusePolicy(selector);
            if (selector != UUPSUpgradeable.upgradeToAndCall.selector) break;
            (, call) = abi.decode(Bytes.slice(call, 4), (address, bytes));
        }
        super._execute(target, value, data);
    }

    function _refusePolicy(bytes4 selector) private pure {
        if (
            selector == IJobMarketplace.setPolicy.selector || selector == ISessionMarketplace.setPolicy.selector
                || selector == INodeRegistry.setStakePolicy.selector || selector == IReputationSystem.setPolicy.selector
        ) revert OnlyThroughParameterStore(selector);
    }
}
