//! What settings, code and documents must not say: a number of blocks where a time is meant, since a block is 200 ms
//! here and 12 s there; and flashblocks of Base, which has none any more.

use std::path::{Path, PathBuf};

use erc4337::ChainPreset;
use tests::stack::root;

/// Where we speak.
const PLACES: [&str; 12] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs",
    "deploy",
    "sdk/README.md",
    "sdk/src",
    "bundler/src",
    "erc4337/src",
    "fabstir/src",
    "paymaster/src",
    "session-keys/src",
    "contracts/src",
];
/// What may count blocks: file, name or phrase, and why it is no time.
const BLOCKS: [(&str, &str, &str); 16] = [
    ("docs/settings.md", "--index-start", "a block: where to begin"),
    ("docs/settings.md", "--from-block", "a block: where to begin"),
    ("bundler/src/fees.rs", "BLOCKS", "as many blocks are looked at as tell what a place in one costs"),
    ("bundler/src/index/ranges.rs", "blocks", "providers limit one question for logs by blocks"),
    ("fabstir/src/monitor.rs", "BLOCKS", "providers limit one question for logs by blocks"),
    ("fabstir/src/explorer/search.rs", "BLOCKS", "providers limit one question for logs by blocks"),
    ("docs/operating.md", "10,000 blocks", "what one question for logs reaches"),
    ("erc4337/src/chain.rs", "safe_confirmations", "depth: of chains whose nodes have no `safe` tag"),
    ("deploy/chains/local.toml", "safe_confirmations", "depth: of chains whose nodes have no `safe` tag"),
    ("docs/bundler.md", "3 blocks behind", "how far two nodes of one provider differ"),
    ("docs/bundler.md", "3 blocks at least", "how far two nodes of one provider differ"),
    ("docs/bundler.md", " blocks | ", "so many came while it was measured"),
    ("docs/simulation.md", "blocks", "the simulated chain's own"),
    ("docs/siege.md", "blocks", "the harness makes each of them, and counts by them"),
    ("docs/fuzzing.md", "block numbers", "EntryPoint v0.9 has validity by block numbers"),
    (
        "docs/bundler.md",
        "10 blocks or not at all",
        "the condition of eth_sendRawTransactionConditional is a block number",
    ),
];

/// Every file below, as a path from the root, with its text.
fn files() -> Vec<(String, String)> {
    fn walk(path: &Path, all: &mut Vec<PathBuf>) {
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), all));
        } else {
            all.push(path.to_owned());
        }
    }
    let mut all = Vec::new();
    PLACES.iter().for_each(|place| walk(&root().join(place), &mut all));
    let spoken = ["md", "rs", "ts", "toml", "sol", "json", "yml"];
    let texts = all.into_iter().filter(|path| path.extension().is_some_and(|kind| spoken.iter().any(|it| kind == *it)));
    let texts = texts.filter_map(|path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let is_test = name.split('/').any(|part| part.starts_with("tests") || part == "node_modules");
        (!is_test).then(|| (name, std::fs::read_to_string(&path).unwrap()))
    });
    // Tests at a file's end may count the blocks that they make.
    texts.map(|(name, text)| (name, text.split("#[cfg(test)]").next().unwrap().to_owned())).collect()
}

fn is_allowed(file: &str, said: &str) -> bool {
    BLOCKS.iter().any(|(place, what, _)| file.starts_with(place) && said.contains(what))
}

/// The name of a field, constant or key of this line that is a number, if it is called by blocks.
fn counter(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let start =
        ["pub(crate) ", "pub(super) ", "pub "].iter().fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
    let start = start.strip_prefix("const ").unwrap_or(start);
    let end = start.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')?;
    let (name, rest) = start.split_at(end);
    let kind = rest.strip_prefix(": ").or(rest.strip_prefix(" = "))?.trim_start_matches("Option<");
    let number = ["u8", "u16", "u32", "u64", "usize"].iter().any(|it| kind.starts_with(it))
        || kind.starts_with(|it: char| it.is_ascii_digit());
    let lower = name.to_lowercase();
    let parts: Vec<_> = lower.split('_').collect();
    let counts = parts.iter().any(|part| ["blocks", "confirmations"].contains(part)) || lower.contains("reorg_depth");
    (number && counts).then_some(name)
}

/// What is said of so many blocks.
fn number_of_blocks(line: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(found) = line[from..].find(" block") {
        let at = from + found;
        from = at + 1;
        let number = line[..at].rfind(|letter: char| !letter.is_ascii_digit() && ![',', '_'].contains(&letter));
        let begin = number.map_or(0, |before| before + line[before..].chars().next().unwrap().len_utf8());
        let plural = line[at + 1..].starts_with("blocks") || line[at + 1..].starts_with("block ");
        if plural && line[begin..at].starts_with(|letter: char| letter.is_ascii_digit()) {
            return Some(line[begin..].trim());
        }
    }
    None
}

#[test]
fn no_number_of_blocks_means_a_time() {
    let mut wrong = Vec::new();
    for (file, text) in files() {
        for (number, line) in text.lines().enumerate() {
            let setting = file == "docs/settings.md" && line.starts_with("| `--");
            let said = match (setting, counter(line), number_of_blocks(line)) {
                (true, _, _) if line.to_lowercase().contains("blocks") || line.contains("-confirmations") => line,
                (false, Some(name), _) => name,
                (false, None, Some(phrase)) => phrase,
                _ => continue,
            };
            // Addresses are blocked, too.
            if !is_allowed(&file, said) && !said.starts_with("| `--block ") {
                wrong.push(format!("{file}:{}: {said}", number + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "a number of blocks that means a time, or an exception without its reason:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn what_counts_blocks_is_found() {
    for line in [
        "    pub blocks_before_escalation: u64,",
        "pub(crate) reorg_depth: u64,",
        "const KEPT_BLOCKS: usize = 3;",
        "safe_confirmations = 2",
        "    pub throttled_live_blocks: u64,",
    ] {
        assert!(counter(line).is_some(), "{line}");
    }
    for line in ["    pub block_time: Duration,", "let blocks = BTreeMap::new();", "block_time_ms = 200"] {
        assert_eq!(counter(line), None, "{line}");
    }
    assert_eq!(number_of_blocks("it is dropped after 10 blocks"), Some("10 blocks"));
    assert_eq!(number_of_blocks("about 10,000 blocks"), Some("10,000 blocks"));
    assert_eq!(number_of_blocks("of block 7, or the blocks after it"), None);
}

#[test]
fn nothing_speaks_of_flashblocks_on_base() {
    for preset in ChainPreset::all().iter().filter(|preset| preset.name.starts_with("base") || preset.name == "local") {
        assert_eq!(preset.flashblock_time, None, "{}", preset.name);
    }
    let mut wrong = Vec::new();
    for (file, text) in files() {
        for paragraph in text.split("\n\n").flat_map(|part| part.split("\n- ")) {
            let lower = paragraph.to_lowercase();
            let names_base = paragraph.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == "Base");
            let says_none = ["no flashblocks", "flashblocks are gone", "not on base", "base has had none"]
                .iter()
                .any(|it| lower.contains(it));
            if names_base && !says_none && (lower.contains("flashblock") || lower.contains("preconfirm")) {
                wrong.push(format!("{file}: {paragraph}"));
            }
        }
    }
    assert!(wrong.is_empty(), "flashblocks, or what rests on them, beside Base:\n{}", wrong.join("\n\n"));
}
