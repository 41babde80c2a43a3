//! What was decided lately, and what is decided now.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::stream::{self, Stream};
use serde::Deserialize;
use serde_json::json;

use super::{Admin, Answer, Asked, Problem, Role, Shared};
use crate::service::Decided;

/// Rows of one answer at most.
const MOST: usize = 500;

#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

impl Page {
    pub(super) fn most(&self) -> usize {
        self.limit.unwrap_or(100).min(MOST)
    }
}

pub(super) async fn denials(State(admin): Shared, headers: HeaderMap, page: Asked<Page>) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let Query(page) = page?;
    Ok(Json(json!(admin.service.journal().denials(page.after, page.most()))))
}

pub(super) async fn decisions(State(admin): Shared, headers: HeaderMap, page: Asked<Page>) -> Answer {
    admin.keys.admit(&headers, Role::Viewer)?;
    let Query(page) = page?;
    Ok(Json(json!(admin.service.journal().decisions(page.after, page.most()))))
}

/// Server-sent events: each decision after the one of this number, as it is taken. Who is too slow misses some.
pub(super) async fn events(
    State(admin): Shared,
    headers: HeaderMap,
    page: Asked<Page>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    admin.keys.admit(&headers, Role::Viewer)?;
    let Query(page) = page?;
    let mut newest = admin.service.journal().newest();
    // A number that was not reached yet is of the process before this one.
    let after = if page.after > *newest.borrow_and_update() { 0 } else { page.after };
    let told = Told { admin, after, waiting: VecDeque::new() };
    let events = stream::unfold((told, newest), async |(mut told, mut newest)| {
        loop {
            if let Some(decided) = told.next() {
                let event = Event::default().event("decision").id(decided.number.to_string());
                let event = event.json_data(&decided).unwrap_or_default();
                return Some((Ok(event), (told, newest)));
            }
            newest.changed().await.ok()?;
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// How far one reader has come.
struct Told {
    admin: Arc<Admin>,
    after: u64,
    /// Oldest first.
    waiting: VecDeque<Decided>,
}

impl Told {
    fn next(&mut self) -> Option<Decided> {
        if self.waiting.is_empty() {
            self.waiting = self.admin.service.journal().decisions(self.after, MOST).into_iter().rev().collect();
        }
        let next = self.waiting.pop_front()?;
        self.after = next.number;
        Some(next)
    }
}
