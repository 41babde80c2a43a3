//! The table of client libraries and kinds of account in docs/clients.md: made by running all of them on one stack.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tests::{Stack, anvil::KEYS, stack::root};
use tokio::{process::Command, time::timeout};

/// The steps of each account, in the order of the table's columns.
const STEPS: [&str; 4] = ["create", "batch", "sponsor", "refuse"];

/// How long one client may take for all of its accounts. Alone on a core, none takes ten seconds.
const LONGEST: Duration = Duration::from_secs(240);

/// Clients that run at once.
const AT_ONCE: usize = 3;

/// What a client says of one step, as tests/clients/src/table.mjs has it.
#[derive(Debug, Deserialize)]
struct Line {
    client: String,
    account: String,
    step: String,
    /// Null where it cannot be tried.
    ok: Option<bool>,
    /// The sentence that says whose fault it is.
    why: Option<String>,
    /// What went wrong that was not foreseen.
    unexpected: Option<String>,
}

/// Approvals are sponsored by one policy, and nothing by the other.
fn policies(folder: &Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    write(
        "open.toml",
        "default = true\n[account]\nexisting = \"any\"\n[calls]\nunreadable = \"allow\"\n\
         [[call]]\nto = [\"@token\"]\nfunctions = [\"approve(address,uint256)\"]\n",
    );
    write(
        "closed.toml",
        "[account]\nexisting = \"any\"\n[[call]]\nto = [\"@node_registry\"]\nfunctions = [\"no()\"]\n",
    );
}

/// A stack with every kind of account deployed on its chain, and the client libraries' programs.
pub(crate) struct Clients {
    _stack: Stack,
    folder: PathBuf,
    world: Vec<(&'static str, OsString)>,
}

impl Clients {
    /// In a folder of this name.
    pub(crate) async fn start(name: &str, arguments: &[&str]) -> Self {
        let folder = tests::chain::own(name);
        let kept = folder.join("policies");
        policies(&kept);
        let arguments = [&["--forward-reads", "--policies", kept.to_str().unwrap()], arguments].concat();
        let stack = Stack::start(&arguments).await.unwrap();
        let (session, accounts) = (folder.join("dev.json"), folder.join("accounts.json"));
        let told = json!({
            "rpcUrl": stack.node.url, "nodeUrl": stack.anvil.url, "deployment": stack.deployment, "faucetKey": KEYS[3],
        });
        std::fs::write(&session, told.to_string()).unwrap();
        let world = vec![("FABSTIR_DEV", session.into()), ("FABSTIR_ACCOUNTS", accounts.into())];
        let this = Self { _stack: stack, folder, world };
        this.run(&source().join("accounts/deploy.mjs"), &[], LONGEST).await;
        this
    }

    /// What each client's program prints, in the order of their files' names.
    pub(crate) async fn all(&self, told: &[(&str, String)], longest: Duration) -> Vec<String> {
        let mut clients: Vec<_> =
            std::fs::read_dir(source().join("clients")).unwrap().map(|file| file.unwrap().path()).collect();
        clients.retain(|path| path.file_stem().is_some_and(|name| name != "common"));
        clients.sort();
        let runs = clients.iter().map(|program| self.run(program, told, longest));
        stream::iter(runs).buffered(AT_ONCE).collect().await
    }

    /// A program of tests/clients, with the files that tell it where everything is; what it prints.
    async fn run(&self, program: &Path, told: &[(&str, String)], longest: Duration) -> String {
        let mut command = Command::new("node");
        command.arg(program).envs(self.world.iter().map(|(name, value)| (name, value))).envs(told.iter().cloned());
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output =
            timeout(longest, running).await.unwrap_or_else(|_| panic!("{} did not end", program.display())).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", program.display());
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn source() -> PathBuf {
    root().join("tests/clients/src")
}

/// Every row, in the order in which the clients' files and their accounts are; every sentence once, numbered.
fn table(lines: &[Line]) -> String {
    let mut rows: Vec<(&str, &str, BTreeMap<&str, String>)> = Vec::new();
    let mut sentences: Vec<&str> = Vec::new();
    for line in lines {
        let note = line.why.as_deref().map(|why| {
            let known = sentences.iter().position(|sentence| *sentence == why);
            known.unwrap_or_else(|| {
                sentences.push(why);
                sentences.len() - 1
            }) + 1
        });
        let mark = match (line.ok, note) {
            (Some(true), None) => "✓".to_owned(),
            (Some(false), Some(note)) => format!("✗ {note}"),
            (None, Some(note)) => format!("– {note}"),
            _ => panic!("without a sentence: {line:?}"),
        };
        let row = rows.iter().position(|(client, account, _)| (*client, *account) == (&line.client, &line.account));
        let row = row.unwrap_or_else(|| {
            rows.push((&line.client, &line.account, BTreeMap::new()));
            rows.len() - 1
        });
        assert!(rows[row].2.insert(&line.step, mark).is_none(), "twice: {line:?}");
    }
    let mut text = format!("| client | account | {} |\n|{}\n", STEPS.join(" | "), "---|".repeat(2 + STEPS.len()));
    for (client, account, marks) in &rows {
        let cells = STEPS.map(|step| marks[step].clone());
        writeln!(text, "| {client} | {account} | {} |", cells.join(" | ")).unwrap();
    }
    text.push('\n');
    for (at, sentence) in sentences.iter().enumerate() {
        writeln!(text, "{}. {sentence}", at + 1).unwrap();
    }
    text
}

/// The page's text with what stands between its two marks replaced.
fn with_table(page: &str, table: &str) -> String {
    let (before, rest) = page.split_once("<!-- table -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of table -->").unwrap();
    format!("{before}<!-- table -->\n{table}<!-- end of table -->{after}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_clients_and_accounts_is_what_they_do() {
    let said = Clients::start("clients", &[]).await.all(&[], LONGEST).await;
    let lines: Vec<Line> =
        said.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let wrong: Vec<_> = lines.iter().filter(|line| line.unexpected.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let (of, kinds): (Vec<_>, Vec<_>) =
        lines.iter().map(|line| (&line.client, line.account.split(" v0").next())).unzip();
    let count = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.dedup();
        names.len()
    };
    assert!(count(of.into_iter().map(String::as_str).collect()) >= 12);
    assert!(count(kinds.into_iter().flatten().collect()) >= 10);

    let file = root().join("docs/clients.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let made = with_table(&page, &table(&lines));
    if std::env::var_os("FABSTIR_WRITE_DOCS").is_some() {
        std::fs::write(&file, &made).unwrap();
        return;
    }
    assert_eq!(page, made, "run make clients");
}
