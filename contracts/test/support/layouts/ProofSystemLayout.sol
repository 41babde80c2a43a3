// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { ProofSystem } from "../../../src/marketplace/ProofSystem.sol";

/// @notice The compiler tells the layout of state variables, not of ERC-7201 namespaces. Here the namespace is a state
/// variable, so that `tools/layouts.js` can read its layout off and compare it with what is committed.
contract ProofSystemLayout {
    ProofSystem.ProofStorage internal namespace;
}
