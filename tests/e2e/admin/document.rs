//! The OpenAPI document, held against real answers.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::Value;

/// Asked for nowhere.
const NAME: &str = "http://document/";

/// Fails unless the document has this status for this request, and this body is what it says.
pub(super) fn assert_says(document: &Value, method: &Method, path: &str, status: u16, body: &Value) {
    let (verb, template) = route(document, method, path);
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    let mut pointer = format!("/paths/{}/{verb}/responses/{status}", escape(&template));
    let response = document.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is not in the document: {body}"));
    if let Some(shared) = response["$ref"].as_str() {
        shared.trim_start_matches('#').clone_into(&mut pointer);
    }
    let content = document.pointer(&pointer).unwrap()["content"].as_object().unwrap();
    let kind = content.keys().next().unwrap();
    if kind != "application/json" {
        return;
    }
    // As a part of the document, so that what it refers to is found. Braces are not for URLs.
    let place = format!("{pointer}/content/{}/schema", escape(kind)).replace('{', "%7B").replace('}', "%7D");
    let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
    compiler.add_resource(NAME, document.clone()).unwrap();
    let schema = compiler.compile(&format!("{NAME}#{place}"), &mut schemas).unwrap();
    if let Err(error) = schemas.validate(body, schema) {
        panic!("{verb} {path}, {status}: {error} in {body}");
    }
}

/// Of a request: method and path as they are in the document.
pub(super) fn route(document: &Value, method: &Method, path: &str) -> (String, String) {
    let parts: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    let fits = |template: &&String| {
        let of: Vec<&str> = template.split('/').collect();
        of.len() == parts.len() && of.iter().zip(&parts).all(|(of, part)| of == part || of.starts_with('{'))
    };
    let template = document["paths"].as_object().unwrap().keys().find(fits);
    (method.as_str().to_lowercase(), template.unwrap_or_else(|| panic!("{path} is not in the document")).clone())
}

/// All methods and paths of the document.
pub(super) fn routes(document: &Value) -> BTreeSet<(String, String)> {
    let of = |(path, item): (&String, &Value)| {
        let verbs = item.as_object().unwrap().keys().filter(|verb| *verb != "parameters");
        verbs.map(|verb| (verb.clone(), path.clone())).collect::<Vec<_>>()
    };
    document["paths"].as_object().unwrap().iter().flat_map(of).collect()
}
