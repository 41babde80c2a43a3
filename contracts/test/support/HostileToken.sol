// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @notice Told of a transfer before it happens, like an ERC-777 `tokensToSend` hook, or after, like `tokensReceived`.
interface ITransferHook {
    function onTransfer(address from, address to, uint256 amount) external;
}

/// @notice An ERC-20 that misbehaves in the way it is told to.
contract HostileToken {
    enum Mode {
        Honest,
        FeeOnTransfer,
        NoReturn,
        FalseReturn,
        Paused,
        Blacklisting,
        Silent
    }

    mapping(address => uint256) public shares;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => bool) public blacklisted;
    /// @dev Accounts with a hook that is called whenever they send or receive.
    mapping(address => ITransferHook) public hooks;
    Mode public mode;
    /// @dev Balances are shares times this, in percent.
    uint256 public index = 100;

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    function setIndex(uint256 index_) external {
        index = index_;
    }

    function setBlacklisted(address account, bool on) external {
        blacklisted[account] = on;
    }

    function setHook(address account, ITransferHook hook) external {
        hooks[account] = hook;
    }

    function mint(address to, uint256 amount) external {
        shares[to] += amount;
    }

    function balanceOf(address account) public view returns (uint256) {
        return shares[account] * index / 100;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) internal returns (bool) {
        require(mode != Mode.Paused, "paused");
        require(!(mode == Mode.Blacklisting && (blacklisted[from] || blacklisted[to])), "blacklisted");
        if (mode == Mode.FalseReturn) return false;
        if (mode == Mode.Silent) return true;
        if (address(hooks[from]) != address(0)) hooks[from].onTransfer(from, to, amount);
        shares[from] -= amount * 100 / index;
        uint256 received = mode == Mode.FeeOnTransfer ? amount - amount / 100 : amount;
        shares[to] += received * 100 / index;
        if (address(hooks[to]) != address(0)) hooks[to].onTransfer(from, to, amount);
        if (mode == Mode.NoReturn) {
            assembly {
                return(0, 0)
            }
        }
        return true;
    }
}
