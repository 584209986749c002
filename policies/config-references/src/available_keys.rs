//! The Secrets and ConfigMaps of a namespace: those in the manifest set, and those that its objects create.

use policy_core::{Arena, Cluster, Field, Undecided};

use crate::ReferencedKind;

/// A Secret or ConfigMap with its keys.
pub(crate) struct AvailableKeys<'a> {
    pub(crate) name: &'a str,
    /// The keys; `None` if they are unknown.
    pub(crate) keys: Option<Vec<&'a str>>,
}

impl AvailableKeys<'_> {
    /// Whether the object has a key. True if its keys are unknown.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(&key))
    }
}

/// The keys that cert-manager writes to the Secret of a Certificate.
const OF_CERTIFICATES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

/// All objects of a kind in a namespace.
pub(crate) fn of<'a>(
    kind: ReferencedKind,
    namespace: &str,
    cluster: &'a dyn Cluster,
    arena: &'a Arena,
) -> Result<Vec<AvailableKeys<'a>>, Undecided> {
    let mut kept = Vec::new();
    let mut each =
        |group, kind: &'static str, read: fn(Field<'a>) -> Result<AvailableKeys<'a>, Undecided>| {
            for object in cluster.list(group, kind, Some(namespace), arena)? {
                let name = object.at("metadata.name").text().unwrap_or_default();
                kept.push(read(object).map_err(|undecided| undecided.in_object(kind, name))?);
            }
            Ok(())
        };
    match kind {
        ReferencedKind::ConfigMap => each("", "ConfigMap", |object| named(object, &["data", "binaryData"]))?,
        ReferencedKind::Secret => {
            each("", "Secret", |object| named(object, &["data", "stringData"]))?;
            each("bitnami.com", "SealedSecret", |object| {
                named(object, &["spec.encryptedData", "spec.template.data"])
            })?;
            each("cert-manager.io", "Certificate", of_certificate)?;
            each("external-secrets.io", "ExternalSecret", of_external)?;
        }
    }
    Ok(kept)
}

fn named<'a>(object: Field<'a>, places: &[&'static str]) -> Result<AvailableKeys<'a>, Undecided> {
    let mut keys = Vec::new();
    for place in places {
        keys.extend(object.at(place).members()?.map(|(key, _)| key));
    }
    Ok(AvailableKeys { name: object.at("metadata.name").text()?, keys: Some(keys) })
}

fn of_certificate(object: Field<'_>) -> Result<AvailableKeys<'_>, Undecided> {
    // Keystores and other output formats add keys.
    let more = object.at("spec.keystores").is_set()? || object.at("spec.additionalOutputFormats").is_set()?;
    let keys = if more { None } else { Some(OF_CERTIFICATES.to_vec()) };
    Ok(AvailableKeys { name: object.at("spec.secretName").text()?, keys })
}

fn of_external(object: Field<'_>) -> Result<AvailableKeys<'_>, Undecided> {
    if object.at("spec.target.creationPolicy").str()? == Some("None") {
        // This ExternalSecret creates no Secret.
        return Ok(AvailableKeys { name: "", keys: Some(Vec::new()) });
    }
    let target = object.at("spec.target.name");
    let name = if target.is_set()? { target.text()? } else { object.at("metadata.name").text()? };
    let open = object.at("spec.dataFrom").is_set()? || object.at("spec.target.template").is_set()?;
    let keys = object.at("spec.data").items()?.map(|item| item.at("secretKey").text());
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    Ok(AvailableKeys { name, keys: if open { None } else { Some(keys) } })
}
