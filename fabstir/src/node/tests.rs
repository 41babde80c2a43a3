//! What is asked for on the command line is what the bundler is given.

use clap::{Args as _, Command, FromArgMatches as _};
use erc4337::EntryPointVersion;

use super::*;

fn deployment() -> Deployment {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/addresses/local.json");
    Deployment::read(&file).unwrap()
}

fn setup(arguments: &[&str]) -> Setup {
    let always = ["node", "--node-url", "http://node", "--deployment", "local.json"];
    let matches = Options::augment_args(Command::new("node")).try_get_matches_from(always.iter().chain(arguments));
    let options = Options::from_arg_matches(&matches.unwrap()).unwrap();
    Setup {
        mempool: mempool(options.max_mempool, options.allow, options.block),
        serve: serve::Settings {
            listen: options.listen,
            calls_per_second: options.calls_per_second,
            behind_proxy: options.behind_proxy,
            shared: None,
        },
        chain: options.chain,
        deployment: deployment(),
        signers: Signers::default(),
        bundling: options.bundling,
        sponsor_signers: Vec::new(),
        sponsor_limits: paymaster::Limits { total: options.sponsor_per_day, per_sender: options.sponsor_per_account },
        rehearse: !options.sponsor_unrehearsed,
        tokens: options.tokens,
        rules: options.rules,
        policies: options.policies,
        admin: options.admin,
        reputation_file: options.reputation_file,
        budgets: ledger::Place::Memory,
        sessions: None,
        observe: options.observe,
        board: Arc::default(),
        explorer: options.explorer,
        forward_reads: options.forward_reads,
        debug_rpc: options.debug_rpc,
        cluster: None,
    }
}

#[test]
fn by_default_the_bundler_is_the_preset_s() {
    let (setup, deployment) = (setup(&[]), deployment());
    let config = bundler_config(&setup).unwrap();
    let preset = ChainPreset::for_chain(deployment.chain_id);
    assert_eq!(config.chain.min_stake, preset.min_stake);
    assert_eq!(config.entry_points.len(), EntryPointVersion::ALL.len());
    assert!(!config.debug_rpc && config.reputation_file.is_none() && config.mempool.blocked.is_empty());
    assert_eq!(config.mempool.max_operations, MempoolConfig::default().max_operations);
    let ours: Vec<_> = deployment.paymasters.values().chain(deployment.token_paymasters.values()).collect();
    assert!(ours.len() > 4 && ours.iter().all(|it| config.mempool.allowed.contains(*it)), "no limit holds them back");
    assert_eq!(config.mempool.allowed.len(), ours.len());
    assert_eq!(setup.serve.calls_per_second, serve::CALLS_PER_SECOND);
    assert!(!setup.serve.behind_proxy && setup.rehearse);
    assert_eq!(setup.sponsor_limits.total, ether(SPONSOR_PER_DAY).unwrap());
    assert_eq!(setup.sponsor_limits.per_sender, ether(SPONSOR_PER_ACCOUNT).unwrap());
}

#[test]
fn each_setting_reaches_what_it_sets() {
    let (friend, enemy) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let setup = setup(&[
        "--min-stake",
        "5",
        "--max-mempool",
        "6",
        "--allow",
        &friend.to_string(),
        "--block",
        &enemy.to_string(),
        "--reputation-file",
        "/reputations",
        "--debug-rpc",
        "--behind-proxy",
        "--calls-per-second",
        "7",
        "--sponsor-unrehearsed",
        "--max-bid",
        "800000000000",
        "--index-start",
        "9",
    ]);
    let config = bundler_config(&setup).unwrap();
    assert_eq!((config.chain.min_stake, config.mempool.max_operations), (5, 6));
    assert!(config.mempool.allowed.contains(&friend) && !config.mempool.allowed.contains(&enemy));
    assert_eq!(config.mempool.blocked.iter().collect::<Vec<_>>(), [&enemy]);
    assert_eq!(config.reputation_file, Some("/reputations".into()));
    assert!(config.debug_rpc && setup.serve.behind_proxy && !setup.rehearse);
    assert_eq!(setup.serve.calls_per_second, 7);
    assert_eq!((config.fees.cap, config.index_start), (800_000_000_000, Some(9)));
}
