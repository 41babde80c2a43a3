//! Who is who: contracts of the deployment, and what their functions are called.

use std::collections::BTreeMap;

use alloy::primitives::{Address, FixedBytes, hex};
use erc4337::{
    abi::{
        job_marketplace::JobMarketplaceCalls, node_registry::NodeRegistryCalls, payment_escrow::PaymentEscrowCalls,
        proof_system::ProofSystemCalls, session_marketplace::SessionMarketplaceCalls, smart_account::SmartAccountCalls,
        test_usdc::DemoUSDCCalls,
    },
    calls::Call,
};
use serde_json::{Value, json};

use crate::deployment::Deployment;

/// A function's signature, by its selector.
type Signature = fn([u8; 4]) -> Option<&'static str>;

/// See the module.
#[derive(Debug)]
pub(super) struct Names(BTreeMap<Address, (String, Signature)>);

impl Names {
    /// Those of this deployment.
    pub(super) fn of(deployment: &Deployment) -> Self {
        let nothing: Signature = |_| None;
        let contracts: [(Address, &str, Signature); 7] = [
            (deployment.node_registry, "NodeRegistry", NodeRegistryCalls::signature_by_selector),
            (deployment.job_marketplace, "JobMarketplace", JobMarketplaceCalls::signature_by_selector),
            (deployment.session_marketplace, "SessionMarketplace", SessionMarketplaceCalls::signature_by_selector),
            (deployment.proof_system, "ProofSystem", ProofSystemCalls::signature_by_selector),
            (deployment.payment_escrow, "PaymentEscrow", PaymentEscrowCalls::signature_by_selector),
            (deployment.token, "token", DemoUSDCCalls::signature_by_selector),
            (deployment.smart_account_factory, "SmartAccountFactory", nothing),
        ];
        let mut names: BTreeMap<_, _> =
            contracts.into_iter().map(|(address, name, signature)| (address, (name.to_owned(), signature))).collect();
        for (what, addresses) in [
            ("EntryPoint", &deployment.entry_points),
            ("sponsoring paymaster", &deployment.paymasters),
            ("token paymaster", &deployment.token_paymasters),
        ] {
            for (version, address) in addresses {
                names.insert(*address, (format!("{what} {version}"), nothing));
            }
        }
        Self(names)
    }

    /// What this address is called, if it is one of ours.
    pub(super) fn of_address(&self, address: Address) -> Option<&str> {
        self.0.get(&address).map(|(name, _)| name.as_str())
    }

    /// A call in words, as far as it is known; `account` calls itself by its own functions.
    pub(super) fn call(&self, call: &Call, account: Address) -> Value {
        let own: Signature = SmartAccountCalls::signature_by_selector;
        let signature = if call.target == account { Some(own) } else { self.0.get(&call.target).map(|(_, it)| *it) };
        let function = call.selector().and_then(|selector| signature?(selector));
        let arguments = call.data.get(4..).unwrap_or_default();
        json!({
            "to": call.target,
            "name": if call.target == account { Some("the account itself") } else { self.of_address(call.target) },
            "value": call.value,
            "selector": call.selector().map(FixedBytes::<4>::from),
            "function": function,
            "arguments": hex::encode_prefixed(arguments),
        })
    }
}
