// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";
import { Vm } from "forge-std/Test.sol";

import { SmartAccount } from "../../../src/account/SmartAccount.sol";
import { TokenPaymaster } from "../../../src/paymaster/TokenPaymaster.sol";
import { TokenPaymentLib } from "../../../src/paymaster/TokenPaymentLib.sol";
import { ITokenPaymasterBase } from "../../../src/paymaster/interfaces/ITokenPaymasterBase.sol";
import { OperationTest } from "./OperationTest.sol";
import { Oracle } from "./Oracle.sol";
import { TestToken } from "./TestToken.sol";

/// @title TokenPaymasterTest
/// @notice Adds a funded TokenPaymaster that takes one token, at a signed price or at an oracle's: 3,000 for 1 ETH.
abstract contract TokenPaymasterTest is OperationTest {
    uint128 internal constant PRICE = 3_000e6;
    uint32 internal constant POST_OP_GAS = 60_000;
    uint128 internal constant POST_OP_LIMIT = 80_000;
    uint48 internal constant VALID_UNTIL = 1_750_000_600;

    TokenPaymaster internal paymaster;
    TestToken internal token;
    Oracle internal oracle;
    SmartAccount internal account;
    Vm.Wallet internal signer;

    function setUp() public virtual override {
        super.setUp();
        signer = vm.createWallet("signer");
        address[] memory signers = new address[](1);
        signers[0] = signer.addr;
        paymaster = new TokenPaymaster(address(entryPoint), address(this), signers);
        paymaster.deposit{ value: 10 ether }();
        token = new TestToken();
        oracle = new Oracle();
        oracle.set(3_000e8, block.timestamp);
        paymaster.setToken(address(token), tokenConfig());
        account = deployAccount(alice);
        vm.deal(address(account), 0);
        token.mint(address(account), 1_000e6);
        vm.prank(address(account));
        token.approve(address(paymaster), type(uint256).max);
    }

    function tokenConfig() internal view returns (ITokenPaymasterBase.TokenConfig memory) {
        return ITokenPaymasterBase.TokenConfig({
            oracle: address(oracle),
            maxAge: 1 hours,
            maxDeviationBps: 1_000,
            markupBps: 500,
            postOpGas: POST_OP_GAS,
            referencePrice: PRICE
        });
    }

    function tokenOp() internal view returns (PackedUserOperation memory op) {
        op = newOp(
            address(account),
            abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.increment, ())))
        );
        op.accountGasLimits = packUints(300_000, 100_000);
    }

    function prefix(uint128 postOpLimit) internal view returns (bytes memory) {
        return abi.encodePacked(paymaster, uint128(300_000), postOpLimit);
    }

    /// @dev Pays at a signed price.
    function quote(PackedUserOperation memory op, Vm.Wallet memory by, uint128 price, bytes memory permit)
        internal
        view
        returns (PackedUserOperation memory)
    {
        TokenPaymentLib.Payment memory payment =
            TokenPaymentLib.Payment(true, address(token), type(uint128).max, price, VALID_UNTIL, 0);
        op.paymasterAndData = prefix(POST_OP_LIMIT);
        bytes memory signature = signBytes(by, paymaster.getHash(op, payment));
        op.paymasterAndData = bytes.concat(
            op.paymasterAndData,
            abi.encodePacked(uint8(0), token, type(uint128).max, price, VALID_UNTIL, uint48(0)),
            signature,
            permit
        );
        return op;
    }

    function quoted(PackedUserOperation memory op) internal view returns (PackedUserOperation memory) {
        return sign(quote(op, signer, PRICE, ""), alice);
    }

    /// @dev Pays at the oracle's price.
    function priced(PackedUserOperation memory op, uint128 maxTokens, bytes memory permit)
        internal
        view
        returns (PackedUserOperation memory)
    {
        op.paymasterAndData = bytes.concat(prefix(POST_OP_LIMIT), abi.encodePacked(uint8(1), token, maxTokens), permit);
        return sign(op, alice);
    }

    function priced(PackedUserOperation memory op) internal view returns (PackedUserOperation memory) {
        return priced(op, type(uint128).max, "");
    }

    /// @dev What `amount` wei cost in tokens, rounded up.
    function inTokens(uint256 amount, uint256 price) internal pure returns (uint256) {
        return (amount * price + 1 ether - 1) / 1 ether;
    }
}
