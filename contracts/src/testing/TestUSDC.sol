// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ERC20 } from "solady/tokens/ERC20.sol";
import { SignatureCheckerLib } from "solady/utils/SignatureCheckerLib.sol";

/// @title TestUSDC
/// @notice A worthless stand-in for USDC on test networks only: 6 decimals, ERC-2612, ERC-3009, and anyone may mint.
/// @dev Never list it on a network where money has value.
contract TestUSDC is ERC20 {
    /// @dev `keccak256` of the ERC-3009 struct type.
    bytes32 private constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );

    /// @notice Whether an ERC-3009 nonce of an account has been used.
    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;

    /// @notice An ERC-3009 nonce was used.
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    /// @notice Only the payee may submit the authorization.
    error CallerMustBePayee(address caller, address payee);
    /// @notice The time is outside of `validAfter < now < validBefore`.
    error AuthorizationNotValidNow(uint256 validAfter, uint256 validBefore);
    /// @notice The nonce was used before.
    error AuthorizationUsedBefore(address authorizer, bytes32 nonce);
    /// @notice The signature is not the authorizer's.
    error InvalidAuthorization(address authorizer);

    /// @inheritdoc ERC20
    function name() public pure override returns (string memory) {
        return "Test USDC (no value)";
    }

    /// @inheritdoc ERC20
    function symbol() public pure override returns (string memory) {
        return "tUSDC";
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Mints to anyone, for anyone: this token is for test networks.
    /// @param to Who receives.
    /// @param amount Base units (10^-6).
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice ERC-3009 in USDC's variant with a `bytes` signature, which contract accounts can use too.
    /// @param from Who pays, and signed.
    /// @param to Who is paid; must be the caller.
    /// @param value Base units (10^-6).
    /// @param validAfter Unix seconds, exclusive.
    /// @param validBefore Unix seconds, exclusive.
    /// @param nonce Any unused value.
    /// @param signature By `from`: 65 bytes ECDSA, or what its ERC-1271 takes.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        if (msg.sender != to) revert CallerMustBePayee(msg.sender, to);
        if (block.timestamp <= validAfter || block.timestamp >= validBefore) {
            revert AuthorizationNotValidNow(validAfter, validBefore);
        }
        if (authorizationState[from][nonce]) revert AuthorizationUsedBefore(from, nonce);
        bytes32 structHash = keccak256(
            abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), structHash));
        if (!SignatureCheckerLib.isValidSignatureNowCalldata(from, digest, signature)) {
            revert InvalidAuthorization(from);
        }
        authorizationState[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
        _transfer(from, to, value);
    }

    /// @dev USDC gives nobody an allowance that its holder did not set.
    function _givePermit2InfiniteAllowance() internal pure override returns (bool) {
        return false;
    }
}
