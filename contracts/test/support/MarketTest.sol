// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ERC1967Proxy } from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import { Test } from "forge-std/Test.sol";

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { TestUSDC } from "../../src/testing/TestUSDC.sol";
import { TestToken } from "./TestToken.sol";

/// @notice The marketplace as deployed, with a few actors. The contracts come from their artifacts.
abstract contract MarketTest is Test {
    address internal constant ETH = address(0);
    address internal constant PERMIT2 = 0x000000000022D473030F116dDEE9F6B43aC78BA3;
    bytes32 internal constant MODEL = "llama-3.3-70b";
    bytes32 internal constant OTHER_MODEL = "qwen-3-32b";
    bytes32 internal constant RESULT = keccak256("result");

    uint88 internal constant MIN_STAKE = 1_000e18;
    uint88 internal constant STAKE_PER_ENGAGEMENT = 100e18;
    uint16 internal constant CAPACITY = 8;
    uint16 internal constant FEE_BPS = 250;
    uint24 internal constant REVIEW = 1 days;
    uint24 internal constant COUNTER = 1 days;
    uint24 internal constant ARBITRATION = 3 days;
    uint16 internal constant BOND_BPS = 1_000;
    uint16 internal constant IDLE_SLASH_BPS = 1_000;
    uint16 internal constant FAULT_SLASH_BPS = 5_000;
    uint24 internal constant GRACE = 1 hours;
    uint256 internal constant PRICE = 10e6;
    uint256 internal constant BOND = PRICE * BOND_BPS / 10_000;
    uint80 internal constant PER_MILLION = 2e6;
    uint256 internal constant DEPOSIT = 20e6;
    uint32 internal constant DURATION = 1 days;
    address internal constant BURN = 0x000000000000000000000000000000000000dEaD;

    address internal owner = makeAddr("owner");
    address internal treasury = makeAddr("treasury");
    address internal guardian = makeAddr("guardian");
    address internal arbiter = makeAddr("arbiter");
    address internal payer;
    uint256 internal payerKey;
    address internal voucherKey;
    uint256 internal voucherSecret;
    address internal stranger = makeAddr("stranger");
    address internal host;
    uint256 internal hostKey;

    TestUSDC internal usdc;
    TestToken internal fab;
    INodeRegistry internal registry;
    IJobMarketplace internal jobs;
    ISessionMarketplace internal sessions;
    IReputationSystem internal reputation;
    IEzklProofs internal proofs;
    IPaymentEscrow internal escrow;
    address internal verifier;

    function setUp() public virtual {
        (host, hostKey) = makeAddrAndKey("host");
        (payer, payerKey) = makeAddrAndKey("payer");
        (voucherKey, voucherSecret) = makeAddrAndKey("voucherKey");
        vm.warp(1_800_000_000);
        usdc = new TestUSDC();
        fab = new TestToken("Fabstir", "FAB", 18);
        deployMarket();
        fund(payer);
        fund(host);
    }

    /// @dev Proxies first, then the escrow that fixes them, then the wires.
    function deployMarket() internal {
        registry = INodeRegistry(proxyOf("NodeRegistry.sol:NodeRegistry", registryInit()));
        jobs = IJobMarketplace(proxyOf("JobMarketplace.sol:JobMarketplace", jobsInit()));
        sessions = ISessionMarketplace(proxyOf("SessionMarketplace.sol:SessionMarketplace", sessionsInit()));
        reputation = IReputationSystem(proxyOf("ReputationSystem.sol:ReputationSystem", reputationInit()));
        bytes memory proofsInit = abi.encodeCall(IEzklProofs.initialize, (owner));
        proofs = IEzklProofs(proxyOf("ProofSystem.sol:ProofSystem", proofsInit));
        verifier = deployCode("SignatureVerifier.sol:SignatureVerifier");
        address[] memory controllers = new address[](4);
        (controllers[0], controllers[1], controllers[2]) = (address(registry), address(jobs), address(sessions));
        controllers[3] = address(proofs);
        escrow =
            IPaymentEscrow(deployCode("PaymentEscrow.sol:PaymentEscrow", abi.encode(controllers, PERMIT2, verifier)));

        address[] memory markets = new address[](2);
        (markets[0], markets[1]) = (address(jobs), address(sessions));
        vm.startPrank(owner);
        registry.wire(address(escrow), address(fab), markets);
        registry.setModel(MODEL, true);
        registry.setModel(OTHER_MODEL, true);
        registry.setReputation(address(reputation));
        jobs.wire(address(escrow), address(registry));
        jobs.openToken(address(usdc));
        jobs.setArbiter(arbiter);
        sessions.wire(address(escrow), address(registry));
        proofs.wire(address(escrow), address(jobs), address(reputation));
        reputation.setMarket(address(jobs), true);
        reputation.setMarket(address(sessions), true);
        vm.stopPrank();
    }

    function proxyOf(string memory artifact, bytes memory init) internal virtual returns (address) {
        return address(new ERC1967Proxy(deployCode(artifact), init));
    }

    /// @dev External, so that a failing constructor can be expected.
    function proxyWith(address implementation, bytes memory init) external returns (address) {
        return address(new ERC1967Proxy(implementation, init));
    }

    function registryInit() internal view returns (bytes memory) {
        return abi.encodeCall(INodeRegistry.initialize, (owner, stakePolicy()));
    }

    function jobsInit() internal view returns (bytes memory) {
        return abi.encodeCall(IJobMarketplace.initialize, (owner, treasury, jobPolicy()));
    }

    function sessionsInit() internal view returns (bytes memory) {
        return abi.encodeCall(ISessionMarketplace.initialize, (owner, sessionPolicy()));
    }

    function reputationInit() internal view returns (bytes memory) {
        return abi.encodeCall(IReputationSystem.initialize, (owner, address(registry), reputationPolicy()));
    }

    function stakePolicy() internal pure returns (INodeRegistry.StakePolicy memory) {
        return INodeRegistry.StakePolicy({
            minStake: MIN_STAKE,
            stakePerEngagement: STAKE_PER_ENGAGEMENT,
            unbondingPeriod: 7 days,
            challengerBps: 3_000,
            payerBps: 4_000
        });
    }

    function jobPolicy() internal pure returns (IJobMarketplace.JobPolicy memory) {
        return IJobMarketplace.JobPolicy({
            feeBps: FEE_BPS,
            reviewWindow: REVIEW,
            counterWindow: COUNTER,
            arbiterWindow: ARBITRATION,
            bondBps: BOND_BPS,
            idleSlashBps: IDLE_SLASH_BPS,
            faultSlashBps: FAULT_SLASH_BPS,
            maxDuration: 30 days
        });
    }

    function sessionPolicy() internal pure returns (ISessionMarketplace.SessionPolicy memory) {
        return ISessionMarketplace.SessionPolicy({ feeBps: FEE_BPS, grace: GRACE, maxDuration: 30 days });
    }

    function reputationPolicy() internal pure returns (IReputationSystem.ReputationPolicy memory) {
        return IReputationSystem.ReputationPolicy({
            halfLife: 30 days, capPeriod: 7 days, payerCap: 100e6, priorWeight: 10e6
        });
    }

    /// @dev Gives an account tokens, ETH and allowances to the escrow.
    function fund(address account) internal {
        usdc.mint(account, 1_000_000e6);
        fab.mint(account, 1_000_000e18);
        vm.deal(account, 100 ether);
        vm.startPrank(account);
        usdc.approve(address(escrow), type(uint256).max);
        fab.approve(address(escrow), type(uint256).max);
        vm.stopPrank();
    }

    function profile() internal pure returns (INodeRegistry.Profile memory) {
        return INodeRegistry.Profile({
            endpoint: "https://host.example", metadataHash: keccak256("metadata"), region: "eu-west", hardware: "8xH100"
        });
    }

    function offersOf(bytes32 modelId, address token, uint80 price)
        internal
        pure
        returns (INodeRegistry.Offer[] memory offers)
    {
        offers = new INodeRegistry.Offer[](1);
        offers[0] = INodeRegistry.Offer({ modelId: modelId, token: token, pricePerMillion: price });
    }

    function register(address account) internal {
        vm.prank(account);
        registry.register(MIN_STAKE, CAPACITY, profile(), offersOf(MODEL, address(usdc), 2e6));
    }

    function request(address forHost) internal view returns (IJobMarketplace.JobRequest memory) {
        return IJobMarketplace.JobRequest({
            host: forHost,
            token: address(usdc),
            amount: PRICE,
            modelId: MODEL,
            deadline: uint40(block.timestamp + 1 hours),
            proofRequired: false,
            inputHash: keccak256("input"),
            inputURI: "ipfs://input"
        });
    }

    function post(address forHost) internal returns (bytes32 jobId) {
        vm.prank(payer);
        return jobs.postJob(request(forHost));
    }

    function postAndClaim() internal returns (bytes32 jobId) {
        jobId = post(host);
        vm.prank(host);
        jobs.claimJob(jobId, PRICE);
    }

    function postClaimSubmit() internal returns (bytes32 jobId) {
        jobId = postAndClaim();
        vm.prank(host);
        jobs.submitResult(jobId, RESULT, "ipfs://result");
    }

    function statusOf(bytes32 jobId) internal view returns (IJobMarketplace.JobStatus) {
        return jobs.jobOf(jobId).status;
    }

    function lockedIn(address controller, bytes32 id) internal view returns (uint256 amount) {
        (,, amount) = escrow.lockOf(controller, id);
    }

    function stakeLock(address account) internal view returns (uint256) {
        return lockedIn(address(registry), bytes32(uint256(uint160(account))));
    }

    function challenge(bytes32 jobId) internal {
        vm.prank(payer);
        jobs.challengeResult(jobId, "reason");
    }

    function counter(bytes32 jobId) internal {
        vm.prank(host);
        jobs.counterChallenge(jobId, "reason");
    }

    // ------------------------------------------------------------------------------------------------ sessions

    function quote() internal view returns (ISessionMarketplace.SessionQuote memory) {
        return ISessionMarketplace.SessionQuote({
            host: host,
            payer: address(0),
            modelId: MODEL,
            token: address(usdc),
            pricePerMillion: PER_MILLION,
            minDeposit: 1e6,
            maxDeposit: 1_000e6,
            duration: DURATION,
            validUntil: uint40(block.timestamp + 1 hours)
        });
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function open() internal returns (bytes32 sessionId) {
        return openWith(voucherKey);
    }

    function openWith(address key) internal returns (bytes32 sessionId) {
        ISessionMarketplace.SessionQuote memory q = quote();
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        return sessions.openSession(q, signature, DEPOSIT, key);
    }

    /// @dev A voucher with just enough tokens for its amount.
    function voucherFor(bytes32 sessionId, uint256 amount) internal pure returns (ISessionMarketplace.Voucher memory) {
        return ISessionMarketplace.Voucher({
            sessionId: sessionId,
            cumulativeAmount: amount,
            tokens: (amount * 1e6 + PER_MILLION - 1) / PER_MILLION,
            transcriptRoot: keccak256(abi.encode(sessionId, amount))
        });
    }

    function signVoucher(ISessionMarketplace.Voucher memory voucher) internal view returns (bytes memory) {
        return sign(voucherSecret, sessions.voucherDigest(voucher));
    }

    function settle(bytes32 sessionId, uint256 amount) internal returns (uint256) {
        ISessionMarketplace.Voucher memory voucher = voucherFor(sessionId, amount);
        return sessions.settle(voucher, signVoucher(voucher));
    }

    function closeByHost(bytes32 sessionId, uint256 amount) internal {
        ISessionMarketplace.Voucher memory voucher = voucherFor(sessionId, amount);
        bytes memory signature = signVoucher(voucher);
        vm.prank(host);
        sessions.closeByHost(voucher, signature);
    }

    function sessionStatus(bytes32 sessionId) internal view returns (ISessionMarketplace.SessionStatus) {
        return sessions.sessionOf(sessionId).status;
    }
}
