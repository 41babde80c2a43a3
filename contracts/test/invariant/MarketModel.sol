// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { Test } from "forge-std/Test.sol";

import { IEngagements } from "../../src/marketplace/interfaces/IEngagements.sol";
import { IEzklProofs } from "../../src/marketplace/interfaces/IEzklProofs.sol";
import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { IReputationSystem } from "../../src/marketplace/interfaces/IReputationSystem.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { HostileToken } from "../support/HostileToken.sol";
import { TestToken } from "../support/TestToken.sol";

/// @notice What the handler acts on.
struct Parts {
    INodeRegistry registry;
    IJobMarketplace jobs;
    ISessionMarketplace sessions;
    IReputationSystem reputation;
    IPaymentEscrow escrow;
    TestToken fab;
    address usdc;
    HostileToken hostile;
    address owner;
    address arbiter;
    address treasury;
    bytes32 model;
    IEzklProofs proofs;
}

/// @notice What the invariants' handler remembers of the marketplace, and the outcomes it foretells from that.
abstract contract MarketModel is Test {
    bytes4 internal constant NONE = 0;
    bytes4 internal constant TRANSFER_FROM_FAILED = bytes4(keccak256("TransferFromFailed()"));
    bytes4 internal constant TRANSFER_FAILED = bytes4(keccak256("TransferFailed()"));
    address public constant BURN = 0x000000000000000000000000000000000000dEaD;
    /// @dev The one output of the model that everybody runs.
    uint256 internal constant OUTPUT = 7;
    uint256 internal constant MAX_JOBS = 8;
    uint256 internal constant MAX_SESSIONS = 8;

    Parts internal p;
    address[3] public payers;
    address[2] public hosts;
    uint256[2] internal hostKeys;
    address internal voucherKey;
    uint256 internal voucherSecret;

    /// @dev What the model remembers of a job.
    struct JobGhost {
        IJobMarketplace.Job terms;
        uint256 bonds;
        IJobMarketplace.JobStatus terminal;
        bool recorded;
        bool rated;
    }

    /// @dev What the model remembers of a session.
    struct SessionGhost {
        ISessionMarketplace.Session terms;
        uint256 deposit;
        uint256 settled;
        uint256 highest;
        uint256 refunded;
        bool closed;
        bool recorded;
        bool rated;
    }

    bytes32[] public jobIds;
    bytes32[] public sessionIds;
    mapping(bytes32 => JobGhost) internal jobGhosts;
    mapping(bytes32 => SessionGhost) internal sessionGhosts;
    mapping(address token => uint256) public donated;
    mapping(address token => uint256) public burnt;
    mapping(address host => uint256) public ratings;
    mapping(address host => uint256) public recorded;
    mapping(address host => uint256) public slashes;
    mapping(address host => uint256) public slashed;
    /// @dev Payments made in sessions; each of them rounded its fee down.
    uint256 public settlements;
    uint256 public bondsIn;
    uint256 public bondsOut;
    uint256 public bondsBurnt;

    constructor(Parts memory parts) {
        p = parts;
        (voucherKey, voucherSecret) = makeAddrAndKey("handler voucher key");
        for (uint256 i; i < 3; ++i) {
            payers[i] = makeAddr(string.concat("payer ", vm.toString(i)));
            _fund(payers[i]);
        }
        for (uint256 i; i < 2; ++i) {
            (hosts[i], hostKeys[i]) = makeAddrAndKey(string.concat("host ", vm.toString(i)));
            _fund(hosts[i]);
            _must(hosts[i], address(p.registry), 0, _registerCall());
        }
    }

    // ---------------------------------------------------------------------------------------------------- views

    function jobCount() external view returns (uint256) {
        return jobIds.length;
    }

    function sessionCount() external view returns (uint256) {
        return sessionIds.length;
    }

    function jobGhost(bytes32 id) external view returns (JobGhost memory) {
        return jobGhosts[id];
    }

    function sessionGhost(bytes32 id) external view returns (SessionGhost memory) {
        return sessionGhosts[id];
    }

    function tokenAt(uint256 which) public view returns (address) {
        return which % 3 == 0 ? address(0) : which % 3 == 1 ? p.usdc : address(p.hostile);
    }

    // -------------------------------------------------------------------------------------------------- internal

    /// @dev Calls as `actor`; the outcome must be the one foretold.
    function _call(address actor, address target, uint256 value, bytes memory data, bytes4 err)
        internal
        returns (bool ok, bytes memory result)
    {
        if (value > 0) vm.deal(actor, value);
        vm.prank(actor);
        (ok, result) = target.call{ value: value }(data);
        if (err == NONE) {
            assertTrue(ok, string.concat("unforeseen revert: ", vm.toString(result)));
        } else {
            assertFalse(ok, "revert foreseen, but it went through");
            assertEq(bytes4(result), err, "another revert than foreseen");
        }
    }

    function _must(address actor, address target, uint256 value, bytes memory data) internal {
        _call(actor, target, value, data, NONE);
    }

    function _fund(address account) internal {
        TestToken(p.usdc).mint(account, type(uint96).max);
        p.fab.mint(account, type(uint96).max);
        p.hostile.mint(account, type(uint96).max);
        vm.startPrank(account);
        TestToken(p.usdc).approve(address(p.escrow), type(uint256).max);
        p.fab.approve(address(p.escrow), type(uint256).max);
        p.hostile.approve(address(p.escrow), type(uint256).max);
        vm.stopPrank();
    }

    function _registerCall() internal view returns (bytes memory) {
        INodeRegistry.Profile memory profile = INodeRegistry.Profile("https://h.example", 0, "", "");
        return abi.encodeCall(
            INodeRegistry.register, (p.registry.stakePolicy().minStake, 4, profile, new INodeRegistry.Offer[](0))
        );
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _job(uint256 which) internal view returns (bytes32 jobId, IJobMarketplace.Job memory job) {
        if (jobIds.length == 0) return (0, job);
        jobId = jobIds[which % jobIds.length];
        job = p.jobs.jobOf(jobId);
    }

    function _session(uint256 which) internal view returns (bytes32 id, ISessionMarketplace.Session memory s) {
        if (sessionIds.length == 0) return (0, s);
        id = sessionIds[which % sessionIds.length];
        s = p.sessions.sessionOf(id);
    }

    function _ended(uint256 which, bool ofJob) internal view returns (address market, bytes32 id) {
        if (ofJob) return (address(p.jobs), jobIds.length == 0 ? bytes32(0) : jobIds[which % jobIds.length]);
        market = address(p.sessions);
        id = sessionIds.length == 0 ? bytes32(0) : sessionIds[which % sessionIds.length];
    }

    function _voucher(bytes32 id, ISessionMarketplace.Session memory s, uint256 amount, uint256 tokens)
        internal
        view
        returns (ISessionMarketplace.Voucher memory v, bytes memory signature, uint256 worth)
    {
        amount = bound(amount, 0, uint256(s.deposit) + 10);
        tokens = bound(tokens, 0, 2 * (uint256(s.deposit) * 1e6 / s.pricePerMillion + 1));
        v = ISessionMarketplace.Voucher(id, amount, tokens, keccak256(abi.encode(amount)));
        signature = _sign(voucherSecret, p.sessions.voucherDigest(v));
        worth = tokens * s.pricePerMillion / 1e6;
        if (worth > amount) worth = amount;
        if (worth > s.deposit) worth = s.deposit;
    }

    function _settleError(ISessionMarketplace.Session memory s) internal view returns (bytes4) {
        if (s.status == ISessionMarketplace.SessionStatus.Closed) return ISessionMarketplace.WrongStatus.selector;
        return block.timestamp > s.settleUntil ? ISessionMarketplace.TooLate.selector : NONE;
    }

    function _isProven(bytes32 jobId, IJobMarketplace.Job memory job) internal returns (bool) {
        vm.prank(address(p.jobs));
        return p.proofs.isProven(jobId, job.resultHash);
    }

    function _statusError(IJobMarketplace.Job memory job, IJobMarketplace.JobStatus needed)
        internal
        pure
        returns (bytes4)
    {
        return job.status == needed ? NONE : IJobMarketplace.WrongStatus.selector;
    }

    function _paused(address target) internal view returns (bytes4) {
        return block.timestamp < IGoverned(target).entryPausedUntil() ? IGoverned.EntryIsPaused.selector : NONE;
    }

    function _isActive(address host) internal view returns (bool) {
        return p.registry.nodeOf(host).status == INodeRegistry.NodeStatus.Active;
    }

    function _acquireError(address host) internal view returns (bytes4) {
        INodeRegistry.Node memory node = p.registry.nodeOf(host);
        if (node.status != INodeRegistry.NodeStatus.Active) return INodeRegistry.NotRegistered.selector;
        if (node.paused) return INodeRegistry.NodeIsPaused.selector;
        return node.open >= node.slots ? INodeRegistry.NoCapacity.selector : NONE;
    }

    function _mode() internal view returns (HostileToken.Mode) {
        return p.hostile.mode();
    }

    /// @dev What pulling from an allowance of the hostile token ends with.
    function _pullError(uint256 amount) internal view returns (bytes4) {
        if (_mode() == HostileToken.Mode.Paused) return TRANSFER_FROM_FAILED;
        bool short = _mode() == HostileToken.Mode.FeeOnTransfer && amount >= 100;
        return short ? IPaymentEscrow.InexactTransfer.selector : NONE;
    }

    function _fundingError(address payer, address token, uint256 amount) internal view returns (bytes4) {
        uint256 credit = p.escrow.creditOf(payer, token);
        if (token != address(p.hostile) || credit >= amount) return NONE;
        return _pullError(amount - credit);
    }

    function _valueFor(address payer, address token, uint256 amount) internal view returns (uint256) {
        uint256 credit = p.escrow.creditOf(payer, token);
        return token != address(0) || credit >= amount ? 0 : amount - credit;
    }

    function _bond(address actor, bytes32 jobId, IJobMarketplace.Job memory job, bytes memory data, bytes4 err)
        internal
    {
        uint256 bond = job.bond;
        if (err == NONE && bond > 0) err = _fundingError(actor, job.token, bond);
        (bool ok,) = _call(actor, address(p.jobs), bond == 0 ? 0 : _valueFor(actor, job.token, bond), data, err);
        if (!ok) return;
        jobGhosts[jobId].bonds += bond;
        bondsIn += bond;
    }

    /// @dev Who has what before a job ends.
    struct Books {
        uint256 payer;
        uint256 host;
        uint256 fees;
        uint256 burnt;
    }

    function _books(address payer, address host, address token) internal view returns (Books memory) {
        return Books({
            payer: p.escrow.creditOf(payer, token),
            host: p.escrow.creditOf(host, token),
            fees: p.escrow.feesOf(token),
            burnt: p.escrow.creditOf(BURN, token)
        });
    }

    /// @dev Ends a job, and checks to the unit that each party got its part of price and bonds.
    function _endJob(
        address actor,
        bytes32 jobId,
        IJobMarketplace.Job memory job,
        bytes memory data,
        bytes4 err,
        uint256 hostShareBps
    ) internal {
        _endJobAt(address(p.jobs), actor, jobId, job, data, err, hostShareBps);
    }

    /// @dev The same through another contract.
    function _endJobAt(
        address target,
        address actor,
        bytes32 jobId,
        IJobMarketplace.Job memory job,
        bytes memory data,
        bytes4 err,
        uint256 hostShareBps
    ) internal {
        Books memory b = _books(job.payer, job.host, job.token);
        // Nobody has claimed it, so nobody can abandon or submit it.
        if (actor == address(0)) actor = hosts[0];
        (bool ok,) = _call(actor, target, 0, data, err);
        if (!ok) return;

        JobGhost storage ghost = jobGhosts[jobId];
        uint256 toHost = uint256(job.amount) * hostShareBps / 10_000;
        uint256 fee = toHost * job.feeBps / 10_000;
        b.payer += job.amount - toHost;
        b.host += toHost - fee;
        b.fees += fee;
        _addBonds(b, job, hostShareBps, ghost.bonds);
        Books memory after_ = _books(job.payer, job.host, job.token);
        assertEq(after_.payer, b.payer, "payer's part");
        if (job.host != address(0)) assertEq(after_.host, b.host, "host's part");
        assertEq(after_.fees, b.fees, "fee");
        assertEq(after_.burnt, b.burnt, "burnt");
        ghost.terminal = p.jobs.jobOf(jobId).status;
    }

    function _addBonds(Books memory b, IJobMarketplace.Job memory job, uint256 hostShareBps, uint256 bonds) internal {
        bool both = job.status == IJobMarketplace.JobStatus.Countered;
        if (bonds == 0) return;
        if (!both && hostShareBps == 10_000 && job.status == IJobMarketplace.JobStatus.Challenged) {
            // A proof answers the challenge.
            b.host += job.bond / 2;
            b.burnt += bonds - job.bond / 2;
            burnt[job.token] += bonds - job.bond / 2;
            bondsOut += job.bond / 2;
            bondsBurnt += bonds - job.bond / 2;
            return;
        }
        if (!both || (hostShareBps != 0 && hostShareBps != 10_000)) {
            b.payer += job.bond;
            if (both) b.host += job.bond;
            bondsOut += bonds;
            return;
        }
        uint256 won = job.bond + job.bond / 2;
        if (hostShareBps == 0) b.payer += won;
        else b.host += won;
        b.burnt += bonds - won;
        burnt[job.token] += bonds - won;
        bondsOut += won;
        bondsBurnt += bonds - won;
    }

    function _endSession(
        address actor,
        bytes32 id,
        ISessionMarketplace.Session memory s,
        bytes memory data,
        bytes4 err,
        uint256 earned
    ) internal {
        Books memory b = _books(s.payer, s.host, s.token);
        (bool ok,) = _call(actor, address(p.sessions), 0, data, err);
        if (!ok) return;
        uint256 more = earned - s.settled;
        uint256 fee = more * s.feeBps / 10_000;
        Books memory after_ = _books(s.payer, s.host, s.token);
        assertEq(after_.payer, b.payer + s.deposit - earned, "payer's part");
        assertEq(after_.host, b.host + more - fee, "host's part");
        assertEq(after_.fees, b.fees + fee, "fee");
        SessionGhost storage ghost = sessionGhosts[id];
        ghost.settled = earned;
        ghost.refunded = s.deposit - earned;
        ghost.closed = true;
    }

    function _noteVoucher(bytes32 id, uint256 amount, uint256 earned) internal {
        SessionGhost storage ghost = sessionGhosts[id];
        if (amount > ghost.highest) ghost.highest = amount;
        ghost.settled += earned;
        ++settlements;
    }

    function _noteRecord(bytes32 id, bool ofJob, address host) internal {
        bool known = ofJob ? jobGhosts[id].recorded : sessionGhosts[id].recorded;
        if (known) return;
        ++recorded[host];
        if (ofJob) jobGhosts[id].recorded = true;
        else sessionGhosts[id].recorded = true;
    }

    function _noteSlash(address host, uint256 stakeBefore) internal {
        ++slashes[host];
        slashed[host] += stakeBefore - p.registry.nodeOf(host).stake;
    }
}
