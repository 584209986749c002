//! Replaces cert-manager: issues a Secret for each Certificate, and injects the CA bundle for the API server.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::{Value, json};

use super::control::authority;
use crate::control_plane::Api;

const CERTIFICATES: &str = "/apis/cert-manager.io/v1/certificates";
/// The annotation that requests the injection of a CA bundle.
const INJECT: &str = "cert-manager.io/inject-ca-from";
/// The kinds of objects that can have this annotation.
const INJECTED: [&str; 3] = [
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/apis/apiregistration.k8s.io/v1/apiservices",
];

/// The CA that issues all certificates.
fn internal() -> anyhow::Result<&'static CertifiedIssuer<'static, KeyPair>> {
    static INTERNAL: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    match INTERNAL.get() {
        Some(authority) => Ok(authority),
        None => {
            let made = authority("internal")?;
            Ok(INTERNAL.get_or_init(|| made))
        }
    }
}

/// Issues certificates in an endless loop.
pub async fn issue(api: Api) {
    loop {
        // Errors are ignored because the next round tries again.
        if let Ok(authority) = internal() {
            drop(round(&api, authority).await);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn round(api: &Api, authority: &CertifiedIssuer<'static, KeyPair>) -> anyhow::Result<()> {
    let certificates = api.get(CERTIFICATES).await?.well()?;
    for certificate in certificates["items"].as_array().into_iter().flatten() {
        let namespace = certificate["metadata"]["namespace"].as_str().context("a namespace")?;
        let name = certificate["spec"]["secretName"].as_str().context("a Secret")?;
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        if api.get(&format!("{path}/{name}")).await?.status == 404 {
            let secret = secret(certificate, name, authority, None)?;
            api.post(&path, &secret).await?.well()?;
        }
    }
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority.pem());
    for path in INJECTED {
        for object in api.get(path).await?.well()?["items"].as_array().into_iter().flatten() {
            if !object["metadata"]["annotations"][INJECT].is_string() {
                continue;
            }
            let mut patched = object.clone();
            match patched["webhooks"].as_array_mut() {
                Some(webhooks) => {
                    webhooks.iter_mut().for_each(|w| w["clientConfig"]["caBundle"] = bundle.as_str().into())
                }
                None => patched["spec"]["caBundle"] = bundle.as_str().into(),
            }
            if patched != *object {
                let name = object["metadata"]["name"].as_str().context("a name")?;
                let part = json!({"webhooks": patched["webhooks"], "spec": patched["spec"]});
                let part: serde_json::Map<_, _> = part
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(_, v)| !v.is_null())
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect();
                api.merge(&format!("{path}/{name}"), &Value::Object(part)).await?.well()?;
            }
        }
    }
    Ok(())
}

/// The Secret of a Certificate. It is valid for `holds`, or without a limit if `holds` is `None`.
fn secret(
    certificate: &Value,
    name: &str,
    authority: &CertifiedIssuer<'static, KeyPair>,
    holds: Option<Duration>,
) -> anyhow::Result<Value> {
    let names = certificate["spec"]["dnsNames"].as_array().into_iter().flatten();
    let names: Vec<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let mut parameters = CertificateParams::new(names)?;
    if let Some(holds) = holds {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        parameters.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + holds;
    }
    let key = KeyPair::generate()?;
    let signed = parameters.signed_by(&key, authority)?;
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name},
        "stringData": {"tls.crt": signed.pem(), "tls.key": key.serialize_pem(), "ca.crt": authority.pem()}}))
}

/// Replaces the Secret of a Certificate with one that is valid for `holds`, as if it had not been renewed.
///
/// # Errors
/// The Secret does not exist.
pub async fn shorten(
    api: &Api,
    (namespace, name): (&str, &str),
    dns_name: &str,
    holds: Duration,
) -> anyhow::Result<()> {
    let certificate = json!({"spec": {"dnsNames": [dns_name]}});
    let secret = secret(&certificate, name, internal()?, Some(holds))?;
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    api.merge(&path, &json!({"stringData": secret["stringData"]})).await?.well()?;
    Ok(())
}

/// Deletes the Secret, so that it is issued again.
///
/// # Errors
/// The Secret does not exist.
pub async fn renew(api: &Api, namespace: &str, name: &str) -> anyhow::Result<()> {
    api.delete(&format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await?.well()?;
    Ok(())
}
