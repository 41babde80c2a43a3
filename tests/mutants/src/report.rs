//! What the tests came to, folder by folder.

use std::{fmt, time::Duration};

use crate::{
    draw::Mutant,
    folders::{FOLDERS, Judge},
};

/// Per cent of all, and of each folder, that have to be noticed.
const LEAST: usize = 90;
const LEAST_OF_EACH: usize = 85;

/// What became of a mutant.
#[derive(Debug)]
pub(crate) enum Verdict {
    Killed { judge: Judge, test: String, took: Duration },
    Survived { took: Duration },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed { judge, test, took } => write!(f, "killed by {test} ({judge:?}), {} s", took.as_secs()),
            Self::Survived { took } => write!(f, "SURVIVED, {} s", took.as_secs()),
        }
    }
}

/// A mutant on one line.
pub(crate) fn told(number: usize, mutant: &Mutant) -> String {
    format!("{number} {}:{} {}: {}", mutant.file, mutant.site.line, mutant.site.kind, mutant.site.told)
}

/// Prints the score and who survived; whether it is enough.
pub(crate) fn print(seed: u64, verdicts: &[(usize, &Mutant, Verdict)], took: Duration) -> bool {
    let killed = |verdict: &Verdict| matches!(verdict, Verdict::Killed { .. });
    let enough = |killed: usize, all: usize, least: usize| killed * 100 >= all * least;
    println!(
        "\nseed {seed}, {} s\n\n| folder | mutants | killed | of these by units and seeds |\n|---|---|---|---|",
        took.as_secs()
    );
    let mut good = true;
    for folder in &FOLDERS {
        let of: Vec<_> = verdicts.iter().filter(|(_, mutant, _)| mutant.folder.name == folder.name).collect();
        let count = of.iter().filter(|(_, _, verdict)| killed(verdict)).count();
        let cheap = of.iter().filter(
            |(_, _, verdict)| matches!(verdict, Verdict::Killed { judge, .. } if !matches!(judge, Judge::EndToEnd(_))),
        );
        if !of.is_empty() {
            println!("| {} | {} | {count} | {} |", folder.name, of.len(), cheap.count());
            good &= enough(count, of.len(), LEAST_OF_EACH);
        }
    }
    let count = verdicts.iter().filter(|(_, _, verdict)| killed(verdict)).count();
    println!("| **all** | {} | {count} | |\n", verdicts.len());
    for (number, mutant, _) in verdicts.iter().filter(|(_, _, verdict)| !killed(verdict)) {
        println!("survived: {}", told(*number, mutant));
    }
    good && enough(count, verdicts.len(), LEAST)
}
