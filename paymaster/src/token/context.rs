//! What `context` says about tokens: `token`, or `erc20` as Base Account has it, and `permit`.

use alloy::primitives::{Address, Bytes};
use erc4337::FieldError;
use serde_json::Value;

/// A permit's value; the account's signature follows.
const VALUE_LENGTH: usize = 32;
/// Bytes of a permit: several times what a passkey's signature takes.
const MAX_PERMIT: usize = 4_096;

/// In which token an operation's gas is to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChoice {
    /// The token.
    pub token: Address,
    /// `uint256 value ‖ signature` of an ERC-2612 permit without deadline; empty if the allowance is there.
    pub permit: Bytes,
}

impl TokenChoice {
    /// The choice in an ERC-7677 `context`, if it makes one.
    ///
    /// # Errors
    /// Names what of it cannot be read.
    pub fn of(context: &Value) -> Result<Option<Self>, FieldError> {
        let given = |name: &str| context.get(name).filter(|value| !value.is_null());
        let (field, token) = match (given("token"), given("erc20")) {
            (Some(token), _) => ("context.token", token),
            (None, Some(token)) => ("context.erc20", token),
            (None, None) => return Ok(None),
        };
        let text = token.as_str().unwrap_or_default();
        let token = text.parse().map_err(|_| FieldError::Malformed { field, expected: "an address of 20 bytes" })?;
        let malformed = FieldError::Malformed {
            field: "context.permit",
            expected: "uint256 value, then a signature; 4,096 bytes at most",
        };
        let permit: Bytes = match given("permit") {
            Some(permit) => permit.as_str().and_then(|text| text.parse().ok()).ok_or(malformed.clone())?,
            None => Bytes::new(),
        };
        if !permit.is_empty() && !(VALUE_LENGTH + 1..=MAX_PERMIT).contains(&permit.len()) {
            return Err(malformed);
        }
        Ok(Some(Self { token, permit }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_chosen_by_either_name_and_by_nothing_else() {
        let token = Address::repeat_byte(7);
        for name in ["token", "erc20"] {
            let choice = TokenChoice::of(&json!({ name: token })).unwrap().unwrap();
            assert_eq!(choice, TokenChoice { token, permit: Bytes::new() });
        }
        for context in [Value::Null, json!({}), json!({ "url": "https://x" }), json!({ "token": null })] {
            assert_eq!(TokenChoice::of(&context), Ok(None), "{context}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let field = |context: Value| TokenChoice::of(&context).unwrap_err().field();
        assert_eq!(field(json!({ "token": 7 })), "context.token");
        assert_eq!(field(json!({ "erc20": "0x12" })), "context.erc20");
        let token = Address::repeat_byte(7);
        for permit in [json!(7), json!("0x0g"), json!(Bytes::from(vec![1; 32])), json!(Bytes::from(vec![1; 4_097]))] {
            assert_eq!(field(json!({ "token": token, "permit": permit })), "context.permit", "{permit}");
        }
    }
}
