//! Which exporter a pod is to have: the one it names, or the one that its images are recognised to need.

use policy_core::path::excerpt;
use policy_core::pod::{Container, ContainerList, Pod};
use policy_core::{Field, ImageReference, Undecided};

use crate::ExporterSidecar;
use crate::exporter::Effective;
use crate::exporters::METRICS_BUILT_IN;
use crate::skip::{Reason, Skip};

/// An exporter, or why there is none.
pub(crate) type Chosen<'s, 'a> = Result<Effective<'s>, Skip<'a>>;

/// The exporter of that name, as the pod's annotation has it.
pub(crate) fn by_name<'s, 'a>(
    policy: &'s ExporterSidecar,
    annotation: Field<'a>,
    name: &str,
) -> Chosen<'s, 'a> {
    if let Some((server, _, how)) = METRICS_BUILT_IN.iter().find(|(server, ..)| *server == name) {
        return Err(has_its_own(server, how, annotation));
    }
    let mut names = String::new();
    for known in policy.exporters() {
        if known.name == name {
            return Ok(known);
        }
        names.push_str(known.name);
        names.push_str(", ");
    }
    let message = format!("names no exporter: `{}`; there are {names}auto, and \"false\"", excerpt(name));
    Err(Skip::new(Reason::UnknownExporter, annotation, message))
}

fn has_its_own<'a>(server: &str, how: &str, field: Field<'a>) -> Skip<'a> {
    let message = format!("adds no exporter: {server} has metrics of its own; {how}");
    Skip::new(Reason::MetricsBuiltIn, field, message)
}

/// The one exporter that the images of the pod's running containers are known to need.
pub(crate) fn by_image<'s, 'a>(
    policy: &'s ExporterSidecar,
    pod: &Pod<'a>,
) -> Result<Chosen<'s, 'a>, Undecided> {
    let exporters = policy.exporters();
    let mut found: Vec<Effective<'s>> = Vec::new();
    let (mut built_in, mut unreadable) = (None, None);
    for container in &pod.containers {
        if !runs(container)? {
            continue;
        }
        let field = container.field.at("image");
        let image = match ImageReference::parse(field.text()?) {
            Ok(image) => image,
            Err(matter) => {
                let message = format!("adds no exporter: the image `{}` {matter}", excerpt(field.text()?));
                unreadable = unreadable.or(Some(Skip::new(Reason::ImageUnreadable, field, message)));
                continue;
            }
        };
        if let Some((server, _, how)) =
            METRICS_BUILT_IN.iter().find(|(_, names, _)| names.contains(&image.name()))
        {
            built_in = built_in.or(Some(has_its_own(server, how, field)));
        }
        let program = program(container)?;
        for exporter in &exporters {
            let is_server = is_entrypoint(program) || exporter.has_program(program);
            let is_new = !found.iter().any(|found| found.name == exporter.name);
            if is_server && is_new && exporter.any_image(&|pattern| is_for(pattern, &image)) {
                found.push(*exporter);
            }
        }
    }
    let spec = pod.spec.at("containers");
    Ok(match (found.len(), found.first(), unreadable.or(built_in)) {
        (1, Some(exporter), _) => Ok(*exporter),
        (0, _, Some(skip)) => Err(skip),
        (0, ..) => Err(Skip::new(
            Reason::NotRecognised,
            spec,
            "adds no exporter: no container runs an image that one is known for; name the exporter in the annotation",
        )),
        _ => {
            let mut message = "adds no exporter: the images are those of".to_owned();
            for (i, exporter) in found.iter().enumerate() {
                message.push_str(if i == 0 { " " } else { " and " });
                message.push_str(exporter.name);
            }
            message.push_str("; name one in the annotation");
            Err(Skip::new(Reason::Ambiguous, spec, message))
        }
    })
}

/// Whether a container goes on running beside the others, as a native sidecar does.
pub(crate) fn runs(container: &Container<'_>) -> Result<bool, Undecided> {
    Ok(match container.list {
        ContainerList::Regular => true,
        ContainerList::Init => container.field.at("restartPolicy").str()? == Some("Always"),
        ContainerList::Ephemeral => false,
    })
}

/// Whether a pattern of [`crate::ExporterSettings::images`] means that image.
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

/// The program that a container is told to run, without its folder; empty where that is left to the image.
fn program<'a>(container: &Container<'a>) -> Result<&'a str, Undecided> {
    let first = |list: Field<'a>| Ok(list.items()?.next().map(Field::text).transpose()?.unwrap_or_default());
    let command = first(container.field.at("command"))?;
    // Flags are for the image's own entrypoint.
    let args = first(container.field.at("args"))?;
    let program = if command.is_empty() && !args.starts_with('-') { args } else { command };
    Ok(program.rsplit('/').next().unwrap_or_default())
}

/// Whether a program is what images start their servers with.
fn is_entrypoint(program: &str) -> bool {
    matches!(program, "" | "run.sh" | "tini" | "dumb-init") || program.ends_with("entrypoint.sh")
}
