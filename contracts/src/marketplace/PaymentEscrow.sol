// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { EIP712 } from "solady/utils/EIP712.sol";
import { SafeCastLib } from "solady/utils/SafeCastLib.sol";
import { SafeTransferLib } from "solady/utils/SafeTransferLib.sol";

import { IPaymentEscrow } from "./interfaces/IPaymentEscrow.sol";
import { IReceiveWithAuthorization, ISignatureTransfer } from "./interfaces/ITokenSignatures.sol";
import { Signed } from "./libraries/Signed.sol";

/// @title PaymentEscrow
/// @notice Sole holder of the marketplace's money. Immutable: no proxy, no owner, no pause.
/// @dev The controllers are UUPS proxies deployed before the escrow and fixed here for good. What they can do is
/// bounded by this code: take no more than a lock holds, charge no more than 10 %, never move a credit.
contract PaymentEscrow is IPaymentEscrow, ReentrancyGuardTransient, EIP712 {
    /// @dev ETH is addressed like a token.
    address private constant ETH = address(0);

    /// @notice The highest fee, in 1/10,000 of an earned amount, inclusive.
    uint256 public constant MAX_FEE_BPS = 1_000;

    bytes32 private constant WITHDRAWAL_TYPEHASH = keccak256(
        "Withdrawal(address account,address token,address to,uint256 amount,uint256 nonce,uint256 validUntil)"
    );

    /// @dev What a token's address leads to; one slot.
    struct TokenInfo {
        /// @dev Index in `_tokenSlots`.
        uint8 index;
        /// @dev Whether it was ever opened, so that `index` means something.
        bool known;
        /// @dev Whether deposits and locks are taken.
        bool open;
        /// @dev Credits + locks + fees, in base units.
        uint128 liabilities;
    }

    /// @dev What a token's index leads to; one slot, so that taking a fee costs no slot of its own.
    struct TokenSlot {
        /// @dev The token; zero for ETH.
        address token;
        /// @dev Fees taken and not yet collected, in base units.
        uint96 fees;
    }

    /// @inheritdoc IPaymentEscrow
    address public immutable permit2;

    /// @inheritdoc IPaymentEscrow
    address public immutable signatureVerifier;

    /// @dev What a payee has earned in a batch and is not credited yet.
    struct Tally {
        /// @dev Whose credit will grow.
        address payee;
        /// @dev Index of the token.
        uint256 tokenIndex;
        /// @dev Base units earned, fee included.
        uint256 amount;
        /// @dev Base units for the fees.
        uint256 fee;
    }

    /// @dev The controllers; zero where there are fewer. Immutables, so that knowing them costs no storage read.
    address private immutable CONTROLLER_0;
    address private immutable CONTROLLER_1;
    address private immutable CONTROLLER_2;
    address private immutable CONTROLLER_3;

    /// @dev By token.
    mapping(address token => TokenInfo) private _tokenInfo;
    /// @dev By token index.
    mapping(uint256 index => TokenSlot) private _tokenSlots;
    /// @dev Tokens ever opened; only ever grows.
    uint256 private _tokenCount;
    /// @dev What each account may withdraw, in base units.
    mapping(address account => mapping(address token => uint256)) private _credits;
    /// @dev By controller and the id that it chose.
    mapping(address controller => mapping(bytes32 id => Lock)) private _locks;
    /// @dev Of signed withdrawals.
    mapping(address account => uint256) private _nonces;

    /// @param controllers The policy contracts, one to four, none of them zero.
    /// @param permit2_ Uniswap's Permit2 on this chain; zero if there is none.
    /// @param signatureVerifier_ Checks signatures of accounts that may not be deployed yet.
    constructor(address[] memory controllers, address permit2_, address signatureVerifier_) {
        if (signatureVerifier_ == address(0)) revert ZeroAddress();
        (permit2, signatureVerifier) = (permit2_, signatureVerifier_);
        uint256 count = controllers.length;
        if (count > 4) revert TooManyControllers(count);
        for (uint256 i; i < count; ++i) {
            if (controllers[i] == address(0)) revert ZeroAddress();
        }
        CONTROLLER_0 = count > 0 ? controllers[0] : address(0);
        CONTROLLER_1 = count > 1 ? controllers[1] : address(0);
        CONTROLLER_2 = count > 2 ? controllers[2] : address(0);
        CONTROLLER_3 = count > 3 ? controllers[3] : address(0);

        _tokenCount = 1;
        _tokenInfo[ETH] = TokenInfo({ index: 0, known: true, open: true, liabilities: 0 });
        emit TokenOpened(ETH, 0);
    }

    modifier onlyController() {
        if (!isController(msg.sender)) revert NotController(msg.sender);
        _;
    }

    // ------------------------------------------------------------------------------------------------ accounts

    /// @inheritdoc IPaymentEscrow
    function deposit(address token, uint256 amount) external payable nonReentrant {
        _deposit(msg.sender, token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function depositFor(address account, address token, uint256 amount) external payable nonReentrant {
        if (account == address(0)) revert ZeroAddress();
        _deposit(account, token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        // Whoever saw the permit may have used it; then the allowance is there.
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) { } catch { }
        _deposit(msg.sender, token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function depositWithAuthorization(
        address token,
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external nonReentrant {
        TokenInfo storage info = _checkDeposit(token, amount);
        uint256 expected = SafeTransferLib.balanceOf(token, address(this)) + amount;
        IReceiveWithAuthorization(token)
            .receiveWithAuthorization(from, address(this), amount, validAfter, validBefore, nonce, signature);
        _checkReceived(token, expected);
        _credit(info, from, token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function depositWithPermit2(
        address token,
        address from,
        uint256 amount,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        if (permit2 == address(0)) revert NoPermit2();
        TokenInfo storage info = _checkDeposit(token, amount);
        uint256 expected = SafeTransferLib.balanceOf(token, address(this)) + amount;
        ISignatureTransfer(permit2)
            .permitTransferFrom(
                ISignatureTransfer.PermitTransferFrom({
                permitted: ISignatureTransfer.TokenPermissions({ token: token, amount: amount }),
                nonce: nonce,
                deadline: deadline
            }),
                ISignatureTransfer.SignatureTransferDetails({ to: address(this), requestedAmount: amount }),
                from,
                signature
            );
        _checkReceived(token, expected);
        _credit(info, from, token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function withdrawBySignature(Withdrawal calldata withdrawal, bytes calldata signature) external nonReentrant {
        if (block.timestamp > withdrawal.validUntil) revert TooLate(withdrawal.validUntil);
        address account = withdrawal.account;
        uint256 nonce = _nonces[account]++;
        if (withdrawal.nonce != nonce) revert BadNonce(nonce, withdrawal.nonce);
        bytes32 digest = withdrawalDigest(withdrawal);
        if (!Signed.byKey(account, digest, signature) && !Signed.byCode(signatureVerifier, account, digest, signature)) revert BadSignature(account);
        _withdraw(account, withdrawal.token, withdrawal.to, withdrawal.amount);
    }

    /// @inheritdoc IPaymentEscrow
    function skim(address token) external nonReentrant returns (uint256 amount) {
        TokenInfo storage info = _tokenInfo[token];
        if (!info.known) revert TokenNotOpen(token);
        uint256 balance = token == ETH ? address(this).balance : SafeTransferLib.balanceOf(token, address(this));
        uint256 liabilities = info.liabilities;
        if (balance <= liabilities) return 0;
        amount = balance - liabilities;
        info.liabilities = SafeCastLib.toUint128(balance);
        TokenSlot storage slot = _tokenSlots[info.index];
        slot.fees = SafeCastLib.toUint96(slot.fees + amount);
        emit Skimmed(token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        _withdraw(msg.sender, token, to, amount);
    }

    // --------------------------------------------------------------------------------------------- controllers

    /// @inheritdoc IPaymentEscrow
    function openToken(address token) external onlyController {
        TokenInfo storage info = _tokenInfo[token];
        if (info.open) return;
        if (!info.known) {
            if (token.code.length == 0) revert NotAToken(token);
            uint256 index = _tokenCount++;
            if (index > type(uint8).max) revert TooManyTokens();
            info.index = SafeCastLib.toUint8(index);
            info.known = true;
            _tokenSlots[index].token = token;
        }
        info.open = true;
        emit TokenOpened(token, info.index);
    }

    /// @inheritdoc IPaymentEscrow
    function closeToken(address token) external onlyController {
        _openInfo(token).open = false;
        emit TokenClosed(token);
    }

    /// @inheritdoc IPaymentEscrow
    function lock(bytes32 id, address payer, address token, uint256 amount)
        external
        payable
        onlyController
        nonReentrant
    {
        if (payer == address(0)) revert ZeroAddress();
        if (amount > type(uint88).max) revert AmountTooLarge(amount);
        TokenInfo storage info = _openInfo(token);
        Lock storage held = _locks[msg.sender][id];
        if (held.payer != address(0)) revert LockExists(msg.sender, id);

        (held.payer, held.amount, held.tokenIndex) = (payer, SafeCastLib.toUint88(amount), info.index);
        _fund(info, id, payer, token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function increaseLock(bytes32 id, uint256 amount) external payable onlyController nonReentrant {
        Lock storage held = _lock(id);
        address token = _tokenSlots[held.tokenIndex].token;
        TokenInfo storage info = _openInfo(token);
        if (amount > type(uint88).max - held.amount) revert AmountTooLarge(amount);

        held.amount += SafeCastLib.toUint88(amount);
        _fund(info, id, held.payer, token, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function release(bytes32 id, address payee, uint256 amount, uint256 feeBps)
        external
        onlyController
        nonReentrant
        returns (uint256 net)
    {
        return _release(_lock(id), id, payee, amount, feeBps);
    }

    /// @inheritdoc IPaymentEscrow
    function releaseAbove(bytes32 id, address payee, uint256 remainder, uint256 feeBps)
        external
        onlyController
        nonReentrant
        returns (uint256 amount)
    {
        Lock storage held = _lock(id);
        uint256 locked = held.amount;
        if (locked <= remainder) return 0;
        amount = locked - remainder;
        _release(held, id, payee, amount, feeBps);
    }

    /// @inheritdoc IPaymentEscrow
    function releaseAboveBatch(Settlement[] calldata rows)
        external
        onlyController
        nonReentrant
        returns (uint256[] memory amounts)
    {
        amounts = new uint256[](rows.length);
        Tally memory tally;
        for (uint256 i; i < rows.length; ++i) {
            if (rows[i].id != bytes32(0)) amounts[i] = _settle(rows[i], tally);
        }
        _flushBatch(tally);
    }

    /// @inheritdoc IPaymentEscrow
    function refund(bytes32 id, uint256 amount) external onlyController nonReentrant {
        _refund(_lock(id), id, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function refundAll(bytes32 id) external onlyController nonReentrant returns (uint256 amount) {
        Lock storage held = _lock(id);
        amount = held.amount;
        if (amount > 0) _refund(held, id, amount);
    }

    /// @inheritdoc IPaymentEscrow
    function finalize(bytes32 id, address payee, uint256 remainder, uint256 feeBps)
        external
        onlyController
        nonReentrant
        returns (address payer, uint256 released, uint256 refunded)
    {
        Lock storage held = _lock(id);
        uint256 locked = held.amount;
        payer = held.payer;
        refunded = locked < remainder ? locked : remainder;
        released = locked - refunded;
        if (released > 0) _release(held, id, payee, released, feeBps);
        if (refunded > 0) _refund(held, id, refunded);
    }

    /// @inheritdoc IPaymentEscrow
    function collectFees(address token, address to) external onlyController nonReentrant returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        TokenInfo storage info = _tokenInfo[token];
        if (!info.known) revert TokenNotOpen(token);
        TokenSlot storage slot = _tokenSlots[info.index];
        amount = slot.fees;
        slot.fees = 0;
        _credits[to][token] += amount;
        emit FeesCollected(token, to, amount);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IPaymentEscrow
    function creditOf(address account, address token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc IPaymentEscrow
    function lockOf(address controller, bytes32 id)
        external
        view
        returns (address payer, address token, uint256 amount)
    {
        Lock memory held = _locks[controller][id];
        if (held.payer != address(0)) token = _tokenSlots[held.tokenIndex].token;
        return (held.payer, token, held.amount);
    }

    /// @inheritdoc IPaymentEscrow
    function feesOf(address token) external view returns (uint256) {
        TokenInfo memory info = _tokenInfo[token];
        return info.known ? _tokenSlots[info.index].fees : 0;
    }

    /// @inheritdoc IPaymentEscrow
    function liabilitiesOf(address token) external view returns (uint256) {
        return _tokenInfo[token].liabilities;
    }

    /// @inheritdoc IPaymentEscrow
    function isTokenOpen(address token) external view returns (bool) {
        return _tokenInfo[token].open;
    }

    /// @inheritdoc IPaymentEscrow
    function tokens() external view returns (address[] memory list) {
        list = new address[](_tokenCount);
        for (uint256 i; i < list.length; ++i) {
            list[i] = _tokenSlots[i].token;
        }
    }

    /// @inheritdoc IPaymentEscrow
    function nonceOf(address account) external view returns (uint256) {
        return _nonces[account];
    }

    /// @inheritdoc IPaymentEscrow
    function withdrawalDigest(Withdrawal calldata withdrawal) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(WITHDRAWAL_TYPEHASH, withdrawal)));
    }

    /// @inheritdoc IPaymentEscrow
    function isController(address account) public view returns (bool) {
        return account != address(0)
            && (account == CONTROLLER_0
                || account == CONTROLLER_1
                || account == CONTROLLER_2
                || account == CONTROLLER_3);
    }

    // ------------------------------------------------------------------------------------------------ internal

    /// @dev Takes `amount` from the caller into `account`'s credit.
    function _deposit(address account, address token, uint256 amount) private {
        TokenInfo storage info = _checkDeposit(token, amount);
        if (token == ETH) {
            if (msg.value != amount) revert ValueMismatch(amount, msg.value);
        } else {
            if (msg.value != 0) revert ValueMismatch(0, msg.value);
            _pull(token, msg.sender, amount);
        }
        _credit(info, account, token, amount);
    }

    /// @dev Refuses what cannot be deposited, before anything is called.
    function _checkDeposit(address token, uint256 amount) private view returns (TokenInfo storage info) {
        if (amount == 0) revert ZeroAmount();
        if (amount > type(uint88).max) revert AmountTooLarge(amount);
        return _openInfo(token);
    }

    /// @dev Writes received money down as a credit.
    function _credit(TokenInfo storage info, address account, address token, uint256 amount) private {
        info.liabilities += SafeCastLib.toUint128(amount);
        _credits[account][token] += amount;
        emit Deposited(account, token, amount, msg.sender);
    }

    /// @dev Brings the money of a lock that is already written down.
    function _fund(TokenInfo storage info, bytes32 id, address payer, address token, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        if (msg.value > (token == ETH ? amount : 0)) revert ValueMismatch(token == ETH ? amount : 0, msg.value);

        uint256 missing = amount - msg.value;
        uint256 credit = _credits[payer][token];
        uint256 fromCredit = credit < missing ? credit : missing;
        if (fromCredit > 0) _credits[payer][token] = credit - fromCredit;
        missing -= fromCredit;
        if (missing > 0 && token == ETH) revert ValueMismatch(msg.value + missing, msg.value);

        info.liabilities += SafeCastLib.toUint128(amount - fromCredit);
        emit Locked(msg.sender, id, payer, token, amount);
        if (missing > 0) _pull(token, payer, missing);
    }

    /// @dev Moves from a lock to a payee's credit and the fees.
    function _release(Lock storage held, bytes32 id, address payee, uint256 amount, uint256 feeBps)
        private
        returns (uint256 net)
    {
        if (amount == 0) revert ZeroAmount();
        uint256 locked = held.amount;
        if (amount > locked) revert LockTooSmall(msg.sender, id, locked, amount);
        held.amount = SafeCastLib.toUint88(locked - amount);
        uint256 fee = _feeOf(payee, amount, feeBps);
        net = amount - fee;
        _earn(payee, held.tokenIndex, net, fee);
        emit Released(msg.sender, id, payee, amount, fee);
    }

    /// @dev One row of a batch: takes from its lock and adds to the tally. Another payee's or token's tally is credited
    /// first.
    function _settle(Settlement calldata row, Tally memory tally) private returns (uint256 amount) {
        Lock storage held = _lock(row.id);
        uint256 locked = held.amount;
        uint256 remainder = row.remainder;
        if (locked <= remainder) return 0;
        amount = locked - remainder;
        uint256 tokenIndex = held.tokenIndex;
        held.amount = SafeCastLib.toUint88(remainder);
        address payee = row.payee;
        if (tally.payee != payee || tally.tokenIndex != tokenIndex) {
            _flushBatch(tally);
            (tally.payee, tally.tokenIndex, tally.amount, tally.fee) = (payee, tokenIndex, 0, 0);
        }
        tally.amount += amount;
        tally.fee += _feeOf(payee, amount, row.feeBps);
    }

    /// @dev Credits a tally.
    function _flushBatch(Tally memory tally) private {
        if (tally.amount == 0) return;
        address token = _earn(tally.payee, tally.tokenIndex, tally.amount - tally.fee, tally.fee);
        emit BatchReleased(msg.sender, tally.payee, token, tally.amount, tally.fee);
    }

    /// @dev The fee on an earned amount, within the hard cap.
    function _feeOf(address payee, uint256 amount, uint256 feeBps) private pure returns (uint256) {
        if (payee == address(0)) revert ZeroAddress();
        if (feeBps > MAX_FEE_BPS) revert FeeTooHigh(feeBps, MAX_FEE_BPS);
        return amount * feeBps / 10_000;
    }

    /// @dev Adds to a payee's credit and to the fees.
    function _earn(address payee, uint256 tokenIndex, uint256 net, uint256 fee) private returns (address token) {
        TokenSlot storage slot = _tokenSlots[tokenIndex];
        token = slot.token;
        if (fee > 0) slot.fees += SafeCastLib.toUint96(fee);
        _credits[payee][token] += net;
    }

    /// @dev Moves from a lock back to its payer's credit.
    function _refund(Lock storage held, bytes32 id, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 locked = held.amount;
        if (amount > locked) revert LockTooSmall(msg.sender, id, locked, amount);
        held.amount = SafeCastLib.toUint88(locked - amount);
        address payer = held.payer;
        _credits[payer][_tokenSlots[held.tokenIndex].token] += amount;
        emit Refunded(msg.sender, id, payer, amount);
    }

    /// @dev Pays out of `account`'s credit.
    function _withdraw(address account, address token, address to, uint256 amount) private {
        if (to == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        uint256 credit = _credits[account][token];
        if (amount > credit) revert CreditTooSmall(account, token, credit, amount);

        _credits[account][token] = credit - amount;
        _tokenInfo[token].liabilities -= SafeCastLib.toUint128(amount);
        emit Withdrawn(account, token, to, amount);
        if (token == ETH) SafeTransferLib.safeTransferETH(to, amount);
        else SafeTransferLib.safeTransfer(token, to, amount);
    }

    /// @dev Pulls exactly `amount` from an allowance. A token that moves another amount (a fee on transfer, a
    /// rebase in a hook) is refused whole.
    function _pull(address token, address from, uint256 amount) private {
        uint256 expected = SafeTransferLib.balanceOf(token, address(this)) + amount;
        SafeTransferLib.safeTransferFrom(token, from, address(this), amount);
        _checkReceived(token, expected);
    }

    /// @dev Refuses a transfer after which the balance is not what it should be.
    function _checkReceived(address token, uint256 expected) private view {
        uint256 actual = SafeTransferLib.balanceOf(token, address(this));
        if (actual != expected) revert InexactTransfer(token, expected, actual);
    }

    /// @dev The token's record, if it takes deposits and locks.
    function _openInfo(address token) private view returns (TokenInfo storage info) {
        info = _tokenInfo[token];
        if (!info.open) revert TokenNotOpen(token);
    }

    /// @dev The caller's lock, if it was made.
    function _lock(bytes32 id) private view returns (Lock storage held) {
        held = _locks[msg.sender][id];
        if (held.payer == address(0)) revert LockMissing(msg.sender, id);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Fabstir PaymentEscrow", "1");
    }
}
