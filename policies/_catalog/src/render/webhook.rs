//! The manifests that register the native webhook: two webhook configurations, and the permissions of its service account.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{AdmissionPhase, WatchedKind};

use super::json;
use super::rules::{RegisteredPolicy, webhook_rules};

/// How the API server reaches the webhook, and the namespaces that are exempt.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The address of the webhook.
    pub endpoint: WebhookEndpoint,
    /// How the API server verifies its certificate.
    pub trust: CertificateTrust,
    /// The exempt namespaces, for which the API server does not call the webhook.
    pub exempt: BTreeSet<String>,
}

/// The address of the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookEndpoint {
    /// Port 443 of a Service.
    Service {
        /// The Service's namespace.
        namespace: String,
        /// The Service's name.
        name: String,
    },
    /// A URL without a path.
    Url(String),
}

/// How the API server verifies the webhook's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateTrust {
    /// cert-manager injects the CA bundle: `NAMESPACE/NAME` of a Certificate.
    CertManager(String),
    /// The webhook sets the CA bundle itself (`serve --tls-service`).
    SelfManaged,
    /// These CA certificates: PEM, encoded as base64.
    Bundle(String),
}

/// The name of both configurations.
const NAME: &str = "pratique";

const MUTATING: &str = "\
# Mutating policies. The rules are generated from the scope of each policy that changes objects.
";
const VALIDATING: &str = "\
# Validating policies. The rules are generated from each policy's scope.
";
const IGNORE: &str = "  \
  # Ignore: a database without its exporter is better than no database. The result is evaluated by the validating webhook,
  # which does not fail open.
  failurePolicy: Ignore
  matchPolicy: Equivalent
  # The API server calls this webhook again if another webhook changes the pod later. No container is added twice.
  reinvocationPolicy: IfNeeded
  sideEffects: None
  timeoutSeconds: 5
  # The same exempt namespaces as for validate.pratique.dev, for the same reasons.
";
const FAIL: &str = "  \
  # Fail: a pod that was not evaluated may take over its node, and a client that can make the webhook fail could bypass it.
  # The drawback is that nothing can be created while the webhook does not answer. Therefore it has three replicas and a
  # disruption budget, and the exemptions below ensure that its own dependencies never wait for it.
  failurePolicy: Fail
  # Objects in other API versions are evaluated as well.
  matchPolicy: Equivalent
  sideEffects: None
  # A verdict takes microseconds: a call that takes this long is lost, but its retry may succeed.
  timeoutSeconds: 5
  # The API server sets this label to the name of the namespace, so no client can give it to another one. These namespaces
  # are exempt: those of the cluster's own components, of the webhook, and of the issuer of its certificate.
";

const OBSERVE: &str = "  \
  # Ignore: policies that only warn or count must not block a request.
  failurePolicy: Ignore
  matchPolicy: Equivalent
  sideEffects: None
  timeoutSeconds: 5
  # The same exempt namespaces as for validate.pratique.dev, for the same reasons.
";

/// The MutatingWebhookConfiguration or the ValidatingWebhookConfiguration for these policies, as YAML; `None` if none of them
/// runs in that phase. The webhook for resources that only unenforced policies evaluate fails open: because these policies
/// never reject a request, a failure must not either.
pub fn webhook_configuration(
    phase: AdmissionPhase,
    enforced: &[RegisteredPolicy],
    unenforced: &[RegisteredPolicy],
    registration: &Registration,
) -> Option<String> {
    let speaking = |entries: &[RegisteredPolicy]| -> Vec<RegisteredPolicy> {
        let speaks = |policy: &&RegisteredPolicy| match phase {
            AdmissionPhase::Mutating => policy.metadata().mutates,
            AdmissionPhase::Validating => policy.metadata().denies,
        };
        entries.iter().filter(speaks).cloned().collect()
    };
    let (enforced, unenforced) = (speaking(enforced), speaking(unenforced));
    let (comment, kind) = match phase {
        AdmissionPhase::Mutating => (MUTATING, "MutatingWebhookConfiguration"),
        AdmissionPhase::Validating => (VALIDATING, "ValidatingWebhookConfiguration"),
    };
    let webhooks: String = match phase {
        AdmissionPhase::Mutating => {
            let all = [enforced, unenforced].concat();
            vec![("mutate", IGNORE, webhook_rules(&all, &[], "  "))]
        }
        AdmissionPhase::Validating => vec![
            ("validate", FAIL, webhook_rules(&enforced, &[], "  ")),
            ("observe", OBSERVE, webhook_rules(&unenforced, &enforced, "  ")),
        ],
    }
    .iter()
    .filter(|(_, _, rules)| !rules.is_empty())
    .map(|(name, policy, rules)| webhook(name, phase, policy, rules, registration))
    .collect();
    if webhooks.is_empty() {
        return None;
    }
    let annotation = match &registration.trust {
        CertificateTrust::CertManager(certificate) => format!(
            "  annotations:\n    # cert-manager fills in the CA.\n    cert-manager.io/inject-ca-from: {certificate}\n"
        ),
        CertificateTrust::SelfManaged | CertificateTrust::Bundle(_) => String::new(),
    };
    Some(format!(
        "{comment}apiVersion: admissionregistration.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {NAME}\n{annotation}\
         webhooks:\n{webhooks}"
    ))
}

/// One webhook of a configuration.
fn webhook(
    name: &str,
    phase: AdmissionPhase,
    policy: &str,
    rules: &str,
    registration: &Registration,
) -> String {
    let mut text = format!("- name: {name}.pratique.dev\n  admissionReviewVersions: [v1]\n  clientConfig:\n");
    let phase = phase.as_str();
    text.push_str(&match &registration.endpoint {
        WebhookEndpoint::Service { namespace, name } => format!(
            "    service:\n      name: {}\n      namespace: {}\n      path: /{phase}\n      port: 443\n",
            scalar(name),
            scalar(namespace)
        ),
        WebhookEndpoint::Url(url) => format!("    url: {}/{phase}\n", url.trim_end_matches('/')),
    });
    if let CertificateTrust::Bundle(bundle) = &registration.trust {
        text.push_str(&format!("    caBundle: {bundle}\n"));
    }
    let exempt: Vec<String> = registration.exempt.iter().map(|name| scalar(name)).collect();
    text.push_str(&format!(
        "{policy}  namespaceSelector:\n    matchExpressions:\n    - key: kubernetes.io/metadata.name\n      operator: NotIn\n      \
         values: [{}]\n  rules:\n{rules}",
        exempt.join(", ")
    ));
    text
}

/// A name as YAML, quoted if a parser would read it as a number, a boolean or null.
fn scalar(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic());
    match is_word && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name) {
        true => name.to_owned(),
        false => json(&name),
    }
}

/// The ServiceAccount of the webhook and its permissions, as YAML: to list and watch the kinds that policies read and, if it
/// manages its own certificate, to update that.
///
/// `namespace` and `name` are those of its Service.
pub fn service_account(
    reads: &[WatchedKind],
    namespace: &str,
    name: &str,
    trust: &CertificateTrust,
) -> String {
    let mut kinds: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for read in reads {
        kinds.entry(read.group).or_default().insert(read.plural());
    }
    let mut rules = String::new();
    for (group, resources) in kinds {
        let resources: Vec<String> = resources.into_iter().collect();
        let group = if group.is_empty() { "\"\"" } else { group };
        rules.push_str(&format!(
            "- apiGroups: [{group}]\n  resources: [{}]\n  verbs: [list, watch]\n",
            resources.join(", ")
        ));
    }
    let cluster_role = format!("{NAME}-{name}");
    let secret = scalar(&format!("{name}-tls"));
    let (namespace, name) = (&*scalar(namespace), &*scalar(name));
    let mut text = format!(
        "# Permission to read the cluster data that policies need, and nothing else: no Secret, no write, no other kind.\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"
    );
    if *trust == CertificateTrust::SelfManaged {
        text = text
            .replace("nothing else: no Secret, no write, no other kind.", "to manage its own certificate.");
        rules.push_str(&format!(
            "- apiGroups: [admissionregistration.k8s.io]\n  resources: [mutatingwebhookconfigurations, \
             validatingwebhookconfigurations]\n  resourceNames: [{NAME}]\n  verbs: [get, patch]\n"
        ));
    }
    text.push_str(&role("Cluster", &cluster_role, "", &rules, &Account { namespace, name }));
    if *trust == CertificateTrust::SelfManaged {
        let place = format!("  namespace: {namespace}\n");
        // RBAC cannot limit `create` to one name.
        let of_secret = format!(
            "- apiGroups: [\"\"]\n  resources: [secrets]\n  resourceNames: [{secret}]\n  verbs: [get, update]\n\
             - apiGroups: [\"\"]\n  resources: [secrets]\n  verbs: [create]\n"
        );
        text.push_str(&role("", name, &place, &of_secret, &Account { namespace, name }));
    }
    text
}

/// A service account.
struct Account<'s> {
    namespace: &'s str,
    name: &'s str,
}

/// A role and its binding.
fn role(prefix: &str, name: &str, place: &str, rules: &str, account: &Account<'_>) -> String {
    let Account { namespace, name: account } = account;
    let rules = if rules.is_empty() { " []\n".to_owned() } else { format!("\n{rules}") };
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}Role\nmetadata:\n  name: {name}\n{place}rules:{rules}\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}RoleBinding\nmetadata:\n  name: {name}\n{place}roleRef:\n  \
         apiGroup: rbac.authorization.k8s.io\n  kind: {prefix}Role\n  name: {name}\nsubjects:\n- kind: ServiceAccount\n  name: \
         {account}\n  namespace: {namespace}\n"
    )
}
