// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Ownable2StepUpgradeable } from "@openzeppelin/contracts-upgradeable/access/Ownable2StepUpgradeable.sol";
import { UUPSUpgradeable } from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { SafeCastLib } from "solady/utils/SafeCastLib.sol";

import { IGoverned } from "../interfaces/IGoverned.sol";
import { IPaymentEscrow } from "../interfaces/IPaymentEscrow.sol";

/// @title Governed
/// @notice Base of the upgradeable contracts: two-step owner, upgrades by the owner, pause of entry by a guardian.
abstract contract Governed is IGoverned, Ownable2StepUpgradeable, UUPSUpgradeable, ReentrancyGuardTransient {
    /// @notice How long a pause lasts, in seconds.
    uint256 public constant MAX_PAUSE = 3 days;

    /// @notice How long after the end of a pause the next one may start, in seconds.
    uint256 public constant PAUSE_COOLDOWN = 7 days;

    /// @custom:storage-location erc7201:fabstir.storage.Governed
    struct GovernedStorage {
        /// @dev Holds the money; zero before wiring. In one slot with the next field: entry reads both.
        IPaymentEscrow escrow;
        /// @dev Unix seconds; entry is paused before it.
        uint40 pausedUntil;
        /// @dev Who may pause entry besides the owner; zero for nobody.
        address guardian;
    }

    // keccak256(abi.encode(uint256(keccak256("fabstir.storage.Governed")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant GOVERNED_STORAGE = 0xb3cbba9deee82add4d85695c68e6d6e2fd38ede26ee8fcd61e1d0ef7329bc300;

    constructor() {
        _disableInitializers();
    }

    /// @dev Guards what brings new business in; never put it on what lets money out.
    modifier whenEntryOpen() {
        uint256 until = _governed().pausedUntil;
        if (block.timestamp < until) revert EntryIsPaused(until);
        _;
    }

    modifier onlyGuardian() {
        if (msg.sender != _governed().guardian && msg.sender != owner()) revert NotGuardian(msg.sender);
        _;
    }

    /// @inheritdoc IGoverned
    function setGuardian(address guardian_) external onlyOwner {
        _governed().guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    /// @inheritdoc IGoverned
    function pauseEntry() external onlyGuardian {
        GovernedStorage storage $ = _governed();
        uint256 last = $.pausedUntil;
        if (last != 0 && block.timestamp < last + PAUSE_COOLDOWN) revert PauseCoolingDown(last + PAUSE_COOLDOWN);
        uint256 until = block.timestamp + MAX_PAUSE;
        $.pausedUntil = SafeCastLib.toUint40(until);
        emit EntryPaused(msg.sender, until);
    }

    /// @inheritdoc IGoverned
    function resumeEntry() external onlyGuardian {
        GovernedStorage storage $ = _governed();
        if (block.timestamp < $.pausedUntil) {
            $.pausedUntil = SafeCastLib.toUint40(block.timestamp);
            emit EntryResumed(msg.sender);
        }
    }

    /// @inheritdoc IGoverned
    function guardian() external view returns (address) {
        return _governed().guardian;
    }

    /// @inheritdoc IGoverned
    function escrow() external view returns (address) {
        return address(_governed().escrow);
    }

    /// @inheritdoc IGoverned
    function entryPausedUntil() external view returns (uint256) {
        return _governed().pausedUntil;
    }

    /// @dev Upgrades are the owner's, that is the Timelock's.
    function _authorizeUpgrade(address) internal override onlyOwner { }

    /// @dev Takes note of the escrow, once.
    function _setEscrow(address escrow_) internal {
        GovernedStorage storage $ = _governed();
        if (address($.escrow) != address(0)) revert AlreadyWired();
        if (escrow_ == address(0)) revert ZeroAddressGiven();
        $.escrow = IPaymentEscrow(escrow_);
    }

    /// @dev The escrow, if the contract is wired.
    function _escrow() internal view returns (IPaymentEscrow escrow_) {
        escrow_ = _governed().escrow;
        if (address(escrow_) == address(0)) revert NotWired();
    }

    function _governed() private pure returns (GovernedStorage storage $) {
        assembly {
            $.slot := GOVERNED_STORAGE
        }
    }
}
