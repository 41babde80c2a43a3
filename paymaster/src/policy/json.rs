//! Policies in JSON: the keys are those of TOML, dates are strings. Read from a syntax tree that knows where everything
//! is, so that errors name line and column here too.

use std::{fmt::Display, ops::Range};

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{ObjectProp, Value},
    common::Ranged,
    parse_to_ast,
};
use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::SeqDeserializer},
    forward_to_deserialize_any,
};
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use toml_datetime::{
    Datetime,
    de::{DatetimeDeserializer, is_datetime},
};

use super::error::PolicyError;

/// Whether the text is meant as JSON: no TOML begins like this.
pub(crate) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Reads it, as `toml::from_str` does TOML.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, PolicyError> {
    let tree = tree(text)?;
    T::deserialize(Node(&tree)).map_err(|error| PolicyError::at(text, error.span, error.message))
}

/// The keys on the way to this byte: `call.arguments.word`.
pub(super) fn field(text: &str, at: usize) -> String {
    let mut path = Vec::new();
    let tree = tree(text).ok();
    let mut inner = tree.as_ref();
    while let Some(value) = inner.take() {
        match value {
            Value::Object(object) => {
                let property = object.properties.iter().find(|property| holds(&property.range(), at));
                path.extend(property.map(|property| property.name.as_str()));
                inner = property.map(|property| &property.value).filter(|value| holds(&value.range(), at));
            }
            Value::Array(array) => inner = array.elements.iter().find(|element| holds(&element.range(), at)),
            _ => {}
        }
    }
    path.join(".")
}

fn holds(range: &jsonc_parser::common::Range, at: usize) -> bool {
    (range.start..range.end).contains(&at)
}

fn tree(text: &str) -> Result<Value<'_>, PolicyError> {
    // Says what is wrong with the syntax, and that it is not nested too deep for what follows.
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        return Err(PolicyError { line, column, ..PolicyError::whole(message) });
    }
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let tree = parse_to_ast(text, &CollectOptions::default(), &strict).ok().and_then(|parsed| parsed.value);
    tree.ok_or_else(|| PolicyError::whole("no JSON"))
}

/// What does not fit, and where.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Misfit {
    message: String,
    span: Option<Range<usize>>,
}

impl Error for Misfit {
    fn custom<T: Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

/// Says where it was, unless something inside has said so already.
fn at<T>(place: &impl Ranged, result: Result<T, Misfit>) -> Result<T, Misfit> {
    let range = place.range();
    result.map_err(|error| Misfit { span: error.span.or(Some(range.start..range.end)), ..error })
}

#[derive(Clone, Copy)]
struct Node<'a>(&'a Value<'a>);

impl<'de> IntoDeserializer<'de, Misfit> for Node<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn number<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Misfit> {
    if let Ok(number) = text.parse() {
        return visitor.visit_u64(number);
    }
    if let Ok(number) = text.parse() {
        return visitor.visit_i64(number);
    }
    visitor.visit_f64(text.parse().map_err(Misfit::custom)?)
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let read = match self.0 {
            Value::StringLit(text) => visitor.visit_str(&text.value),
            Value::NumberLit(digits) => number(digits.value, visitor),
            Value::BooleanLit(truth) => visitor.visit_bool(truth.value),
            Value::NullKeyword(_) => visitor.visit_unit(),
            Value::Array(array) => visitor.visit_seq(SeqDeserializer::new(array.elements.iter().map(Node))),
            Value::Object(object) => visitor.visit_map(Properties { left: object.properties.iter(), value: None }),
        };
        at(self.0, read)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if matches!(self.0, Value::NullKeyword(_)) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if is_spanned(name) {
            let range = self.0.range();
            return at(self.0, visitor.visit_map(SpannedDeserializer::new(self, range.start..range.end)));
        }
        if is_datetime(name) {
            let date = self.0.as_string_lit().and_then(|text| text.value.parse::<Datetime>().ok());
            let date = date.ok_or_else(|| Misfit::custom("a date is a string like \"2026-12-31T00:00:00Z\""));
            return at(self.0, date.and_then(|date| visitor.visit_map(DatetimeDeserializer::new(date))));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let text = self.0.as_string_lit().ok_or_else(|| Misfit::custom("a string is wanted"));
        at(self.0, text.and_then(|text| visitor.visit_enum(text.value.as_ref().into_deserializer())))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Properties<'a> {
    left: std::slice::Iter<'a, ObjectProp<'a>>,
    value: Option<&'a ObjectProp<'a>>,
}

impl<'de> MapAccess<'de> for Properties<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        self.value = self.left.next();
        let Some(property) = self.value else { return Ok(None) };
        let name: serde::de::value::StrDeserializer<'_, Misfit> = property.name.as_str().into_deserializer();
        at(property, seed.deserialize(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let property = self.value.ok_or_else(|| Misfit::custom("a value without a key"))?;
        at(property, seed.deserialize(Node(&property.value)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::compile;

    const POLICY: &str = r#"{
  "description": "caf\u00e9", "default": true,
  "starts": "2026-01-01T00:00:00Z",
  "chains": [31337],
  "account": { "existing": "any" },
  "call": [
    {
      "to": ["0x0101010101010101010101010101010101010101"],
      "functions": null,
      "arguments": [{ "word": 0, "eq": "0x05" }]
    }
  ],
  "gas": { "times_simulated": 2.5 },
  "limit": [{ "per": "user", "amount": "2 operations", "every": "1 day" }]
}"#;
    /// The same.
    const TOML: &str = r#"
description = "café"
default = true
starts = 2026-01-01T00:00:00Z
chains = [31337]
account = { existing = "any" }
gas = { times_simulated = 2.5 }
[[call]]
to = ["0x0101010101010101010101010101010101010101"]
arguments = [{ word = 0, eq = "0x05" }]
[[limit]]
per = "user"
amount = "2 operations"
every = "1 day"
"#;

    #[test]
    fn json_says_what_toml_says() {
        let read = |text: &str| {
            let mut policy = compile(text, "p", &BTreeMap::new()).unwrap();
            policy.source.clear();
            policy
        };
        assert_eq!(read(POLICY), read(TOML));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_key() {
        for (right, wrong, line, column, field) in [
            ("\"default\": true", "\"default\": tru", 2, 45, ""),
            ("\"default\": true", "\"defaults\": true", 2, 31, "defaults"),
            ("2026-01-01T00:00:00Z", "soon", 3, 13, "starts"),
            ("2026-01-01T00:00:00Z", "2026-01-01", 3, 13, "starts"),
            ("31337", "\"base\"", 4, 14, "chains"),
            ("\"any\"", "\"some\"", 5, 28, "account.existing"),
            ("\"word\": 0", "\"word\": -1", 10, 31, "call.arguments.word"),
            ("\"0x05\"", "\"five\"", 10, 40, "call.arguments.eq"),
            ("\"word\": 0, ", "", 10, 21, "call.arguments"),
            ("2 operations", "2 apples", 14, 40, "limit.amount"),
            ("\"per\": \"user\"", "\"per\": \"user\", \"per\": \"key\"", 14, 13, "limit"),
        ] {
            let text = POLICY.replacen(right, wrong, 1);
            let error = compile(&text, "p", &BTreeMap::new()).unwrap_err();
            assert_eq!((error.line, error.column, error.field.as_str()), (line, column, field), "{wrong}: {error}");
        }
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        assert!(compile(&deep, "p", &BTreeMap::new()).unwrap_err().message.contains("recursion"));
    }
}
