//! Selects the exporter for a pod, by the name in its annotation or by the images of its containers.

use policy_core::path::excerpt;
use policy_core::{Field, Undecided};
use policy_kubernetes::ImageReference;
use policy_kubernetes::exporters::{SELF_EXPORTING, SelfExporting};
use policy_kubernetes::pod::{Container, Pod};

use crate::ExporterSidecar;
use crate::exporter::EffectiveExporter;
use crate::skip_reason::{NoExporter, SkipReason, SkippedExporter};

/// Returns the exporter that the pod's annotation names.
pub(crate) fn by_name<'s, 'a>(
    policy: &'s ExporterSidecar,
    annotation: Field<'a>,
    name: &str,
) -> Result<EffectiveExporter<'s>, NoExporter<'a>> {
    let mut names = String::new();
    for known in policy.exporters() {
        if known.name == name {
            return Ok(known);
        }
        names.push_str(known.name);
        names.push_str(", ");
    }
    if let Some(server) = SELF_EXPORTING.iter().find(|server| server.name == name) {
        return Err(exports_itself(server, annotation).into());
    }
    let message = format!("must be one of {names}auto or \"false\", is `{}`", excerpt(name));
    Err(SkippedExporter::new(SkipReason::UnknownExporter, annotation, message).into())
}

fn exports_itself<'a>(server: &SelfExporting, field: Field<'a>) -> SkippedExporter<'a> {
    let SelfExporting { name, how, .. } = server;
    let message = format!("no exporter added: {name} exports metrics itself; {how}");
    SkippedExporter::new(SkipReason::MetricsBuiltIn, field, message)
}

/// Returns the exporter for the images of the pod's running containers, if exactly one matches.
pub(crate) fn by_image<'s, 'a>(
    policy: &'s ExporterSidecar,
    pod: &Pod<'a>,
) -> Result<EffectiveExporter<'s>, NoExporter<'a>> {
    let exporters = policy.exporters();
    let mut found: Vec<EffectiveExporter<'s>> = Vec::new();
    let (mut built_in, mut unreadable) = (None, None);
    for container in &pod.containers {
        if !container.keeps_running()? {
            continue;
        }
        let field = container.field.at("image");
        let image = match ImageReference::parse(field.text()?) {
            Ok(image) => image,
            Err(matter) => {
                let message = format!("no exporter added: the image `{}` {matter}", excerpt(field.text()?));
                unreadable =
                    unreadable.or(Some(SkippedExporter::new(SkipReason::ImageUnreadable, field, message)));
                continue;
            }
        };
        if let Some(server) = SELF_EXPORTING.iter().find(|server| server.images.contains(&image.name())) {
            built_in = built_in.or(Some(exports_itself(server, field)));
        }
        let program = program(container)?;
        for exporter in &exporters {
            let is_server = program.is_empty() || exporter.has_program(program);
            let is_new = !found.iter().any(|found| found.name == exporter.name);
            if is_server && is_new && exporter.any_image(&|pattern| is_for(pattern, &image)) {
                found.push(*exporter);
            }
        }
    }
    let spec = pod.spec.at("containers");
    Err(match (found.as_slice(), unreadable.or(built_in)) {
        ([exporter], _) => return Ok(*exporter),
        ([], Some(skip)) => skip.into(),
        ([], None) => {
            let why = "no exporter matches the pod's containers; name one in the annotation";
            SkippedExporter::new(SkipReason::NotRecognised, spec, format!("no exporter added: {why}")).into()
        }
        (several, _) => {
            let mut message = "no exporter added: the images match".to_owned();
            for (i, exporter) in several.iter().enumerate() {
                message.push_str(if i == 0 { " " } else { " and " });
                message.push_str(exporter.name);
            }
            message.push_str("; name one in the annotation");
            SkippedExporter::new(SkipReason::Ambiguous, spec, message).into()
        }
    })
}

/// Whether a pattern of [`crate::ExporterSettings::images`] matches the image.
fn is_for(pattern: &str, image: &ImageReference<'_>) -> bool {
    let (path, word) = match pattern.split_once(':') {
        Some((path, word)) => (path, Some(word)),
        None => (pattern, None),
    };
    let ends =
        image.path == path || image.path.strip_suffix(path).is_some_and(|before| before.ends_with('/'));
    ends && word
        .is_none_or(|word| image.tag.is_some_and(|tag| tag.split(['-', '.', '_']).any(|part| part == word)))
}

/// The program that a container is told to run, without its directory; empty if the image decides. Flags, configuration files
/// and programs that only start another program are skipped.
fn program<'a>(container: &Container<'a>) -> Result<&'a str, Undecided> {
    for list in ["command", "args"] {
        for word in container.field.at(list).items()? {
            let word = word.text()?;
            let name = word.rsplit('/').next().unwrap_or_default();
            let starts_another =
                matches!(name, "run.sh" | "tini" | "dumb-init") || name.ends_with("entrypoint.sh");
            if !starts_another && !word.starts_with('-') && !name.ends_with(".conf") {
                return Ok(name);
            }
        }
    }
    Ok("")
}
