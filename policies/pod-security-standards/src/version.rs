//! Versions of the standards: minor versions of Kubernetes.

use std::fmt;

use policy_core::path::excerpt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A version of the standards, identified by a minor version of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^(latest|v1\.(0|[1-9][0-9]*))$"))]
pub struct Version(u32);

impl Version {
    /// The first version.
    pub const FIRST: Version = Version(0);
    /// The newest version with a known change to a control.
    pub const LATEST: Version = Version(37);

    /// Version `v1.<minor>`.
    pub const fn v1(minor: u32) -> Self {
        Version(minor)
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::LATEST
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    /// Parses `latest` or `v1.<minor>` without leading zeros, like the labels of Pod Security Admission.
    fn try_from(text: String) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Self::LATEST);
        }
        let minor = text.strip_prefix("v1.").filter(|minor| {
            minor.bytes().all(|byte| byte.is_ascii_digit()) && (*minor == "0" || !minor.starts_with('0'))
        });
        match minor {
            // A number too large for u32 is newer than the newest version.
            Some(minor) if !minor.is_empty() => {
                Ok(Version(minor.parse().unwrap_or(u32::MAX)).min(Self::LATEST))
            }
            _ => Err(format!("version: must be `latest` or like `v1.29`, is `{}`", excerpt(&text))),
        }
    }
}

impl From<Version> for String {
    /// Writes the newest version as `latest`, like the default of the setting.
    fn from(version: Version) -> String {
        if version == Version::LATEST { "latest".to_owned() } else { version.to_string() }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.{}", self.0)
    }
}
