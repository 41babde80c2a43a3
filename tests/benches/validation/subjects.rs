//! The operations that are measured: real accounts, real signatures, ready to be sent.

use std::sync::Arc;

use alloy::{
    primitives::{Address, Bytes, U256, utils::parse_ether},
    sol_types::{SolCall, SolValue},
};
use anyhow::Result;
use bundler::node::NodeClient;
use erc4337::{
    EntryPointVersion, UserOperation, UserOperationRequest,
    abi::{smart_account_factory, test_usdc},
    calls::Call,
};
use fabstir::Client;
use serde_json::Value;
use session_keys::SecretKey;
use tests::{Stack, accounts::SimpleAccount};

/// The EntryPoint that all of them run on.
pub(crate) const VERSION: EntryPointVersion = EntryPointVersion::V0_8;

/// Operations alike but for their senders.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) operations: Vec<Arc<UserOperation>>,
}

/// Three kinds, `count` senders of each.
pub(crate) async fn all(stack: &Stack, count: usize) -> Result<Vec<Subject>> {
    Ok(vec![
        Subject { name: "SimpleAccount", operations: simple(stack, count).await? },
        Subject { name: "SmartAccount, sponsored", operations: sponsored(stack, count, true).await? },
        Subject { name: "SmartAccount, sponsored, created", operations: sponsored(stack, count, false).await? },
    ])
}

/// SimpleAccounts of one factory that pay for themselves.
async fn simple(stack: &Stack, count: usize) -> Result<Vec<Arc<UserOperation>>> {
    let first = SimpleAccount::new(stack, VERSION, U256::ZERO).await?;
    let mut operations = Vec::new();
    for _ in 0..count {
        let account = first.sibling(stack, parse_ether("1")?).await?;
        account.deploy(stack).await?;
        let mut op = account.operation(stack, Address::repeat_byte(0x99), U256::ZERO, Bytes::new()).await?;
        account.finish(stack, &mut op).await?;
        operations.push(complete(&op)?);
    }
    Ok(operations)
}

/// Accounts of ours whose operation the deployment's paymaster pays for, there already or still to be created.
async fn sponsored(stack: &Stack, count: usize, deployed: bool) -> Result<Vec<Arc<UserOperation>>> {
    let approve = test_usdc::approveCall { spender: stack.deployment.payment_escrow, value: U256::ONE };
    let calls = [Call { target: stack.deployment.token, value: U256::ZERO, data: approve.abi_encode().into() }];
    let mut operations = Vec::new();
    for _ in 0..count {
        let key = SecretKey::generate();
        let owner: Bytes = key.address().abi_encode().into();
        let node = NodeClient::new(&stack.anvil.url)?;
        let client = Client::new(&stack.node.url, node, stack.deployment.clone(), key).await?;
        if deployed {
            let create = smart_account_factory::createAccountCall { owners: vec![owner], nonce: U256::ZERO };
            let factory = stack.deployment.smart_account_factory;
            stack.anvil.transact_as(VERSION.canonical_address().create(1), factory, create.abi_encode()).await?;
        }
        operations.push(complete(&client.sign(client.prepare(&calls).await?)?)?);
    }
    Ok(operations)
}

fn complete(op: &Value) -> Result<Arc<UserOperation>> {
    Ok(Arc::new(UserOperationRequest::from_json(op, VERSION)?.complete(VERSION)?))
}
