//! Plants each fault of `judges.txt` in a copy of the tree, one build for all of them, and runs the tests that name the rule:
//! without its judge, or with one that refuses what is lawful, they must fail. `FABSTIR_ONLY` for those whose name has this
//! in it. Fails if one is not noticed, or if the tests fail without any.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool of the tests fails by panicking")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use simulation::planted::{self, Fault, Planted};

/// Programs of tests that name rules, by the folder of the crate, each with where it runs.
const PROGRAMS: [(&str, &str); 2] = [("bundler", "bundler"), ("erc4337", "wire")];

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = folder.join("../..").canonicalize().unwrap();
    let faults = planted::parse(&std::fs::read_to_string(folder.join("judges.txt")).unwrap());
    let tree = Planted::new(&root, "judges", &faults);
    let arguments = ["test", "--workspace", "--locked", "--no-run", "--lib", "--test", "wire"];
    let built = tree.build("debug", &arguments);
    let program = |fault: &Fault| -> &PathBuf {
        let (_, name) = PROGRAMS.iter().find(|(krate, _)| fault.file.starts_with(krate)).expect("a crate with tests");
        &built.iter().find(|(built, _)| built == name).expect("its tests").1
    };
    let only = std::env::var("FABSTIR_ONLY").unwrap_or_default();
    let mut missed = Vec::new();
    for (number, fault) in faults.iter().enumerate().filter(|(_, fault)| fault.name.contains(&only)) {
        let tests = fault.name.split(' ').next().unwrap_or_default().to_lowercase().replace('-', "_");
        let run = |mut command: Command| {
            let crate_folder = tree.folder().join(fault.file.split('/').next().unwrap_or_default());
            let output = command.arg(&tests).current_dir(crate_folder).stderr(Stdio::null()).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let failed = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
            (output.status.success(), text.contains(" 0 passed"), failed.map(str::to_owned).collect::<Vec<_>>())
        };
        let (passes, nothing, failed) = run(planted::awake(program(fault), faults.len()));
        assert!(passes && !nothing, "{tests}: without any fault these tests fail, or there are none: {failed:?}");
        match run(planted::awake(program(fault), number)) {
            (true, ..) => {
                println!("NOT NOTICED  {}", fault.name);
                missed.push(&fault.name);
            }
            (false, _, failed) => println!("{}: {}", fault.name, failed.join(", ")),
        }
    }
    assert!(missed.is_empty(), "no test of the rule notices: {missed:?}");
}
