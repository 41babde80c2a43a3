//! Policies from files, and again whenever these change.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{Policies, PolicySet};
use crate::policy::{Names, PolicyError, compile, is_json};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(500);

/// Where policies are read from.
#[derive(Clone, Debug)]
pub struct Source {
    /// A file, or a folder whose `*.toml` and `*.json` are one policy each.
    pub path: PathBuf,
    /// Addresses that they may call by name.
    pub names: Names,
}

/// What tells one version of a file from another.
type Stamp = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Source {
    /// Reads them all.
    ///
    /// # Errors
    /// The first file that cannot be used, and where in it.
    pub fn load(&self) -> Result<PolicySet, PolicyError> {
        let mut policies = Vec::new();
        for file in self.files()? {
            let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            let id = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            policies.push(compile(&text, id, &self.names).map_err(|error| error.in_file(&file))?);
        }
        if policies.is_empty() {
            return Err(PolicyError::whole("no *.toml or *.json is in it").in_file(&self.path));
        }
        PolicySet::new(policies).map_err(|error| error.in_file(&self.path))
    }

    /// The file of a policy, if there is one.
    pub fn file_of(&self, id: &str) -> Option<PathBuf> {
        let named = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).ok()?;
            let stem = file.file_stem()?.to_str()?;
            Some(compile(&text, stem, &self.names).ok()?.id == id)
        };
        self.files().unwrap_or_default().into_iter().find(|file| named(file) == Some(true))
    }

    /// Puts a policy's text where it belongs, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, id: &str, text: &str) -> std::io::Result<()> {
        let extension = if is_json(text) { "json" } else { "toml" };
        let old = self.file_of(id);
        let file = match &old {
            _ if !self.path.is_dir() => self.path.clone(),
            Some(old) => old.with_extension(extension),
            None => self.path.join(format!("{id}.{extension}")),
        };
        // Nobody reads it before it has its name.
        let fresh = file.with_extension("new");
        let mut to = File::create(&fresh)?;
        to.write_all(text.as_bytes())?;
        to.sync_all()?;
        std::fs::rename(&fresh, &file)?;
        match old {
            // Written in the other language until now.
            Some(old) if old != file => std::fs::remove_file(old),
            _ => Ok(()),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>, PolicyError> {
        if !self.path.is_dir() {
            return Ok(vec![self.path.clone()]);
        }
        let entries = std::fs::read_dir(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.extension().is_some_and(|extension| extension == "toml" || extension == "json") && path.is_file()
            })
            .collect();
        files.sort();
        Ok(files)
    }

    fn stamp(&self) -> Stamp {
        let files = self.files().unwrap_or_default();
        files
            .into_iter()
            .map(|file| {
                let found = std::fs::metadata(&file).ok();
                let changed = found.as_ref().and_then(|found| found.modified().ok());
                (file, changed, found.map_or(0, |found| found.len()))
            })
            .collect()
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> PolicyError {
    PolicyError::whole(error.to_string()).in_file(path)
}

/// Reads the files anew when they change, or when told to; what cannot be used leaves what is in force.
///
/// Must be called within a tokio runtime. Ends when aborted.
pub fn watch(source: Source, policies: Policies, mut now: mpsc::Receiver<()>) -> JoinHandle<()> {
    let mut seen = source.stamp();
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK);
        let mut told = true;
        loop {
            let asked = tokio::select! {
                asked = now.recv(), if told => {
                    told = asked.is_some();
                    told
                }
                _ = look.tick() => false,
            };
            let stamp = source.stamp();
            if stamp == seen && !asked {
                continue;
            }
            match source.load() {
                Ok(set) => {
                    let names: Vec<_> = set.iter().map(|policy| policy.id.as_str()).collect();
                    tracing::info!(policies = names.join(", "), "policies were read anew");
                    policies.replace(set);
                }
                Err(error) => tracing::error!("policies stay as they were: {error}"),
            }
            seen = stamp;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "[[call]]\nto = [\"0x0101010101010101010101010101010101010101\"]\n";

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("fabstir-policies-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn source(&self) -> Source {
            Source { path: self.0.clone(), names: Names::new() }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn each_toml_and_json_of_a_folder_is_a_policy_named_as_the_file_or_as_it_says() {
        let folder = Folder::new("load");
        assert!(folder.source().load().unwrap_err().message.contains("no *.toml or *.json"));
        std::fs::write(folder.0.join("a.toml"), CALL).unwrap();
        std::fs::write(folder.0.join("b.toml"), format!("id = \"other\"\n{CALL}")).unwrap();
        std::fs::write(folder.0.join("notes.txt"), "no policy").unwrap();
        let set = folder.source().load().unwrap();
        assert_eq!(set.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>(), ["a", "other"]);
        assert_eq!(folder.source().file_of("other"), Some(folder.0.join("b.toml")));
        assert_eq!(folder.source().file_of("new"), None);
        let json = r#"{ "id": "other", "call": [{ "to": ["0x0101010101010101010101010101010101010101"] }] }"#;
        folder.source().write("other", json).unwrap();
        folder.source().write("new", CALL).unwrap();
        let names = |set: PolicySet| set.iter().map(|policy| policy.id.clone()).collect::<Vec<_>>();
        assert_eq!(names(folder.source().load().unwrap()), ["a", "new", "other"]);
        assert!(folder.0.join("b.json").exists() && folder.0.join("new.toml").exists());
        assert!(!folder.0.join("b.toml").exists() && !folder.0.join("b.new").exists());
        std::fs::write(folder.0.join("c.toml"), "nonsense = 1\n").unwrap();
        let error = folder.source().load().unwrap_err();
        assert!(error.to_string().contains("c.toml:1:1: nonsense: "), "{error}");
    }

    #[tokio::test]
    async fn a_changed_file_is_read_and_a_bad_one_changes_nothing() {
        let folder = Folder::new("watch");
        let file = folder.0.join("a.toml");
        std::fs::write(&file, CALL).unwrap();
        let policies = Policies::new(folder.source().load().unwrap());
        let (tell, told) = mpsc::channel(1);
        let task = watch(folder.source(), policies.clone(), told);
        let description = async |wanted: &str| {
            for _ in 0..10_000 {
                if policies.current().get("a").unwrap().description == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("never {wanted}");
        };
        std::fs::write(&file, format!("description = \"second\"\n{CALL}")).unwrap();
        description("second").await;
        std::fs::write(&file, "description = 3").unwrap();
        tell.send(()).await.unwrap();
        // Taken in, and another look was had.
        tell.send(()).await.unwrap();
        tell.send(()).await.unwrap();
        description("second").await;
        std::fs::write(&file, format!("description = \"third\"\n{CALL}")).unwrap();
        description("third").await;
        task.abort();
    }
}
