// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import { Session, VoucherRight } from "../../src/account/sessions/SessionTypes.sol";
import { SessionTest } from "../support/account/SessionTest.sol";

/// @notice The right of a session key to sign vouchers for the account.
contract SessionVouchers is SessionTest {
    bytes4 internal constant VALID = 0x1626ba7e;
    bytes4 internal constant INVALID = 0xffffffff;
    bytes32 internal constant DOMAIN = keccak256("the marketplace's domain separator");
    bytes32 internal constant VOUCHER =
        keccak256("Voucher(bytes32 sessionId,uint256 cumulativeAmount,uint256 tokens,bytes32 transcriptRoot)");

    function _session() private view returns (Session memory value) {
        value = plainSession();
        value.vouchers = new VoucherRight[](1);
        value.vouchers[0] = VoucherRight(DOMAIN, VOUCHER, 1, 500e6);
    }

    function _fields(uint256 amount) private pure returns (bytes memory) {
        return abi.encode(bytes32("session"), amount, 1234, bytes32("root"));
    }

    function _digest(bytes32 domain, bytes32 typeHash, bytes memory fields) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, keccak256(bytes.concat(typeHash, fields)));
    }

    function _signature(Session memory value, bytes memory fields, bytes memory key)
        private
        pure
        returns (bytes memory)
    {
        return bytes.concat(bytes1(0x03), abi.encode(value, fields, key));
    }

    function _verdict(Session memory value, uint256 amount) private view returns (bytes4) {
        bytes32 hash = _digest(DOMAIN, VOUCHER, _fields(amount));
        return account.isValidSignature(hash, _signature(value, _fields(amount), signBytes(sessionKey, hash)));
    }

    function test_voucher_within_its_right_is_valid() public {
        Session memory value = _session();
        enable(value);
        assertEq(_verdict(value, 1), VALID);
        assertEq(_verdict(value, 500e6), VALID);
    }

    function test_voucher_by_a_p256_session_key_is_valid() public {
        Passkey memory browser = newPasskey("browser");
        Session memory value = _session();
        value.key = keyBytes(browser);
        enable(value);
        bytes32 hash = _digest(DOMAIN, VOUCHER, _fields(1));
        assertEq(account.isValidSignature(hash, _signature(value, _fields(1), signWebCrypto(browser, hash))), VALID);
    }

    function test_second_right_is_found_too() public {
        Session memory value = _session();
        VoucherRight[] memory rights = new VoucherRight[](2);
        rights[0] = VoucherRight(bytes32(uint256(1)), VOUCHER, 9, 0);
        rights[1] = value.vouchers[0];
        value.vouchers = rights;
        enable(value);
        assertEq(_verdict(value, 1), VALID);
    }

    function test_voucher_above_its_cap_is_invalid() public {
        Session memory value = _session();
        enable(value);
        assertEq(_verdict(value, 500e6 + 1), INVALID);
    }

    function test_session_without_the_right_signs_no_voucher() public {
        Session memory value = plainSession();
        enable(value);
        assertEq(_verdict(value, 1), INVALID);
    }

    function test_session_that_is_not_enabled_or_is_revoked_signs_no_voucher() public {
        Session memory value = _session();
        assertEq(_verdict(value, 1), INVALID);
        bytes32 id = enable(value);
        vm.prank(alice.addr);
        account.revokeSession(id);
        assertEq(_verdict(value, 1), INVALID);
    }

    function test_revoking_all_ends_voucher_rights() public {
        Session memory value = _session();
        enable(value);
        vm.prank(alice.addr);
        account.revokeAllSessions();
        assertEq(_verdict(value, 1), INVALID);
    }

    function test_voucher_is_valid_only_in_the_sessions_time() public {
        Session memory value = _session();
        enable(value);
        vm.warp(value.validAfter - 1);
        assertEq(_verdict(value, 1), INVALID);
        vm.warp(value.validAfter);
        assertEq(_verdict(value, 1), VALID);
        vm.warp(value.validUntil);
        assertEq(_verdict(value, 1), VALID);
        vm.warp(value.validUntil + 1);
        assertEq(_verdict(value, 1), INVALID);
    }

    function test_other_message_or_domain_is_invalid() public {
        Session memory value = _session();
        enable(value);
        bytes memory fields = _fields(1);
        bytes32 hash = _digest(DOMAIN, keccak256("Permit(address owner)"), fields);
        assertEq(account.isValidSignature(hash, _signature(value, fields, signBytes(sessionKey, hash))), INVALID);
        hash = _digest(keccak256("another"), VOUCHER, fields);
        assertEq(account.isValidSignature(hash, _signature(value, fields, signBytes(sessionKey, hash))), INVALID);
    }

    function test_fields_too_short_to_hold_the_amount_are_invalid() public {
        Session memory value = _session();
        enable(value);
        bytes memory fields = abi.encode(bytes32("session"));
        bytes32 hash = _digest(DOMAIN, VOUCHER, fields);
        assertEq(account.isValidSignature(hash, _signature(value, fields, signBytes(sessionKey, hash))), INVALID);
    }

    function test_voucher_by_another_key_is_invalid() public {
        Session memory value = _session();
        enable(value);
        bytes32 hash = _digest(DOMAIN, VOUCHER, _fields(1));
        assertEq(account.isValidSignature(hash, _signature(value, _fields(1), signBytes(bob, hash))), INVALID);
        assertEq(account.isValidSignature(hash, _signature(value, _fields(1), "")), INVALID);
    }

    function test_voucher_right_moves_nothing_by_itself() public {
        Session memory value = _session();
        enable(value);
        vm.expectRevert();
        vm.prank(sessionKey.addr);
        account.execute(address(token), 0, "");
    }
}
