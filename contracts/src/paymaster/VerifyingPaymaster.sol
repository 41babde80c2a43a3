// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IPaymaster } from "account-abstraction-v08/interfaces/IPaymaster.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { PaymasterBase } from "./PaymasterBase.sol";
import { SignerSet } from "./SignerSet.sol";
import { SponsorDataLib } from "./SponsorDataLib.sol";
import { SponsorshipLib } from "./SponsorshipLib.sol";
import { IVerifyingPaymaster } from "./interfaces/IVerifyingPaymaster.sol";

/// @title VerifyingPaymaster
/// @notice Sponsors operations that one of its signers approved, on EntryPoint v0.7 and later.
/// @dev ERC-7562: validation reads one slot of this contract (the signer's status) and uses no forbidden opcode, so
/// the paymaster must be staked and nothing else. Time is checked by the EntryPoint, from the validity returned.
contract VerifyingPaymaster is IVerifyingPaymaster, PaymasterBase, SignerSet {
    /// @notice The EIP-712 type a signer signs. The domain is ("Fabstir VerifyingPaymaster", "1", chain, this contract).
    string public constant SPONSORSHIP_TYPE = SponsorshipLib.TYPE;

    /// @param entryPoint_ EntryPoint v0.7 or later.
    /// @param owner_ Who moves the money and proposes signers.
    /// @param signers The first signers.
    constructor(address entryPoint_, address owner_, address[] memory signers)
        PaymasterBase(entryPoint_, owner_)
        SignerSet(signers)
        EIP712("Fabstir VerifyingPaymaster", "1")
    { }

    /// @inheritdoc IPaymaster
    function validatePaymasterUserOp(PackedUserOperation calldata userOp, bytes32, uint256)
        external
        view
        onlyEntryPoint
        returns (bytes memory context, uint256 validationData)
    {
        bytes calldata data = userOp.paymasterAndData[SponsorshipLib.DATA_OFFSET:];
        if (!SponsorDataLib.isWellFormed(data)) revert InvalidPaymasterDataLength(userOp.paymasterAndData.length);
        (uint48 validUntil, uint48 validAfter, bytes calldata signature) = SponsorDataLib.read(data);
        bool signed = _isSignedBySigner(getHash(userOp, validUntil, validAfter), signature);
        // An empty context: there is nothing to settle, and the EntryPoint skips postOp.
        return ("", SponsorshipLib.packValidationData(!signed, validUntil, validAfter));
    }

    /// @inheritdoc IPaymaster
    function postOp(PostOpMode, bytes calldata, uint256, uint256) external view onlyEntryPoint {
        revert UnexpectedPostOp();
    }

    /// @inheritdoc IVerifyingPaymaster
    function getHash(PackedUserOperation calldata userOp, uint48 validUntil, uint48 validAfter)
        public
        view
        returns (bytes32)
    {
        SponsorshipLib.Terms memory terms =
            SponsorshipLib.Terms(validUntil, validAfter, address(ENTRY_POINT), address(0), 0);
        return _hashTypedDataV4(SponsorshipLib.hash(userOp, terms));
    }
}
