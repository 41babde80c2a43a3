// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { IVotes } from "@openzeppelin/contracts/governance/utils/IVotes.sol";

import { CircuitBreaker } from "../../src/governance/CircuitBreaker.sol";
import { FabGovernor } from "../../src/governance/FabGovernor.sol";
import { FabTimelock } from "../../src/governance/FabTimelock.sol";
import { FabToken } from "../../src/governance/FabToken.sol";
import { Guardian } from "../../src/governance/Guardian.sol";
import { ParameterStore } from "../../src/governance/ParameterStore.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { MarketTest } from "./MarketTest.sol";

/// @dev What the tests use of a two-step owner.
interface ITwoStepOwner {
    function transferOwnership(address newOwner) external;
    function owner() external view returns (address);
}

/// @notice The marketplace in the hands of its governance, as `fabstir deploy` leaves it.
abstract contract GovernanceTest is MarketTest {
    uint256 internal constant SUPPLY = 1_000_000_000e18;
    uint256 internal constant THRESHOLD = 1_000_000e18;
    uint256 internal constant CAP = 100e6;
    uint8 internal constant AGAINST = 0;
    uint8 internal constant FOR = 1;

    address internal whale = makeAddr("whale");
    address internal others = makeAddr("others");
    address internal keeper = makeAddr("keeper");

    FabToken internal votes;
    FabTimelock internal timelock;
    FabGovernor internal governor;
    ParameterStore internal store;
    Guardian internal watchman;
    CircuitBreaker internal breaker;
    uint256 private _proposals;

    function setUp() public virtual override {
        super.setUp();
        votes = new FabToken(address(this), SUPPLY);
        timelock = new FabTimelock(address(this));
        governor = new FabGovernor(IVotes(address(votes)), timelock, THRESHOLD);
        store = new ParameterStore(timelock, storeTargets(), storeParameters());
        (address[] memory tokens, uint256[] memory caps) = (new address[](1), new uint256[](1));
        (tokens[0], caps[0]) = (address(usdc), CAP);
        watchman = new Guardian(address(timelock), keeper, governed(), escrow, tokens, caps);
        breaker = CircuitBreaker(watchman.breaker());

        timelock.grantRole(timelock.PROPOSER_ROLE(), address(governor));
        timelock.grantRole(timelock.CANCELLER_ROLE(), address(governor));
        timelock.grantRole(timelock.EXECUTOR_ROLE(), address(0));
        timelock.setParameterStore(address(store));
        for (uint256 i; i < 4; ++i) {
            vm.startPrank(owner);
            IGoverned(governed()[i]).setGuardian(address(watchman));
            ITwoStepOwner(governed()[i]).transferOwnership(address(timelock));
            vm.stopPrank();
            timelock.acceptOwnershipOf(governed()[i]);
        }
        timelock.renounceRole(timelock.DEFAULT_ADMIN_ROLE(), address(this));

        votes.transfer(whale, SUPPLY * 60 / 100);
        votes.transfer(others, SUPPLY * 40 / 100);
        vm.prank(whale);
        votes.delegate(whale);
        vm.prank(others);
        votes.delegate(others);
        skip(1);
    }

    function governed() internal view returns (address[] memory list) {
        list = new address[](4);
        (list[0], list[1], list[2], list[3]) =
        (address(registry), address(jobs), address(sessions), address(reputation));
    }

    function storeTargets() internal view returns (ParameterStore.Targets memory) {
        return ParameterStore.Targets({
            jobs: address(jobs),
            sessions: address(sessions),
            registry: address(registry),
            reputation: address(reputation)
        });
    }

    /// @dev The values that the market was deployed with; half to double, a tenth of the way at a time, weekly.
    function storeParameters() internal pure returns (ParameterStore.Parameter[] memory list) {
        uint96[20] memory values = [
            uint96(FEE_BPS),
            REVIEW,
            COUNTER,
            ARBITRATION,
            BOND_BPS,
            IDLE_SLASH_BPS,
            FAULT_SLASH_BPS,
            30 days,
            FEE_BPS,
            GRACE,
            30 days,
            MIN_STAKE,
            STAKE_PER_ENGAGEMENT,
            7 days,
            3_000,
            4_000,
            30 days,
            7 days,
            100e6,
            10e6
        ];
        list = new ParameterStore.Parameter[](20);
        for (uint256 i; i < 20; ++i) {
            list[i] = ParameterStore.Parameter({
                value: values[i],
                min: values[i] / 2,
                changedAt: 0,
                max: values[i] * 2,
                maxStep: values[i] / 10,
                minInterval: 7 days
            });
        }
    }

    // ------------------------------------------------------------------------------------------------ proposals

    struct Proposal {
        uint256 id;
        address[] targets;
        uint256[] values;
        bytes[] data;
        bytes32 description;
    }

    function propose(address target, bytes memory data) internal returns (Proposal memory p) {
        p.targets = new address[](1);
        p.values = new uint256[](1);
        p.data = new bytes[](1);
        (p.targets[0], p.data[0]) = (target, data);
        string memory text = vm.toString(++_proposals);
        p.description = keccak256(bytes(text));
        vm.prank(whale);
        p.id = governor.propose(p.targets, p.values, p.data, text);
    }

    /// @dev Lets the vote begin, has the whale decide, and lets the vote end.
    function pass(Proposal memory p) internal {
        vm.warp(governor.proposalSnapshot(p.id) + 1);
        vm.prank(whale);
        governor.castVote(p.id, FOR);
        vm.warp(governor.proposalDeadline(p.id) + 1);
    }

    function queue(Proposal memory p) internal {
        governor.queue(p.targets, p.values, p.data, p.description);
    }

    function execute(Proposal memory p) internal {
        governor.execute(p.targets, p.values, p.data, p.description);
    }

    /// @dev Up to where only the execution is missing.
    function ready(address target, bytes memory data) internal returns (Proposal memory p) {
        p = propose(target, data);
        pass(p);
        queue(p);
        skip(timelock.getMinDelay());
    }

    function enact(address target, bytes memory data) internal {
        execute(ready(target, data));
    }

    function setCall(ParameterStore.Key key, uint256 value) internal pure returns (bytes memory) {
        (ParameterStore.Key[] memory keys, uint256[] memory list) = (new ParameterStore.Key[](1), new uint256[](1));
        (keys[0], list[0]) = (key, value);
        return abi.encodeCall(ParameterStore.set, (keys, list));
    }

    /// @dev That the host gets its credit out, whatever else is going on.
    function assertWithdrawalsWork() internal {
        vm.prank(payer);
        escrow.depositFor(host, address(usdc), 1e6);
        uint256 before = usdc.balanceOf(host);
        vm.prank(host);
        escrow.withdraw(address(usdc), host, 1e6);
        assertEq(usdc.balanceOf(host), before + 1e6);
    }
}
