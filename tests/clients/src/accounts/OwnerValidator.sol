// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

struct PackedUserOperation {
    address sender;
    uint256 nonce;
    bytes initCode;
    bytes callData;
    bytes32 accountGasLimits;
    uint256 preVerificationGas;
    bytes32 gasFees;
    bytes paymasterAndData;
    bytes signature;
}

/// @notice The ERC-7579 validator of one owner's key, in the format that Kernel's and Nexus' own ECDSA validators read:
/// no registry has those compiled. Its storage is associated with the account (STO-021).
contract OwnerValidator {
    mapping(address account => address) public ownerOf;

    function onInstall(bytes calldata data) external payable {
        ownerOf[msg.sender] = address(bytes20(data[:20]));
    }

    function onUninstall(bytes calldata) external payable {
        delete ownerOf[msg.sender];
    }

    function isModuleType(uint256 kind) external pure returns (bool) {
        return kind == 1;
    }

    function isInitialized(address account) external view returns (bool) {
        return ownerOf[account] != address(0);
    }

    function validateUserOp(PackedUserOperation calldata op, bytes32 opHash) external payable returns (uint256) {
        bytes32 digest = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", opHash));
        bytes calldata signature = op.signature;
        if (signature.length != 65) return 1;
        address by = ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
        return by != address(0) && by == ownerOf[msg.sender] ? 0 : 1;
    }

    function isValidSignatureWithSender(address, bytes32, bytes calldata) external pure returns (bytes4) {
        return 0xffffffff;
    }
}

/// @notice Creates proxies of the ERC-7579 reference account, whose package has no factory compiled.
contract ReferenceFactory {
    bytes private proxy;

    constructor(bytes memory proxyCode) {
        proxy = proxyCode;
    }

    /// @param arguments The proxy's constructor's: an implementation and what it is initialised with.
    function createAccount(bytes32 salt, bytes calldata arguments) external payable returns (address account) {
        account = getAddress(salt, arguments);
        if (account.code.length != 0) return account;
        bytes memory code = bytes.concat(proxy, arguments);
        assembly ("memory-safe") {
            account := create2(0, add(code, 0x20), mload(code), salt)
        }
    }

    function getAddress(bytes32 salt, bytes calldata arguments) public view returns (address) {
        bytes32 hash = keccak256(bytes.concat(proxy, arguments));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, hash)))));
    }
}
