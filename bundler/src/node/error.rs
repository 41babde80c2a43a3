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

/// What came of a transaction that was handed to nodes and not taken by any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One may have it all the same.
    Unknown,
    /// One has another with the nonce, which bids as much.
    Outbid,
    /// They take nothing at the moment.
    NotNow,
    /// They take no bid as small as this.
    Underpriced,
    /// None has it: `passing` if for a reason that is not the transaction's content.
    No { passing: bool },
}

impl NodeError {
    /// Whether another endpoint may well answer what this one did not: it says nothing about the question.
    pub(crate) fn is_the_endpoints(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Unreadable { .. } => true,
            Self::Refused { code, message, .. } => {
                let message = message.to_ascii_lowercase();
                *code == 429 || ["rate limit", "too many requests"].iter().any(|words| message.contains(words))
            }
            Self::Url(_) | Self::UnknownBlock(_) | Self::Overtaken { .. } => false,
        }
    }

    /// What a node's refusal of a transaction says.
    pub(crate) fn of_a_transaction(&self) -> Answer {
        let Self::Refused { code, message, .. } = self else { return Answer::Unknown };
        let message = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        if says(&["already", "nonce too low", "nonce is too low"]) {
            Answer::Unknown
        } else if says(&["replacement"]) {
            Answer::Outbid
        } else if self.is_the_endpoints() || [-32_005, -32_016].contains(code) || says(&["nonce", "gapped", "syncing"])
        {
            Answer::NotNow
        } else if says(&[
            "underpriced",
            "tip too low",
            "tip below",
            "priority fee too low",
            "priority fee per gas too low",
        ]) {
            Answer::Underpriced
        } else {
            let passing = says(&[
                "fee too low",
                "gas price",
                "fee cap",
                "feecap",
                "base fee",
                "insufficient funds",
                "pool is full",
                "pool full",
                "reserved",
                "in-flight",
                "inflight",
                "account limit",
                "limit exceeded",
                "timeout",
                "timed out",
                "busy",
                "overloaded",
                "unavailable",
                "internal error",
            ]);
            Answer::No { passing }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_says_of_a_transaction() {
        let of = |code, message: &str| {
            NodeError::Refused { method: "eth_sendRawTransaction", code, message: message.into(), data: None }
                .of_a_transaction()
        };
        let table = [
            ("nonce too low: next nonce 5, tx nonce 4", Answer::Unknown),
            ("already known", Answer::Unknown),
            ("replacement transaction underpriced", Answer::Outbid),
            ("too many requests", Answer::NotNow),
            ("transaction underpriced: gas tip cap 1, minimum needed 1000000", Answer::Underpriced),
            ("max fee per gas less than block base fee", Answer::No { passing: true }),
            ("insufficient funds for gas * price + value", Answer::No { passing: true }),
            ("in-flight transaction limit reached for delegated accounts", Answer::No { passing: true }),
            ("oversized data: transaction size 140000, limit 131072", Answer::No { passing: false }),
            ("transaction type not supported", Answer::No { passing: false }),
            ("unknown transaction type", Answer::No { passing: false }),
            ("sender is not allowed", Answer::No { passing: false }),
            ("words that nobody has seen before", Answer::No { passing: false }),
        ];
        for (message, answer) in table {
            assert_eq!(of(-32_000, message), answer, "{message}");
        }
        assert_eq!(of(-32_016, "over it"), Answer::NotNow, "Base's sequencer");
        assert_eq!(NodeError::Overtaken { message: String::new() }.of_a_transaction(), Answer::Unknown);
    }
}
