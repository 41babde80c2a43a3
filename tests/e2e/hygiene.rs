//! Whatever becomes of a test, its run ends, says which it was, and leaves nothing behind: `make hygiene`.
//!
//! Each test is run by itself, as `make test` runs all (`tests/run`), and is killed, stopped for good, or made to fail: what
//! it starts is killed. `FABSTIR_HYGIENE` of them (1), drawn by `FABSTIR_SEED`; `all` for all.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tests::{programs::dice::Dice, stack::root};

/// Seconds until a test that stands still is given up here.
const LIMIT: &str = "6";

fn lines(command: &mut Command) -> BTreeSet<String> {
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What there is before a test and has to be after it.
#[derive(Debug, PartialEq)]
struct Surroundings {
    tree: BTreeSet<String>,
    beside_the_sdk: BTreeSet<PathBuf>,
    anvils: BTreeSet<PathBuf>,
    temporary: BTreeSet<PathBuf>,
}

impl Surroundings {
    fn now(temporary: &Path) -> Self {
        let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().map(|it| it.unwrap().path());
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        // Other tests, which run beside this one, write theirs; by their process, which is this one's.
        let own = std::process::id().to_string();
        Self {
            tree: lines(Command::new("git").args(["status", "--porcelain"]).current_dir(root())),
            beside_the_sdk: entries(root().join("sdk")).filter(|path| !path.to_string_lossy().contains(&own)).collect(),
            anvils: entries(home.join(".foundry/anvil/tmp")).collect(),
            temporary: entries(temporary.to_owned()).collect(),
        }
    }
}

/// Processes that were started by a run, by what it has in its environment.
fn processes(mark: &str) -> Vec<String> {
    let of = |path: &Path| {
        let environment = std::fs::read(path.join("environ")).ok()?;
        let marked = environment.split(|byte| *byte == 0).any(|it| it == format!("FABSTIR_MARK={mark}").as_bytes());
        marked.then(|| String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).unwrap_or_default()).into_owned())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| of(&entry.unwrap().path())).collect()
}

fn sabotaged(test: &str, how: &str, temporary: &Path) -> Output {
    Command::new(root().join("tests/run"))
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact"])
        .env("FABSTIR_SABOTAGE", how)
        .env("FABSTIR_MARK", format!("{how}:{test}:{}", std::process::id()))
        .env("TMPDIR", temporary)
        .env("FABSTIR_TEST_SECONDS", LIMIT)
        .output()
        .unwrap()
}

fn check(test: &str, how: &str) {
    let temporary = std::env::temp_dir().join(format!("fabstir-hygiene-{}", std::process::id()));
    std::fs::create_dir_all(&temporary).unwrap();
    let before = Surroundings::now(&temporary);
    let mut output = sabotaged(test, how, &temporary);
    if output.status.success() && how != "fail" {
        // It had ended before it had started anything.
        output = sabotaged(test, &format!("{how}-now"), &temporary);
    }
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let started_nothing = how == "fail" && text.contains("it started nothing that could fail");
    assert!(!output.status.success() || started_nothing, "{test} passes though it was to {how}: {text}");
    assert!(text.contains(test), "{test} is not named when it was to {how}: {text}");
    for how in [how.to_owned(), format!("{how}-now")] {
        let left = processes(&format!("{how}:{test}:{}", std::process::id()));
        assert!(left.is_empty(), "{test}, which was to {how}, leaves {left:?}");
    }
    assert_eq!(Surroundings::now(&temporary), before, "{test}, which was to {how}");
    std::fs::remove_dir_all(temporary).unwrap();
}

#[test]
fn a_test_that_is_killed_stands_still_or_fails_is_named_and_leaves_nothing() {
    let listed = lines(Command::new(std::env::current_exe().unwrap()).args(["--list", "--format=terse"]));
    let mut tests: Vec<&str> = listed.iter().filter_map(|line| line.strip_suffix(": test")).collect();
    // What `make` starts here ends by itself at once, so that it cannot be killed for certain.
    tests.retain(|test| !test.starts_with("hygiene::") && !test.starts_with("make::"));
    assert!(tests.len() > 200, "{} tests", tests.len());
    let wanted = std::env::var("FABSTIR_HYGIENE").unwrap_or_else(|_| "1".into());
    let seed = std::env::var("FABSTIR_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut dice = Dice::new(seed);
    let count = if wanted == "all" { tests.len() } else { wanted.parse().unwrap() };
    for _ in 0..count {
        let test = tests.remove(if wanted == "all" { 0 } else { dice.below(tests.len()) });
        for how in ["kill", "hang", "fail"] {
            println!("{test}: {how}");
            check(test, how);
        }
    }
}
