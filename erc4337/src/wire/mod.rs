//! ERC-7769 JSON: lenient where clients are, strict where money is.
//!
//! Accepted beside the letter of the ERC, because clients send it: explicit `null` for an unset field, `"0x"` as
//! zero, leading zeros, `factory: "0x7702"` short or zero-padded, the authorization under `eip7702Auth` or
//! `authorization`. Refused with the field's name: a missing field, a JSON number, a value that does not fit, half
//! of a pair of fields, a field of the other EntryPoint's form.

mod fields;
mod render;
mod request;

pub use fields::FieldError;
pub use render::to_json;
pub use request::{PaymasterRequest, UserOperationRequest};
