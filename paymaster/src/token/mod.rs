//! Gas paid in a token: the account is charged by the TokenPaymaster contract, at a price that our key signs.
//!
//! ```text
//!  context {token, permit?} ─► accepted? ─► price (source, its limits, mark-up) ─► sign ─► paymasterData, tokenPayment
//! ```
//!
//! The contract takes the worst case in tokens before the operation runs and gives the rest back after, so there is
//! nothing to reserve and nothing to allow: whoever pays may do as they like. What is at risk is the price: it holds for
//! two minutes at most, at a mark-up, and one that its source does not vouch for is not signed.
//!
//! - [`context`]: what the client asks for. - [`price`]: sources and their limits. - [`mode`]: stub, signature, quotes.

pub mod context;
pub mod mode;
pub mod price;

pub use context::TokenChoice;
pub use mode::{Token, TokenCharge, TokenMode};
pub use price::{PriceError, PriceSource};
