//! Operations that can never go, as they offer what the base fee was, with the largest limits there are, paid for by an open
//! paymaster: its deposit is promised to them for ever.

use alloy::primitives::{Address, B256, U256, keccak256, utils::parse_ether};
use erc4337::{EntryPointVersion::V0_8, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{
    Attacker,
    field::{BASE_FEE, Field, PAYS, YES},
};

pub(super) struct HoggedDeposit;

impl HoggedDeposit {
    fn payer() -> Address {
        Address::from_word(keccak256("an open paymaster with a fifth of an ether"))
    }
}

impl Attacker for HoggedDeposit {
    fn name(&self) -> &'static str {
        "hogged_deposit"
    }

    fn claim(&self) -> &'static str {
        "no operation takes another one down: what is never executed keeps nobody from his paymaster"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            if round == 0 {
                field.place(V0_8, Self::payer(), &PAYS).await;
                let deposit: U256 = parse_ether("0.2").unwrap();
                field.set_deposit(V0_8, Self::payer(), deposit, true).await;
                let mut taken = 0;
                for _ in 0..20 {
                    let sender = field.account(V0_8, &YES).await;
                    let op = UserOperation {
                        max_fee_per_gas: BASE_FEE.into(),
                        max_priority_fee_per_gas: BASE_FEE.into(),
                        call_gas_limit: 15_000_000,
                        ..field.sponsored(V0_8, sender, Self::payer())
                    };
                    taken += usize::from(field.send(V0_8, &op).await.is_some());
                }
                println!("  {taken} that hold the deposit");
                field.set_base_fee(BASE_FEE + BASE_FEE / 50);
            }
            field.seal().await;
            field.turn(&[]).await;
            let honest = field.account(V0_8, &YES).await;
            let taken = field.try_send(V0_8, &field.sponsored(V0_8, honest, Self::payer())).await;
            field.expect(
                taken.is_ok(),
                &format!("round {round}: an honest user of the paymaster's is taken: {taken:?}"),
            );
            taken.into_iter().collect()
        }
        .boxed()
    }

    fn mixes(&self) -> bool {
        false
    }
}
