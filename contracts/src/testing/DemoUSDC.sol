// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { SignatureChecker } from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title DemoUSDC
/// @notice A worthless stand-in for USDC that test networks are deployed with: 6 decimals, ERC-2612 and ERC-3009 with
/// signatures of contracts too, and anyone may mint.
/// @dev Its balances and allowances are plain mappings, as USDC's are: only of those does ERC-7562 know whose an entry
/// is, so that gas can be paid in the token. Never list it on a network where money has value.
contract DemoUSDC is ERC20Permit {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

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

    constructor() ERC20("Test USDC (no value)", "tUSDC") ERC20Permit("Test USDC (no value)") { }

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

    /// @notice ERC-2612 with a `bytes` signature, which contract accounts can use too.
    /// @dev Without a deadline the clock is not read: an operation's validation may not (ERC-7562, OP-011).
    /// @param owner Whose tokens; who signed.
    /// @param spender Who may spend them.
    /// @param value Base units (10^-6).
    /// @param deadline Unix seconds, inclusive; the largest value is none.
    /// @param signature By `owner`: 65 bytes ECDSA, or what its ERC-1271 takes.
    function permit(address owner, address spender, uint256 value, uint256 deadline, bytes calldata signature)
        external
    {
        if (deadline != type(uint256).max && block.timestamp > deadline) {
            revert ERC2612ExpiredSignature(deadline);
        }
        bytes32 structHash = keccak256(abi.encode(PERMIT_TYPEHASH, owner, spender, value, _useNonce(owner), deadline));
        if (!SignatureChecker.isValidSignatureNowCalldata(owner, _hashTypedDataV4(structHash), signature)) {
            revert ERC2612InvalidSigner(address(0), owner);
        }
        _approve(owner, spender, value);
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
        if (!SignatureChecker.isValidSignatureNowCalldata(from, _hashTypedDataV4(structHash), signature)) {
            revert InvalidAuthorization(from);
        }
        authorizationState[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
        _transfer(from, to, value);
    }
}
