//! Resolves YAML scalars as Kubernetes does.

use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};

use crate::path::excerpt;
use crate::value::{Arena, Value};

/// The text, borrowed from the document if it is there unchanged.
pub(super) fn borrow<'a>(text: Cow<'a, str>, arena: &'a Arena) -> &'a str {
    match text {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => arena.text(&text),
    }
}

/// The value of a scalar: determined by its tag if it has one, a string if it is quoted, otherwise determined by its form.
pub(super) fn value<'a>(
    text: Cow<'a, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    arena: &'a Arena,
) -> Result<Value<'a>, String> {
    let text = borrow(text, arena);
    let string = || Value::String(text);
    let plain = || plain(text).unwrap_or_else(string);
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { plain() } else { string() });
    };
    if tag.is_yaml_core_schema() || (tag.handle == "!" && tag.suffix.is_empty()) {
        let value = match tag.suffix.as_str() {
            "str" | "" => Some(string()),
            "int" => Some(plain()).filter(|value| matches!(value, Value::Int(_) | Value::Uint(_))),
            "float" => Some(plain()).filter(|value| matches!(value, Value::Int(_) | Value::Float(_))),
            "bool" => Some(plain()).filter(|value| matches!(value, Value::Bool(_))),
            "null" => Some(Value::Null),
            _ => None,
        };
        return value.ok_or_else(|| format!("`{}` is not valid for tag `!!{}`", excerpt(text), tag.suffix));
    }
    Err(format!("tag `{}{}` has no JSON equivalent", tag.handle, tag.suffix))
}

/// A plain scalar that is not a string (go-yaml v2, `resolve.go`, by way of `sigs.k8s.io/yaml`).
fn plain<'a>(text: &str) -> Option<Value<'a>> {
    let first = text.bytes().next();
    // Most scalars are words, which the first byte shows.
    if !matches!(first, None | Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'~'))
        && !matches!(first, Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O'))
    {
        return None;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Some(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Some(Value::Bool(false));
        }
        _ => {}
    }
    if !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    integer(text).or_else(|| float(text))
}

/// Decimal, `0x`, `0b`, `0o` and, with a leading zero, octal; underscores are dropped.
fn integer<'a>(text: &str) -> Option<Value<'a>> {
    let digits = text.replace('_', "");
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (radix, number) = match lower.as_str() {
        text if text.starts_with("0x") => (16, text.get(2..)?),
        text if text.starts_with("0b") => (2, text.get(2..)?),
        text if text.starts_with("0o") => (8, text.get(2..)?),
        text if text.len() > 1 && text.starts_with('0') => (8, text.get(1..)?),
        text => (10, text),
    };
    if number.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(number, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Value::Int);
    }
    Some(i64::try_from(magnitude).map_or(Value::Uint(magnitude), Value::Int))
}

fn float<'a>(text: &str) -> Option<Value<'a>> {
    let number = text.replace('_', "");
    let shape =
        number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    let number: f64 = if shape { number.parse().ok()? } else { return None };
    number.is_finite().then_some(Value::Float(number))
}
