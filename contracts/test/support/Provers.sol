// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @notice A proof system that answers in the way it is told to.
contract Prover {
    enum Answer {
        No,
        Yes,
        Revert,
        Burn,
        Garbage,
        Nothing,
        Bomb
    }

    Answer public answer;

    function set(Answer answer_) external {
        answer = answer_;
    }

    function isProven(bytes32, bytes32) external view returns (bool) {
        Answer a = answer;
        if (a == Answer.Revert) revert("no");
        if (a == Answer.Burn) while (true) { }
        if (a == Answer.Garbage) {
            assembly {
                mstore(0, 2)
                return(0, 32)
            }
        }
        if (a == Answer.Nothing) {
            assembly {
                return(0, 0)
            }
        }
        if (a == Answer.Bomb) {
            assembly {
                return(0, 100000)
            }
        }
        return a == Answer.Yes;
    }
}

/// @notice A proof system that says yes, after so much gas.
contract SlowProver {
    uint256 private immutable GAS;

    constructor(uint256 gas_) {
        GAS = gas_;
    }

    function isProven(bytes32, bytes32) external view returns (bool) {
        uint256 start = gasleft();
        while (start - gasleft() < GAS) { }
        return true;
    }
}
