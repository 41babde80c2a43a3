// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { Force } from "../support/Attackers.sol";
import { HostileToken } from "../support/HostileToken.sol";
import { TestToken } from "../support/TestToken.sol";
import { Parts } from "./MarketModel.sol";
import { ProofHandler } from "./ProofHandler.sol";

/// @notice Three payers, two hosts, an arbiter, a guardian and passers-by doing business in ETH, a 6-decimals token and
/// a hostile one. Before each call the handler works out whether it will revert, and with which error; after a call
/// that ends something it checks to the unit who got what.
contract MarketHandler is ProofHandler {
    constructor(Parts memory parts) ProofHandler(parts) { }

    // ------------------------------------------------------------------------------------------------- campaign
    // What the fuzzer calls: few functions, so that a run gets far into the life of jobs and sessions.

    function money(uint256 op, uint256 who, uint256 which, uint256 amount) external {
        op %= 8;
        if (op < 3) this.deposit(who, which, amount);
        else if (op < 5) this.withdraw(who, which, amount);
        else if (op == 5) this.donate(which, amount);
        else if (op == 6) this.skimExcess(which);
        else this.collectFees(which);
    }

    function world(uint256 op, uint256 seed) external {
        op %= 8;
        if (op < 4) this.wait(seed);
        else if (op == 4) this.pause(seed);
        else if (op == 5) this.changePolicies(seed);
        else if (op == 6 && seed % 4 == 0) this.setHostileMode(seed / 4);
        else this.setHostileMode(0);
    }

    /// @dev Takes a job a step on, the way it is meant to go.
    function advanceJob(uint256 which, uint256 choice) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        if (job.status == IJobMarketplace.JobStatus.Open) {
            this.claimJob(which, job.host == hosts[0] ? 0 : job.host == hosts[1] ? 1 : choice);
        } else if (job.status == IJobMarketplace.JobStatus.Claimed) {
            this.submitResult(which);
        } else if (job.status == IJobMarketplace.JobStatus.Submitted) {
            if (choice % 3 == 0) this.acceptResult(which);
            else this.challengeResult(which);
        } else if (job.status == IJobMarketplace.JobStatus.Challenged) {
            this.counterChallenge(which);
        } else if (job.status == IJobMarketplace.JobStatus.Countered) {
            this.ruleDispute(which, choice);
        } else {
            this.rate(which, choice, true);
        }
    }

    /// @dev Does anything to a job, whether it is time for it or not.
    function disturbJob(uint256 op, uint256 which, uint256 choice) external {
        op %= 11;
        if (op == 0) this.claimJob(which, choice);
        else if (op == 1) this.submitResult(which);
        else if (op == 2) this.acceptResult(which);
        else if (op == 3) this.finalizeJob(which);
        else if (op == 4) this.cancelJob(which);
        else if (op == 5) this.abandonJob(which);
        else if (op == 6) this.expireJob(which);
        else if (op == 7) this.challengeResult(which);
        else if (op == 8) this.counterChallenge(which);
        else if (op == 9) this.ruleDispute(which, choice);
        else this.resolveDispute(which);
    }

    /// @dev Settles vouchers, one or all.
    function useSession(uint256 op, uint256 which, uint256 amount, uint256 tokens) external {
        op %= 4;
        if (op == 0) this.settleBatch(amount, tokens);
        else if (op == 1) this.topUp(which, amount);
        else this.settle(which, amount, op == 2 ? type(uint256).max : tokens);
    }

    /// @dev Ends sessions, in any way.
    function leaveSession(uint256 op, uint256 which, uint256 amount, uint256 tokens) external {
        op %= 8;
        if (op == 0) this.closeByHost(which, amount, tokens);
        else if (op == 1) this.closeWithHost(which, amount);
        else if (op == 2) this.startClose(which);
        else if (op == 3) this.finishClose(which);
        else if (op == 4) this.rate(which, amount, false);
        else if (op == 5) this.record(which, tokens % 2 == 0);
        else this.settle(which, amount, type(uint256).max);
    }

    function hostStep(uint256 op, uint256 who, uint256 amount) external {
        op %= 10;
        if (op == 0) this.unregister(who);
        else if (op == 1 || op == 2) this.register(who);
        else if (op == 3 || op == 4) this.addStake(who, amount);
        else if (op == 5) this.startUnbonding(who, amount);
        else if (op == 6) this.cancelUnbonding(who);
        else if (op == 7) this.finishUnbonding(who);
        else if (op == 8) this.setOffer(who, amount);
        else this.setPaused(who, amount % 4 == 0);
    }

    // ---------------------------------------------------------------------------------------------------- money

    function deposit(uint256 who, uint256 which, uint256 amount) external {
        address actor = payers[who % 3];
        address token = tokenAt(which);
        amount = bound(amount, 1, 1e9);
        bytes4 err = token == address(p.hostile) ? _pullError(amount) : NONE;
        _call(
            actor,
            address(p.escrow),
            token == address(0) ? amount : 0,
            abi.encodeCall(IPaymentEscrow.deposit, (token, amount)),
            err
        );
    }

    function withdraw(uint256 who, uint256 which, uint256 amount) external {
        address actor = who % 5 < 3 ? payers[who % 5] : hosts[who % 5 - 3];
        address token = tokenAt(which);
        uint256 credit = p.escrow.creditOf(actor, token);
        amount = bound(amount, 1, credit + 1);
        bytes4 err;
        if (amount > credit) err = IPaymentEscrow.CreditTooSmall.selector;
        else if (token == address(p.hostile) && _mode() == HostileToken.Mode.Paused) err = TRANSFER_FAILED;
        _call(actor, address(p.escrow), 0, abi.encodeCall(IPaymentEscrow.withdraw, (token, actor, amount)), err);
    }

    function donate(uint256 which, uint256 amount) external {
        address token = tokenAt(which);
        amount = bound(amount, 1, 1e6);
        if (token == address(0)) {
            vm.deal(address(this), amount);
            Force.send(address(p.escrow), amount);
        } else {
            TestToken(token).mint(address(p.escrow), amount);
        }
        donated[token] += amount;
    }

    function skimExcess(uint256 which) external {
        address token = tokenAt(which);
        assertEq(p.escrow.skim(token), donated[token], "only what was donated is excess");
        donated[token] = 0;
    }

    function collectFees(uint256 which) external {
        p.jobs.collectFees(tokenAt(which));
    }

    function setHostileMode(uint256 mode) external {
        HostileToken.Mode[3] memory modes =
            [HostileToken.Mode.Honest, HostileToken.Mode.Paused, HostileToken.Mode.FeeOnTransfer];
        p.hostile.setMode(modes[mode % 3]);
    }

    // --------------------------------------------------------------------------------------------- time and rule

    function wait(uint256 time) external {
        skip(bound(time, 1, 12 hours));
    }

    function pause(uint256 which) external {
        address[3] memory all = [address(p.jobs), address(p.sessions), address(p.registry)];
        IGoverned target = IGoverned(all[which % 3]);
        uint256 last = target.entryPausedUntil();
        bytes4 err = last != 0 && block.timestamp < last + 7 days ? IGoverned.PauseCoolingDown.selector : NONE;
        _call(p.owner, address(target), 0, abi.encodeCall(IGoverned.pauseEntry, ()), err);
    }

    function changePolicies(uint256 seed) external {
        IJobMarketplace.JobPolicy memory jobPolicy = p.jobs.policy();
        jobPolicy.feeBps = uint16(seed % 1_001);
        jobPolicy.reviewWindow = uint24(1 hours + seed % 1 days);
        jobPolicy.bondBps = uint16(seed % 3_000);
        ISessionMarketplace.SessionPolicy memory sessionPolicy = p.sessions.policy();
        sessionPolicy.feeBps = uint16(seed % 1_001);
        sessionPolicy.grace = uint24(seed % 1 days);
        vm.startPrank(p.owner);
        p.jobs.setPolicy(jobPolicy);
        p.sessions.setPolicy(sessionPolicy);
        p.jobs.setArbiter(seed % 4 == 0 ? address(0) : p.arbiter);
        vm.stopPrank();
    }

    // ----------------------------------------------------------------------------------------------------- jobs

    function postJob(uint256 who, uint256 which, uint256 toHost, uint256 amount) external {
        if (jobIds.length == MAX_JOBS) return;
        address payer = payers[who % 3];
        IJobMarketplace.JobRequest memory r = IJobMarketplace.JobRequest({
            host: toHost % 3 == 2 ? address(0) : hosts[toHost % 3],
            token: tokenAt(which),
            amount: bound(amount, 1, 1e9),
            modelId: p.model,
            deadline: uint40(block.timestamp + 6 hours),
            proofRequired: amount % 4 > 1,
            // An element of the proofs' field.
            inputHash: keccak256(abi.encode(amount)) >> 8,
            inputURI: ""
        });
        bytes4 err = _paused(address(p.jobs));
        if (err == NONE) err = _fundingError(payer, r.token, r.amount);
        uint256 value = _valueFor(payer, r.token, r.amount);
        (bool ok, bytes memory result) =
            _call(payer, address(p.jobs), value, abi.encodeCall(IJobMarketplace.postJob, (r)), err);
        if (!ok) return;
        bytes32 jobId = abi.decode(result, (bytes32));
        jobIds.push(jobId);
        jobGhosts[jobId].terms = p.jobs.jobOf(jobId);
    }

    function claimJob(uint256 which, uint256 by) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        address host = hosts[by % 2];
        bytes4 err = _paused(address(p.jobs));
        if (err == NONE) {
            if (job.status != IJobMarketplace.JobStatus.Open) err = IJobMarketplace.WrongStatus.selector;
            else if (block.timestamp > job.deadline) err = IJobMarketplace.TooLate.selector;
            else if (job.host != address(0) && job.host != host) err = IJobMarketplace.NotHost.selector;
            else err = _acquireError(host);
        }
        (bool ok,) = _call(host, address(p.jobs), 0, abi.encodeCall(IJobMarketplace.claimJob, (jobId, job.amount)), err);
        if (!ok) return;
        // From here on host and fee are terms too; the fee may only have fallen.
        IJobMarketplace.Job memory claimed = p.jobs.jobOf(jobId);
        assertLe(claimed.feeBps, jobGhosts[jobId].terms.feeBps, "fee rose at claim");
        jobGhosts[jobId].terms.host = host;
        jobGhosts[jobId].terms.feeBps = claimed.feeBps;
    }

    function submitResult(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Claimed);
        address caller = job.host == address(0) ? hosts[0] : job.host;
        if (err == NONE && block.timestamp > job.deadline) err = IJobMarketplace.TooLate.selector;
        _call(
            caller,
            address(p.jobs),
            0,
            abi.encodeCall(IJobMarketplace.submitResult, (jobId, keccak256(abi.encode(OUTPUT)), "")),
            err
        );
    }

    function acceptResult(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        _endJob(
            job.payer,
            jobId,
            job,
            abi.encodeCall(IJobMarketplace.acceptResult, (jobId)),
            _statusError(job, IJobMarketplace.JobStatus.Submitted),
            10_000
        );
    }

    function finalizeJob(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Submitted);
        if (err == NONE && block.timestamp <= job.phaseEndsAt) err = IJobMarketplace.TooEarly.selector;
        uint256 share = job.proofRequired && !_isProven(jobId, job) ? 0 : 10_000;
        _endJob(address(this), jobId, job, abi.encodeCall(IJobMarketplace.finalizeJob, (jobId)), err, share);
    }

    function cancelJob(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Open);
        _endJob(job.payer, jobId, job, abi.encodeCall(IJobMarketplace.cancelJob, (jobId)), err, 0);
    }

    function abandonJob(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Claimed);
        _endJob(job.host, jobId, job, abi.encodeCall(IJobMarketplace.abandonJob, (jobId)), err, 0);
    }

    function expireJob(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bytes4 err;
        if (job.status != IJobMarketplace.JobStatus.Open && job.status != IJobMarketplace.JobStatus.Claimed) {
            err = IJobMarketplace.WrongStatus.selector;
        } else if (block.timestamp <= job.deadline) {
            err = IJobMarketplace.TooEarly.selector;
        }
        uint256 before = p.registry.nodeOf(job.host).stake;
        _endJob(address(this), jobId, job, abi.encodeCall(IJobMarketplace.expireJob, (jobId)), err, 0);
        if (err == NONE && job.status == IJobMarketplace.JobStatus.Claimed) _noteSlash(job.host, before);
    }

    function challengeResult(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Submitted);
        if (err == NONE && job.proofRequired) err = IJobMarketplace.ProofDecides.selector;
        if (err == NONE && block.timestamp > job.phaseEndsAt) err = IJobMarketplace.TooLate.selector;
        _bond(job.payer, jobId, job, abi.encodeCall(IJobMarketplace.challengeResult, (jobId, "")), err);
    }

    function counterChallenge(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0 || job.host == address(0)) return;
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Challenged);
        if (err == NONE && block.timestamp > job.phaseEndsAt) err = IJobMarketplace.TooLate.selector;
        _bond(job.host, jobId, job, abi.encodeCall(IJobMarketplace.counterChallenge, (jobId, "")), err);
    }

    function ruleDispute(uint256 which, uint256 share) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        share = share % 3 == 0 ? 0 : share % 3 == 1 ? 10_000 : share % 10_001;
        bytes4 err = _statusError(job, IJobMarketplace.JobStatus.Countered);
        if (err == NONE && job.arbiter != p.arbiter) err = IJobMarketplace.NotArbiter.selector;
        if (err == NONE && block.timestamp > job.phaseEndsAt) err = IJobMarketplace.TooLate.selector;
        uint256 before = p.registry.nodeOf(job.host).stake;
        _endJob(p.arbiter, jobId, job, abi.encodeCall(IJobMarketplace.ruleDispute, (jobId, share)), err, share);
        if (err == NONE && share == 0) _noteSlash(job.host, before);
    }

    function resolveDispute(uint256 which) external {
        (bytes32 jobId, IJobMarketplace.Job memory job) = _job(which);
        if (jobId == 0) return;
        bool countered = job.status == IJobMarketplace.JobStatus.Countered;
        bytes4 err;
        if (!countered && job.status != IJobMarketplace.JobStatus.Challenged) {
            err = IJobMarketplace.WrongStatus.selector;
        } else if (block.timestamp <= job.phaseEndsAt) {
            err = IJobMarketplace.TooEarly.selector;
        }
        uint256 before = p.registry.nodeOf(job.host).stake;
        _endJob(
            address(this),
            jobId,
            job,
            abi.encodeCall(IJobMarketplace.resolveDispute, (jobId)),
            err,
            countered ? 5_000 : 0
        );
        if (err == NONE && !countered) _noteSlash(job.host, before);
    }

    // ------------------------------------------------------------------------------------------------- sessions

    function openSession(uint256 who, uint256 which, uint256 withHost, uint256 amount) external {
        if (sessionIds.length == MAX_SESSIONS) return;
        address payer = payers[who % 3];
        ISessionMarketplace.SessionQuote memory q = ISessionMarketplace.SessionQuote({
            host: hosts[withHost % 2],
            payer: address(0),
            modelId: p.model,
            token: tokenAt(which),
            pricePerMillion: uint80(bound(amount, 1, 3e6)),
            minDeposit: 0,
            maxDeposit: type(uint88).max,
            duration: 12 hours,
            validUntil: uint40(block.timestamp)
        });
        amount = bound(amount, 1, 1e9);
        bytes memory signature = _sign(hostKeys[withHost % 2], p.sessions.quoteDigest(q));
        bytes4 err = _paused(address(p.sessions));
        if (err == NONE) err = _acquireError(q.host);
        if (err == NONE) err = _fundingError(payer, q.token, amount);
        (bool ok, bytes memory result) = _call(
            payer,
            address(p.sessions),
            _valueFor(payer, q.token, amount),
            abi.encodeCall(ISessionMarketplace.openSession, (q, signature, amount, voucherKey)),
            err
        );
        if (!ok) return;
        bytes32 id = abi.decode(result, (bytes32));
        sessionIds.push(id);
        sessionGhosts[id].terms = p.sessions.sessionOf(id);
        sessionGhosts[id].deposit = amount;
    }

    function topUp(uint256 which, uint256 amount) external {
        (bytes32 id, ISessionMarketplace.Session memory s) = _session(which);
        if (id == 0) return;
        amount = bound(amount, 1, 1e9);
        bytes4 err = _paused(address(p.sessions));
        if (err == NONE) {
            if (s.status != ISessionMarketplace.SessionStatus.Open) err = ISessionMarketplace.WrongStatus.selector;
            else if (block.timestamp > s.settleUntil - s.grace) err = ISessionMarketplace.TooLate.selector;
            else err = _fundingError(s.payer, s.token, amount);
        }
        (bool ok,) = _call(
            s.payer,
            address(p.sessions),
            _valueFor(s.payer, s.token, amount),
            abi.encodeCall(ISessionMarketplace.topUp, (id, amount)),
            err
        );
        if (ok) sessionGhosts[id].deposit += amount;
    }

    function settle(uint256 which, uint256 amount, uint256 tokens) external {
        (bytes32 id, ISessionMarketplace.Session memory s) = _session(which);
        if (id == 0) return;
        (ISessionMarketplace.Voucher memory v, bytes memory signature, uint256 worth) = _voucher(id, s, amount, tokens);
        bytes4 err = _settleError(s);
        uint256 due = worth > s.settled ? worth - s.settled : 0;
        assertEq(p.sessions.previewSettle(v), err == NONE ? due : 0, "preview");
        (bool ok, bytes memory result) = _call(
            address(this), address(p.sessions), 0, abi.encodeCall(ISessionMarketplace.settle, (v, signature)), err
        );
        if (!ok) return;
        assertEq(abi.decode(result, (uint256)), due, "settle earns the difference");
        _noteVoucher(id, v.cumulativeAmount, due);
    }

    function settleBatch(uint256 amount, uint256 tokens) external {
        amount = bound(amount, 0, type(uint128).max);
        uint256 length = sessionIds.length;
        ISessionMarketplace.Voucher[] memory vouchers = new ISessionMarketplace.Voucher[](length);
        bytes[] memory signatures = new bytes[](length);
        uint256[] memory due = new uint256[](length);
        for (uint256 i; i < length; ++i) {
            ISessionMarketplace.Session memory s = p.sessions.sessionOf(sessionIds[i]);
            uint256 worth;
            (vouchers[i], signatures[i], worth) = _voucher(sessionIds[i], s, amount + i, tokens);
            if (_settleError(s) == NONE && worth > s.settled) due[i] = worth - s.settled;
        }
        uint256[] memory amounts = p.sessions.settleBatch(vouchers, signatures);
        for (uint256 i; i < length; ++i) {
            assertEq(amounts[i], due[i], "batch earns the difference");
            if (due[i] > 0) _noteVoucher(sessionIds[i], vouchers[i].cumulativeAmount, due[i]);
        }
    }

    function closeByHost(uint256 which, uint256 amount, uint256 tokens) external {
        (bytes32 id, ISessionMarketplace.Session memory s) = _session(which);
        if (id == 0) return;
        (ISessionMarketplace.Voucher memory v, bytes memory signature, uint256 worth) = _voucher(id, s, amount, tokens);
        bytes4 err = _settleError(s);
        if (v.cumulativeAmount == 0 && err == ISessionMarketplace.TooLate.selector) err = NONE;
        _endSession(
            s.host,
            id,
            s,
            abi.encodeCall(ISessionMarketplace.closeByHost, (v, signature)),
            err,
            worth > s.settled ? worth : s.settled
        );
        if (err == NONE) _noteVoucher(id, v.cumulativeAmount, 0);
    }

    function closeWithHost(uint256 which, uint256 amount) external {
        (bytes32 id, ISessionMarketplace.Session memory s) = _session(which);
        if (id == 0) return;
        amount = bound(amount, s.settled, s.deposit);
        bytes4 err =
            s.status == ISessionMarketplace.SessionStatus.Closed ? ISessionMarketplace.WrongStatus.selector : NONE;
        uint256 key = s.host == hosts[0] ? hostKeys[0] : hostKeys[1];
        bytes memory signature = _sign(key, p.sessions.closeDigest(id, amount, block.timestamp));
        bytes memory data = abi.encodeCall(ISessionMarketplace.closeWithHost, (id, amount, block.timestamp, signature));
        _endSession(s.payer, id, s, data, err, amount);
        if (err == NONE) _noteVoucher(id, amount, 0); // both agreed
    }

    function startClose(uint256 which) external {
        (bytes32 id, ISessionMarketplace.Session memory s) = _session(which);
        if (id == 0) return;
        bytes4 err =
            s.status == ISessionMarketplace.SessionStatus.Open ? NONE : ISessionMarketplace.WrongStatus.selector;
        _call(s.payer, address(p.sessions), 0, abi.encodeCall(ISessionMarketplace.startClose, (id)), err);
    }

    function finishClose(uint256 which) external {
        (bytes32 id, ISessionMarketplace.Session memory s) = _session(which);
        if (id == 0) return;
        bytes4 err;
        if (s.status == ISessionMarketplace.SessionStatus.Closed) err = ISessionMarketplace.WrongStatus.selector;
        else if (block.timestamp <= s.settleUntil) err = ISessionMarketplace.TooEarly.selector;
        _endSession(address(this), id, s, abi.encodeCall(ISessionMarketplace.finishClose, (id)), err, s.settled);
    }

    // ---------------------------------------------------------------------------------------------------- hosts

    function register(uint256 who) external {
        address host = hosts[who % 2];
        bytes4 err = _paused(address(p.registry));
        if (err == NONE && _isActive(host)) err = INodeRegistry.AlreadyRegistered.selector;
        _call(host, address(p.registry), 0, _registerCall(), err);
    }

    function unregister(uint256 who) external {
        address host = hosts[who % 2];
        bytes4 err = _isActive(host) ? NONE : INodeRegistry.NotRegistered.selector;
        if (err == NONE && p.registry.nodeOf(host).open > 0) err = INodeRegistry.EngagementsOpen.selector;
        _call(host, address(p.registry), 0, abi.encodeCall(INodeRegistry.unregister, ()), err);
    }

    function addStake(uint256 who, uint256 amount) external {
        address host = hosts[who % 2];
        bytes4 err = _isActive(host) ? NONE : INodeRegistry.NotRegistered.selector;
        if (err == NONE) err = _paused(address(p.registry));
        bytes memory data = abi.encodeCall(INodeRegistry.addStake, (bound(amount, 1, 500e18)));
        _call(host, address(p.registry), 0, data, err);
    }

    function startUnbonding(uint256 who, uint256 amount) external {
        address host = hosts[who % 2];
        INodeRegistry.Node memory node = p.registry.nodeOf(host);
        INodeRegistry.StakePolicy memory rules = p.registry.stakePolicy();
        amount = bound(amount, 1, uint256(node.stake) + 1);
        uint256 kept = uint256(node.open) * rules.stakePerEngagement;
        if (kept < rules.minStake) kept = rules.minStake;
        bytes4 err = _isActive(host) ? NONE : INodeRegistry.NotRegistered.selector;
        if (err == NONE && node.stake < amount + kept) err = INodeRegistry.StakeTooLow.selector;
        _call(host, address(p.registry), 0, abi.encodeCall(INodeRegistry.startUnbonding, (amount)), err);
    }

    function cancelUnbonding(uint256 who) external {
        address host = hosts[who % 2];
        bytes4 err = _isActive(host) ? NONE : INodeRegistry.NotRegistered.selector;
        if (err == NONE && p.registry.nodeOf(host).unbonding == 0) err = INodeRegistry.NothingUnbonding.selector;
        _call(host, address(p.registry), 0, abi.encodeCall(INodeRegistry.cancelUnbonding, ()), err);
    }

    function finishUnbonding(uint256 who) external {
        address host = hosts[who % 2];
        INodeRegistry.Node memory node = p.registry.nodeOf(host);
        bytes4 err;
        if (node.unbonding == 0) err = INodeRegistry.NothingUnbonding.selector;
        else if (block.timestamp < node.unbondsAt) err = INodeRegistry.StillUnbonding.selector;
        bytes memory data = abi.encodeCall(INodeRegistry.finishUnbonding, (host));
        _call(address(this), address(p.registry), 0, data, err);
    }

    function setOffer(uint256 who, uint256 price) external {
        address host = hosts[who % 2];
        INodeRegistry.Offer[] memory offers = new INodeRegistry.Offer[](1);
        offers[0] = INodeRegistry.Offer(p.model, p.usdc, price % 2 == 0 ? 0 : uint80(bound(price, 1, 1e9)));
        bytes4 err = _isActive(host) ? NONE : INodeRegistry.NotRegistered.selector;
        _call(host, address(p.registry), 0, abi.encodeCall(INodeRegistry.setOffers, (offers)), err);
    }

    function setPaused(uint256 who, bool on) external {
        address host = hosts[who % 2];
        bytes4 err = _isActive(host) ? NONE : INodeRegistry.NotRegistered.selector;
        if (err == NONE && !on && p.registry.nodeOf(host).stake < p.registry.stakePolicy().minStake) {
            err = INodeRegistry.StakeTooLow.selector;
        }
        _call(host, address(p.registry), 0, abi.encodeCall(INodeRegistry.setPaused, (on)), err);
    }

    // ----------------------------------------------------------------------------------------------- reputation

    function rate(uint256 which, uint256 score, bool ofJob) external {
        (address market, bytes32 id) = _ended(which, ofJob);
        if (id == 0) return;
        IEngagements.Outcome memory o = IEngagements(market).outcomeOf(id);
        bool counts = o.result == IEngagements.Result.Completed || o.result == IEngagements.Result.Failed;
        bool rated = ofJob ? jobGhosts[id].rated : sessionGhosts[id].rated;
        bytes4 err =
            !counts ? IReputationSystem.NoOutcome.selector : rated ? IReputationSystem.AlreadyRated.selector : NONE;
        address caller = counts ? o.payer : payers[0];
        bytes memory data =
            abi.encodeCall(IReputationSystem.rate, (market, id, bound(score, 1, 5), score % 10_000, bytes32(0)));
        (bool ok,) = _call(caller, address(p.reputation), 0, data, err);
        if (!ok) return;
        ++ratings[o.host];
        if (ofJob) jobGhosts[id].rated = true;
        else sessionGhosts[id].rated = true;
        _noteRecord(id, ofJob, o.host);
    }

    function record(uint256 which, bool ofJob) external {
        (address market, bytes32 id) = _ended(which, ofJob);
        if (id == 0) return;
        IEngagements.Outcome memory o = IEngagements(market).outcomeOf(id);
        bool counts = o.result == IEngagements.Result.Completed || o.result == IEngagements.Result.Failed;
        bool known = ofJob ? jobGhosts[id].recorded : sessionGhosts[id].recorded;
        bytes4 err =
            !counts ? IReputationSystem.NoOutcome.selector : known ? IReputationSystem.AlreadyRecorded.selector : NONE;
        bytes memory data = abi.encodeCall(IReputationSystem.record, (market, id));
        (bool ok,) = _call(address(this), address(p.reputation), 0, data, err);
        if (ok) _noteRecord(id, ofJob, o.host);
    }
}
