//! How many small faults in the product's Rust the tests notice: `make mutants-rust`, `docs/mutants.md`.
//!
//! ```text
//!  folders ──► sites ──► draw ──► weave ──► one build ──► judge, one mutant at a time ──► report
//! ```
//!
//! - `FABSTIR_MUTANTS=120` how many, drawn with `FABSTIR_SEED=1`.
//! - `FABSTIR_ONLY=3,17` only these numbers of the draw; `FABSTIR_FOLDER=journal` draws from those folders alone.
//! - `FABSTIR_CHEAP=1` without end-to-end tests; `FABSTIR_LIST=1` only draws, and says what.

mod draw;
mod folders;
mod judge;
#[path = "../../simulation/src/planted.rs"]
#[allow(dead_code, unreachable_pub, clippy::expect_used, reason = "shared with faults that are planted by hand")]
mod planted;
mod programs;
mod report;
mod sites;
mod weave;

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use draw::Mutant;
use folders::Judge;
use judge::{Court, Outcome};
use report::{Verdict, told};

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().map_err(|error| error.to_string())?;
    let (seed, count) = (variable("FABSTIR_SEED").unwrap_or(1), variable("FABSTIR_MUTANTS").unwrap_or(120));
    let only: Option<Vec<usize>> = variable::<String>("FABSTIR_ONLY")
        .map(|list| list.split(',').filter_map(|it| it.trim().parse().ok()).collect());
    let folder: String = variable("FABSTIR_FOLDER").unwrap_or_default();
    let cheap = variable::<u8>("FABSTIR_CHEAP").is_some();
    // More than are wanted: some do not compile.
    let drawn = draw::draw(&root, seed, count + count / 2 + 8, &folder).map_err(|error| error.to_string())?;
    if variable::<u8>("FABSTIR_LIST").is_some() {
        drawn.iter().enumerate().for_each(|(number, mutant)| println!("{}", told(number, mutant)));
        return Ok(true);
    }
    let began = Instant::now();
    let (programs, refused) = programs::build(&root, &drawn).map_err(|error| error.to_string())?;
    let chosen: Vec<(usize, &Mutant)> =
        drawn.iter().enumerate().filter(|(number, _)| !refused.contains(number)).take(count).collect();
    println!(
        "seed {seed}: {} mutants, built in {} s; {} more do not compile",
        chosen.len(),
        began.elapsed().as_secs(),
        refused.len()
    );
    let mut court = Court::new(programs, judge::scratch(&root));
    let mut verdicts = Vec::new();
    for (number, mutant) in chosen {
        if only.as_ref().is_some_and(|only| !only.contains(&number)) {
            continue;
        }
        let verdict = verdict(&mut court, number, mutant, cheap)?;
        println!("{}: {verdict}", told(number, mutant));
        verdicts.push((number, mutant, verdict));
    }
    let _ = std::fs::remove_dir_all(judge::scratch(&root));
    Ok(report::print(seed, &verdicts, began.elapsed()))
}

fn verdict(court: &mut Court, number: usize, mutant: &Mutant, cheap: bool) -> Result<Verdict, String> {
    let began = Instant::now();
    let took = |began: Instant| Duration::from_secs(began.elapsed().as_secs());
    for judge in mutant.folder.judges {
        if cheap && matches!(judge, Judge::EndToEnd(_)) {
            continue;
        }
        match court.ask(*judge, number)? {
            Outcome::Passed => {}
            Outcome::Failed(test) => return Ok(Verdict::Killed { judge: *judge, test, took: took(began) }),
            Outcome::Hung => return Ok(Verdict::Killed { judge: *judge, test: "its time".into(), took: took(began) }),
        }
    }
    Ok(Verdict::Survived { took: took(began) })
}
