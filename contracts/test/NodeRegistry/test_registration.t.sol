// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { MarketTest } from "../support/MarketTest.sol";

contract RegistrationTest is MarketTest {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    function none() private pure returns (INodeRegistry.Offer[] memory) {
        return new INodeRegistry.Offer[](0);
    }

    function test_register_writes_node_down() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeRegistered(host, 1, MIN_STAKE, CAPACITY);
        vm.prank(host);
        assertEq(registry.register(MIN_STAKE, CAPACITY, profile(), none()), 1);
        INodeRegistry.Node memory node = registry.nodeOf(host);
        assertEq(node.host, host);
        assertEq(node.nodeId, 1);
        assertEq(uint8(node.status), uint8(INodeRegistry.NodeStatus.Active));
        assertFalse(node.paused);
        assertEq(node.tier, 0);
        assertEq(node.open, 0);
        assertEq(node.capacity, CAPACITY);
        assertEq(node.slots, CAPACITY);
        assertEq(node.stake, MIN_STAKE);
        assertEq(node.unbonding, 0);
        assertEq(abi.encode(node.profile), abi.encode(profile()));
        assertEq(registry.hostOf(1), host);
        assertEq(registry.nodeCount(), 1);
    }

    function test_register_locks_stake_in_escrow() public {
        register(host);
        assertEq(stakeLock(host), MIN_STAKE);
        assertEq(fab.balanceOf(address(escrow)), MIN_STAKE);
        assertEq(fab.balanceOf(address(registry)), 0);
    }

    function test_register_sets_first_offers() public {
        register(host);
        assertEq(registry.priceOf(host, MODEL, address(usdc)), 2e6);
    }

    function test_ids_count_up() public {
        register(host);
        register(payer);
        assertEq(registry.nodeOf(payer).nodeId, 2);
        assertEq(registry.hostOf(3), address(0));
    }

    function test_register_with_permit() public {
        vm.prank(host);
        fab.approve(address(escrow), 0);
        bytes32 structHash = keccak256(
            abi.encode(PERMIT_TYPEHASH, host, address(escrow), MIN_STAKE, fab.nonces(host), block.timestamp)
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(hostKey, keccak256(abi.encodePacked("\x19\x01", fab.DOMAIN_SEPARATOR(), structHash)));
        vm.prank(host);
        registry.registerWithPermit(MIN_STAKE, CAPACITY, profile(), none(), block.timestamp, v, r, s);
        assertEq(stakeLock(host), MIN_STAKE);
    }

    function test_register_with_used_permit_uses_allowance() public {
        vm.prank(host);
        registry.registerWithPermit(MIN_STAKE, CAPACITY, profile(), none(), block.timestamp, 27, "", "");
        assertEq(stakeLock(host), MIN_STAKE);
    }

    function test_register_reverts_twice() public {
        register(host);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.AlreadyRegistered.selector, host));
        register(host);
    }

    function test_register_reverts_below_min_stake() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, MIN_STAKE - 1, MIN_STAKE));
        vm.prank(host);
        registry.register(MIN_STAKE - 1, CAPACITY, profile(), none());
    }

    function test_register_reverts_above_88_bits() public {
        vm.expectRevert(bytes4(keccak256("Overflow()")));
        vm.prank(host);
        registry.register(uint256(type(uint88).max) + 1, CAPACITY, profile(), none());
    }

    function test_register_reverts_without_allowance() public {
        vm.prank(host);
        fab.approve(address(escrow), 0);
        vm.expectRevert(bytes4(keccak256("TransferFromFailed()")));
        register(host);
    }

    function test_register_reverts_without_endpoint() public {
        INodeRegistry.Profile memory p = profile();
        p.endpoint = "";
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.BadEndpoint.selector, 0));
        vm.prank(host);
        registry.register(MIN_STAKE, CAPACITY, p, none());
    }

    function test_register_reverts_with_endless_endpoint() public {
        INodeRegistry.Profile memory p = profile();
        p.endpoint = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.BadEndpoint.selector, 257));
        vm.prank(host);
        registry.register(MIN_STAKE, CAPACITY, p, none());
    }

    function test_register_reverts_while_entry_is_paused() public {
        vm.prank(owner);
        IGoverned(address(registry)).pauseEntry();
        vm.expectRevert(abi.encodeWithSelector(IGoverned.EntryIsPaused.selector, block.timestamp + 3 days));
        register(host);
    }

    function test_register_reverts_before_wiring() public {
        INodeRegistry other = INodeRegistry(proxyOf("NodeRegistry.sol:NodeRegistry", registryInit()));
        vm.expectRevert(IGoverned.NotWired.selector);
        other.register(MIN_STAKE, CAPACITY, profile(), none());
    }

    function test_unregister_starts_to_unbond_everything() public {
        register(host);
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeUnregistered(host);
        vm.prank(host);
        registry.unregister();
        INodeRegistry.Node memory node = registry.nodeOf(host);
        assertEq(uint8(node.status), uint8(INodeRegistry.NodeStatus.Left));
        assertEq(node.stake, 0);
        assertEq(node.slots, 0);
        assertEq(node.unbonding, MIN_STAKE);
        assertEq(node.unbondsAt, block.timestamp + 7 days);
        (address[] memory hosts,) = registry.nodesByModel(MODEL, 0, 10);
        assertEq(hosts.length, 0);
    }

    function test_unregister_reverts_with_engagement_open() public {
        register(host);
        postAndClaim();
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.EngagementsOpen.selector, host, 1));
        vm.prank(host);
        registry.unregister();
    }

    function test_unregister_reverts_if_not_registered() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.unregister();
    }

    /// @dev The whole stake was slashed away; there is nothing to unbond.
    function test_unregister_without_stake_works() public {
        register(host);
        for (uint256 i; i < 10; ++i) {
            vm.prank(address(jobs));
            registry.slashEngagement(host, 10_000, bytes32(i), payer, payer);
        }
        assertEq(registry.nodeOf(host).stake, 0);
        vm.prank(host);
        registry.unregister();
        assertEq(registry.nodeOf(host).unbonding, 0);
        assertEq(registry.nodeOf(host).unbondsAt, 0, "no clock was started");
    }

    function test_register_again_keeps_id_tickets_and_offers() public {
        register(host);
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        vm.startPrank(host);
        registry.unregister();
        assertEq(registry.register(MIN_STAKE, CAPACITY, profile(), none()), 1);
        vm.stopPrank();
        assertEq(registry.ticketsOf(host), 1);
        assertEq(registry.priceOf(host, MODEL, address(usdc)), 2e6);
        (address[] memory hosts,) = registry.nodesByModel(MODEL, 0, 10);
        assertEq(hosts.length, 1);
        assertEq(registry.nodeCount(), 1);
        assertEq(stakeLock(host), 2 * uint256(MIN_STAKE));
        assertEq(registry.nodeOf(host).unbonding, MIN_STAKE);
    }

    // --------------------------------------------------------------------------------------------------- owner

    function test_wire_opens_stake_token_and_markets() public view {
        assertTrue(escrow.isTokenOpen(address(fab)));
        assertTrue(registry.isMarket(address(jobs)));
        assertTrue(registry.isMarket(address(sessions)));
        assertEq(registry.stakeToken(), address(fab));
        assertEq(registry.reputation(), address(reputation));
    }

    function test_wire_reverts_twice() public {
        vm.expectRevert(IGoverned.AlreadyWired.selector);
        vm.prank(owner);
        registry.wire(address(escrow), address(fab), new address[](0));
    }

    function test_wire_is_told() public {
        INodeRegistry other = INodeRegistry(proxyOf("NodeRegistry.sol:NodeRegistry", registryInit()));
        vm.mockCall(address(escrow), abi.encodeCall(escrow.openToken, (address(fab))), "");
        vm.expectEmit(address(other));
        emit INodeRegistry.Wired(address(escrow));
        vm.prank(owner);
        other.wire(address(escrow), address(fab), new address[](0));
    }

    function test_wire_reverts_without_escrow() public {
        INodeRegistry other = INodeRegistry(proxyOf("NodeRegistry.sol:NodeRegistry", registryInit()));
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        vm.prank(owner);
        other.wire(address(0), address(fab), new address[](0));
    }

    function test_wire_is_for_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        registry.wire(address(escrow), address(fab), new address[](0));
    }

    function test_market_cannot_be_zero() public {
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        vm.prank(owner);
        registry.setMarket(address(0), true);
    }

    function test_market_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        registry.setMarket(stranger, true);
    }

    function test_wire_reverts_without_stake_token() public {
        INodeRegistry other = INodeRegistry(proxyOf("NodeRegistry.sol:NodeRegistry", registryInit()));
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        vm.prank(owner);
        other.wire(address(escrow), address(0), new address[](0));
    }

    function test_initialize_reverts_twice() public {
        vm.expectRevert(bytes4(keccak256("InvalidInitialization()")));
        registry.initialize(stranger, stakePolicy());
    }
}
