//! A real proof, made by EZKL from a real ONNX model, pays a real job; what is not one leaves the money where it is.

use std::path::PathBuf;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use erc4337::{
    abi::{job_marketplace, node_registry, payment_escrow, proof_system, test_usdc},
    calls::Call,
};
use fabstir::{
    Client,
    deploy::model_id,
    host,
    prove::{Proof, Prover},
};
use serde_json::{Value, json};
use session_keys::SecretKey;
use tests::{Stack, stack::root};
use tokio::process::Command;

const PRICE: u64 = 5_000_000;
const MODEL: &str = "tiny";
const COMPLETED: u8 = 6;
const SUBMITTED: u8 = 3;

/// As `make` leaves it.
fn prover() -> Prover {
    let from = |name: &str, default: &str| std::env::var_os(name).map_or_else(|| root().join(default), PathBuf::from);
    Prover {
        python: from("FABSTIR_EZKL_PYTHON", "contracts/proofs/.venv/bin/python"),
        pipeline: root().join("contracts/proofs/pipeline.py"),
        circuit: from("FABSTIR_EZKL_TINY", "contracts/proofs/build/tiny"),
    }
}

fn call(target: Address, call: impl SolCall) -> Call {
    Call { target, value: U256::ZERO, data: call.abi_encode().into() }
}

/// A marketplace with a payer, a host and the tiny model's verifier.
struct Market {
    stack: Stack,
    payer: Client,
    host: Client,
    host_key: SecretKey,
}

impl Market {
    async fn start() -> Self {
        let stack = Stack::start(&[]).await.unwrap();
        let host_key = SecretKey::generate();
        let host = stack.client(host_key.clone(), 100_000_000).await.unwrap();
        let payer = stack.client(SecretKey::generate(), 100_000_000).await.unwrap();
        let offer = host::Offer {
            model: fabstir::deploy::DEMO_MODEL.into(),
            price: 600_000,
            stake: 100_000_000,
            capacity: 8,
            endpoint: "https://host.example/v1".into(),
        };
        host::register(&host, &stack.deployment, &offer).await.unwrap();

        let artifact = root().join("contracts/out/TinyVerifier.sol/TinyVerifier.json");
        let artifact: Value = serde_json::from_str(&std::fs::read_to_string(artifact).unwrap()).unwrap();
        let code: alloy::primitives::Bytes = serde_json::from_value(artifact["bytecode"]["object"].clone()).unwrap();
        let receipt = stack.anvil.transact(None, code, U256::ZERO).await.unwrap();
        let verifier: Address = serde_json::from_value(receipt["contractAddress"].clone()).unwrap();
        let deployed = stack.anvil.ask("eth_getCode", vec![json!(verifier), json!("latest")]).await.unwrap();
        let deployed: alloy::primitives::Bytes = serde_json::from_value(deployed).unwrap();
        // As if the community had decided it.
        let owned = [
            call(
                stack.deployment.node_registry,
                node_registry::setModelCall { modelId: model_id(MODEL), allowed: true },
            ),
            call(
                stack.deployment.proof_system,
                proof_system::registerKeyCall {
                    modelId: model_id(MODEL),
                    verifier,
                    codeHash: alloy::primitives::keccak256(&deployed),
                    gasCap: U256::from(1_000_000),
                    proofBytes: U256::from(3_840),
                    outputs: U256::from(2),
                },
            ),
        ];
        for Call { target, data, .. } in owned {
            stack.anvil.transact_as(stack.deployment.governance.timelock, target, data).await.unwrap();
        }
        Self { stack, payer, host, host_key }
    }

    async fn ask<C: SolCall>(&self, target: Address, call: C) -> C::Return {
        let node = bundler::node::NodeClient::new(&self.stack.anvil.url).unwrap();
        let answer = node.eth_call(target, call.abi_encode().into()).await.unwrap();
        C::abi_decode_returns(&answer).unwrap()
    }

    /// The payer's `number`-th job, which asks for a proof, claimed by the host.
    async fn job(&self, number: u64, input_hash: B256) -> B256 {
        let d = &self.stack.deployment;
        let now = self.stack.anvil.ask("eth_getBlockByNumber", vec![json!("latest"), json!(false)]).await.unwrap();
        let now: U256 = serde_json::from_value(now["timestamp"].clone()).unwrap();
        let request = job_marketplace::IJobMarketplace::JobRequest {
            host: self.host.account,
            token: d.token,
            amount: U256::from(PRICE),
            modelId: model_id(MODEL),
            deadline: (now + U256::from(86_400)).to(),
            proofRequired: true,
            inputHash: input_hash,
            inputURI: String::new(),
        };
        let approve = test_usdc::approveCall { spender: d.payment_escrow, value: U256::from(PRICE) };
        let post = job_marketplace::postJobCall { request };
        self.payer.act(&[call(d.token, approve), call(d.job_marketplace, post)]).await.unwrap();
        let id = job_marketplace::jobIdOfCall { payer: self.payer.account, number: U256::from(number) };
        let job = self.ask(d.job_marketplace, id).await;
        let claim = job_marketplace::claimJobCall { jobId: job, expectedAmount: U256::from(PRICE) };
        self.host.act(&[call(d.job_marketplace, claim)]).await.unwrap();
        job
    }

    async fn status(&self, job: B256) -> u8 {
        self.ask(self.stack.deployment.job_marketplace, job_marketplace::jobOfCall { jobId: job }).await.status
    }

    async fn credit(&self) -> U256 {
        let d = &self.stack.deployment;
        let ask = payment_escrow::creditOfCall { account: self.host.account, token: d.token };
        self.ask(d.payment_escrow, ask).await
    }

    async fn submit(&self, job: B256, proof: &Proof) -> anyhow::Result<B256> {
        let submission = proof_system::IEzklProofs::Submission {
            jobId: job,
            version: U256::ZERO,
            proof: proof.proof.clone(),
            instances: proof.instances.clone(),
        };
        let submit = proof_system::submitProofCall { submission };
        self.host.act(&[call(self.stack.deployment.proof_system, submit)]).await
    }

    /// `fabstir prove` as a process.
    async fn prove(&self, job: B256, x: &Value) -> (bool, String) {
        let input = self.stack.deployment_file.with_extension("input");
        std::fs::write(&input, json!({ "x": x }).to_string()).unwrap();
        let prover = prover();
        let output = Command::new(tests::stack::fabstir())
            .args(["prove", "--rpc-url", &self.stack.node.url, "--node-url", &self.stack.anvil.url])
            .arg("--deployment")
            .arg(&self.stack.deployment_file)
            .args(["--job", &job.to_string(), "--input"])
            .arg(&input)
            .arg("--python")
            .arg(&prover.python)
            .arg("--pipeline")
            .arg(&prover.pipeline)
            .arg("--circuit")
            .arg(&prover.circuit)
            .env("FABSTIR_HOST_KEY", &*self.host_key.expose_hex())
            .output()
            .await
            .unwrap();
        std::fs::remove_file(&input).unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

/// One test, since proofs write into the circuit's folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_proof_pays_a_job_and_nothing_else_does() {
    let market = Market::start().await;
    let x = json!([3, 1, -4, 1]);
    let commitment = prover().commit(&x).await.unwrap();
    let job = market.job(1, commitment.input_hash).await;

    let (success, text) = market.prove(job, &json!([3, 1, -4, 2])).await;
    assert!(!success && text.contains("is about input"), "{text}");
    let (success, text) = market.prove(job, &json!("no")).await;
    assert!(!success && text.contains("field x is not a list of numbers"), "{text}");
    assert_eq!(market.credit().await, U256::ZERO);

    let (success, text) = market.prove(job, &x).await;
    assert!(success && text.contains("proven: "), "{text}");
    assert_eq!(market.status(job).await, COMPLETED);
    let earned = U256::from(PRICE - PRICE * 250 / 10_000);
    assert_eq!(market.credit().await, earned);

    // The next job is the same but for its id.
    let next = market.job(2, commitment.input_hash).await;
    let d = &market.stack.deployment;
    let result = commitment.result_hash();
    let submit = job_marketplace::submitResultCall { jobId: next, resultHash: result, resultURI: String::new() };
    market.host.act(&[call(d.job_marketplace, submit)]).await.unwrap();
    let statement = |job| market.ask(d.proof_system, proof_system::statementOfCall { jobId: job });
    let old = prover().prove(&x, statement(job).await).await.unwrap();
    assert!(market.submit(next, &old).await.is_err(), "another job's proof");
    let mut proof = prover().prove(&x, statement(next).await).await.unwrap();
    let honest = proof.proof.clone();
    let mut flipped = honest.to_vec();
    flipped[2_000] ^= 1;
    proof.proof = flipped.into();
    assert!(market.submit(next, &proof).await.is_err(), "a flipped byte");
    assert_eq!(market.status(next).await, SUBMITTED);
    assert_eq!(market.credit().await, earned, "the money stays");

    proof.proof = honest;
    market.submit(next, &proof).await.unwrap();
    assert_eq!(market.status(next).await, COMPLETED);
    assert_eq!(market.credit().await, earned * U256::from(2));
}
