//! The recorder behind the `metrics` macros, and what each figure means.

use anyhow::{Context, Result};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds in seconds: a validation takes milliseconds, an inclusion may take minutes.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 300.0];

/// Records from now on what the process measures.
///
/// # Errors
/// If something else in the process does already.
pub(super) fn install() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("metrics")?;
    for (name, meaning) in COUNTERS {
        describe_counter!(*name, *meaning);
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(*name, *meaning);
    }
    for (name, meaning) in HISTOGRAMS {
        describe_histogram!(*name, *meaning);
    }
    // There from the start, so that the first of each is seen as an increase.
    for name in [
        "fabstir_operations_received_total",
        "fabstir_operations_accepted_total",
        "fabstir_operations_included_total",
        "fabstir_operations_dropped_total",
        "fabstir_bundles_submitted_total",
        "fabstir_bundles_replaced_total",
        "fabstir_journal_failures_total",
        "fabstir_connections_refused_total",
        "fabstir_traces_lost_total",
    ] {
        metrics::counter!(name).absolute(0);
    }
    for end in ["executed", "reverted", "cancelled", "lost", "unsigned"] {
        metrics::counter!("fabstir_bundles_ended_total", "end" => end).absolute(0);
    }
    Ok(handle)
}

/// Names and meanings.
type Figures = &'static [(&'static str, &'static str)];

const COUNTERS: Figures = &[
    ("fabstir_operations_received_total", "Operations that were sent to us, known ones included."),
    ("fabstir_operations_accepted_total", "Operations that are durable and whose senders were told so."),
    ("fabstir_operations_refused_total", "Operations that were not taken, by JSON-RPC code."),
    ("fabstir_operations_included_total", "Operations of ours that were mined, in whosever bundle."),
    ("fabstir_operations_dropped_total", "Operations that were accepted and will not be included by us."),
    ("fabstir_bundles_submitted_total", "Bundles whose first transaction was signed."),
    ("fabstir_bundles_replaced_total", "Transactions that were signed to take an earlier one's place."),
    ("fabstir_bundles_ended_total", "Nonces that were used or given up, by what became of the bundle."),
    ("fabstir_journal_failures_total", "Times that the journal could not be written."),
    ("fabstir_node_failures_total", "Questions that a node did not answer, by method."),
    ("fabstir_sponsorship_decisions_total", "Requests for sponsorship by policy and result: `sponsored` or a rule."),
    ("fabstir_connections_refused_total", "Connections that were one too many, of their address or in all."),
    ("fabstir_traces_lost_total", "Traces that the collector did not take."),
];

const GAUGES: Figures = &[
    ("fabstir_ready", "1 if every check is passed."),
    ("fabstir_check_ok", "1 if this check of /ready is passed."),
    ("fabstir_pool_operations", "Operations in the mempool, those in flight among them."),
    ("fabstir_pool_limit", "Operations that the mempool holds at most."),
    ("fabstir_intake_paused", "1 if an operator has paused the intake of operations."),
    ("fabstir_bundling_paused", "1 if an operator has paused bundling."),
    ("fabstir_head_number", "The newest block."),
    ("fabstir_head_age_seconds", "Time since the newest block's timestamp."),
    ("fabstir_head_age_limit_seconds", "--max-head-age; 0: none."),
    ("fabstir_node_silence_seconds", "Time since a node last answered anything."),
    ("fabstir_node_silence_limit_seconds", "Silence after which we are not ready."),
    ("fabstir_key_balance_wei", "Balance of a key that bundles are sent from."),
    ("fabstir_key_low_wei", "--key-low."),
    ("fabstir_key_open_nonces", "Nonces of a key that are given out and not used on chain."),
    ("fabstir_key_oldest_open_seconds", "Chain time since the oldest of them was given out."),
    ("fabstir_key_usable", "1 if the key is given bundles."),
    ("fabstir_journal_failing", "1 if the journal cannot be written."),
    ("fabstir_ledger_revenue_wei", "What operations paid us since the start."),
    (
        "fabstir_ledger_cost_wei",
        "What our transactions cost since the start, with what L1 and the operator of the chain took.",
    ),
    ("fabstir_ledger_loss_wei", "What single transactions lost since the start, by cause."),
    ("fabstir_disagreements", "Bundles since the start that our EVM passed and the node did not."),
    ("fabstir_deposit_wei", "Deposit of a paymaster of ours in its EntryPoint."),
    ("fabstir_deposit_low_wei", "--deposit-low."),
    ("fabstir_sponsorship_paused", "1 if sponsorship is paused by an operator."),
    ("fabstir_sponsorship_limit", "A limit that all share, in its unit."),
    ("fabstir_sponsorship_left", "What is left of it in this period."),
    ("fabstir_sponsorship_unreserved_wei", "Spending of our paymasters that no reservation stood for."),
    ("fabstir_sponsorship_deep_reorgs", "Reorganisations deeper than the budgets follow."),
    ("fabstir_sessions", "Session keys by state."),
];

const HISTOGRAMS: Figures = &[
    ("fabstir_validation_seconds", "From an operation's coming in to a good verdict."),
    ("fabstir_inclusion_seconds", "From an operation's acceptance to its block being seen."),
    ("fabstir_journal_commit_seconds", "Time of one write of the journal, flush included."),
    ("fabstir_node_request_seconds", "Round trip to the node, by method."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn alerts_dashboard_and_documentation_speak_of_figures_that_there_are() {
        let known: BTreeSet<&str> =
            [COUNTERS, GAUGES, HISTOGRAMS].into_iter().flatten().map(|(name, _)| *name).collect();
        for (place, text) in [
            ("alerts", include_str!("../../../deploy/prometheus/alerts.yml")),
            ("dashboard", include_str!("../../../deploy/grafana/fabstir-node.json")),
            ("documentation", include_str!("../../../docs/operating.md")),
        ] {
            let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
            let named = words.filter(|word| word.starts_with("fabstir_") && !word.starts_with("fabstir_get"));
            for name in named.map(|name| name.strip_suffix("_bucket").unwrap_or(name)) {
                assert!(known.contains(name), "{place}: {name}");
            }
        }
        let documented = include_str!("../../../docs/operating.md");
        for name in known {
            assert!(documented.contains(&format!("`{name}`")), "{name} is not documented");
        }
    }
}
