//! The web console: pages that are compiled in and ask the admin API, with the key that the operator types.
//!
//! The key stays in the page's tab. Nothing is loaded from elsewhere, and nothing runs that is not in these files.

use axum::{Router, response::Redirect, routing::get};

use super::pages::{self, File, HTML, JS};

macro_rules! files {
    ($($kind:ident $name:literal),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("files/", $name)))),*]
    };
}

const FILES: &[File] = files![
    HTML "index.html",
    JS "app.js",
    JS "api.js",
    JS "chart.js",
    JS "editor.js",
    JS "session.js",
    JS "views/audit.js",
    JS "views/budgets.js",
    JS "views/decisions.js",
    JS "views/dryRun.js",
    JS "views/funds.js",
    JS "views/login.js",
    JS "views/overview.js",
    JS "views/policies.js",
    JS "views/policy.js",
    JS "views/usage.js",
];

/// All pages under `/console/`.
pub(super) fn router() -> Router {
    let to_console = || async { Redirect::temporary("/console/") };
    Router::new().route("/", get(to_console)).merge(pages::serve("/console", FILES.iter().chain(pages::SHARED)))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_asks_for_nothing_from_elsewhere() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/console/files");
        let mut there = BTreeSet::new();
        for inner in ["", "views"] {
            for entry in std::fs::read_dir(folder.join(inner)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    there.insert(path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let all = || FILES.iter().chain(pages::SHARED);
        let served: BTreeSet<_> = all().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(served, there);
        for (name, _, text) in all() {
            // Names of XML's namespaces are no addresses.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
            assert!(!text.contains("innerHTML") && !text.contains("localStorage"), "{name}");
        }
    }
}
