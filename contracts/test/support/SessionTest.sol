// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { MarketTest } from "./MarketTest.sol";

/// @notice A registered host, and what the tests of sessions share.
abstract contract SessionTest is MarketTest {
    function setUp() public override {
        super.setUp();
        register(host);
    }

    function openQuoted(ISessionMarketplace.SessionQuote memory q, uint256 deposit) internal returns (bytes32) {
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        return sessions.openSession(q, signature, deposit, voucherKey);
    }

    function expectOpenRevert(ISessionMarketplace.SessionQuote memory q, uint256 deposit, bytes memory err) internal {
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.expectRevert(err);
        vm.prank(payer);
        sessions.openSession(q, signature, deposit, voucherKey);
    }

    function wrongStatus(bytes32 id, ISessionMarketplace.SessionStatus status) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISessionMarketplace.WrongStatus.selector, id, status);
    }

    function closeWithHost(bytes32 id, uint256 amount) internal {
        bytes memory signature = sign(hostKey, sessions.closeDigest(id, amount, block.timestamp));
        vm.prank(payer);
        sessions.closeWithHost(id, amount, block.timestamp, signature);
    }
}
