// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { MessageHashUtils } from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import { Vm } from "forge-std/Test.sol";

import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { OperationTest } from "../support/account/OperationTest.sol";
import { Passkeys } from "../support/account/Passkeys.sol";

/// @notice ERC-1271 with ERC-7739: what the account says it signed.
contract AccountSignatures is OperationTest, Passkeys {
    bytes4 internal constant VALID = 0x1626ba7e;
    bytes4 internal constant INVALID = 0xffffffff;
    bytes32 internal constant APP_DOMAIN = keccak256("the app's domain separator");
    string internal constant CONTENTS_TYPE = "Mail(bytes32 text)";

    SmartAccount internal account;
    SmartAccount internal other;
    Passkey internal phone;

    function setUp() public override {
        super.setUp();
        phone = newPasskey("phone");
        bytes[] memory owners = new bytes[](2);
        owners[0] = ownerBytes(alice.addr);
        owners[1] = keyBytes(phone);
        account = factory.createAccount(owners, 0);
        other = factory.createAccount(owners, 1);
    }

    function _domain(SmartAccount of_) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Fabstir SmartAccount"),
                keccak256("1"),
                block.chainid,
                of_
            )
        );
    }

    /// @dev What a wallet signs for a plain message: ERC-7739's PersonalSign.
    function _personal(SmartAccount of_, bytes32 messageHash) private view returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(keccak256("PersonalSign(bytes prefixed)"), messageHash));
        return MessageHashUtils.toTypedDataHash(_domain(of_), structHash);
    }

    /// @dev What a wallet signs for an app's typed data, and what it then hands to the app.
    function _typed(SmartAccount of_, bytes32 contents) private view returns (bytes32 appHash, bytes32 digest) {
        bytes32 typeHash = keccak256(
            bytes(
                string.concat(
                    "TypedDataSign(Mail contents,string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)",
                    CONTENTS_TYPE
                )
            )
        );
        bytes32 structHash = keccak256(
            abi.encode(
                typeHash,
                contents,
                keccak256("Fabstir SmartAccount"),
                keccak256("1"),
                block.chainid,
                address(of_),
                bytes32(0)
            )
        );
        appHash = MessageHashUtils.toTypedDataHash(APP_DOMAIN, contents);
        digest = MessageHashUtils.toTypedDataHash(APP_DOMAIN, structHash);
    }

    function _wrap(bytes memory signature, bytes32 contents) private pure returns (bytes memory) {
        return abi.encodePacked(signature, APP_DOMAIN, contents, CONTENTS_TYPE, uint16(bytes(CONTENTS_TYPE).length));
    }

    function test_message_signed_by_an_address_is_valid() public view {
        bytes32 hash = MessageHashUtils.toEthSignedMessageHash(bytes("hello"));
        assertEq(account.isValidSignature(hash, signBytes(alice, _personal(account, hash))), VALID);
    }

    function test_message_signed_by_a_passkey_is_valid() public view {
        bytes32 hash = MessageHashUtils.toEthSignedMessageHash(bytes("hello"));
        assertEq(account.isValidSignature(hash, signWebAuthn(phone, _personal(account, hash))), VALID);
    }

    function test_typed_data_signed_by_an_address_is_valid() public view {
        bytes32 contents = keccak256("struct hash");
        (bytes32 appHash, bytes32 digest) = _typed(account, contents);
        assertEq(account.isValidSignature(appHash, _wrap(signBytes(alice, digest), contents)), VALID);
    }

    function test_typed_data_signed_by_a_passkey_is_valid() public view {
        bytes32 contents = keccak256("struct hash");
        (bytes32 appHash, bytes32 digest) = _typed(account, contents);
        assertEq(account.isValidSignature(appHash, _wrap(signWebAuthn(phone, digest), contents)), VALID);
    }

    function test_signature_over_the_bare_hash_is_invalid() public view {
        bytes32 hash = keccak256("anything");
        assertEq(account.isValidSignature(hash, signBytes(alice, hash)), INVALID);
    }

    function test_signature_is_not_valid_for_another_account_of_the_same_owner() public view {
        bytes32 hash = keccak256("message");
        bytes memory message = signBytes(alice, _personal(account, hash));
        assertEq(account.isValidSignature(hash, message), VALID);
        assertEq(other.isValidSignature(hash, message), INVALID);
        bytes32 contents = keccak256("struct hash");
        (bytes32 appHash, bytes32 digest) = _typed(account, contents);
        assertEq(other.isValidSignature(appHash, _wrap(signBytes(alice, digest), contents)), INVALID);
    }

    function test_signature_is_not_valid_on_another_chain() public {
        bytes32 hash = keccak256("message");
        bytes memory message = signBytes(alice, _personal(account, hash));
        vm.chainId(424_242);
        assertEq(account.isValidSignature(hash, message), INVALID);
    }

    function test_stranger_and_garbage_are_invalid() public view {
        bytes32 hash = keccak256("message");
        assertEq(account.isValidSignature(hash, signBytes(bob, _personal(account, hash))), INVALID);
        assertEq(account.isValidSignature(hash, ""), INVALID);
        assertEq(account.isValidSignature(hash, new bytes(65)), INVALID);
        assertEq(account.isValidSignature(hash, new bytes(400)), INVALID);
    }

    function test_no_caller_is_trusted_to_bind_the_hash() public {
        bytes32 hash = keccak256("message");
        vm.prank(0x000000000000D9ECebf3C23529de49815Dac1c4c);
        assertEq(account.isValidSignature(hash, signBytes(alice, hash)), INVALID);
    }

    function test_off_chain_callers_get_no_shortcut() public {
        bytes32 hash = keccak256("message");
        vm.txGasPrice(0);
        assertEq(account.isValidSignature(hash, signBytes(alice, hash)), INVALID);
    }

    function test_account_announces_erc7739() public view {
        assertEq(
            account.isValidSignature(bytes32(uint256(type(uint256).max) / 0xffff * 0x7739), ""), bytes4(0x77390001)
        );
    }

    function test_erc6492_wrapper_is_taken_off_and_its_call_is_not_made() public {
        bytes32 hash = keccak256("message");
        bytes memory inner = signBytes(alice, _personal(account, hash));
        bytes memory wrapped = bytes.concat(
            abi.encode(address(target), abi.encodeCall(target.increment, ()), inner),
            bytes32(0x6492649264926492649264926492649264926492649264926492649264926492)
        );
        vm.expectCall(address(target), bytes(""), 0);
        assertEq(account.isValidSignature(hash, wrapped), VALID);
    }

    function test_domain_is_published() public view {
        (, string memory name, string memory version, uint256 chainId, address verifyingContract,,) =
            account.eip712Domain();
        assertEq(name, "Fabstir SmartAccount");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(verifyingContract, address(account));
    }
}
