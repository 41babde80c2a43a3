// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Initializable } from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import { OwnableUpgradeable } from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";
import { IAccessControl } from "@openzeppelin/contracts/access/IAccessControl.sol";
import { IGovernor } from "@openzeppelin/contracts/governance/IGovernor.sol";
import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";
import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import { CircuitBreaker } from "../../src/governance/CircuitBreaker.sol";
import { FabTimelock } from "../../src/governance/FabTimelock.sol";
import { Guardian } from "../../src/governance/Guardian.sol";
import { ParameterStore } from "../../src/governance/ParameterStore.sol";
import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { Abi } from "../support/Abi.sol";
import { GovernanceTest } from "../support/GovernanceTest.sol";

/// @notice Every function of the marketplace and its governance that changes state: what a stranger gets for calling it,
/// or that anybody may. What is compared with is the compiled ABI, so that a new function without an entry fails.
contract AccessTest is GovernanceTest {
    using Abi for string[];

    bytes4 private immutable OWNER = OwnableUpgradeable.OwnableUnauthorizedAccount.selector;
    bytes4 private immutable GUARDIAN = IGoverned.NotGuardian.selector;
    bytes4 private immutable ROLE = IAccessControl.AccessControlUnauthorizedAccount.selector;
    bytes4 private immutable EXECUTOR = IGovernor.GovernorOnlyExecutor.selector;

    /// @dev The contract whose functions are gone through, and the signatures that had their turn.
    string private _name;
    address private _target;
    string[] private _seen;

    function setUp() public override {
        super.setUp();
        register(host);
    }

    // ----------------------------------------------------------------------------------------------- the matrix

    function begin(string memory name, address target) private {
        (_name, _target) = (name, target);
        delete _seen;
    }

    /// @dev A stranger's call with nothing but zeros ends in this error.
    function denied(string memory signature, bytes4 err) private {
        deniedCall(signature, Abi.zeros(signature), err);
    }

    /// @dev The same for functions that look at their arguments first.
    function deniedCall(string memory signature, bytes memory data, bytes4 err) private {
        assertEq(bytes4(data), bytes4(keccak256(bytes(signature))), signature);
        vm.prank(stranger);
        (bool success, bytes memory result) = _target.call(data);
        assertFalse(success, signature);
        assertEq(bytes4(result), err, signature);
        _seen.push(signature);
    }

    /// @dev Anybody may call this one: it takes from nobody but the caller, or does what is due.
    function anybody(string memory signature) private {
        _seen.push(signature);
    }

    /// @dev What all upgradeable contracts have.
    function governedFunctions() private {
        denied("acceptOwnership()", OWNER);
        denied("pauseEntry()", GUARDIAN);
        denied("renounceOwnership()", OWNER);
        denied("resumeEntry()", GUARDIAN);
        denied("setGuardian(address)", OWNER);
        denied("transferOwnership(address)", OWNER);
        denied("upgradeToAndCall(address,bytes)", OWNER);
    }

    /// @dev Fails unless what was gone through is what the ABI has.
    function complete() private {
        string[] memory signatures = Abi.mutating(_name);
        for (uint256 i; i < signatures.length; ++i) {
            assertTrue(_seen.has(signatures[i]), string.concat(_name, ".", signatures[i], " is not in the matrix"));
        }
        assertEq(signatures.length, _seen.length, string.concat(_name, ": the matrix has what the ABI has not"));
    }

    // -------------------------------------------------------------------------------------------- marketplace

    function test_node_registry() public {
        begin("NodeRegistry", address(registry));
        governedFunctions();
        denied("initialize(address,(uint88,uint88,uint32,uint16,uint16))", Initializable.InvalidInitialization.selector);
        denied("setMarket(address,bool)", OWNER);
        denied("setModel(bytes32,bool)", OWNER);
        denied("setReputation(address)", OWNER);
        denied("setStakePolicy((uint88,uint88,uint32,uint16,uint16))", OWNER);
        denied("setTier(uint256,(uint16,uint16))", OWNER);
        denied("wire(address,address,address[])", OWNER);
        denied("acquire(address,bytes32)", INodeRegistry.NotMarket.selector);
        denied("release(address)", INodeRegistry.NotMarket.selector);
        denied("slashEngagement(address,uint256,bytes32,address,address)", INodeRegistry.NotMarket.selector);
        denied("setTierOf(address,uint8)", INodeRegistry.NotReputation.selector);
        denied("addStake(uint256)", INodeRegistry.NotRegistered.selector);
        denied("cancelUnbonding()", INodeRegistry.NotRegistered.selector);
        denied("setCapacity(uint16)", INodeRegistry.NotRegistered.selector);
        denied("setOffers((bytes32,address,uint80)[])", INodeRegistry.NotRegistered.selector);
        denied("setPaused(bool)", INodeRegistry.NotRegistered.selector);
        denied("setProfile((string,bytes32,bytes8,bytes24))", INodeRegistry.NotRegistered.selector);
        denied("startUnbonding(uint256)", INodeRegistry.NotRegistered.selector);
        denied("unregister()", INodeRegistry.NotRegistered.selector);
        anybody("register(uint256,uint16,(string,bytes32,bytes8,bytes24),(bytes32,address,uint80)[])");
        anybody(
            "registerWithPermit(uint256,uint16,(string,bytes32,bytes8,bytes24),(bytes32,address,uint80)[],uint256,uint8,bytes32,bytes32)"
        );
        anybody("finishUnbonding(address)");
        anybody("refresh(address)");
        complete();
    }

    function test_job_marketplace() public {
        bytes32 opened = post(host);
        bytes32 claimed = postAndClaim();
        bytes32 submitted = postClaimSubmit();
        bytes32 challenged = postClaimSubmit();
        challenge(challenged);
        bytes32 countered = postClaimSubmit();
        challenge(countered);
        counter(countered);

        begin("JobMarketplace", address(jobs));
        governedFunctions();
        denied(
            "initialize(address,address,(uint16,uint24,uint24,uint24,uint16,uint16,uint16,uint32))",
            Initializable.InvalidInitialization.selector
        );
        denied("closeToken(address)", OWNER);
        denied("openToken(address)", OWNER);
        denied("setArbiter(address)", OWNER);
        denied("setPolicy((uint16,uint24,uint24,uint24,uint16,uint16,uint16,uint32))", OWNER);
        denied("setProofSystem(address)", OWNER);
        denied("setTreasury(address)", OWNER);
        denied("wire(address,address)", OWNER);
        bytes4 notHost = IJobMarketplace.NotHost.selector;
        bytes4 notPayer = IJobMarketplace.NotPayer.selector;
        deniedCall("claimJob(bytes32,uint256)", abi.encodeCall(jobs.claimJob, (opened, PRICE)), notHost);
        deniedCall("cancelJob(bytes32)", abi.encodeCall(jobs.cancelJob, (opened)), notPayer);
        deniedCall("abandonJob(bytes32)", abi.encodeCall(jobs.abandonJob, (claimed)), notHost);
        deniedCall(
            "submitResult(bytes32,bytes32,string)", abi.encodeCall(jobs.submitResult, (claimed, RESULT, "")), notHost
        );
        deniedCall("acceptResult(bytes32)", abi.encodeCall(jobs.acceptResult, (submitted)), notPayer);
        deniedCall("challengeResult(bytes32,bytes32)", abi.encodeCall(jobs.challengeResult, (submitted, "")), notPayer);
        deniedCall(
            "counterChallenge(bytes32,bytes32)", abi.encodeCall(jobs.counterChallenge, (challenged, "")), notHost
        );
        deniedCall(
            "ruleDispute(bytes32,uint256)",
            abi.encodeCall(jobs.ruleDispute, (countered, 10_000)),
            IJobMarketplace.NotArbiter.selector
        );
        deniedCall(
            "completeWithProof(bytes32)",
            abi.encodeCall(jobs.completeWithProof, (submitted)),
            IJobMarketplace.NotProven.selector
        );
        anybody("cancelQuote(uint256)");
        anybody("collectFees(address)");
        anybody("expireJob(bytes32)");
        anybody("finalizeJob(bytes32)");
        anybody("resolveDispute(bytes32)");
        anybody("postJob((address,address,uint256,bytes32,uint40,bool,bytes32,string))");
        anybody(
            "postJobWithQuote((address,address,uint256,bytes32,uint40,bool,bytes32,string),(address,address,bytes32,address,uint256,bytes32,uint32,uint40,uint256),bytes)"
        );
        complete();
    }

    function test_session_marketplace() public {
        bytes32 id = open();
        ISessionMarketplace.Voucher memory voucher = voucherFor(id, 1e6);
        bytes memory signature = signVoucher(voucher);

        begin("SessionMarketplace", address(sessions));
        governedFunctions();
        denied("initialize(address,(uint16,uint24,uint32))", Initializable.InvalidInitialization.selector);
        denied("setPolicy((uint16,uint24,uint32))", OWNER);
        denied("wire(address,address)", OWNER);
        bytes4 notPayer = ISessionMarketplace.NotPayer.selector;
        bytes4 badSignature = ISessionMarketplace.BadSignature.selector;
        deniedCall(
            "closeByHost((bytes32,uint256,uint256,bytes32),bytes)",
            abi.encodeCall(sessions.closeByHost, (voucher, signature)),
            ISessionMarketplace.NotHost.selector
        );
        deniedCall(
            "closeWithHost(bytes32,uint256,uint256,bytes)",
            abi.encodeCall(sessions.closeWithHost, (id, 0, block.timestamp, "")),
            notPayer
        );
        deniedCall("startClose(bytes32)", abi.encodeCall(sessions.startClose, (id)), notPayer);
        deniedCall("topUp(bytes32,uint256)", abi.encodeCall(sessions.topUp, (id, 1e6)), notPayer);
        voucher.cumulativeAmount = 2e6;
        deniedCall(
            "settle((bytes32,uint256,uint256,bytes32),bytes)",
            abi.encodeCall(sessions.settle, (voucher, signature)),
            badSignature
        );
        deniedCall(
            "openSession((address,address,bytes32,address,uint80,uint88,uint88,uint32,uint40),bytes,uint256,address)",
            abi.encodeCall(sessions.openSession, (quote(), sign(payerKey, "none"), DEPOSIT, voucherKey)),
            badSignature
        );
        ISessionMarketplace.OpenAuthorization memory authorization = ISessionMarketplace.OpenAuthorization({
            payer: payer, deposit: DEPOSIT, voucherKey: voucherKey, nonce: 0, validUntil: block.timestamp
        });
        deniedCall(
            "openSessionFor((address,address,bytes32,address,uint80,uint88,uint88,uint32,uint40),bytes,(address,uint256,address,uint256,uint256),bytes)",
            abi.encodeCall(
                sessions.openSessionFor,
                (quote(), sign(hostKey, sessions.quoteDigest(quote())), authorization, sign(hostKey, "none"))
            ),
            badSignature
        );
        anybody("finishClose(bytes32)");
        anybody("settleBatch((bytes32,uint256,uint256,bytes32)[],bytes[])");
        complete();
    }

    function test_reputation_system() public {
        bytes32 id = postClaimSubmit();
        vm.startPrank(payer);
        jobs.acceptResult(id);
        reputation.rate(address(jobs), id, 5, 0, "");
        vm.stopPrank();

        begin("ReputationSystem", address(reputation));
        governedFunctions();
        denied(
            "initialize(address,address,(uint32,uint32,uint80,uint80))", Initializable.InvalidInitialization.selector
        );
        denied("setFeeWeight(address,uint256)", OWNER);
        denied("setMarket(address,bool)", OWNER);
        denied("setPolicy((uint32,uint32,uint80,uint80))", OWNER);
        denied("setTierRule(uint256,(uint96,uint16))", OWNER);
        denied("onSlash(address,uint256)", IReputationSystem.NotRegistry.selector);
        deniedCall(
            "rate(address,bytes32,uint256,uint256,bytes32)",
            abi.encodeCall(reputation.rate, (address(jobs), id, 1, 0, "")),
            IReputationSystem.NotPayer.selector
        );
        deniedCall(
            "respond(address,bytes32,bytes32)",
            abi.encodeCall(reputation.respond, (address(jobs), id, "")),
            IReputationSystem.NotHost.selector
        );
        anybody("record(address,bytes32)");
        anybody("updateTier(address)");
        complete();
    }

    function test_proof_system() public {
        bytes32 id = postClaimSubmit();
        begin("ProofSystem", address(proofs));
        governedFunctions();
        denied("initialize(address)", Initializable.InvalidInitialization.selector);
        denied("registerKey(bytes32,address,bytes32,uint256,uint256,uint256)", OWNER);
        denied("retireKey(bytes32)", OWNER);
        denied("wire(address,address,address)", OWNER);
        deniedCall(
            "allowAssertion(bytes32,uint24,uint24)",
            abi.encodeCall(proofs.allowAssertion, (id, 1, 1)),
            IEzklProofs.NotPayer.selector
        );
        deniedCall("assertResult(bytes32)", abi.encodeCall(proofs.assertResult, (id)), IEzklProofs.NotHost.selector);
        IEzklProofs.Submission memory nothing;
        nothing.jobId = id;
        deniedCall(
            "submitProof((bytes32,uint256,bytes,uint256[]))",
            abi.encodeCall(proofs.submitProof, (nothing)),
            IEzklProofs.ProofRefused.selector
        );
        anybody("submitBatch((bytes32,uint256,bytes,uint256[])[])");
        anybody("challengeAssertion(bytes32)");
        anybody("settleAssertion(bytes32)");
        complete();
    }

    function test_payment_escrow() public {
        vm.prank(payer);
        escrow.deposit(address(usdc), 1e6);
        begin("PaymentEscrow", address(escrow));
        bytes4 controller = IPaymentEscrow.NotController.selector;
        denied("closeToken(address)", controller);
        denied("collectFees(address,address)", controller);
        denied("finalize(bytes32,address,uint256,uint256)", controller);
        denied("increaseLock(bytes32,uint256)", controller);
        denied("lock(bytes32,address,address,uint256)", controller);
        denied("openToken(address)", controller);
        denied("refund(bytes32,uint256)", controller);
        denied("refundAll(bytes32)", controller);
        denied("release(bytes32,address,uint256,uint256)", controller);
        denied("releaseAbove(bytes32,address,uint256,uint256)", controller);
        denied("releaseAboveBatch((bytes32,address,uint256,uint256)[])", controller);
        deniedCall(
            "withdraw(address,address,uint256)",
            abi.encodeCall(escrow.withdraw, (address(usdc), stranger, 1e6)),
            IPaymentEscrow.CreditTooSmall.selector
        );
        IPaymentEscrow.Withdrawal memory w = IPaymentEscrow.Withdrawal({
            account: payer, token: address(usdc), to: stranger, amount: 1e6, nonce: 0, validUntil: block.timestamp
        });
        deniedCall(
            "withdrawBySignature((address,address,address,uint256,uint256,uint256),bytes)",
            abi.encodeCall(escrow.withdrawBySignature, (w, sign(hostKey, escrow.withdrawalDigest(w)))),
            IPaymentEscrow.BadSignature.selector
        );
        // Whose money it is, token and Permit2 learn from the signature; shown in `test_escrow`.
        anybody("depositWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)");
        anybody("depositWithPermit2(address,address,uint256,uint256,uint256,bytes)");
        anybody("depositWithPermit(address,uint256,uint256,uint8,bytes32,bytes32)");
        anybody("deposit(address,uint256)");
        anybody("depositFor(address,address,uint256)");
        anybody("skim(address)");
        complete();
    }

    // ---------------------------------------------------------------------------------------------- governance

    function test_fab_token() public {
        begin("FabToken", address(votes));
        deniedCall(
            "transferFrom(address,address,uint256)",
            abi.encodeCall(votes.transferFrom, (whale, stranger, 1)),
            IERC20Errors.ERC20InsufficientAllowance.selector
        );
        denied(
            "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
            bytes4(keccak256("ERC2612ExpiredSignature(uint256)"))
        );
        denied(
            "delegateBySig(address,uint256,uint256,uint8,bytes32,bytes32)",
            bytes4(keccak256("VotesExpiredSignature(uint256)"))
        );
        anybody("approve(address,uint256)");
        anybody("delegate(address)");
        anybody("transfer(address,uint256)");
        complete();
    }

    function test_fab_timelock() public {
        begin("FabTimelock", address(timelock));
        denied("applyPolicy(address,bytes)", FabTimelock.NotParameterStore.selector);
        denied("cancel(bytes32)", ROLE);
        denied("grantRole(bytes32,address)", ROLE);
        denied("revokeRole(bytes32,address)", ROLE);
        denied("schedule(address,uint256,bytes,bytes32,bytes32,uint256)", ROLE);
        denied("scheduleBatch(address[],uint256[],bytes[],bytes32,bytes32,uint256)", ROLE);
        denied("setParameterStore(address)", ROLE);
        deniedCall(
            "renounceRole(bytes32,address)",
            abi.encodeCall(timelock.renounceRole, (timelock.PROPOSER_ROLE(), address(governor))),
            IAccessControl.AccessControlBadConfirmation.selector
        );
        deniedCall(
            "updateDelay(uint256)",
            abi.encodeCall(timelock.updateDelay, (3 days)),
            TimelockController.TimelockUnauthorizedCaller.selector
        );
        bytes4 notReady = TimelockController.TimelockUnexpectedOperationState.selector;
        denied("execute(address,uint256,bytes,bytes32,bytes32)", notReady);
        denied("executeBatch(address[],uint256[],bytes[],bytes32,bytes32)", notReady);
        anybody("acceptOwnershipOf(address)");
        anybody("onERC1155BatchReceived(address,address,uint256[],uint256[],bytes)");
        anybody("onERC1155Received(address,address,uint256,uint256,bytes)");
        anybody("onERC721Received(address,address,uint256,bytes)");
        complete();
    }

    function test_fab_governor() public {
        Proposal memory p = propose(address(registry), abi.encodeCall(registry.setModel, ("new", true)));
        begin("FabGovernor", address(governor));
        deniedCall("relay(address,uint256,bytes)", abi.encodeCall(governor.relay, (stranger, 0, "")), EXECUTOR);
        denied("setLateQuorumVoteExtension(uint48)", EXECUTOR);
        denied("setProposalThreshold(uint256)", EXECUTOR);
        denied("setVotingDelay(uint48)", EXECUTOR);
        denied("setVotingPeriod(uint32)", EXECUTOR);
        denied("updateQuorumNumerator(uint256)", EXECUTOR);
        denied("updateTimelock(address)", EXECUTOR);
        deniedCall(
            "propose(address[],uint256[],bytes[],string)",
            abi.encodeCall(governor.propose, (p.targets, p.values, p.data, "mine")),
            IGovernor.GovernorInsufficientProposerVotes.selector
        );
        deniedCall(
            "cancel(address[],uint256[],bytes[],bytes32)",
            abi.encodeCall(governor.cancel, (p.targets, p.values, p.data, p.description)),
            IGovernor.GovernorUnableToCancel.selector
        );
        bytes4 state = IGovernor.GovernorUnexpectedProposalState.selector;
        deniedCall(
            "queue(address[],uint256[],bytes[],bytes32)",
            abi.encodeCall(governor.queue, (p.targets, p.values, p.data, p.description)),
            state
        );
        deniedCall(
            "execute(address[],uint256[],bytes[],bytes32)",
            abi.encodeCall(governor.execute, (p.targets, p.values, p.data, p.description)),
            state
        );
        bytes4 signature = IGovernor.GovernorInvalidSignature.selector;
        deniedCall(
            "castVoteBySig(uint256,uint8,address,bytes)",
            abi.encodeCall(governor.castVoteBySig, (p.id, FOR, whale, "")),
            signature
        );
        deniedCall(
            "castVoteWithReasonAndParamsBySig(uint256,uint8,address,string,bytes,bytes)",
            abi.encodeCall(governor.castVoteWithReasonAndParamsBySig, (p.id, FOR, whale, "", "", "")),
            signature
        );
        anybody("quorumNumerator()");
        anybody("quorumNumerator(uint256)");
        anybody("castVote(uint256,uint8)");
        anybody("castVoteWithReason(uint256,uint8,string)");
        anybody("castVoteWithReasonAndParams(uint256,uint8,string,bytes)");
        anybody("onERC1155BatchReceived(address,address,uint256[],uint256[],bytes)");
        anybody("onERC1155Received(address,address,uint256,uint256,bytes)");
        anybody("onERC721Received(address,address,uint256,bytes)");
        complete();
    }

    function test_what_governance_is_made_of() public {
        begin("ParameterStore", address(store));
        denied("set(uint8[],uint256[])", ParameterStore.NotTimelock.selector);
        complete();

        begin("Guardian", address(watchman));
        denied("pause()", Guardian.NotAllowed.selector);
        denied("resume()", Guardian.NotAllowed.selector);
        denied("setBreaker(address)", Guardian.NotAllowed.selector);
        denied("setKeeper(address)", Guardian.NotAllowed.selector);
        complete();

        begin("CircuitBreaker", address(breaker));
        denied("mark(address)", CircuitBreaker.NotAllowed.selector);
        denied("setCap(address,uint256)", CircuitBreaker.NotAllowed.selector);
        anybody("trip(address)");
        complete();

        begin("SignatureVerifier", verifier);
        anybody("isValidSignature(address,bytes32,bytes)");
        complete();
    }
}
