// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A contract account with one key, that may stop standing behind its signatures.
contract Wallet {
    address public immutable KEY;
    bool public refusing;

    constructor(address key) {
        KEY = key;
    }

    receive() external payable { }

    function setRefusing(bool on) external {
        refusing = on;
    }

    function execute(address target, uint256 value, bytes calldata data) external returns (bytes memory) {
        (bool success, bytes memory result) = target.call{ value: value }(data);
        if (!success) {
            assembly {
                revert(add(result, 0x20), mload(result))
            }
        }
        return result;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address recovered,,) = ECDSA.tryRecoverCalldata(hash, signature);
        return !refusing && recovered == KEY ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// @notice Deploys wallets to addresses known beforehand.
contract WalletFactory {
    function create(address key) external returns (address) {
        return address(new Wallet{ salt: 0 }(key));
    }

    function addressOf(address key) external view returns (address) {
        bytes32 initHash = keccak256(abi.encodePacked(type(Wallet).creationCode, abi.encode(key)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), bytes32(0), initHash)))));
    }

    /// @notice Wraps a signature for a wallet that is not deployed (ERC-6492).
    function wrap(address key, bytes memory signature) external view returns (bytes memory) {
        return abi.encodePacked(
            abi.encode(address(this), abi.encodeCall(this.create, (key)), signature),
            bytes32(0x6492649264926492649264926492649264926492649264926492649264926492)
        );
    }
}
