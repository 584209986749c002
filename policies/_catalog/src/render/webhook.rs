//! What registers the native webhook at an API server: two webhook configurations, and the rights of its service account.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{AdmissionPhase, WatchedKind};

use super::json;
use super::rules::{RegisteredPolicy, webhook_rules};

/// How the API server calls the webhook, and about what not.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Where it is.
    pub endpoint: WebhookEndpoint,
    /// By what its certificate is trusted.
    pub trust: CertificateTrust,
    /// The namespaces that it is not asked about.
    pub exempt: BTreeSet<String>,
}

/// Where the webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookEndpoint {
    /// Behind a Service, at its port 443.
    Service {
        /// The Service's namespace.
        namespace: String,
        /// The Service's name.
        name: String,
    },
    /// At a URL, without a path.
    Url(String),
}

/// By what the webhook's certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateTrust {
    /// By what cert-manager puts there: `NAMESPACE/NAME` of a Certificate.
    CertManager(String),
    /// By what the webhook puts there itself (`serve --tls-service`).
    SelfManaged,
    /// By these certificates: PEM, in base64.
    Bundle(String),
}

/// The name of both configurations.
const NAME: &str = "pratique";

const MUTATING: &str = "\
# Who is asked for changes. Its rules are what the policies that change objects say that they look at.
";
const VALIDATING: &str = "\
# Who is asked about what. Its rules are what the policies say that they judge.
";
const IGNORE: &str = "  \
  # Ignore: a database without its exporter is better than no database. What comes of it is judged by the other webhook,
  # which does not fail open.
  failurePolicy: Ignore
  matchPolicy: Equivalent
  # Asked again when another webhook has changed the pod since: what is there already is not added twice.
  reinvocationPolicy: IfNeeded
  sideEffects: None
  timeoutSeconds: 5
  # The namespaces of the other webhook, for the same reasons.
";
const FAIL: &str = "  \
  # Fail: a pod that nobody judged may have the node. A webhook that fails open is turned off by whoever can make it
  # fail. The price, nothing is created while it does not answer, is paid with three replicas, a disruption budget, and
  # the exemptions below, so that nothing that the webhook itself stands on waits for it.
  failurePolicy: Fail
  # Old API versions of the same objects are judged as well.
  matchPolicy: Equivalent
  sideEffects: None
  # A verdict takes microseconds: what takes longer is lost, and its retry may not be.
  timeoutSeconds: 5
  # By the name that the API server itself sets, which nobody can give to another namespace. What is in these namespaces
  # is not judged: the cluster's own parts, the webhook, and what makes its certificate.
";

const OBSERVE: &str = "  \
  # Ignore: what only warns, or only counts, keeps nothing from being made.
  failurePolicy: Ignore
  matchPolicy: Equivalent
  sideEffects: None
  timeoutSeconds: 5
  # The namespaces of the other webhook, for the same reasons.
";

/// The MutatingWebhookConfiguration or the ValidatingWebhookConfiguration by which these policies are asked, as YAML; `None`
/// where none of them has anything to say there. What only policies look at that are not enforced fails open: they deny nothing,
/// and nothing is refused for want of them.
pub fn webhook_configuration(
    half: AdmissionPhase,
    enforced: &[RegisteredPolicy],
    unenforced: &[RegisteredPolicy],
    registration: &Registration,
) -> Option<String> {
    let speaking = |entries: &[RegisteredPolicy]| -> Vec<RegisteredPolicy> {
        let speaks = |policy: &&RegisteredPolicy| match half {
            AdmissionPhase::Mutating => policy.metadata().mutates,
            AdmissionPhase::Validating => policy.metadata().denies,
        };
        entries.iter().filter(speaks).cloned().collect()
    };
    let (enforced, unenforced) = (speaking(enforced), speaking(unenforced));
    let (comment, kind) = match half {
        AdmissionPhase::Mutating => (MUTATING, "MutatingWebhookConfiguration"),
        AdmissionPhase::Validating => (VALIDATING, "ValidatingWebhookConfiguration"),
    };
    let webhooks: String = match half {
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
    .map(|(name, policy, rules)| webhook(name, half, policy, rules, registration))
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
    half: AdmissionPhase,
    policy: &str,
    rules: &str,
    registration: &Registration,
) -> String {
    let mut text = format!("- name: {name}.pratique.dev\n  admissionReviewVersions: [v1]\n  clientConfig:\n");
    let half = half.as_str();
    text.push_str(&match &registration.endpoint {
        WebhookEndpoint::Service { namespace, name } => format!(
            "    service:\n      name: {}\n      namespace: {}\n      path: /{half}\n      port: 443\n",
            scalar(name),
            scalar(namespace)
        ),
        WebhookEndpoint::Url(url) => format!("    url: {}/{half}\n", url.trim_end_matches('/')),
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

/// A name as YAML: what would be read as a number, a boolean or null is quoted.
fn scalar(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic());
    match is_word && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name) {
        true => name.to_owned(),
        false => json(&name),
    }
}

/// The ServiceAccount of the webhook, and what it may: look at what policies read, and no more; where it looks after its own
/// certificate, that as well. As YAML.
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
        "# What the policies look at beside the object they judge, and nothing else: no Secret, no write, no other kind.\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"
    );
    if *trust == CertificateTrust::SelfManaged {
        text = text.replace("nothing else: no Secret, no write, no other kind.", "its own certificate.");
        rules.push_str(&format!(
            "- apiGroups: [admissionregistration.k8s.io]\n  resources: [mutatingwebhookconfigurations, \
             validatingwebhookconfigurations]\n  resourceNames: [{NAME}]\n  verbs: [get, patch]\n"
        ));
    }
    text.push_str(&role("Cluster", &cluster_role, "", &rules, &Account { namespace, name }));
    if *trust == CertificateTrust::SelfManaged {
        let place = format!("  namespace: {namespace}\n");
        // That a Secret is made cannot be limited to one name.
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

/// A role and who has it.
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
