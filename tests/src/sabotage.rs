//! A test that has to fail, for the control of what is left behind: `make hygiene`.

use std::sync::LazyLock;

use anyhow::{Result, bail};

/// Refuses what a test asks its chain for, if tests are to fail.
///
/// # Errors
/// With `FABSTIR_SABOTAGE=fail` in the environment.
pub(crate) fn check() -> Result<()> {
    static FAIL: LazyLock<bool> = LazyLock::new(|| std::env::var("FABSTIR_SABOTAGE").is_ok_and(|how| how == "fail"));
    if *FAIL { bail!("this test is to fail") } else { Ok(()) }
}
