//! Which of all that could be: from each folder in turn, of each kind alike. What orders effects, or swallows an error, is
//! rarer in the text than a number, and matters no less.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    ops::Range,
    path::Path,
};

use crate::{
    folders::{FOLDERS, Folder},
    sites::{self, Site},
};

/// A site of one of the folders.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    pub(crate) folder: &'static Folder,
    pub(crate) file: String,
    pub(crate) site: Site,
}

/// SplitMix64: a draw is to be the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap_or_default()
    }
}

/// Draws `count`, folder by folder, none of which stands within another.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn draw(root: &Path, seed: u64, count: usize, only: &str) -> io::Result<Vec<Mutant>> {
    let mut dice = Dice(seed);
    let mut queues = Vec::new();
    for folder in FOLDERS.iter().filter(|folder| folder.name.contains(only)) {
        queues.push(shuffled(&mut dice, all(root, folder)?));
    }
    let (mut drawn, mut taken) = (Vec::new(), BTreeMap::<String, Vec<Range<usize>>>::new());
    while drawn.len() < count && queues.iter().any(|queue| !queue.is_empty()) {
        for queue in &mut queues {
            while let Some(mutant) = queue.pop_front() {
                let ranges = taken.entry(mutant.file.clone()).or_default();
                let range = &mutant.site.range;
                if ranges.iter().all(|other| other.end < range.start || range.end < other.start) {
                    ranges.push(range.clone());
                    drawn.push(mutant);
                    break;
                }
            }
        }
    }
    drawn.truncate(count);
    Ok(drawn)
}

/// All that a folder has, of each kind in turn.
fn shuffled(dice: &mut Dice, mutants: Vec<Mutant>) -> VecDeque<Mutant> {
    let mut kinds = BTreeMap::<&str, Vec<Mutant>>::new();
    for mutant in mutants {
        kinds.entry(mutant.site.kind).or_default().push(mutant);
    }
    let mut queue = VecDeque::new();
    while !kinds.is_empty() {
        let index = dice.below(kinds.len());
        let Some((kind, of_kind)) = kinds.iter_mut().nth(index) else { break };
        queue.push_back(of_kind.swap_remove(dice.below(of_kind.len())));
        let (kind, empty) = (*kind, of_kind.is_empty());
        if empty {
            kinds.remove(kind);
        }
    }
    queue
}

fn all(root: &Path, folder: &'static Folder) -> io::Result<Vec<Mutant>> {
    let mut files = Vec::new();
    for path in folder.paths {
        collect(root, path, &mut files)?;
    }
    files.sort();
    let mut mutants = Vec::new();
    for file in files {
        let sites = sites::of(&fs::read_to_string(root.join(&file))?).map_err(io::Error::other)?;
        mutants.extend(sites.into_iter().map(|site| Mutant { folder, file: file.clone(), site }));
    }
    Ok(mutants)
}

/// Sources, without tests.
fn collect(root: &Path, path: &str, files: &mut Vec<String>) -> io::Result<()> {
    let full = root.join(path);
    let name = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if full.is_dir() {
        if name != "tests" {
            for entry in fs::read_dir(&full)? {
                collect(root, &format!("{path}/{}", entry?.file_name().to_string_lossy()), files)?;
            }
        }
    } else if name.ends_with(".rs") && name != "tests.rs" {
        files.push(path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn a_seed_draws_the_same_and_from_every_folder() {
        let [one, two] = [7, 7].map(|seed| draw(root(), seed, 64, "").unwrap());
        let places = |drawn: &[Mutant]| {
            drawn.iter().map(|mutant| (mutant.file.clone(), mutant.site.range.clone())).collect::<Vec<_>>()
        };
        assert_eq!(places(&one), places(&two));
        assert_ne!(places(&one), places(&draw(root(), 8, 64, "").unwrap()));
        for folder in &FOLDERS {
            assert_eq!(one.iter().filter(|mutant| mutant.folder.name == folder.name).count(), 4, "{}", folder.name);
        }
    }
}
