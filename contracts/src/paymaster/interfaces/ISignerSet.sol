// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

/// @title ISignerSet
/// @notice The keys that may promise a paymaster's money, rotated in two steps: the owner proposes, the new key
/// proves by a signature that it exists, and only then does it count.
interface ISignerSet {
    /// @notice The owner proposed a signer.
    /// @param signer The proposed signer.
    event SignerProposed(address indexed signer);

    /// @notice A signer was added.
    /// @param signer The new signer.
    event SignerAdded(address indexed signer);

    /// @notice A signer, or a proposal, was removed.
    /// @param signer The removed signer.
    event SignerRemoved(address indexed signer);

    /// @notice The zero address cannot sign.
    error InvalidSigner();

    /// @notice This address is a signer already.
    /// @param signer The address given.
    error DuplicateSigner(address signer);

    /// @notice This address is neither a signer nor proposed.
    /// @param signer The address given.
    error UnknownSigner(address signer);

    /// @notice The proof was not made by the proposed signer.
    /// @param signer The proposed signer.
    error InvalidProof(address signer);

    /// @notice Proposes a signer. Owner only.
    /// @param signer The address that will sign.
    function proposeSigner(address signer) external;

    /// @notice Makes a proposed signer count. Anyone may bring the proof.
    /// @param signer The proposed signer.
    /// @param proof The signer's EIP-712 signature over `AcceptSigner(address signer)`, 65 bytes.
    function acceptSigner(address signer, bytes calldata proof) external;

    /// @notice Removes a signer, or takes back a proposal, at once. The last one may go too: that stops sponsoring.
    /// Owner only.
    /// @param signer The signer to remove.
    function removeSigner(address signer) external;

    /// @notice Whether this address may sign.
    /// @param signer The address asked about.
    function isSigner(address signer) external view returns (bool);

    /// @notice Whether this address was proposed and has not yet proved itself.
    /// @param signer The address asked about.
    function isProposedSigner(address signer) external view returns (bool);

    /// @notice What a proposed signer signs to be accepted.
    /// @param signer The proposed signer.
    function getAcceptSignerHash(address signer) external view returns (bytes32);
}
