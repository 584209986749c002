//! What a monitor has Prometheus throw away of what it scrapes, by the name of the series.
//!
//! Source: prometheus.io/docs/prometheus/latest/configuration/configuration, `relabel_config`: the regular expression is anchored
//! at both ends, and is `(.*)` where none is given.

use policy_core::{Field, Undecided};

/// What Prometheus says of the scrape itself, which no rule looks at.
const OF_SCRAPE: [&str; 5] = [
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
    "up",
];
/// The longest expression that is read, in bytes.
const LONGEST: usize = 1000;
/// Stands for any one character in what an expression was made into.
const ANY: u8 = b'?';

/// The rule among an endpoint's `metricRelabelings` that drops a series of that name, if one does. A rule that looks at other
/// labels too, or whose expression is more than words and `.*`, is taken to drop none.
pub(crate) fn by<'a>(endpoint: Field<'a>, series: &str) -> Result<Option<Field<'a>>, Undecided> {
    if OF_SCRAPE.contains(&series) {
        return Ok(None);
    }
    for rule in endpoint.at("metricRelabelings").items()? {
        // Whatever it is called afterwards: which name is asked for then cannot be told.
        if rule.at("targetLabel").text()? == "__name__" {
            return Ok(None);
        }
        let mut labels = Vec::new();
        for label in rule.at("sourceLabels").items()? {
            labels.push(label.text()?);
        }
        let value = match labels.as_slice() {
            [] => "",
            ["__name__"] => series,
            _ => continue,
        };
        // The operator leaves out what is empty.
        let regex = rule.at("regex").str()?.filter(|regex| !regex.is_empty());
        let taken = takes(regex.unwrap_or(".*"), value);
        let drops = match rule.at("action").text()? {
            action if action.eq_ignore_ascii_case("drop") => taken == Some(true),
            action if action.eq_ignore_ascii_case("keep") => taken == Some(false),
            _ => false,
        };
        if drops {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}

/// Whether an expression takes a name; `None` where that cannot be told.
fn takes(regex: &str, name: &str) -> Option<bool> {
    let regex = regex.trim_start_matches('^').trim_end_matches('$');
    if regex.len() > LONGEST || regex.trim_start_matches("(?:").contains('?') {
        return None;
    }
    let (before, group, after) = match regex.split_once('(') {
        None => ("", regex, ""),
        Some((before, rest)) => {
            let (group, after) = rest.split_once(')')?;
            if before.contains('|') || after.contains(['|', '(']) {
                return None;
            }
            (before, group.trim_start_matches("?:"), after)
        }
    };
    let mut any = false;
    for part in group.split('|') {
        // `.+` is any character, and then more of them.
        let whole = [before, part, after].concat().replace(".+", "?.*");
        let is_plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:?".contains(&b));
        if !whole.split(".*").all(is_plain) {
            return None;
        }
        any |= is_of(&whole, name);
    }
    Some(any)
}

/// Whether a name is of words with `.*` between them; a question mark is any character.
fn is_of(words: &str, name: &str) -> bool {
    let begins = |name: &[u8], word: &str| {
        name.len() >= word.len() && word.bytes().zip(name).all(|(word, own)| word == ANY || word == *own)
    };
    let Some((first, rest)) = words.split_once(".*") else {
        return name.len() == words.len() && begins(name.as_bytes(), words);
    };
    let (middle, last) = rest.rsplit_once(".*").map_or((None, rest), |(middle, last)| (Some(middle), last));
    let Some(inner) = name.len().checked_sub(last.len()) else { return false };
    let (inner, end) = name.as_bytes().split_at(inner);
    if !begins(end, last) || !begins(inner, first) {
        return false;
    }
    // Each as far to the left as it stands.
    let mut left = inner.get(first.len()..).unwrap_or_default();
    middle.into_iter().flat_map(|middle| middle.split(".*")).all(|word| {
        let found = (0..=left.len()).find(|at| left.get(*at..).is_some_and(|rest| begins(rest, word)));
        left = found.and_then(|at| left.get(at + word.len()..)).unwrap_or_default();
        found.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::takes;

    #[test]
    fn expressions_of_words_are_told() {
        for (regex, name, taken) in [
            ("http_requests_total", "http_requests_total", Some(true)),
            ("http_requests", "http_requests_total", Some(false)),
            ("http_.*", "http_requests_total", Some(true)),
            ("http_.+", "http_", Some(false)),
            ("http_.+", "http_x", Some(true)),
            (".*_bucket|.*_total", "http_requests_total", Some(true)),
            ("(go|process)_.*", "process_cpu_seconds_total", Some(true)),
            ("(?:go|process)_.*", "http_requests_total", Some(false)),
            (".*a.*b.*", "xaybz", Some(true)),
            (".*a.*b.*", "xbya", Some(false)),
            ("ab.*ba", "aba", Some(false)),
            ("", "x", Some(false)),
            ("http_[a-z]+", "http_x", None),
            ("a|(b)", "a", None),
            ("(a", "a", None),
            ("^http_.*$", "http_x", Some(true)),
            ("https?_requests", "http_requests", None),
            ("(my_)?http_.*", "http_x", None),
            ("(?i)http_.*", "http_x", None),
            ("a.+?", "ab", None),
        ] {
            assert_eq!(takes(regex, name), taken, "{regex} {name}");
        }
        let many = ".*a".repeat(300);
        assert_eq!(takes(&many, &"a".repeat(299)), Some(false));
        assert_eq!(takes(&"a".repeat(2000), "a"), None);
    }
}
