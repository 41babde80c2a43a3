// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { P256 } from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import { WebAuthn } from "@openzeppelin/contracts/utils/cryptography/WebAuthn.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { PasskeyVerifier } from "../../src/account/PasskeyVerifier.sol";
import { SmartAccount } from "../../src/account/SmartAccount.sol";
import { ISmartAccount } from "../../src/account/interfaces/ISmartAccount.sol";
import { Version } from "../support/account/EntryPoints.sol";
import { OperationTest } from "../support/account/OperationTest.sol";
import { Passkeys } from "../support/account/Passkeys.sol";

/// @notice Accounts owned by passkeys, and by passkeys and addresses together.
abstract contract PasskeyOwners is OperationTest, Passkeys {
    SmartAccount internal account;
    Passkey internal phone;
    Passkey internal laptop;

    function setUp() public override {
        super.setUp();
        phone = newPasskey("phone");
        laptop = newPasskey("laptop");
        bytes[] memory owners = new bytes[](2);
        owners[0] = keyBytes(phone);
        owners[1] = ownerBytes(alice.addr);
        account = factory.createAccount(owners, 0);
        vm.deal(address(account), 10 ether);
    }

    function _op() internal view returns (PackedUserOperation memory op) {
        op = newOp(
            address(account),
            abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.increment, ())))
        );
        // The fallback in Solidity costs more than the precompile.
        op.accountGasLimits = packUints(1_500_000, 200_000);
    }

    function _signedBy(Passkey memory key) internal view returns (PackedUserOperation memory op) {
        op = _op();
        op.signature = signWebAuthn(key, digestOf(op));
    }

    function test_passkey_signs_an_operation() public {
        bundle(_signedBy(phone));
        assertEq(target.counter(), 1);
    }

    function test_first_operation_creates_an_account_of_a_passkey() public {
        bytes[] memory owners = new bytes[](1);
        owners[0] = keyBytes(laptop);
        PackedUserOperation memory op = _op();
        op.sender = factory.getAddress(owners, 0);
        op.initCode = initCodeOf(owners, 0);
        op.signature = signWebAuthn(laptop, digestOf(op));
        vm.deal(op.sender, 1 ether);
        bundle(op);
        assertEq(target.lastCaller(), op.sender);
    }

    function test_address_of_the_same_account_signs_too() public {
        bundle(sign(_op(), alice));
        assertEq(target.counter(), 1);
    }

    function test_unknown_passkey_fails_with_aa24() public {
        PackedUserOperation memory op = _signedBy(laptop);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_passkey_claiming_the_owners_key_fails_with_aa24() public {
        PackedUserOperation memory op = _op();
        op.signature = wrap(phone, assertion(laptop, digestOf(op), FLAGS, "webauthn.get"));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_assertion_without_user_verification_fails_with_aa24() public {
        PackedUserOperation memory op = _op();
        op.signature = wrap(phone, assertion(phone, digestOf(op), 0x01, "webauthn.get"));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_registration_instead_of_assertion_fails_with_aa24() public {
        PackedUserOperation memory op = _op();
        op.signature = wrap(phone, assertion(phone, digestOf(op), FLAGS, "webauthn.create"));
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_challenge_of_another_operation_fails_with_aa24() public {
        PackedUserOperation memory op = _signedBy(phone);
        op.callData = bytes.concat(op.callData, hex"00");
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_high_s_fails_with_aa24() public {
        PackedUserOperation memory op = _op();
        WebAuthn.WebAuthnAuth memory auth = assertion(phone, digestOf(op), FLAGS, "webauthn.get");
        auth.s = bytes32(P256.N - uint256(auth.s));
        op.signature = wrap(phone, auth);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_garbage_after_the_key_fails_with_aa24() public {
        PackedUserOperation memory op = _op();
        op.signature = abi.encodePacked(bytes1(0x01), phone.x, phone.y, new bytes(192));
        expectFailedOp("AA24 signature error");
        bundle(op);
        op.signature = abi.encodePacked(bytes1(0x01), phone.x, phone.y, hex"ff");
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_unknown_signature_type_fails_with_aa24() public {
        PackedUserOperation memory op = _signedBy(phone);
        op.signature[0] = 0x7f;
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_passkey_can_be_added_and_removed() public {
        vm.prank(alice.addr);
        account.addOwner(keyBytes(laptop));
        assertEq(account.ownerCount(), 3);
        bundle(_signedBy(laptop));
        vm.prank(alice.addr);
        account.removeOwner(keyBytes(laptop));
        PackedUserOperation memory op = _signedBy(laptop);
        expectFailedOp("AA24 signature error");
        bundle(op);
    }

    function test_key_that_is_not_on_the_curve_is_refused() public {
        bytes memory bad = abi.encode(phone.x, bytes32(uint256(phone.y) ^ 1));
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.InvalidOwner.selector, bad));
        vm.prank(alice.addr);
        account.addOwner(bad);
    }

    function test_passkey_cannot_be_added_twice() public {
        vm.expectRevert(abi.encodeWithSelector(ISmartAccount.DuplicateOwner.selector, keyBytes(phone)));
        vm.prank(alice.addr);
        account.addOwner(keyBytes(phone));
    }
}

contract PasskeyOwnersV07 is PasskeyOwners {
    function _version() internal pure override returns (Version) {
        return Version.V07;
    }
}

/// @dev Before Osaka there is no precompile: this is the fallback in Solidity.
contract PasskeyOwnersV08 is PasskeyOwners { }

/// forge-config: default.evm_version = "osaka"
contract PasskeyOwnersWithPrecompile is PasskeyOwners {
    function test_precompile_is_used() public {
        vm.expectCall(address(0x100), bytes(""));
        PackedUserOperation memory op = _signedBy(phone);
        op.accountGasLimits = packUints(120_000, 200_000);
        op.signature = signWebAuthn(phone, digestOf(op));
        bundle(op);
        assertEq(target.counter(), 1);
    }
}

contract PasskeyOwnersV09 is PasskeyOwners {
    function _version() internal pure override returns (Version) {
        return Version.V09;
    }
}

contract PasskeyVerification is OperationTest, Passkeys {
    PasskeyVerifier internal verifier = new PasskeyVerifier();

    function testFuzz_web_crypto_signature_is_accepted(uint256 secret, bytes32 message) public view {
        secret = bound(secret, 1, P256.N - 1);
        (uint256 x, uint256 y) = vm.publicKeyP256(secret);
        Passkey memory key = Passkey(secret, bytes32(x), bytes32(y));
        assertTrue(verifier.verifySignature(message, signWebCrypto(key, message), key.x, key.y));
        assertFalse(verifier.verifySignature(~message, signWebCrypto(key, message), key.x, key.y));
    }

    function test_signature_of_wrong_length_is_refused() public view {
        Passkey memory key = newPasskey("key");
        bytes memory signature = bytes.concat(signWebCrypto(key, "message"), hex"00");
        assertFalse(verifier.verifySignature("message", signature, key.x, key.y));
        assertFalse(verifier.verifySignature("message", "", key.x, key.y));
    }
}
