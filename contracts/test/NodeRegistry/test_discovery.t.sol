// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { MarketTest } from "../support/MarketTest.sol";

contract DiscoveryTest is MarketTest {
    address[] private hosts;

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < 5; ++i) {
            hosts.push(makeAddr(string.concat("host", vm.toString(i))));
            fund(hosts[i]);
            vm.prank(hosts[i]);
            registry.register(
                MIN_STAKE + uint88(i) * 100e18, CAPACITY, profile(), offersOf(MODEL, address(usdc), uint80(i + 1) * 1e6)
            );
        }
    }

    function filter() private view returns (INodeRegistry.Filter memory) {
        return
            INodeRegistry.Filter({ modelId: MODEL, token: address(usdc), maxPrice: type(uint256).max, minFreeStake: 0 });
    }

    function test_all_nodes_are_paged_in_order() public view {
        (INodeRegistry.Node[] memory page, uint256 next) = registry.nodes(0, 3);
        assertEq(page.length, 3);
        assertEq(page[0].host, hosts[0]);
        assertEq(page[2].host, hosts[2]);
        assertEq(next, 3);
        (page, next) = registry.nodes(next, 3);
        assertEq(page.length, 2);
        assertEq(page[1].host, hosts[4]);
        assertEq(next, 0);
        (page, next) = registry.nodes(5, 3);
        assertEq(page.length, 0);
        assertEq(next, 0);
    }

    function test_nodes_by_model_are_paged() public view {
        (address[] memory page, uint256 next) = registry.nodesByModel(MODEL, 0, 4);
        assertEq(page.length, 4);
        assertEq(next, 4);
        (page, next) = registry.nodesByModel(MODEL, next, 4);
        assertEq(page.length, 1);
        assertEq(next, 0);
        (page,) = registry.nodesByModel("unknown", 0, 4);
        assertEq(page.length, 0);
    }

    function test_page_size_is_bounded() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.BadPageSize.selector, 0));
        registry.nodes(0, 0);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.BadPageSize.selector, 101));
        registry.nodesByModel(MODEL, 0, 101);
    }

    function test_find_tells_what_a_client_needs() public view {
        (INodeRegistry.Match[] memory matches, uint256 next) = registry.findNodes(filter(), 0, 100);
        assertEq(matches.length, 5);
        assertEq(next, 0);
        assertEq(matches[1].host, hosts[1]);
        assertEq(matches[1].pricePerMillion, 2e6);
        assertEq(matches[1].freeStake, MIN_STAKE + 100e18);
        assertEq(matches[1].freeSlots, CAPACITY);
        assertEq(matches[1].tier, 0);
        assertEq(matches[1].endpoint, profile().endpoint);
    }

    function test_find_by_price() public view {
        INodeRegistry.Filter memory f = filter();
        f.maxPrice = 2e6;
        (INodeRegistry.Match[] memory matches,) = registry.findNodes(f, 0, 100);
        assertEq(matches.length, 2);
    }

    function test_find_by_free_stake() public view {
        INodeRegistry.Filter memory f = filter();
        f.minFreeStake = MIN_STAKE + 300e18;
        (INodeRegistry.Match[] memory matches,) = registry.findNodes(f, 0, 100);
        assertEq(matches.length, 2);
        assertEq(matches[0].host, hosts[3]);
    }

    function test_find_by_token() public view {
        INodeRegistry.Filter memory f = filter();
        f.token = ETH;
        (INodeRegistry.Match[] memory matches,) = registry.findNodes(f, 0, 100);
        assertEq(matches.length, 0);
    }

    function test_find_leaves_out_paused_nodes() public {
        vm.prank(hosts[0]);
        registry.setPaused(true);
        (INodeRegistry.Match[] memory matches,) = registry.findNodes(filter(), 0, 100);
        assertEq(matches.length, 4);
    }

    function test_find_leaves_out_full_nodes() public {
        vm.startPrank(address(jobs));
        for (uint256 i; i < CAPACITY - 1; ++i) {
            registry.acquire(hosts[0], MODEL);
        }
        (INodeRegistry.Match[] memory matches,) = registry.findNodes(filter(), 0, 100);
        assertEq(matches.length, 5);
        assertEq(matches[0].freeSlots, 1, "the last one counts");
        registry.acquire(hosts[0], MODEL);
        vm.stopPrank();
        (matches,) = registry.findNodes(filter(), 0, 100);
        assertEq(matches.length, 4);
        assertEq(matches[0].host, hosts[1]);
        vm.prank(hosts[0]);
        registry.setCapacity(1);
        (matches,) = registry.findNodes(filter(), 0, 100);
        assertEq(matches.length, 4);
    }

    function test_find_is_paged_by_nodes_looked_at() public view {
        INodeRegistry.Filter memory f = filter();
        f.maxPrice = 1e6;
        (INodeRegistry.Match[] memory matches, uint256 next) = registry.findNodes(f, 0, 2);
        assertEq(matches.length, 1);
        assertEq(next, 2);
        (matches, next) = registry.findNodes(f, next, 2);
        assertEq(matches.length, 0);
        assertEq(next, 4);
    }

    function test_unregistered_node_is_found_no_more() public {
        vm.prank(hosts[2]);
        registry.unregister();
        (address[] memory page,) = registry.nodesByModel(MODEL, 0, 100);
        assertEq(page.length, 4);
        (INodeRegistry.Node[] memory all,) = registry.nodes(0, 100);
        assertEq(uint8(all[2].status), uint8(INodeRegistry.NodeStatus.Left));
    }
}
