//! Settings, deserialized with serde from the decoded tree: one parser for all text, and errors that name the expected type.

use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use crate::value::Value;

/// Why settings do not match the struct of the policy.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingsMismatch(String);

impl fmt::Display for SettingsMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsMismatch {}

impl Error for SettingsMismatch {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        SettingsMismatch(reason.to_string())
    }

    fn invalid_type(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let is = match is {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
            Unexpected::Float(_) => "a number",
            Unexpected::Str(_) => "a string",
            Unexpected::Seq => "a list",
            Unexpected::Map => "an object",
            _ => "null",
        };
        SettingsMismatch(format!("must be {expected}, is {is}"))
    }

    fn invalid_value(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(is, expected)
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = SettingsMismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visitor.visit_i64(value),
            Value::Uint(value) => visitor.visit_u64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().copied())),
            Value::Object(members) => visitor.visit_map(MapDeserializer::new(members.iter().copied())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self {
            Value::String(variant) => visitor.visit_enum(BorrowedStrDeserializer::new(variant)),
            other => Err(Self::Error::custom(format_args!("must be a string, is {}", other.describe()))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, SettingsMismatch> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
