//! A block's header as nodes tell it, with what some chains add to it.

use alloy::rpc::types::Header;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A header, and its time to the millisecond where the chain tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct HeadHeader {
    /// What every chain says.
    #[serde(flatten)]
    pub header: Header,
    /// Milliseconds since 1970.
    #[serde(rename = "timestampMs", default, deserialize_with = "quantity")]
    timestamp_ms: Option<u64>,
}

impl HeadHeader {
    /// Milliseconds of its time beyond the whole second; none if they are not told, or not of this second.
    pub fn millis(&self) -> Option<u16> {
        let millis = self.timestamp_ms.filter(|millis| millis / 1_000 == self.header.timestamp)?;
        u16::try_from(millis % 1_000).ok()
    }
}

impl std::ops::Deref for HeadHeader {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

/// In hex, as everything there, or as a number. What is neither is nothing that we know.
fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()),
        number => number.as_u64(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn millis(told: Option<Value>) -> Option<u16> {
        let mut header = serde_json::to_value(Header {
            inner: alloy::consensus::Header { timestamp: 1_800_000_000, ..Default::default() },
            ..Default::default()
        })
        .unwrap();
        header["transactions"] = json!([]);
        if let Some(told) = told {
            header["timestampMs"] = told;
        }
        serde_json::from_value::<HeadHeader>(header).unwrap().millis()
    }

    #[test]
    fn milliseconds_are_read_where_they_are_told() {
        assert_eq!(millis(None), None);
        assert_eq!(millis(Some(json!("0x1a3185c5190"))), Some(400));
        assert_eq!(millis(Some(json!(1_800_000_000_999_u64))), Some(999));
    }

    #[test]
    fn those_of_another_second_are_not_believed_and_nothing_else_is_an_error() {
        for odd in [json!("0x190"), json!(1_800_000_001_000_u64), json!(null), json!("soon"), json!({})] {
            assert_eq!(millis(Some(odd.clone())), None, "{odd}");
        }
    }
}
