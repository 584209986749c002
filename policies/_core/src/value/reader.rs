//! Reads a tree from any serde format into the arena.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Arena, Member, Value, repeated_key};

/// Buffers for members and items until their object or list is complete; one pair for the whole tree.
pub(super) struct Scratch<'a> {
    arena: &'a Arena,
    members: Vec<Member<'a>>,
    items: Vec<Value<'a>>,
    pub(super) repeated_key: Option<&'a str>,
}

impl<'a> Scratch<'a> {
    pub(super) fn new(arena: &'a Arena) -> Self {
        Scratch { arena, members: Vec::with_capacity(32), items: Vec::with_capacity(16), repeated_key: None }
    }
}

pub(super) struct Reader<'a, 's>(pub(super) &'s mut Scratch<'a>);

impl<'a> DeserializeSeed<'a> for Reader<'a, '_> {
    type Value = Value<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Value<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Reader<'a, '_> {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'a>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'a>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'a>, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'a>, E> {
        Ok(i64::try_from(value).map_or(Value::Uint(value), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'a>, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<Value<'a>, E> {
        Ok(Value::String(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'a>, E> {
        Ok(Value::String(self.0.arena.text(value)))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<Value<'a>, A::Error> {
        let start = self.0.items.len();
        while let Some(item) = access.next_element_seed(Reader(self.0))? {
            self.0.items.push(item);
        }
        let list = self.0.arena.list(self.0.items.get(start..).unwrap_or_default());
        self.0.items.truncate(start);
        Ok(list)
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<Value<'a>, A::Error> {
        let start = self.0.members.len();
        while let Some(key) = access.next_key_seed(KeyReader(self.0.arena))? {
            let value = access.next_value_seed(Reader(self.0))?;
            self.0.members.push((key, value));
        }
        let members = self.0.members.get(start..).unwrap_or_default();
        // Stored instead of returned, because the code for another serde_json error makes every guest 4 KB larger.
        self.0.repeated_key = self.0.repeated_key.or_else(|| repeated_key(members));
        let object = self.0.arena.object(members);
        self.0.members.truncate(start);
        Ok(object)
    }
}

struct KeyReader<'a>(&'a Arena);

impl<'a> DeserializeSeed<'a> for KeyReader<'a> {
    type Value = &'a str;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<&'a str, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for KeyReader<'a> {
    type Value = &'a str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<&'a str, E> {
        Ok(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<&'a str, E> {
        Ok(self.0.text(value))
    }
}
