// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title IGoverned
/// @notice What all upgradeable contracts of the marketplace share: an owner, and a guardian who can pause entry.
/// @dev The owner is meant to be the Timelock. The guardian can only stop new business from coming in, for at most
/// `MAX_PAUSE`, and not again before `PAUSE_COOLDOWN` has passed: nothing that lets money out looks at the pause.
interface IGoverned {
    /// @notice The owner named a guardian.
    /// @param guardian The new guardian; zero for none.
    event GuardianSet(address indexed guardian);

    /// @notice Entry was paused.
    /// @param by The guardian or the owner.
    /// @param until Unix seconds; entry is refused before this moment and allowed from it on.
    event EntryPaused(address indexed by, uint256 until);

    /// @notice A pause was ended early.
    /// @param by The guardian or the owner.
    event EntryResumed(address indexed by);

    /// @notice The caller is neither the guardian nor the owner.
    error NotGuardian(address caller);
    /// @notice Entry is paused.
    /// @param until Unix seconds from which entry is allowed again.
    error EntryIsPaused(uint256 until);
    /// @notice The last pause is too recent for another.
    /// @param from Unix seconds from which a pause is possible.
    error PauseCoolingDown(uint256 from);
    /// @notice Wiring happens once.
    error AlreadyWired();
    /// @notice The contract has not been wired to the others yet.
    error NotWired();
    /// @notice The address must not be zero.
    error ZeroAddressGiven();

    /// @notice Names the guardian. Owner only.
    /// @param guardian The new guardian; zero for none.
    function setGuardian(address guardian) external;

    /// @notice Refuses new business for `MAX_PAUSE` from now. Guardian or owner only.
    function pauseEntry() external;

    /// @notice Ends a pause early; the cool-down then starts now. Guardian or owner only.
    function resumeEntry() external;

    /// @notice Who may pause entry, besides the owner.
    function guardian() external view returns (address);

    /// @notice The escrow that holds the money; zero before wiring.
    function escrow() external view returns (address);

    /// @notice Until when entry is paused: unix seconds, in the past if it is not.
    function entryPausedUntil() external view returns (uint256);
}
