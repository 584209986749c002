//! The settings: how to handle mistakes, and the exporters.

use policy_kubernetes::ImageReference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use policy_kubernetes::exporters::EXPORTERS;

/// How to handle a mistake in a pod that should get an exporter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnMissing {
    /// Admit the pod without the exporter; warn if the pod itself requested one.
    #[default]
    Allow,
    /// Deny the pod.
    Deny,
}

/// Changes a built-in exporter, where each omitted field keeps its built-in value, or adds a new one. In `args` and `env`,
/// `{port}`, `{username}` and `{variable}` (the variable that gets the Secret's key) are filled in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct ExporterSettings {
    /// The name of a built-in exporter to change, or of a new exporter to add.
    pub name: String,
    /// The image, with a tag or a digest.
    pub image: Option<String>,
    /// The port that the exporter listens on.
    pub port: Option<u32>,
    /// The arguments. They replace all built-in arguments.
    pub args: Option<Vec<String>>,
    /// Environment variables, added to the built-in ones or replacing them by name. Use a Secret for passwords.
    pub env: Option<Vec<Variable>>,
    /// The Secret and its key, `SECRET/KEY`, for pods that do not name one.
    pub secret: Option<String>,
    /// The environment variable that gets the value of the Secret's key.
    pub secret_variable: Option<String>,
    /// Whether the exporter requires a Secret. If it does and no Secret is named, it is not added.
    pub needs_secret: Option<bool>,
    /// The database user.
    pub username: Option<String>,
    /// The user ID to run as, not 0.
    pub run_as_user: Option<u32>,
    /// The path of the liveness probe; it should not query the database. If empty, the probe opens a TCP connection.
    pub liveness_path: Option<String>,
    /// The CPU request and limit.
    pub cpu: Option<AmountSettings>,
    /// The memory request and limit.
    pub memory: Option<AmountSettings>,
    /// The images that the exporter is for, by the last segment of their path. Use `parent/name` to match two segments, and
    /// `name:word` to require a word in the tag.
    pub images: Option<Vec<String>>,
    /// The programs that these images run as servers. A container that runs another program does not match.
    pub programs: Option<Vec<String>>,
}

/// An environment variable.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A request and a limit, as Kubernetes quantities.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmountSettings {
    /// The request.
    pub request: String,
    /// The limit.
    pub limit: String,
}

impl ExporterSettings {
    /// Checks the constraints that the types cannot express.
    pub(crate) fn validate(&self, is_built_in: bool) -> Result<(), String> {
        if !is_built_in && (self.image.is_none() || self.port.is_none()) {
            return Err("must have an image and a port, because the exporter is not built in".to_owned());
        }
        self.image.as_deref().map_or(Ok(()), exact_image)?;
        for (wrong, reason) in [
            (self.port.is_some_and(|port| !(1..=65535).contains(&port)), "port: must be from 1 to 65535"),
            (
                self.run_as_user.is_some_and(|user| !(1..=0x7fff_ffff).contains(&user)),
                "runAsUser: must be from 1 to 2147483647",
            ),
            (
                self.liveness_path.as_ref().is_some_and(|p| !p.is_empty() && !p.starts_with('/')),
                "livenessPath: must start with /",
            ),
            (
                !is_built_in && self.needs_secret == Some(true) && self.secret_variable.is_none(),
                "needsSecret: secretVariable must be set",
            ),
        ] {
            if wrong {
                return Err(reason.to_owned());
            }
        }
        self.check_names()?;
        if let Some(secret) = self.secret.as_ref().filter(|secret| secret_key(secret).is_none()) {
            return Err(format!("secret: must be SECRET/KEY, is `{secret}`"));
        }
        for (resource, AmountSettings { request, limit }) in
            self.cpu.iter().map(|cpu| ("cpu", cpu)).chain(self.memory.iter().map(|memory| ("memory", memory)))
        {
            let read = |text: &str| {
                quantity(text).ok_or_else(|| {
                    format!("{resource}: `{text}` must be a whole quantity, such as 10m or 32Mi")
                })
            };
            if read(request)? > read(limit)? {
                return Err(format!("{resource}: `{request}` must not be more than its limit `{limit}`"));
            }
        }
        Ok(())
    }
}

impl ExporterSettings {
    /// Checks that variable names are valid and unique, and that none is the Secret's variable.
    fn check_names(&self) -> Result<(), String> {
        let built_in = EXPORTERS.iter().find(|exporter| exporter.name == self.name);
        let built_in = built_in.and_then(|exporter| exporter.credentials.as_ref()).map(|c| c.variable);
        let secret = self.secret_variable.as_deref().or(built_in).unwrap_or("-");
        let env = self.env.as_deref().unwrap_or_default();
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'=');
        for (i, Variable { name, .. }) in env.iter().enumerate() {
            if !is_name(name) || name == secret || env.iter().take(i).any(|earlier| earlier.name == *name) {
                return Err(format!(
                    "env: `{name}` must be a valid name, be listed once, and not be the Secret's variable"
                ));
            }
        }
        match is_name(secret) {
            true => Ok(()),
            false => Err("secretVariable: must be a valid name".to_owned()),
        }
    }
}

/// Checks all exporters of the settings.
pub(crate) fn validate(exporters: &[ExporterSettings]) -> Result<(), String> {
    for (i, exporter) in exporters.iter().enumerate() {
        let name = exporter.name.as_str();
        // `NAME-exporter` names the container, `exporter-PORT` its port.
        let is_name = (1..=50).contains(&name.len())
            && !name.starts_with('-')
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_name || matches!(name, "auto" | "false") {
            return Err(format!(
                "exporters: `{name}` must be a name of lower case letters, digits and dashes"
            ));
        }
        if exporters.iter().take(i).any(|earlier| earlier.name == name) {
            return Err(format!("exporters: `{name}` is listed twice"));
        }
        let is_built_in = EXPORTERS.iter().any(|exporter| exporter.name == name);
        exporter.validate(is_built_in).map_err(|reason| format!("exporters: {name}: {reason}"))?;
    }
    Ok(())
}

/// Requires an image with a digest, or a tag other than `latest`, because others change without notice.
fn exact_image(image: &str) -> Result<(), String> {
    let reference = ImageReference::parse(image).map_err(|matter| format!("image: `{image}` {matter}"))?;
    if reference.digest.is_none() && reference.tag.is_none_or(|tag| tag == "latest") {
        return Err(format!("image: `{image}` must have a tag other than latest, or a digest"));
    }
    Ok(())
}

/// Splits `SECRET/KEY` if it is valid: a Secret's name is a DNS subdomain, a key has letters, digits and `-_.`.
pub(crate) fn secret_key(text: &str) -> Option<(&str, &str)> {
    let (name, key) = text.split_once('/')?;
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &[u8]| {
        let ends = [label.first(), label.last()].map(|end| end.is_some_and(word));
        ends == [true; 2] && label.iter().all(|byte| word(byte) || *byte == b'-')
    };
    let is_name = name.as_bytes().split(|byte| *byte == b'.').all(label);
    let is_key = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let fits = (1..=253).contains(&name.len()) && (1..=253).contains(&key.len());
    (is_name && is_key && fits && key != "." && !key.starts_with("..")).then_some((name, key))
}

/// Parses a positive quantity, in thousandths (k8s.io/apimachinery, `resource.ParseQuantity`, whole numbers without exponents).
fn quantity(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits)?;
    let factor = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|amount| *amount > 0)
}
