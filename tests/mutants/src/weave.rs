//! Puts mutants into texts, each behind its switch, and finds them again by the compiler's lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    ops::RangeInclusive,
    path::Path,
};

use serde_json::Value;

use crate::{draw::Mutant, planted::switch, sites::SWITCH};

/// Files with mutants in them, and where each mutant is in its file.
#[derive(Debug, Default)]
pub(crate) struct Woven {
    pub(crate) texts: BTreeMap<String, String>,
    lines: BTreeMap<usize, RangeInclusive<usize>>,
}

/// Weaves all but `without` in; a mutant's number is its place in the draw.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn weave(root: &Path, drawn: &[Mutant], without: &BTreeSet<usize>) -> io::Result<Woven> {
    let mut files = BTreeMap::<&str, Vec<usize>>::new();
    for (number, mutant) in drawn.iter().enumerate().filter(|(number, _)| !without.contains(number)) {
        files.entry(&mutant.file).or_default().push(number);
    }
    let mut woven = Woven::default();
    for (file, mut numbers) in files {
        numbers.sort_by_key(|number| drawn[*number].site.range.start);
        let original = fs::read_to_string(root.join(file))?;
        let (mut text, mut at) = (String::new(), 0);
        for number in numbers {
            let site = &drawn[number].site;
            text += &original[at..site.range.start];
            let first = 1 + text.matches('\n').count();
            text += &site.text.replace(SWITCH, &switch(file, number));
            woven.lines.insert(number, first..=1 + text.matches('\n').count());
            at = site.range.end;
        }
        text += &original[at..];
        woven.texts.insert(file.to_owned(), text);
    }
    Ok(woven)
}

impl Woven {
    /// Mutants that the compiler refuses: by the place of each error, else by the places beside it, else all of its file.
    pub(crate) fn refused(&self, drawn: &[Mutant], messages: &[Value]) -> BTreeSet<usize> {
        let mut refused = BTreeSet::new();
        for message in messages.iter().map(|message| &message["message"]) {
            if message["level"] != "error" {
                continue;
            }
            let mut spans: Vec<&Value> = message["spans"].as_array().into_iter().flatten().collect();
            for child in message["children"].as_array().into_iter().flatten() {
                spans.extend(child["spans"].as_array().into_iter().flatten());
            }
            let (primary, others): (Vec<&Value>, Vec<&Value>) =
                spans.iter().copied().partition(|span| span["is_primary"] == true);
            let mut found: BTreeSet<usize> = primary.iter().flat_map(|span| self.at(drawn, span)).collect();
            if found.is_empty() {
                found = others.iter().flat_map(|span| self.at(drawn, span)).collect();
            }
            if found.is_empty() {
                let file = spans.first().and_then(|span| span["file_name"].as_str()).unwrap_or_default();
                found = self.lines.keys().copied().filter(|number| drawn[*number].file == file).collect();
            }
            refused.extend(found);
        }
        refused
    }

    fn at<'a>(&'a self, drawn: &'a [Mutant], span: &Value) -> impl Iterator<Item = usize> + use<'a> {
        let number = |name: &str| usize::try_from(span[name].as_u64().unwrap_or_default()).unwrap_or_default();
        let (first, last) = (number("line_start"), number("line_end"));
        let file = span["file_name"].as_str().unwrap_or_default().to_owned();
        self.lines
            .iter()
            .filter(move |(number, lines)| {
                drawn[**number].file == file && *lines.start() <= last && first <= *lines.end()
            })
            .map(|(number, _)| *number)
    }
}
