// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ERC1967Proxy } from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import { Test } from "forge-std/Test.sol";

import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
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
    uint256 internal constant PRICE = 10e6;

    address internal owner = makeAddr("owner");
    address internal treasury = makeAddr("treasury");
    address internal guardian = makeAddr("guardian");
    address internal payer = makeAddr("payer");
    address internal stranger = makeAddr("stranger");
    address internal host;
    uint256 internal hostKey;

    TestUSDC internal usdc;
    TestToken internal fab;
    INodeRegistry internal registry;
    IJobMarketplace internal jobs;
    IPaymentEscrow internal escrow;

    function setUp() public virtual {
        (host, hostKey) = makeAddrAndKey("host");
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
        address verifier = deployCode("SignatureVerifier.sol:SignatureVerifier");
        address[] memory controllers = new address[](2);
        (controllers[0], controllers[1]) = (address(registry), address(jobs));
        escrow =
            IPaymentEscrow(deployCode("PaymentEscrow.sol:PaymentEscrow", abi.encode(controllers, PERMIT2, verifier)));

        address[] memory markets = new address[](1);
        markets[0] = address(jobs);
        vm.startPrank(owner);
        registry.wire(address(escrow), markets);
        registry.setModel(MODEL, true);
        registry.setModel(OTHER_MODEL, true);
        jobs.wire(address(escrow), address(registry));
        jobs.openToken(address(usdc));
        vm.stopPrank();
    }

    function proxyOf(string memory artifact, bytes memory init) internal returns (address) {
        return address(new ERC1967Proxy(deployCode(artifact), init));
    }

    function registryInit() internal view returns (bytes memory) {
        return abi.encodeCall(INodeRegistry.initialize, (owner, address(fab), stakePolicy()));
    }

    function jobsInit() internal view returns (bytes memory) {
        return abi.encodeCall(IJobMarketplace.initialize, (owner, treasury, jobPolicy()));
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
            counterWindow: 1 days,
            arbiterWindow: 3 days,
            bondBps: 1_000,
            idleSlashBps: 1_000,
            faultSlashBps: 5_000,
            maxDuration: 30 days
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
}
