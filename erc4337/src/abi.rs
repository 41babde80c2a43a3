//! Contract bindings, generated from artifacts: the EntryPoints' from the published packages, ours from Foundry.
//!
//! Run `make build` before `cargo` by hand: it makes the artifacts.

#![allow(missing_docs, unreachable_pub, clippy::too_many_arguments, reason = "generated; documented by NatSpec")]

macro_rules! bindings {
    ($(#[$doc:meta])* $module:ident, $name:ident, $path:literal) => {
        $(#[$doc])*
        pub mod $module {
            alloy::sol!(
                #[derive(Debug)]
                $name,
                $path
            );
            pub use $name::*;
        }
    };
}

bindings!(
    /// EntryPoint v0.6.
    entry_point_v06, EntryPointV06, "../contracts/node_modules/account-abstraction-v06/artifacts/EntryPoint.json");
bindings!(
    /// EntryPoint v0.7.
    entry_point_v07, EntryPointV07, "../contracts/node_modules/account-abstraction-v07/artifacts/EntryPoint.json");
bindings!(
    /// EntryPoint v0.8; its calls are also those of v0.7 and v0.9.
    entry_point_v08, EntryPointV08, "../contracts/node_modules/account-abstraction-v08/artifacts/EntryPoint.json");
bindings!(
    /// EntryPoint v0.9 (release candidate).
    entry_point_v09, EntryPointV09, "../contracts/node_modules/account-abstraction-v09/artifacts/EntryPoint.json");
bindings!(
    /// What an account implements for EntryPoint v0.6.
    account_v06, IAccountV06, "../contracts/node_modules/account-abstraction-v06/artifacts/IAccount.json");
bindings!(
    /// What an account implements for EntryPoint v0.7 and later.
    account_v08, IAccountV08, "../contracts/node_modules/account-abstraction-v08/artifacts/IAccount.json");
bindings!(
    /// What a paymaster implements for EntryPoint v0.6.
    paymaster_v06, IPaymasterV06, "../contracts/node_modules/account-abstraction-v06/artifacts/IPaymaster.json");
bindings!(
    /// What a paymaster implements for EntryPoint v0.7 and later.
    paymaster_v08, IPaymasterV08, "../contracts/node_modules/account-abstraction-v08/artifacts/IPaymaster.json");
bindings!(
    /// The contract through which an EntryPoint calls factories.
    sender_creator, ISenderCreator, "../contracts/node_modules/account-abstraction-v08/artifacts/ISenderCreator.json");
bindings!(
    /// Our smart account.
    smart_account, SmartAccount, "../contracts/out/SmartAccount.sol/SmartAccount.json");
bindings!(
    /// The factory of our smart account.
    smart_account_factory, SmartAccountFactory,
    "../contracts/out/SmartAccountFactory.sol/SmartAccountFactory.json");
bindings!(
    /// Our signing paymaster, v0.7 and later.
    verifying_paymaster, VerifyingPaymaster, "../contracts/out/VerifyingPaymaster.sol/VerifyingPaymaster.json");
bindings!(
    /// The same for v0.6.
    verifying_paymaster_v06, VerifyingPaymasterV06,
    "../contracts/out/VerifyingPaymasterV06.sol/VerifyingPaymasterV06.json");
bindings!(
    /// Our paymaster that is paid in tokens, v0.7 and later.
    token_paymaster, TokenPaymaster, "../contracts/out/TokenPaymaster.sol/TokenPaymaster.json");
bindings!(
    /// The same for v0.6.
    token_paymaster_v06, TokenPaymasterV06, "../contracts/out/TokenPaymasterV06.sol/TokenPaymasterV06.json");
bindings!(
    /// The part of a Chainlink feed that is used.
    price_oracle, IPriceOracle, "../contracts/out/IPriceOracle.sol/IPriceOracle.json");
bindings!(
    /// Hosts, their stake, models and prices.
    node_registry, NodeRegistry, "../contracts/out/NodeRegistry.sol/NodeRegistry.json");
bindings!(
    /// Jobs from posting to settlement.
    job_marketplace, JobMarketplace, "../contracts/out/JobMarketplace.sol/JobMarketplace.json");
bindings!(
    /// Streaming inference, paid by vouchers.
    session_marketplace, SessionMarketplace,
    "../contracts/out/SessionMarketplace.sol/SessionMarketplace.json");
bindings!(
    /// What became of each host's work.
    reputation_system, ReputationSystem, "../contracts/out/ReputationSystem.sol/ReputationSystem.json");
bindings!(
    /// Verifies EZKL proofs of jobs' results.
    proof_system, ProofSystem, "../contracts/out/ProofSystem.sol/ProofSystem.json");
bindings!(
    /// Sole holder of the marketplace's funds.
    payment_escrow, PaymentEscrow, "../contracts/out/PaymentEscrow.sol/PaymentEscrow.json");
bindings!(
    /// The token that votes.
    fab_token, FabToken, "../contracts/out/FabToken.sol/FabToken.json");
bindings!(
    /// Proposals and votes.
    fab_governor, FabGovernor, "../contracts/out/FabGovernor.sol/FabGovernor.json");
bindings!(
    /// Owns the policy contracts and delays what was voted.
    fab_timelock, FabTimelock, "../contracts/out/FabTimelock.sol/FabTimelock.json");
bindings!(
    /// What governance may tune, and how far.
    parameter_store, ParameterStore, "../contracts/out/ParameterStore.sol/ParameterStore.json");
bindings!(
    /// Pauses entry.
    guardian, Guardian, "../contracts/out/Guardian.sol/Guardian.json");
bindings!(
    /// Pauses entry when too much leaves.
    circuit_breaker, CircuitBreaker, "../contracts/out/CircuitBreaker.sol/CircuitBreaker.json");
bindings!(
    /// A token of 6 decimals for test networks, laid out as USDC is.
    test_usdc, DemoUSDC, "../contracts/out/DemoUSDC.sol/DemoUSDC.json");
bindings!(
    /// The proxy in front of the upgradeable contracts.
    erc1967_proxy, ERC1967Proxy, "../contracts/out/ERC1967Proxy.sol/ERC1967Proxy.json");
bindings!(
    /// Checks signatures of accounts, deployed or not, for the escrow.
    signature_verifier, SignatureVerifier, "../contracts/out/SignatureVerifier.sol/SignatureVerifier.json");
