// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { WebAuthn } from "@openzeppelin/contracts/utils/cryptography/WebAuthn.sol";
import { IAccount } from "account-abstraction-v06/interfaces/IAccount.sol";
import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";

/// @title CoinbaseFormatWallet
/// @notice An account of EntryPoint v0.6 that speaks the formats of Coinbase Smart Wallet: owners by index, operations
/// signed as `abi.encode((ownerIndex, signatureData))`, calls by `execute` and `executeBatch`.
/// @dev It stands in for that wallet, whose bytecode no registry has.
contract CoinbaseFormatWallet is IAccount {
    struct SignatureWrapper {
        uint256 ownerIndex;
        bytes signatureData;
    }

    struct WebAuthnAuth {
        bytes authenticatorData;
        string clientDataJSON;
        uint256 challengeIndex;
        uint256 typeIndex;
        uint256 r;
        uint256 s;
    }

    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    address public immutable ENTRY_POINT;
    bytes[] public owners;

    constructor(address entryPoint, bytes[] memory owners_) {
        ENTRY_POINT = entryPoint;
        owners = owners_;
    }

    receive() external payable { }

    function execute(address target, uint256 value, bytes calldata data) external payable {
        require(msg.sender == ENTRY_POINT, "not the EntryPoint");
        _call(target, value, data);
    }

    function executeBatch(Call[] calldata calls) external payable {
        require(msg.sender == ENTRY_POINT, "not the EntryPoint");
        for (uint256 i; i < calls.length; ++i) {
            _call(calls[i].target, calls[i].value, calls[i].data);
        }
    }

    function validateUserOp(UserOperation calldata userOp, bytes32 userOpHash, uint256 missingAccountFunds)
        external
        returns (uint256)
    {
        require(msg.sender == ENTRY_POINT, "not the EntryPoint");
        (bool sent,) = msg.sender.call{ value: missingAccountFunds }("");
        require(sent, "prefund");
        SignatureWrapper memory wrapper = abi.decode(userOp.signature, (SignatureWrapper));
        return _isValid(owners[wrapper.ownerIndex], userOpHash, wrapper.signatureData) ? 0 : 1;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        SignatureWrapper memory wrapper = abi.decode(signature, (SignatureWrapper));
        return _isValid(owners[wrapper.ownerIndex], hash, wrapper.signatureData) ? bytes4(0x1626ba7e) : bytes4(0);
    }

    function _isValid(bytes memory owner, bytes32 hash, bytes memory signature) private view returns (bool) {
        if (owner.length == 32) {
            (address signer,,) = ECDSA.tryRecover(hash, signature);
            return signer == abi.decode(owner, (address));
        }
        (bytes32 x, bytes32 y) = abi.decode(owner, (bytes32, bytes32));
        WebAuthnAuth memory auth = abi.decode(signature, (WebAuthnAuth));
        return WebAuthn.verify(
            abi.encode(hash),
            WebAuthn.WebAuthnAuth(
                bytes32(auth.r),
                bytes32(auth.s),
                auth.challengeIndex,
                auth.typeIndex,
                auth.authenticatorData,
                auth.clientDataJSON
            ),
            x,
            y,
            false
        );
    }

    function _call(address target, uint256 value, bytes calldata data) private {
        (bool ok, bytes memory result) = target.call{ value: value }(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(result, 0x20), mload(result))
            }
        }
    }
}
