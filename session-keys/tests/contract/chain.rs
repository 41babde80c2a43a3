//! The account's real bytecode and the real EntryPoint v0.8, in revm.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    EntryPointVersion, HashContext, UserOperation,
    abi::{account_v08::validateUserOpCall, entry_point_v08, smart_account, smart_account_factory, test_usdc},
};
use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB},
    primitives::{TxKind, hardfork::SpecId},
    state::AccountInfo,
};
use session_keys::{
    Policy, SecretKey, SessionKey,
    policy::judge::{Counters, Place, Spend, Status},
};

pub(crate) const CHAIN: u64 = 8453;
const GAS: u64 = 16_000_000;
const DEPLOYER: Address = Address::repeat_byte(0xd0);

pub(crate) struct Chain {
    db: CacheDB<EmptyDB>,
    pub(crate) time: u64,
    pub(crate) place: Place,
    pub(crate) owner: SecretKey,
    pub(crate) token: Address,
}

impl Chain {
    /// An account with an owner, money and tokens.
    pub(crate) fn new(time: u64) -> Self {
        let place = Place { account: Address::ZERO, entry_point: Address::ZERO, version: EntryPointVersion::V0_8 };
        let (db, owner) = (CacheDB::new(EmptyDB::default()), SecretKey::generate());
        let mut chain = Self { db, time, place, owner, token: Address::ZERO };
        let entry_point = chain.create(entry_point_v08::BYTECODE.to_vec());
        let with = |code: &Bytes, argument: Address| [code.to_vec(), argument.abi_encode()].concat();
        let code = chain.create(with(&smart_account::BYTECODE, entry_point));
        let factory = chain.create(with(&smart_account_factory::BYTECODE, code));
        chain.token = chain.create(test_usdc::BYTECODE.to_vec());
        let owners: Vec<Bytes> = vec![chain.owner.address().abi_encode().into()];
        let create = smart_account_factory::createAccountCall { owners, nonce: U256::ZERO };
        let account = Address::abi_decode(&chain.call(DEPLOYER, factory, create.abi_encode()).unwrap()).unwrap();
        chain.place = Place { account, entry_point, ..place };
        let rich = AccountInfo { balance: U256::from(10).pow(U256::from(20)), ..chain.info(account) };
        chain.db.insert_account_info(account, rich);
        let mint = test_usdc::mintCall { to: account, amount: U256::from(10).pow(U256::from(15)) };
        chain.call(DEPLOYER, chain.token, mint.abi_encode()).unwrap();
        chain
    }

    fn info(&mut self, address: Address) -> AccountInfo {
        use revm::Database;
        self.db.basic(address).unwrap().unwrap_or_default()
    }

    fn create(&mut self, code: Vec<u8>) -> Address {
        match self.transact(DEPLOYER, TxKind::Create, code) {
            ExecutionResult::Success { output, .. } => *output.address().unwrap(),
            failed => panic!("not created: {failed:?}"),
        }
    }

    /// What it returns, or reverts with.
    pub(crate) fn call(&mut self, from: Address, to: Address, data: Vec<u8>) -> Result<Bytes, Bytes> {
        match self.transact(from, TxKind::Call(to), data) {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(output),
            halted => panic!("halted: {halted:?}"),
        }
    }

    fn transact(&mut self, from: Address, kind: TxKind, data: Vec<u8>) -> ExecutionResult {
        let tx = TxEnv::builder().caller(from).kind(kind).data(data.into()).gas_limit(GAS).gas_price(0);
        let tx = tx.chain_id(Some(CHAIN)).build().unwrap();
        let time = self.time;
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.chain_id = CHAIN;
                cfg.disable_nonce_check = true;
                cfg.disable_balance_check = true;
                cfg.disable_base_fee = true;
                cfg.disable_eip3607 = true;
            })
            .modify_block_chained(|block| block.timestamp = U256::from(time))
            .build_mainnet();
        evm.transact_commit(tx).unwrap()
    }

    pub(crate) fn hash(&self, op: &UserOperation) -> B256 {
        let Place { entry_point, version, .. } = self.place;
        op.hash(&HashContext { version, entry_point, chain_id: CHAIN }, None).unwrap()
    }

    /// The operation signed by `key`, carrying the owner's signature of the policy if it is to enable it.
    pub(crate) fn sign(
        &self,
        mut op: UserOperation,
        policy: &Policy,
        key: &SessionKey,
        enabling: bool,
    ) -> UserOperation {
        let digest = policy.digest(CHAIN, self.place.account).unwrap();
        let owner = if enabling { self.owner.sign(digest).unwrap().as_bytes().to_vec() } else { vec![] };
        let signature = key.sign(self.hash(&op)).unwrap();
        op.signature = policy.operation_signature(&owner, &signature).unwrap();
        op
    }

    /// The account's own verdict; what it counts stays.
    pub(crate) fn validate(&mut self, op: &UserOperation) -> Result<U256, Bytes> {
        let Place { account, entry_point, version } = self.place;
        let packed = op.to_packed(version);
        // The same struct under another binding's name.
        let mut call = Vec::from(validateUserOpCall::SELECTOR);
        call.extend((packed, self.hash(op), U256::ZERO).abi_encode_params());
        self.call(entry_point, account, call).map(|word| U256::from_be_slice(&word))
    }

    /// A bundle by whoever wants to.
    pub(crate) fn handle_ops(&mut self, bundler: Address, ops: &[UserOperation]) -> Result<(), Bytes> {
        let ops = ops.iter().map(|op| op.to_packed(self.place.version)).collect();
        let call = entry_point_v08::handleOpsCall { ops, beneficiary: bundler };
        self.call(bundler, self.place.entry_point, call.abi_encode()).map(|_| ())
    }

    pub(crate) fn as_owner(&mut self, call: impl SolCall) -> Result<Bytes, Bytes> {
        let (owner, account) = (self.owner.address(), self.place.account);
        self.call(owner, account, call.abi_encode())
    }

    /// The counters that the account keeps.
    pub(crate) fn counters(&mut self, id: B256, limits: usize) -> Counters {
        let account = self.place.account;
        let mut view = |data: Vec<u8>| self.call(DEPLOYER, account, data).unwrap();
        let session = smart_account::getSessionCall { id };
        let state = smart_account::getSessionCall::abi_decode_returns(&view(session.abi_encode())).unwrap();
        let epoch = U256::abi_decode(&view(smart_account::sessionEpochCall {}.abi_encode())).unwrap();
        let spent = (0..limits).map(|limit| {
            let call = smart_account::getSpentCall { id, limit: U256::from(limit) };
            let spent = smart_account::getSpentCall::abi_decode_returns(&view(call.abi_encode())).unwrap();
            Spend { period: spent.period.to(), in_period: spent.inPeriod.to(), total: spent.total.to() }
        });
        Counters {
            spent: spent.collect(),
            status: [Status::None, Status::Enabled, Status::Revoked][usize::from(state.status)],
            epoch: epoch.to(),
            uses: state.uses,
            gas_spent: state.gasSpent,
        }
    }

    pub(crate) fn balance(&mut self, of: Address) -> U256 {
        self.info(of).balance
    }

    pub(crate) fn tokens(&mut self, of: Address) -> U256 {
        let call = test_usdc::balanceOfCall { account: of };
        U256::abi_decode(&self.call(DEPLOYER, self.token, call.abi_encode()).unwrap()).unwrap()
    }
}
