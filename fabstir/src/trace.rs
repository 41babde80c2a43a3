//! `fabstir trace`: an operation's steps with their times, as the node that it went through remembers them.

use alloy::primitives::B256;
use anyhow::{Context, Result, bail};
use jsonrpsee::{core::client::ClientT, http_client::HttpClientBuilder, rpc_params};
use serde_json::Value;

/// Settings of `fabstir trace`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The operation's `userOpHash`.
    hash: B256,
    /// The node that it was sent to.
    #[arg(long, env = "FABSTIR_RPC_URL", default_value = "http://127.0.0.1:4337")]
    rpc_url: String,
    /// As the node's answer has it.
    #[arg(long)]
    json: bool,
}

/// Prints it.
///
/// # Errors
/// If the node does not answer, or does not know the operation.
pub async fn run(options: Options) -> Result<()> {
    let node = HttpClientBuilder::default().build(&options.rpc_url)?;
    let trace: Value = node
        .request("fabstir_getUserOperationTrace", rpc_params![options.hash])
        .await
        .with_context(|| options.rpc_url.clone())?;
    if trace.is_null() {
        bail!("{} did not go through this node since it started, or so many others have since", options.hash);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&trace)?);
        return Ok(());
    }
    print!("{}", table(&trace));
    Ok(())
}

fn table(trace: &Value) -> String {
    use std::fmt::Write;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut table = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(table, "trace {}  sender {}", text(&trace["traceId"]), text(&trace["sender"]));
    for step in trace["steps"].as_array().into_iter().flatten() {
        let [at, took] = ["sinceMs", "tookMs"].map(|name| step[name].as_f64().unwrap_or_default());
        let block = text(&step["blockNumber"]);
        let block = u64::from_str_radix(block.trim_start_matches("0x"), 16).unwrap_or_default();
        let about = text(&step["transactionHash"]) + &text(&step["reason"]);
        let (stage, work) = (text(&step["stage"]), text(&step["work"]));
        let line = format!("{at:>10.3} ms  +{took:>9.3} ms  block {block:<8} {stage:<10} {work:<18} {about}");
        let _ = writeln!(table, "{}", line.trim_end());
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_step_with_the_time_since_the_first() {
        let trace = json!({ "traceId": "ab", "sender": "0x1", "steps": [
            { "stage": "received", "work": "receive", "sinceMs": 0.0, "tookMs": 0.0, "blockNumber": "0xa" },
            { "stage": "validated", "work": "validate", "sinceMs": 1.5, "tookMs": 1.5, "blockNumber": "0xa" },
            { "stage": "dropped", "work": "drop", "sinceMs": 3.5, "tookMs": 2.0, "blockNumber": "0xb", "reason": "too old" },
        ]});
        let lines: Vec<_> = table(&trace).lines().map(str::to_owned).collect();
        assert_eq!(lines[2], "     1.500 ms  +    1.500 ms  block 10       validated  validate");
        assert!(lines[3].starts_with("     3.500 ms") && lines[3].ends_with("too old"), "{}", lines[3]);
    }
}
