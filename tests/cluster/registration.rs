//! The webhook in its own process, registered with the output of `pratique policies --webhook-configuration`, with
//! the policies of the manifests.

mod others;
mod rights;

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use conformance::control_plane::kinds::{define, path};
use conformance::control_plane::{Api, ControlPlane};
use conformance::process::pratique;
use conformance::registration::rendered;
use conformance::root;
use conformance::serving::{Serving, until};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use webhook_server::sources::Input;

use crate::trials::{create, namespace, network_policy, pod, restricted};
use crate::{Run, TrialFixture, keep};

pub(crate) const TRIALS: &[(&str, Run)] = &[
    ("registered::production_is_admitted_and_its_pods_exist", |given| Box::pin(production(given))),
    ("registered::exceptions_hold_until_they_expire", |given| Box::pin(exceptions(given))),
    ("registered::namespaces_opt_in", |given| Box::pin(opt_in(given))),
    ("registered::resizes_are_evaluated", |given| Box::pin(resize(given))),
    ("registered::it_runs_again_when_another_webhook_changes_a_pod", |given| {
        Box::pin(others::reinvocation(given))
    }),
    ("registered::admitted_objects_can_be_deleted", |given| Box::pin(deletion(given))),
    ("registered::exempt_namespaces_are_not_checked", |given| Box::pin(exempt(given))),
    ("registered::its_rights_are_enough_to_manage_its_certificate", |given| {
        Box::pin(rights::self_managed(given))
    }),
];

/// The namespace label that enables `network-policy-required`. All namespaces of the manifests have it.
const OPT_IN: &str = "pod-security.kubernetes.io/enforce";

/// The policies of the manifests with two more exceptions. NetworkPolicies are required only in namespaces that opt in.
fn policies() -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root().join("manifests/policies.yaml"))?;
    let required = "- name: network-policy-required\n";
    ensure!(text.contains(required), "the policy is not listed");
    let selector =
        format!("  namespaceSelector: {{matchExpressions: [{{key: {OPT_IN}, operator: Exists}}]}}\n");
    let mut text = text.replace(required, &format!("{required}{selector}"));
    for (workload, expires) in [("Deployment/probe", "2999-12-31"), ("Deployment/late", "2020-12-31")] {
        text.push_str(&format!(
            "- {{policy: pod-security-standards, control: hostNamespaces, namespace: excepted, workload: {workload}, \
             reason: It looks at the node., owner: team, expires: {expires}}}\n"
        ));
    }
    Ok(text)
}

/// An API server that calls the webhook for all namespaces.
async fn registered(given: &TrialFixture) -> anyhow::Result<&'static Api> {
    static API: OnceCell<Api> = OnceCell::const_new();
    API.get_or_try_init(|| async {
        let plane = ControlPlane::start(&given.assets).await?;
        let api = plane.api.clone();
        let folder = std::env::temp_dir().join(format!("pratique-{}-registered", std::process::id()));
        conformance::serving::certificate(&folder)?;
        let config = folder.join("policies.yaml");
        std::fs::write(&config, policies()?)?;
        let text = |path: &PathBuf| path.display().to_string();
        let (config, certificate) = (text(&config), text(&folder.join("tls.crt")));
        namespace(&api, "pratique", json!({})).await?;
        let kubeconfig =
            rights::account(&api, "pratique", &rendered(pratique(), &["--config", &config])?).await?;
        let kubeconfig = text(&kubeconfig);
        let arguments = ["--config", &config, "--kubeconfig", &kubeconfig, "--drain", "0"];
        let webhook = Serving::start_in(folder, "127.0.0.1:0", &arguments)?;
        let url = format!("https://{}", webhook.address);
        let rendered =
            rendered(pratique(), &["--config", &config, "--url", &url, "--ca-bundle", &certificate])?;
        until("the webhook is ready", || async {
            Ok(webhook.client().await?.get("/readyz").await?.0 == 200)
        })
        .await?;
        keep(plane);
        keep(webhook);
        for object in rendered {
            let path = path(&object)?;
            api.apply(&path, &object, false).await?.well().context(path)?;
        }
        let privileged = pod("x", json!({"hostNetwork": true}));
        until("the webhook is called", || async {
            Ok(create(&api, "default", "pods?dryRun=All", &privileged).await?.status == 403)
        })
        .await?;
        anyhow::Ok(api)
    })
    .await
}

/// Creates a namespace and waits until the webhook has seen it, because its labels select the policies.
async fn known(api: &Api, name: &str, labels: Value) -> anyhow::Result<()> {
    namespace(api, name, labels).await?;
    let web = pod("known", restricted());
    until("the webhook has seen the namespace", || async {
        let answer = create(api, name, "pods?dryRun=All", &web).await?;
        Ok(!answer.body["message"].as_str().unwrap_or_default().contains("does not exist"))
    })
    .await
}

fn deployment(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})
}

/// The pods of a namespace with this `app` label.
async fn pods(api: &Api, namespace: &str, app: &str) -> anyhow::Result<Vec<Value>> {
    let list =
        api.get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}")).await?.well()?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Applies all objects of production in the order of Argo CD: dependencies first.
async fn production(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    define(api, Vec::new()).await?;
    let place = Input::Kustomization(root().join("manifests/clusters/production"));
    let mut objects = conformance::yaml(&place.read()?.text)?;
    let used: Vec<String> = (objects.iter())
        .filter_map(|object| object["metadata"]["namespace"].as_str().map(str::to_owned))
        .collect();
    // The webhook is already registered at a loopback address, so its configurations are skipped.
    objects.retain(|object| {
        let kind = object["kind"].as_str().unwrap_or_default();
        !kind.ends_with("WebhookConfiguration")
    });
    let rank = |object: &Value| match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => 0,
        "Deployment" | "StatefulSet" | "DaemonSet" | "CronJob" | "Job" => 2,
        _ => 1,
    };
    objects.sort_by_key(rank);
    // First the namespaces that Helm charts would create, and then those of the manifests with their labels.
    for name in used {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        api.apply(&path(&object)?, &object, false).await?.well()?;
    }
    for object in objects.iter().filter(|object| rank(object) == 0) {
        api.apply(&path(object)?, object, false).await?.well()?;
    }
    let shop = api.get("/api/v1/namespaces/shop").await?.well()?;
    ensure!(shop["metadata"]["labels"][OPT_IN] == "restricted", "{}", shop["metadata"]);
    let alone = create(api, "shop", "pods?dryRun=All", &pod("alone", restricted())).await?.refused()?;
    ensure!(alone.contains("network-policy-required: "), "without NetworkPolicies: {alone}");
    let mut workloads = 0;
    for object in objects.iter().filter(|object| rank(object) > 0) {
        let path = path(object)?;
        let is_admitted = || async {
            // APIServices are only a dry run, because an unavailable API would block the deletion of namespaces.
            let only_requested = object["kind"] == "APIService";
            let answer = api.apply(&path, object, only_requested).await?;
            // The NetworkPolicies in the webhook's cluster data may be a moment behind.
            ensure!(answer.status != 403 || rank(object) == 2, "{path}: {}", answer.body["message"]);
            ensure!([200, 201, 403].contains(&answer.status), "{path}: {}", answer.body["message"]);
            Ok(answer.status != 403)
        };
        until(&format!("{path} is admitted"), is_admitted).await?;
        workloads += usize::from(rank(object) == 2);
    }
    ensure!(workloads >= 8, "only {workloads} workloads");
    for (pod, sidecar) in [
        ("/api/v1/namespaces/mysql/pods/mysql-0", "mysqld-exporter"),
        ("/api/v1/namespaces/mongodb/pods/mongodb-0", "mongodb-exporter"),
    ] {
        until("the pod exists", || async { Ok(api.get(pod).await?.status == 200) }).await?;
        let made = api.get(pod).await?.well()?;
        let named = made["spec"]["initContainers"].as_array().into_iter().flatten();
        let names: Vec<&str> = named.filter_map(|container| container["name"].as_str()).collect();
        ensure!(names.contains(&sidecar), "{pod}: {names:?}");
        ensure!(made["metadata"]["labels"]["pratique.dev/scrape"] == "true", "{pod}: {}", made["metadata"]);
    }
    Ok(())
}

async fn exceptions(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    known(api, "excepted", json!({})).await?;
    let mut spec = restricted();
    spec["hostNetwork"] = json!(true);
    create(api, "excepted", "deployments", &deployment("probe", spec.clone())).await?.well()?;
    until("the controller has created the pod", || async {
        Ok(!pods(api, "excepted", "probe").await?.is_empty())
    })
    .await?;
    // A pod that another user creates with a forged owner reference gets no exception.
    let mut forged = pod("forged", spec.clone());
    forged["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "probe",
        "uid": "00000000-0000-0000-0000-000000000000", "controller": true}]);
    let message = create(api, "excepted", "pods", &forged).await?.refused()?;
    ensure!(message.contains("spec.hostNetwork: must not be true"), "{message}");
    let message =
        create(api, "excepted", "deployments", &deployment("late", spec.clone())).await?.refused()?;
    ensure!(message.contains("its exception expired on 2020-12-31: ask team (hostNamespaces)"), "{message}");
    let message = create(api, "excepted", "deployments", &deployment("other", spec)).await?.refused()?;
    ensure!(!message.contains("exception"), "{message}");
    Ok(())
}

async fn opt_in(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    namespace(api, "opting", json!({})).await?;
    let web = pod("web", restricted());
    until("the namespace is known, and the pod is admitted", || async {
        Ok(create(api, "opting", "pods?dryRun=All", &web).await?.status == 201)
    })
    .await?;
    let labels = json!({"metadata": {"labels": {OPT_IN: "restricted"}}});
    api.patch("/api/v1/namespaces/opting", &labels).await?.well()?;
    until("the pod is denied", || async {
        Ok(create(api, "opting", "pods?dryRun=All", &web).await?.status == 403)
    })
    .await?;
    let message = create(api, "opting", "pods", &web).await?.refused()?;
    ensure!(message.contains("network-policy-required: "), "{message}");
    let deny = network_policy("deny", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    create(api, "opting", "networkpolicies", &deny).await?.well()?;
    let dns = network_policy(
        "dns",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]}),
    );
    create(api, "opting", "networkpolicies", &dns).await?.well()?;
    until("the pod is isolated and may use DNS", || async {
        Ok(create(api, "opting", "pods?dryRun=All", &web).await?.status == 201)
    })
    .await
}

/// The webhook is called for a resize and admits it, because no policy checks these fields.
async fn resize(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    known(api, "resized", json!({})).await?;
    let mut spec = restricted();
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "10m"}});
    create(api, "resized", "pods", &pod("web", spec)).await?.well()?;
    let resize = |cpu: &str| json!({"spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": cpu}}}]}});
    let path = "/api/v1/namespaces/resized/pods/web/resize";
    let resized = api.patch(path, &resize("20m")).await?.well()?;
    ensure!(resized["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "20m", "{resized}");
    // To prove that the webhook is called for a resize, register one that is not reachable.
    known(api, "resized-deaf", json!({"test.pratique.dev/deaf": "true"})).await?;
    let mut spec = restricted();
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "10m"}});
    create(api, "resized-deaf", "pods", &pod("web", spec)).await?.well()?;
    let mut deaf = api
        .get("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/pratique")
        .await?
        .well()?;
    deaf["metadata"] = json!({"name": "deaf"});
    let webhook = &mut deaf["webhooks"][0];
    webhook["name"] = json!("deaf.pratique.dev");
    webhook["clientConfig"] = json!({"url": "https://127.0.0.1:9/validate"});
    webhook["namespaceSelector"] = json!({"matchLabels": {"test.pratique.dev/deaf": "true"}});
    let configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    api.post(configurations, &deaf).await?.well()?;
    until("the unreachable webhook is called", || async {
        let answer =
            api.patch("/api/v1/namespaces/resized-deaf/pods/web/resize?dryRun=All", &resize("30m")).await?;
        Ok(answer.body["message"].as_str().unwrap_or_default().contains("deaf.pratique.dev"))
    })
    .await?;
    api.delete(&format!("{configurations}/deaf")).await?.well()?;
    Ok(())
}

/// An admitted object can be deleted: on its own, with its owner, and with its namespace.
async fn deletion(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    known(api, "deleted", json!({})).await?;
    create(api, "deleted", "deployments", &deployment("web", restricted())).await?.well()?;
    create(api, "deleted", "pods", &pod("single", restricted())).await?.well()?;
    until("the pods exist", || async { Ok(!pods(api, "deleted", "web").await?.is_empty()) }).await?;
    let foreground = "propagationPolicy=Foreground";
    api.delete(&format!("/apis/apps/v1/namespaces/deleted/deployments/web?{foreground}")).await?.well()?;
    until("the deployment and its pods are gone", || async {
        let gone = api.get("/apis/apps/v1/namespaces/deleted/deployments/web").await?.status == 404;
        Ok(gone && pods(api, "deleted", "web").await?.is_empty())
    })
    .await?;
    api.delete("/api/v1/namespaces/deleted").await?.well()?;
    until("the namespace is gone", || async {
        Ok(api.get("/api/v1/namespaces/deleted").await?.status == 404)
    })
    .await
}

async fn exempt(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    let privileged = pod("x", json!({"hostNetwork": true}));
    for namespace in ["kube-node-lease", "kube-system"] {
        create(api, namespace, "pods?dryRun=All", &privileged).await?.well()?;
    }
    // A label that a user sets does not make a namespace exempt.
    let labels = json!({"kubernetes.io/metadata.name": "kube-system"});
    let lying =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lying", "labels": labels}});
    // The API server corrects the label or rejects the namespace.
    let made = api.post("/api/v1/namespaces", &lying).await?;
    match made.status {
        201 => drop(create(api, "lying", "pods?dryRun=All", &privileged).await?.refused()?),
        422 => {}
        other => bail!("{other}: {}", made.body),
    }
    Ok(())
}
