//! The web console: pages that are compiled in and ask the admin API, with the key that the operator types.
//!
//! The key stays in the page's tab. Nothing is loaded from elsewhere, and nothing runs that is not in these files.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Redirect},
    routing::get,
};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path under `/console/`, type and text of a file.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($kind:ident $name:literal),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("files/", $name)))),*]
    };
}

const FILES: &[File] = files![
    HTML "index.html",
    SVG "icon.svg",
    CSS "base.css",
    CSS "parts.css",
    JS "app.js",
    JS "api.js",
    JS "chart.js",
    JS "dom.js",
    JS "editor.js",
    JS "format.js",
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

/// Nothing from elsewhere, nothing inline, no frames, and no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // Another binary has other files under the same names.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// All pages under `/console/`.
pub(super) fn router() -> Router {
    let to_console = || async { Redirect::temporary("/console/") };
    let mut router = Router::new().route("/", get(to_console)).route("/console", get(to_console));
    for (name, kind, text) in FILES {
        let file = move || async move { (HEADERS, [(header::CONTENT_TYPE, *kind)], *text).into_response() };
        let path = format!("/console/{}", if *name == "index.html" { "" } else { name });
        router = router.route(&path, get(file));
    }
    router
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
        let served: BTreeSet<_> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(served, there);
        for (name, _, text) in FILES {
            // Names of XML's namespaces are no addresses.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
            assert!(!text.contains("innerHTML") && !text.contains("localStorage"), "{name}");
        }
    }
}
