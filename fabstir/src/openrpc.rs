//! The endpoint described by itself: `rpc.discover` answers with an OpenRPC document of the methods that are served.
//!
//! The descriptions are in `openrpc.json`. A test calls every method and holds its answer against them; `docs/rpc.md` is
//! made from them.

use std::{collections::BTreeSet, fmt::Write};

use anyhow::{Context, Result, bail};
use jsonrpsee::RpcModule;
use serde_json::{Value, json};

const METHOD: &str = "rpc.discover";
const DESCRIBED: &str = include_str!("openrpc.json");

/// Everything that is described, served or not.
///
/// # Errors
/// Never, unless the program was built from a document that is no JSON.
pub fn whole() -> Result<Value> {
    serde_json::from_str(DESCRIBED).context("openrpc.json")
}

/// Adds `rpc.discover`, about what the module has by now.
///
/// # Errors
/// If the document cannot be read, or a method is not in it.
pub fn register(module: &mut RpcModule<()>) -> Result<()> {
    let mut served: BTreeSet<String> = module.method_names().map(str::to_owned).collect();
    served.insert(METHOD.to_owned());
    let mut document = whole()?;
    if let Some(methods) = document["methods"].as_array_mut() {
        methods.retain(|method| method["name"].as_str().is_some_and(|name| served.contains(name)));
        let described: BTreeSet<&str> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
        if let Some(name) = served.iter().find(|name| !described.contains(name.as_str())) {
            bail!("{name} is served, and openrpc.json has nothing about it");
        }
    }
    module.register_method(METHOD, move |_, _, _| document.clone())?;
    Ok(())
}

/// The reference page that is made from a document.
pub fn to_markdown(document: &Value) -> String {
    let mut page = String::from(
        "# RPC reference\n\nMade from the OpenRPC document that a node serves as `rpc.discover`; `make reference` makes it \
         anew. Parameters are\ngiven by position; those with `?` may be left out.\n",
    );
    let empty = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&empty).clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let methods = list(&document["methods"]);
    let mut tags: Vec<String> = Vec::new();
    for method in &methods {
        let tag = text(&method["tags"][0]["name"]);
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    for tag in tags {
        let _ = write!(page, "\n## Methods: {tag}\n");
        for method in methods.iter().filter(|method| method["tags"][0]["name"] == json!(tag)) {
            let _ = write!(page, "\n### `{}`\n\n{}\n", text(&method["name"]), text(&method["summary"]));
            let more = text(&method["description"]);
            if !more.is_empty() {
                let _ = writeln!(page, "{more}");
            }
            page.push('\n');
            for param in list(&method["params"]) {
                let mark = if param["required"] == json!(false) { "?" } else { "" };
                let _ = write!(page, "- `{}{mark}`: {}", text(&param["name"]), kind(&param["schema"]));
                let more = text(&param["description"]);
                let _ = if more.is_empty() { writeln!(page) } else { writeln!(page, ". {more}") };
            }
            let _ = writeln!(page, "- answer: {}", kind(&method["result"]["schema"]));
            for error in list(&method["errors"]) {
                let _ = writeln!(page, "- error {}: {}", error["code"], text(&error["message"]));
            }
        }
    }
    page.push_str("\n## Types\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = writeln!(page, "\n### {name}\n\n{}", [text(&schema["description"]), kind(schema)].join(" ").trim());
    }
    page
}

/// A schema in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(list) = schema[several].as_array() {
            return list.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(list) = schema["enum"].as_array() {
        return list
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("`{word}`");
    }
    if let Some(types) = schema["type"].as_array() {
        return types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let fields: Vec<_> = schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, of)| {
                    let mark = if required.contains(&json!(name)) { "" } else { "?" };
                    format!("`{name}{mark}`: {}", kind(of))
                })
                .collect();
            if fields.is_empty() { "object".into() } else { format!("object of {}", fields.join("; ")) }
        }
        Some("string") if schema["pattern"].is_string() => {
            format!("string `{}`", schema["pattern"].as_str().unwrap_or_default())
        }
        Some(name) => name.to_owned(),
        None => "anything".into(),
    }
}
