//! What can go wrong between us and the node.

use alloy::primitives::{B256, Bytes};

/// A question to the node that got no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeError {
    /// The URL cannot be used.
    #[error("node URL: {0}")]
    Url(String),
    /// No answer: connection, time-out, or something that is no JSON-RPC.
    #[error("node did not answer {method}: {reason}")]
    Transport {
        /// The method called.
        method: &'static str,
        /// As the transport put it.
        reason: String,
    },
    /// The node answered with an error.
    #[error("node refused {method}: {message} ({code})")]
    Refused {
        /// The method called.
        method: &'static str,
        /// JSON-RPC code.
        code: i32,
        /// The node's words.
        message: String,
        /// What a call reverted with, if the node says so.
        data: Option<Bytes>,
    },
    /// A transaction was not taken because its condition does not hold.
    #[error("the state that the transaction rests on has changed: {message}")]
    Overtaken {
        /// The node's words.
        message: String,
    },
    /// The answer is not of the method's type.
    #[error("node answered {method} with something unreadable: {reason}")]
    Unreadable {
        /// The method called.
        method: &'static str,
        /// What did not fit.
        reason: String,
    },
    /// The node knows no such block: it lags, or the block was reorganised away.
    #[error("node does not know block {0}")]
    UnknownBlock(B256),
}

impl NodeError {
    /// Whether another endpoint may well answer what this one did not: it says nothing about the question.
    pub(super) fn is_the_endpoints(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Unreadable { .. } => true,
            Self::Refused { code, message, .. } => {
                let message = message.to_ascii_lowercase();
                *code == 429 || ["rate limit", "too many requests"].iter().any(|words| message.contains(words))
            }
            Self::Url(_) | Self::UnknownBlock(_) | Self::Overtaken { .. } => false,
        }
    }

    /// Whether the node executed what it was asked to, and that failed.
    pub(crate) fn is_failed_call(&self) -> bool {
        let Self::Refused { message, data, .. } = self else { return false };
        let message = message.to_ascii_lowercase();
        data.is_some()
            || ["revert", "out of gas", "evm error", "gas required exceeds"].iter().any(|words| message.contains(words))
    }

    pub(super) fn refused(method: &'static str, error: &jsonrpsee::types::ErrorObject<'_>) -> Self {
        let data = error.data().and_then(|data| serde_json::from_str::<Bytes>(data.get()).ok());
        Self::Refused { method, code: error.code(), message: error.message().to_owned(), data }
    }

    pub(super) fn from_call(method: &'static str, error: jsonrpsee::core::ClientError) -> Self {
        use jsonrpsee::core::ClientError;
        match error {
            ClientError::Call(error) => Self::refused(method, &error),
            ClientError::ParseError(error) => Self::Unreadable { method, reason: error.to_string() },
            other => Self::Transport { method, reason: other.to_string() },
        }
    }
}
