//! The resources that register the policies of a configuration in a cluster: webhook configurations, or Kubewarden's resources.

use std::collections::BTreeSet;

use anyhow::Context as _;
use base64::Engine as _;
use policy_catalog::render::{
    self, CertificateTrust, PolicyDeployment, RegisteredPolicy, Registration, WebhookEndpoint,
};
use policy_core::AdmissionPhase;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::args::{RegistrationArgs, Selection};
use crate::certificate::{Validity, to_pem};
use crate::clock::{now, today};
use crate::config::exceptions::Exception;
use crate::config::{Config, ListedPolicy, Mode};

/// The webhook configurations that the policies need, and the service account with its RBAC, as YAML.
///
/// # Errors
/// The configuration is invalid, or the CA file contains no certificate.
pub fn webhook_configuration(args: &RegistrationArgs) -> anyhow::Result<String> {
    let config = config(args)?;
    let (namespace, name) = args.service.clone();
    let trust = match (&args.ca_bundle, args.self_managed) {
        (Some(file), _) => {
            let pem = std::fs::read(file).with_context(|| format!("--ca-bundle {}", file.display()))?;
            let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let certificates = certificates.with_context(|| format!("--ca-bundle {}", file.display()))?;
            anyhow::ensure!(
                !certificates.is_empty(),
                "--ca-bundle {}: the file contains no PEM certificate",
                file.display()
            );
            for (number, certificate) in certificates.iter().enumerate() {
                let validity = Validity::of(certificate);
                let validity = validity
                    .with_context(|| format!("--ca-bundle {}: block {}", file.display(), number + 1))?;
                if now() > validity.not_after {
                    print_error!(
                        "pratique: --ca-bundle {}: certificate {} has expired",
                        file.display(),
                        number + 1
                    );
                }
            }
            // Copy only the certificates, because the file may also contain a private key.
            CertificateTrust::Bundle(base64::engine::general_purpose::STANDARD.encode(to_pem(&certificates)))
        }
        (None, true) => CertificateTrust::SelfManaged,
        (None, false) => CertificateTrust::CertManager(format!("{namespace}/{name}")),
    };
    let endpoint = match &args.url {
        Some(url) => WebhookEndpoint::Url(url.clone()),
        None => WebhookEndpoint::Service { namespace: namespace.clone(), name: name.clone() },
    };
    let (enforced, unenforced): (Vec<_>, Vec<_>) =
        config.listed.iter().partition(|listed| listed.mode == Mode::Enforce);
    let entries = |listed: Vec<&ListedPolicy>| -> Vec<RegisteredPolicy> {
        listed.into_iter().map(|listed| registered(listed, &config)).collect()
    };
    let (enforced, unenforced) = (entries(enforced), entries(unenforced));
    let account = render::service_account(&config.reads(), &namespace, &name, &trust);
    let registration = Registration { endpoint, trust, exempt: exempt(args) };
    let configurations = [AdmissionPhase::Mutating, AdmissionPhase::Validating]
        .into_iter()
        .filter_map(|phase| render::webhook_configuration(phase, &enforced, &unenforced, &registration));
    Ok(std::iter::once(account).chain(configurations).collect::<Vec<_>>().join("---\n"))
}

/// Kubewarden's resources for each policy, as YAML. Kubewarden does not evaluate its own namespace.
///
/// # Errors
/// The configuration is invalid.
pub fn kubewarden(args: &RegistrationArgs, registry: &str) -> anyhow::Result<String> {
    let config = config(args)?;
    let mut texts = Vec::new();
    for listed in &config.listed {
        let name = listed.entry.metadata.name;
        let mut deployed =
            PolicyDeployment { enforced: listed.mode == Mode::Enforce, ..PolicyDeployment::default() };
        deployed.settings = match listed.settings.as_str() {
            "" | "null" => serde_json::json!({}),
            settings => serde_json::from_str(settings)?,
        };
        deployed.exempt = exempt(args);
        deployed.exempt.insert("kubewarden".to_owned());
        if let Some(selector) = &listed.namespace_selector {
            deployed.namespace_selector = serde_json::from_str(selector)?;
        }
        // Expired exceptions do not apply, and an exempt namespace needs no policy of its own.
        let holds = |exception: &&Exception| {
            exception.policy == name
                && today() <= exception.expires
                && !deployed.exempt.contains(&exception.namespace)
        };
        let exceptions: Vec<&Exception> = config.exceptions.iter().filter(holds).collect();
        for exception in exceptions {
            let excepted = deployed.excepted.entry(exception.namespace.clone()).or_default();
            excepted.insert(exception.control.clone());
        }
        let registry = registry.trim_end_matches('/');
        let module = format!("registry://{registry}/{name}:v{}", env!("CARGO_PKG_VERSION"));
        texts.push(render::kubewarden(&registered(listed, &config), &module, &deployed));
    }
    Ok(texts.join("---\n"))
}

/// A policy with the custom workload kinds of the configuration.
fn registered(listed: &ListedPolicy, config: &Config) -> RegisteredPolicy {
    RegisteredPolicy { definition: *listed.entry, pod_templates: config.pod_templates.clone() }
}

/// The namespaces that are exempt from evaluation.
pub fn exempt(args: &RegistrationArgs) -> BTreeSet<String> {
    let own = args.service.0.as_str();
    let always = ["cert-manager", "kube-node-lease", "kube-system", own].map(str::to_owned);
    always.into_iter().chain(args.exempt.iter().cloned()).collect()
}

/// Loads the configuration with all policies that run in a cluster, including those that need cluster data.
fn config(args: &RegistrationArgs) -> anyhow::Result<Config> {
    Config::load(&Selection { config: args.config.clone(), ..Selection::default() }, true)?.serving()
}
