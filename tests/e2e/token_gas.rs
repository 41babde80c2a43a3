//! Gas in tokens over RPC, and what somebody can draw who pays in them: the rest of the table of `docs/paymaster.md`.

use alloy::{
    primitives::{Address, Bytes, I256, U256},
    sol,
    sol_types::{SolCall, SolValue},
};
use erc4337::{
    abi::{entry_point_v08, test_usdc, token_paymaster},
    calls::{self, Call},
};
use fabstir::Client;
use jsonrpsee::core::ClientError;
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Stack, patience::found, stack::root};

use crate::attacks::{VERSION, approval, bundle_by_hand, parse};

sol! {
    function set(int256 answer_, uint256 updatedAt_) external;
}

/// Base units of the token that 1 ETH is worth, truly.
const WORTH: u64 = 3_000_000_000;
const ETHER: u64 = 1_000_000_000_000_000_000;

/// An account with tokens, which lets the token paymaster take them, and what it says of its gas.
struct Payer<'a> {
    stack: &'a Stack,
    client: Client,
    entry_point: Address,
    paymaster: Address,
}

impl<'a> Payer<'a> {
    async fn new(stack: &'a Stack) -> Self {
        let client = stack.client(SecretKey::generate(), 1_000_000_000).await.unwrap();
        client.act(&[approval(stack, 1)]).await.unwrap();
        let paymaster = stack.deployment.token_paymasters[&VERSION.to_string()];
        let allow = test_usdc::approveCall { spender: paymaster, value: U256::MAX };
        stack.anvil.transact_as(client.account, stack.deployment.token, allow.abi_encode()).await.unwrap();
        Self { stack, client, entry_point: stack.deployment.entry_points[&VERSION.to_string()], paymaster }
    }

    /// Much gas: what is charged for settling, which is more than it takes, is little beside it.
    fn dear(&self) -> Vec<Call> {
        let to = |index: u8| test_usdc::transferCall { to: Address::repeat_byte(index), value: U256::ONE }.abi_encode();
        let call = |data: Vec<u8>| Call { target: self.stack.deployment.token, value: U256::ZERO, data: data.into() };
        (1..=60).map(to).map(call).collect()
    }

    async fn prepare(&self, calls: &[Call]) -> Result<Value, (i32, String, Value)> {
        let op = json!({ "sender": self.client.account, "callData": calls::encode(calls) });
        let context = json!({ "token": self.stack.deployment.token });
        ask(self.stack, "fabstir_prepareSponsoredUserOperation", vec![op, json!(self.entry_point), context]).await
    }

    /// Wei that the paymaster has paid, and what it was paid for them in wei, since `before`.
    async fn spent_and_earned(&self, before: (U256, U256)) -> (U256, U256) {
        let (deposit, tokens) = self.standing().await;
        (before.0 - deposit, (tokens - before.1) * U256::from(ETHER) / U256::from(WORTH))
    }

    /// The paymaster's deposit in wei, and its tokens.
    async fn standing(&self) -> (U256, U256) {
        let deposit = entry_point_v08::balanceOfCall { account: self.paymaster }.abi_encode();
        let tokens = test_usdc::balanceOfCall { account: self.paymaster }.abi_encode();
        (self.view(self.entry_point, deposit).await, self.view(self.stack.deployment.token, tokens).await)
    }

    async fn view(&self, to: Address, data: Vec<u8>) -> U256 {
        let call = json!({ "to": to, "data": Bytes::from(data) });
        let answer = self.stack.anvil.ask("eth_call", vec![call, json!("latest")]).await.unwrap();
        U256::abi_decode(&serde_json::from_value::<Bytes>(answer).unwrap()).unwrap()
    }

    /// That what it lost is no more than `bound`, and what that was.
    async fn report(&self, what: &str, before: (U256, U256), bound: U256) -> U256 {
        let (spent, earned) = self.spent_and_earned(before).await;
        assert!(!spent.is_zero(), "{what}: nothing was paid for");
        let lost = spent.saturating_sub(earned);
        println!("lost to {what}: {lost} wei of {spent}, {bound} at most");
        assert!(lost <= bound, "{what}: {lost} of {bound}");
        lost
    }
}

/// What the node answers, or the error's code, text and data.
async fn ask(stack: &Stack, method: &str, params: Vec<Value>) -> Result<Value, (i32, String, Value)> {
    match stack.node.ask(method, params).await {
        Ok(answer) => Ok(answer),
        Err(ClientError::Call(error)) => {
            let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).unwrap());
            Err((error.code(), error.message().to_owned(), data))
        }
        Err(other) => panic!("{other}"),
    }
}

/// A feed that says what it is told.
async fn oracle(stack: &Stack) -> Address {
    let path = root().join("contracts/out/Oracle.sol/Oracle.json");
    let artifact: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let bytecode: Bytes = artifact["bytecode"]["object"].as_str().unwrap().parse().unwrap();
    let receipt = stack.anvil.transact(None, bytecode, U256::ZERO).await.unwrap();
    serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
}

async fn say(stack: &Stack, oracle: Address, dollars: i64, age: u64) {
    let block = stack.anvil.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await.unwrap();
    let now: U256 = serde_json::from_value(block["timestamp"].clone()).unwrap();
    let answer = I256::try_from(dollars * 100_000_000).unwrap();
    let data = setCall { answer_: answer, updatedAt_: now - U256::from(age) }.abi_encode();
    stack.anvil.transact(Some(oracle), data, U256::ZERO).await.unwrap();
}

/// A node that believes this feed, if it is within 10 % of 3,000 and no older than a minute; 5 % are added.
async fn with_oracle() -> (Stack, Address) {
    let mut stack = Stack::start(&[]).await.unwrap();
    let oracle = oracle(&stack).await;
    say(&stack, oracle, 3_000, 0).await;
    let arguments =
        ["--token-oracle", &oracle.to_string(), "--token-reference-price", "3000", "--token-oracle-max-age", "60"];
    stack.node = tests::stack::NodeProcess::start(&stack.anvil.url, &stack.deployment_file, &arguments).await.unwrap();
    (stack, oracle)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_quotes_and_the_most_that_an_operation_costs_are_told() {
    let stack = Stack::start(&["--token-price", "3000"]).await.unwrap();
    let payer = Payer::new(&stack).await;
    let (token, chain) = (stack.deployment.token, json!(U256::from(stack.deployment.chain_id)));
    let entry_point = json!(payer.entry_point);
    let answer = ask(&stack, "pm_getAcceptedPaymentTokens", vec![entry_point.clone(), chain.clone()]).await.unwrap();
    assert_eq!(answer["acceptedTokens"][0]["address"], json!(token));
    assert_eq!(answer["acceptedTokens"][0]["decimals"], 6);

    let asked = json!({ "tokens": [token, Address::repeat_byte(1)] });
    let quotes = ask(&stack, "pimlico_getTokenQuotes", vec![asked, entry_point.clone(), chain.clone()]).await.unwrap();
    assert_eq!(quotes["quotes"].as_array().unwrap().len(), 1, "what is not accepted has no quote");
    assert_eq!(quotes["quotes"][0]["exchangeRate"], json!(U256::from(3_150_000_000_u64)));
    assert_eq!(quotes["quotes"][0]["exchangeRateNativeToUsd"], json!(U256::from(3_000_000_000_u64)));
    assert_eq!(quotes["quotes"][0]["paymaster"], json!(payer.paymaster));

    let prepared = payer.prepare(&[approval(&stack, 2)]).await.unwrap();
    let op = prepared["userOperation"].clone();
    let most: U256 = serde_json::from_value(prepared["tokenPayment"]["maxFee"].clone()).unwrap();
    let worst = parse(&op).required_prefund(VERSION) * U256::from(3_150_000_000_u64);
    assert_eq!(most, worst.div_ceil(U256::from(ETHER)), "all its gas at its own fee");
    let params = vec![op, entry_point.clone(), chain.clone(), json!({ "erc20": token })];
    let again = ask(&stack, "pm_getPaymasterData", params.clone()).await.unwrap();
    assert_eq!(again["tokenPayment"]["maxFee"], prepared["tokenPayment"]["maxFee"]);
    assert_eq!(again["paymasterData"], prepared["userOperation"]["paymasterData"], "asked again, the same");

    let other = json!({ "token": Address::repeat_byte(1) });
    let bare = json!({ "sender": payer.client.account, "nonce": "0x0", "callData": "0x" });
    for method in ["pm_getPaymasterStubData", "pm_getPaymasterData"] {
        let params = vec![params[0].clone(), entry_point.clone(), chain.clone(), other.clone()];
        let (code, message, data) = ask(&stack, method, params).await.unwrap_err();
        assert_eq!((code, &data["acceptedTokens"]), (-32002, &answer["acceptedTokens"]), "{message}");
        let params = vec![bare.clone(), entry_point.clone(), chain.clone(), json!({ "token": "0x12" })];
        let (code, _, data) = ask(&stack, method, params).await.unwrap_err();
        assert_eq!((code, &data["field"]), (-32602, &json!("context.token")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_price_no_token_is_taken() {
    let stack = Stack::start(&[]).await.unwrap();
    let payer = Payer::new(&stack).await;
    let chain = json!(U256::from(stack.deployment.chain_id));
    let answer = ask(&stack, "pm_getAcceptedPaymentTokens", vec![json!(payer.entry_point), chain]).await.unwrap();
    assert_eq!(answer, json!({ "acceptedTokens": [] }));
    let (code, message, _) = payer.prepare(&[approval(&stack, 2)]).await.unwrap_err();
    assert_eq!(code, -32002, "{message}");
}

/// What a payer who bundles by itself would be paid with: at a price that is out by more than the markup, each wei of it
/// is bought below what it is worth.
#[tokio::test(flavor = "multi_thread")]
async fn a_tip_that_nobody_needs_buys_no_deposit_at_a_stale_price() {
    let (stack, _) = with_oracle().await;
    let payer = Payer::new(&stack).await;
    let prepared = payer.prepare(&[approval(&stack, 3)]).await.unwrap();
    let with_tip = async |method: &str, gwei: u64| {
        let mut op = prepared["userOperation"].clone();
        let fee = json!(U256::from(gwei) * U256::from(1_000_000_000_u64));
        (op["maxPriorityFeePerGas"], op["maxFeePerGas"]) = (fee.clone(), fee);
        let chain = json!(U256::from(stack.deployment.chain_id));
        let context = json!({ "token": stack.deployment.token });
        ask(&stack, method, vec![op, json!(payer.entry_point), chain, context]).await
    };
    for method in ["pm_getPaymasterStubData", "pm_getPaymasterData"] {
        with_tip(method, 2).await.unwrap();
        let (code, message, data) = with_tip(method, 10_000).await.unwrap_err();
        assert_eq!((code, &data["rule"]), (-32050, &json!("gas")), "{method}: {message} {data}");
        assert!(message.contains("maxPriorityFeePerGas"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_the_operation_itself_revokes_costs_nothing() {
    let stack = Stack::start(&["--token-price", "3000"]).await.unwrap();
    let payer = Payer::new(&stack).await;
    let token = stack.deployment.token;
    let revoke = test_usdc::approveCall { spender: payer.paymaster, value: U256::ZERO }.abi_encode();
    let call = |data: Vec<u8>| Call { target: token, value: U256::ZERO, data: data.into() };
    // All that is left once the worst case is held, and a little for what the estimate does not yet hold.
    let left = test_usdc::transferCall { to: Address::repeat_byte(0x99), value: U256::from(900_000_000) }.abi_encode();
    let prepared = payer.prepare(&[call(revoke.clone()), call(left)]).await.unwrap();
    let signed = parse(&payer.client.sign(prepared["userOperation"].clone()).unwrap());
    let before = payer.standing().await;
    assert!(bundle_by_hand(&stack, &[signed]).await);
    let allowance = test_usdc::allowanceCall { owner: payer.client.account, spender: payer.paymaster }.abi_encode();
    assert_eq!(payer.view(token, allowance).await, U256::ZERO, "it did revoke");
    let lost = payer.report("an approval that is revoked in the operation", before, U256::ZERO).await;
    assert_eq!(lost, U256::ZERO);

    // Revoked between signing and inclusion, the whole is void.
    let other = Payer::new(&stack).await;
    let prepared = other.prepare(&[approval(&stack, 2)]).await.unwrap();
    let signed = parse(&other.client.sign(prepared["userOperation"].clone()).unwrap());
    let before = other.standing().await;
    stack.anvil.transact_as(other.client.account, token, revoke).await.unwrap();
    assert!(!bundle_by_hand(&stack, &[signed]).await, "AA33");
    assert_eq!(other.standing().await, before);
    println!("lost to an approval that is revoked before inclusion: 0 wei");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manipulated_price_costs_no_more_than_the_allowed_deviation() {
    let (stack, oracle) = with_oracle().await;
    let payer = Payer::new(&stack).await;
    // As far down as it is believed.
    say(&stack, oracle, 2_700, 0).await;
    // The feed is asked once a second.
    let prepared = found("the new price", async || {
        let prepared = payer.prepare(&payer.dear()).await.unwrap();
        let op = parse(&prepared["userOperation"]);
        let most: U256 = serde_json::from_value(prepared["tokenPayment"]["maxFee"].clone()).unwrap();
        let new = op.required_prefund(VERSION) * U256::from(2_836_000_000_u64) / U256::from(ETHER);
        (most <= new).then_some(prepared)
    })
    .await;
    let signed = parse(&payer.client.sign(prepared["userOperation"].clone()).unwrap());
    let before = payer.standing().await;
    assert!(bundle_by_hand(&stack, std::slice::from_ref(&signed)).await);
    // 90 % of the price and 5 % of that on top.
    let bound = (before.0 - payer.standing().await.0) * U256::from(55) / U256::from(1_000);
    assert!(!payer.report("a price 10 % too low, signed", before, bound).await.is_zero(), "it is worth trying");

    for (dollars, age, word) in [(2_699, 0, "further than"), (3_301, 0, "further than"), (3_000, 120, "old")] {
        say(&stack, oracle, dollars, age).await;
        let (code, message, data) = found(word, async || {
            let refused = payer.prepare(&[approval(&stack, 3)]).await.err();
            refused.filter(|(_, message, _)| message.contains(word))
        })
        .await;
        assert_eq!(code, -32050, "{message}");
        assert!(data["reason"].as_str().unwrap().contains(word), "{data}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manipulated_oracle_of_the_contract_s_own_costs_no_more_than_the_allowed_deviation_either() {
    let (stack, oracle) = with_oracle().await;
    let payer = Payer::new(&stack).await;
    let owner =
        Address::from_word(payer.view(payer.paymaster, token_paymaster::ownerCall {}.abi_encode()).await.into());
    let config = token_paymaster::ITokenPaymasterBase::TokenConfig {
        oracle,
        maxAge: 60,
        maxDeviationBps: 1_000,
        markupBps: 500,
        postOpGas: 60_000,
        referencePrice: u128::from(WORTH),
    };
    let set = token_paymaster::setTokenCall { token: stack.deployment.token, config }.abi_encode();
    stack.anvil.transact_as(owner, payer.paymaster, set).await.unwrap();
    // Nobody's signature: `0x01 ‖ token ‖ maxTokens`.
    let by_oracle = [&[1][..], stack.deployment.token.as_slice(), &u128::MAX.to_be_bytes()].concat();
    let mut op = payer.prepare(&payer.dear()).await.unwrap()["userOperation"].clone();
    op["paymasterData"] = json!(Bytes::from(by_oracle));
    op["paymasterVerificationGasLimit"] = json!("0x493e0");
    let signed = parse(&payer.client.sign(op).unwrap());
    say(&stack, oracle, 2_699, 0).await;
    assert!(!bundle_by_hand(&stack, std::slice::from_ref(&signed)).await, "further than is believed");
    say(&stack, oracle, 2_700, 0).await;
    let before = payer.standing().await;
    assert!(bundle_by_hand(&stack, &[signed]).await);
    // 90 % of the price and 5 % of that on top.
    let bound = (before.0 - payer.standing().await.0) * U256::from(55) / U256::from(1_000);
    assert!(!payer.report("the contract's oracle, 10 % too low", before, bound).await.is_zero(), "it is worth trying");
}

tests::on_base!(
    tokens_quotes_and_the_most_that_an_operation_costs_are_told,
    an_approval_that_the_operation_itself_revokes_costs_nothing,
    a_manipulated_price_costs_no_more_than_the_allowed_deviation,
    a_manipulated_oracle_of_the_contract_s_own_costs_no_more_than_the_allowed_deviation_either,
);
