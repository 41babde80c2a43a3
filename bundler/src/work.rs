//! How much was simulated for whom: whoever serves a call can have it counted, and hold it against the caller.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

tokio::task_local! {
    /// Gas that was simulated for the call that this task answers.
    static SIMULATED: Arc<AtomicU64>;
}

/// Answers a call; the answer, and the gas that was simulated for it.
pub async fn counted<F: Future>(call: F) -> (F::Output, u64) {
    let simulated = Arc::<AtomicU64>::default();
    let answer = SIMULATED.scope(Arc::clone(&simulated), call).await;
    (answer, simulated.load(Ordering::Relaxed))
}

/// So much was simulated for whoever is asking, if anybody counts.
pub(crate) fn add(gas: u64) {
    let _ = SIMULATED.try_with(|simulated| simulated.fetch_add(gas, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_call_has_its_own_count_and_elsewhere_nothing_is_counted() {
        add(1);
        let (answer, gas) = counted(async {
            add(2);
            let (_, inner) = counted(async { add(30) }).await;
            add(4);
            inner
        })
        .await;
        assert_eq!((answer, gas), (30, 6));
    }
}
