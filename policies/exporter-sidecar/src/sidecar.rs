//! The sidecar container, and whether a pod already has it.

use policy_core::path::excerpt;
use policy_core::{Arena, Field, Undecided, Value, Verdict};
use policy_kubernetes::ImageReference;
use policy_kubernetes::pod::{Container, Pod};

use crate::exporter::EffectiveExporter;
use crate::settings::secret_key;
use crate::skip_reason::{NoExporter, SkipReason, SkippedExporter};
use crate::{EXPORTER_SECRET, SidecarForm};

/// The name of the container.
pub(crate) fn name(exporter: EffectiveExporter<'_>) -> String {
    format!("{}-exporter", exporter.name)
}

/// Returns the running container with the exporter's image, if the pod has one.
///
/// Denies any other container with the sidecar's name, because users would mistake it for the exporter.
pub(crate) fn present<'a>(
    exporter: EffectiveExporter<'_>,
    pod: &Pod<'a>,
    verdict: &mut Verdict,
) -> Result<Option<Container<'a>>, Undecided> {
    let name = name(exporter);
    let mut found = None;
    for container in &pod.containers {
        let image = container.field.at("image").text()?;
        let reference = ImageReference::parse(image);
        if reference.is_ok_and(|reference| is_exporter(exporter, &name, &reference))
            && container.keeps_running()?
        {
            found = found.or(Some(*container));
        } else if container.field.at("name").text()? == name {
            let message = format!(
                "must not be `{name}`: the exporter sidecar has that name, and this container (image `{}`) is not a \
                 running exporter",
                excerpt(image)
            );
            verdict.deny(container.field.at("name"), message);
        }
    }
    Ok(found)
}

/// Whether an image is the exporter's, from any registry and in any version.
fn is_exporter(exporter: EffectiveExporter<'_>, name: &str, image: &ImageReference<'_>) -> bool {
    let same = |other: &str| image.name().replace('_', "-") == other.replace('_', "-");
    same(name) || ImageReference::parse(exporter.image()).is_ok_and(|configured| same(configured.name()))
}

/// Returns a port name that no container of the pod uses, if the port itself is free.
///
/// The name does not depend on other policies that name a port `metrics`, so monitors find the same name in every pod.
pub(crate) fn port_name<'a>(port: u32, pod: &Pod<'a>) -> Result<String, NoExporter<'a>> {
    let (mut names, mut taken) = (Vec::new(), None);
    for container in &pod.containers {
        for own in container.ports()? {
            names.push(own.name()?);
            if own.written_number()? == Some(port.into()) && own.is_tcp()? {
                taken = taken.or(Some(own.field.at("containerPort")));
            }
        }
    }
    let free = [format!("metrics-{port}"), format!("exporter-{port}")];
    let free = free.into_iter().find(|name| !names.contains(&name.as_str()));
    let (field, why) = match (taken, free) {
        (None, Some(name)) => return Ok(name),
        (Some(number), _) => {
            (number, format!("this container already uses its port {port}; set another port in the settings"))
        }
        (None, None) => {
            let why = format!("the port names metrics-{port} and exporter-{port} are taken");
            (pod.spec.at("containers"), why)
        }
    };
    Err(SkippedExporter::new(SkipReason::PortTaken, field, format!("no exporter added: {why}")).into())
}

/// A Secret's name and its key.
pub(crate) type SecretKey<'s> = (&'s str, &'s str);

/// The Secret from the pod's annotation, or else from the settings; `None` if it has none and needs none.
pub(crate) fn secret<'s, 'a: 's>(
    exporter: EffectiveExporter<'s>,
    pod: &Pod<'a>,
) -> Result<Option<SecretKey<'s>>, NoExporter<'a>> {
    let annotation = pod.annotations().key(EXPORTER_SECRET);
    let Some(named) = annotation.str()?.or(exporter.secret()) else {
        if !exporter.needs_secret() {
            return Ok(None);
        }
        let message =
            format!("must be set to SECRET/KEY: the {} exporter needs a password or a URI", exporter.name);
        return Err(SkippedExporter::new(SkipReason::SecretMissing, annotation, message).into());
    };
    match secret_key(named) {
        Some(secret) => Ok(Some(secret)),
        None => {
            let message = format!("must be SECRET/KEY, is `{}`", excerpt(named));
            Err(SkippedExporter::new(SkipReason::SecretMalformed, annotation, message).into())
        }
    }
}

/// Builds the sidecar container in the arena.
pub(crate) fn container<'a>(
    exporter: EffectiveExporter<'_>,
    form: SidecarForm,
    port_name: &str,
    secret: Option<SecretKey<'_>>,
    has_pod_resources: bool,
    arena: &'a Arena,
) -> Value<'a> {
    let text = |text: &str| Value::String(arena.text(text));
    let texts = |key: &'static str, value: &str| (key, text(value));
    let (port, user) = (Value::Int(exporter.port().into()), Value::Int(exporter.run_as_user().into()));
    let amounts = |(cpu, memory): (&str, &str)| arena.object(&[texts("cpu", cpu), texts("memory", memory)]);
    let args: Vec<Value<'a>> = exporter.args(secret.is_some()).iter().map(|arg| text(arg)).collect();
    let env = env(exporter, secret, arena);
    let mut members = vec![texts("name", &name(exporter)), texts("image", exporter.image())];
    if !args.is_empty() {
        members.push(("args", arena.list(&args)));
    }
    if !env.is_empty() {
        members.push(("env", arena.list(&env)));
    }
    let ports = [texts("name", port_name), ("containerPort", port), texts("protocol", "TCP")];
    members.push(("ports", arena.list(&[arena.object(&ports)])));
    let [requests, limits] = exporter.resources().map(amounts);
    let resources = [("requests", requests), ("limits", limits)];
    // A pod with resources of its own must cover the sum of its containers, so the exporter shares the pod's resources.
    if !has_pod_resources {
        members.push(("resources", arena.object(&resources)));
    }
    // No readiness probe, because a failing exporter would remove the database from its Service.
    let probe = match exporter.liveness_path() {
        "" => ("tcpSocket", arena.object(&[("port", port)])),
        path => ("httpGet", arena.object(&[texts("path", path), ("port", port)])),
    };
    let liveness = [probe, ("periodSeconds", Value::Int(30)), ("timeoutSeconds", Value::Int(5))];
    members.push(("livenessProbe", arena.object(&liveness)));
    members.push(("securityContext", confined(user, arena)));
    if form == SidecarForm::Native {
        members.push(texts("restartPolicy", "Always"));
    }
    arena.object(&members)
}

fn env<'a>(
    exporter: EffectiveExporter<'_>,
    secret: Option<SecretKey<'_>>,
    arena: &'a Arena,
) -> Vec<Value<'a>> {
    let texts = |key: &'static str, value: &str| (key, Value::String(arena.text(value)));
    let mut env = Vec::new();
    for (name, value) in exporter.env(secret.is_some()) {
        env.push(arena.object(&[texts("name", name), texts("value", &value)]));
    }
    if let (Some((name, key)), Some(variable)) = (secret, exporter.secret_variable()) {
        let reference = arena.object(&[texts("name", name), texts("key", key)]);
        let from = arena.object(&[("secretKeyRef", reference)]);
        env.push(arena.object(&[texts("name", variable), ("valueFrom", from)]));
    }
    env
}

/// The fields that the restricted Pod Security Standard requires, and a read-only root filesystem.
fn confined<'a>(user: Value<'a>, arena: &'a Arena) -> Value<'a> {
    let drop = arena.object(&[("drop", arena.list(&[Value::String("ALL")]))]);
    let profile = arena.object(&[("type", Value::String("RuntimeDefault"))]);
    arena.object(&[
        ("runAsNonRoot", Value::Bool(true)),
        ("runAsUser", user),
        ("runAsGroup", user),
        ("allowPrivilegeEscalation", Value::Bool(false)),
        ("readOnlyRootFilesystem", Value::Bool(true)),
        ("capabilities", drop),
        ("seccompProfile", profile),
    ])
}

/// The list that the container is appended to.
pub(crate) fn list<'a>(form: SidecarForm, pod: &Pod<'a>) -> Field<'a> {
    pod.spec.at(match form {
        SidecarForm::Native => "initContainers",
        SidecarForm::Classic => "containers",
    })
}
