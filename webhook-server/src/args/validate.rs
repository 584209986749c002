//! Validation of command-line values.

#[cfg(feature = "server")]
use std::net::SocketAddr;

/// The name of a namespace or a Service: a DNS label (RFC 1123).
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=63).contains(&text.len())
        && text.starts_with(is_inner)
        && text.ends_with(is_inner)
        && text.chars().all(|c| is_inner(c) || c == '-');
    match fits {
        true => Ok(text.to_owned()),
        false => {
            Err("must be a DNS label: at most 63 characters of a-z, 0-9 and -, starting and ending with a letter or digit"
                .to_owned())
        }
    }
}

/// `NAMESPACE/NAME`.
pub(super) fn namespaced(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, other)) => Ok((name(namespace)?, name(other)?)),
        None => Err("must be NAMESPACE/NAME".to_owned()),
    }
}

/// The URL of the webhook: `https://HOST` or `https://HOST:PORT`, without a path.
pub(super) fn url(text: &str) -> Result<String, String> {
    let refused = || "must be https://HOST or https://HOST:PORT, without a path".to_owned();
    let url: http::Uri = text.parse().map_err(|_| refused())?;
    let authority = url.authority().ok_or_else(refused)?;
    let port_is_well = match authority.as_str().rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().is_ok_and(|port| port > 0),
        _ => true,
    };
    let fits = url.scheme_str() == Some("https")
        && !authority.host().is_empty()
        && !authority.as_str().contains('@')
        && port_is_well
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && !text.contains('#');
    if fits { Ok(format!("https://{authority}")) } else { Err(refused()) }
}

/// A host and a path as in an image reference, such as `registry.example.com/policies`.
pub(super) fn registry(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("registry://").unwrap_or(text).trim_end_matches('/');
    let fits = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c))
        && !text.contains("//");
    match fits {
        true => Ok(text.to_owned()),
        false => Err("must be HOST/PATH, such as registry.example.com/policies".to_owned()),
    }
}

#[cfg(feature = "server")]
/// A loopback address with a port.
pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().map_err(|_| "must be ADDRESS:PORT, such as 127.0.0.1:8088".to_owned());
    let is_loopback = |address: &SocketAddr| address.ip().is_loopback();
    address.and_then(|address| match is_loopback(&address) {
        true => Ok(address),
        false => Err("must be a loopback address, because the page is for local use only; \
                      to publish it on a server, run `just site DIR`"
            .to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_names_and_urls_are_rejected() {
        for wrong in ["", "*", "a]", "a # b", "x: y", "Team_A", "-a", "a.b", "a\nb"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(name("2024"), Ok("2024".to_owned()));
        for wrong in ["a", "a/", "/b", "a/b:c", "A/b", "a/b\nc: d", "a/b/c"] {
            assert!(namespaced(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "http://h",
            "https://",
            "https://h:8443 #",
            "https://h\n  x: y",
            "https://h: 8443",
            "https://h?x=1",
            "https://h/validate",
            "https://h#f",
            "https://u:p@h",
            "https://h:99999",
            "https://h:",
            "https://h\"",
            "h:8443",
            "",
        ] {
            assert!(url(wrong).is_err(), "{wrong}: {:?}", url(wrong));
        }
        for (right, read) in [
            ("https://h", "https://h"),
            ("https://127.0.0.1:8443/", "https://127.0.0.1:8443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("https://[::1]", "https://[::1]"),
        ] {
            assert_eq!(url(right), Ok(read.to_owned()));
        }
        for wrong in ["", "r #", "/x", "a//b", "a\nb"] {
            assert!(registry(wrong).is_err(), "{wrong}");
        }
        assert_eq!(registry("registry://ghcr.io/x/"), Ok("ghcr.io/x".to_owned()));
    }

    #[test]
    fn only_loopback_addresses_are_accepted() {
        for wrong in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "localhost", "127.0.0.1", ""] {
            assert!(loopback(wrong).is_err(), "{wrong}");
        }
        assert!(loopback("127.0.0.1:0").is_ok() && loopback("[::1]:8088").is_ok());
    }
}
