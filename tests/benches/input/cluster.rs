//! The manifests of 100 namespaces with 20 workloads each, and 2,000 NetworkPolicies with label expressions, namespace
//! selectors and named ports.

use std::fmt::Write as _;

/// The number of namespaces.
pub const NAMESPACES: usize = 100;
/// The number of workloads per namespace.
pub const WORKLOADS: usize = 20;
/// The number of pods per workload.
pub const REPLICAS: usize = 5;

/// The manifests, with Deployments or with the pods of each Deployment.
pub fn world(as_pods: bool) -> String {
    let mut text = String::new();
    for n in 0..NAMESPACES {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns-{n}\n  labels:\n    env: env-{}\n    team: team-{}\n",
            n % 5,
            n % 10
        );
        for w in 0..WORKLOADS {
            let labels =
                format!("{{app: app-{w}, tier: tier-{}, team: team-{}, version: v{}}}", w % 4, n % 10, w % 3);
            let spec = format!(
                "containers: [{{name: main, image: 'registry.example.com/app:{w}', ports: [{{name: http, containerPort: 8080}}, {{name: metrics, containerPort: 9090}}]}}]"
            );
            if as_pods {
                for r in 0..REPLICAS {
                    let _ = write!(
                        text,
                        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: app-{w}-{r}\n  namespace: ns-{n}\n  labels: {labels}\n  ownerReferences:\n  - {{apiVersion: apps/v1, kind: ReplicaSet, name: app-{w}, controller: true, uid: x}}\nspec:\n  {spec}\n"
                    );
                }
            } else {
                let _ = write!(
                    text,
                    "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{w}\n  namespace: ns-{n}\nspec:\n  replicas: {REPLICAS}\n  selector:\n    matchLabels: {{app: app-{w}}}\n  template:\n    metadata:\n      labels: {labels}\n    spec:\n      {spec}\n"
                );
            }
        }
        let _ = write!(
            text,
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: default-deny\n  namespace: ns-{n}\nspec:\n  podSelector: {{}}\n  policyTypes: [Ingress, Egress]\n"
        );
        for p in 0..WORKLOADS - 1 {
            policy(n, p, &mut text);
        }
    }
    text
}

fn policy(n: usize, p: usize, text: &mut String) {
    let _ = write!(
        text,
        "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p-{p}
  namespace: ns-{n}
spec:
  podSelector:
    matchExpressions:
    - {{key: app, operator: In, values: [app-{p}, app-{}]}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - namespaceSelector:
        matchExpressions:
        - {{key: env, operator: In, values: [env-{}]}}
      podSelector:
        matchExpressions:
        - {{key: app, operator: In, values: [app-{}]}}
    - podSelector:
        matchLabels: {{tier: tier-{}}}
    ports:
    - port: http
    - port: 9090
  egress:
  - to:
    - namespaceSelector:
        matchLabels: {{team: team-{}}}
      podSelector:
        matchLabels: {{version: v{}}}
    - podSelector:
        matchLabels: {{tier: tier-{}}}
    ports:
    - port: http
    - port: metrics
  - to:
    - namespaceSelector: {{}}
      podSelector:
        matchLabels: {{k8s-app: kube-dns}}
    ports:
    - {{port: 53, protocol: UDP}}
    - {{port: 53}}
",
        p + 1,
        (n + p) % 5,
        (p * 7 + n) % 20,
        p % 4,
        (n + p) % 10,
        p % 3,
        (p + 1) % 4
    );
}
