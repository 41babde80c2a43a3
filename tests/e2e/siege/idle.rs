//! What is left of an attack in a node that has nothing to do any more.

use super::field::Field;

/// What a node does that has nothing to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) asked: u64,
    pub(super) resident: u64,
}

impl Idle {
    /// KiB that may stay resident of an attack.
    const MOST: u64 = 16 * 1024;

    /// What is more than before an attack, if something is.
    pub(super) fn is_more_than(self, before: Self) -> Option<String> {
        let more = self.asked > before.asked || self.resident > before.resident + Self::MOST;
        more.then(|| format!("an idle node: {self:?} 20 blocks after it, {before:?} before"))
    }
}

impl Field {
    /// What the node asks for in ten blocks in which nothing happens, twenty blocks after the last thing that did; and what is
    /// resident of it beside its program, in KiB.
    pub(super) async fn idle(&self) -> Idle {
        for _ in 0..20 {
            self.seal().await;
            self.turn(&[]).await;
        }
        let asked = || {
            let methods = self.proxy.methods();
            methods.values().sum::<u64>() - methods.get("eth_getBlockByNumber").copied().unwrap_or_default()
        };
        let pid = self.stack.node.pid().unwrap();
        let mut least = u64::MAX;
        // What is asked by the clock, whatever the chain does, is not in all of them.
        for _ in 0..4 {
            // Somebody has asked of late, so that it follows each block, as before the attack.
            self.stack.node.ask("pimlico_getUserOperationGasPrice", vec![]).await.unwrap();
            let before = asked();
            for _ in 0..10 {
                self.seal().await;
                self.turn(&[]).await;
            }
            least = least.min(asked() - before);
        }
        let resident = tests::process::memory(pid, "RssAnon").unwrap();
        Idle { asked: least, resident }
    }

    /// Something that an attacker asks for, and waits for beside the others.
    pub(super) fn beside(&self, request: impl Future<Output = ()> + Send + 'static) {
        self.asked.lock().unwrap().push(tokio::spawn(request));
    }

    /// What is left of an attack is answered, or is taken out of the pool, so that the next one begins as the first did.
    pub(super) async fn rest(&self) {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        for request in asked {
            request.await.unwrap();
        }
        self.stack.node.ask("debug_bundler_clearMempool", vec![]).await.unwrap();
        for _ in 0..3 {
            self.seal().await;
            self.turn(&[]).await;
        }
    }
}
