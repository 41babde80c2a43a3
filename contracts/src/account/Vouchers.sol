// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import { SessionKeys } from "./SessionKeys.sol";
import { SignatureType } from "./SignatureType.sol";
import { SessionHashLib } from "./sessions/SessionHashLib.sol";
import { SessionSignatureLib } from "./sessions/SessionSignatureLib.sol";
import { Session, SessionStatus, VoucherRight } from "./sessions/SessionTypes.sol";

/// @title Vouchers
/// @notice Lets a session key sign, for the account, the kinds of message its session lists, and no other.
/// @dev A signature cannot be counted, so a right caps each message. What a voucher releases was locked before, by a
/// call that the session's spend limits counted.
/// The signature is `0x03 ‖ abi.encode(Session, bytes fields, bytes keySignature)`: `fields` are the message's fields
/// as EIP-712 encodes them, from which its hash is made again.
abstract contract Vouchers is SessionKeys {
    /// @dev An owner's signature may begin with any byte, so it is tried first.
    function _erc1271IsValidSignature(bytes32 hash, bytes calldata signature) internal view override returns (bool) {
        if (super._erc1271IsValidSignature(hash, signature)) return true;
        return signature.length != 0 && signature[0] == SignatureType.VOUCHER && _isVoucher(hash, signature);
    }

    function _isVoucher(bytes32 hash, bytes calldata signature) private view returns (bool) {
        (Session calldata session, bytes calldata fields, bytes calldata keySignature) =
            SessionSignatureLib.decode(signature);
        SessionsStorage storage $ = _sessions();
        if ($.states[SessionHashLib.hash(session)].status != SessionStatus.Enabled) return false;
        if (session.epoch != $.epoch) return false;
        // This is never called in an operation's validation of ours, so the clock may be read.
        if (block.timestamp < session.validAfter || block.timestamp > session.validUntil) return false;
        return _isAllowed(session.vouchers, hash, fields) && _isKeySignature(session.key, hash, keySignature);
    }

    function _isAllowed(VoucherRight[] calldata rights, bytes32 hash, bytes calldata fields)
        private
        pure
        returns (bool)
    {
        for (uint256 i; i < rights.length; ++i) {
            VoucherRight calldata right = rights[i];
            uint256 start = uint256(right.amountField) * 32;
            if (fields.length < start + 32 || uint256(bytes32(fields[start:start + 32])) > right.maxAmount) continue;
            bytes32 structHash = keccak256(bytes.concat(right.typeHash, fields));
            if (MessageHashUtils.toTypedDataHash(right.domainSeparator, structHash) == hash) return true;
        }
        return false;
    }
}
