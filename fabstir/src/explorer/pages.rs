//! The page's files, which are compiled in; with those that it shares with the paymaster's console.

use axum::Router;
use paymaster::admin::pages::{self, CSS, File, HTML, JS};

macro_rules! files {
    ($($kind:ident $name:literal),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("files/", $name)))),*]
    };
}

const FILES: &[File] = files![
    HTML "index.html",
    CSS "explorer.css",
    JS "app.js",
    JS "rpc.js",
    JS "overview.js",
    JS "operation.js",
    JS "search.js",
    JS "values.js",
];

/// All pages under `/explorer/`.
pub(crate) fn router() -> Router {
    pages::serve("/explorer", FILES.iter().chain(pages::SHARED))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_asks_for_nothing_from_elsewhere() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/explorer/files");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let served: BTreeSet<_> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(served, names.collect());
        for (name, _, text) in FILES {
            assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
            assert!(!text.contains("innerHTML") && !text.contains("localStorage"), "{name}");
        }
    }
}
