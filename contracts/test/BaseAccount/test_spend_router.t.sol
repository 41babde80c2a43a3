// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Test } from "forge-std/Test.sol";

import { SpendRouter } from "../../src/account/SpendRouter.sol";
import { ISpendPermissionManager } from "../../src/account/interfaces/ISpendPermissionManager.sol";
import { Shop } from "../support/account/Shop.sol";
import { TestToken } from "../support/account/TestToken.sol";

/// @dev Stands in for Coinbase's SpendPermissionManager, whose bytecode no registry has: the same calls, without its
/// accounting.
contract PermissionManager is ISpendPermissionManager {
    mapping(bytes32 => bool) public approved;
    uint256 public fee;

    function setFee(uint256 fee_) external {
        fee = fee_;
    }

    function approveWithSignature(SpendPermission calldata permission, bytes calldata signature)
        external
        returns (bool)
    {
        if (keccak256(signature) != keccak256("signature")) return false;
        return approved[keccak256(abi.encode(permission))] = true;
    }

    function spend(SpendPermission calldata permission, uint160 value) external {
        require(msg.sender == permission.spender, "not the spender");
        require(approved[keccak256(abi.encode(permission))], "not approved");
        require(value <= permission.allowance, "too much");
        if (permission.token == 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE) {
            (bool ok,) = msg.sender.call{ value: value - fee }("");
            require(ok, "not paid");
        } else {
            require(IERC20(permission.token).transferFrom(permission.account, msg.sender, value - fee), "not paid");
        }
    }

    receive() external payable { }
}

contract SpendRouterTest is Test {
    PermissionManager internal permissions;
    Shop internal escrow;
    SpendRouter internal router;
    TestToken internal token;
    address internal account;
    address internal app;

    function setUp() public {
        permissions = new PermissionManager();
        escrow = new Shop();
        router = new SpendRouter(address(permissions), address(escrow));
        token = new TestToken();
        account = makeAddr("base account");
        app = makeAddr("app");
        token.mint(account, 100e6);
        vm.prank(account);
        token.approve(address(permissions), type(uint256).max);
        vm.deal(address(permissions), 10 ether);
    }

    function _permission() private view returns (ISpendPermissionManager.SpendPermission memory permission) {
        permission.account = account;
        permission.spender = address(router);
        permission.token = address(token);
        permission.allowance = 50e6;
        permission.period = 1 days;
        permission.end = type(uint48).max;
        permission.extraData = abi.encode(app);
    }

    function test_permission_pays_into_the_accounts_credit() public {
        vm.startPrank(app);
        vm.expectEmit(address(router));
        emit SpendRouter.Routed(account, app, address(token), 30e6);
        router.spendWithSignature(_permission(), 30e6, "signature");
        router.spend(_permission(), 20e6);
        vm.stopPrank();
        assertEq(escrow.creditOf(account, address(token)), 50e6);
        assertEq(token.balanceOf(address(router)), 0);
        assertEq(token.allowance(address(router), address(escrow)), 0);
    }

    function test_native_permission_pays_into_the_accounts_credit() public {
        ISpendPermissionManager.SpendPermission memory permission = _permission();
        permission.token = router.NATIVE();
        permission.allowance = 1 ether;
        vm.prank(app);
        router.spendWithSignature(permission, 1 ether, "signature");
        assertEq(escrow.creditOf(account, address(0)), 1 ether);
        assertEq(address(escrow).balance, 1 ether);
        assertEq(address(router).balance, 0);
    }

    function test_only_the_named_executor_may_spend() public {
        vm.expectRevert(abi.encodeWithSelector(SpendRouter.NotExecutor.selector, address(this)));
        router.spend(_permission(), 1);
        vm.expectRevert(abi.encodeWithSelector(SpendRouter.NotExecutor.selector, address(this)));
        router.spendWithSignature(_permission(), 1, "signature");
    }

    function test_permission_without_an_executor_is_refused() public {
        ISpendPermissionManager.SpendPermission memory permission = _permission();
        permission.extraData = "";
        vm.expectRevert(SpendRouter.InvalidExtraData.selector);
        router.spend(permission, 1);
    }

    function test_permission_that_is_not_approved_is_refused() public {
        vm.startPrank(app);
        vm.expectRevert(SpendRouter.NotApproved.selector);
        router.spendWithSignature(_permission(), 1, "wrong");
        vm.expectRevert("not approved");
        router.spend(_permission(), 1);
        vm.stopPrank();
    }

    function test_token_that_charges_a_fee_is_refused() public {
        permissions.setFee(1);
        vm.expectRevert(abi.encodeWithSelector(SpendRouter.WrongAmount.selector, 30e6 - 1, 30e6));
        vm.prank(app);
        router.spendWithSignature(_permission(), 30e6, "signature");
    }

    function test_payments_from_elsewhere_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(SpendRouter.UnexpectedPayment.selector, address(this)));
        (bool ok,) = address(router).call{ value: 1 }("");
        ok;
    }

    function test_router_needs_its_contracts() public {
        vm.expectRevert(abi.encodeWithSelector(SpendRouter.NotAContract.selector, account));
        new SpendRouter(account, address(escrow));
        vm.expectRevert(abi.encodeWithSelector(SpendRouter.NotAContract.selector, account));
        new SpendRouter(address(permissions), account);
    }
}
