//! Amounts in JSON: hex quantities out; hex, decimal text or small numbers in. A JavaScript number holds 53 bits only.

use alloy::primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub(crate) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    U256::from(*value).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let value = U256::deserialize(deserializer)?;
    value.try_into().map_err(|_| D::Error::custom("larger than 2^128 - 1"))
}

/// Several of them.
pub(crate) mod list {
    use alloy::primitives::U256;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(values: &[u128], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| U256::from(*value)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u128>, D::Error> {
        let values = Vec::<U256>::deserialize(deserializer)?;
        values
            .into_iter()
            .map(|value| value.try_into().map_err(|_| D::Error::custom("larger than 2^128 - 1")))
            .collect()
    }
}
