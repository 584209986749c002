//! References to container images, parsed like container runtimes do, without guesses from substrings.

/// An image reference (github.com/distribution/reference): `[domain/]path[:tag][@digest]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageReference<'a> {
    /// The registry: `quay.io`, `localhost:5000`; `None` if the runtime uses its default.
    pub domain: Option<&'a str>,
    /// The path in the registry: `bitnami/mysql`.
    pub path: &'a str,
    /// The tag.
    pub tag: Option<&'a str>,
    /// The digest: `sha256:…`.
    pub digest: Option<&'a str>,
}

/// The maximum length of a repository (`reference.NameTotalLengthMax`).
const LONGEST: usize = 255;

impl<'a> ImageReference<'a> {
    /// Parses a reference.
    ///
    /// # Errors
    /// The problem, as a phrase to follow the image in a message: `has no valid tag`.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash starts a port, a colon after it starts a tag.
        let name_starts = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match rest.get(name_starts..).and_then(|name| name.split_once(':')) {
            Some((name, tag)) => (rest.get(..name_starts + name.len()).unwrap_or_default(), Some(tag)),
            None => (rest, None),
        };
        let (domain, path) = match repository.split_once('/') {
            Some((first, path)) if is_domain(first) => (Some(first), path),
            _ => (None, repository),
        };
        let matter = match () {
            () if text.is_empty() => Some("is empty"),
            () if repository.len() > LONGEST => Some("is longer than 255 characters"),
            () if domain.is_some_and(|domain| !is_valid_domain(domain)) => Some("has no valid registry"),
            () if !path.split('/').all(is_component) => Some("has no valid repository"),
            () if tag.is_some_and(|tag| !is_tag(tag)) => Some("has no valid tag"),
            () if digest.is_some_and(|digest| !is_digest(digest)) => Some("has no valid digest"),
            () if domain.is_none() && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Some("is an image ID, not a name")
            }
            () => None,
        };
        match matter {
            Some(matter) => Err(matter),
            None => Ok(ImageReference { domain, path, tag, digest }),
        }
    }

    /// The last segment of the path, which is the usual name of the image: `mysql` of `registry:5000/bitnami/mysql:8.4`.
    pub fn name(&self) -> &'a str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Whether the part before the first slash is a registry instead of the first part of the path (`splitDockerDomain`).
fn is_domain(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_valid_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        // The last colon may be inside the brackets of an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (domain, "0"),
    };
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|address| {
        address.contains(':') && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    });
    let is_label = |label: &[u8]| {
        let ends = [label.first(), label.last()].map(|end| end.is_some_and(u8::is_ascii_alphanumeric));
        ends == [true; 2] && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    is_port && (is_address || host.as_bytes().split(|byte| *byte == b'.').all(is_label))
}

/// Whether a path segment is valid: lowercase letters and digits, in groups joined by one dot, one or two underscores, or dashes.
fn is_component(component: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let component = component.as_bytes();
    let joins =
        |joint: &[u8]| matches!(joint, b"" | b"." | b"_" | b"__") || joint.iter().all(|byte| *byte == b'-');
    let ends = [component.first(), component.last()].map(|end| end.is_some_and(is_word));
    ends == [true; 2] && component.split(is_word).all(joins)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => hex.len() == 64,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32 && algorithm.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()),
    };
    length
        && hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
        && algorithm
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_parsed() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, domain, path, tag, has_digest) in [
            ("mysql", None, "mysql", None, false),
            ("mysql:8.4", None, "mysql", Some("8.4"), false),
            ("bitnami/mysql:8.4", None, "bitnami/mysql", Some("8.4"), false),
            ("host:5000/mysql", Some("host:5000"), "mysql", None, false),
            ("localhost/mysql", Some("localhost"), "mysql", None, false),
            ("Registry/mysql", Some("Registry"), "mysql", None, false),
            ("quay.io/a/b__c/d-e.f:x_Y.1", Some("quay.io"), "a/b__c/d-e.f", Some("x_Y.1"), false),
            ("[::1]:5000/mysql", Some("[::1]:5000"), "mysql", None, false),
            (&format!("mysql@{digest}"), None, "mysql", None, true),
            (&format!("r.io:443/mysql:8@{digest}"), Some("r.io:443"), "mysql", Some("8"), true),
        ] {
            let reference = ImageReference::parse(text).unwrap_or_else(|matter| panic!("{text} {matter}"));
            assert_eq!((reference.domain, reference.path, reference.tag), (domain, path, tag), "{text}");
            assert_eq!(reference.digest.is_some(), has_digest, "{text}");
        }
    }

    #[test]
    fn invalid_references_are_rejected() {
        for (text, matter) in [
            ("", "is empty"),
            ("MySQL", "has no valid repository"),
            ("my sql", "has no valid repository"),
            ("-mysql", "has no valid repository"),
            ("a___b", "has no valid repository"),
            ("a//b", "has no valid repository"),
            ("a/", "has no valid repository"),
            ("mysql:", "has no valid tag"),
            ("mysql:.8", "has no valid tag"),
            ("mysql:8:4", "has no valid tag"),
            ("mysql@sha256:abc", "has no valid digest"),
            ("mysql@", "has no valid digest"),
            ("-host.io/mysql", "has no valid registry"),
            ("host:port/mysql", "has no valid registry"),
            ("[::g]/mysql", "has no valid registry"),
            ("https://mysql", "has no valid registry"),
        ] {
            assert_eq!(ImageReference::parse(text).err(), Some(matter), "{text}");
        }
        assert!(ImageReference::parse(&"a/".repeat(200)).is_err());
        assert!(ImageReference::parse(&"0a".repeat(32)).is_err());
    }
}
