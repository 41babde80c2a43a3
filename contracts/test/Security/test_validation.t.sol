// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Initializable } from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import { OwnableUpgradeable } from "@openzeppelin/contracts-upgradeable/access/OwnableUpgradeable.sol";

import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { Abi } from "../support/Abi.sol";
import { ProofTest } from "../support/ProofTest.sol";

/// @notice What comes from outside is taken as it is or refused for a reason that is foretold here, whatever it is.
contract ValidationTest is ProofTest {
    // ------------------------------------------------------------------------- every function, from the compiled ABI

    /// @dev The contracts with their addresses and somebody who gets past their access checks.
    function eachContract(function(string memory, address, address) check) private {
        check("NodeRegistry", address(registry), owner);
        check("JobMarketplace", address(jobs), owner);
        check("SessionMarketplace", address(sessions), owner);
        check("ReputationSystem", address(reputation), owner);
        check("ProofSystem", address(proofs), owner);
        check("PaymentEscrow", address(escrow), address(jobs));
    }

    function test_arguments_must_be_whole() public {
        eachContract(refusesHalfArguments);
    }

    function refusesHalfArguments(string memory name, address target, address caller) private {
        string[] memory signatures = Abi.mutating(name);
        for (uint256 i; i < signatures.length; ++i) {
            bool none = bytes(signatures[i])[bytes(signatures[i]).length - 2] == "(";
            if (none) continue;
            bytes4 selector = bytes4(keccak256(bytes(signatures[i])));
            vm.prank(caller);
            (bool success, bytes memory result) = target.call(abi.encodePacked(selector, new bytes(31)));
            assertFalse(success, signatures[i]);
            assertEq(result.length, 0, string.concat(signatures[i], ": refused by something else than the decoder"));
        }
    }

    function test_only_payable_functions_take_ether() public {
        eachContract(refusesEther);
    }

    function refusesEther(string memory name, address target, address caller) private {
        vm.deal(caller, 1 ether);
        string[] memory signatures = Abi.withoutValue(name);
        for (uint256 i; i < signatures.length; ++i) {
            vm.prank(caller);
            (bool success, bytes memory result) = target.call{ value: 1 }(Abi.zeros(signatures[i]));
            assertFalse(success, signatures[i]);
            assertEq(result.length, 0, string.concat(signatures[i], ": refused by something else than its value"));
        }
        assertGt(signatures.length, 5, "few functions");
        vm.prank(caller);
        (bool taken,) = target.call{ value: 1 }("");
        assertFalse(taken, name);
        assertEq(target.balance, 0, name);
    }

    function test_unknown_functions_are_refused() public {
        eachContract(refusesUnknown);
    }

    function refusesUnknown(string memory name, address target, address caller) private {
        vm.prank(caller);
        (bool success,) = target.call(abi.encodeWithSignature("rescue(address,address,uint256)", usdc, caller, 1));
        assertFalse(success, name);
    }

    // ---------------------------------------------------------------------------------------------- initializing

    /// @dev Nobody may own an implementation: its storage is not the market's, but `upgradeToAndCall` runs in it.
    function test_implementations_cannot_be_initialized() public {
        refusesInitialization("NodeRegistry.sol:NodeRegistry", registryInit());
        refusesInitialization("JobMarketplace.sol:JobMarketplace", jobsInit());
        refusesInitialization("SessionMarketplace.sol:SessionMarketplace", sessionsInit());
        refusesInitialization("ReputationSystem.sol:ReputationSystem", reputationInit());
        refusesInitialization("ProofSystem.sol:ProofSystem", abi.encodeCall(IEzklProofs.initialize, (owner)));
    }

    function refusesInitialization(string memory artifact, bytes memory init) private {
        address implementation = deployCode(artifact);
        (bool success, bytes memory result) = implementation.call(init);
        assertFalse(success, artifact);
        assertEq(bytes4(result), Initializable.InvalidInitialization.selector, artifact);
    }

    function test_a_contract_without_owner_is_refused() public {
        owner = address(0);
        address[5] memory implementations = [
            deployCode("NodeRegistry.sol:NodeRegistry"),
            deployCode("JobMarketplace.sol:JobMarketplace"),
            deployCode("SessionMarketplace.sol:SessionMarketplace"),
            deployCode("ReputationSystem.sol:ReputationSystem"),
            deployCode("ProofSystem.sol:ProofSystem")
        ];
        bytes[5] memory inits = [
            registryInit(),
            jobsInit(),
            sessionsInit(),
            reputationInit(),
            abi.encodeCall(IEzklProofs.initialize, (owner))
        ];
        for (uint256 i; i < 5; ++i) {
            vm.expectRevert(abi.encodeWithSelector(OwnableUpgradeable.OwnableInvalidOwner.selector, address(0)));
            this.proxyWith(implementations[i], inits[i]);
        }
    }

    // ------------------------------------------------------------------------------------------------------ jobs

    function testFuzz_a_request_is_refused_or_written_as_it_is(IJobMarketplace.JobRequest memory r, uint256 shape)
        public
    {
        // Arbitrary fields seldom make a request that is accepted: some are made valid.
        if (shape & 1 == 0) r.deadline = uint40(bound(r.deadline, block.timestamp, block.timestamp + 31 days));
        if (shape & 2 == 0) r.amount = bound(r.amount, 0, 2_000_000e6);
        if (shape & 4 == 0) r.token = address(usdc);
        if (shape & 8 == 0) r.modelId = MODEL;
        if (shape & 16 == 0) r.host = payer;
        if (bytes(r.inputURI).length > 64) r.inputURI = "";
        bytes4 expected = requestError(r);
        bytes32 id = jobs.jobIdOf(payer, 1);
        vm.prank(payer);
        (bool success, bytes memory result) = address(jobs).call(abi.encodeCall(jobs.postJob, (r)));
        if (expected != 0) {
            assertFalse(success, "accepted");
            assertEq(bytes4(result), expected, "refused for another reason");
            assertEq(jobs.jobCountOf(payer), 0);
            return;
        }
        assertTrue(success, "refused");
        assertEq(abi.decode(result, (bytes32)), id);
        IJobMarketplace.Job memory job = jobs.jobOf(id);
        assertEq(job.host, r.host);
        assertEq(job.token, r.token);
        assertEq(job.amount, r.amount);
        assertEq(job.modelId, r.modelId);
        assertEq(job.deadline, r.deadline);
        assertEq(job.inputHash, r.inputHash);
        assertEq(job.proofRequired, r.proofRequired);
        assertEq(lockedIn(address(jobs), id), r.amount);
    }

    /// @dev In the order of the checks.
    function requestError(IJobMarketplace.JobRequest memory r) private view returns (bytes4) {
        if (r.host == payer) return IJobMarketplace.SelfDealing.selector;
        if (r.modelId != MODEL && r.modelId != OTHER_MODEL && r.modelId != TINY) {
            return IJobMarketplace.ModelNotAllowed.selector;
        }
        if (r.deadline <= block.timestamp || r.deadline > block.timestamp + 30 days) {
            return IJobMarketplace.BadDeadline.selector;
        }
        if (r.amount > type(uint88).max) return bytes4(keccak256("Overflow()"));
        if (r.token != address(usdc) && r.token != ETH && r.token != address(fab)) {
            return IPaymentEscrow.TokenNotOpen.selector;
        }
        if (r.amount == 0) return IPaymentEscrow.ZeroAmount.selector;
        if (r.token == ETH) return IPaymentEscrow.ValueMismatch.selector;
        uint256 balance = r.token == address(usdc) ? usdc.balanceOf(payer) : fab.balanceOf(payer);
        return r.amount > balance ? bytes4(keccak256("TransferFromFailed()")) : bytes4(0);
    }

    // -------------------------------------------------------------------------------------------------- sessions

    /// @dev A quote is hashed as it lies in calldata. Bits that its fields do not have must not pass.
    function test_dirty_upper_bits_of_a_quote_are_refused() public {
        ISessionMarketplace.SessionQuote memory q = quote();
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        bytes memory clean = abi.encodeCall(sessions.openSession, (q, signature, DEPOSIT, voucherKey));
        for (uint256 field; field < 9; ++field) {
            bytes memory dirty = bytes.concat(clean);
            dirty[4 + 32 * field] ^= 0x80;
            vm.prank(payer);
            (bool success,) = address(sessions).call(dirty);
            assertFalse(success, vm.toString(field));
        }
        vm.prank(payer);
        (bool accepted,) = address(sessions).call(clean);
        assertTrue(accepted);
    }

    function testFuzz_a_deposit_is_refused_or_locked(uint256 deposit, uint88 least, uint88 most, uint32 duration)
        public
    {
        ISessionMarketplace.SessionQuote memory q = quote();
        if (deposit % 2 == 0) deposit = bound(deposit, 0, 2_000_000e6);
        if (least % 2 == 0) (least, most) = (least % 10, type(uint88).max);
        if (duration % 2 == 0) duration %= 30 days;
        (q.minDeposit, q.maxDeposit, q.duration) = (least, most, duration);
        bytes4 expected;
        if (duration > 30 days) expected = ISessionMarketplace.OutOfBounds.selector;
        else if (deposit < least || deposit > most) expected = ISessionMarketplace.BadDeposit.selector;
        else if (deposit == 0) expected = IPaymentEscrow.ZeroAmount.selector;
        else if (deposit > usdc.balanceOf(payer)) expected = bytes4(keccak256("TransferFromFailed()"));
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        (bool success, bytes memory result) =
            address(sessions).call(abi.encodeCall(sessions.openSession, (q, signature, deposit, voucherKey)));
        assertEq(success, expected == 0);
        if (!success) {
            assertEq(bytes4(result), expected, "refused for another reason");
            return;
        }
        bytes32 id = abi.decode(result, (bytes32));
        assertEq(lockedIn(address(sessions), id), deposit);
        assertEq(sessions.sessionOf(id).settleUntil, block.timestamp + duration + GRACE);
    }

    /// @dev No number in a voucher makes it pay more than it is worth, or revert.
    function testFuzz_a_voucher_pays_what_it_is_worth(uint256 amount, uint256 tokens, uint80 price) public {
        ISessionMarketplace.SessionQuote memory q = quote();
        q.pricePerMillion = price;
        bytes memory signature = sign(hostKey, sessions.quoteDigest(q));
        vm.prank(payer);
        bytes32 id = sessions.openSession(q, signature, DEPOSIT, voucherKey);
        if (amount % 4 != 0) amount = bound(amount, 0, 2 * DEPOSIT);
        if (tokens % 4 != 0) tokens = bound(tokens, 0, 1e9);
        ISessionMarketplace.Voucher memory voucher = ISessionMarketplace.Voucher(id, amount, tokens, "root");
        uint256 expected = amount < DEPOSIT ? amount : DEPOSIT;
        // Beyond 128 bits the product would be no number; so many tokens are worth any deposit, unless they are free.
        if (tokens <= type(uint128).max) {
            uint256 worth = tokens * price / 1e6;
            if (worth < expected) expected = worth;
        }
        assertEq(sessions.previewSettle(voucher), expected);
        assertEq(sessions.settle(voucher, signVoucher(voucher)), expected);
        assertEq(escrow.creditOf(host, address(usdc)), expected - expected * FEE_BPS / 10_000);
        assertEq(lockedIn(address(sessions), id), DEPOSIT - expected);
    }

    // ----------------------------------------------------------------------------------------------------- hosts

    function testFuzz_a_host_is_refused_or_registered(uint256 stake, uint16 capacity, uint16 length) public {
        address fresh = makeAddr("fresh");
        fund(fresh);
        if (stake % 4 != 0) stake = bound(stake, MIN_STAKE - 1, 1_000_000e18 + 1);
        INodeRegistry.Profile memory p = profile();
        p.endpoint = string(new bytes(length % 2 == 0 ? length % 258 : length % 1024));
        uint256 size = bytes(p.endpoint).length;
        bytes4 expected;
        if (stake < MIN_STAKE) expected = INodeRegistry.StakeTooLow.selector;
        else if (stake > type(uint88).max) expected = bytes4(keccak256("Overflow()"));
        else if (size == 0 || size > 256) expected = INodeRegistry.BadEndpoint.selector;
        else if (stake > 1_000_000e18) expected = bytes4(keccak256("TransferFromFailed()"));
        INodeRegistry.Offer[] memory none = new INodeRegistry.Offer[](0);
        vm.prank(fresh);
        (bool success, bytes memory result) =
            address(registry).call(abi.encodeCall(registry.register, (stake, capacity, p, none)));
        assertEq(success, expected == 0);
        if (!success) {
            assertEq(bytes4(result), expected, "refused for another reason");
            return;
        }
        INodeRegistry.Node memory node = registry.nodeOf(fresh);
        assertEq(stakeLock(fresh), stake);
        uint256 covered = stake / STAKE_PER_ENGAGEMENT;
        uint256 slots = capacity < 16 ? capacity : 16;
        assertEq(node.slots, covered < slots ? covered : slots, "the least of capacity, tier and stake");
    }

    // ---------------------------------------------------------------------------------------------------- proofs

    /// @dev Whatever is submitted, in whatever shape, is judged row by row, and nothing of it is proven.
    function testFuzz_garbage_is_never_proven(bytes memory proof, uint256[] memory instances, uint256 version) public {
        Fixture memory f = fixture("tiny-1");
        bytes32 jobId = provable(TINY, f);
        IEzklProofs.Submission[] memory rows = new IEzklProofs.Submission[](3);
        rows[0] = IEzklProofs.Submission(jobId, version, proof, instances);
        rows[1] = IEzklProofs.Submission(jobId, 0, f.proof, instances);
        rows[2] = submission(jobId, f);
        rows[2].proof = bytes.concat(f.proof);
        rows[2].proof[version % f.proof.length] ^= 0x01;
        IEzklProofs.Status[] memory statuses = proofs.submitBatch(rows);
        bool isKey = version == 0;
        assertEq(uint8(statuses[0]), uint8(isKey ? IEzklProofs.Status.WrongLength : IEzklProofs.Status.WrongKey));
        bool asLong = instances.length == f.instances.length;
        if (asLong) assertNotEq(uint8(statuses[1]), uint8(IEzklProofs.Status.Proven));
        else assertEq(uint8(statuses[1]), uint8(IEzklProofs.Status.WrongLength));
        assertEq(uint8(statuses[2]), uint8(IEzklProofs.Status.Invalid));
        assertEq(lockedIn(address(jobs), jobId), PRICE);
    }

    // ------------------------------------------------------------------------------------------------ reputation

    function testFuzz_a_rating_is_refused_or_counted(uint256 score, uint256 latencyMs) public {
        bytes32 jobId = postClaimSubmit();
        vm.prank(payer);
        jobs.acceptResult(jobId);
        if (score % 2 == 0) score %= 8;
        if (latencyMs % 2 == 0) latencyMs %= 2 ** 33;
        bool ok = score > 0 && score < 6 && latencyMs < 2 ** 32;
        vm.prank(payer);
        (bool success, bytes memory result) =
            address(reputation).call(abi.encodeCall(reputation.rate, (address(jobs), jobId, score, latencyMs, "")));
        assertEq(success, ok);
        if (!success) assertEq(bytes4(result), IReputationSystem.OutOfBounds.selector);
        assertEq(reputation.statsOf(host).ratings, ok ? 1 : 0);
        assertEq(reputation.statsOf(host).latencyMs, ok ? latencyMs : 0);
    }
}
