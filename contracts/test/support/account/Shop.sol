// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Shop
/// @notice What a session sees of the marketplace and its escrow, in one: the same functions, and where the money goes.
contract Shop {
    struct JobRequest {
        address host;
        address token;
        uint256 amount;
        bytes32 modelId;
        uint40 deadline;
        bool proofRequired;
        bytes32 inputHash;
        string inputURI;
    }

    mapping(address account => mapping(address token => uint256)) public creditOf;
    uint256 public jobs;

    function postJob(JobRequest calldata request) external payable returns (bytes32) {
        require(IERC20(request.token).transferFrom(msg.sender, address(this), request.amount), "no money");
        return bytes32(++jobs);
    }

    function cancelJob(bytes32) external { }

    function acceptResult(bytes32) external { }

    function expireJob(bytes32) external { }

    function depositFor(address account, address token, uint256 amount) external payable {
        if (token == address(0)) require(amount == msg.value, "wrong value");
        else require(IERC20(token).transferFrom(msg.sender, address(this), amount), "no money");
        creditOf[account][token] += amount;
    }

    function withdraw(address token, address to, uint256 amount) external {
        creditOf[msg.sender][token] -= amount;
        require(IERC20(token).transfer(to, amount), "no money");
    }
}
