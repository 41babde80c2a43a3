// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ISessionMarketplace } from "../interfaces/ISessionMarketplace.sol";

/// @title SessionStore
/// @notice Sessions in two words each, read and written whole: the compiler would touch a word once for each field.
/// @dev Bits, from the lowest:
/// - `head`: 160 voucher key, 88 amount, 8 status;
/// - `terms`: 80 price, 16 fee, 40 deadline, 24 grace, 16 model index.
/// What each means is said at `Terms` and `ISessionMarketplace.Session`.
library SessionStore {
    /// @dev A session as stored. The host is in its id, payer and token are in the escrow's lock.
    struct Slots {
        /// @dev What closing changes.
        uint256 head;
        /// @dev What stays, but for the deadline.
        uint256 terms;
    }

    /// @dev What a session's `terms` are made of.
    struct Terms {
        /// @dev Base units of the token for 1,000,000 LLM tokens.
        uint80 pricePerMillion;
        /// @dev Fee in 1/10,000 of what the host earns.
        uint16 feeBps;
        /// @dev Unix seconds: the end of the session, or of the grace once it is closing.
        uint40 deadline;
        /// @dev Seconds of grace.
        uint24 grace;
        /// @dev The model's index in the registry.
        uint16 modelIndex;
    }

    function packHead(address key, uint88 amount_, ISessionMarketplace.SessionStatus status_)
        internal
        pure
        returns (uint256)
    {
        return uint256(uint160(key)) | uint256(amount_) << 160 | uint256(status_) << 248;
    }

    function packTerms(Terms memory t) internal pure returns (uint256) {
        return uint256(t.pricePerMillion) | uint256(t.feeBps) << 80 | uint256(t.deadline) << 96 | uint256(t.grace)
            << 136 | uint256(t.modelIndex) << 160;
    }

    function load(Slots storage slots) internal view returns (Slots memory session) {
        (session.head, session.terms) = (slots.head, slots.terms);
    }

    function voucherKey(Slots memory session) internal pure returns (address key) {
        uint256 head = session.head;
        assembly ("memory-safe") {
            key := and(head, 0xffffffffffffffffffffffffffffffffffffffff)
        }
    }

    /// @dev Base units ever locked; once closed, what was earned.
    function amount(Slots memory session) internal pure returns (uint256) {
        return session.head >> 160 & type(uint88).max;
    }

    function status(Slots memory session) internal pure returns (ISessionMarketplace.SessionStatus) {
        return ISessionMarketplace.SessionStatus(session.head >> 248);
    }

    /// @dev Whether it has been opened and not closed.
    function isLive(Slots memory session) internal pure returns (bool) {
        uint256 raw = session.head >> 248;
        return raw == uint256(ISessionMarketplace.SessionStatus.Open)
            || raw == uint256(ISessionMarketplace.SessionStatus.Closing);
    }

    function pricePerMillion(Slots memory session) internal pure returns (uint256) {
        return session.terms & type(uint80).max;
    }

    function feeBps(Slots memory session) internal pure returns (uint256) {
        return session.terms >> 80 & type(uint16).max;
    }

    function deadline(Slots memory session) internal pure returns (uint256) {
        return session.terms >> 96 & type(uint40).max;
    }

    /// @dev The terms with another deadline.
    function termsUntil(Slots memory session, uint40 deadline_) internal pure returns (uint256) {
        return session.terms & ~(uint256(type(uint40).max) << 96) | uint256(deadline_) << 96;
    }

    function grace(Slots memory session) internal pure returns (uint256) {
        return session.terms >> 136 & type(uint24).max;
    }

    function modelIndex(Slots memory session) internal pure returns (uint256) {
        return session.terms >> 160 & type(uint16).max;
    }

    /// @dev Last second in which a voucher is settled.
    function settleUntil(Slots memory session) internal pure returns (uint256) {
        uint256 end = deadline(session);
        bool isOpen = session.head >> 248 == uint256(ISessionMarketplace.SessionStatus.Open);
        return isOpen ? end + grace(session) : end;
    }
}
