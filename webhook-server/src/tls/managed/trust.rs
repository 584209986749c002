//! Who is trusted: the `caBundle` of the webhook configurations.

use anyhow::Context as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

/// Has both webhook configurations of a name trust these CAs, PEM.
///
/// # Errors
/// The API server does not answer, or does not let this be done.
pub(super) async fn trust(client: &Client, name: &str, bundle: String) -> anyhow::Result<()> {
    let bundle = ByteString(bundle.into_bytes());
    trust_in::<MutatingWebhookConfiguration>(client.clone(), name, &bundle).await?;
    trust_in::<ValidatingWebhookConfiguration>(client.clone(), name, &bundle).await
}

/// Has every webhook of a configuration trust these CAs. One that is not there yet is told when it is.
async fn trust_in<K: Configuration>(client: Client, name: &str, bundle: &ByteString) -> anyhow::Result<()> {
    let api: Api<K> = Api::all(client);
    let named = || format!("{} {}", K::kind(&()), name);
    let Some(configuration) = api.get_opt(name).await.with_context(named)? else {
        tracing::debug!("there is no {} yet", named());
        return Ok(());
    };
    if configuration.clients().iter().all(|(_, client)| client.ca_bundle.as_ref() == Some(bundle)) {
        return Ok(());
    }
    // Of the list as it was read: where somebody changes it meanwhile, the next round comes.
    let webhooks: Vec<Value> = (configuration.clients().iter())
        .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    let version = configuration.resource_version();
    let patch = Patch::Strategic(json!({"metadata": {"resourceVersion": version}, "webhooks": webhooks}));
    api.patch(name, &PatchParams::default(), &patch).await.with_context(named)?;
    Ok(())
}

/// One of the two kinds that register webhooks.
trait Configuration:
    kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned
{
    /// Its webhooks' names, and how they are called.
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for MutatingWebhookConfiguration {
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (&*webhook.name, &webhook.client_config)).collect()
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn clients(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (&*webhook.name, &webhook.client_config)).collect()
    }
}
