// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { ParameterStore } from "../../src/governance/ParameterStore.sol";
import { GovernanceTest } from "../support/GovernanceTest.sol";

/// @notice That no step grows with what has happened before, that the longest lists fit in one transaction of Base, and
/// what whole engagements cost. Run isolated, as in `test_gas`.
/// @dev The figures are checked against `snapshots/integration.json`.
/// forge-config: default.isolate = true
contract GasUsageTest is GovernanceTest {
    string private constant GROUP = "integration";

    /// @dev Most gas that Base gives to one transaction.
    uint256 private constant CAP_OF_BASE = 16_777_216;

    function setUp() public override {
        super.setUp();
        register(host);
    }

    function used() private view returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }

    function measured(string memory name, uint256 gas, uint256 goal) private {
        vm.snapshotValue(GROUP, name, gas);
        assertLe(gas, goal, name);
    }

    // ---------------------------------------------------------------------------------------------------- growth

    /// @dev Gas of a whole job, step by step.
    function job() private returns (uint256[4] memory gas) {
        bytes32 jobId = post(host);
        gas[0] = used();
        vm.prank(host);
        jobs.claimJob(jobId, PRICE);
        gas[1] = used();
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "ipfs://result");
        gas[2] = used();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        gas[3] = used();
    }

    function test_the_hundredth_job_costs_what_the_second_did() public {
        job();
        uint256[4] memory second = job();
        for (uint256 i; i < 97; ++i) {
            job();
        }
        assertEq(abi.encode(job()), abi.encode(second));
    }

    function session() private returns (uint256[3] memory gas) {
        bytes32 sessionId = open();
        gas[0] = used();
        settle(sessionId, 1e6);
        gas[1] = used();
        closeByHost(sessionId, 2e6);
        gas[2] = used();
    }

    /// @dev Signatures differ in their zero bytes, so calldata does by some gas.
    function test_the_hundredth_session_costs_what_the_second_did() public {
        session();
        uint256[3] memory second = session();
        for (uint256 i; i < 97; ++i) {
            session();
        }
        uint256[3] memory last = session();
        for (uint256 i; i < 3; ++i) {
            assertApproxEqAbs(last[i], second[i], 100);
        }
    }

    function test_who_registers_does_not_pay_for_who_came_before() public {
        uint256[2] memory gas;
        for (uint256 i; i < 50; ++i) {
            address fresh = address(uint160(uint256(keccak256(abi.encode("fresh", i)))));
            fund(fresh);
            register(fresh);
            gas[i == 0 ? 0 : 1] = used();
        }
        assertEq(gas[0], gas[1]);
    }

    // ----------------------------------------------------------------------------------------------- longest lists

    function test_a_batch_of_a_hundred_vouchers_fits_in_a_transaction() public {
        INodeRegistry.StakePolicy memory policy = stakePolicy();
        policy.stakePerEngagement = 0;
        vm.startPrank(address(timelock));
        registry.setStakePolicy(policy);
        registry.setTier(0, INodeRegistry.Tier({ capacity: 100, feeDiscountBps: 0 }));
        vm.stopPrank();
        vm.prank(host);
        registry.setCapacity(100);
        ISessionMarketplace.Voucher[] memory vouchers = new ISessionMarketplace.Voucher[](100);
        bytes[] memory signatures = new bytes[](100);
        for (uint256 i; i < 100; ++i) {
            vouchers[i] = voucherFor(open(), 1e6);
            signatures[i] = signVoucher(vouchers[i]);
        }
        sessions.settleBatch(vouchers, signatures);
        uint256 gas = used();
        assertEq(escrow.creditOf(host, address(usdc)), 1e8 * (10_000 - uint256(FEE_BPS)) / 10_000);
        measured("settle batch of a hundred", gas, CAP_OF_BASE / 4);
    }

    /// @dev Leaving takes a node off all its lists, and coming back puts it on them again.
    function test_a_host_of_32_models_leaves_and_returns_in_a_transaction() public {
        INodeRegistry.Offer[] memory offers = new INodeRegistry.Offer[](31);
        for (uint256 i; i < 31; ++i) {
            vm.prank(address(timelock));
            registry.setModel(bytes32(100 + i), true);
            offers[i] = INodeRegistry.Offer(bytes32(100 + i), address(usdc), 1e6);
        }
        vm.startPrank(host);
        registry.setOffers(offers);
        measured("offer 31 models", used(), CAP_OF_BASE / 4);
        registry.unregister();
        measured("leave with 32 models", used(), CAP_OF_BASE / 4);
        registry.register(MIN_STAKE, CAPACITY, profile(), new INodeRegistry.Offer[](0));
        measured("return with 32 models", used(), CAP_OF_BASE / 4);
        vm.stopPrank();
        assertEq(registry.modelsOf(host).length, 32);
    }

    function test_all_parameters_change_in_one_proposal() public {
        ParameterStore.Key[] memory keys = new ParameterStore.Key[](20);
        uint256[] memory values = new uint256[](20);
        for (uint256 i; i < 20; ++i) {
            keys[i] = ParameterStore.Key(i);
            ParameterStore.Parameter memory p = store.parameterOf(keys[i]);
            values[i] = p.value - p.maxStep;
        }
        enact(address(store), abi.encodeCall(ParameterStore.set, (keys, values)));
        measured("execute a proposal of 20 parameters", used(), CAP_OF_BASE / 8);
        assertEq(jobs.policy().reviewWindow, values[1]);
    }

    // ------------------------------------------------------------------------------------------ whole engagements

    function test_a_job_from_post_to_pay_out() public {
        warmUp();
        uint256[4] memory gas = job();
        uint256 sum = gas[0] + gas[1] + gas[2] + gas[3] + payOut();
        measured("a job, from post to pay-out", sum, 560_000);
    }

    /// @dev However many vouchers were signed in between.
    function test_a_conversation_from_opening_to_pay_out() public {
        warmUp();
        bytes32 sessionId = open();
        uint256 sum = used();
        closeByHost(sessionId, 2e6);
        sum += used();
        measured("a conversation, from opening to pay-out", sum + payOut(), 350_000);
    }

    /// @dev State as of a market in use.
    function warmUp() private {
        job();
        session();
        payOut();
    }

    function payOut() private returns (uint256) {
        uint256 credit = escrow.creditOf(host, address(usdc));
        vm.prank(host);
        escrow.withdraw(address(usdc), host, credit);
        return used();
    }
}
