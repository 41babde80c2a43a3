//! The table holds every rule of the text, and every test that it names is there.

use std::{fs, path::Path};

use super::*;

/// The lines of one part of the list that is committed beside.
pub(in crate::rules) fn listed(part: &str) -> Vec<String> {
    let text = include_str!("../text/erc-7562.txt");
    let lines = text.lines().skip_while(|line| *line != part).skip(1);
    lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_rule_of_the_text_is_in_the_table_and_no_other() {
    let text = listed("# Rules");
    assert!(text.len() >= 69);
    let ids: Vec<&str> = text.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    let table: Vec<&str> = TABLE.iter().map(|row| row.id).collect();
    assert_eq!(table, ids);
    for (line, row) in text.iter().zip(TABLE) {
        let gone = line.contains(' ');
        assert!(!gone || matches!(row.held, Held::Not { .. }), "{line}: no rule of the text any more");
    }
}

#[test]
fn every_rule_that_a_validation_can_break_is_in_the_table() {
    for rule in Rule::ALL {
        assert!(TABLE.iter().any(|row| row.rule() == Some(*rule)), "{rule}");
    }
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        // The oracle's own tests show nothing of what is judged here.
        if path.is_dir() && !path.ends_with("e2e/oracle") {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("rules/table.rs") {
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
}

fn below(folders: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    folders.iter().for_each(|folder| sources(&root.join(folder), &mut found));
    found
}

/// Names of the functions that are tests.
fn names_of_tests(source: &str) -> impl Iterator<Item = &str> {
    let after = source.split("\n").scan(false, |is_test, line| {
        let line = line.trim();
        let name = line.split_once("fn ").filter(|_| *is_test).and_then(|(_, rest)| rest.split('(').next());
        *is_test = line == "#[test]" || line.starts_with("#[tokio::test") || *is_test && line.starts_with('#');
        Some(name)
    });
    after.flatten()
}

/// What stands in quotation marks: names of the matrix's cases among it.
fn texts(source: &str) -> impl Iterator<Item = &str> {
    source.lines().flat_map(|line| line.split('"').skip(1).step_by(2))
}

#[test]
fn every_rule_has_a_test_that_keeps_it_and_one_that_breaks_it_and_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tests = below(&["bundler/src", "erc4337/src", "erc4337/tests", "tests/e2e"]);
    let tests: Vec<&str> = tests.iter().flat_map(|source| names_of_tests(source)).collect();
    let matrix = below(&["tests/src/programs"]);
    let matrix: Vec<&str> = matrix.iter().flat_map(|source| texts(source)).collect();
    assert!(tests.len() > 500 && matrix.len() > 100, "{} tests, {} of the matrix", tests.len(), matrix.len());
    let page = fs::read_to_string(root.join("docs/erc-7562.md")).unwrap();
    for row in TABLE {
        assert!(page.contains(row.id), "{}: docs/erc-7562.md says nothing of it", row.id);
        let Held::Judged { tests: wanted, .. } = row.held else { continue };
        for test in wanted {
            let is_there = tests.iter().chain(&matrix).any(|name| name.contains(test));
            assert!(is_there, "{}: there is no test {test}", row.id);
        }
    }
}

/// Rules that are judged of each validation by itself: the matrix is run without the judge of each of them, and its
/// lawful twins hold it from the other side. Programs are the matrix's too that use what these allow.
fn is_of_the_matrix(row: &Row) -> bool {
    let allows = ["OP-032", "OP-042", "OP-051", "OP-052", "OP-053", "OP-055", "OP-070"];
    let mut allows = allows.iter().chain(&["EREP-060", "EREP-061", "STO-010", "STO-021"]);
    row.rule().is_some_and(|rule| rule != Rule::Op062) || allows.any(|id| *id == row.id)
}

#[test]
fn of_every_other_rule_the_judge_is_disabled_and_made_too_strict_by_a_planted_fault() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let faults = fs::read_to_string(root.join("tests/simulation/judges.txt")).unwrap();
    for row in TABLE.iter().filter(|row| matches!(row.held, Held::Judged { .. }) && !is_of_the_matrix(row)) {
        let planted = faults.lines().filter(|line| line.starts_with(&format!("[{} ", row.id))).count();
        assert!(planted >= 2, "{}: {planted} faults in tests/simulation/judges.txt", row.id);
    }
}
