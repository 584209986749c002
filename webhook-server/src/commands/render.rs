//! `pratique render`: prints manifests with the changes that admission would make to their objects and pods.

use std::cell::OnceCell;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use policy_core::path::printable;
use policy_core::yaml::{Document, FieldPositions, documents};
use policy_core::{AdmissionPhase, Arena, FieldPath, Finding, Objects, Request, Value, admit};
use policy_manifests::ObjectName;
use similar::TextDiff;

use crate::args::{ExitStatus, RenderArgs};
use crate::commands::check::{cluster, reads};
use crate::config::Config;
use crate::report::{GREEN, RED, YELLOW};
use crate::sources::{self, Kustomizations, Source};

/// Runs the command. If there is any error, no manifests are printed, because a partial manifest set is worse than none.
///
/// # Errors
/// The arguments or settings are invalid, or a path does not exist or cannot be read.
pub fn run(args: &RenderArgs) -> anyhow::Result<ExitStatus> {
    let config = Config::load_for(&args.manifests.selection, &args.manifests.paths)?;
    let places = sources::places(&args.manifests.paths, Kustomizations::Build)?;
    let sources = places.iter().map(sources::Input::read).collect::<anyhow::Result<Vec<Source>>>()?;
    let arena = Arena::new();
    let reads = reads(&config);
    let renderer = Renderer {
        config: &config,
        cluster: &cluster(&sources, &reads, &config, &args.manifests.namespace, &arena),
        namespace: &args.manifests.namespace,
    };
    let mut notes = RenderNotes::default();
    let rendered: Vec<String> = sources.iter().map(|source| renderer.source(source, &mut notes)).collect();
    for note in &notes.notes {
        print_error!("{YELLOW}note{YELLOW:#} {}", printable(note));
    }
    for error in notes.unreadable.iter().chain(&notes.denied) {
        print_error!("{RED}error{RED:#} {}", printable(error));
    }
    if !notes.unreadable.is_empty() {
        return Ok(ExitStatus::Unreadable);
    }
    if !notes.denied.is_empty() {
        return Ok(ExitStatus::Denied);
    }
    let mut out = std::io::BufWriter::new(anstream::stdout());
    for (i, (source, text)) in sources.iter().zip(&rendered).enumerate() {
        if args.diff {
            diff(&mut out, source, text)?;
            continue;
        }
        // A directive must not become part of the previous document.
        let directive = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
        match directive {
            _ if i == 0 => {}
            Some(line) if line.starts_with('%') => writeln!(out, "...")?,
            Some(line) if line.starts_with("---") => {}
            _ => writeln!(out, "---")?,
        }
        out.write_all(text.as_bytes())?;
        // Add a missing line break only if another source follows.
        if !text.ends_with('\n') && i + 1 < rendered.len() {
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(ExitStatus::Success)
}

/// Messages that accompany the result: `file:line:column: message`.
#[derive(Debug, Default)]
pub struct RenderNotes {
    /// Warnings of mutating policies.
    pub notes: Vec<String>,
    /// Denials of mutating policies.
    pub denied: Vec<String>,
    /// Objects that cannot be read, and changes that cannot be written to the document.
    pub unreadable: Vec<String>,
}

/// Renders manifests with this configuration and this cluster data.
pub struct Renderer<'r> {
    /// The policies.
    pub config: &'r Config,
    /// The objects of all documents, as cluster data.
    pub cluster: &'r Objects<'r>,
    /// The namespace of objects that do not set one.
    pub namespace: &'r str,
}

impl Renderer<'_> {
    /// The text of a source with the changes of admission. Do not use it if `notes` then contains denials or errors.
    pub fn source(&self, source: &Source, notes: &mut RenderNotes) -> String {
        let mut rendered = String::with_capacity(source.text.len());
        let mut at = 0;
        for document in documents(&source.text) {
            // Keep the text between two documents.
            let start = source
                .text
                .get(at..)
                .and_then(|rest| rest.find(document.text))
                .map_or(at, |found| at + found);
            rendered.push_str(source.text.get(at..start).unwrap_or_default());
            at = start + document.text.len();
            let arena = Arena::new();
            let written = RenderedDocument { source, document: &document, places: OnceCell::new() };
            let text = policy_manifests::rendered(
                &document,
                self.namespace,
                self.config.kinds(),
                &arena,
                |request, object, prefix| {
                    self.changed(request, &written, &ObjectName::of(object), prefix, notes)
                },
            );
            match text {
                Ok(text) => rendered.push_str(&text),
                Err(unreadable) => notes.unreadable.push(format!("{}:{unreadable}", source.name)),
            }
        }
        rendered.push_str(source.text.get(at..).unwrap_or_default());
        rendered
    }

    /// The object as changed by the policies; `None` if they do not change it. Adds their denials and warnings to `notes`.
    fn changed<'a>(
        &self,
        request: &Request<'a>,
        at: &RenderedDocument<'_>,
        name: &ObjectName,
        prefix: &FieldPath,
        notes: &mut RenderNotes,
    ) -> Option<Value<'a>> {
        let verdicts = admit(&self.config.policies, request, self.cluster, AdmissionPhase::Mutating);
        if let Some(fault) = &verdicts.fault {
            notes.unreadable.push(format!("{}: {name}: {fault}", at.place(prefix)));
        }
        for row in verdicts.rows.iter().filter(|row| row.metadata.mutates) {
            let line = |finding: &Finding| {
                let field = finding.field.below(prefix);
                let finding = Finding { field: field.clone(), ..finding.clone() };
                format!("{}: {name}: {}: {}", at.place(&field), row.metadata.name, finding.sentence())
            };
            notes.denied.extend(row.verdict.denials.iter().map(line));
            notes.notes.extend(row.verdict.warnings.iter().map(line));
        }
        verdicts.patched
    }
}

/// A document and its source. The positions of its fields are computed on first use.
struct RenderedDocument<'s> {
    source: &'s Source,
    document: &'s Document<'s>,
    places: OnceCell<FieldPositions>,
}

impl RenderedDocument<'_> {
    fn place(&self, path: &FieldPath) -> String {
        let position = self.places.get_or_init(|| self.document.places()).of(path);
        format!("{}:{position}", self.source.name)
    }
}

/// Prints the differences like `diff -u`, or nothing if the texts are equal.
fn diff(out: &mut impl std::io::Write, source: &Source, rendered: &str) -> std::io::Result<()> {
    let name = printable(&source.name);
    let diff = TextDiff::from_lines(source.text.as_str(), rendered);
    let unified = diff.unified_diff().header(&name, &format!("{name} (rendered)")).to_string();
    for line in unified.split_inclusive('\n') {
        let style = match line.get(..1) {
            _ if line.starts_with("+++") || line.starts_with("---") => Style::new().bold(),
            Some("+") => GREEN,
            Some("-") => RED,
            Some("@") => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        // Keep the file's own line endings, so that the patch also applies to CRLF files.
        let (text, end) = line.split_at(line.trim_end_matches(['\r', '\n']).len());
        write!(out, "{style}{text}{style:#}{end}")?;
    }
    Ok(())
}
