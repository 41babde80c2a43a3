//! Every target of the Makefile as the first command in a fresh clone.
//!
//! The recipes are the real ones. What they run is played by one stub, which is there only once the recipe has installed
//! it, and fails where the real program would miss something (`make/stub.sh`). So a target that uses a program, a folder
//! or a variable before it exists fails here in a second, and not in a newcomer's tenth minute.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tests::stack::root;

/// What recipes may take for granted, and what they look for before they install it.
const PROGRAMS: [&str; 11] =
    ["cargo", "npm", "node", "python3", "redis-server", "openssl", "promtool", "chromium", "mdbook", "sudo", "apt-get"];

/// Without programs that have to be installed from Debian.
const BARE: [&str; 6] = ["cargo", "npm", "node", "python3", "sudo", "apt-get"];

/// A clone that nothing was ever done in.
struct Fresh {
    folder: PathBuf,
}

impl Fresh {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fabstir-make-{}-{name}", std::process::id()));
        let files = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
        for file in files.stdout.split(|byte| *byte == 0).filter(|file| !file.is_empty()) {
            let file = Path::new(std::str::from_utf8(file).unwrap());
            let (from, to) = (root().join(file), folder.join("clone").join(file));
            // Deleted here, and not committed yet.
            if from.exists() {
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(from, to).unwrap();
            }
        }
        Self { folder }
    }

    /// Runs `make` with these programs in place of the real ones.
    fn make(&self, arguments: &[&str], programs: &[&str]) -> Output {
        let (stub, bin) = (self.folder.join("stub.sh"), self.folder.join("bin"));
        std::fs::copy(root().join("tests/e2e/make/stub.sh"), &stub).unwrap();
        std::fs::create_dir_all(&bin).unwrap();
        programs.iter().for_each(|program| symlink(&stub, bin.join(program)).unwrap());
        // Nothing of this machine but what every machine has: shell, make, git and the like.
        for tool in TOOLS {
            let real = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            symlink(real.into_iter().find(|path| path.exists()).unwrap(), bin.join(tool)).unwrap();
        }
        Command::new("make")
            .args(arguments)
            .current_dir(self.folder.join("clone"))
            .env_clear()
            .env("PATH", &bin)
            .env("HOME", &self.folder)
            .env("STUB_SELF", &stub)
            .env("STUB_LOG", self.folder.join("log"))
            .output()
            .unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a machine has that has make at all.
const TOOLS: [&str; 25] = [
    "bash", "sh", "env", "make", "find", "sed", "grep", "cmp", "cat", "cp", "ln", "ls", "mkdir", "touch", "rm",
    "dirname", "basename", "realpath", "id", "wc", "sleep", "true", "tr", "head", "sort",
];

/// The names under `.PHONY`, which is where the Makefile says what can be asked of it.
fn targets() -> Vec<String> {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let line = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

fn assert_works(target: &str, output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "make {target}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn every_target_can_be_the_first_command() {
    let targets = targets();
    assert!(targets.len() > 30, "{targets:?}");
    for target in &targets {
        let fresh = Fresh::new(target);
        assert_works(target, &fresh.make(&[target], &PROGRAMS));
    }
}

/// What a target needs of Debian's packages it asks for, by name.
#[test]
fn what_is_missing_is_installed() {
    for (target, packages) in [
        ("redis", "redis-server openssl"),
        ("prometheus", "prometheus"),
        ("chromium", "chromium"),
        ("alerts", "prometheus"),
        ("test", "redis-server openssl"),
    ] {
        let fresh = Fresh::new(&format!("bare-{target}"));
        let output = fresh.make(&[target], &BARE);
        let log = fresh.log();
        assert!(log.lines().any(|line| line.contains("install") && line.ends_with(packages)), "{target}: {log}");
        // The stub installs nothing, so what needs promtool itself cannot go on; the others can.
        assert_eq!(output.status.success(), target != "alerts", "{target}");
    }
}

/// A variable that is set but empty is one that is not set.
#[test]
fn the_program_takes_an_empty_variable_for_unset() {
    let output = Command::new(tests::stack::fabstir())
        .args(["deploy", "--node-url", "http://127.0.0.1:1", "--paymaster-signer"])
        .arg("0x00000000000000000000000000000000000000aa")
        .env("FABSTIR_DEPLOYMENT", "")
        .env("FABSTIR_DEPLOYER_KEY", "")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("no key: give a key file, or set FABSTIR_DEPLOYER_KEY"), "{error}");
}

/// Without anvil the program says what to do.
#[test]
fn without_anvil_a_sentence_says_what_to_do() {
    let folder = std::env::temp_dir().join(format!("fabstir-no-anvil-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let dev = |anvil: &str| {
        let output = Command::new(tests::stack::fabstir())
            .arg("dev")
            .current_dir(&folder)
            .env("PATH", &folder)
            .env("FABSTIR_ANVIL", anvil)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(dev("").contains("anvil is not installed: run `make contracts`"), "{}", dev(""));
    assert!(dev("/nowhere/anvil").contains("no anvil at /nowhere/anvil"), "{}", dev("/nowhere/anvil"));
    std::fs::remove_dir_all(folder).unwrap();
}
