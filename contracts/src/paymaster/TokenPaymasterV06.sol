// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IPaymaster } from "account-abstraction-v06/interfaces/IPaymaster.sol";
import { UserOperation } from "account-abstraction-v06/interfaces/UserOperation.sol";

import { PaymasterBase } from "./PaymasterBase.sol";
import { SignerSet } from "./SignerSet.sol";
import { SponsorshipLib } from "./SponsorshipLib.sol";
import { TokenPaymasterBase } from "./TokenPaymasterBase.sol";
import { TokenPaymentLib } from "./TokenPaymentLib.sol";

/// @title TokenPaymasterV06
/// @notice Takes a token for gas, on EntryPoint v0.6.
/// @dev A postOp that reverts is called again there, and if it reverts with little data the whole bundle does. So it
/// never reverts for the token's sake, and must have gas enough: the operation's verification gas limit.
contract TokenPaymasterV06 is IPaymaster, TokenPaymasterBase {
    /// @notice The EIP-712 type a signer signs. The domain is ("Fabstir TokenPaymaster", "1", chain, this contract).
    string public constant TOKEN_PAYMENT_TYPE = SponsorshipLib.TOKEN_TYPE_V06;

    /// @param entryPoint_ EntryPoint v0.6.
    /// @param owner_ Who moves the money, sets tokens and proposes signers.
    /// @param signers The first signers.
    constructor(address entryPoint_, address owner_, address[] memory signers)
        PaymasterBase(entryPoint_, owner_)
        SignerSet(signers)
        EIP712("Fabstir TokenPaymaster", "1")
    { }

    /// @inheritdoc IPaymaster
    function validatePaymasterUserOp(UserOperation calldata userOp, bytes32, uint256 maxCost)
        external
        onlyEntryPoint
        returns (bytes memory context, uint256 validationData)
    {
        (TokenPaymentLib.Payment memory payment, bytes calldata signature, bytes calldata permit) =
            TokenPaymentLib.read(userOp.paymasterAndData[SponsorshipLib.DATA_OFFSET_V06:]);
        bool failed = payment.signed && !_isSignedBySigner(getHash(userOp, payment), signature);
        context = _take(userOp, payment, permit, maxCost);
        validationData = SponsorshipLib.packValidationData(failed, payment.validUntil, payment.validAfter);
    }

    /// @inheritdoc IPaymaster
    function postOp(PostOpMode mode, bytes calldata context, uint256 actualGasCost) external onlyEntryPoint {
        (Charge memory charge, uint256 maxFee, uint256 maxPriorityFee) = abi.decode(context, (Charge, uint256, uint256));
        // As this EntryPoint computes it, which does not pass it on. Reading the base fee is for postOp only.
        uint256 feePerGas = maxFee == maxPriorityFee ? maxFee : _min(maxFee, maxPriorityFee + block.basefee);
        // The second call is the last chance before the bundle reverts: nothing of others is called in it.
        _settle(charge, actualGasCost, feePerGas, mode != PostOpMode.postOpReverted);
    }

    /// @notice What a signer signs for this operation at this price. The paymaster's data in it is not read.
    /// @param userOp The operation.
    /// @param payment The price and its time.
    function getHash(UserOperation calldata userOp, TokenPaymentLib.Payment memory payment)
        public
        view
        returns (bytes32)
    {
        SponsorshipLib.Terms memory terms = SponsorshipLib.Terms(
            payment.validUntil, payment.validAfter, address(ENTRY_POINT), payment.token, payment.tokensPerEth
        );
        return _hashTypedDataV4(SponsorshipLib.hash(userOp, terms));
    }

    function _take(
        UserOperation calldata userOp,
        TokenPaymentLib.Payment memory payment,
        bytes calldata permit,
        uint256 maxCost
    ) private returns (bytes memory) {
        // This version charges nothing for unused gas.
        GasTerms memory gas = GasTerms(maxCost, userOp.verificationGasLimit, 0);
        Charge memory charge = _hold(payment, permit, userOp.sender, gas);
        return abi.encode(charge, userOp.maxFeePerGas, userOp.maxPriorityFeePerGas);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
