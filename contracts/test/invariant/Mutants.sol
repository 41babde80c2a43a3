// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IGoverned } from "../../src/marketplace/interfaces/IGoverned.sol";
import { IJobMarketplace } from "../../src/marketplace/interfaces/IJobMarketplace.sol";
import { INodeRegistry } from "../../src/marketplace/interfaces/INodeRegistry.sol";
import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { ISessionMarketplace } from "../../src/marketplace/interfaces/ISessionMarketplace.sol";
import { TestToken } from "../support/TestToken.sol";

/// @notice A contract that is the real one but for the functions that a mutant breaks.
abstract contract Mutant {
    address internal immutable REAL;

    constructor(address real) {
        REAL = real;
    }

    receive() external payable { }

    fallback() external payable {
        _real(msg.data);
    }

    /// @dev Runs the real code on this contract's storage and returns what it returns.
    function _real(bytes memory data) internal {
        (bool success, bytes memory result) = REAL.delegatecall(data);
        assembly {
            if iszero(success) { revert(add(result, 0x20), mload(result)) }
            return(add(result, 0x20), mload(result))
        }
    }

    /// @dev Runs the real code and goes on.
    function _first(bytes memory data) internal {
        (bool success, bytes memory result) = REAL.delegatecall(data);
        assembly {
            if iszero(success) { revert(add(result, 0x20), mload(result)) }
        }
    }

    function _slot(string memory name, uint256 offset) internal pure returns (bytes32) {
        bytes32 base = keccak256(abi.encode(uint256(keccak256(bytes(string.concat("fabstir.storage.", name)))) - 1))
            & ~bytes32(uint256(0xff));
        return bytes32(uint256(base) + offset);
    }

    function _add(bytes32 slot, uint256 value) internal {
        assembly {
            sstore(slot, add(sload(slot), value))
        }
    }
}

/// @notice Breaks 1: pays out without reducing the credit.
contract PayingTwiceEscrow is Mutant {
    constructor(address real) Mutant(real) { }

    function withdraw(address token, address to, uint256 amount) external {
        TestToken(token).transfer(to, amount);
    }
}

/// @notice Breaks 2: settles the whole deposit, whatever the voucher says.
contract GenerousSessions is Mutant {
    IPaymentEscrow private immutable ESCROW;

    constructor(address real, IPaymentEscrow escrow) Mutant(real) {
        ESCROW = escrow;
    }

    function settle(ISessionMarketplace.Voucher calldata v, bytes calldata) external returns (uint256) {
        return ESCROW.releaseAbove(v.sessionId, address(bytes20(v.sessionId)), 0, 0);
    }
}

/// @notice Breaks 3: lets an old voucher lower what was settled, by locking the payer's money once more.
contract ForgetfulSessions is Mutant {
    IPaymentEscrow private immutable ESCROW;

    constructor(address real, IPaymentEscrow escrow) Mutant(real) {
        ESCROW = escrow;
    }

    function startClose(bytes32 id) external {
        ESCROW.increaseLock(id, 1);
        _real(msg.data);
    }
}

/// @notice Breaks 4: reopens a job that has ended.
contract RestlessJobs is Mutant {
    constructor(address real) Mutant(real) { }

    function acceptResult(bytes32 jobId) external {
        _first(msg.data);
        bytes32 slot = keccak256(abi.encode(jobId, _slot("JobMarketplace", 6)));
        assembly {
            let word := and(sload(slot), not(shl(160, 0xff)))
            sstore(slot, or(word, shl(160, 3))) // Submitted
        }
    }
}

/// @notice Breaks 5: lets nobody withdraw while a marketplace is paused.
contract PausableEscrow is Mutant {
    IGoverned private immutable MARKET;

    constructor(address real, IGoverned market) Mutant(real) {
        MARKET = market;
    }

    function withdraw(address, address, uint256) external {
        require(block.timestamp >= MARKET.entryPausedUntil(), "paused");
        _real(msg.data);
    }
}

/// @notice Breaks 6: pays unbonding stake out and keeps it on the books.
contract ForgetfulRegistry is Mutant {
    IPaymentEscrow private immutable ESCROW;

    constructor(address real, IPaymentEscrow escrow) Mutant(real) {
        ESCROW = escrow;
    }

    function startUnbonding(uint256 amount) external {
        ESCROW.refund(bytes32(uint256(uint160(msg.sender))), amount);
        _real(msg.data);
    }
}

/// @notice Breaks 7: lists a node a second time whenever it changes a price.
contract RepetitiveRegistry is Mutant {
    constructor(address real) Mutant(real) { }

    function setOffers(INodeRegistry.Offer[] calldata) external {
        _first(msg.data);
        bytes32 list = keccak256(abi.encode(uint256(1), _slot("NodeRegistry", 9)));
        uint256 length;
        assembly {
            length := sload(list)
            sstore(list, add(length, 1))
        }
        _add(keccak256(abi.encode(list)), uint256(1) << (32 * length));
    }
}

/// @notice Breaks 8: gives a challenger its bond back at once and goes on as if it were there.
contract CarelessJobs is Mutant {
    IPaymentEscrow private immutable ESCROW;

    constructor(address real, IPaymentEscrow escrow) Mutant(real) {
        ESCROW = escrow;
    }

    function challengeResult(bytes32 jobId, bytes32) external payable {
        _first(msg.data);
        ESCROW.refundAll(keccak256(abi.encode(jobId, false)));
    }
}

/// @notice Breaks 8 in another place: gives a host the bond of its assertion back at once.
contract CarelessProofs is Mutant {
    IPaymentEscrow private immutable ESCROW;

    constructor(address real, IPaymentEscrow escrow) Mutant(real) {
        ESCROW = escrow;
    }

    function assertResult(bytes32 jobId) external payable {
        _first(msg.data);
        ESCROW.refundAll(keccak256(abi.encode(jobId, true)));
    }
}

/// @notice Breaks 9: counts a recorded engagement twice.
contract BoastfulReputation is Mutant {
    address private immutable HOST;

    constructor(address real, address host) Mutant(real) {
        HOST = host;
    }

    function record(address, bytes32) external {
        _first(msg.data);
        _add(keccak256(abi.encode(HOST, _slot("ReputationSystem", 5))), 1);
    }
}

/// @notice Breaks 10: raises the price of a running session.
contract GreedySessions is Mutant {
    constructor(address real) Mutant(real) { }

    function startClose(bytes32 id) external {
        _first(msg.data);
        bytes32 terms = bytes32(uint256(keccak256(abi.encode(id, _slot("SessionMarketplace", 2)))) + 1);
        _add(terms, 1);
    }
}

/// @notice Breaks the end of everything: a job whose host is silent cannot be expired.
contract PatientJobs is Mutant {
    constructor(address real) Mutant(real) { }

    function expireJob(bytes32 jobId) external pure {
        revert IJobMarketplace.TooEarly(jobId, type(uint256).max);
    }
}
