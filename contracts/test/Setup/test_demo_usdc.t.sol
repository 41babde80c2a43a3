// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { Test } from "forge-std/Test.sol";

import { DemoUSDC } from "../../src/testing/DemoUSDC.sol";

/// @dev Signs whatever is signed "yes".
contract Yes is IERC1271 {
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return keccak256(signature) == keccak256("yes") ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @notice The token that test networks are deployed with is as USDC is, where account abstraction minds.
contract DemoUSDCTest is Test {
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    DemoUSDC private usdc = new DemoUSDC();
    address private account = address(new Yes());
    address private spender = makeAddr("spender");
    address private payer;
    uint256 private payerKey;

    function setUp() public {
        (payer, payerKey) = makeAddrAndKey("payer");
        usdc.mint(payer, 100);
        usdc.mint(account, 100);
        vm.warp(1_750_000_000);
    }

    function _sign(bytes32 structHash) private view returns (bytes memory) {
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", usdc.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payerKey, digest);
        return abi.encodePacked(r, s, v);
    }

    function _authorization() private view returns (bytes memory) {
        return _sign(
            keccak256(abi.encode(RECEIVE_TYPEHASH, payer, spender, uint256(5), uint256(1), uint256(2e9), bytes32("n")))
        );
    }

    function test_token_says_that_it_has_no_value() public view {
        assertEq(usdc.name(), "Test USDC (no value)");
        assertEq(usdc.symbol(), "tUSDC");
        assertEq(usdc.decimals(), 6);
    }

    /// @dev So that ERC-7562 knows whose an entry is.
    function test_balances_are_a_mapping_by_their_holder() public {
        vm.record();
        usdc.balanceOf(account);
        (bytes32[] memory reads,) = vm.accesses(address(usdc));
        assertEq(reads.length, 1);
        assertEq(reads[0], keccak256(abi.encode(account, 0)));
    }

    function test_contracts_and_keys_permit() public {
        usdc.permit(account, spender, 7, type(uint256).max, "yes");
        assertEq(usdc.allowance(account, spender), 7);
        bytes memory signature =
            _sign(keccak256(abi.encode(PERMIT_TYPEHASH, payer, spender, uint256(8), uint256(0), block.timestamp)));
        usdc.permit(payer, spender, 8, block.timestamp, signature);
        assertEq(usdc.allowance(payer, spender), 8);
        assertEq(usdc.nonces(payer), 1);
    }

    function test_permit_of_another_or_too_late_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, address(0), account));
        usdc.permit(account, spender, 7, type(uint256).max, "no");
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, block.timestamp - 1));
        usdc.permit(account, spender, 7, block.timestamp - 1, "yes");
    }

    function test_authorization_moves_tokens_once() public {
        bytes memory signature = _authorization();
        vm.startPrank(spender);
        usdc.receiveWithAuthorization(payer, spender, 5, 1, 2e9, "n", signature);
        assertEq(usdc.balanceOf(spender), 5);
        vm.expectRevert(abi.encodeWithSelector(DemoUSDC.AuthorizationUsedBefore.selector, payer, bytes32("n")));
        usdc.receiveWithAuthorization(payer, spender, 5, 1, 2e9, "n", signature);
    }

    function test_authorization_of_another_for_another_or_out_of_its_time_is_refused() public {
        bytes memory signature = _authorization();
        vm.expectRevert(abi.encodeWithSelector(DemoUSDC.CallerMustBePayee.selector, address(this), spender));
        usdc.receiveWithAuthorization(payer, spender, 5, 1, 2e9, "n", signature);
        vm.startPrank(spender);
        vm.expectRevert(abi.encodeWithSelector(DemoUSDC.InvalidAuthorization.selector, payer));
        usdc.receiveWithAuthorization(payer, spender, 6, 1, 2e9, "n", signature);
        vm.expectRevert(abi.encodeWithSelector(DemoUSDC.AuthorizationNotValidNow.selector, block.timestamp, 2e9));
        usdc.receiveWithAuthorization(payer, spender, 5, block.timestamp, 2e9, "n", signature);
        vm.expectRevert(abi.encodeWithSelector(DemoUSDC.AuthorizationNotValidNow.selector, 1, block.timestamp));
        usdc.receiveWithAuthorization(payer, spender, 5, 1, block.timestamp, "n", signature);
    }
}
