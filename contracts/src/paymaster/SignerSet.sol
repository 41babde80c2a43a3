// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { ISignerSet } from "./interfaces/ISignerSet.sol";

/// @title SignerSet
/// @notice The keys that may promise a paymaster's money.
abstract contract SignerSet is ISignerSet, Ownable2Step, EIP712 {
    enum Status {
        None,
        Proposed,
        Active
    }

    /// @notice The EIP-712 type a new signer signs to prove its key.
    bytes32 public constant ACCEPT_SIGNER_TYPEHASH = keccak256("AcceptSigner(address signer)");

    /// @dev What each address may do. A validation reads it: storage of the paymaster itself, which ERC-7562
    /// (STO-031) allows to a staked paymaster only.
    mapping(address signer => Status) private _status;

    constructor(address[] memory signers) {
        for (uint256 i; i < signers.length; ++i) {
            _requireNew(signers[i]);
            _activate(signers[i]);
        }
    }

    /// @inheritdoc ISignerSet
    function proposeSigner(address signer) external onlyOwner {
        _requireNew(signer);
        _status[signer] = Status.Proposed;
        emit SignerProposed(signer);
    }

    /// @inheritdoc ISignerSet
    function acceptSigner(address signer, bytes calldata proof) external {
        if (_status[signer] != Status.Proposed) revert UnknownSigner(signer);
        (address recovered,,) = ECDSA.tryRecoverCalldata(getAcceptSignerHash(signer), proof);
        if (recovered != signer) revert InvalidProof(signer);
        _activate(signer);
    }

    /// @inheritdoc ISignerSet
    function removeSigner(address signer) external onlyOwner {
        if (_status[signer] == Status.None) revert UnknownSigner(signer);
        delete _status[signer];
        emit SignerRemoved(signer);
    }

    /// @inheritdoc ISignerSet
    function isSigner(address signer) public view returns (bool) {
        return _status[signer] == Status.Active;
    }

    /// @inheritdoc ISignerSet
    function isProposedSigner(address signer) external view returns (bool) {
        return _status[signer] == Status.Proposed;
    }

    /// @inheritdoc ISignerSet
    function getAcceptSignerHash(address signer) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ACCEPT_SIGNER_TYPEHASH, signer)));
    }

    /// @dev Whether a signer made this signature. A malformed one is no signer's.
    function _isSignedBySigner(bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        return isSigner(recovered);
    }

    function _activate(address signer) private {
        _status[signer] = Status.Active;
        emit SignerAdded(signer);
    }

    function _requireNew(address signer) private view {
        if (signer == address(0)) revert InvalidSigner();
        if (_status[signer] == Status.Active) revert DuplicateSigner(signer);
    }
}
