//! The `caBundle` of the webhook configurations.

use anyhow::Context as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::secret::CertificateAuthority;

/// Makes both webhook configurations of a name trust these CAs (PEM). Returns `false` if another client changed one meanwhile.
///
/// # Errors
/// The API server does not respond or denies access.
pub(super) async fn trust(client: &Client, name: &str, bundle: String) -> anyhow::Result<bool> {
    let bundle = ByteString(bundle.into_bytes());
    Ok(trust_in::<MutatingWebhookConfiguration>(client.clone(), name, &bundle).await?
        && trust_in::<ValidatingWebhookConfiguration>(client.clone(), name, &bundle).await?)
}

/// The CAs that both webhook configurations trust now. Certificates that cannot be read are skipped.
///
/// # Errors
/// The API server does not respond or denies access.
pub(super) async fn trusted(client: &Client, name: &str) -> anyhow::Result<Vec<CertificateAuthority>> {
    let mut found = bundles::<MutatingWebhookConfiguration>(client.clone(), name).await?;
    found.extend(bundles::<ValidatingWebhookConfiguration>(client.clone(), name).await?);
    let mut all: Vec<CertificateAuthority> = Vec::new();
    for ca in found.iter().flat_map(|bundle| CertificateDer::pem_slice_iter(&bundle.0)) {
        let Some(ca) = ca.ok().and_then(CertificateAuthority::read) else { continue };
        if !all.iter().any(|known| known.der == ca.der) {
            all.push(ca);
        }
    }
    Ok(all)
}

async fn bundles<K: WebhookConfiguration>(client: Client, name: &str) -> anyhow::Result<Vec<ByteString>> {
    let found = Api::<K>::all(client).get_opt(name).await;
    let found = found.with_context(|| format!("{} {name}", K::kind(&())))?;
    let clients = found.iter().flat_map(WebhookConfiguration::clients);
    Ok(clients.filter_map(|(_, client)| client.ca_bundle.clone()).collect())
}

/// Makes every webhook of a configuration trust these CAs. A missing configuration is not an error; a later round updates it.
async fn trust_in<K: WebhookConfiguration>(
    client: Client,
    name: &str,
    bundle: &ByteString,
) -> anyhow::Result<bool> {
    let api: Api<K> = Api::all(client);
    let named = || format!("{} {}", K::kind(&()), name);
    let Some(configuration) = api.get_opt(name).await.with_context(named)? else {
        tracing::debug!("{} does not exist yet", named());
        return Ok(true);
    };
    if configuration.clients().iter().all(|(_, client)| client.ca_bundle.as_ref() == Some(bundle)) {
        return Ok(true);
    }
    // The patch lists exactly the webhooks that were read.
    let webhooks: Vec<Value> = (configuration.clients().iter())
        .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    let version = configuration.resource_version();
    let patch = Patch::Strategic(json!({"metadata": {"resourceVersion": version}, "webhooks": webhooks}));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error).with_context(named),
    }
}

/// One of the two kinds that register webhooks.
trait WebhookConfiguration:
    kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned
{
    /// The names of the webhooks, and their client configurations.
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl WebhookConfiguration for MutatingWebhookConfiguration {
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (&*webhook.name, &webhook.client_config)).collect()
    }
}

impl WebhookConfiguration for ValidatingWebhookConfiguration {
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (&*webhook.name, &webhook.client_config)).collect()
    }
}
