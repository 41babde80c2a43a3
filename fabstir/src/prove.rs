//! `fabstir prove`: runs a small model on a job's input, proves the result with EZKL and submits it.
//!
//! EZKL is a Python package: it runs as a child process (`contracts/proofs/pipeline.py`), which gets the input on its
//! standard input and no secret at all.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use alloy::{
    primitives::{B256, Bytes, U256, keccak256},
    sol_types::{SolCall, SolValue},
};
use anyhow::Result;
use bundler::node::NodeClient;
use erc4337::{
    abi::{job_marketplace, proof_system},
    calls::Call,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{client::Client, deployment::Deployment, keys};

/// `JobStatus.Claimed` of the marketplace.
const CLAIMED: u8 = 2;
/// `JobStatus.Submitted` of the marketplace.
const SUBMITTED: u8 = 3;

/// Settings of `fabstir prove`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// JSON-RPC endpoint of a bundler and paymaster.
    #[arg(long, env = "FABSTIR_RPC_URL", default_value = "http://127.0.0.1:4337")]
    rpc_url: String,
    /// HTTP URL of an Ethereum node.
    #[arg(long, env = "FABSTIR_NODE_URL", hide_env_values = true)]
    node_url: String,
    /// File of addresses that `fabstir deploy` wrote.
    #[arg(long, env = "FABSTIR_DEPLOYMENT")]
    deployment: PathBuf,
    /// File with the key that owns the host's account; else FABSTIR_HOST_KEY.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// The job, claimed by the host.
    #[arg(long)]
    job: B256,
    /// File with the model's input: `{"x": [numbers]}`.
    #[arg(long)]
    input: PathBuf,
    /// The model's key in the proof system, counted from 0.
    #[arg(long, default_value_t = 0)]
    key_version: u64,
    #[command(flatten)]
    prover: Prover,
}

/// How EZKL is run.
#[derive(Clone, Debug, clap::Args)]
pub struct Prover {
    /// Python of a virtual environment with EZKL (`make proofs` makes one).
    #[arg(long, env = "FABSTIR_EZKL_PYTHON", default_value = "contracts/proofs/.venv/bin/python")]
    pub python: PathBuf,
    /// The pipeline's program.
    #[arg(long, default_value = "contracts/proofs/pipeline.py")]
    pub pipeline: PathBuf,
    /// Folder with the model's circuit and keys.
    #[arg(long)]
    pub circuit: PathBuf,
}

/// Why a job was not proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The input file is not there or not of its form.
    #[error("input {path}: {reason}")]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The prover's program cannot be started.
    #[error("prover {python}: {source}; `make proofs` installs it")]
    NoProver {
        /// The program.
        python: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The prover ended badly.
    #[error("prover, {step}: {message}")]
    ProverFailed {
        /// `commit` or `prove`.
        step: &'static str,
        /// The last line that it printed.
        message: String,
    },
    /// The prover answered something else than it should.
    #[error("prover, {step}: answer not understood: {source}")]
    BadAnswer {
        /// `commit` or `prove`.
        step: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The job is about another input.
    #[error("job {job} is about input {expected}, the file holds {actual}")]
    WrongInput {
        /// The job.
        job: B256,
        /// Its input's commitment.
        expected: B256,
        /// That of the file.
        actual: B256,
    },
    /// The host has submitted another result.
    #[error("job {job} has result {submitted}, the model gives {computed}")]
    WrongResult {
        /// The job.
        job: B256,
        /// What was submitted.
        submitted: B256,
        /// What the model gives.
        computed: B256,
    },
    /// The job is neither at work nor delivered.
    #[error("job {job} is in state {status}; it can be proven while claimed or submitted")]
    WrongStatus {
        /// The job.
        job: B256,
        /// `JobStatus` of the marketplace.
        status: u8,
    },
}

/// What the model gives on an input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commitment {
    /// The input's Poseidon hash: a provable job's `inputHash`.
    pub input_hash: B256,
    /// The model's outputs.
    pub outputs: Vec<U256>,
}

impl Commitment {
    /// A provable job's `resultHash`.
    pub fn result_hash(&self) -> B256 {
        keccak256(self.outputs.abi_encode_packed())
    }
}

/// A proof with its public instances.
#[derive(Debug, Deserialize)]
pub struct Proof {
    /// The proof.
    pub proof: Bytes,
    /// The public instances.
    pub instances: Vec<U256>,
}

impl Prover {
    /// Runs the model.
    ///
    /// # Errors
    /// If the prover cannot be run or fails.
    pub async fn commit(&self, x: &Value) -> Result<Commitment, ProveError> {
        self.ask("commit", &json!({ "x": x })).await
    }

    /// Runs the model and proves it for a statement.
    ///
    /// # Errors
    /// If the prover cannot be run or fails.
    pub async fn prove(&self, x: &Value, statement: B256) -> Result<Proof, ProveError> {
        self.ask("prove", &json!({ "x": x, "statement": statement })).await
    }

    async fn ask<T: DeserializeOwned>(&self, step: &'static str, request: &Value) -> Result<T, ProveError> {
        let no_prover = |source| ProveError::NoProver { python: self.python.clone(), source };
        let mut child = Command::new(&self.python)
            .arg(&self.pipeline)
            .arg(step)
            .arg(&self.circuit)
            // What the host's key is given in must not reach a program from elsewhere.
            .env_remove("FABSTIR_HOST_KEY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(no_prover)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that ends at once closes its end; why it did is on its stderr.
            let _ = stdin.write_all(request.to_string().as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(no_prover)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let message = text.lines().last().unwrap_or("no message").to_owned();
            return Err(ProveError::ProverFailed { step, message });
        }
        serde_json::from_slice(&output.stdout).map_err(|source| ProveError::BadAnswer { step, source })
    }
}

/// `fabstir prove`.
///
/// # Errors
/// Whatever stops it, with its context.
pub async fn run(options: Options) -> Result<()> {
    let deployment = Deployment::read(&options.deployment)?;
    let key = keys::read(options.key_file.as_deref(), "FABSTIR_HOST_KEY")?;
    let node = NodeClient::new(&options.node_url)?;
    let client = Client::new(&options.rpc_url, node.clone(), deployment.clone(), key).await?;
    let x = read_input(&options.input)?;

    let job_id = options.job;
    let ask = job_marketplace::jobOfCall { jobId: job_id }.abi_encode();
    let answer = node.eth_call(deployment.job_marketplace, ask.into()).await?;
    let job = job_marketplace::jobOfCall::abi_decode_returns(&answer)?;
    if job.status != CLAIMED && job.status != SUBMITTED {
        return Err(ProveError::WrongStatus { job: job_id, status: job.status }.into());
    }
    let commitment = options.prover.commit(&x).await?;
    if commitment.input_hash != job.inputHash {
        let (expected, actual) = (job.inputHash, commitment.input_hash);
        return Err(ProveError::WrongInput { job: job_id, expected, actual }.into());
    }
    let computed = commitment.result_hash();
    if job.status == CLAIMED {
        let submit =
            job_marketplace::submitResultCall { jobId: job_id, resultHash: computed, resultURI: String::new() };
        let transaction = client.act(&[call(deployment.job_marketplace, submit)]).await?;
        println!("result {computed} submitted in transaction {transaction}");
    } else if job.resultHash != computed {
        return Err(ProveError::WrongResult { job: job_id, submitted: job.resultHash, computed }.into());
    }

    let ask = proof_system::statementOfCall { jobId: job_id }.abi_encode();
    let answer = node.eth_call(deployment.proof_system, ask.into()).await?;
    let statement = proof_system::statementOfCall::abi_decode_returns(&answer)?;
    let proof = options.prover.prove(&x, statement).await?;
    let submission = proof_system::IEzklProofs::Submission {
        jobId: job_id,
        version: U256::from(options.key_version),
        proof: proof.proof,
        instances: proof.instances,
    };
    let submit = proof_system::submitProofCall { submission };
    let transaction = client.act(&[call(deployment.proof_system, submit)]).await?;
    println!("proven: job {job_id} in transaction {transaction}");
    Ok(())
}

fn call(target: alloy::primitives::Address, call: impl SolCall) -> Call {
    Call { target, value: U256::ZERO, data: call.abi_encode().into() }
}

fn read_input(path: &Path) -> Result<Value, ProveError> {
    let wrong = |reason: String| ProveError::Input { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    match value.get("x") {
        Some(x) if x.as_array().is_some_and(|list| list.iter().all(Value::is_number)) => Ok(x.clone()),
        _ => Err(wrong("field x is not a list of numbers".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prover(python: &str) -> Prover {
        Prover { python: python.into(), pipeline: "x.py".into(), circuit: "x".into() }
    }

    #[tokio::test]
    async fn a_prover_that_is_not_there_is_told_so() {
        let error = prover("/nowhere/python").commit(&json!([])).await.unwrap_err();
        assert!(matches!(error, ProveError::NoProver { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_prover_that_fails_is_told_with_its_last_line() {
        let error = prover("false").prove(&json!([]), B256::ZERO).await.unwrap_err();
        assert!(matches!(error, ProveError::ProverFailed { step: "prove", .. }), "{error}");
    }

    #[tokio::test]
    async fn a_prover_that_babbles_is_not_understood() {
        let error = prover("echo").commit(&json!([])).await.unwrap_err();
        assert!(matches!(error, ProveError::BadAnswer { step: "commit", .. }), "{error}");
    }

    #[test]
    fn a_result_is_the_hash_of_its_words() {
        let commitment = Commitment { input_hash: B256::ZERO, outputs: vec![U256::from(1), U256::from(2)] };
        let words = [U256::from(1).to_be_bytes::<32>(), U256::from(2).to_be_bytes::<32>()].concat();
        assert_eq!(commitment.result_hash(), keccak256(words));
    }
}
