//! JSON-RPC 2.0 over HTTP, where the server library stops short of it.
//!
//! The library reads ids that are strings, null or whole numbers from 0 to 2^64 - 1, and takes a request with any other
//! number for a notification, which it neither runs nor answers. It answers notifications, and takes a request whose
//! `params` are a string for one of a method that has none. Here such a request gets an id that the library reads, its
//! answer the caller's own id again, byte for byte; what is no request at all is answered as the specification says.

use std::{borrow::Cow, fmt::Write};

use axum::body::{Body, to_bytes};
use hyper::{Method, StatusCode, header};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, http};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// In place of what is no request: the library answers that it is none.
const NO_REQUEST: &str = "{}";

/// The members of a request, as they were written.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// `null` is there too.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// What becomes of one request.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// The library does it right.
    AsItIs,
    /// Nobody waits for an answer.
    Notification,
    /// The caller's id is put back into the answer.
    Renamed { id: String },
    /// It is no request; answered under this id.
    Invalid { id: String },
}

/// The requests of one body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    entries: Vec<Entry>,
    batch: bool,
}

impl Entry {
    /// How to treat this, and what the library is to read for it if that is not what the caller wrote.
    fn of(raw: &str, position: usize) -> (Self, Option<String>) {
        // What is no object, or has a member twice, the library refuses.
        let members = if raw.starts_with('{') { serde_json::from_str(raw).ok() } else { None };
        let Some(Members { jsonrpc, id, method, params }) = members else { return (Self::AsItIs, None) };
        let text = |value: Option<&RawValue>| value.map_or("", RawValue::get).to_owned();
        let structured = params.is_none_or(|params| params.get().starts_with(['[', '{', 'n']));
        let whole = jsonrpc.is_some_and(|version| version.get() == "\"2.0\"")
            && method.is_some_and(|name| name.get().starts_with('"'));
        match id.map(RawValue::get) {
            Some(other) if other.starts_with(['[', '{', 't', 'f']) => {
                (Self::Invalid { id: "null".into() }, Some(NO_REQUEST.into()))
            }
            id if !structured => (Self::Invalid { id: id.unwrap_or("null").to_owned() }, Some(NO_REQUEST.into())),
            None if whole => (Self::Notification, None),
            Some(id) if whole && !id.starts_with(['"', 'n']) && id.parse::<u64>().is_err() => {
                let mut request = format!("{{\"jsonrpc\":\"2.0\",\"id\":{position},\"method\":{}", text(method));
                if params.is_some() {
                    let _ = write!(request, ",\"params\":{}", text(params));
                }
                request.push('}');
                (Self::Renamed { id: id.to_owned() }, Some(request))
            }
            _ => (Self::AsItIs, None),
        }
    }
}

impl Envelope {
    /// Reads a body; what the library is to read instead. A body that is no JSON, or has more than `most` requests, is
    /// left to it.
    pub(super) fn open(body: &[u8], most: usize) -> (Self, Cow<'_, [u8]>) {
        let as_it_is = (Self::default(), Cow::Borrowed(body));
        let Ok(text) = std::str::from_utf8(body) else { return as_it_is };
        let batch = text.trim_start().starts_with('[');
        let requests: Result<Vec<&RawValue>, _> =
            if batch { serde_json::from_str(text) } else { serde_json::from_str(text).map(|request| vec![request]) };
        let Ok(requests) = requests else { return as_it_is };
        if requests.len() > most {
            return as_it_is;
        }
        let read: Vec<_> = requests.iter().enumerate().map(|(position, raw)| Entry::of(raw.get(), position)).collect();
        let changed = read.iter().any(|(_, instead)| instead.is_some());
        let (entries, instead): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        let envelope = Self { entries, batch };
        if !changed {
            return (envelope, Cow::Borrowed(body));
        }
        let mut parts = requests.iter().zip(&instead).map(|(raw, instead)| instead.as_deref().unwrap_or(raw.get()));
        let body = match batch {
            true => format!("[{}]", parts.collect::<Vec<_>>().join(",")),
            false => parts.next().unwrap_or_default().to_owned(),
        };
        (envelope, Cow::Owned(body.into_bytes()))
    }

    /// Whether the library's answer is the caller's.
    fn is_plain(&self) -> bool {
        self.entries.iter().all(|entry| *entry == Entry::AsItIs)
    }

    /// The caller's answer; none where nobody waits for one.
    pub(super) fn close(&self, answer: &[u8]) -> Option<Vec<u8>> {
        if !self.entries.is_empty() && self.entries.iter().all(|entry| *entry == Entry::Notification) {
            return None;
        }
        let Ok(text) = std::str::from_utf8(answer) else { return Some(answer.to_vec()) };
        if !self.batch {
            return Some(self.entries.first().map_or_else(|| answer.to_vec(), |entry| entry.answer(text).into_bytes()));
        }
        // One error instead of a list is for the batch as a whole.
        let Ok(answers) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Some(answer.to_vec()) };
        let asked = self.entries.iter().filter(|entry| **entry != Entry::Notification);
        let parts: Vec<_> = asked.zip(answers).map(|(entry, answer)| entry.answer(answer.get())).collect();
        Some(format!("[{}]", parts.join(",")).into_bytes())
    }
}

impl Entry {
    fn answer(&self, answer: &str) -> String {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            result: Option<&'a RawValue>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        match self {
            Self::AsItIs | Self::Notification => answer.to_owned(),
            Self::Invalid { id } => format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32600,\"message\":\"Invalid request\"}}}}"
            ),
            Self::Renamed { id } => {
                let (name, value) = match serde_json::from_str(answer) {
                    Ok(Answer { error: Some(error), .. }) => ("error", error.get()),
                    Ok(Answer { result: Some(result), .. }) => ("result", result.get()),
                    _ => ("result", "null"),
                };
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"{name}\":{value}}}")
            }
        }
    }
}

/// Has `service` answer a request of at most `most_bytes` and `most` calls.
pub(super) async fn through<S, B>(
    mut service: S,
    request: HttpRequest<B>,
    most_bytes: u32,
    most: usize,
) -> Result<HttpResponse, S::Error>
where
    S: tower::Service<HttpRequest<HttpBody>, Response = HttpResponse>,
    B: hyper::body::Body<Data = hyper::body::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let too_large = announced.is_some_and(|length: u64| length > u64::from(most_bytes));
    if request.method() != Method::POST || too_large {
        return service.call(request.map(HttpBody::new)).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), most_bytes as usize).await else {
        return Ok(http::response::too_large(most_bytes));
    };
    let (envelope, inside) = Envelope::open(&body, most);
    let plain = envelope.is_plain();
    let inside = match inside {
        Cow::Borrowed(_) => HttpBody::from(body.to_vec()),
        Cow::Owned(inside) => HttpBody::from(inside),
    };
    let mut request = HttpRequest::from_parts(parts, inside);
    // It is another length now, and the library reads to the end of the body.
    request.headers_mut().remove(header::CONTENT_LENGTH);
    let answer = service.call(request).await?;
    if plain || answer.status() != StatusCode::OK {
        return Ok(answer);
    }
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(match envelope.close(&body) {
        Some(body) => HttpResponse::from_parts(parts, HttpBody::from(body)),
        None => {
            parts.status = StatusCode::NO_CONTENT;
            parts.headers.remove(header::CONTENT_TYPE);
            HttpResponse::from_parts(parts, HttpBody::empty())
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A server of the kind that is wrapped: it answers each request that has an id it can read with the method's name.
    fn library(body: &[u8]) -> Vec<u8> {
        let one = |request: &Value| match request {
            Value::Object(members) if !members.is_empty() => {
                let id = members.get("id")?;
                assert!(id.is_u64() || id.is_string() || id.is_null(), "{id}");
                Some(json!({ "jsonrpc": "2.0", "id": id, "result": members["method"] }))
            }
            _ => {
                Some(json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "Invalid request" } }))
            }
        };
        match serde_json::from_slice(body).unwrap() {
            Value::Array(requests) => json!(requests.iter().filter_map(one).collect::<Vec<_>>()).to_string(),
            request => one(&request).map(|answer| answer.to_string()).unwrap_or_default(),
        }
        .into_bytes()
    }

    fn answer(body: &str) -> Option<String> {
        let (envelope, inside) = Envelope::open(body.as_bytes(), 50);
        envelope.close(&library(&inside)).map(|answer| String::from_utf8(answer).unwrap())
    }

    #[test]
    fn every_id_that_is_a_number_comes_back_as_it_was_written() {
        for id in ["-1", "1.5", "1e3", "1E+3", "-0", "-0.0", "18446744073709551616", "123456789012345678901234567890"] {
            let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m","params":[{{"id":"0"}}]}}"#);
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"m"}}"#);
            assert_eq!(answer(&request).unwrap(), expected);
            let batch = format!(r#" [{request}, {{"jsonrpc":"2.0","id":0,"method":"n"}}, {request}]"#);
            let plain = r#"{"id":0,"jsonrpc":"2.0","result":"n"}"#;
            assert_eq!(answer(&batch).unwrap(), format!("[{expected},{plain},{expected}]"));
        }
    }

    #[test]
    fn what_the_library_reads_is_left_as_it_is() {
        let requests = [
            r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":"-1","method":"m","params":null}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"m","params":{}}"#,
            r#"{"id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":-1,"method":"m"}"#,
            "7",
            "{",
            "",
        ];
        for request in requests {
            let (envelope, inside) = Envelope::open(request.as_bytes(), 50);
            assert!(envelope.is_plain(), "{request}");
            assert_eq!(inside, request.as_bytes());
        }
        let many = format!("[{}]", [r#"{"jsonrpc":"2.0","id":-1,"method":"m"}"#; 51].join(","));
        assert_eq!(Envelope::open(many.as_bytes(), 50).1, many.as_bytes(), "too many: it says so");
    }

    #[test]
    fn nobody_is_answered_who_does_not_ask() {
        let notification = r#"{"jsonrpc":"2.0","method":"m","params":[]}"#;
        assert_eq!(answer(notification), None);
        assert_eq!(answer(&format!("[{notification},{notification}]")), None);
        let asked = format!(r#"[{notification},{{"jsonrpc":"2.0","id":-7,"method":"m"}},{notification}]"#);
        assert_eq!(answer(&asked).unwrap(), r#"[{"jsonrpc":"2.0","id":-7,"result":"m"}]"#);
    }

    #[test]
    fn what_is_no_request_is_refused_under_its_id_or_null() {
        let refused = |id: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600,"message":"Invalid request"}}}}"#)
        };
        for (id, shown) in
            [("4", "4"), ("-4.5", "-4.5"), ("\"a\"", "\"a\""), ("{}", "null"), ("true", "null"), ("[1]", "null")]
        {
            for params in ["\"text\"", "5", "true"] {
                let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m","params":{params}}}"#);
                assert_eq!(answer(&request).unwrap(), refused(shown), "{request}");
                let batch = format!(r#"[{request},{{"jsonrpc":"2.0","id":1e2,"method":"m"}}]"#);
                let other = r#"{"jsonrpc":"2.0","id":1e2,"result":"m"}"#;
                assert_eq!(answer(&batch).unwrap(), format!("[{},{other}]", refused(shown)));
            }
        }
        let unnamed = r#"{"jsonrpc":"2.0","method":"m","params":5}"#;
        assert_eq!(answer(unnamed).unwrap(), refused("null"));
    }
}
