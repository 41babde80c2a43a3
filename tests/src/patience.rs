//! No wait of a test is without an end: what does not come fails it, and is named.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use tokio::io::{AsyncBufRead, Lines};

/// How long anything may take that is not itself under test: it has to pass on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What this comes to.
///
/// # Panics
/// If it does not within [`PATIENCE`], with what it was.
pub async fn within<T>(what: &str, waited: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, waited).await {
        Ok(value) => value,
        Err(_) => panic!("not in {} s: {what}", PATIENCE.as_secs()),
    }
}

/// Asks again and again until it is so.
///
/// # Panics
/// If it is not within [`PATIENCE`].
pub async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    found(what, async || met().await.then_some(())).await;
}

/// Asks again and again until there is something.
///
/// # Panics
/// If there is nothing within [`PATIENCE`].
pub async fn found<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not in {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a program says after these words, once it does.
///
/// # Errors
/// If its output ends before, or it has not said so within [`PATIENCE`].
pub async fn said<R: AsyncBufRead + Unpin>(lines: &mut Lines<R>, words: &str) -> Result<String> {
    let said = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(rest) = line.strip_prefix(words) {
                return Ok(rest.to_owned());
            }
        }
        bail!("ended before it said {words:?}")
    };
    tokio::time::timeout(PATIENCE, said).await.map_err(|_| anyhow!("has not said {words:?}"))?
}
