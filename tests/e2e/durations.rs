//! What means a time is a time, and not a number of blocks, which is another time on each chain; and nothing speaks of
//! flashblocks on Base, which has none any more.

use std::path::{Path, PathBuf};

use tests::stack::root;

/// Text files below these, with what they hold.
fn files(below: &[&str], endings: &[&str]) -> Vec<(PathBuf, String)> {
    fn walk(path: &Path, endings: &[&str], found: &mut Vec<(PathBuf, String)>) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                let name = entry.as_ref().unwrap().file_name();
                if name != "node_modules" && name != "target" && name != "tests" {
                    walk(&entry.unwrap().path(), endings, found);
                }
            }
        } else if endings.iter().any(|ending| path.extension().is_some_and(|it| it == *ending)) {
            found.push((path.to_owned(), std::fs::read_to_string(path).unwrap()));
        }
    }
    let mut found = Vec::new();
    below.iter().for_each(|path| walk(&root().join(path), endings, &mut found));
    found
}

/// Numbers of blocks that mean no time: what providers give in one answer, how many are looked at, heights.
const BLOCKS: [&str; 16] = [
    "bundler/src/engine/mod.rs: Blocks have left the chain",
    "paymaster/src/ledger/core/settle.rs: Blocks that are known already",
    "bundler/src/fees.rs: Blocks of history.",
    "bundler/src/follower/lookup.rs: Blocks searched for one operation",
    "bundler/src/follower/mod.rs: Blocks between two heads whose headers are asked for",
    "bundler/src/follower/mod.rs: Blocks whose logs are asked for by their hashes",
    "bundler/src/follower/heads.rs: Blocks that must have come",
    "bundler/src/node/nodes.rs: Blocks that it may be behind all the same",
    "bundler/src/index/ranges.rs: Blocks to ask for.",
    "bundler/src/index/mod.rs: Blocks that are",
    "bundler/src/flow/mod.rs: Blocks that may leave the chain",
    "bundler/src/trail.rs: Blocks that are remembered",
    "fabstir/src/ledger.rs: Blocks whose logs are asked for at once",
    "fabstir/src/monitor.rs: Blocks asked for at once",
    "fabstir/src/explorer/search.rs: Blocks whose logs are asked for at once",
    "paymaster/src/ledger/store/mod.rs: Blocks that do not follow",
];

#[test]
fn no_number_of_blocks_means_a_time() {
    let mut used = vec![false; BLOCKS.len()];
    for (path, text) in
        files(&["bundler/src", "fabstir/src", "paymaster/src", "session-keys/src", "erc4337/src"], &["rs"])
    {
        let place = path.strip_prefix(root()).unwrap().display().to_string();
        // What is documented as a number of blocks. Prose begins otherwise, or goes on in the next line.
        for line in text.lines().map(str::trim).filter_map(|line| line.strip_prefix("/// Blocks ")) {
            let said = format!("{place}: Blocks {line}");
            match BLOCKS.iter().position(|known| said.starts_with(known)) {
                Some(position) => used[position] = true,
                None => panic!("{said}: a time in blocks? If not, say why here"),
            }
        }
    }
    let unused: Vec<_> = BLOCKS.iter().zip(used).filter(|(_, used)| !used).map(|(known, _)| known).collect();
    assert!(unused.is_empty(), "these are not there any more: {unused:?}");

    for (path, text) in files(&["docs/settings.md", "deploy"], &["md", "yml", "json", "toml"]) {
        for line in text.lines() {
            let counts =
                ["blocks behind", "blocks after", "blocks before", "_blocks ", "_blocks{", "_blocks_", "confirmations"];
            let found = counts.iter().find(|words| line.to_lowercase().contains(*words));
            assert!(found.is_none(), "{}: {line}", path.display());
        }
    }
}

#[test]
fn nobody_speaks_of_flashblocks_on_base() {
    let known = [
        "no flashblocks",
        "gone",
        "has none",
        "had none",
        "have none",
        "alone",
        "elsewhere",
        "None)",
        "without flashblocks",
    ];
    let about = files(
        &["docs", "deploy", "README.md", "sdk/src", "sdk/README.md", "bundler/src", "fabstir/src"],
        &["md", "toml", "ts", "rs", "json"],
    );
    assert!(about.len() > 100, "{}", about.len());
    for (path, text) in about {
        for line in text.lines().filter(|line| line.to_lowercase().contains("flashblock") && line.contains("Base")) {
            assert!(known.iter().any(|words| line.contains(words)), "{}: {line}", path.display());
        }
    }
    for (path, text) in files(&["deploy/chains"], &["toml"]) {
        let has = text.contains("flashblock_ms");
        let may = ["optimism.toml", "unichain.toml"].iter().any(|name| path.ends_with(name));
        assert_eq!(has, may, "{}", path.display());
    }
}
