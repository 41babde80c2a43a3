// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import { ISignatureTransfer } from "../../src/marketplace/interfaces/ITokenSignatures.sol";

/// @notice Signature transfers with Permit2's own typed data; to be put at its address.
contract Permit2 is ISignatureTransfer {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
    bytes32 private constant TOKEN_TYPEHASH = keccak256("TokenPermissions(address token,uint256 amount)");
    bytes32 private constant PERMIT_TYPEHASH = keccak256(
        "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)TokenPermissions(address token,uint256 amount)"
    );

    mapping(address => mapping(uint256 => bool)) public used;

    function digest(PermitTransferFrom memory permit, address spender) public view returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("Permit2"), block.chainid, address(this)));
        bytes32 token = keccak256(abi.encode(TOKEN_TYPEHASH, permit.permitted));
        bytes32 structHash = keccak256(abi.encode(PERMIT_TYPEHASH, token, spender, permit.nonce, permit.deadline));
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }

    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata details,
        address owner,
        bytes calldata signature
    ) external {
        require(block.timestamp <= permit.deadline, "expired");
        require(!used[owner][permit.nonce], "used");
        used[owner][permit.nonce] = true;
        require(details.requestedAmount <= permit.permitted.amount, "amount");
        require(ECDSA.recoverCalldata(digest(permit, msg.sender), signature) == owner, "signature");
        require(IERC20(permit.permitted.token).transferFrom(owner, details.to, details.requestedAmount));
    }
}
