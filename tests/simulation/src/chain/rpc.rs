//! The JSON-RPC methods of a node on this chain: the standard ones, and no others.

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, U64, U256},
    rpc::types::{Block as RpcBlock, BlockTransactions, Filter, FilterBlockOption, Transaction, state::StateOverride},
};
use revm::{context::result::ExecutionResult, database::CacheDB};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Block, Chain, PRIORITY_FEE,
    evm::{Call, Place, pretend},
};

/// Code and message of a refusal.
pub(super) type Refused = (i32, String);

fn refused(message: impl Into<String>) -> Refused {
    (-32_000, message.into())
}

fn read<T: DeserializeOwned>(params: &[Value], position: usize) -> Result<T, Refused> {
    let value = params.get(position).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| (-32_602, format!("parameter {position}: {error}")))
}

fn quantity(value: impl Into<u128>) -> Value {
    json!(U256::from(value.into()))
}

impl Chain {
    /// Answers as a node does that is so many blocks behind. `at` is the time in milliseconds.
    ///
    /// # Errors
    /// What a node refuses.
    pub fn answer(&mut self, method: &str, params: &[Value], behind: u64, at: u64) -> Result<Value, Refused> {
        match method {
            "eth_chainId" => Ok(quantity(self.preset.chain_id)),
            "eth_blockNumber" => Ok(quantity(self.seen(behind).header.number)),
            "eth_getBlockByNumber" => {
                let block = self.by_tag(read(params, 0)?, behind);
                Ok(block.map_or(Value::Null, |block| json!(block.to_rpc())))
            }
            "eth_getBlockByHash" => {
                let hash: B256 = read(params, 0)?;
                let block = self.forks.get(&hash).filter(|block| self.is_seen(block, behind));
                Ok(block.map_or(Value::Null, |block| json!(block.to_rpc())))
            }
            "eth_getBalance" => {
                Ok(json!(self.state_of(params, 1, behind)?.state.account(read(params, 0)?).info.balance))
            }
            "eth_getTransactionCount" => {
                let block = self.state_of(params, 1, behind)?;
                Ok(quantity(block.state.account(read(params, 0)?).info.nonce))
            }
            "eth_getCode" => {
                let block = self.state_of(params, 1, behind)?;
                let account = block.state.account(read(params, 0)?);
                Ok(json!(account.info.code.as_ref().map(|code| code.original_bytes()).unwrap_or_default()))
            }
            "eth_getStorageAt" => {
                let block = self.state_of(params, 2, behind)?;
                let slot: U256 = read(params, 1)?;
                let account = block.state.account(read(params, 0)?);
                Ok(json!(B256::from(account.storage.get(&slot).copied().unwrap_or_default())))
            }
            "eth_call" => self.call(params, behind),
            "eth_estimateGas" => {
                let call: Value = read(params, 0)?;
                let result = self.run(&call, self.seen(behind), None)?;
                Ok(quantity(result.tx_gas_used()))
            }
            "eth_feeHistory" => self.fee_history(params, behind),
            "eth_maxPriorityFeePerGas" => Ok(quantity(PRIORITY_FEE)),
            "eth_getLogs" => self.logs(&read(params, 0)?, behind),
            "eth_getTransactionReceipt" => {
                let hash: B256 = read(params, 0)?;
                let found = self.mined(hash, behind);
                Ok(found.map_or(Value::Null, |(block, index)| self.receipt_of(&block.transactions[index])))
            }
            "eth_getTransactionByHash" => {
                let hash: B256 = read(params, 0)?;
                Ok(self.mined(hash, behind).map_or(Value::Null, |(block, index)| block.transaction(index)))
            }
            "eth_sendRawTransaction" => {
                let raw: Bytes = read(params, 0)?;
                self.submit(&raw, at).map(|hash| json!(hash))
            }
            _ => Err((-32_601, format!("the method {method} does not exist/is not available"))),
        }
    }

    fn seen(&self, behind: u64) -> &Block {
        let last = self.blocks.len() - 1;
        &self.blocks[last.saturating_sub(usize::try_from(behind).unwrap_or(0))]
    }

    fn is_seen(&self, block: &Block, behind: u64) -> bool {
        block.header.number <= self.seen(behind).header.number || !self.is_canonical(block)
    }

    fn by_tag(&self, tag: BlockNumberOrTag, behind: u64) -> Option<&Block> {
        let head = self.seen(behind);
        match tag {
            BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => Some(head),
            BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized => {
                self.number(head.header.number.saturating_sub(10)).map(|block| &**block)
            }
            BlockNumberOrTag::Earliest => self.blocks.first().map(|block| &**block),
            BlockNumberOrTag::Number(number) => {
                self.number(number).map(|block| &**block).filter(|_| number <= head.header.number)
            }
        }
    }

    /// The block whose state is meant: by hash (EIP-1898) or by tag.
    fn state_of(&self, params: &[Value], position: usize, behind: u64) -> Result<&Block, Refused> {
        let which = params.get(position).cloned().unwrap_or_else(|| json!("latest"));
        if let Some(hash) = which.get("blockHash") {
            let hash: B256 = read(std::slice::from_ref(hash), 0)?;
            let block = self.forks.get(&hash).filter(|block| self.is_seen(block, behind));
            return block.map(|block| &**block).ok_or_else(|| refused("header for hash not found"));
        }
        self.by_tag(read(&[which], 0)?, behind).ok_or_else(|| refused("header not found"))
    }

    fn run(&self, call: &Value, on: &Block, overrides: Option<&StateOverride>) -> Result<ExecutionResult, Refused> {
        let field = |name: &str| call.get(name).cloned().unwrap_or_default();
        let call = Call {
            from: serde_json::from_value::<Option<Address>>(field("from")).unwrap_or_default().unwrap_or_default(),
            to: serde_json::from_value::<Option<Address>>(field("to")).unwrap_or_default(),
            data: serde_json::from_value::<Option<Bytes>>(field("data")).unwrap_or_default().unwrap_or_default(),
            value: U256::ZERO,
            gas: serde_json::from_value::<Option<U64>>(field("gas"))
                .unwrap_or_default()
                .map_or(30_000_000, |gas| gas.to()),
            commit: false,
        };
        let place = Place {
            preset: &self.preset,
            number: on.header.number,
            timestamp: on.header.timestamp,
            base_fee: on.header.base_fee_per_gas.unwrap_or_default(),
            gas_limit: on.header.gas_limit,
            beneficiary: on.header.beneficiary,
        };
        let mut db = CacheDB::new(&on.state);
        if let Some(overrides) = overrides {
            pretend(&mut db, overrides);
        }
        place.call(&mut db, &call).map_err(refused)
    }

    fn call(&self, params: &[Value], behind: u64) -> Result<Value, Refused> {
        let overrides: Option<StateOverride> = read(params, 2)?;
        let on = self.state_of(params, 1, behind)?;
        match self.run(&params[0], on, overrides.as_ref())? {
            ExecutionResult::Success { output, .. } => Ok(json!(output.into_data())),
            ExecutionResult::Revert { output, .. } => Err((3, format!("execution reverted: {output}"))),
            ExecutionResult::Halt { reason, .. } => Err(refused(format!("{reason:?}"))),
        }
    }

    fn fee_history(&self, params: &[Value], behind: u64) -> Result<Value, Refused> {
        let count: U64 = read(params, 0)?;
        let percentiles: Vec<f64> = read(params, 2)?;
        let head = self.seen(behind).header.number;
        let numbers = (0..count.to::<u64>()).rev().filter_map(|back| self.number(head.checked_sub(back)?));
        let blocks: Vec<_> = numbers.collect();
        let mut base_fees: Vec<Value> =
            blocks.iter().map(|block| quantity(block.header.base_fee_per_gas.unwrap_or_default())).collect();
        let last = blocks.last().map_or(0, |block| block.header.base_fee_per_gas.unwrap_or_default());
        let step = (last / 8).max(1);
        base_fees.push(quantity(self.wanted_base_fee.clamp(last - step.min(last), last + step)));
        let ratio: Vec<f64> =
            blocks.iter().map(|block| block.header.gas_used as f64 / block.header.gas_limit as f64).collect();
        let reward: Vec<Vec<Value>> =
            blocks.iter().map(|_| percentiles.iter().map(|_| quantity(PRIORITY_FEE)).collect()).collect();
        Ok(json!({ "oldestBlock": quantity(head + 1 - blocks.len() as u64), "baseFeePerGas": base_fees,
            "gasUsedRatio": ratio, "reward": reward }))
    }

    fn logs(&self, filter: &Filter, behind: u64) -> Result<Value, Refused> {
        let head = self.seen(behind).header.number;
        let blocks: Vec<&Block> = match filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let block = self.forks.get(&hash).filter(|block| self.is_seen(block, behind));
                vec![block.ok_or_else(|| refused("unknown block"))?]
            }
            FilterBlockOption::Range { from_block, to_block } => {
                let number = |tag: Option<BlockNumberOrTag>| tag.and_then(|tag| tag.as_number()).unwrap_or(head);
                let (from, to) = (number(from_block).max(super::FIRST), number(to_block).min(head));
                (from..=to).filter_map(|number| self.number(number)).map(|block| &**block).collect()
            }
        };
        let logs = blocks.iter().flat_map(|block| &block.transactions).flat_map(|mined| mined.receipt.inner.logs());
        let matching: Vec<_> =
            logs.filter(|log| filter.matches_address(log.address()) && filter.matches_topics(log.topics())).collect();
        Ok(json!(matching))
    }

    fn receipt_of(&self, mined: &super::Mined) -> Value {
        let mut receipt = json!(mined.receipt);
        if self.preset.op_stack {
            let (constant, scalar) = self.operator_fee;
            receipt["l1Fee"] = json!("0x0");
            receipt["operatorFeeConstant"] = quantity(constant);
            receipt["operatorFeeScalar"] = quantity(scalar);
        }
        receipt
    }

    fn mined(&self, hash: B256, behind: u64) -> Option<(&Block, usize)> {
        let head = self.seen(behind).header.number;
        self.blocks.iter().rev().filter(|block| block.header.number <= head).find_map(|block| {
            let index = block.transactions.iter().position(|mined| mined.receipt.transaction_hash == hash)?;
            Some((&**block, index))
        })
    }
}

impl Block {
    fn to_rpc(&self) -> RpcBlock {
        let hashes = self.transactions.iter().map(|mined| mined.receipt.transaction_hash).collect();
        RpcBlock {
            header: self.header.clone(),
            uncles: Vec::new(),
            transactions: BlockTransactions::Hashes(hashes),
            withdrawals: None,
        }
    }

    fn transaction(&self, index: usize) -> Value {
        let mined = &self.transactions[index];
        json!(Transaction {
            inner: alloy::consensus::transaction::Recovered::new_unchecked(mined.tx.clone(), mined.from),
            block_hash: Some(self.header.hash),
            block_number: Some(self.header.number),
            transaction_index: Some(index as u64),
            effective_gas_price: Some(mined.receipt.effective_gas_price),
            block_timestamp: Some(self.header.timestamp),
        })
    }
}
