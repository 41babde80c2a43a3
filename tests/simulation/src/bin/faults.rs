//! Plants each fault of `faults.txt` in a copy of the tree, one build for all of them, and tells by which seed each is
//! found. `FABSTIR_SEEDS` (200) seeds for each, but those whose world never comes to where the fault is; `FABSTIR_ONLY` for
//! those whose name has this in it. Fails if one is not found.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool of the tests fails by panicking")]

use std::{path::Path, process::Stdio};

use simulation::planted::{self, Planted};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = folder.join("../..").canonicalize().unwrap();
    let faults = planted::parse(&std::fs::read_to_string(folder.join("faults.txt")).unwrap());
    let tree = Planted::new(&root, "faults", &faults);
    let flags = std::env::var("FABSTIR_FLAGS").unwrap_or_else(|_| "--profile bench".into());
    let mut arguments = vec!["test", "--workspace", "--locked", "--no-run", "--test", "seeds"];
    arguments.extend(flags.split_whitespace());
    let profile = if flags.contains("bench") { "release" } else { "debug" };
    let built = tree.build(profile, &arguments);
    let (_, program) = built.iter().find(|(name, _)| name == "seeds").expect("the seeds' test");
    let only = std::env::var("FABSTIR_ONLY").unwrap_or_default();
    let seeds = std::env::var("FABSTIR_SEEDS").unwrap_or_else(|_| "200".into());
    let mut missed = Vec::new();
    for (number, fault) in faults.iter().enumerate().filter(|(_, fault)| fault.name.contains(&only)) {
        let worlds = match fault.file.as_str() {
            file if file.starts_with("bundler/src/cluster/") => "cluster",
            file if file.starts_with("paymaster/") || file.starts_with("fabstir/src/ledger") => "sponsored",
            _ => "",
        };
        let output = planted::awake(program, number)
            .args(["no_seed", "--nocapture"])
            .envs([("FABSTIR_SEEDS", seeds.as_str()), ("FABSTIR_FIRST", "1"), ("FABSTIR_WORLDS", worlds)])
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
