// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title TestToken
/// @notice A token with 6 decimals, and the permit of USDC: it takes the signatures of contracts, and does not look
/// at the clock when there is no deadline.
contract TestToken is ERC20Permit {
    error Expired();
    error WrongSignature();

    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    constructor() ERC20("Test Token", "TEST") ERC20Permit("Test Token") { }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function permit(address owner, address spender, uint256 value, uint256 deadline, bytes calldata signature)
        external
    {
        if (deadline != type(uint256).max && deadline < block.timestamp) revert Expired();
        bytes32 structHash = keccak256(abi.encode(PERMIT_TYPEHASH, owner, spender, value, _useNonce(owner), deadline));
        bytes32 digest = _hashTypedDataV4(structHash);
        if (IERC1271(owner).isValidSignature(digest, signature) != IERC1271.isValidSignature.selector) {
            revert WrongSignature();
        }
        _approve(owner, spender, value);
    }
}
