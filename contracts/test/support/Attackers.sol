// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IPaymentEscrow } from "../../src/marketplace/interfaces/IPaymentEscrow.sol";
import { ITransferHook } from "./HostileToken.sol";

/// @notice A contract account whose receiving of ETH goes wrong in the way it is told to.
contract HostileReceiver {
    enum Mode {
        Accept,
        Revert,
        Burn,
        Bomb,
        Reenter
    }

    Mode public mode;
    address public target;
    bytes public call;
    bool public reentered;
    bytes public seen;

    function set(Mode mode_, address target_, bytes calldata call_) external {
        (mode, target, call) = (mode_, target_, call_);
    }

    receive() external payable {
        if (mode == Mode.Revert) revert("no");
        if (mode == Mode.Burn) while (true) { }
        if (mode == Mode.Bomb) {
            assembly {
                return(0, 1000000)
            }
        }
        if (mode == Mode.Reenter) (reentered, seen) = target.call(call);
    }

    function execute(address to, uint256 value, bytes calldata data) external returns (bytes memory) {
        (bool success, bytes memory result) = to.call{ value: value }(data);
        if (!success) {
            assembly {
                revert(add(result, 0x20), mload(result))
            }
        }
        return result;
    }
}

/// @notice An ERC-777-like hook that calls somewhere whenever its owner sends or receives.
contract HookCaller is ITransferHook {
    address public target;
    bytes public call;
    bool public succeeded;
    bytes public result;

    function set(address target_, bytes calldata call_) external {
        (target, call) = (target_, call_);
    }

    function onTransfer(address, address, uint256) external {
        (succeeded, result) = target.call(call);
    }
}

/// @notice Forces ETH on an account that does not take any: its creation code is `PUSH20 target SELFDESTRUCT`.
library Force {
    function send(address target, uint256 value) internal {
        bytes memory code = abi.encodePacked(hex"73", target, hex"ff");
        assembly {
            if iszero(create(value, add(code, 0x20), mload(code))) { revert(0, 0) }
        }
    }
}
