//! Points at which a test has the process end as a power cut would.

/// Ends the process here if the environment says so: `FABSTIR_CRASH_AT` names the point, `FABSTIR_CRASH_AFTER` how
/// often it is passed before (0). With `FABSTIR_CRASH_BY=stop` it only stops, until somebody sends it SIGCONT. In debug
/// builds only.
#[cfg(debug_assertions)]
pub(crate) fn crash_point(name: &str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };
    static CHOSEN: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let at = std::env::var("FABSTIR_CRASH_AT").ok()?;
        let after = std::env::var("FABSTIR_CRASH_AFTER").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
        Some((at, AtomicU64::new(after)))
    });
    if let Some((at, left)) = &*CHOSEN
        && at == name
        && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.wrapping_sub(1))) == Ok(0)
    {
        if std::env::var("FABSTIR_CRASH_BY").is_ok_and(|how| how == "stop") {
            let pid = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-STOP", &pid]).status();
            return;
        }
        // No destructor runs, nothing is flushed.
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn crash_point(_name: &str) {}
