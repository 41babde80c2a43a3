//! The build with every mutant in it, and what it has given.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{draw::Mutant, planted::Planted, weave::weave};

/// A test program, and where cargo would run it.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) folder: PathBuf,
}

/// By kind (`lib`, `test`), crate and name.
pub(crate) type Programs = BTreeMap<(String, String, String), Program>;

/// The program that end-to-end tests start, and what judges.
const STEPS: [&str; 2] = [
    "build --workspace --locked --keep-going",
    "test --workspace --locked --no-run --lib --test e2e --test seeds --test budgets --test contract --test wire \
     --test hash_vectors --test sponsorship",
];

/// Builds the tree with all of these in it but those that do not compile, which are told too.
///
/// # Errors
/// If a file cannot be read, or it does not compile for another reason.
pub(crate) fn build(root: &Path, drawn: &[Mutant]) -> io::Result<(Programs, BTreeSet<usize>)> {
    let tree = Planted::empty(root, "mutants");
    let (mut without, memory) = (BTreeSet::new(), root.join("target/mutants-refused"));
    let known = fs::read_to_string(&memory).unwrap_or_default();
    let keys: Vec<String> = drawn.iter().map(|mutant| key(root, mutant)).collect();
    without.extend((0..drawn.len()).filter(|number| known.lines().any(|line| line == keys[*number])));
    let mut programs = Programs::new();
    for step in STEPS {
        loop {
            let woven = weave(root, drawn, &without)?;
            tree.plant(woven.texts.clone());
            let (compiles, messages) = tree.compile("debug", &step.split_whitespace().collect::<Vec<_>>());
            if compiles {
                programs = executables(&messages);
                break;
            }
            let refused = woven.refused(drawn, &messages);
            if refused.is_empty() {
                return Err(io::Error::other(format!("it does not compile: {}", errors(&messages))));
            }
            println!("{} do not compile and are left out: {refused:?}", refused.len());
            without.extend(refused);
            // A second run need not find out again.
            let lines: Vec<&str> = without.iter().map(|number| keys[*number].as_str()).collect();
            fs::write(&memory, known.clone() + &lines.join("\n") + "\n")?;
        }
    }
    // The tests find the program beside them.
    let program = programs.values().next().and_then(|it| it.path.parent()?.parent().map(|it| it.join("fabstir")));
    match program {
        Some(path) if fs::exists(&path)? => Ok((programs, without)),
        _ => Err(io::Error::other("no program was built")),
    }
}

/// A mutant in its file as it is now.
fn key(root: &Path, mutant: &Mutant) -> String {
    let mut hasher = DefaultHasher::new();
    (&mutant.file, &mutant.site.range, &mutant.site.text).hash(&mut hasher);
    fs::read_to_string(root.join(&mutant.file)).unwrap_or_default().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn executables(messages: &[Value]) -> Programs {
    let name = |value: &Value| value.as_str().unwrap_or_default().replace('-', "_");
    let mut programs = Programs::new();
    for message in messages.iter().filter(|message| message["profile"]["test"] == true) {
        let Some(path) = message["executable"].as_str() else { continue };
        let Some(folder) = message["manifest_path"].as_str().and_then(|it| Path::new(it).parent()) else { continue };
        let package = folder.file_name().map(|it| it.to_string_lossy().replace('-', "_")).unwrap_or_default();
        let kind = name(&message["target"]["kind"][0]);
        let program = Program { path: path.into(), folder: folder.to_owned() };
        programs.insert((kind, package, name(&message["target"]["name"])), program);
    }
    programs
}

fn errors(messages: &[Value]) -> String {
    let rendered = messages.iter().filter(|message| message["message"]["level"] == "error");
    rendered.filter_map(|message| message["message"]["rendered"].as_str()).collect::<Vec<_>>().join("\n")
}
