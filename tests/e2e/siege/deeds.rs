//! What attackers do to the chain, and to what is on its way there.

use alloy::{
    eips::eip7702::Authorization,
    primitives::{Address, B256, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use erc4337::{EntryPointVersion, Initializer, UserOperation, pack};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::anvil::KEYS;

use super::field::{Field, number};

/// Who sends other people's transactions.
const SOMEBODY: Address = Address::repeat_byte(0x0e);
/// Who comes before us in a block, and who after us.
pub(super) const BEFORE: Address = Address::repeat_byte(0x1e);
pub(super) const AFTER: Address = Address::repeat_byte(0x2e);
/// Takes all gas that it is given, and no time: `INVALID`.
const FURNACE: Address = Address::repeat_byte(0xf1);
/// Wei per gas that others offer beside the base fee: more than any operation of ours.
const TIP: u64 = 50_000_000_000;
/// Gas of one transaction, below the chain's cap.
const EACH: u64 = 13_400_000;

impl Field {
    /// Somebody new with a deposit and no code, who delegates to this contract with the operation.
    pub(super) async fn delegated(&self, delegate: Address) -> UserOperation {
        let key = PrivateKeySigner::random();
        self.place(EntryPointVersion::V0_8, key.address(), &[]).await;
        let chain_id = U256::from(self.stack.deployment.chain_id);
        let inner = Authorization { chain_id, address: delegate, nonce: 0 };
        let signature = key.sign_hash_sync(&inner.signature_hash()).unwrap();
        UserOperation {
            initializer: Some(Initializer::Eip7702 { data: Default::default() }),
            eip7702_auth: Some(inner.into_signed(signature)),
            ..self.operation(key.address())
        }
    }

    /// Others use so much gas in the next block, at a tip that none of ours pays.
    pub(super) async fn fill(&self, gas: u64) {
        self.ask("anvil_setCode", vec![json!(FURNACE), json!("0xfe")]).await;
        let count = gas.div_ceil(EACH);
        for _ in 0..count {
            self.transact(SOMEBODY, json!({ "to": FURNACE, "gas": U256::from(gas / count) })).await;
        }
    }

    /// Somebody sends what our transactions in the chain's pool carry, and pays more for it.
    pub(super) async fn copy_bundles(&self) {
        let bundler = SecretKey::from_hex(KEYS[1]).unwrap().address();
        let pool = self.ask("txpool_content", vec![]).await;
        let pending = pool["pending"].as_object().cloned().unwrap_or_default();
        let ours = pending.iter().filter(|(sender, _)| sender.parse::<Address>() == Ok(bundler));
        for (_, transaction) in ours.flat_map(|(_, by_nonce)| by_nonce.as_object().cloned().unwrap_or_default()) {
            let copy = json!({ "to": transaction["to"], "data": transaction["input"], "gas": transaction["gas"] });
            self.transact(SOMEBODY, copy).await;
        }
    }

    /// Somebody else has this operation executed in the next block.
    pub(super) async fn bundle_by_hand(&self, version: EntryPointVersion, op: &UserOperation) {
        let data = pack::handle_ops(version, [op], SOMEBODY);
        let bundle = json!({ "to": self.entry_point(version), "data": data, "gas": U256::from(2_000_000) });
        self.transact(SOMEBODY, bundle).await;
    }

    /// So many blocks are taken back; empty ones are in their place.
    pub(super) async fn reorganise(&self, depth: u64) {
        self.ask("anvil_reorg", vec![json!(depth), json!([])]).await;
    }

    /// A transaction of somebody's who pays more than we do.
    pub(super) async fn transact(&self, from: Address, transaction: Value) {
        self.transact_at(from, transaction, TIP).await;
    }

    /// In the next block these have a one in their first slot while our bundles run, and a zero before it and after it.
    pub(super) async fn flicker(&self, contracts: &[Address]) {
        for (from, value, tip) in [(BEFORE, 1, 4_000_000_000), (AFTER, 0, 0)] {
            for contract in contracts {
                let data = B256::from(U256::from(value));
                self.transact_at(from, json!({ "to": contract, "data": data, "gas": "0xea60" }), tip).await;
            }
        }
    }

    /// A transaction of somebody's at this tip.
    pub(super) async fn transact_at(&self, from: Address, mut transaction: Value, tip: u64) {
        self.ask("anvil_impersonateAccount", vec![json!(from)]).await;
        self.ask("anvil_setBalance", vec![json!(from), json!(U256::from(u128::MAX))]).await;
        let mined = number(&self.ask("eth_getTransactionCount", vec![json!(from), json!("latest")]).await);
        let pool = self.ask("txpool_content", vec![]).await;
        let pending = pool["pending"].as_object().cloned().unwrap_or_default();
        let own = pending.iter().find(|(sender, _)| sender.parse::<Address>() == Ok(from));
        let waiting = own.and_then(|(_, by_nonce)| by_nonce.as_object()).map_or(0, |it| it.len());
        transaction["from"] = json!(from);
        transaction["nonce"] = json!(mined + U256::from(waiting));
        // Its order in the block is that of these; one without a tip is the last.
        let base_fee = number(&self.head().await["baseFeePerGas"]).to::<u64>();
        let most = if tip == 0 { base_fee + base_fee / 100 } else { 20 * TIP };
        transaction["maxFeePerGas"] = json!(U256::from(most));
        transaction["maxPriorityFeePerGas"] = json!(U256::from(tip));
        self.ask("eth_sendTransaction", vec![transaction]).await;
    }
}
