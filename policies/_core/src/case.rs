//! An example that is also a test: settings, cluster, request, object and the expected verdict in one file.

use crate::admit::{ConfiguredPolicy, admit};
use crate::cluster::{NoCluster, Objects};
use crate::field::{Field, Undecided};
use crate::policy::{PolicyDefinition, SettingsError};
use crate::request::Request;
use crate::value::{Arena, Member, Value};
use crate::verdict::{Finding, Outcome};
use crate::verdicts::{AdmissionPhase, Verdicts};
use crate::yaml::{self, YamlError};

const KEYS: [&str; 7] = ["policy", "issue", "settings", "cluster", "request", "object", "verdict"];

/// A case, decoded from its file.
#[derive(Debug)]
pub struct Case<'a> {
    /// The comment at the top of the file: the purpose of the case.
    pub why: String,
    /// The policy that the file names; most cases get it from their folder.
    pub policy: Option<&'a str>,
    /// The URL of the bug report that the case comes from.
    pub issue: Option<&'a str>,
    /// The settings as JSON.
    pub settings: String,
    /// The objects in the cluster; `None` if the policy runs without a cluster.
    pub cluster: Option<Vec<Value<'a>>>,
    /// The complete AdmissionRequest, as every host receives it.
    pub request: Value<'a>,
    /// The verdict that the file records, as YAML text.
    pub recorded: Option<&'a str>,
    /// The text before the verdict.
    before_verdict: &'a str,
}

/// A case that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The file is not valid YAML.
    #[error("{position}: {0}", position = .0.position)]
    Yaml(#[from] YamlError),
    /// The YAML is not a case.
    #[error("not a case: {0}")]
    Unreadable(#[from] Undecided),
    /// The settings are not valid for the policy.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The file name does not start with one of the four outcomes.
    #[error("a case's file name starts with allow-, deny-, warn- or patch-")]
    Name,
}

/// The expected outcome of a case: the first word of its file name.
///
/// # Errors
/// [`CaseError::Name`].
pub fn claim(file_stem: &str) -> Result<Outcome, CaseError> {
    let word = file_stem.split('-').next().unwrap_or_default();
    Outcome::parse(word).filter(|_| file_stem.len() > word.len()).ok_or(CaseError::Name)
}

impl<'a> Case<'a> {
    /// Decodes a case from the text of its file.
    ///
    /// # Errors
    /// [`CaseError`]: the YAML is not valid, a key is unknown, or the object is missing.
    pub fn decode(text: &'a str, arena: &'a Arena) -> Result<Self, CaseError> {
        let nothing = || Undecided { reason: "the file is empty".to_owned(), ..Undecided::default() };
        let document = yaml::documents(text).into_iter().next().ok_or_else(nothing)?;
        let root = Field::root(document.decode(arena)?.ok_or_else(nothing)?, arena);
        for (key, field) in root.members()? {
            if !KEYS.contains(&key) {
                Err(field.undecided(format!("must not be set: a case has {}", KEYS.join(", "))))?;
            }
        }
        let cluster = match root.at("cluster").is_set()? {
            false => None,
            true => Some(root.at("cluster").items()?.map(|o| value(o)).collect::<Result<_, _>>()?),
        };
        let (before_verdict, recorded) = split_verdict(text);
        Ok(Case {
            why: comment(text),
            policy: root.at("policy").str()?,
            issue: root.at("issue").str()?,
            settings: root.at("settings").value()?.map(Value::to_string).unwrap_or_default(),
            cluster,
            request: request(root, arena)?,
            recorded,
            before_verdict,
        })
    }

    /// Runs the case with one policy, natively.
    ///
    /// # Errors
    /// The settings are not valid for the policy, or the request cannot be read.
    pub fn run(&self, entry: &PolicyDefinition, arena: &'a Arena) -> Result<Verdicts<'a>, CaseError> {
        let policy = (entry.configure)(&self.settings)?;
        Ok(self.ask(&[ConfiguredPolicy { metadata: entry.metadata, policy }], arena)?)
    }

    /// Runs the case with policies that are already configured.
    ///
    /// # Errors
    /// The request cannot be read.
    pub fn ask(&self, policies: &[ConfiguredPolicy], arena: &'a Arena) -> Result<Verdicts<'a>, Undecided> {
        let request = Request::read(Field::root(self.request, arena))?;
        Ok(match &self.cluster {
            None => admit(policies, &request, &NoCluster, AdmissionPhase::Mutating),
            Some(objects) => {
                admit(policies, &request, &Objects::new(objects.clone(), "default"), AdmissionPhase::Mutating)
            }
        })
    }

    /// The text of the file with its verdict replaced.
    pub fn blessed(&self, verdict: &str) -> String {
        format!("{}\n{verdict}", self.before_verdict.trim_end())
    }
}

/// The verdict as YAML, in the form that case files use.
pub fn render(verdicts: &Verdicts<'_>) -> String {
    let list = |key: &str, findings: Vec<&Finding>| {
        let mut text = String::new();
        for (i, finding) in findings.iter().enumerate() {
            if i == 0 {
                text.push_str(&format!("  {key}:\n"));
            }
            text.push_str(&format!("  - field: {}\n", quoted(&finding.field.to_string())));
            text.push_str(&format!("    message: {}\n", quoted(&finding.message)));
            if let Some(control) = finding.control {
                text.push_str(&format!("    control: {control}\n"));
            }
        }
        text
    };
    let mut text = list("deny", verdicts.rows.iter().flat_map(|row| &row.verdict.denials).collect());
    text.push_str(&list("warn", verdicts.rows.iter().flat_map(|row| &row.verdict.warnings).collect()));
    for (i, operation) in verdicts.patch().iter().enumerate() {
        if i == 0 {
            text.push_str("  patch:\n");
        }
        text.push_str(&format!("  - {}\n", serde_json::to_string(operation).unwrap_or_default()));
    }
    for (i, (policy, noted)) in verdicts.audit().0.into_iter().enumerate() {
        let key = if i == 0 { "  audit:\n" } else { "" };
        text.push_str(&format!("{key}    {policy}: {}\n", quoted(noted)));
    }
    if text.is_empty() { "verdict: allow\n".to_owned() } else { format!("verdict:\n{text}") }
}

/// The most severe outcome of all rows.
pub fn outcome(verdicts: &Verdicts<'_>) -> Outcome {
    verdicts.rows.iter().map(|row| row.verdict.outcome()).max().unwrap_or(Outcome::Allow)
}

/// Quotes a text as a JSON string, which is valid YAML. A text that is safe as a plain scalar stays unquoted.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " .[]/_-`(),".contains(c));
    if plain { text.to_owned() } else { serde_json::to_string(text).unwrap_or_default() }
}

fn value<'a>(field: Field<'a>) -> Result<Value<'a>, Undecided> {
    Ok(field.value()?.copied().unwrap_or(Value::Null))
}

/// The comment lines at the top of the file, as one paragraph.
fn comment(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    lines.join(" ")
}

fn split_verdict(text: &str) -> (&str, Option<&str>) {
    let at = if text.starts_with("verdict:") { Some(0) } else { text.find("\nverdict:").map(|at| at + 1) };
    match at.and_then(|at| text.split_at_checked(at)) {
        Some((before, verdict)) => (before, Some(verdict)),
        None => (text, None),
    }
}

/// The AdmissionRequest of the case: the members of `request`, with defaults derived from the object.
fn request<'a>(root: Field<'a>, arena: &'a Arena) -> Result<Value<'a>, CaseError> {
    let given = root.at("request");
    let object = root.at("object");
    let old_object = given.at("oldObject");
    let evaluated = if object.is_set()? { object } else { old_object };
    let created = Request::create(evaluated.rerooted(), "default")
        .map_err(|undecided| Undecided { field: undecided.field.below(&evaluated.path()), ..undecided })?;
    let triple = |group, version, key, name| {
        arena.object(&[
            ("group", Value::String(group)),
            ("version", Value::String(version)),
            (key, Value::String(name)),
        ])
    };
    let (kind, resource) = (created.kind, created.resource);
    let defaults = [
        ("uid", Value::String("00000000-0000-0000-0000-000000000000")),
        ("kind", triple(kind.group, kind.version, "kind", kind.kind)),
        ("resource", triple(resource.group, resource.version, "resource", resource.resource)),
        ("name", Value::String(created.name)),
        ("namespace", Value::String(created.namespace)),
        ("operation", Value::String("CREATE")),
        ("userInfo", arena.object(&[("username", Value::String("case"))])),
        ("dryRun", Value::Bool(false)),
    ];
    let mut members: Vec<Member<'a>> = Vec::new();
    for (key, field) in given.members()? {
        members.push((key, value(field)?));
    }
    for default in defaults {
        if !members.iter().any(|(key, _)| *key == default.0) {
            members.push(default);
        }
    }
    members.push(("object", value(object)?));
    Ok(arena.object(&members))
}
