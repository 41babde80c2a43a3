// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { PackedUserOperation } from "account-abstraction-v08/interfaces/PackedUserOperation.sol";

import { TokenPaymasterTest } from "../../support/account/TokenPaymasterTest.sol";
import { SponsorTest } from "../../support/account/SponsorTest.sol";
import { SmartAccount } from "../../../src/account/SmartAccount.sol";

/// @notice Operations that pay in tokens, of all kinds, at one price; and what the paymaster has left.
contract TokenPaymasterHandler is TokenPaymasterTest {
    uint256 public spentWei;
    uint256 public earned;

    function setUp() public override {
        super.setUp();
        token.mint(address(account), 1e30);
    }

    function price() external pure returns (uint256) {
        return PRICE;
    }

    function tokensHeld() external view returns (uint256) {
        return token.balanceOf(address(paymaster));
    }

    function credited() external view returns (uint256) {
        return paymaster.totalCreditOf(address(token));
    }

    function operate(uint256 callGas, uint256 fee, uint256 baseFee, bool fails, bool refundFails) external {
        fee = bound(fee, 1, 50 gwei);
        vm.fee(bound(baseFee, 0, fee));
        PackedUserOperation memory op = tokenOp();
        op.gasFees = packUints(fee / 2, fee);
        op.accountGasLimits = packUints(300_000, bound(callGas, 40_000, 3_000_000));
        if (fails) {
            op.callData = abi.encodeCall(account.execute, (address(target), 0, abi.encodeCall(target.fail, (1))));
        }
        op = quoted(op);
        if (refundFails) {
            vm.mockCallRevert(address(token), abi.encodeWithSelector(token.transfer.selector), "paused");
        }
        uint256 deposit = paymaster.getDeposit();
        bundle(op);
        vm.clearMockedCalls();
        spentWei += deposit - paymaster.getDeposit();
        paymaster.deposit{ value: deposit - paymaster.getDeposit() }();
    }

    function claim() external {
        if (paymaster.creditOf(address(token), address(account)) == 0) return;
        vm.prank(address(account));
        paymaster.claimRefund(address(token));
    }

    function withdraw(uint256 amount) external {
        uint256 available = paymaster.availableOf(address(token));
        if (available == 0) return;
        amount = bound(amount, 1, available);
        paymaster.withdrawToken(address(token), bob.addr, amount);
        earned += amount;
    }
}

/// @notice Operations that a signer sponsored; what they could cost at their worst is what the paymaster risks.
contract SponsorHandler is SponsorTest {
    SmartAccount internal account;
    uint256 public promised;
    uint256 public lost;

    function setUp() public override {
        super.setUp();
        account = deployAccount(alice);
    }

    function operate(uint256 callGas, uint256 fee, uint256 baseFee, bool fails) external {
        fee = bound(fee, 1, 50 gwei);
        vm.fee(bound(baseFee, 0, 100 gwei));
        bytes memory inner = fails ? abi.encodeCall(target.fail, (1)) : abi.encodeCall(target.increment, ());
        PackedUserOperation memory op =
            newOp(address(account), abi.encodeCall(account.execute, (address(target), 0, inner)));
        callGas = bound(callGas, 0, 2_000_000);
        op.gasFees = packUints(fee / 2, fee);
        op.accountGasLimits = packUints(300_000, callGas);
        op = sign(sponsor(op, signer, 0, 0), alice);
        uint256 deposit = paymaster.getDeposit();
        bundle(op);
        promised += (callGas + 300_000 + 100_000 + 60_000) * fee;
        lost += deposit - paymaster.getDeposit();
        paymaster.deposit{ value: deposit - paymaster.getDeposit() }();
    }
}

contract PaymasterInvariants is SponsorTest {
    TokenPaymasterHandler internal tokens;
    SponsorHandler internal sponsorship;

    function setUp() public override {
        tokens = new TokenPaymasterHandler();
        sponsorship = new SponsorHandler();
        vm.deal(address(tokens), 10_000 ether);
        vm.deal(address(sponsorship), 10_000 ether);
        tokens.setUp();
        sponsorship.setUp();
        bytes4[] memory selectors = new bytes4[](4);
        selectors[0] = tokens.operate.selector;
        selectors[1] = tokens.operate.selector;
        selectors[2] = tokens.claim.selector;
        selectors[3] = tokens.withdraw.selector;
        targetSelector(FuzzSelector(address(tokens), selectors));
        selectors = new bytes4[](1);
        selectors[0] = sponsorship.operate.selector;
        targetSelector(FuzzSelector(address(sponsorship), selectors));
        targetContract(address(tokens));
        targetContract(address(sponsorship));
    }

    function invariant_tokens_taken_are_worth_the_gas_paid() public view {
        uint256 kept = tokens.earned() + tokens.tokensHeld() - tokens.credited();
        assertGe(kept * 1 ether, tokens.spentWei() * tokens.price());
    }

    function invariant_credited_refunds_are_there() public view {
        assertGe(tokens.tokensHeld(), tokens.credited());
    }

    function invariant_sponsor_loses_at_most_what_it_signed() public view {
        assertLe(sponsorship.lost(), sponsorship.promised());
    }
}
