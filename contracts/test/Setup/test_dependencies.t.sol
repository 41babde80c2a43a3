// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { TestUSDC } from "../../src/testing/TestUSDC.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice What the marketplace leans on: the test token behaves like USDC where it matters.
contract DependenciesTest is MarketTest {
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    function authorization() private view returns (bytes memory) {
        bytes32 structHash = keccak256(
            abi.encode(RECEIVE_TYPEHASH, payer, host, uint256(5), uint256(1), type(uint256).max, bytes32("n"))
        );
        return sign(payerKey, keccak256(abi.encodePacked("\x19\x01", usdc.DOMAIN_SEPARATOR(), structHash)));
    }

    function test_token_says_that_it_has_no_value() public view {
        assertEq(usdc.name(), "Test USDC (no value)");
        assertEq(usdc.symbol(), "tUSDC");
        assertEq(usdc.decimals(), 6);
    }

    function test_authorization_moves_tokens_once() public {
        bytes memory signature = authorization();
        uint256 before = usdc.balanceOf(host);
        vm.startPrank(host);
        usdc.receiveWithAuthorization(payer, host, 5, 1, type(uint256).max, "n", signature);
        assertEq(usdc.balanceOf(host), before + 5);
        assertTrue(usdc.authorizationState(payer, "n"));
        vm.expectRevert(abi.encodeWithSelector(TestUSDC.AuthorizationUsedBefore.selector, payer, bytes32("n")));
        usdc.receiveWithAuthorization(payer, host, 5, 1, type(uint256).max, "n", signature);
    }

    function test_authorization_reverts_for_other_caller() public {
        vm.expectRevert(abi.encodeWithSelector(TestUSDC.CallerMustBePayee.selector, address(this), host));
        usdc.receiveWithAuthorization(payer, host, 5, 1, type(uint256).max, "n", "");
    }

    function test_authorization_reverts_out_of_its_time() public {
        vm.startPrank(host);
        vm.expectRevert(abi.encodeWithSelector(TestUSDC.AuthorizationNotValidNow.selector, block.timestamp, 0));
        usdc.receiveWithAuthorization(payer, host, 5, block.timestamp, 0, "n", "");
        vm.expectRevert(abi.encodeWithSelector(TestUSDC.AuthorizationNotValidNow.selector, 0, block.timestamp));
        usdc.receiveWithAuthorization(payer, host, 5, 0, block.timestamp, "n", "");
    }

    function test_authorization_reverts_with_another_signature() public {
        vm.expectRevert(abi.encodeWithSelector(TestUSDC.InvalidAuthorization.selector, payer));
        vm.prank(host);
        usdc.receiveWithAuthorization(payer, host, 6, 1, type(uint256).max, "n", "");
    }

    function test_permit2_has_no_allowance_by_default() public view {
        assertEq(usdc.allowance(payer, PERMIT2), 0);
    }
}
