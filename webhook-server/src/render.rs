//! `pratique render`: the manifests as they will run, with what admission would add to their pods.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use policy_core::patch::Operation;
use policy_core::path::printable;
use policy_core::yaml::{Document, documents};
use policy_core::{Arena, Field, FieldPath, Half, Objects, Request, Value, admit, pod};
use similar::TextDiff;

use crate::args::{End, RenderArgs};
use crate::check::{cluster, reads, unlist};
use crate::config::Config;
use crate::input::{self, Kustomizations, Source};
use crate::report::{GREEN, ObjectName, RED, YELLOW};

/// Runs the command. Where anything is wrong, nothing is printed: half of a set is worse than none.
///
/// # Errors
/// It cannot start: bad arguments, bad settings, a path that does not exist or cannot be read.
pub fn run(args: &RenderArgs) -> anyhow::Result<End> {
    let config = Config::load_for(&args.selection, &args.paths)?;
    let places = input::places(&args.paths, Kustomizations::Build)?;
    let sources = places.iter().map(input::Place::read).collect::<anyhow::Result<Vec<Source>>>()?;
    let arena = Arena::new();
    let reads = reads(&config);
    let renderer = Renderer {
        config: &config,
        cluster: &cluster(&sources, &reads, &args.namespace, &arena),
        namespace: &args.namespace,
    };
    let mut said = Said::default();
    let rendered: Vec<String> = sources.iter().map(|source| renderer.source(source, &mut said)).collect();
    for note in &said.notes {
        anstream::eprintln!("{YELLOW}note{YELLOW:#} {}", printable(note));
    }
    for error in said.unreadable.iter().chain(&said.denied) {
        anstream::eprintln!("{RED}error{RED:#} {}", printable(error));
    }
    if !said.unreadable.is_empty() {
        return Ok(End::Unreadable);
    }
    if !said.denied.is_empty() {
        return Ok(End::Denied);
    }
    let mut out = std::io::BufWriter::new(anstream::stdout());
    for (i, (source, text)) in sources.iter().zip(&rendered).enumerate() {
        if args.diff {
            diff(&mut out, source, text)?;
            continue;
        }
        if i > 0 && !text.trim_start().starts_with("---") {
            writeln!(out, "---")?;
        }
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(End::Well)
}

/// What is said beside the result: `file:line:column: what`.
#[derive(Debug, Default)]
pub struct Said {
    /// What policies warn of.
    pub notes: Vec<String>,
    /// What policies that change objects deny.
    pub denied: Vec<String>,
    /// What cannot be read, or cannot be written where it belongs.
    pub unreadable: Vec<String>,
}

/// What manifests are rendered with.
pub struct Renderer<'r> {
    /// The policies.
    pub config: &'r Config,
    /// The other documents.
    pub cluster: &'r Objects<'r>,
    /// The namespace of objects that name none.
    pub namespace: &'r str,
}

impl Renderer<'_> {
    /// The text of a source with what admission adds. Where it is not all well, `said` says so, and the text is of no use.
    pub fn source(&self, source: &Source, said: &mut Said) -> String {
        let mut rendered = String::with_capacity(source.text.len());
        let mut at = 0;
        for document in documents(&source.text) {
            // What stands between two documents stays there.
            let start = source
                .text
                .get(at..)
                .and_then(|rest| rest.find(document.text))
                .map_or(at, |found| at + found);
            rendered.push_str(source.text.get(at..start).unwrap_or_default());
            at = start + document.text.len();
            let arena = Arena::new();
            let text = match document.decode(&arena) {
                Ok(None) => Ok(document.text.to_owned()),
                Ok(Some(value)) => {
                    let text = self.document(source, &document, value, &arena, said);
                    text.map_err(|error| format!("{}: {error:#}", document.start()))
                }
                Err(error) => Err(format!("{}: {error}", error.position)),
            };
            match text {
                Ok(text) => rendered.push_str(&text),
                Err(error) => said.unreadable.push(format!("{}:{error}", source.name)),
            }
        }
        rendered.push_str(source.text.get(at..).unwrap_or_default());
        rendered
    }

    /// The text of a document with what admission adds to each of its objects, and to the pods that they make.
    fn document<'a>(
        &self,
        source: &Source,
        document: &Document<'_>,
        value: Value<'a>,
        arena: &'a Arena,
        said: &mut Said,
    ) -> anyhow::Result<String> {
        let mut objects = Vec::new();
        unlist(Field::root(value, arena), FieldPath::default(), None, &mut objects)?;
        let mut wanted: serde_json::Value = serde_json::to_value(value)?;
        let mut text = document.text.to_owned();
        for (object, prefix) in objects {
            let request = Request::create(object, self.namespace).context("not a Kubernetes object")?;
            let template = Field::missing(arena).at(pod::template_of(request.kind.name)).path();
            let whole = FieldPath::default();
            for (asked, within) in [(Some(request), &whole), (pod::made_by(&request)?, &template)] {
                let Some(asked) = asked else { continue };
                let place = format!("{}:{}: {}", source.name, document.start(), ObjectName::of(&request));
                let operations = self.changes(&asked, &place, said);
                let prefix = within.below(&prefix);
                patch(&mut wanted, &operations, &prefix)?;
                text = Document { text: &text, line: document.line }.edited(&operations, &prefix).map_err(
                    |reason| anyhow::anyhow!("what admission adds cannot be written here: {reason}"),
                )?;
            }
        }
        let arena = Arena::new();
        let read = Document { text: &text, line: document.line }.decode(&arena);
        let same =
            matches!(read, Ok(Some(value)) if serde_json::to_value(value).is_ok_and(|value| value == wanted));
        if !same {
            bail!(
                "what admission adds cannot be written here: an anchor, an alias or a merge key is in the way; write it out"
            )
        }
        Ok(text)
    }

    /// What the policies change in an object; what they say beside is noted.
    fn changes(&self, request: &Request<'_>, place: &str, said: &mut Said) -> Vec<Operation> {
        let verdicts = admit(&self.config.policies, request, self.cluster, Half::Mutate);
        if let Some(fault) = &verdicts.fault {
            said.denied.push(format!("{place}: {fault}"));
        }
        for row in verdicts.rows.iter().filter(|row| row.about.mutates) {
            let line = |finding: &policy_core::Finding| {
                format!("{place}: {}: {}", row.about.name, finding.sentence())
            };
            said.denied.extend(row.verdict.denials.iter().map(line));
            said.notes.extend(row.verdict.warnings.iter().map(line));
        }
        verdicts.patch().into_iter().map(Operation::owned).collect()
    }
}

/// Makes the operations in what the text must read as.
fn patch(object: &mut serde_json::Value, operations: &[Operation], prefix: &FieldPath) -> anyhow::Result<()> {
    let below =
        |operation: &Operation| Operation { path: prefix.pointer() + &operation.path, ..operation.clone() };
    let operations: Vec<Operation> = operations.iter().map(below).collect();
    let patch: json_patch::Patch = serde_json::from_value(serde_json::to_value(operations)?)?;
    Ok(json_patch::patch(object, &patch)?)
}

/// Prints what differs, as `diff -u` does; nothing if nothing does.
fn diff(out: &mut impl std::io::Write, source: &Source, rendered: &str) -> std::io::Result<()> {
    let name = printable(&source.name);
    let diff = TextDiff::from_lines(source.text.as_str(), rendered);
    let unified = diff.unified_diff().header(&name, &format!("{name} (rendered)")).to_string();
    for line in unified.lines() {
        let style = match line.get(..1) {
            _ if line.starts_with("+++") || line.starts_with("---") => Style::new().bold(),
            Some("+") => GREEN,
            Some("-") => RED,
            Some("@") => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        writeln!(out, "{style}{line}{style:#}")?;
    }
    Ok(())
}
