//! First operations with an honest factory, at limits that hold only as long as nobody is beside them.

use alloy::primitives::{Address, B256, U256, hex, keccak256};
use erc4337::{EntryPointVersion::V0_8, Initializer, UserOperation};
use futures::{FutureExt, future::BoxFuture};

use super::super::{Attacker, field::Field};

/// Code that makes an account which answers `0` to everything.
const INIT: [u8; 12] = hex!("6360205ff35f526004601cf3");
/// A factory of such accounts, whose salt is the first word of its data; it answers with the account's address.
const FACTORY: [u8; 29] = hex!("6b6360205ff35f526004601cf35f525f35600c60145ff55f5260205ff3");

pub(super) struct ExactLimits;

impl Attacker for ExactLimits {
    fn name(&self) -> &'static str {
        "exact_limits"
    }

    fn claim(&self) -> &'static str {
        "a factory is not blamed for what fails beside other operations only"
    }

    fn attack<'a>(&'a self, field: &'a Field, round: u64) -> BoxFuture<'a, Vec<B256>> {
        async move {
            let factory = Address::from_word(keccak256("a factory that everybody uses"));
            if round == 0 {
                field.place(V0_8, factory, &FACTORY).await;
            }
            let mut taken = Vec::new();
            for tight in [true, true, false] {
                let salt = B256::from(U256::from(field.salt()));
                let made: Address = factory.create2_from_code(salt, INIT);
                field.place(V0_8, made, &[]).await;
                let initializer = Some(Initializer::Factory { address: factory, data: salt.into() });
                let op = UserOperation { initializer, ..field.operation(made) };
                if tight {
                    field.send_at_the_least(V0_8, &UserOperation { verification_gas_limit: 40_000, ..op }).await;
                } else {
                    taken.extend(field.send(V0_8, &op).await);
                    field.expect(taken.len() == 1, "an honest user of the factory is taken");
                }
            }
            taken
        }
        .boxed()
    }
}
