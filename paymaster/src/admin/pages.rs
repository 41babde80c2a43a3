//! How a binary serves pages that are compiled in, and what all such pages have in common.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Redirect},
    routing::get,
};

/// Content type of a page.
pub const HTML: &str = "text/html; charset=utf-8";
/// Of a style sheet.
pub const CSS: &str = "text/css; charset=utf-8";
/// Of a script.
pub const JS: &str = "text/javascript; charset=utf-8";
/// Of a picture.
pub const SVG: &str = "image/svg+xml";

/// Path within the folder that is served, type and text of a file.
pub type File = (&'static str, &'static str, &'static str);

/// Looks and helpers that every such page uses.
pub const SHARED: &[File] = &[
    ("icon.svg", SVG, include_str!("console/files/icon.svg")),
    ("base.css", CSS, include_str!("console/files/base.css")),
    ("parts.css", CSS, include_str!("console/files/parts.css")),
    ("dom.js", JS, include_str!("console/files/dom.js")),
    ("format.js", JS, include_str!("console/files/format.js")),
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

/// These files under this path, which has no slash at its end; `index.html` is the folder itself.
pub fn serve<'a>(path: &'static str, files: impl Iterator<Item = &'a File>) -> Router {
    let folder = format!("{path}/");
    let to_folder = folder.clone();
    let mut router = Router::new().route(path, get(move || async move { Redirect::temporary(&to_folder) }));
    for (name, kind, text) in files.copied() {
        let file = move || async move { (HEADERS, [(header::CONTENT_TYPE, kind)], text).into_response() };
        let name = if name == "index.html" { "" } else { name };
        router = router.route(&format!("{folder}{name}"), get(file));
    }
    router
}
