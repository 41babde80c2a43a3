//! Runs tests with one mutant awake, until the first that notices it.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    folders::Judge,
    planted::SWITCH,
    programs::{Program, Programs},
};

/// A run may take so long, and as many times what it takes without a mutant.
const PATIENCE: Duration = Duration::from_secs(30);
const TIMES: u32 = 6;
/// When nobody knows yet how long it takes.
const FIRST: Duration = Duration::from_secs(1_200);
/// KiB of addresses that a process may have: a mutant may take without end.
const MEMORY: u32 = 8 << 20;

/// How a run of tests ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// By this test.
    Failed(String),
    Hung,
}

/// The programs, and what is known of their runs without mutants.
#[derive(Debug)]
pub(crate) struct Court {
    programs: Programs,
    /// What tests leave behind goes here, and with it.
    scratch: PathBuf,
    usual: BTreeMap<Judge, Duration>,
}

/// How a judge is asked.
struct Asked<'a> {
    program: &'a Program,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Court {
    pub(crate) fn new(programs: Programs, scratch: PathBuf) -> Self {
        Self { programs, scratch, usual: BTreeMap::new() }
    }

    /// Whether a judge notices this mutant, and by which test.
    ///
    /// # Errors
    /// If it fails without any mutant, or there is no such program.
    pub(crate) fn ask(&mut self, judge: Judge, mutant: usize) -> Result<Outcome, String> {
        let usual = self.usual(judge)?;
        let limit = PATIENCE + usual * TIMES;
        // What has one history needs to fail only once; another test has to fail twice.
        let sure = matches!(judge, Judge::Units(..) | Judge::Tests(..));
        for _ in 0..2 {
            let outcome = self.run(judge, Some(mutant), limit, None)?;
            let Outcome::Failed(test) = &outcome else { return Ok(outcome) };
            if sure || self.run(judge, Some(mutant), limit, Some(test))? != Outcome::Passed {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Passed)
    }

    fn usual(&mut self, judge: Judge) -> Result<Duration, String> {
        if let Some(usual) = self.usual.get(&judge) {
            return Ok(*usual);
        }
        for attempt in 1..=3 {
            let began = Instant::now();
            let outcome = self.run(judge, None, FIRST, None)?;
            if outcome == Outcome::Passed {
                println!("without a mutant {judge:?} passes in {:.1} s", began.elapsed().as_secs_f64());
                self.usual.insert(judge, began.elapsed());
                return Ok(began.elapsed());
            }
            println!("without a mutant {judge:?}, for the {attempt}. time: {outcome:?}");
        }
        Err(format!("{judge:?} does not pass without a mutant"))
    }

    fn run(&self, judge: Judge, mutant: Option<usize>, limit: Duration, test: Option<&str>) -> Result<Outcome, String> {
        let Asked { program, arguments, variables } = self.command(judge, test)?;
        for folder in ["home", "tmp"] {
            let folder = self.scratch.join(folder);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")])
            .arg(&program.path)
            .args(arguments)
            .envs(variables)
            .env("HOME", self.scratch.join("home"))
            .env("TMPDIR", self.scratch.join("tmp"))
            .env_remove(SWITCH)
            .current_dir(&program.folder);
        if let Some(number) = mutant {
            command.env(SWITCH, number.to_string());
        }
        Ok(watch(command, limit))
    }

    fn command(&self, judge: Judge, test: Option<&str>) -> Result<Asked<'_>, String> {
        let key =
            |kind: &str, package: &str, name: &str| (kind.into(), package.replace('-', "_"), name.replace('-', "_"));
        let (key, filter) = match judge {
            Judge::Units(package, filter) => (key("lib", package, package), filter),
            Judge::Tests(package, name) => (key("test", package, name), ""),
            Judge::Seeds(_) => (key("test", "simulation", "seeds"), "no_seed"),
            Judge::EndToEnd(filter) => (key("test", "tests", "e2e"), filter),
        };
        let program = self.programs.get(&key).ok_or_else(|| format!("no test program {key:?}"))?;
        let mut arguments = match test {
            Some(test) if !matches!(judge, Judge::Seeds(_)) => vec![test.to_owned(), "--exact".into()],
            _ => vec![filter.to_owned()],
        };
        let mut variables = Vec::new();
        if let Judge::Seeds(count) = judge {
            arguments.push("--nocapture".into());
            variables.extend([("FABSTIR_FIRST", "1".to_owned()), ("FABSTIR_CLUSTERS", "1".into())]);
            let (first, count) = test.map_or(("1".to_owned(), count), |seed| (seed.to_owned(), 1));
            variables.extend([("FABSTIR_SEED", first), ("FABSTIR_SEEDS", count.to_string())]);
        }
        Ok(Asked { program, arguments, variables })
    }
}

/// Runs it in a group of its own, which ends with the first test that fails, or at this limit.
fn watch(mut command: Command, limit: Duration) -> Outcome {
    let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return Outcome::Failed("it does not start".into()) };
    let (told, lines) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if told.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
    }
    let end = Instant::now() + limit;
    let early = loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(test) = failed(&line) {
                    break Some(Outcome::Failed(test.to_owned()));
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some(Outcome::Hung),
            // Its output may end before it does.
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if early.is_none() && Instant::now() < end => thread::sleep(Duration::from_millis(20)),
            _ => break None,
        }
    };
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let _ = child.wait();
    match (early, status) {
        (Some(outcome), _) => outcome,
        (None, Some(status)) if status.success() => Outcome::Passed,
        (None, Some(_)) => Outcome::Failed("the run broke off".into()),
        (None, None) => Outcome::Hung,
    }
}

/// The test, or the seed, that this line says has failed.
fn failed(line: &str) -> Option<&str> {
    match line.strip_prefix("seed ") {
        Some(rest) => rest.contains(" violations, the first").then(|| rest.split(':').next())?,
        None => line.strip_prefix("test ")?.strip_suffix(" ... FAILED"),
    }
}

/// What is beside the copy of the tree.
pub(crate) fn scratch(root: &Path) -> PathBuf {
    root.join("target/mutants-scratch")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: u64) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        watch(command, Duration::from_secs(limit))
    }

    #[test]
    fn a_run_ends_with_the_first_failure_and_at_its_limit() {
        let failing = "echo test a::b ... ok; echo test a::c ... FAILED; sleep 1000";
        assert_eq!(shell(failing, 60), Outcome::Failed("a::c".into()));
        assert_eq!(shell("echo 'seed 17: 3 violations, the first: …'; sleep 1000", 60), Outcome::Failed("17".into()));
        assert_eq!(shell("sleep 1000", 1), Outcome::Hung);
        assert_eq!(shell("exec >&-; sleep 1000", 1), Outcome::Hung);
        assert_eq!(shell("exit 101", 60), Outcome::Failed("the run broke off".into()));
        assert_eq!(shell("true", 60), Outcome::Passed);
    }
}
