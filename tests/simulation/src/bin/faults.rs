//! Plants each fault of `faults.txt` in a copy of the tree, one build for all of them, and tells by which seed each is
//! found. `FABSTIR_SEEDS` (200) seeds for each; `FABSTIR_ONLY` for those whose name has this in it. Fails if one is not
//! found.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool of the tests fails by panicking")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

struct Fault {
    name: String,
    file: String,
    old: String,
    new: String,
}

fn faults(text: &str) -> Vec<Fault> {
    let blocks = text.split("\n[").skip(1);
    blocks
        .map(|block| {
            let (name, rest) = block.split_once("]\n").expect("a name in brackets");
            let (file, rest) = rest.split_once('\n').expect("a file");
            let lines: Vec<&str> = rest.trim_matches('\n').lines().collect();
            assert!(lines.len().is_multiple_of(2), "{name}: as many lines before as after");
            let (old, new) = lines.split_at(lines.len() / 2);
            Fault { name: name.into(), file: file.into(), old: old.join("\n"), new: new.join("\n") }
        })
        .collect()
}

fn main() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.join("../..").canonicalize().unwrap();
    let faults = faults(&std::fs::read_to_string(crate_folder.join("faults.txt")).unwrap());
    let copy = root.join("target/faults");
    plant(&root, &copy, &faults);
    let program = build(&root, &copy);
    let only = std::env::var("FABSTIR_ONLY").unwrap_or_default();
    let seeds = std::env::var("FABSTIR_SEEDS").unwrap_or_else(|_| "200".into());
    let mut missed = Vec::new();
    for (number, fault) in faults.iter().enumerate().filter(|(_, fault)| fault.name.contains(&only)) {
        let output = Command::new(&program)
            .args(["no_seed", "--nocapture"])
            .envs([
                ("FABSTIR_FAULT", number.to_string()),
                ("FABSTIR_SEEDS", seeds.clone()),
                ("FABSTIR_FIRST", "1".into()),
            ])
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.lines().find(|line| line.starts_with("seed ")).map(str::to_owned);
        match (output.status.success(), found) {
            (true, _) => {
                println!("NOT FOUND  {}", fault.name);
                missed.push(&fault.name);
            }
            (false, found) => println!("{}: {}", fault.name, found.unwrap_or_else(|| "the run broke off".into())),
        }
    }
    assert!(missed.is_empty(), "not found within {seeds} seeds: {missed:?}");
}

/// Whatever of this folder begins so.
fn remove(folder: &Path, start: &str) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(start) {
            let path = entry.path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
    }
}

/// What git has of the tree, with all faults in it, each asleep.
fn plant(root: &Path, copy: &Path, faults: &[Fault]) {
    let _ = std::fs::remove_dir_all(copy);
    let listed =
        Command::new("git").args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(root).output().unwrap();
    for name in String::from_utf8(listed.stdout).unwrap().split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), copy.join(name));
        if from.is_file() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }
    for folder in ["contracts/node_modules", "contracts/out"] {
        std::os::unix::fs::symlink(root.join(folder), copy.join(folder)).unwrap();
    }
    for (number, fault) in faults.iter().enumerate() {
        let file = copy.join(&fault.file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches(&fault.old).count(), 1, "{}: in {} it stands once", fault.name, fault.file);
        let new = fault.new.replace("FAULT", &format!("crate::world::fault({number})"));
        std::fs::write(&file, text.replace(&fault.old, &new)).unwrap();
    }
    let world = copy.join("bundler/src/world.rs");
    let text = std::fs::read_to_string(&world).unwrap()
        + "
/// Whether this fault is planted.
pub fn fault(number: usize) -> bool {
    static PLANTED: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var(\"FABSTIR_FAULT\").ok()?.parse().ok());
    *PLANTED == Some(number)
}
";
    std::fs::write(world, text).unwrap();
}

/// The seeds' test of the copy. In a target folder of its own, because cargo takes two copies of a workspace for one;
/// dependencies are taken over from the tree's.
fn build(root: &Path, copy: &Path) -> PathBuf {
    let (target, own) = (root.join("target/debug"), root.join("target/faults-build"));
    if !own.exists() {
        std::fs::create_dir_all(own.join("debug")).unwrap();
        for (how, folder) in [("-a", ".fingerprint"), ("-a", "build"), ("-al", "deps")] {
            let done = Command::new("cp").arg(how).arg(target.join(folder)).arg(own.join("debug")).status().unwrap();
            assert!(done.success(), "cp {how} {folder}");
        }
        for (folder, start) in [("deps", "lib"), ("deps", ""), (".fingerprint", "")] {
            for ours in ["erc4337-", "bundler-", "simulation-", "seeds-"] {
                remove(&own.join("debug").join(folder), &format!("{start}{ours}"));
            }
        }
    }
    let output = Command::new("cargo")
        .args(["test", "--workspace", "--locked", "--no-run", "--test", "seeds", "--message-format", "json"])
        .envs([("CARGO_TARGET_DIR", own.as_path()), ("CARGO_INCREMENTAL", Path::new("0"))])
        .current_dir(copy)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the copy with its faults does not compile");
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_seeds = messages.filter(|message| message["target"]["name"] == "seeds");
    of_seeds.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back().expect("an executable")
}
