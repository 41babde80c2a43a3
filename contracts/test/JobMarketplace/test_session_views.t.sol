// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { SessionTest } from "../support/SessionTest.sol";

/// @notice What can be read of sessions, and what their owner sets.
contract SessionViewsTest is SessionTest {
    // --------------------------------------------------------------------------------------------------- views

    function test_view_reverts_for_no_session() public {
        vm.expectRevert(wrongStatus("none", ISessionMarketplace.SessionStatus.None));
        sessions.sessionOf("none");
    }

    function test_outcomes() public {
        IEngagements market = IEngagements(address(sessions));
        bytes32 id = open();
        assertEq(uint8(market.outcomeOf(id).result), uint8(IEngagements.Result.None));
        closeByHost(id, 4e6);
        IEngagements.Outcome memory o = market.outcomeOf(id);
        assertEq(uint8(o.result), uint8(IEngagements.Result.Completed));
        assertEq(o.payer, payer);
        assertEq(o.host, host);
        assertEq(o.token, address(usdc));
        assertEq(o.earned, 4e6);
        assertEq(o.fee, 0.1e6);
        id = open();
        closeWithHost(id, 0);
        assertEq(uint8(market.outcomeOf(id).result), uint8(IEngagements.Result.Neutral));
    }

    function test_sessions_are_paged_by_host_with_gaps_for_jobs() public {
        bytes32 first = open();
        postAndClaim();
        bytes32 second = open();
        (bytes32[] memory ids, uint256 next) = sessions.sessionsOfHost(host, 0, 2);
        assertEq(ids.length, 1);
        assertEq(ids[0], first);
        assertEq(next, 2);
        (ids, next) = sessions.sessionsOfHost(host, next, 2);
        assertEq(ids.length, 1);
        assertEq(ids[0], second);
        assertEq(next, 0);
        (ids, next) = sessions.sessionsOfHost(host, 3, 2);
        assertEq(ids.length, 0);
        (ids, next) = sessions.sessionsOfHost(host, 4, 2);
        assertEq(ids.length, 0);
        assertEq(next, 0);
    }

    function test_sessions_are_paged_by_payer_and_host() public {
        open();
        fund(stranger);
        bytes memory signature = sign(hostKey, sessions.quoteDigest(quote()));
        vm.prank(stranger);
        bytes32 second = sessions.openSession(quote(), signature, DEPOSIT, voucherKey);
        (bytes32[] memory ids,) = sessions.sessionsOfPayer(stranger, host, 0, 100);
        assertEq(ids.length, 1);
        assertEq(ids[0], second);
    }

    function test_page_size_is_bounded() public {
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadPageSize.selector, 0));
        sessions.sessionsOfHost(host, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.BadPageSize.selector, 101));
        sessions.sessionsOfPayer(payer, host, 0, 101);
    }

    // ------------------------------------------------------------------------------------------------- digests

    function test_digests_are_eip712() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Fabstir SessionMarketplace"),
                keccak256("1"),
                block.chainid,
                address(sessions)
            )
        );
        ISessionMarketplace.Voucher memory v = voucherFor("id", 4e6);
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Voucher(bytes32 sessionId,uint256 cumulativeAmount,uint256 tokens,bytes32 transcriptRoot)"),
                v.sessionId,
                v.cumulativeAmount,
                v.tokens,
                v.transcriptRoot
            )
        );
        assertEq(sessions.voucherDigest(v), keccak256(abi.encodePacked("\x19\x01", domain, structHash)));

        ISessionMarketplace.SessionQuote memory q = quote();
        bytes32 quoteHash = keccak256(
            abi.encode(
                keccak256(
                    "SessionQuote(address host,address payer,bytes32 modelId,address token,uint80 pricePerMillion,uint88 minDeposit,uint88 maxDeposit,uint32 duration,uint40 validUntil)"
                ),
                q
            )
        );
        assertEq(sessions.quoteDigest(q), keccak256(abi.encodePacked("\x19\x01", domain, quoteHash)));

        bytes32 closeHash = keccak256(
            abi.encode(
                keccak256("CloseAgreement(bytes32 sessionId,uint256 finalAmount,uint256 validUntil)"),
                bytes32("id"),
                uint256(5),
                uint256(6)
            )
        );
        assertEq(sessions.closeDigest("id", 5, 6), keccak256(abi.encodePacked("\x19\x01", domain, closeHash)));
    }

    // --------------------------------------------------------------------------------------------------- owner

    function test_policy_is_what_owner_sets() public {
        ISessionMarketplace.SessionPolicy memory p =
            ISessionMarketplace.SessionPolicy({ feeBps: 7, grace: 8, maxDuration: 9 });
        vm.expectEmit(address(sessions));
        emit ISessionMarketplace.SessionPolicySet(p);
        vm.prank(owner);
        sessions.setPolicy(p);
        assertEq(abi.encode(sessions.policy()), abi.encode(p));
    }

    function test_running_session_keeps_its_terms() public {
        bytes32 id = open();
        vm.prank(owner);
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 1_000, grace: 0, maxDuration: 0 }));
        ISessionMarketplace.Session memory s = sessions.sessionOf(id);
        assertEq(s.feeBps, FEE_BPS);
        assertEq(s.settleUntil, block.timestamp + DURATION + GRACE);
    }

    function test_policy_may_reach_its_bounds() public {
        vm.prank(owner);
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 1_000, grace: 90 days, maxDuration: 90 days }));
        assertEq(sessions.policy().maxDuration, 90 days);
    }

    function test_policy_is_bounded() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.OutOfBounds.selector, 1_001, 1_000));
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 1_001, grace: 0, maxDuration: 0 }));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.OutOfBounds.selector, 90 days + 1, 90 days));
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 0, grace: 90 days + 1, maxDuration: 0 }));
        vm.expectRevert(abi.encodeWithSelector(ISessionMarketplace.OutOfBounds.selector, 90 days + 1, 90 days));
        sessions.setPolicy(ISessionMarketplace.SessionPolicy({ feeBps: 0, grace: 0, maxDuration: 90 days + 1 }));
    }

    function test_policy_is_set_by_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        sessions.setPolicy(sessionPolicy());
    }

    function test_wire_is_told() public {
        address other = proxyOf("SessionMarketplace.sol:SessionMarketplace", sessionsInit());
        vm.expectEmit(other);
        emit ISessionMarketplace.Wired(address(escrow), address(registry));
        vm.prank(owner);
        ISessionMarketplace(other).wire(address(escrow), address(registry));
    }

    function test_wire_reverts_twice() public {
        vm.expectRevert(IGoverned.AlreadyWired.selector);
        vm.prank(owner);
        sessions.wire(address(escrow), address(registry));
    }

    function test_wire_reverts_without_registry() public {
        vm.expectRevert(IGoverned.ZeroAddressGiven.selector);
        vm.prank(owner);
        sessions.wire(address(escrow), address(0));
    }

    function test_wire_is_for_owner_only() public {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger));
        vm.prank(stranger);
        sessions.wire(address(escrow), address(registry));
    }

    function test_registry_is_shown() public view {
        assertEq(sessions.registry(), address(registry));
    }

    function test_initialize_reverts_twice() public {
        vm.expectRevert(bytes4(keccak256("InvalidInitialization()")));
        sessions.initialize(stranger, sessionPolicy());
    }
}
