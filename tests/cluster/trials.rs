//! Requests to the API server, and their expected results.

pub(crate) mod manifests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use conformance::cases;
use conformance::control_plane::{Api, ApiResponse};
use conformance::process::pratique;
use conformance::registration::{WEBHOOK_LABEL, register, rendered};
use conformance::serving::until;
use policy_catalog::POLICIES;
use policy_core::{Arena, Case, ConfiguredPolicy, Outcome, PolicyDefinition, case};
use serde_json::{Value, json};
use webhook_server::args::WhenStale;
use webhook_server::server::Server;
use webhook_server::server::cluster::WatchedCluster;
use webhook_server::server::tls::Identity;
use webhook_server::server::webhook::Webhook;

use crate::Run;

/// An API server that calls the webhook.
#[derive(Clone)]
pub(crate) struct WebhookCluster {
    pub(crate) api: Api,
}

pub(crate) const TRIALS: &[(&str, Run)] = &[
    ("cases_have_the_expected_outcome", |given| Box::pin(given.stage.cases())),
    ("network_policies_are_required_and_kept", |given| Box::pin(given.stage.network_policies())),
    ("exporters_are_in_the_pods_that_controllers_make", |given| Box::pin(given.stage.exporters())),
    ("ephemeral_containers_are_evaluated", |given| Box::pin(given.stage.ephemeral_containers())),
    ("old_pods_can_be_updated_and_deleted", |given| Box::pin(given.stage.old_pods())),
    ("warnings_reach_the_client", |given| Box::pin(given.stage.warnings())),
    ("dry_runs_leave_nothing", |given| Box::pin(given.stage.dry_run())),
    ("every_manifest_matches_its_schema", |given| Box::pin(manifests::applied(given.stage.api))),
];

impl WebhookCluster {
    /// Starts the webhook and registers each policy for the namespaces that have its name in a label.
    pub(crate) async fn set(api: &Api) -> anyhow::Result<Self> {
        let configured = |entry: &PolicyDefinition| -> anyhow::Result<ConfiguredPolicy> {
            let settings = if entry.metadata.needs_cluster() { r#"{"dns":false}"# } else { "" };
            Ok(ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)(settings)? })
        };
        let entries = || POLICIES.iter().filter(|entry| !entry.metadata.for_manifest_sets());
        let policies = entries().map(configured).collect::<anyhow::Result<Vec<_>>>()?;
        let reads = entries().flat_map(|entry| entry.metadata.reads).copied();
        let watched = Arc::new(WatchedCluster::new(reads, Duration::from_secs(120), WhenStale::Deny));
        let (starting, kubeconfig) = (watched.clone(), api.kubeconfig.clone());
        tokio::task::spawn_blocking(move || starting.start(Some(&kubeconfig))).await??;
        let folder = std::env::temp_dir().join(format!("pratique-{}-stage", std::process::id()));
        let (cert, key) = conformance::serving::certificate(&folder)?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let webhook = Webhook::watching(policies, watched.clone());
        let server = Server::start(listener, Identity::from_files(&cert, &key)?.server()?, webhook.router())?;
        until("the webhook has cluster data", || async { Ok(watched.unknown().is_empty()) }).await?;
        let (url, cert) = (format!("https://{}", server.address), cert.display().to_string());
        for entry in entries() {
            let name = entry.metadata.name;
            let config = folder.join("policies.yaml");
            std::fs::write(&config, format!("policies:\n- name: {name}\n"))?;
            let config = config.display().to_string();
            let mut objects =
                rendered(pratique(), &["--config", &config, "--url", &url, "--ca-bundle", &cert])?;
            for webhook in objects.iter_mut().filter_map(|object| object["webhooks"].as_array_mut()).flatten()
            {
                let url = webhook["clientConfig"]["url"].as_str().unwrap_or_default();
                webhook["clientConfig"]["url"] = json!(format!("{url}/{name}"));
            }
            if entry.metadata.denies {
                register(api, name, "Validating", &objects).await?;
            }
            if entry.metadata.mutates {
                register(api, name, "Mutating", &objects).await?;
            }
        }
        std::fs::remove_dir_all(folder)?;
        // It runs until the process ends.
        std::mem::forget(server);
        let stage = WebhookCluster { api: api.clone() };
        stage.runs().await?;
        Ok(stage)
    }

    /// Waits until the API server uses every registration.
    async fn runs(&self) -> anyhow::Result<()> {
        for (policy, object) in [
            ("pod-security-standards", pod("x", json!({"hostNetwork": true}))),
            ("network-policy-required", pod("x", json!({}))),
        ] {
            let namespace = self.namespace(&format!("asked-{policy}"), policy).await?;
            until("the webhook is called", || async {
                Ok(self.create(&namespace, "pods?dryRun=All", &object).await?.status == 403)
            })
            .await?;
        }
        let namespace = self.namespace("asked-prometheus-labels", "prometheus-labels").await?;
        let metrics = json!({"containers": [{"name": "c", "image": "c", "ports": [{"name": "metrics", "containerPort": 9090}]}]});
        until("the mutating webhook is called", || async {
            let made =
                self.create(&namespace, "pods?dryRun=All", &pod("x", metrics.clone())).await?.well()?;
            Ok(made["metadata"]["labels"]["pratique.dev/scrape"] == "true")
        })
        .await
    }

    async fn namespace(&self, name: &str, policy: &str) -> anyhow::Result<String> {
        namespace(&self.api, name, json!({WEBHOOK_LABEL: policy})).await?;
        Ok(name.to_owned())
    }

    async fn create(&self, namespace: &str, what: &str, object: &Value) -> anyhow::Result<ApiResponse> {
        create(&self.api, namespace, what, object).await
    }

    /// Runs all cases that create a pod with default settings and that an API server accepts.
    async fn cases(self) -> anyhow::Result<()> {
        let mut evaluated = 0;
        for entry in POLICIES.iter().filter(|entry| !entry.metadata.needs_cluster()) {
            let namespace =
                self.namespace(&format!("cases-{}", entry.metadata.name), entry.metadata.name).await?;
            for file in cases::of(entry) {
                let claim = case::claim(&file.name)?;
                let (mut object, native) = {
                    let arena = Arena::new();
                    let decoded = Case::decode(&file.text, &arena)?;
                    let request: Value = serde_json::from_str(&decoded.request.to_string())?;
                    let plain = decoded.settings.is_empty() || decoded.settings == "{}";
                    let is_new_pod = request["operation"] == "CREATE"
                        && request["kind"]["kind"] == "Pod"
                        && request["subResource"].is_null();
                    if !plain || !is_new_pod || decoded.cluster.is_some() {
                        continue;
                    }
                    let verdicts = decoded.run(entry, &arena)?;
                    let denials = verdicts.rows.iter().flat_map(|row| &row.verdict.denials);
                    (
                        request["object"].clone(),
                        denials.map(policy_core::Finding::sentence).collect::<Vec<_>>(),
                    )
                };
                object["metadata"]["namespace"] = json!(namespace);
                let answer = self.create(&namespace, "pods?dryRun=All", &object).await?;
                let is_invalid =
                    answer.status == 422 || (answer.status == 400 && answer.body["reason"] == "BadRequest");
                if is_invalid {
                    // The API server itself rejects the object.
                    continue;
                }
                let name = &file.name;
                if claim == Outcome::Deny {
                    let message = answer.refused().with_context(|| name.clone())?;
                    for sentence in native {
                        ensure!(message.contains(&sentence), "{name}: `{sentence}` is not in `{message}`");
                    }
                } else {
                    answer.well().with_context(|| name.clone())?;
                }
                evaluated += 1;
            }
        }
        ensure!(evaluated > 100, "only {evaluated} cases are pods that an API server accepts");
        Ok(())
    }

    async fn network_policies(self) -> anyhow::Result<()> {
        let namespace = self.namespace("policies", "network-policy-required").await?;
        let web = pod("web", json!({}));
        let message = self.create(&namespace, "pods", &web).await?.refused()?;
        ensure!(
            message.contains("must be selected by a NetworkPolicy in `policies` that isolates for ingress"),
            "{message}"
        );
        let deny = network_policy("deny", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
        self.create(&namespace, "networkpolicies", &deny).await?.well()?;
        until("the webhook has seen the policy", || async {
            Ok(self.create(&namespace, "pods?dryRun=All", &web).await?.status == 201)
        })
        .await?;
        self.create(&namespace, "pods", &web).await?.well()?;
        let policy = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
        until("the webhook has seen the pod", || async {
            Ok(self.api.delete(&format!("{policy}/deny?dryRun=All")).await?.status == 403)
        })
        .await?;
        let message = self.api.delete(&format!("{policy}/deny")).await?.refused()?;
        ensure!(message.contains("the pod `web` would no longer be isolated for ingress"), "{message}");
        let message = self.api.delete(&policy).await?.refused()?;
        ensure!(message.contains("`web`"), "as a collection: {message}");
        let open = network_policy("open", json!({"podSelector": {}, "ingress": [{}]}));
        let message = self.create(&namespace, "networkpolicies", &open).await?.refused()?;
        ensure!(message.contains("spec.ingress[0]: must list peers in `from`"), "{message}");
        let narrowed = json!({"spec": {"podSelector": {"matchLabels": {"app": "other"}}}});
        let message = self.api.patch(&format!("{policy}/deny"), &narrowed).await?.refused()?;
        ensure!(message.contains("the pod `web`"), "{message}");
        // Without pods the policy may be deleted, and all policies may be deleted with the namespace.
        self.api
            .delete(&format!("/api/v1/namespaces/{namespace}/pods/web?gracePeriodSeconds=0"))
            .await?
            .well()?;
        until("the policy may be deleted", || async {
            Ok(self.api.delete(&format!("{policy}/deny?dryRun=All")).await?.status == 200)
        })
        .await?;
        self.create(&namespace, "pods", &web).await?.well()?;
        self.api.delete(&format!("/api/v1/namespaces/{namespace}")).await?.well()?;
        until("the namespace is gone", || async {
            Ok(self.api.get(&format!("/api/v1/namespaces/{namespace}")).await?.status == 404)
        })
        .await
    }

    async fn exporters(self) -> anyhow::Result<()> {
        let namespace = self.namespace("exporters", "exporter-sidecar").await?;
        let template = json!({"metadata": {"labels": {"app": "db"}, "annotations": {
                "pratique.dev/inject-exporter": "auto", "pratique.dev/exporter-secret": "db/password"}},
            "spec": {"containers": [{"name": "db", "image": "mysql:8.4"}]}});
        let object = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
            "spec": {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}});
        let stored = self.create(&namespace, "statefulsets", &object).await?.well()?;
        ensure!(
            stored["spec"]["template"]["spec"]["initContainers"].is_null(),
            "the stored StatefulSet must not be changed"
        );
        let path = format!("/api/v1/namespaces/{namespace}/pods/db-0");
        until("the controller has created the pod", || async {
            Ok(self.api.get(&path).await?.status == 200)
        })
        .await?;
        let pod = self.api.get(&path).await?.well()?;
        let sidecar = &pod["spec"]["initContainers"][0];
        ensure!(sidecar["name"] == "mysqld-exporter" && sidecar["restartPolicy"] == "Always", "{pod}");
        ensure!(pod["metadata"]["annotations"]["pratique.dev/exporter-status"].is_string(), "{pod}");
        Ok(())
    }

    async fn ephemeral_containers(self) -> anyhow::Result<()> {
        let namespace = self.namespace("ephemeral", "pod-security-standards").await?;
        self.create(&namespace, "pods", &pod("web", restricted())).await?.well()?;
        let path = format!("/api/v1/namespaces/{namespace}/pods/web");
        let debug = |privileged: bool| {
            let context = json!({"privileged": privileged, "allowPrivilegeEscalation": privileged, "capabilities": {"drop": ["ALL"]}});
            json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox", "securityContext": context}]}})
        };
        let message =
            self.api.patch(&format!("{path}/ephemeralcontainers"), &debug(true)).await?.refused()?;
        ensure!(
            message.contains("spec.ephemeralContainers[0].securityContext.privileged: must not be true"),
            "{message}"
        );
        self.api.patch(&format!("{path}/ephemeralcontainers"), &debug(false)).await?.well()?;
        Ok(())
    }

    /// A pod that is older than the policy can still be labelled and deleted, but its image cannot be changed.
    async fn old_pods(self) -> anyhow::Result<()> {
        let namespace = self.namespace("old", "none").await?;
        self.create(&namespace, "pods", &pod("old", json!({"hostNetwork": true}))).await?.well()?;
        let labels = json!({"metadata": {"labels": {WEBHOOK_LABEL: "pod-security-standards"}}});
        self.api.patch(&format!("/api/v1/namespaces/{namespace}"), &labels).await?.well()?;
        let path = format!("/api/v1/namespaces/{namespace}/pods/old");
        until("the policy applies to the namespace", || async {
            let image = json!({"spec": {"containers": [{"name": "web", "image": "other"}]}});
            Ok(self.api.patch(&format!("{path}?dryRun=All"), &image).await?.status == 403)
        })
        .await?;
        let housekeeping =
            json!({"metadata": {"labels": {"seen": "true"}, "finalizers": ["test.pratique.dev/hold"]}});
        self.api.patch(&path, &housekeeping).await?.well()?;
        self.api.delete(&format!("{path}?gracePeriodSeconds=0")).await?.well()?;
        self.api.patch(&path, &json!({"metadata": {"finalizers": null}})).await?.well()?;
        until("the pod is gone", || async { Ok(self.api.get(&path).await?.status == 404) }).await
    }

    async fn warnings(self) -> anyhow::Result<()> {
        let namespace = self.namespace("warnings", "network-policy-required").await?;
        let policy = network_policy(
            "odd",
            json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{"to": [{"podSelector": {}}]}]}),
        );
        let answer = self.create(&namespace, "networkpolicies", &policy).await?;
        let warned = answer.warnings.join("\n");
        ensure!(
            warned.contains(
                "network-policy-required: spec.egress: has no effect: policyTypes does not list Egress"
            ),
            "{warned}"
        );
        answer.well()?;
        Ok(())
    }

    async fn dry_run(self) -> anyhow::Result<()> {
        let namespace = self.namespace("dry", "network-policy-required").await?;
        let deny = network_policy("deny", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
        self.create(&namespace, "networkpolicies?dryRun=All", &deny).await?.well()?;
        let message = self.create(&namespace, "pods", &pod("web", json!({}))).await?.refused()?;
        ensure!(message.contains("must have a default deny"), "a dry run must not isolate pods: {message}");
        Ok(())
    }
}

/// Creates an object in a namespace; `what` is its resource.
pub(crate) async fn create(
    api: &Api,
    namespace: &str,
    what: &str,
    object: &Value,
) -> anyhow::Result<ApiResponse> {
    let group = match object["apiVersion"].as_str().unwrap_or("v1").split_once('/') {
        None => "/api/v1".to_owned(),
        Some((group, version)) => format!("/apis/{group}/{version}"),
    };
    api.post(&format!("{group}/namespaces/{namespace}/{what}"), object).await
}

/// Creates a namespace with these labels.
pub(crate) async fn namespace(api: &Api, name: &str, labels: Value) -> anyhow::Result<()> {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    api.post("/api/v1/namespaces", &namespace).await?.well()?;
    Ok(())
}

pub(crate) fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "web", "image": "web"}]}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// A pod spec that passes the restricted level.
pub(crate) fn restricted() -> Value {
    json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "web", "image": "web",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]})
}

pub(crate) fn network_policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec})
}
