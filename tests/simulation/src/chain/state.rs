//! Accounts as of one block. A copy for each block costs little: what no transaction touched is shared.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use revm::{DatabaseRef, bytecode::Bytecode, database::CacheDB, state::AccountInfo};

/// One account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Balance, nonce, code.
    pub info: AccountInfo,
    /// Slots that are not zero.
    pub storage: BTreeMap<U256, U256>,
}

/// All accounts.
#[derive(Clone, Debug, Default)]
pub struct State {
    accounts: BTreeMap<Address, Arc<Account>>,
}

impl State {
    /// The account, empty if there is none.
    pub fn account(&self, address: Address) -> Arc<Account> {
        self.accounts.get(&address).cloned().unwrap_or_default()
    }

    /// Changes an account.
    pub fn change(&mut self, address: Address, change: impl FnOnce(&mut Account)) {
        change(Arc::make_mut(self.accounts.entry(address).or_default()));
    }

    /// Gives an account this code.
    pub fn set_code(&mut self, address: Address, code: Bytes) {
        self.change(address, |account| {
            account.info.code_hash = keccak256(&code);
            account.info.code = Some(Bytecode::new_raw(code));
            account.info.nonce = account.info.nonce.max(1);
        });
    }

    /// Sets a slot.
    pub fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        self.change(address, |account| {
            if value.is_zero() {
                account.storage.remove(&slot)
            } else {
                account.storage.insert(slot, value)
            };
        });
    }

    /// What transactions left in a cache over this state.
    pub fn after(&self, cache: CacheDB<&Self>) -> Self {
        let mut next = self.clone();
        let CacheDB { cache, .. } = cache;
        for (address, changed) in cache.accounts {
            let before = self.account(address);
            let code = changed.info.code.clone().or_else(|| cache.contracts.get(&changed.info.code_hash).cloned());
            let mut info = changed.info;
            info.code = if info.is_empty_code_hash() { None } else { code };
            let same_slots = changed
                .storage
                .iter()
                .all(|(slot, value)| before.storage.get(slot).copied().unwrap_or_default() == *value);
            if info == before.info && same_slots {
                continue;
            }
            next.change(address, |account| {
                account.info = info;
                for (slot, value) in changed.storage {
                    if value.is_zero() {
                        account.storage.remove(&slot);
                    } else {
                        account.storage.insert(slot, value);
                    }
                }
            });
        }
        next
    }
}

impl DatabaseRef for State {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.accounts.get(&address).map(|account| account.info.clone()))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Infallible> {
        let found = self.accounts.values().find(|account| account.info.code_hash == hash);
        Ok(found.and_then(|account| account.info.code.clone()).unwrap_or_default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        let account = self.accounts.get(&address);
        Ok(account.and_then(|account| account.storage.get(&slot)).copied().unwrap_or_default())
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        Ok(keccak256(number.to_be_bytes()))
    }
}
