//! Operations of many accounts that are never executed, as their calls read too much for a proof, paid for by an honest
//! paymaster: they cost nobody anything, and it is the paymaster that is throttled, and then banned.

use alloy::primitives::{Address, B256, hex, keccak256};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;

use super::super::{
    Attacker,
    field::{Field, PAYS, YES},
};

/// Answers a question for its validity, and else asks for the balance of one address after the other, named by the gas left.
const READER: [u8; 26] = hex!("5f3560e01c6319822f7c146015575b5a3150600e565b60205ff3");

pub(super) struct BannedByReads;

impl BannedByReads {
    fn payer() -> Address {
        Address::from_word(keccak256("an honest paymaster that pays for everybody"))
    }
}

impl Attacker for BannedByReads {
    fn name(&self) -> &'static str {
        "banned_by_reads"
    }

    fn claim(&self) -> &'static str {
        "what fails for its account alone costs its paymaster no reputation"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            if round == 0 {
                field.place(V0_8, Self::payer(), &PAYS).await;
                field
                    .set_deposit(V0_8, Self::payer(), alloy::primitives::utils::parse_ether("100").unwrap(), true)
                    .await;
            }
            field.bundling("auto").await;
            let (mut sent, mut refused) = (0, 0);
            for _ in 0..600 {
                let sender = field.account(V0_8, &READER).await;
                let sponsored = field.sponsored(V0_8, sender, Self::payer());
                let op = UserOperation { call_data: vec![1; 4].into(), call_gas_limit: 12_000_000, ..sponsored };
                match field.try_send(V0_8, &op).await {
                    Ok(_) => sent += 1,
                    // Throttled: a few at a time.
                    Err((_, message, _)) if !message.contains("banned") && refused < 400 => {
                        refused += 1;
                        field.seal().await;
                        field.turn(&[]).await;
                    }
                    Err((code, message, _)) => {
                        println!("  after {sent} of them: {code} {message}");
                        break;
                    }
                }
                if sent % 20 == 19 {
                    field.seal().await;
                    field.turn(&[]).await;
                }
            }
            let reputation =
                field.stack.node.ask("debug_bundler_dumpReputation", vec![json!(field.entry_point(V0_8))]).await;
            println!("  {sent} sent, {refused} not now; {:?}", reputation.ok().map(|it| it.to_string()));
            field.bundling("manual").await;
            let honest = field.account(V0_8, &YES).await;
            let taken = field.try_send(V0_8, &field.sponsored(V0_8, honest, Self::payer())).await;
            field.expect(taken.is_ok(), &format!("an honest user of the paymaster's is taken: {taken:?}"));
            taken.into_iter().collect()
        }
        .boxed()
    }

    fn mixes(&self) -> bool {
        false
    }
}
