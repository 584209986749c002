//! YAML as Kubernetes reads it, and hostile YAML.

use super::*;
use crate::path::Segment;

fn decode(text: &str) -> Result<String, YamlError> {
    let arena = Arena::new();
    let documents = documents(text);
    let mut all = Vec::new();
    for document in documents {
        all.push(document.decode(&arena)?.map_or("nothing".to_owned(), |value| value.to_string()));
    }
    Ok(all.join(" "))
}

fn fails(text: &str, position: &str, reason: &str) {
    let error = decode(text).unwrap_err();
    assert!(error.reason.contains(reason), "{error}");
    assert_eq!(error.position.to_string(), position, "{error}");
}

#[test]
fn scalars_resolve_as_in_kubectl() {
    for (yaml, json) in [
        ("yes", "true"),
        ("Off", "false"),
        ("y", "true"),
        ("'yes'", "\"yes\""),
        ("~", "null"),
        ("", "null"),
        ("0644", "420"),
        ("0o17", "15"),
        ("00", "0"),
        ("0x1F", "31"),
        ("0b11", "3"),
        ("1_000", "1000"),
        ("-12", "-12"),
        ("-0x10", "-16"),
        ("+7", "7"),
        ("089", "89.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("1.5", "1.5"),
        ("1e3", "1000.0"),
        (".5", "0.5"),
        ("1.2.3", "\"1.2.3\""),
        ("100m", "\"100m\""),
        ("0x", "\"0x\""),
        ("2026-01-01", "\"2026-01-01\""),
        ("!!str 7", "\"7\""),
        ("!!int '7'", "7"),
        ("nothing", "\"nothing\""),
        ("NaN", "\"NaN\""),
        ("v1", "\"v1\""),
        ("'don''t'", "\"don't\""),
        ("\"a\\nb\"", "\"a\\nb\""),
        ("|-\n    a\n    b", "\"a\\nb\""),
    ] {
        assert_eq!(decode(&format!("k: {yaml}\n")).unwrap(), format!("{{\"k\":{json}}}"), "{yaml}");
    }
}

#[test]
fn streams_are_split_as_the_specification_says() {
    assert_eq!(
        decode("a: 1\n---\nb: 2\n--- {c: 3}\n---\n# nothing\n--- \nd: |\n  x\n  --- y\n").unwrap(),
        "{\"a\":1} {\"b\":2} {\"c\":3} nothing {\"d\":\"x\\n--- y\\n\"}"
    );
    assert_eq!(decode("%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 1\n").unwrap(), "{\"a\":1} {\"b\":1}");
    assert_eq!(decode("---\r\na: 1\r\n---\r\nb: 2\r\n").unwrap(), "{\"a\":1} {\"b\":2}");
    assert_eq!(decode("\n# only\n").unwrap(), "nothing");
    assert_eq!(decode("{\"a\":\t[1,\n\t2]}").unwrap(), "{\"a\":[1,2]}");
}

#[test]
fn anchors_and_merges_are_followed() {
    let text = "base: &b {x: 1, y: 2}\nk: {<<: *b, y: 3}\nl: *b\nm:\n  <<: [*b, {x: 9, z: 4}]\n  \"a\": 0\n";
    assert_eq!(
        decode(text).unwrap(),
        r#"{"base":{"x":1,"y":2},"k":{"y":3,"x":1},"l":{"x":1,"y":2},"m":{"a":0,"x":1,"y":2,"z":4}}"#
    );
}

#[test]
fn ambiguous_merge_keys_are_rejected() {
    assert_eq!(decode("k: {\"<<\": {x: 1}}\n").unwrap(), r#"{"k":{"<<":{"x":1}}}"#, "a quoted `<<` is a key");
    assert_eq!(decode("k: {y: 1, <<: {x: 1}}\n").unwrap(), r#"{"k":{"y":1,"x":1}}"#);
    fails("k: {x: 1, <<: {x: 2}}\n", "1:20", "key `x` before `<<`");
    fails("k: {<<: {x: 2}, <<: {y: 2}}\n", "1:26", "duplicate `<<`");
    fails("k: {<<: 7}\n", "1:9", "must merge a mapping, is an integer");
}

#[test]
fn hostile_text_takes_no_quadratic_time() {
    // Each of these took seconds or minutes before it was fixed. The test does not measure time, but you would notice.
    let aliases = "- &a x\n".repeat(100_000) + &"- *a\n".repeat(100_000);
    assert!(decode(&aliases).is_ok());
    let keys: String = (0..100_000).map(|i| format!("  k{i}: 0\n")).collect();
    assert!(decode(&format!("a: &a\n{keys}b:\n  <<: *a\n")).is_ok());
    let text = format!("a:\n{keys}");
    let places = documents(&text)[0].places();
    for i in (0..100_000).rev() {
        let path = FieldPath(vec![Segment::Key("a".to_owned()), Segment::Key(format!("k{i}"))]);
        assert_eq!(places.of(&path).line, i + 2);
    }
}

#[test]
fn json_is_read_as_json() {
    assert_eq!(decode(r#"{"a":"\ud83d\ude00\/"}"#).unwrap(), r#"{"a":"😀/"}"#);
    assert_eq!(decode("[1, # no JSON\n 2]").unwrap(), "[1,2]");
    fails(r#"{"a":1,"a":2}"#, "1:8", "duplicate key `a`");
}

#[test]
fn hostile_yaml_errors_have_a_position() {
    fails("a: 1\n---\nb: 1\nb: 2\n", "4:1", "duplicate key `b`");
    let many: String = (0..100).map(|i| format!("k{}: 0\n", i % 99)).collect();
    assert!(decode(&many).unwrap_err().reason.contains("duplicate key `k0`"));
    fails("a:\n\tb: 1\n", "2:2", "tab");
    fails("a: x\u{0}\nb: 1\n", "1:5", "character U+0000 is not allowed");
    fails("a: x # \u{2028}b: 1\n", "1:8", "character U+2028");
    fails("a: x\nb: é # \u{85}c: 1\n", "2:8", "character U+0085");
    assert_eq!(decode("a: \"\u{e9}\u{20ac}\"\n").unwrap(), "{\"a\":\"é€\"}");
    assert_eq!(decode("{\"a\": \"\u{2028}\"}").unwrap(), "{\"a\":\"\u{2028}\"}");
    fails("a: &a [*a]\n", "1:8", "within its own anchor");
    fails("a: !Secret x\n", "1:4", "tag `!Secret`");
    fails("? [a]\n: 1\n", "1:3", "a key must be a string");
    fails("a: *b\n", "1:4", "unknown anchor");
    assert!(decode(&"[".repeat(100_000)).unwrap_err().reason.contains("recursion limit"));
    fails(&format!("a: {}\n", "{b: ".repeat(200)), "1:512", "more than 128 levels deep");
    assert!(decode("a: [1\n").is_err());
    assert!(decode("a: 'x\n").is_err());
}

#[test]
fn anchors_that_explode_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    let error = decode(&text).unwrap_err();
    assert!(error.reason.contains("more than 2000000 values"), "{error}");
}

/// Every recursion over a value relies on the depth limit, so aliases count too.
#[test]
fn aliases_count_towards_the_depth_limit() {
    let mut text = "x0: &a0 [0]\n".to_owned();
    for i in 1..100 {
        text.push_str(&format!("x{i}: &a{i} [[*a{}]]\n", i - 1));
    }
    assert!(decode(&text).unwrap_err().reason.contains("more than 128 levels deep, with aliases expanded"));
    let fits: String = text.lines().take(60).map(|line| format!("{line}\n")).collect();
    assert!(decode(&fits).is_ok());
}

#[test]
fn one_long_line_is_read() {
    let text = format!("a: {}\n", "x".repeat(10_000_000));
    assert_eq!(decode(&text).unwrap().len(), 10_000_000 + "{\"a\":\"\"}".len());
    assert!(decode(&"{".repeat(10_000_000)).is_err());
}

#[test]
fn fields_have_positions() {
    let text = "# x\n---\nspec:\n  containers:\n  - name: web\n    securityContext: {privileged: true}\n  é: {b: 1}\n";
    let documents = documents(text);
    let key = |key: &str| Segment::Key(key.to_owned());
    let paths = [
        FieldPath(vec![
            key("spec"),
            key("containers"),
            Segment::Index(0),
            key("securityContext"),
            key("privileged"),
        ]),
        FieldPath(vec![key("spec"), key("containers"), Segment::Index(0)]),
        FieldPath(vec![key("spec"), key("containers"), Segment::Index(0), key("missing"), key("deeper")]),
        FieldPath(vec![key("spec"), key("é"), key("b")]),
        FieldPath(vec![]),
    ];
    let places = documents[0].places();
    let found: Vec<String> = paths.iter().map(|path| places.of(path).to_string()).collect();
    assert_eq!(found, ["6:23", "5:5", "5:5", "7:7", "3:1"]);
}
