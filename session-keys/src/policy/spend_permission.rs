//! Coinbase's Spend Permissions: what a Base Account signs so that a spender may take so much of a token a period.

use alloy::{
    primitives::{
        Address, B256, Bytes, U256, address,
        aliases::{U48, U160},
    },
    sol,
    sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain},
};

use super::Policy;

/// Where permissions are kept, on every chain.
pub const SPEND_PERMISSION_MANAGER: Address = address!("0xf85210B21cC50302F477BA56686d2019dC9b67Ad");
/// How permissions name native currency (ERC-7528).
pub const NATIVE: Address = address!("0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE");

sol! {
    /// What an account lets a spender take.
    #[derive(Debug, PartialEq, Eq)]
    struct SpendPermission {
        address account;
        address spender;
        address token;
        uint160 allowance;
        uint48 period;
        uint48 start;
        uint48 end;
        uint256 salt;
        bytes extraData;
    }
}

/// What a Spend Permission cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExpressible {
    /// There is no such limit.
    #[error("limits[{0}]: there is none")]
    NoSuchLimit(usize),
    /// It knows no limit for the whole life: a smaller total than all periods' would be lost.
    #[error("limits[{0}].total: a Spend Permission has no total; {1} would be allowed in all")]
    Total(usize, u128),
    /// It knows no limit of uses.
    #[error("maxUses: a Spend Permission has no limit of uses")]
    Uses,
    /// The times are out of order or do not fit 48 bits.
    #[error("validAfter, validUntil: out of order or out of range")]
    Times,
}

impl Policy {
    /// One limit as a Spend Permission of `account`, to be spent through `spender` — our SpendRouter, which takes it
    /// only into the account's credit in the escrow, and only when `executor` asks.
    ///
    /// The permission never allows more than the limit does.
    ///
    /// # Errors
    /// What the permission cannot express.
    pub fn to_spend_permission(
        &self,
        limit: usize,
        account: Address,
        spender: Address,
        executor: Address,
    ) -> Result<SpendPermission, NotExpressible> {
        let spend = self.limits.get(limit).ok_or(NotExpressible::NoSuchLimit(limit))?;
        if self.max_uses.is_some() {
            return Err(NotExpressible::Uses);
        }
        if self.valid_until <= self.valid_after || self.valid_until >= super::check::TIME_END {
            return Err(NotExpressible::Times);
        }
        let seconds = self.valid_until - self.valid_after + 1;
        let (period, allowance) = match self.period {
            0 => (seconds, spend.per_period.min(spend.total)),
            period => (period, spend.per_period.min(spend.total)),
        };
        let worst = allowance.saturating_mul(u128::from(seconds.div_ceil(period)));
        if worst > spend.total {
            return Err(NotExpressible::Total(limit, worst));
        }
        Ok(SpendPermission {
            account,
            spender,
            token: if spend.token.is_zero() { NATIVE } else { spend.token },
            allowance: U160::from(allowance),
            period: U48::from(period.min(seconds)),
            start: U48::from(self.valid_after),
            // Theirs ends before this second, ours with it.
            end: U48::from(self.valid_until + 1),
            salt: self.salt,
            extraData: executor.abi_encode().into(),
        })
    }
}

/// What the account signs (`SpendPermissionManager.getHash`).
pub fn digest(permission: &SpendPermission, chain_id: u64, manager: Address) -> B256 {
    let domain: Eip712Domain = eip712_domain! {
        name: "Spend Permission Manager",
        version: "1",
        chain_id: chain_id,
        verifying_contract: manager,
    };
    permission.eip712_signing_hash(&domain)
}

/// Calldata of `spend(SpendPermission,uint160)`, at the manager or at our router.
pub fn spend_calldata(permission: &SpendPermission, amount: U256) -> Bytes {
    let selector = &alloy::primitives::keccak256(
        "spend((address,address,address,uint160,uint48,uint48,uint48,uint256,bytes),uint160)",
    )[..4];
    [selector, &(permission.clone(), amount).abi_encode_params()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policy::SpendLimit, public::PublicKey};

    fn daily(total: u128) -> Policy {
        Policy {
            key: PublicKey::Address(Address::repeat_byte(1)),
            valid_after: 1_000,
            valid_until: 1_000 + 3 * 86_400 - 1,
            period: 86_400,
            max_uses: None,
            epoch: 0,
            salt: U256::from(9),
            paymaster: None,
            gas_budget: 0,
            limits: vec![SpendLimit { token: Address::ZERO, per_period: 100, total }],
            calls: vec![],
            vouchers: vec![],
        }
    }

    #[test]
    fn a_permission_allows_no_more_than_the_limit() {
        let [account, spender, executor] = [2, 3, 4].map(Address::repeat_byte);
        let made = daily(300).to_spend_permission(0, account, spender, executor).unwrap();
        assert_eq!((made.token, made.start.to::<u64>(), made.end.to::<u64>()), (NATIVE, 1_000, 1_000 + 3 * 86_400));
        assert_eq!((made.allowance, made.period.to::<u64>()), (U160::from(100), 86_400));
        assert_eq!(made.extraData, Bytes::from(executor.into_word().0));
        let refused = daily(299).to_spend_permission(0, account, spender, executor);
        assert_eq!(refused, Err(NotExpressible::Total(0, 300)));
    }

    #[test]
    fn the_type_is_that_of_the_manager() {
        let text = "SpendPermission(address account,address spender,address token,uint160 allowance,uint48 period,\
                    uint48 start,uint48 end,uint256 salt,bytes extraData)";
        assert_eq!(SpendPermission::eip712_encode_type(), text);
    }
}
