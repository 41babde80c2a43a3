// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { IPaymaster } from "account-abstraction-v08/interfaces/IPaymaster.sol";
import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { EntryPointLib } from "../account/EntryPointLib.sol";
import { PaymasterBase } from "./PaymasterBase.sol";
import { SignerSet } from "./SignerSet.sol";
import { SponsorshipLib } from "./SponsorshipLib.sol";
import { TokenPaymasterBase } from "./TokenPaymasterBase.sol";
import { TokenPaymentLib } from "./TokenPaymentLib.sol";

/// @title TokenPaymaster
/// @notice Takes a token for gas, on EntryPoint v0.7 and later.
contract TokenPaymaster is IPaymaster, TokenPaymasterBase {
    /// @notice The EIP-712 type a signer signs. The domain is ("Fabstir TokenPaymaster", "1", chain, this contract).
    string public constant TOKEN_PAYMENT_TYPE = SponsorshipLib.TOKEN_TYPE;

    /// @dev From v0.8 on, postOp's own unused gas is charged for only above this.
    uint256 private constant PENALTY_THRESHOLD = 40_000;

    /// @dev The EntryPoint charges a tenth of unused gas.
    uint256 private constant PENALTY_DIVISOR = 10;

    /// @dev v0.7 charges for the unused gas of the call and of postOp together, after postOp. Later versions have
    /// charged for the call before postOp.
    bool private immutable CALL_PENALTY_IS_REPORTED;

    /// @param entryPoint_ EntryPoint v0.7 or later.
    /// @param owner_ Who moves the money, sets tokens and proposes signers.
    /// @param signers The first signers.
    constructor(address entryPoint_, address owner_, address[] memory signers)
        PaymasterBase(entryPoint_, owner_)
        SignerSet(signers)
        EIP712("Fabstir TokenPaymaster", "1")
    {
        CALL_PENALTY_IS_REPORTED = EntryPointLib.isV08OrLater(entryPoint_);
    }

    /// @inheritdoc IPaymaster
    function validatePaymasterUserOp(PackedUserOperation calldata userOp, bytes32, uint256 maxCost)
        external
        onlyEntryPoint
        returns (bytes memory context, uint256 validationData)
    {
        (TokenPaymentLib.Payment memory payment, bytes calldata signature, bytes calldata permit) =
            TokenPaymentLib.read(userOp.paymasterAndData[SponsorshipLib.DATA_OFFSET:]);
        bool failed = payment.signed && !_isSignedBySigner(getHash(userOp, payment), signature);
        context = _take(userOp, payment, permit, maxCost);
        validationData = SponsorshipLib.packValidationData(failed, payment.validUntil, payment.validAfter);
    }

    /// @inheritdoc IPaymaster
    function postOp(PostOpMode, bytes calldata context, uint256 actualGasCost, uint256 feePerGas)
        external
        onlyEntryPoint
    {
        _settle(abi.decode(context, (Charge)), actualGasCost, feePerGas, true);
    }

    /// @notice What a signer signs for this operation at this price. The paymaster's data in it is not read.
    /// @param userOp The operation; its paymaster gas limits are read from `paymasterAndData`.
    /// @param payment The price and its time.
    function getHash(PackedUserOperation calldata userOp, TokenPaymentLib.Payment memory payment)
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
        PackedUserOperation calldata userOp,
        TokenPaymentLib.Payment memory payment,
        bytes calldata permit,
        uint256 maxCost
    ) private returns (bytes memory) {
        uint256 postOpGasLimit = uint128(bytes16(userOp.paymasterAndData[36:SponsorshipLib.DATA_OFFSET]));
        uint256 callGasLimit = uint128(uint256(userOp.accountGasLimits));
        GasTerms memory gas = GasTerms(maxCost, postOpGasLimit, _penaltyGas(callGasLimit, postOpGasLimit));
        return abi.encode(_hold(payment, permit, userOp.sender, gas));
    }

    /// @dev At most this is charged for unused gas and not reported to postOp, as if none had been used.
    function _penaltyGas(uint256 callGasLimit, uint256 postOpGasLimit) private view returns (uint256) {
        if (!CALL_PENALTY_IS_REPORTED) return (callGasLimit + postOpGasLimit) / PENALTY_DIVISOR;
        return postOpGasLimit > PENALTY_THRESHOLD ? postOpGasLimit / PENALTY_DIVISOR : 0;
    }
}
