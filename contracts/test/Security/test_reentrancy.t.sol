// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { ISignatureTransfer } from "../../src/marketplace/interfaces/ITokenSignatures.sol";
import { Abi } from "../support/Abi.sol";
import { HookCaller, HostileReceiver } from "../support/Attackers.sol";
import { HostileToken } from "../support/HostileToken.sol";
import { MarketTest } from "../support/MarketTest.sol";

/// @notice A hostile token with every door that the escrow knows.
contract ReentrantToken is HostileToken {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 amount,
        uint256,
        uint256,
        bytes32,
        bytes calldata
    ) external {
        _move(from, to, amount);
    }

    /// @dev As if it were Permit2 as well.
    function permitTransferFrom(
        ISignatureTransfer.PermitTransferFrom calldata,
        ISignatureTransfer.SignatureTransferDetails calldata details,
        address from,
        bytes calldata
    ) external {
        _move(from, details.to, details.requestedAmount);
    }
}

/// @notice From the middle of every call that moves money, every function of the same contract is called. The functions
/// are those of the compiled ABI: a new one that has no guard fails, unless it is named here.
contract ReentrancyTest is MarketTest {
    using Abi for string[];

    bytes4 private constant REENTRANT = bytes4(keccak256("ReentrancyGuardReentrantCall()"));

    HookCaller private hook;
    ReentrantToken private token;
    /// @dev What changes state without a guard: it calls nobody that could call back.
    string[] private unguarded;

    function setUp() public override {
        super.setUp();
        hook = new HookCaller();
        token = new ReentrantToken();
        vm.prank(owner);
        jobs.openToken(address(token));
        register(host);
        reentrant(payer);
        reentrant(host);
        unguarded = [
            "acceptOwnership()",
            "pauseEntry()",
            "renounceOwnership()",
            "resumeEntry()",
            "setGuardian(address)",
            "transferOwnership(address)",
            "upgradeToAndCall(address,bytes)"
        ];
    }

    /// @dev Has the token call the hook whenever `account` pays.
    function reentrant(address account) private {
        token.mint(account, 1e30);
        token.setHook(account, hook);
        vm.prank(account);
        token.approve(address(escrow), type(uint256).max);
    }

    /// @dev Calls each function of `name` from within `outer`, which this contract has.
    function attack(string memory name, address target, function() outer) private {
        string[] memory signatures = Abi.mutating(name);
        uint256 tried;
        for (uint256 i; i < signatures.length; ++i) {
            if (unguarded.has(signatures[i])) continue;
            uint256 snapshot = vm.snapshotState();
            hook.set(target, Abi.zeros(signatures[i]));
            outer();
            assertFalse(hook.succeeded(), signatures[i]);
            assertEq(bytes4(hook.result()), REENTRANT, signatures[i]);
            vm.revertToStateAndDelete(snapshot);
            ++tried;
        }
        assertGt(tried, 4, "few functions");
    }

    // -------------------------------------------------------------------------------------------------- escrow

    /// @dev An escrow with a hostile controller, a hostile token and a hostile Permit2, so that no check comes first.
    function hostileEscrow() private {
        address[] memory controllers = new address[](2);
        (controllers[0], controllers[1]) = (address(hook), address(this));
        bytes memory arguments = abi.encode(controllers, address(token), verifier);
        escrow = IPaymentEscrow(deployCode("PaymentEscrow.sol:PaymentEscrow", arguments));
        escrow.openToken(address(token));
        reentrant(payer);
        vm.prank(payer);
        escrow.deposit(address(token), 1e6);
        escrow.lock("held", payer, address(token), 1e6);
        token.setHook(address(escrow), hook);
        // A controller's own business with the list of tokens moves nothing.
        unguarded = ["openToken(address)", "closeToken(address)"];
    }

    function booksAreRight() private view {
        assertEq(token.balanceOf(address(escrow)), escrow.liabilitiesOf(address(token)), "books");
    }

    function deposit() private {
        vm.prank(payer);
        escrow.deposit(address(token), 10);
        booksAreRight();
    }

    function depositFor() private {
        vm.prank(payer);
        escrow.depositFor(host, address(token), 10);
        booksAreRight();
    }

    function depositWithPermit() private {
        vm.prank(payer);
        escrow.depositWithPermit(address(token), 10, 0, 0, 0, 0);
        booksAreRight();
    }

    function depositWithAuthorization() private {
        escrow.depositWithAuthorization(address(token), payer, 10, 0, 0, 0, "");
        booksAreRight();
    }

    function depositWithPermit2() private {
        escrow.depositWithPermit2(address(token), payer, 10, 0, 0, "");
        booksAreRight();
    }

    function withdraw() private {
        vm.prank(payer);
        escrow.withdraw(address(token), payer, 10);
        booksAreRight();
    }

    function withdrawBySignature() private {
        IPaymentEscrow.Withdrawal memory w = IPaymentEscrow.Withdrawal({
            account: payer, token: address(token), to: payer, amount: 10, nonce: 0, validUntil: block.timestamp
        });
        escrow.withdrawBySignature(w, sign(payerKey, escrow.withdrawalDigest(w)));
        booksAreRight();
    }

    function lock() private {
        escrow.lock("new", payer, address(token), 10_000e6);
        booksAreRight();
    }

    function increaseLock() private {
        escrow.increaseLock("held", 10_000e6);
        booksAreRight();
    }

    function test_nothing_reenters_a_deposit() public {
        hostileEscrow();
        attack("PaymentEscrow", address(escrow), deposit);
        attack("PaymentEscrow", address(escrow), depositFor);
        attack("PaymentEscrow", address(escrow), depositWithPermit);
        attack("PaymentEscrow", address(escrow), depositWithAuthorization);
        attack("PaymentEscrow", address(escrow), depositWithPermit2);
    }

    function test_nothing_reenters_a_withdrawal() public {
        hostileEscrow();
        deposit();
        attack("PaymentEscrow", address(escrow), withdraw);
        attack("PaymentEscrow", address(escrow), withdrawBySignature);
    }

    function test_nothing_reenters_a_lock() public {
        hostileEscrow();
        attack("PaymentEscrow", address(escrow), lock);
        attack("PaymentEscrow", address(escrow), increaseLock);
    }

    /// @dev ETH has no hook; its receiver is one.
    function test_nothing_reenters_a_withdrawal_of_eth() public {
        HostileReceiver receiver = new HostileReceiver();
        address[] memory controllers = new address[](1);
        controllers[0] = address(receiver);
        escrow = IPaymentEscrow(
            deployCode("PaymentEscrow.sol:PaymentEscrow", abi.encode(controllers, address(token), verifier))
        );
        vm.deal(address(this), 1 ether);
        escrow.depositFor{ value: 1 ether }(address(receiver), ETH, 1 ether);
        string[] memory signatures = Abi.mutating("PaymentEscrow");
        unguarded = ["openToken(address)", "closeToken(address)"];
        bytes memory call = abi.encodeCall(IPaymentEscrow.withdraw, (ETH, address(receiver), 1));
        for (uint256 i; i < signatures.length; ++i) {
            if (unguarded.has(signatures[i])) continue;
            receiver.set(HostileReceiver.Mode.Reenter, address(escrow), Abi.zeros(signatures[i]));
            receiver.execute(address(escrow), 0, call);
            assertFalse(receiver.reentered(), signatures[i]);
            assertEq(bytes4(receiver.seen()), REENTRANT, signatures[i]);
        }
        assertEq(address(escrow).balance, escrow.liabilitiesOf(ETH));
    }

    // -------------------------------------------------------------------------------------------------- markets

    function tokenRequest() private view returns (IJobMarketplace.JobRequest memory r) {
        r = request(host);
        r.token = address(token);
    }

    function postTokenJob() private {
        vm.prank(payer);
        jobs.postJob(tokenRequest());
    }

    function postTokenJobWithQuote() private {
        IJobMarketplace.JobRequest memory r = tokenRequest();
        IJobMarketplace.JobQuote memory q = IJobMarketplace.JobQuote({
            host: host,
            payer: payer,
            modelId: r.modelId,
            token: r.token,
            amount: r.amount,
            inputHash: r.inputHash,
            minDuration: 0,
            validUntil: r.deadline,
            nonce: 1
        });
        bytes memory signature = sign(hostKey, jobs.quoteDigest(q));
        vm.prank(payer);
        jobs.postJobWithQuote(r, q, signature);
    }

    /// @dev A job with its result in.
    function submittedTokenJob() private returns (bytes32 jobId) {
        hook.set(address(0), "");
        vm.prank(payer);
        jobId = jobs.postJob(tokenRequest());
        vm.startPrank(host);
        jobs.claimJob(jobId, PRICE);
        jobs.submitResult(jobId, RESULT, "");
        vm.stopPrank();
    }

    function challengeTokenJob() private {
        challenge(jobs.jobIdOf(payer, 1));
    }

    function counterTokenJob() private {
        counter(jobs.jobIdOf(payer, 1));
    }

    function exceptJobs() private {
        string[9] memory owners = [
            "initialize(address,address,(uint16,uint24,uint24,uint24,uint16,uint16,uint16,uint32))",
            "closeToken(address)",
            "openToken(address)",
            "setArbiter(address)",
            "setPolicy((uint16,uint24,uint24,uint24,uint16,uint16,uint16,uint32))",
            "setProofSystem(address)",
            "setTreasury(address)",
            "wire(address,address)",
            // Marks a nonce of the caller's; calls nobody.
            "cancelQuote(uint256)"
        ];
        for (uint256 i; i < owners.length; ++i) {
            unguarded.push(owners[i]);
        }
    }

    function test_nothing_reenters_the_posting_of_a_job() public {
        exceptJobs();
        attack("JobMarketplace", address(jobs), postTokenJob);
        attack("JobMarketplace", address(jobs), postTokenJobWithQuote);
    }

    function test_nothing_reenters_a_dispute() public {
        exceptJobs();
        bytes32 jobId = submittedTokenJob();
        attack("JobMarketplace", address(jobs), challengeTokenJob);
        hook.set(address(0), "");
        challenge(jobId);
        attack("JobMarketplace", address(jobs), counterTokenJob);
    }

    function openTokenSession() private {
        ISessionMarketplace.SessionQuote memory q = quote();
        q.token = address(token);
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        sessions.openSession(q, signature, DEPOSIT, voucherKey);
    }

    function topUpTokenSession() private {
        vm.prank(payer);
        sessions.topUp(_session, 1e6);
    }

    bytes32 private _session;

    function exceptSessions() private {
        unguarded.push("initialize(address,(uint16,uint24,uint32))");
        unguarded.push("setPolicy((uint16,uint24,uint32))");
        unguarded.push("wire(address,address)");
    }

    function test_nothing_reenters_the_opening_of_a_session() public {
        exceptSessions();
        attack("SessionMarketplace", address(sessions), openTokenSession);
    }

    function test_nothing_reenters_a_top_up() public {
        exceptSessions();
        ISessionMarketplace.SessionQuote memory q = quote();
        q.token = address(token);
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        _session = sessions.openSession(q, signature, DEPOSIT, voucherKey);
        attack("SessionMarketplace", address(sessions), topUpTokenSession);
    }

    /// @dev The signature asks for a preparation (ERC-6492), and the preparation is the attack. No token is needed for it.
    function settleWithPreparation() private {
        ISessionMarketplace.Voucher[] memory vouchers = new ISessionMarketplace.Voucher[](1);
        bytes[] memory signatures = new bytes[](1);
        vouchers[0] = voucherFor(_session, 1e6);
        bytes memory preparation = abi.encodeCall(hook.onTransfer, (address(0), address(0), 0));
        signatures[0] = abi.encodePacked(
            abi.encode(address(hook), preparation, bytes("")),
            bytes32(0x6492649264926492649264926492649264926492649264926492649264926492)
        );
        assertEq(sessions.settleBatch(vouchers, signatures)[0], 0);
    }

    function test_nothing_reenters_a_check_of_a_signature() public {
        exceptSessions();
        _session = open();
        attack("SessionMarketplace", address(sessions), settleWithPreparation);
    }

    // ---------------------------------------------------------------------------------------------------- bonds

    function assertTokenJob() private {
        bytes32 jobId = jobs.jobIdOf(payer, 1);
        vm.prank(host);
        proofs.assertResult(jobId);
    }

    function challengeTokenAssertion() private {
        bytes32 jobId = jobs.jobIdOf(payer, 1);
        vm.prank(payer);
        proofs.challengeAssertion(jobId);
    }

    function test_nothing_reenters_an_assertion_or_its_challenge() public {
        string[5] memory owners = [
            "initialize(address)",
            "registerKey(bytes32,address,bytes32,uint256,uint256,uint256)",
            "retireKey(bytes32)",
            "wire(address,address,address)",
            // Notes what the payer allows; calls nobody but the market.
            "allowAssertion(bytes32,uint24,uint24)"
        ];
        for (uint256 i; i < owners.length; ++i) {
            unguarded.push(owners[i]);
        }
        vm.prank(owner);
        jobs.setProofSystem(address(proofs));
        IJobMarketplace.JobRequest memory r = tokenRequest();
        r.proofRequired = true;
        vm.prank(payer);
        bytes32 jobId = jobs.postJob(r);
        vm.prank(payer);
        proofs.allowAssertion(jobId, 1 hours, 1 hours);
        vm.startPrank(host);
        jobs.claimJob(jobId, PRICE);
        jobs.submitResult(jobId, RESULT, "");
        vm.stopPrank();
        attack("ProofSystem", address(proofs), assertTokenJob);
        hook.set(address(0), "");
        assertTokenJob();
        attack("ProofSystem", address(proofs), challengeTokenAssertion);
        assertEq(uint8(proofs.recordOf(jobId).challengedAt), 0);
    }

    // ---------------------------------------------------------------------------------------------------- stake

    function registerHook() private {
        vm.prank(address(hook));
        registry.register(MIN_STAKE, CAPACITY, profile(), offersOf(MODEL, address(usdc), 2e6));
    }

    function addHookStake() private {
        vm.prank(address(hook));
        registry.addStake(1e18);
    }

    /// @dev The stake token turns hostile, and a host with it.
    function test_nothing_reenters_the_registry() public {
        string[15] memory harmless = [
            "initialize(address,(uint88,uint88,uint32,uint16,uint16))",
            "setMarket(address,bool)",
            "setModel(bytes32,bool)",
            "setReputation(address)",
            "setStakePolicy((uint88,uint88,uint32,uint16,uint16))",
            "setTier(uint256,(uint16,uint16))",
            "wire(address,address,address[])",
            "setTierOf(address,uint8)",
            // The host's own terms, and engagements, which markets count under guards of their own.
            "setCapacity(uint16)",
            "setOffers((bytes32,address,uint80)[])",
            "setPaused(bool)",
            "setProfile((string,bytes32,bytes8,bytes24))",
            "acquire(address,bytes32)",
            "release(address)",
            "refresh(address)"
        ];
        for (uint256 i; i < harmless.length; ++i) {
            unguarded.push(harmless[i]);
        }
        vm.etch(address(fab), address(token).code);
        token = ReentrantToken(address(fab));
        token.setIndex(100);
        token.setMode(HostileToken.Mode.Honest);
        reentrant(address(hook));
        hook.set(address(0), "");
        registerHook();
        attack("NodeRegistry", address(registry), addHookStake);
        assertEq(registry.nodeOf(address(hook)).stake, MIN_STAKE);
        assertEq(uint8(registry.nodeOf(address(hook)).status), uint8(INodeRegistry.NodeStatus.Active));
    }
}
