// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { UUPSUpgradeable } from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import { ERC1967Utils } from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Utils.sol";

import { GovernanceTest } from "../support/GovernanceTest.sol";

interface INotes {
    function noteOf(address host) external view returns (bytes32);
    function note(bytes32 text) external;
}

/// @notice A later version of the registry, by vote, and back again: nobody's balance changes, and work goes on.
contract MigrationTest is GovernanceTest {
    address private first;
    address private next;
    bytes32 private jobId;
    bytes32 private sessionId;

    function setUp() public override {
        super.setUp();
        register(host);
        jobId = postClaimSubmit();
        sessionId = open();
        vm.startPrank(payer);
        escrow.depositFor(host, address(usdc), 7e6);
        escrow.deposit(address(usdc), 3e6);
        vm.stopPrank();
        first = implementation();
        next = deployCode("NodeRegistryNext.sol:NodeRegistryNext");
    }

    function implementation() private view returns (address) {
        return address(uint160(uint256(vm.load(address(registry), ERC1967Utils.IMPLEMENTATION_SLOT))));
    }

    function migrate(address to) private {
        enact(address(registry), abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (to, "")));
        assertEq(implementation(), to);
    }

    /// @dev What everybody owns, wherever it is.
    function owned() private view returns (bytes memory) {
        return abi.encode(
            escrow.creditOf(host, address(usdc)),
            escrow.creditOf(payer, address(usdc)),
            escrow.liabilitiesOf(address(usdc)),
            escrow.liabilitiesOf(address(fab)),
            escrow.feesOf(address(usdc)),
            lockedIn(address(jobs), jobId),
            lockedIn(address(sessions), sessionId),
            stakeLock(host),
            registry.nodeOf(host),
            usdc.balanceOf(address(escrow)),
            fab.balanceOf(address(escrow))
        );
    }

    function test_forward_and_back_keep_every_balance() public {
        bytes memory before = owned();
        migrate(next);
        assertEq(owned(), before);
        migrate(first);
        assertEq(owned(), before);
    }

    function test_what_began_before_ends_after() public {
        migrate(next);
        vm.prank(payer);
        jobs.acceptResult(jobId);
        migrate(first);
        closeByHost(sessionId, 0);
        uint256 credit = escrow.creditOf(host, address(usdc));
        vm.prank(host);
        escrow.withdraw(address(usdc), host, credit);
        assertEq(escrow.creditOf(host, address(usdc)), 0);
    }

    function test_what_the_later_version_wrote_outlives_the_way_back() public {
        migrate(next);
        vm.prank(host);
        INotes(address(registry)).note("remember");
        migrate(first);
        vm.expectRevert();
        INotes(address(registry)).noteOf(host);
        migrate(next);
        assertEq(INotes(address(registry)).noteOf(host), "remember");
    }

    /// @dev Each by its own vote, the way back too: nobody has a shorter one.
    function test_the_way_back_takes_a_vote_as_well() public {
        migrate(next);
        vm.expectRevert();
        vm.prank(owner);
        UUPSUpgradeable(address(registry)).upgradeToAndCall(first, "");
        vm.expectRevert();
        vm.prank(keeper);
        UUPSUpgradeable(address(registry)).upgradeToAndCall(first, "");
    }

    function test_withdrawals_work_at_every_moment() public {
        assertWithdrawalsWork();
        migrate(next);
        assertWithdrawalsWork();
        migrate(first);
        assertWithdrawalsWork();
    }
}
