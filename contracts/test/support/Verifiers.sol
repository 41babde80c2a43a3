// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @notice A verifier that refuses everything as emitted ones do.
contract RevertingVerifier {
    fallback() external {
        revert();
    }
}

/// @notice A verifier that takes all gas it is given.
contract EatingVerifier {
    fallback() external {
        while (true) { }
    }
}

/// @notice A verifier that gives the same answer to everything.
contract LyingVerifier {
    uint256 private immutable ANSWER;

    constructor(uint256 answer) {
        ANSWER = answer;
    }

    function verifyProof(bytes calldata, uint256[] calldata) external view returns (uint256) {
        return ANSWER;
    }
}

/// @notice A verifier that reverts, with the word that would mean yes.
contract RefusingVerifier {
    fallback() external {
        assembly {
            mstore(0, 1)
            revert(0, 32)
        }
    }
}

/// @notice A verifier that says yes in less than a word.
contract TerseVerifier {
    fallback() external {
        assembly {
            mstore(0, shl(8, 1))
            return(0, 31)
        }
    }
}
