//! Where things are kept: the data folder, and Redis.

use std::path::Path;

use super::Finding;

/// Settings of Redis without which a restart forgets budgets.
const APPEND_ONLY: (&str, &str) = ("appendonly", "yes");

pub(super) fn folder(folder: &Path, findings: &mut Vec<Finding>) {
    let check = format!("data folder {}", folder.display());
    let probe = folder.join(".doctor");
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, [0; 4096]));
    let removed = std::fs::remove_file(&probe);
    findings.push(match written.and(removed) {
        Ok(()) => Finding::ok(check, "can be written"),
        Err(error) => Finding::failure(check, error, "make room, or give the process the right to write there"),
    });
}

pub(super) async fn redis(url: &str, findings: &mut Vec<Finding>) {
    const CHECK: &str = "Redis";
    let asked = async {
        // The URL may have a password: errors of parsing do not repeat it.
        let client = redis::Client::open(url).map_err(|_| "its URL cannot be read".to_owned())?;
        let mut connection =
            client.get_multiplexed_async_connection().await.map_err(|error| error.category().to_owned())?;
        let query = redis::cmd("CONFIG").arg("GET").arg(APPEND_ONLY.0).to_owned();
        let answer: Result<Vec<String>, _> = query.query_async(&mut connection).await;
        Ok::<_, String>(answer.ok().and_then(|pair| pair.into_iter().nth(1)))
    };
    findings.push(match asked.await {
        Ok(Some(value)) if value == APPEND_ONLY.1 => Finding::ok(CHECK, "answers, and keeps an append-only file"),
        Ok(Some(value)) => Finding::warning(
            CHECK,
            format!("answers; {} is {value}", APPEND_ONLY.0),
            "budgets are lost when Redis restarts: CONFIG SET appendonly yes",
        ),
        Ok(None) => Finding::warning(CHECK, "answers; its settings may not be read", "see that appendonly is on"),
        Err(error) => Finding::failure(CHECK, error, "nothing is sponsored without it"),
    });
}
