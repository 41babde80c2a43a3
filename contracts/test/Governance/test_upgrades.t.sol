// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { ERC1967Utils } from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Utils.sol";
import { UUPSUpgradeable } from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

import { FabTimelock } from "../../src/governance/FabTimelock.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { GovernanceTest, ITwoStepOwner } from "../support/GovernanceTest.sol";

contract UpgradesTest is GovernanceTest {
    function test_a_vote_upgrades_each_policy_contract_and_nothing_is_lost() public {
        string[4] memory artifacts = [
            "NodeRegistry.sol:NodeRegistry",
            "JobMarketplace.sol:JobMarketplace",
            "SessionMarketplace.sol:SessionMarketplace",
            "ReputationSystem.sol:ReputationSystem"
        ];
        register(host);
        bytes32 jobId = postClaimSubmit();
        bytes32 sessionId = open();
        vm.prank(keeper);
        watchman.pause();
        bytes memory before = abi.encode(jobs.jobOf(jobId), sessions.sessionOf(sessionId), registry.nodeOf(host));
        for (uint256 i; i < 4; ++i) {
            address fresh = deployCode(artifacts[i]);
            enact(governed()[i], abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (fresh, "")));
            assertEq(implementationOf(governed()[i]), fresh);
        }
        assertEq(before, abi.encode(jobs.jobOf(jobId), sessions.sessionOf(sessionId), registry.nodeOf(host)));
        assertWithdrawalsWork();
        vm.prank(payer);
        jobs.acceptResult(jobId);
    }

    function test_nobody_but_the_timelock_upgrades() public {
        address fresh = deployCode("ReputationSystem.sol:ReputationSystem");
        address[6] memory callers = [owner, keeper, address(watchman), address(governor), whale, address(store)];
        for (uint256 i; i < 4; ++i) {
            for (uint256 j; j < callers.length; ++j) {
                vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, callers[j]));
                vm.prank(callers[j]);
                UUPSUpgradeable(governed()[i]).upgradeToAndCall(fresh, "");
            }
        }
    }

    function test_an_upgrade_waits_like_everything_else() public {
        address fresh = deployCode("ReputationSystem.sol:ReputationSystem");
        address was = implementationOf(address(reputation));
        Proposal memory p = propose(address(reputation), abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (fresh, "")));
        pass(p);
        queue(p);
        skip(timelock.getMinDelay() - 1);
        vm.expectRevert();
        execute(p);
        assertEq(implementationOf(address(reputation)), was);
    }

    function test_an_upgrade_to_what_is_no_implementation_is_refused() public {
        Proposal memory p =
            ready(address(reputation), abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (address(usdc), "")));
        vm.expectRevert(abi.encodeWithSelector(ERC1967Utils.ERC1967InvalidImplementation.selector, address(usdc)));
        execute(p);
    }

    /// @dev The call that comes with an upgrade is made in the owner's name.
    function test_an_upgrade_carries_no_policy_past_the_store() public {
        bytes memory policy = abi.encodeCall(IReputationSystem.setPolicy, (reputationPolicy()));
        bytes memory call =
            abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (implementationOf(address(reputation)), policy));
        Proposal memory p = ready(address(reputation), call);
        vm.expectRevert(
            abi.encodeWithSelector(FabTimelock.OnlyThroughParameterStore.selector, IReputationSystem.setPolicy.selector)
        );
        execute(p);
    }

    function test_an_upgrade_within_an_upgrade_carries_no_policy_either() public {
        address same = implementationOf(address(reputation));
        bytes memory policy = abi.encodeCall(IReputationSystem.setPolicy, (reputationPolicy()));
        for (uint256 depth; depth < 3; ++depth) {
            policy = abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (same, policy));
        }
        Proposal memory p = ready(address(reputation), policy);
        vm.expectRevert(
            abi.encodeWithSelector(FabTimelock.OnlyThroughParameterStore.selector, IReputationSystem.setPolicy.selector)
        );
        execute(p);
    }

    /// @dev A call of four bytes is one as well: a setter without arguments would fail for another reason.
    function test_an_upgrade_carries_no_naked_selector() public {
        address same = implementationOf(address(reputation));
        bytes memory naked = abi.encodePacked(IReputationSystem.setPolicy.selector);
        bytes[2] memory calls = [naked, abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (same, naked))];
        for (uint256 i; i < 2; ++i) {
            Proposal memory p = ready(address(reputation), calls[i]);
            vm.expectRevert(
                abi.encodeWithSelector(
                    FabTimelock.OnlyThroughParameterStore.selector, IReputationSystem.setPolicy.selector
                )
            );
            execute(p);
        }
    }

    function test_an_upgrade_may_carry_another_call() public {
        bytes memory inner = abi.encodeCall(IGoverned.setGuardian, (stranger));
        bytes memory call =
            abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (implementationOf(address(reputation)), inner));
        enact(address(reputation), call);
        assertEq(IGoverned(address(reputation)).guardian(), stranger);
    }

    function test_a_proposal_may_send_money_without_a_call() public {
        vm.deal(address(governor), 0);
        vm.deal(address(timelock), 1 ether);
        Proposal memory p = propose(stranger, "");
        // The same with a value: another proposal.
        p.values[0] = 1 ether;
        vm.prank(whale);
        p.id = governor.propose(p.targets, p.values, p.data, "pay");
        p.description = keccak256("pay");
        pass(p);
        queue(p);
        skip(timelock.getMinDelay());
        execute(p);
        assertEq(stranger.balance, 1 ether);
    }

    function test_anybody_completes_a_transfer_to_the_timelock() public {
        address proxy = proxyOf("ReputationSystem.sol:ReputationSystem", reputationInit());
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(timelock)));
        timelock.acceptOwnershipOf(proxy);
        vm.prank(owner);
        ITwoStepOwner(proxy).transferOwnership(address(timelock));
        vm.prank(stranger);
        timelock.acceptOwnershipOf(proxy);
        assertEq(ITwoStepOwner(proxy).owner(), address(timelock));
    }

    function implementationOf(address proxy) private view returns (address) {
        return address(uint160(uint256(vm.load(proxy, ERC1967Utils.IMPLEMENTATION_SLOT))));
    }
}
