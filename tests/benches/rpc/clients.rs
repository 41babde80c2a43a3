//! Clients that cost next to nothing: one kept-alive connection each, requests written out before the clock starts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tests::load::Latencies;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// An HTTP request, ready to be written to a connection.
pub(crate) type Request = Vec<u8>;

/// The request for this call.
pub(crate) fn request(method: &str, params: Value) -> Request {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let length = body.len();
    format!("POST / HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A connection that is asked one thing after the other.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// To the node at this URL.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").context("not an HTTP URL")?;
        let stream = TcpStream::connect(address.trim_end_matches('/')).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(4_096) })
    }

    /// The body of the answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let mut whole = None;
        while whole.is_none_or(|(_, end)| self.read.len() < end) {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("the node hung up");
            }
            if whole.is_none() {
                whole = extent(&self.read)?;
            }
        }
        let (start, end) = whole.context("no answer")?;
        Ok(&self.read[start..end])
    }
}

/// Where the body starts and ends, once the head is there.
fn extent(read: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&read[..head])?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.with_context(|| format!("an answer without a length: {text}"))?;
    Ok(Some((head + 4, head + 4 + length)))
}

/// What came of a run.
#[derive(Default)]
pub(crate) struct Run {
    /// From request to answer.
    pub(crate) latencies: Latencies,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Answers that are errors.
    pub(crate) refused: Vec<String>,
}

impl Run {
    /// Answers that are no errors, per second.
    pub(crate) fn per_second(&self) -> f64 {
        (self.latencies.count() - self.refused.len()) as f64 / self.elapsed.as_secs_f64()
    }
}

/// Makes all these requests, so many clients at a time, each client the next one as soon as it has its answer.
pub(crate) async fn run(url: &str, requests: &Arc<Vec<Request>>, clients: usize) -> Result<Run> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::open(url).await?);
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (next, requests) = (Arc::clone(&next), Arc::clone(requests));
        tasks.spawn(async move {
            let (mut times, mut refused) = (Vec::new(), Vec::new());
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                let answer = connection.ask(request).await?;
                times.push(asked.elapsed());
                if !answer.windows(9).any(|part| part == b"\"result\":") {
                    refused.push(String::from_utf8_lossy(answer).into_owned());
                }
            }
            anyhow::Ok((times, refused))
        });
    }
    let mut run = Run::default();
    while let Some(done) = tasks.join_next().await {
        let (times, refused) = done??;
        run.elapsed = start.elapsed();
        times.into_iter().for_each(|time| run.latencies.add(time));
        run.refused.extend(refused);
    }
    Ok(run)
}
