// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import { IJobMarketplace } from "../../../src/marketplace/interfaces/IJobMarketplace.sol";
import { IPaymentEscrow } from "../../../src/marketplace/interfaces/IPaymentEscrow.sol";

/// @notice A contract that buys inference for its owner: it posts a job, accepts what comes, and takes refunds out.
contract JobBuyer {
    address public immutable owner = msg.sender;
    IJobMarketplace public immutable jobs;
    IPaymentEscrow public immutable escrow;

    error NotOwner(address caller);

    constructor(IJobMarketplace jobs_, IPaymentEscrow escrow_) {
        (jobs, escrow) = (jobs_, escrow_);
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    /// @notice Locks the price, which the contract holds. The escrow takes no more than this.
    function buy(IJobMarketplace.JobRequest calldata request) external onlyOwner returns (bytes32 jobId) {
        IERC20(request.token).approve(address(escrow), request.amount);
        jobId = jobs.postJob(request);
    }

    /// @notice Pays the host at once, instead of when the review window is over.
    function accept(bytes32 jobId) external onlyOwner {
        jobs.acceptResult(jobId);
    }

    /// @notice A refund is a credit in the escrow: it is fetched, never sent.
    function collect(address token) external onlyOwner {
        uint256 credit = escrow.creditOf(address(this), token);
        escrow.withdraw(token, owner, credit);
    }
}
