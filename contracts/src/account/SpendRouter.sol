// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IERC20, SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import { ISpendPermissionManager } from "./interfaces/ISpendPermissionManager.sol";

/// @dev The part of the marketplace's escrow that is used.
interface IEscrowDeposits {
    function depositFor(address account, address token, uint256 amount) external payable;
}

/// @title SpendRouter
/// @notice Lets a Spend Permission of a Base Account pay only the marketplace: what it takes becomes the same account's
/// credit in the escrow, in the same call, and can go nowhere else.
/// @dev The account names this contract as spender, and in `extraData` who may ask for it: `abi.encode(executor)`.
/// The router holds nothing between calls and has no owner. Tokens that charge a fee on transfer are refused, because
/// the escrow would get less than was taken.
contract SpendRouter {
    using SafeERC20 for IERC20;

    /// @notice A permission was spent.
    /// @param account Whose it is, and who got the credit.
    /// @param executor Who asked for it.
    /// @param token The token; zero is native currency.
    /// @param amount Base units.
    event Routed(address indexed account, address indexed executor, address indexed token, uint256 amount);

    /// @notice The caller is not the permission's executor.
    /// @param caller Who called.
    error NotExecutor(address caller);

    /// @notice The permission's extra data is not one address.
    error InvalidExtraData();

    /// @notice The permission was not approved.
    error NotApproved();

    /// @notice Another amount arrived than was spent.
    /// @param received What arrived.
    /// @param expected What was spent.
    error WrongAmount(uint256 received, uint256 expected);

    /// @notice Native currency comes only from the permission manager.
    /// @param sender Who sent it.
    error UnexpectedPayment(address sender);

    /// @notice There is no contract at this address.
    /// @param account The address given to the constructor.
    error NotAContract(address account);

    /// @notice How permissions name native currency (ERC-7528). The escrow names it zero.
    address public constant NATIVE = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE;

    /// @notice Where permissions are kept.
    ISpendPermissionManager public immutable PERMISSIONS;

    /// @notice The only place payments go.
    IEscrowDeposits public immutable ESCROW;

    /// @param permissions Coinbase's SpendPermissionManager.
    /// @param escrow The marketplace's PaymentEscrow.
    constructor(address permissions, address escrow) {
        if (permissions.code.length == 0) revert NotAContract(permissions);
        if (escrow.code.length == 0) revert NotAContract(escrow);
        PERMISSIONS = ISpendPermissionManager(permissions);
        ESCROW = IEscrowDeposits(escrow);
    }

    /// @notice Accepts native currency that a permission pays.
    receive() external payable {
        if (msg.sender != address(PERMISSIONS)) revert UnexpectedPayment(msg.sender);
    }

    /// @notice Spends an approved permission into the account's credit.
    /// @param permission The permission; its spender is this contract.
    /// @param amount Base units.
    function spend(ISpendPermissionManager.SpendPermission calldata permission, uint160 amount) public {
        address executor = executorOf(permission);
        if (msg.sender != executor) revert NotExecutor(msg.sender);
        bool native = permission.token == NATIVE;
        address token = native ? address(0) : permission.token;
        uint256 before = _balance(token);
        PERMISSIONS.spend(permission, amount);
        uint256 received = _balance(token) - before;
        if (received != amount) revert WrongAmount(received, amount);
        emit Routed(permission.account, executor, token, amount);
        if (!native) IERC20(token).forceApprove(address(ESCROW), amount);
        ESCROW.depositFor{ value: native ? amount : 0 }(permission.account, token, amount);
    }

    /// @notice Approves a permission by the account's signature and spends it.
    /// @param permission The permission; its spender is this contract.
    /// @param amount Base units.
    /// @param signature The account's signature of the permission.
    function spendWithSignature(
        ISpendPermissionManager.SpendPermission calldata permission,
        uint160 amount,
        bytes calldata signature
    ) external {
        if (!PERMISSIONS.approveWithSignature(permission, signature)) revert NotApproved();
        spend(permission, amount);
    }

    /// @notice Who may spend a permission.
    /// @param permission The permission.
    function executorOf(ISpendPermissionManager.SpendPermission calldata permission) public pure returns (address) {
        if (permission.extraData.length != 32) revert InvalidExtraData();
        return abi.decode(permission.extraData, (address));
    }

    function _balance(address token) private view returns (uint256) {
        return token == address(0) ? address(this).balance : IERC20(token).balanceOf(address(this));
    }
}
