//! Faults that are planted in a copy of the tree, all of them at once, each asleep behind a switch: one build serves all.
//! Nothing of it is in the product's sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// The environment variable that says which one is awake, by its number.
pub const SWITCH: &str = "FABSTIR_FAULT";

/// What every crate has, so that each can ask.
const BASE: &str = "erc4337";

/// Something else than what stands there.
#[derive(Clone, Debug)]
pub struct Fault {
    /// For people.
    pub name: String,
    /// Below the tree's root.
    pub file: String,
    /// What stands there, once.
    pub old: String,
    /// What is to stand there; `FAULT` in it is true while this one is awake.
    pub new: String,
}

/// Reads blocks of a name in brackets, a file, what stands there, and as many lines of what is to.
pub fn parse(text: &str) -> Vec<Fault> {
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

/// Faults whose place is not to be found, or not only once, each with how often it is.
pub fn misplaced<'a>(root: &Path, faults: &'a [Fault]) -> Vec<(&'a str, usize)> {
    let count = |fault: &Fault| {
        let text = fs::read_to_string(root.join(&fault.file)).unwrap_or_default();
        text.matches(&fault.old).count()
    };
    let counted = faults.iter().map(|fault| (fault.name.as_str(), count(fault)));
    counted.filter(|(_, count)| *count != 1).collect()
}

/// A copy of the tree with faults in it.
#[derive(Debug)]
pub struct Planted {
    root: PathBuf,
    copy: PathBuf,
    target: PathBuf,
}

impl Planted {
    /// Copies what git has of the tree to a folder of `target/`, with all of these in it. Files that are as they are to be
    /// are left alone, so that only what has changed is built anew.
    pub fn new(root: &Path, name: &str, faults: &[Fault]) -> Self {
        let this = Self::empty(root, name);
        let misplaced = misplaced(root, faults);
        assert!(misplaced.is_empty(), "what is to be replaced stands there another number of times: {misplaced:?}");
        let mut changed = BTreeMap::new();
        for (number, fault) in faults.iter().enumerate() {
            let new = fault.new.replace("FAULT", &switch(&fault.file, number));
            let text = changed.entry(fault.file.clone()).or_insert_with(|| this.original(&fault.file));
            assert_eq!(text.matches(&fault.old).count(), 1, "{}: another fault has changed its place", fault.name);
            *text = text.replace(&fault.old, &new);
        }
        this.plant(changed);
        this
    }

    /// No copy yet: [`Self::plant`] makes it.
    pub fn empty(root: &Path, name: &str) -> Self {
        let (copy, target) = (root.join("target").join(name), root.join("target").join(format!("{name}-build")));
        Self { root: root.to_owned(), copy, target }
    }

    /// Makes the copy, in which these files have this text, which may ask for [`switch`]es.
    pub fn plant(&self, mut changed: BTreeMap<String, String>) {
        let base = format!("{BASE}/src/lib.rs");
        let text = changed.entry(base.clone()).or_insert_with(|| self.original(&base));
        text.push_str(&format!(
            "
/// Whether this fault is planted.
pub fn is_planted(number: usize) -> bool {{
    static PLANTED: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var({SWITCH:?}).ok()?.parse().ok());
    *PLANTED == Some(number)
}}
"
        ));
        self.write(changed);
    }

    /// Where the copy is.
    pub fn folder(&self) -> &Path {
        &self.copy
    }

    fn original(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).expect("a file of the tree")
    }

    fn write(&self, changed: BTreeMap<String, String>) {
        let mut list = Command::new("git");
        list.args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(&self.root);
        let listed = String::from_utf8(list.output().expect("git").stdout).expect("names");
        let listed: BTreeSet<&str> = listed.split('\0').filter(|name| self.root.join(name).is_file()).collect();
        for name in &listed {
            let to = self.copy.join(name);
            let bytes = match changed.get(*name) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(self.root.join(name)).expect("a file of the tree"),
            };
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::write(&to, bytes).expect("written");
            let permissions = fs::metadata(self.root.join(name)).expect("a file of the tree").permissions();
            fs::set_permissions(to, permissions).expect("a script stays one");
        }
        remove_others(&self.copy, &self.copy, &listed);
        for folder in ["contracts/node_modules", "contracts/out"] {
            if !self.copy.join(folder).exists() {
                symlink(self.root.join(folder), self.copy.join(folder)).expect("a link");
            }
        }
    }

    /// Builds with cargo, in a target folder of its own (cargo takes two copies of a workspace for one), to which the
    /// dependencies are taken over that the tree has built in `profile` (a folder of its `target/`). The executables.
    pub fn build(&self, profile: &str, arguments: &[&str]) -> Vec<(String, PathBuf)> {
        let (compiles, messages) = self.compile(profile, arguments);
        assert!(compiles, "the copy with its faults does not compile");
        let built = messages.iter().filter_map(|message| {
            let path = message["executable"].as_str().map(PathBuf::from)?;
            Some((message["target"]["name"].as_str()?.to_owned(), path))
        });
        built.collect()
    }

    /// The same; whether all of it compiles, and what cargo and the compiler say of it.
    pub fn compile(&self, profile: &str, arguments: &[&str]) -> (bool, Vec<Value>) {
        self.take_dependencies_over(profile);
        let output = Command::new("cargo")
            .args(arguments)
            .args(["--message-format", "json"])
            .envs([("CARGO_TARGET_DIR", self.target.as_path()), ("CARGO_INCREMENTAL", Path::new("0"))])
            .current_dir(&self.copy)
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo");
        let text = String::from_utf8(output.stdout).expect("text");
        let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        (output.status.success(), messages.collect())
    }

    fn take_dependencies_over(&self, profile: &str) {
        let (from, to) = (self.root.join("target").join(profile), self.target.join(profile));
        if to.exists() || !from.exists() {
            return;
        }
        fs::create_dir_all(&to).expect("a folder");
        for (how, folder) in [("-a", ".fingerprint"), ("-a", "build"), ("-al", "deps")] {
            let done = Command::new("cp").arg(how).arg(from.join(folder)).arg(&to).status();
            assert!(done.is_ok_and(|status| status.success()), "cp {how} {folder}");
        }
        // Ours are built anew.
        let ours = fs::read_dir(&self.copy).expect("the copy").flatten().filter(|entry| entry.path().is_dir());
        let names: Vec<String> = ours.map(|entry| entry.file_name().to_string_lossy().replace('-', "_")).collect();
        for folder in ["deps", ".fingerprint"] {
            for entry in fs::read_dir(to.join(folder)).expect("a folder").flatten() {
                let name = entry.file_name().to_string_lossy().replace('-', "_");
                let name = name.strip_prefix("lib").unwrap_or(&name);
                let own = |ours: &str| name.starts_with(&format!("{ours}_")) || name.starts_with(&format!("{ours}."));
                if names.iter().map(String::as_str).chain(["simulation", "seeds", "e2e"]).any(own) {
                    let path = entry.path();
                    let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                }
            }
        }
    }
}

/// What the tree does not have any more.
fn remove_others(copy: &Path, folder: &Path, listed: &BTreeSet<&str>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            remove_others(copy, &path, listed);
        } else if !listed.contains(path.strip_prefix(copy).unwrap_or(&path).to_string_lossy().as_ref()) {
            let _ = fs::remove_file(path);
        }
    }
}

/// What asks, in this file, whether the fault of this number is awake.
pub fn switch(file: &str, number: usize) -> String {
    let base = if file.starts_with(BASE) { "crate".to_owned() } else { format!("::{BASE}") };
    format!("{base}::is_planted({number})")
}

/// The program with this fault awake.
pub fn awake(program: &Path, number: usize) -> Command {
    let mut command = Command::new(program);
    command.env(SWITCH, number.to_string());
    command
}
