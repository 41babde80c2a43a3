//! What attackers do, and what it is held to.

use std::collections::BTreeMap;

use erc4337::UserOperation;
use futures::FutureExt;
use serde_json::Value;

use super::{Call, Called, Due, World, events::ask, lock, signers};
use crate::{
    chain::Chain,
    node::Node,
    siege::{dearer, verdict},
};

/// What an attacker does next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Place,
    Send,
    Strike,
}

/// An operation of an attacker's.
pub(super) struct Sent {
    attack: usize,
    op: UserOperation,
    tries: u32,
}

impl World {
    pub(super) fn attack(&mut self, index: usize, step: Step, node: Option<&Node>, calls: &mut Vec<Call>) {
        let (attack, now, block) = (self.plan.attacks[index], self.clock.now(), self.plan.block_time);
        self.note(&format!("attack {attack:?} {step:?}"));
        match step {
            Step::Place => {
                attack.place(&mut lock(&self.chain));
                self.at(now + 2 * block, Due::Attack(index, Step::Send));
            }
            Step::Send => {
                let Some(node) = node else { return self.at(now + block, Due::Attack(index, Step::Send)) };
                let ops = attack.operations(&lock(&self.chain));
                for op in ops {
                    self.send_hostile(Sent { attack: index, op, tries: 0 }, node, calls);
                }
                // Soon, or when what was refused at first was sent again.
                let soon = self.random.below(2 * block) + 1;
                self.at(now + soon, Due::Attack(index, Step::Strike));
            }
            Step::Strike => attack.strike(&mut lock(&self.chain)),
        }
    }

    fn send_hostile(&self, sent: Sent, node: &Node, calls: &mut Vec<Call>) {
        let params = self.plan.attacks[sent.attack].to_send(&sent.op);
        let call = ask(&node.rpc, "eth_sendUserOperation", params);
        calls.push(call.map(move |answer| Called::Attacked(Box::new(sent), answer)).boxed_local());
    }

    pub(super) fn attacked(&self, sent: Sent, answer: &Value, node: Option<&Node>, calls: &mut Vec<Call>) {
        let word = answer["error"]["message"].as_str().unwrap_or("taken");
        self.note(&format!("attacker {}: {word}", sent.op.sender));
        if let (Some(op), Some(node)) = (dearer(&sent.op, answer, sent.tries), node) {
            self.send_hostile(Sent { op, tries: sent.tries + 1, ..sent }, node, calls);
        }
    }

    /// What is wrong with what attackers came to.
    pub(super) fn judge_attacks(&self, chain: &Chain, dropped: BTreeMap<String, usize>) -> Vec<String> {
        if self.plan.attacks.is_empty() {
            return Vec::new();
        }
        let keys: Vec<_> = signers(&self.plan).iter().map(|key| key.address()).collect();
        verdict(&self.plan, chain, &keys, dropped.values().sum())
    }
}
