// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.30;

// Library contracts that are deployed as they are: imported so that Foundry makes their artifacts.
import { ERC1967Proxy } from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
