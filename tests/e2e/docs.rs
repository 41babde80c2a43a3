//! The documentation: every block of the guides is run as it stands, every page is in the table of contents, every link
//! leads somewhere.

use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use tests::{
    Anvil,
    stack::{fabstir, root},
};
use tokio::process::Command;

/// A fenced block: its language and its text.
type Block = (String, String);

fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let code: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), code.join("\n") + "\n"));
        }
    }
    blocks
}

/// Files of this run; gone with this value.
struct Files(Vec<PathBuf>, PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        self.0.iter().for_each(|file| drop(std::fs::remove_file(file)));
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fabstir-docs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(Vec::new(), folder)
    }

    fn write(&mut self, file: PathBuf, text: &str) -> String {
        std::fs::write(&file, text).unwrap();
        let shown = file.display().to_string();
        self.0.push(file);
        shown
    }
}

/// One shell for all commands of a page, in order; programs in between where the page has them.
fn script(page: &str, files: &mut Files) -> String {
    let sdk = root().join("sdk");
    let mut script = String::from("set -euo pipefail\n");
    for (number, (language, code)) in blocks(page).into_iter().enumerate() {
        match language.as_str() {
            "ts" => {
                // Where the package's own name and viem are found.
                let name = format!(".guide-{}-{number}-{}.ts", page.replace(['/', '.'], "-"), std::process::id());
                let program = files.write(sdk.join(name), &code);
                writeln!(script, "'{}' '{program}'", sdk.join("node_modules/.bin/tsx").display()).unwrap();
            }
            "sh" => script.push_str(&code),
            // What is said, and Solidity, which `contracts/test/Docs` compiles.
            "text" | "solidity" => {}
            other => panic!("{page}: nothing runs a block of `{other}`"),
        }
    }
    script
}

fn path() -> String {
    let programs = fabstir().parent().unwrap().display().to_string();
    format!("{programs}:{}", std::env::var("PATH").unwrap())
}

/// Runs the pages' blocks while `fabstir dev` is up; what they printed.
async fn beside_dev(name: &str, pages: &[&str]) -> String {
    let mut files = Files::new(name);
    let mut run = format!("export PATH='{}'; cd '{}'", path(), files.1.display());
    for page in pages {
        let text = script(page, &mut files);
        let file = files.1.join(format!("{}.sh", page.replace('/', "-")));
        let file = files.write(file, &text);
        write!(run, " && bash '{file}'").unwrap();
    }
    let dev = Command::new(fabstir())
        .args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--once", "--run", &run, "--folder"])
        .arg(files.1.join("dev"))
        .current_dir(root())
        .env("FABSTIR_ANVIL", tests::anvil::program().unwrap())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(300), dev).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_commands_of_the_guides_run_as_they_stand() {
    let text = beside_dev("guides", &["guides/wallets.md", "guides/dapps.md", "guides/hosts.md"]).await;
    for said in
        ["sponsored by 0x", "refused: ", "done, without a word from the owner", "has its stake", "registered: host 0x"]
    {
        assert!(text.contains(said), "{said:?} is missing in:\n{text}");
    }
}

/// `make quickstart` itself builds everything, which a test cannot do within itself: what it runs then is run here.
#[tokio::test(flavor = "multi_thread")]
async fn the_quickstarts_program_sends_a_sponsored_operation() {
    let page = blocks("quickstart.md");
    let program = page.iter().find(|(language, _)| language == "ts").unwrap();
    assert_eq!(program.1, std::fs::read_to_string(root().join("sdk/examples/first.ts")).unwrap());
    let commands: Vec<_> = page.iter().filter(|(language, _)| language == "sh").collect();
    assert_eq!(commands, [&("sh".to_owned(), "make quickstart\n".to_owned())]);
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let rule = makefile.split("\nquickstart:").nth(1).unwrap().split("\n\n").next().unwrap();
    let runs = "./target/quick/fabstir dev --once --run 'cd $(SDK) && node_modules/.bin/tsx examples/first.ts'";
    assert!(rule.contains(runs), "{rule}");

    let mut files = Files::new("quickstart");
    let program = files.write(root().join(format!("sdk/.quickstart-{}.ts", std::process::id())), &program.1);
    let tsx = root().join("sdk/node_modules/.bin/tsx");
    let dev = Command::new(fabstir())
        .args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--once", "--folder"])
        .arg(files.1.join("dev"))
        .args(["--run", &format!("'{}' '{program}'", tsx.display())])
        .env("FABSTIR_ANVIL", tests::anvil::program().unwrap())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(180), dev).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let shown = page.iter().find(|(language, code)| language == "text" && code.starts_with("account ")).unwrap();
    for line in shown.1.lines() {
        let label = &line[..12];
        assert!(text.lines().any(|line| line.starts_with(label)), "{label:?} is missing in:\n{text}");
    }
    assert!(text.contains("its ether   0\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_commands_run_from_an_empty_chain_to_a_node_that_is_watched() {
    let anvil = Anvil::start().await.unwrap();
    let mut files = Files::new("operators");
    let text = script("guides/operators.md", &mut files);
    let output = Command::new("bash")
        .args(["-c", &text])
        .current_dir(&files.1)
        .env("NODE_URL", &anvil.url)
        .env("REPOSITORY", root())
        .env("PATH", path())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(300), output).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("2 of 2 verified") && text.contains("proposals: none is under way"), "{text}");

    let guide = std::fs::read_to_string(root().join("docs/guides/operators.md")).unwrap();
    for command in guide.lines().filter_map(|line| line.strip_prefix("| `fabstir ")?.split('`').next()) {
        let help = Command::new(fabstir()).args([command, "--help"]).output().await.unwrap();
        assert!(help.status.success(), "fabstir {command}");
    }
}

/// All pages below a folder, from `docs` on.
fn pages(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.insert(path.strip_prefix(root().join("docs")).unwrap().display().to_string());
        }
    }
}

fn links(text: &str) -> Vec<String> {
    text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()).map(str::to_owned).collect()
}

#[test]
fn every_page_is_in_the_contents_and_every_link_leads_somewhere() {
    let docs = root().join("docs");
    let mut found = BTreeSet::new();
    pages(&docs, &mut found);
    assert!(found.remove("SUMMARY.md"));
    let contents = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    assert_eq!(links(&contents).into_iter().collect::<BTreeSet<_>>(), found);

    for page in &found {
        let text = std::fs::read_to_string(docs.join(page)).unwrap();
        // Code is no prose: indexing and calls look like links there.
        let prose: String = text.split("```").step_by(2).collect();
        for link in links(&prose) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { docs.join(page) } else { docs.join(page).parent().unwrap().join(file) };
            assert!(target.exists(), "{page} links to {link}, which is not there");
            if !anchor.is_empty() && target.extension().is_some_and(|extension| extension == "md") {
                let target = std::fs::read_to_string(&target).unwrap();
                let anchors: Vec<_> = target.lines().filter(|line| line.starts_with('#')).map(anchor_of).collect();
                assert!(
                    anchors.iter().any(|it| it == anchor),
                    "{page} links to {link}: no such heading in {anchors:?}"
                );
            }
        }
    }
}

/// How a heading is linked to.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|it| it.is_alphanumeric() || "-_ ".contains(*it))
        .map(|it| if it == ' ' { '-' } else { it })
        .collect()
}
