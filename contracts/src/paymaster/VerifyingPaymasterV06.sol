// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IPaymaster } from "account-abstraction-v06/interfaces/IPaymaster.sol";
import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";

import { PaymasterBase } from "./PaymasterBase.sol";
import { SignerSet } from "./SignerSet.sol";
import { SponsorDataLib } from "./SponsorDataLib.sol";
import { SponsorshipLib } from "./SponsorshipLib.sol";
import { IVerifyingPaymasterV06 } from "./interfaces/IVerifyingPaymasterV06.sol";

/// @title VerifyingPaymasterV06
/// @notice Sponsors operations that one of its signers approved, on EntryPoint v0.6.
/// @dev Anyone's bundler may carry them: a Base Account's operations go through Coinbase's own. ERC-7562 asks for a
/// stake, as for VerifyingPaymaster.
contract VerifyingPaymasterV06 is IVerifyingPaymasterV06, PaymasterBase, SignerSet {
    /// @notice The EIP-712 type a signer signs. The domain is ("Fabstir VerifyingPaymaster", "1", chain, this contract).
    string public constant SPONSORSHIP_TYPE = SponsorshipLib.TYPE_V06;

    /// @param entryPoint_ EntryPoint v0.6.
    /// @param owner_ Who moves the money and proposes signers.
    /// @param signers The first signers.
    constructor(address entryPoint_, address owner_, address[] memory signers)
        PaymasterBase(entryPoint_, owner_)
        SignerSet(signers)
        EIP712("Fabstir VerifyingPaymaster", "1")
    { }

    /// @inheritdoc IPaymaster
    function validatePaymasterUserOp(UserOperation calldata userOp, bytes32, uint256)
        external
        view
        onlyEntryPoint
        returns (bytes memory context, uint256 validationData)
    {
        bytes calldata data = userOp.paymasterAndData[SponsorshipLib.DATA_OFFSET_V06:];
        if (data.length != SponsorDataLib.LENGTH) revert InvalidPaymasterDataLength(userOp.paymasterAndData.length);
        (uint48 validUntil, uint48 validAfter, bytes calldata signature) = SponsorDataLib.read(data);
        bool signed = _isSignedBySigner(getHash(userOp, validUntil, validAfter), signature);
        // An empty context: there is nothing to settle, and the EntryPoint skips postOp.
        return ("", SponsorshipLib.packValidationData(!signed, validUntil, validAfter));
    }

    /// @inheritdoc IPaymaster
    function postOp(PostOpMode, bytes calldata, uint256) external view onlyEntryPoint {
        revert UnexpectedPostOp();
    }

    /// @inheritdoc IVerifyingPaymasterV06
    function getHash(UserOperation calldata userOp, uint48 validUntil, uint48 validAfter)
        public
        view
        returns (bytes32)
    {
        SponsorshipLib.Terms memory terms =
            SponsorshipLib.Terms(validUntil, validAfter, address(ENTRY_POINT), address(0), 0);
        return _hashTypedDataV4(SponsorshipLib.hash(userOp, terms));
    }
}
