// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";
import { Vm } from "forge-std/Test.sol";

import { SmartAccount } from "../../../src/account/SmartAccount.sol";
import { ISmartAccount } from "../../../src/account/interfaces/ISmartAccount.sol";
import { SessionNonceLib } from "../../../src/account/sessions/SessionNonceLib.sol";
import {
    ArgumentRule,
    CallRule,
    Condition,
    Session,
    SpendLimit,
    VoucherRight
} from "../../../src/account/sessions/SessionTypes.sol";
import { OperationTest } from "./OperationTest.sol";
import { Passkeys } from "./Passkeys.sol";
import { TestToken } from "./TestToken.sol";

/// @title SessionTest
/// @notice Builds sessions and operations signed by their keys.
/// @dev The plain session lets its key transfer a token to one merchant: 100 a day, 250 in all.
abstract contract SessionTest is OperationTest, Passkeys {
    uint48 internal constant START = 1_750_000_000;
    uint48 internal constant DAY = 1 days;
    uint104 internal constant PER_DAY = 100e6;
    uint104 internal constant IN_ALL = 250e6;

    SmartAccount internal account;
    TestToken internal token;
    address internal merchant;
    Vm.Wallet internal sessionKey;

    function setUp() public virtual override {
        super.setUp();
        account = deployAccount(alice);
        token = new TestToken();
        token.mint(address(account), 1_000_000e6);
        merchant = makeAddr("merchant");
        sessionKey = vm.createWallet("session key");
        vm.warp(START + 1 hours);
    }

    // --- sessions ---

    function plainSession() internal view returns (Session memory session) {
        session.key = abi.encode(sessionKey.addr);
        session.validAfter = START;
        session.validUntil = START + 30 * DAY - 1;
        session.period = DAY;
        session.maxUses = type(uint32).max;
        session.gasBudget = 1 ether;
        session.limits = new SpendLimit[](1);
        session.limits[0] = SpendLimit(address(token), PER_DAY, IN_ALL);
        session.calls = new CallRule[](1);
        session.calls[0] = transferRule(merchant);
    }

    function transferRule(address to) internal view returns (CallRule memory rule) {
        rule = CallRule({
            target: address(token),
            selector: token.transfer.selector,
            maxLength: 68,
            valueLimit: 0,
            amountLimit: 1,
            amountWord: 1,
            arguments: new ArgumentRule[](1)
        });
        rule.arguments[0] = equal(0, word(to));
    }

    function callRule(address target_, bytes4 selector, uint32 maxLength) internal pure returns (CallRule memory) {
        return CallRule({
            target: target_,
            selector: selector,
            maxLength: maxLength,
            valueLimit: 0,
            amountLimit: 0,
            amountWord: 0,
            arguments: new ArgumentRule[](0)
        });
    }

    function argument(uint8 index, Condition condition, bytes32 value)
        internal
        pure
        returns (ArgumentRule memory rule)
    {
        rule = ArgumentRule(index, condition, new bytes32[](1));
        rule.values[0] = value;
    }

    function equal(uint8 index, bytes32 value) internal pure returns (ArgumentRule memory) {
        return argument(index, Condition.OneOf, value);
    }

    function word(address value) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(value)));
    }

    function enable(Session memory session) internal returns (bytes32 id) {
        vm.prank(alice.addr);
        account.enableSession(session);
        return account.getSessionId(session);
    }

    function ownerSignature(Session memory session) internal view returns (bytes memory) {
        return signBytes(alice, account.getSessionDigest(session));
    }

    // --- operations ---

    function nonceOf(Session memory session, uint48 period, uint16 lane) internal view returns (uint256) {
        uint192 key = SessionNonceLib.keyOf(account.getSessionId(session), period, lane);
        return entryPoint.getNonce(address(account), key);
    }

    function sessionOp(Session memory session, uint48 period, bytes memory callData)
        internal
        view
        returns (PackedUserOperation memory op)
    {
        op = newOp(address(account), callData);
        op.nonce = nonceOf(session, period, 0);
    }

    function signSession(PackedUserOperation memory op, Session memory session, bytes memory owner, bytes memory key)
        internal
        pure
        returns (PackedUserOperation memory)
    {
        op.signature = bytes.concat(bytes1(0x02), abi.encode(session, owner, key));
        return op;
    }

    /// @dev Signed by the session key, for a session that is enabled.
    function signed(PackedUserOperation memory op, Session memory session)
        internal
        view
        returns (PackedUserOperation memory)
    {
        return signSession(op, session, "", signBytes(sessionKey, digestOf(op)));
    }

    /// @dev Signed by the session key, and carrying an owner's signature of the session.
    function signedAndEnabling(PackedUserOperation memory op, Session memory session)
        internal
        view
        returns (PackedUserOperation memory)
    {
        return signSession(op, session, ownerSignature(session), signBytes(sessionKey, digestOf(op)));
    }

    function transferData(uint256 amount) internal view returns (bytes memory) {
        return executeData(address(token), 0, abi.encodeCall(token.transfer, (merchant, amount)));
    }

    function executeData(address to, uint256 value, bytes memory data) internal view returns (bytes memory) {
        return abi.encodeCall(account.execute, (to, value, data));
    }

    function call(address to, uint256 value, bytes memory data) internal pure returns (ISmartAccount.Call memory) {
        return ISmartAccount.Call(to, value, data);
    }

    /// @dev An operation of the session's first day.
    function op0(Session memory session, bytes memory callData) internal view returns (PackedUserOperation memory) {
        return signed(sessionOp(session, 0, callData), session);
    }

    /// @dev The operation's validation must revert with this error of the account.
    function expectRefusal(bytes memory reason) internal {
        expectFailedOp("AA23 reverted", reason);
    }
}
