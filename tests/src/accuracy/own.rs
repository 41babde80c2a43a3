//! Our SmartAccount: owned by an ECDSA key or a passkey, or used by a session key.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256, utils::parse_ether},
    sol_types::{SolCall, SolConstructor, SolValue},
};
use anyhow::Result;
use erc4337::{
    EntryPointVersion, HashContext, UserOperationRequest,
    abi::{smart_account, smart_account_factory},
    calls::{self, Call},
};
use serde_json::{Value, json};
use session_keys::{Policy, PublicKey, SecretKey, SessionKey, operation::digest};

use super::{actor::with_fees, passkey::Passkey};
use crate::{accounts::view, stack::Stack};

/// A passkey's dummy names another challenge, so that an estimate ends before the curve: clients say what it takes.
const PASSKEY_VERIFICATION_GAS: u64 = 450_000;
/// What an account's creation adds to that.
const CREATION_GAS: u64 = 300_000;

/// The factory of one EntryPoint version's accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factory {
    pub(super) version: EntryPointVersion,
    entry_point: Address,
    address: Address,
    chain_id: u64,
}

/// Who owns an account.
#[derive(Debug)]
pub(super) enum Owner {
    Ecdsa(SecretKey),
    Passkey(Passkey),
}

/// A session, its key, and the owner's signature until it is enabled.
#[derive(Debug)]
pub(super) struct Session {
    policy: Policy,
    key: SessionKey,
    enabling: Bytes,
}

/// An account and who signs for it.
#[derive(Debug)]
pub(super) struct OwnAccount {
    pub(super) version: EntryPointVersion,
    pub(super) entry_point: Address,
    pub(super) address: Address,
    factory: Factory,
    owner: Owner,
    deployed: bool,
    session: Option<Session>,
}

impl Factory {
    /// Deploys the account's code and its factory.
    pub(super) async fn new(stack: &Stack, version: EntryPointVersion) -> Result<Self> {
        let entry_point = stack.deployment.entry_points[&version.to_string()];
        let create = async |code: &Bytes, arguments: Vec<u8>| -> Result<Address> {
            let receipt = stack.anvil.transact(None, [code.as_ref(), &arguments].concat(), U256::ZERO).await?;
            Ok(serde_json::from_value(receipt["contractAddress"].clone())?)
        };
        let account = smart_account::constructorCall { entryPoint_: entry_point };
        let implementation_ = create(&smart_account::BYTECODE, account.abi_encode()).await?;
        let factory = smart_account_factory::constructorCall { implementation_ };
        let address = create(&smart_account_factory::BYTECODE, factory.abi_encode()).await?;
        Ok(Self { version, entry_point, address, chain_id: stack.deployment.chain_id })
    }

    /// An account of this owner's, with an ether; deployed beforehand, or by its first operation.
    pub(super) async fn account(&self, stack: &Stack, owner: Owner, deployed: bool) -> Result<OwnAccount> {
        let owners = vec![owner.public().to_contract_bytes()];
        let create = smart_account_factory::createAccountCall { owners: owners.clone(), nonce: U256::ZERO };
        let address = smart_account_factory::getAddressCall { owners, nonce: U256::ZERO };
        let address = Address::abi_decode(&view(stack, self.address, address.abi_encode()).await?)?;
        if deployed {
            stack.anvil.transact(Some(self.address), create.abi_encode(), U256::ZERO).await?;
        }
        stack.anvil.transact(Some(address), Bytes::new(), parse_ether("1")?).await?;
        let (version, entry_point) = (self.version, self.entry_point);
        Ok(OwnAccount { version, entry_point, address, factory: *self, owner, deployed, session: None })
    }
}

impl Owner {
    pub(super) fn ecdsa() -> Self {
        Self::Ecdsa(SecretKey::generate())
    }

    fn public(&self) -> PublicKey {
        match self {
            Self::Ecdsa(key) => PublicKey::Address(key.address()),
            Self::Passkey(passkey) => passkey.public(),
        }
    }

    fn sign(&self, digest: B256) -> Result<Bytes> {
        match self {
            Self::Ecdsa(key) => Ok(key.sign(digest)?.as_bytes().into()),
            Self::Passkey(passkey) => Ok(passkey.sign(digest)),
        }
    }
}

impl OwnAccount {
    /// Hands the account to a session key, enabled beforehand or by its first operation.
    pub(super) async fn with_session(
        mut self,
        stack: &Stack,
        policy: Policy,
        key: SessionKey,
        enabled: bool,
    ) -> Result<Self> {
        let enabling = if enabled {
            let enable = smart_account::enableSessionCall { session: policy.to_session()? };
            let PublicKey::Address(owner) = self.owner.public() else { anyhow::bail!("passkeys send no transactions") };
            stack.anvil.transact_as(owner, self.address, enable.abi_encode()).await?;
            Bytes::new()
        } else {
            self.owner.sign(policy.digest(self.factory.chain_id, self.address)?)?
        };
        self.session = Some(Session { policy, key, enabling });
        Ok(self)
    }

    /// An operation without gas limits (but for what a passkey's verification takes), with a dummy signature.
    pub(super) fn operation(&self, call: Call) -> Result<Value> {
        let nonce = match &self.session {
            // Half of the session's id, then period, lane and sequence 0.
            Some(session) => U256::from_be_bytes(session.policy.id()?.0) >> 128_usize << 128_usize,
            None => U256::ZERO,
        };
        let mut op = with_fees(json!({
            "sender": self.address,
            "nonce": nonce,
            "callData": calls::encode(&[call]),
            "signature": self.signature(keccak256("a dummy"))?,
        }));
        if !self.deployed {
            let owners = vec![self.owner.public().to_contract_bytes()];
            let create = smart_account_factory::createAccountCall { owners, nonce: U256::ZERO };
            op["factory"] = json!(self.factory.address);
            op["factoryData"] = json!(Bytes::from(create.abi_encode()));
        }
        if let (Owner::Passkey(_), None) = (&self.owner, &self.session) {
            let creation = if self.deployed { 0 } else { CREATION_GAS };
            op["verificationGasLimit"] = json!(U256::from(PASSKEY_VERIFICATION_GAS + creation));
        }
        Ok(op)
    }

    pub(super) fn sign(&self, op: &mut Value) -> Result<()> {
        let Factory { version, entry_point, chain_id, .. } = self.factory;
        let context = HashContext { version, entry_point, chain_id };
        let hash = UserOperationRequest::from_json(op, version)?.with_open_fields_zero().hash(&context, None)?;
        op["signature"] = json!(self.signature(digest(hash, version))?);
        Ok(())
    }

    fn signature(&self, digest: B256) -> Result<Bytes> {
        match &self.session {
            Some(session) => Ok(session.policy.operation_signature(&session.enabling, &session.key.sign(digest)?)?),
            None => self.owner.sign(digest),
        }
    }
}
