//! The service with what it lacks: a clock, a chain, a disk, and turns.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    EntryPointVersion,
    abi::{entry_point_v08, smart_account},
};
use serde_json::Value;

use super::{Backend, RpcError};
use crate::{
    SessionKey,
    policy::{
        judge::{Counters, Spend, Status},
        marketplace::Marketplace,
        summary::Names,
    },
    service::{Refusal, Service},
    store::{Binding, KeyWrapper, StoredKey},
    vault::{Saved, Vault, VaultError},
};

/// Vouchers go by what the chain said at most so long ago.
const FRESH: Duration = Duration::from_secs(2);

/// What is served, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The EntryPoint of the accounts.
    pub entry_point: Address,
    /// Its version.
    pub version: EntryPointVersion,
    /// Creates accounts.
    pub factory: Address,
    /// Who pays for gas, unless a permission says that the account does.
    pub paymaster: Option<Address>,
    /// Where the marketplace is.
    pub marketplace: Marketplace,
    /// What addresses are called in summaries.
    pub names: Names,
    /// Most seconds for which a permission is granted.
    pub max_lifetime: u64,
}

/// What the service does not need to know of a session.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    /// Hash of its token.
    pub(super) client: B256,
    /// What was answered to the request.
    pub(super) answer: Value,
}

/// A key without a policy.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: SessionKey,
    pub(super) client: B256,
    pub(super) since: Instant,
}

/// All sessions of one chain.
pub struct Hub<B> {
    pub(super) backend: B,
    pub(super) config: Config,
    wrapper: Arc<dyn KeyWrapper + Send + Sync>,
    vault: Arc<Vault>,
    service: Arc<Mutex<Service>>,
    meta: Mutex<BTreeMap<B256, Meta>>,
    /// Keys that no permission was asked for yet, by what stands for them.
    pub(super) waiting: Mutex<HashMap<Address, Waiting>>,
    /// Requests that no owner granted yet.
    pub(super) requested: Mutex<HashMap<B256, Instant>>,
    /// One after another for each session: what the chain said and what was counted here belong together.
    turns: Mutex<HashMap<B256, Arc<tokio::sync::Mutex<Option<Instant>>>>>,
}

impl<B> std::fmt::Debug for Hub<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("config", &self.config).finish_non_exhaustive()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session's turn; it holds when the chain was asked last.
pub(super) type Turn = tokio::sync::OwnedMutexGuard<Option<Instant>>;

impl<B: Backend> Hub<B> {
    /// The EntryPoint of the accounts.
    pub fn entry_point(&self) -> Address {
        self.config.entry_point
    }

    /// How many sessions there are, by state.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.service().counts()
    }

    /// What it asks of others, on behalf of whoever made the request with these extensions.
    pub fn on_behalf_of(&self, request: &jsonrpsee::Extensions) -> B {
        self.backend.on_behalf_of(request)
    }

    /// Takes up what is in the vault; `last` is the hash of its log's last line.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(
        backend: B,
        config: Config,
        wrapper: Arc<dyn KeyWrapper + Send + Sync>,
        (vault, last): (Vault, B256),
    ) -> Result<Self, VaultError> {
        let mut service = Service::new(config.chain_id, config.entry_point, config.version);
        let (mut meta, mut records) = (BTreeMap::new(), Vec::new());
        for (id, Saved { record, client, answer, .. }) in vault.sessions()? {
            meta.insert(id, Meta { client, answer });
            records.push((id, record));
        }
        service.resume(last, records);
        Ok(Self {
            backend,
            config,
            wrapper,
            vault: Arc::new(vault),
            service: Arc::new(Mutex::new(service)),
            meta: Mutex::new(meta),
            waiting: Mutex::default(),
            requested: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    pub(super) fn service(&self) -> MutexGuard<'_, Service> {
        lock(&self.service)
    }

    pub(super) fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault)
    }

    pub(super) fn remember(&self, id: B256, meta: Meta) {
        lock(&self.meta).insert(id, meta);
    }

    pub(super) fn forget(&self, id: B256) {
        self.service().forget(id);
        lock(&self.meta).remove(&id);
    }

    /// What is known of a session, if it is this client's.
    pub(super) fn meta(&self, id: B256, client: B256) -> Result<Meta, RpcError> {
        let meta = lock(&self.meta).get(&id).cloned();
        meta.filter(|meta| meta.client == client).ok_or(RpcError::UnknownContext(id))
    }

    /// Sessions of a client.
    pub(super) fn sessions_of(&self, client: B256) -> Vec<B256> {
        lock(&self.meta).iter().filter(|(_, meta)| meta.client == client).map(|(id, _)| *id).collect()
    }

    /// Waits for the session's turn, has the chain's word on it, and sees that its key is at hand.
    pub(super) async fn turn(&self, id: B256, now: u64) -> Result<Turn, RpcError> {
        let mut turn = self.wait(id).await;
        self.observe(id, now).await?;
        *turn = Some(Instant::now());
        self.unlock(id, now).await?;
        Ok(turn)
    }

    /// The same, but the chain's word may be a few seconds old: it has the last word on a voucher anyway.
    pub(super) async fn turn_for_voucher(&self, id: B256, now: u64) -> Result<Turn, RpcError> {
        let mut turn = self.wait(id).await;
        if turn.is_none_or(|asked| asked.elapsed() > FRESH) {
            self.observe(id, now).await?;
            *turn = Some(Instant::now());
        }
        self.unlock(id, now).await?;
        Ok(turn)
    }

    /// Waits for the session's turn, and no more.
    pub(super) async fn wait(&self, id: B256) -> Turn {
        let turn = Arc::clone(lock(&self.turns).entry(id).or_default());
        turn.lock_owned().await
    }

    async fn unlock(&self, id: B256, now: u64) -> Result<(), RpcError> {
        if !self.service().is_locked(id) {
            return Ok(());
        }
        let Some(record) = self.service().record(id).cloned() else { return Ok(()) };
        let (vault, wrapper, chain_id) = (self.vault(), Arc::clone(&self.wrapper), self.config.chain_id);
        let opened = tokio::task::spawn_blocking(move || {
            let Some(stored) = vault.session(id)?.and_then(|saved| saved.key) else { return Ok(None) };
            let binding = Binding { curve: stored.binding.curve, ..binding(&record, id, chain_id) };
            Ok::<_, RpcError>(Some(stored.open(&binding, now, &*wrapper)?))
        });
        match opened.await.map_err(|_| RpcError::Stopped)?? {
            Some(key) => Ok(self.service().unlock(id, key, now)?),
            None => Err(Refusal::Locked.into()),
        }
    }

    /// Asks the chain. Nonces first: what they say is used, the counters that are read after them count.
    pub(super) async fn observe(&self, id: B256, now: u64) -> Result<(), RpcError> {
        let (held, record) = {
            let service = self.service();
            let Some(record) = service.record(id) else { return Err(Refusal::Unknown(id).into()) };
            (service.held(id), record.clone())
        };
        let mut next = BTreeMap::new();
        for nonce in held {
            let key: U256 = nonce >> 64;
            if let std::collections::btree_map::Entry::Vacant(entry) = next.entry(key) {
                entry.insert(self.nonce(record.account, key).await?);
            }
        }
        let counters = self.counters(id, record.account, record.policy.limits.len()).await?;
        let used = |nonce: U256| next.get(&(nonce >> 64)).is_some_and(|next| nonce < *next);
        let state = record.state;
        self.service().observe(id, counters, used, now)?;
        if self.service().state(id) != Some(state) {
            self.commit(id).await?;
        }
        Ok(())
    }

    /// The next nonce of this key.
    pub(super) async fn nonce(&self, account: Address, key: U256) -> Result<U256, RpcError> {
        let call = entry_point_v08::getNonceCall { sender: account, key: key.wrapping_to() };
        let answer = self.backend.call(self.config.entry_point, call.abi_encode().into()).await?;
        U256::abi_decode(&answer).map_err(|_| RpcError::Answer("getNonce"))
    }

    async fn counters(&self, id: B256, account: Address, limits: usize) -> Result<Counters, RpcError> {
        if !self.backend.has_code(account).await? {
            return Ok(Counters { spent: vec![Spend::default(); limits], ..Counters::default() });
        }
        let view = |call: Vec<u8>| self.backend.call(account, call.into());
        let session = view(smart_account::getSessionCall { id }.abi_encode()).await?;
        let session =
            smart_account::getSessionCall::abi_decode_returns(&session).map_err(|_| RpcError::Answer("getSession"))?;
        let epoch = self.epoch(account).await?;
        let mut spent = Vec::with_capacity(limits);
        for limit in 0..limits {
            let answer = view(smart_account::getSpentCall { id, limit: U256::from(limit) }.abi_encode()).await?;
            let answer =
                smart_account::getSpentCall::abi_decode_returns(&answer).map_err(|_| RpcError::Answer("getSpent"))?;
            let (period, in_period, total) = (answer.period.to(), answer.inPeriod.to(), answer.total.to());
            spent.push(Spend { period, in_period, total });
        }
        let status = match session.status {
            0 => Status::None,
            1 => Status::Enabled,
            _ => Status::Revoked,
        };
        Ok(Counters { status, epoch, uses: session.uses, gas_spent: session.gasSpent, spent })
    }

    /// The account's session epoch.
    pub(super) async fn epoch(&self, account: Address) -> Result<u64, RpcError> {
        let answer = self.backend.call(account, smart_account::sessionEpochCall {}.abi_encode().into()).await?;
        u64::abi_decode(&answer).map_err(|_| RpcError::Answer("sessionEpoch"))
    }

    /// Encrypts the key of a session that an owner granted, and writes both down.
    pub(super) async fn seal(&self, id: B256, key: SessionKey) -> Result<(), RpcError> {
        let record = self.service().record(id).cloned().ok_or(Refusal::Unknown(id))?;
        let (wrapper, binding) = (Arc::clone(&self.wrapper), binding(&record, id, self.config.chain_id));
        let sealed = tokio::task::spawn_blocking(move || StoredKey::seal(&key, binding, &*wrapper));
        let sealed = sealed.await.map_err(|_| RpcError::Stopped)??;
        self.write(id, Some(sealed)).await
    }

    /// Writes a session down, with all that is to be logged: before any signature goes out.
    pub(super) async fn commit(&self, id: B256) -> Result<(), RpcError> {
        self.write(id, None).await
    }

    async fn write(&self, id: B256, new_key: Option<StoredKey>) -> Result<(), RpcError> {
        let (vault, service) = (self.vault(), Arc::clone(&self.service));
        let meta = lock(&self.meta).get(&id).cloned();
        let written = tokio::task::spawn_blocking(move || {
            let record = lock(&service).record(id).cloned();
            if let (Some(record), Some(Meta { client, answer })) = (record, meta) {
                let before = vault.session(id)?;
                // A request that nobody granted is not kept.
                if before.is_some() || new_key.is_some() {
                    let key = new_key.or(before.and_then(|before| before.key)).filter(|_| !record.state.is_over());
                    vault.save(id, &Saved { record, key, client, answer })?;
                }
            }
            vault.append(|| lock(&service).take_log())
        });
        Ok(written.await.map_err(|_| RpcError::Stopped)??)
    }
}

fn binding(record: &crate::service::Record, id: B256, chain_id: u64) -> Binding {
    Binding {
        account: record.account,
        chain_id,
        policy: id,
        valid_until: record.policy.valid_until,
        curve: crate::session_key::Curve::Secp256k1,
    }
}
