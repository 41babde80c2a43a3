// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Vm } from "forge-std/Vm.sol";

import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";

/// @notice The least that a token must do, with numbers that do not overflow.
contract PlainToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return transferFrom(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

/// @notice For all amounts, not samples: no step of the escrow, as it is deployed, makes or loses money. `make symbolic`.
/// @dev One payer, one payee, one lock; this contract is the controller. The books are right to begin with
/// (`check_books_begin_right`); then each check takes one step and compares what has changed, from any state that a
/// deposit, a lock and a release can lead to. A step that reverts changes nothing.
contract EscrowProofs {
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address private constant PAYER = address(0xaaaa);
    address private constant PAYEE = address(0xbbbb);
    address private constant TREASURY = address(0xcccc);
    bytes32 private constant ID = "id";
    uint256 private constant FEE_BPS = 250;

    IPaymentEscrow private escrow;
    PlainToken private token;

    function setUp() public {
        token = new PlainToken();
        address[] memory controllers = new address[](1);
        controllers[0] = address(this);
        bytes memory code = VM.getCode("PaymentEscrow.sol:PaymentEscrow");
        bytes memory init = abi.encodePacked(code, abi.encode(controllers, address(0), address(0xdddd)));
        address deployed;
        assembly {
            deployed := create(0, add(init, 0x20), mload(init))
        }
        escrow = IPaymentEscrow(deployed);
        escrow.openToken(address(token));
        token.mint(address(this), type(uint128).max);
        token.mint(PAYER, type(uint128).max);
    }

    /// @dev Some credit, some locked out of it or beside it, some of that released, some of that as a fee.
    function anyState(uint88 deposited, uint88 locked, uint88 released) private {
        VM.assume(deposited > 0 && released > 0 && released <= locked);
        escrow.depositFor(PAYER, address(token), deposited);
        escrow.lock(ID, PAYER, address(token), locked);
        escrow.release(ID, PAYEE, released, FEE_BPS);
    }

    struct Books {
        uint256 payer;
        uint256 payee;
        uint256 treasury;
        uint256 fees;
        uint256 locked;
        uint256 liabilities;
        uint256 balance;
    }

    function books() private view returns (Books memory b) {
        b.payer = escrow.creditOf(PAYER, address(token));
        b.payee = escrow.creditOf(PAYEE, address(token));
        b.treasury = escrow.creditOf(TREASURY, address(token));
        b.fees = escrow.feesOf(address(token));
        (,, b.locked) = escrow.lockOf(address(this), ID);
        b.liabilities = escrow.liabilitiesOf(address(token));
        b.balance = token.balanceOf(address(escrow));
    }

    /// @dev What came in, less what went out, is what the claims have grown by; wraps around alike on both sides.
    function balanced(Books memory was, Books memory is_) private pure {
        unchecked {
            uint256 claims = is_.payer - was.payer + is_.payee - was.payee + is_.treasury - was.treasury + is_.fees
                - was.fees + is_.locked - was.locked;
            assert(is_.liabilities - was.liabilities == claims);
            assert(is_.balance - was.balance == claims);
        }
    }

    function step(bytes memory call) private returns (bool success) {
        (success,) = address(escrow).call(call);
    }

    // ----------------------------------------------------------------------------------------------------- checks

    function check_books_begin_right(uint88 a, uint88 b, uint88 c) public {
        anyState(a, b, c);
        balanced(Books(0, 0, 0, 0, 0, 0, 0), books());
    }

    function check_deposit(uint88 a, uint88 b, uint88 c, uint256 amount) public {
        anyState(a, b, c);
        Books memory was = books();
        bool success = step(abi.encodeCall(escrow.depositFor, (PAYEE, address(token), amount)));
        Books memory is_ = books();
        balanced(was, is_);
        assert(!success || amount > 0);
        if (success) was.payee += amount;
        assert(is_.payer == was.payer && is_.payee == was.payee && is_.locked == was.locked && is_.fees == was.fees);
    }

    /// @dev Credit goes first; only what is missing comes in.
    function check_increase(uint88 a, uint88 b, uint88 c, uint256 amount) public {
        anyState(a, b, c);
        Books memory was = books();
        bool success = step(abi.encodeCall(escrow.increaseLock, (ID, amount)));
        Books memory is_ = books();
        balanced(was, is_);
        uint256 fromCredit = amount < was.payer ? amount : was.payer;
        if (success) (was.payer, was.locked) = (was.payer - fromCredit, was.locked + amount);
        assert(is_.payer == was.payer && is_.payee == was.payee && is_.locked == was.locked && is_.fees == was.fees);
    }

    function check_release(uint88 a, uint88 b, uint88 c, uint256 amount) public {
        anyState(a, b, c);
        Books memory was = books();
        bool success = step(abi.encodeCall(escrow.release, (ID, PAYEE, amount, FEE_BPS)));
        Books memory is_ = books();
        balanced(was, is_);
        assert(!success || (amount > 0 && amount <= was.locked));
        if (success) was.locked -= amount;
        assert(is_.payer == was.payer && is_.locked == was.locked && is_.balance == was.balance);
    }

    /// @dev For all fees: more than a tenth is refused, and none is taken from anybody but the payee.
    function check_fee(uint88 locked, uint256 feeBps) public {
        VM.assume(locked > 0);
        escrow.lock(ID, PAYER, address(token), locked);
        Books memory was = books();
        bool success = step(abi.encodeCall(escrow.release, (ID, PAYEE, locked, feeBps)));
        balanced(was, books());
        assert(!success || feeBps <= 1_000);
    }

    function check_finalize(uint88 a, uint88 b, uint88 c, uint256 remainder) public {
        anyState(a, b, c);
        Books memory was = books();
        (, uint256 released, uint256 refunded) = escrow.finalize(ID, PAYEE, remainder, FEE_BPS);
        Books memory is_ = books();
        balanced(was, is_);
        assert(is_.locked == 0 && released + refunded == was.locked && refunded <= remainder);
        assert(is_.payer == was.payer + refunded && is_.balance == was.balance);
    }

    function check_refund(uint88 a, uint88 b, uint88 c, uint256 amount) public {
        anyState(a, b, c);
        Books memory was = books();
        bool success = step(abi.encodeCall(escrow.refund, (ID, amount)));
        Books memory is_ = books();
        balanced(was, is_);
        assert(success == (amount > 0 && amount <= was.locked));
        if (success) (was.payer, was.locked) = (was.payer + amount, was.locked - amount);
        assert(is_.payer == was.payer && is_.payee == was.payee && is_.locked == was.locked && is_.fees == was.fees);
    }

    function check_collect(uint88 a, uint88 b, uint88 c) public {
        anyState(a, b, c);
        Books memory was = books();
        assert(escrow.collectFees(address(token), TREASURY) == was.fees);
        Books memory is_ = books();
        balanced(was, is_);
        assert(is_.treasury == was.fees && is_.fees == 0 && is_.payer == was.payer && is_.payee == was.payee);
    }

    /// @dev What came without being asked for becomes fees, and nothing else does.
    function check_skim(uint88 a, uint88 b, uint88 c, uint88 donated) public {
        anyState(a, b, c);
        token.mint(address(escrow), donated);
        Books memory was = books();
        assert(escrow.skim(address(token)) == donated);
        Books memory is_ = books();
        assert(is_.fees == was.fees + donated && is_.liabilities == was.liabilities + donated);
        assert(is_.payer == was.payer && is_.payee == was.payee && is_.locked == was.locked);
        assert(is_.balance == was.balance);
    }

    function check_withdraw(uint88 a, uint88 b, uint88 c, uint256 amount) public {
        anyState(a, b, c);
        Books memory was = books();
        VM.prank(PAYER);
        bool success = step(abi.encodeCall(escrow.withdraw, (address(token), TREASURY, amount)));
        Books memory is_ = books();
        balanced(was, is_);
        assert(!success || (amount > 0 && amount <= was.payer));
        if (success) was.payer -= amount;
        assert(is_.payer == was.payer && is_.payee == was.payee && is_.locked == was.locked && is_.fees == was.fees);
        assert(token.balanceOf(TREASURY) == (success ? amount : 0));
    }

    /// @dev Whoever has credit gets it: nothing else decides.
    function check_credit_is_paid_out(uint88 deposited, uint256 amount) public {
        VM.assume(deposited > 0);
        escrow.depositFor(PAYER, address(token), deposited);
        VM.prank(PAYER);
        bool success = step(abi.encodeCall(escrow.withdraw, (address(token), TREASURY, amount)));
        assert(success == (amount > 0 && amount <= deposited));
    }
}
