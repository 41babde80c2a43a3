// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { MarketTest } from "../support/MarketTest.sol";

contract CapabilitiesTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function offer(bytes32 modelId, address token, uint80 price) private {
        vm.prank(host);
        registry.setOffers(offersOf(modelId, token, price));
    }

    function test_profile_is_replaced() public {
        INodeRegistry.Profile memory p = profile();
        p.endpoint = "https://another.example/with/a/path/longer/than/one/slot";
        vm.expectEmit(address(registry));
        emit INodeRegistry.ProfileSet(host, p);
        vm.prank(host);
        registry.setProfile(p);
        assertEq(registry.nodeOf(host).profile.endpoint, p.endpoint);
    }

    function test_profile_reverts_if_not_registered() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.setProfile(profile());
    }

    function test_price_is_set_by_model_and_token() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.OfferSet(host, OTHER_MODEL, ETH, 7);
        offer(OTHER_MODEL, ETH, 7);
        assertEq(registry.priceOf(host, OTHER_MODEL, ETH), 7);
        assertEq(registry.priceOf(host, OTHER_MODEL, address(usdc)), 0);
        assertEq(registry.priceOf(host, MODEL, ETH), 0);
    }

    function test_price_changes_without_another_listing() public {
        offer(MODEL, address(usdc), 9e6);
        offer(MODEL, ETH, 9);
        assertEq(registry.priceOf(host, MODEL, address(usdc)), 9e6);
        (address[] memory hosts,) = registry.nodesByModel(MODEL, 0, 10);
        assertEq(hosts.length, 1);
        assertEq(registry.modelsOf(host).length, 1);
    }

    function test_last_price_withdrawn_unlists_model() public {
        offer(MODEL, ETH, 9);
        offer(MODEL, address(usdc), 0);
        assertEq(registry.modelsOf(host).length, 1);
        offer(MODEL, ETH, 0);
        assertEq(registry.modelsOf(host).length, 0);
        (address[] memory hosts,) = registry.nodesByModel(MODEL, 0, 10);
        assertEq(hosts.length, 0);
    }

    function test_price_withdrawn_twice_changes_nothing() public {
        offer(MODEL, address(usdc), 0);
        offer(MODEL, address(usdc), 0);
        assertEq(registry.modelsOf(host).length, 0);
    }

    function test_models_stay_in_order_of_removal() public {
        offer(OTHER_MODEL, ETH, 7);
        register(payer);
        offer(MODEL, address(usdc), 0);
        assertEq(registry.modelsOf(host).length, 1);
        assertEq(registry.modelsOf(host)[0], OTHER_MODEL);
        (address[] memory hosts,) = registry.nodesByModel(MODEL, 0, 10);
        assertEq(hosts.length, 1);
        assertEq(hosts[0], payer);
    }

    function test_offer_reverts_for_unknown_model() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ModelNotAllowed.selector, bytes32("x")));
        offer("x", ETH, 0);
    }

    function test_offer_reverts_for_disallowed_model() public {
        vm.prank(owner);
        registry.setModel(MODEL, false);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ModelNotAllowed.selector, MODEL));
        offer(MODEL, ETH, 7);
    }

    function test_offer_of_disallowed_model_can_be_withdrawn() public {
        vm.prank(owner);
        registry.setModel(MODEL, false);
        offer(MODEL, address(usdc), 0);
        assertEq(registry.modelsOf(host).length, 0);
    }

    function test_offer_reverts_if_not_registered() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.setOffers(offersOf(MODEL, ETH, 7));
    }

    function test_offers_are_bounded_to_32_models() public {
        for (uint256 i; i < 31; ++i) {
            vm.prank(owner);
            registry.setModel(bytes32(i + 1), true);
            offer(bytes32(i + 1), ETH, 7);
        }
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.TooManyModelsOfNode.selector, host));
        offer(OTHER_MODEL, ETH, 7);
    }

    function test_capacity_is_set_by_host() public {
        vm.expectEmit(address(registry));
        emit INodeRegistry.CapacitySet(host, 3);
        vm.prank(host);
        registry.setCapacity(3);
        assertEq(registry.nodeOf(host).capacity, 3);
        assertEq(registry.nodeOf(host).slots, 3);
    }

    function test_capacity_reverts_if_not_registered() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.setCapacity(3);
    }

    function test_pause_and_resume() public {
        vm.startPrank(host);
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodePaused(host, true);
        registry.setPaused(true);
        assertTrue(registry.nodeOf(host).paused);
        registry.setPaused(false);
        assertFalse(registry.nodeOf(host).paused);
    }

    function test_pause_reverts_if_not_registered() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotRegistered.selector, stranger));
        vm.prank(stranger);
        registry.setPaused(true);
    }

    function test_models_have_permanent_indices() public {
        vm.prank(owner);
        vm.expectEmit(address(registry));
        emit INodeRegistry.ModelSet(MODEL, 1, false);
        registry.setModel(MODEL, false);
        (uint16 index, bool allowed) = registry.modelInfo(MODEL);
        assertEq(index, 1);
        assertFalse(allowed);
        assertEq(registry.modelByIndex(1), MODEL);
        assertEq(registry.modelByIndex(2), OTHER_MODEL);
        assertEq(registry.modelByIndex(0), bytes32(0));
        assertEq(registry.modelByIndex(3), bytes32(0));
        (index, allowed) = registry.modelInfo("x");
        assertEq(index, 0);
        assertFalse(allowed);
    }

    function test_model_reverts_for_zero() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.ModelNotAllowed.selector, bytes32(0)));
        vm.prank(owner);
        registry.setModel(0, true);
    }

    function test_models_are_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        registry.setModel("x", true);
    }

    /// @dev The length of the list is set to its limit directly; 65,535 calls would say no more.
    function test_models_are_bounded() public {
        bytes32 base = 0xb1849ed940e121315e41d940d6962b30ef7ab820ff68efd5f67fc07a1fb98a00;
        uint256 slot;
        while (uint256(vm.load(address(registry), bytes32(uint256(base) + slot))) != 2 || slot < 3) ++slot;
        vm.store(address(registry), bytes32(uint256(base) + slot), bytes32(uint256(type(uint16).max)));
        vm.expectRevert(INodeRegistry.TooManyModels.selector);
        vm.prank(owner);
        registry.setModel("x", true);
    }
}
