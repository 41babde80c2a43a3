// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { Ownable, Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { IEntryPoint } from "account-abstraction-v08/interfaces/IEntryPoint.sol";

import { IPaymasterBase } from "./interfaces/IPaymasterBase.sol";

/// @title PaymasterBase
/// @notice A paymaster's stake and deposit at its EntryPoint, which only the owner moves.
abstract contract PaymasterBase is IPaymasterBase, Ownable2Step {
    /// @dev Only the functions that all EntryPoints share are used: those of the stake manager.
    IEntryPoint internal immutable ENTRY_POINT;

    constructor(address entryPoint_, address owner_) Ownable(owner_) {
        if (entryPoint_.code.length == 0) revert NotAnEntryPoint(entryPoint_);
        ENTRY_POINT = IEntryPoint(entryPoint_);
    }

    modifier onlyEntryPoint() {
        if (msg.sender != address(ENTRY_POINT)) revert NotFromEntryPoint(msg.sender);
        _;
    }

    /// @inheritdoc IPaymasterBase
    function deposit() external payable {
        ENTRY_POINT.depositTo{ value: msg.value }(address(this));
    }

    /// @inheritdoc IPaymasterBase
    function withdrawTo(address payable to, uint256 amount) external onlyOwner {
        ENTRY_POINT.withdrawTo(to, amount);
    }

    /// @inheritdoc IPaymasterBase
    function addStake(uint32 unstakeDelaySec) external payable onlyOwner {
        ENTRY_POINT.addStake{ value: msg.value }(unstakeDelaySec);
    }

    /// @inheritdoc IPaymasterBase
    function unlockStake() external onlyOwner {
        ENTRY_POINT.unlockStake();
    }

    /// @inheritdoc IPaymasterBase
    function withdrawStake(address payable to) external onlyOwner {
        ENTRY_POINT.withdrawStake(to);
    }

    /// @inheritdoc IPaymasterBase
    function getDeposit() external view returns (uint256) {
        return ENTRY_POINT.balanceOf(address(this));
    }

    /// @inheritdoc IPaymasterBase
    function entryPoint() external view returns (address) {
        return address(ENTRY_POINT);
    }
}
