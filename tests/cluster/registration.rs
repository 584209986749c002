//! The webhook in a process of its own, registered by what `pratique policies --webhook-configuration` prints, with the policies
//! of the manifests.

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
    ("registered::production_is_admitted_and_its_pods_are_made", |given| Box::pin(production(given))),
    ("registered::exceptions_hold_until_they_expire", |given| Box::pin(exceptions(given))),
    ("registered::namespaces_opt_in", |given| Box::pin(opt_in(given))),
    ("registered::resizes_are_judged", |given| Box::pin(resize(given))),
    ("registered::it_is_asked_again_when_others_change_a_pod", |given| Box::pin(others::reinvocation(given))),
    ("registered::nothing_keeps_anything_from_being_deleted", |given| Box::pin(deletion(given))),
    ("registered::exempt_namespaces_are_left_alone", |given| Box::pin(exempt(given))),
    ("registered::its_rights_are_enough_to_manage_its_certificate", |given| {
        Box::pin(rights::self_managed(given))
    }),
];

/// The label by which a namespace asks for NetworkPolicies to be required: all of the manifests have it.
const OPT_IN: &str = "pod-security.kubernetes.io/enforce";

/// The policies of the manifests, with two exceptions more, and NetworkPolicies required where a namespace opts in.
fn policies() -> anyhow::Result<String> {
    let text = std::fs::read_to_string(root().join("manifests/policies.yaml"))?;
    let required = "- name: network-policy-required\n";
    ensure!(text.contains(required), "it is listed");
    let selector =
        format!("  namespaceSelector: {{matchExpressions: [{{key: {OPT_IN}, operator: Exists}}]}}\n");
    let mut text = text.replace(required, &format!("{required}{selector}"));
    for (workload, expires) in [("Deployment/probe", "2999-12-31"), ("Deployment/late", "2020-12-31")] {
        text.push_str(&format!(
            "- {{policy: pod-security-standards, control: hostNamespaces, namespace: excepted, workload: {workload}, \
             reason: It looks at the node., owner: somebody, expires: {expires}}}\n"
        ));
    }
    Ok(text)
}

/// An API server that asks the webhook about everything.
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
        until("the webhook is asked", || async {
            Ok(create(&api, "default", "pods?dryRun=All", &privileged).await?.status == 403)
        })
        .await?;
        anyhow::Ok(api)
    })
    .await
}

/// Makes a namespace, and waits until the webhook has heard of it: its labels say which policies are asked about it.
async fn known(api: &Api, name: &str, labels: Value) -> anyhow::Result<()> {
    namespace(api, name, labels).await?;
    let web = pod("known", restricted());
    until("the namespace is known", || async {
        let answer = create(api, name, "pods?dryRun=All", &web).await?;
        Ok(!answer.body["message"].as_str().unwrap_or_default().contains("is not known"))
    })
    .await
}

fn deployment(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})
}

/// The pods of a namespace with that label `app`.
async fn pods(api: &Api, namespace: &str, app: &str) -> anyhow::Result<Vec<Value>> {
    let list =
        api.get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}")).await?.well()?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Everything that production deploys, in the order in which Argo CD would: what others need before what needs it.
async fn production(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    define(api, Vec::new()).await?;
    let place = Input::Kustomization(root().join("manifests/clusters/production"));
    let mut objects = conformance::yaml(&place.read()?.text)?;
    let used: Vec<String> = (objects.iter())
        .filter_map(|object| object["metadata"]["namespace"].as_str().map(str::to_owned))
        .collect();
    // By number of wave; what registers the webhook is registered already, and is asked at an address of this machine.
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
    // What charts would make, and then what is ours, with its labels.
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
    ensure!(alone.contains("network-policy-required: "), "before its NetworkPolicies are there: {alone}");
    let mut workloads = 0;
    for object in objects.iter().filter(|object| rank(object) > 0) {
        let path = path(object)?;
        let is_admitted = || async {
            // Nobody answers for an API that is served elsewhere, and no namespace goes while its API does not answer.
            let only_requested = object["kind"] == "APIService";
            let answer = api.apply(&path, object, only_requested).await?;
            // The watch of the NetworkPolicies may be a moment behind.
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
        until("the pod is made", || async { Ok(api.get(pod).await?.status == 200) }).await?;
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
    until("the controller has made its pod", || async {
        Ok(!pods(api, "excepted", "probe").await?.is_empty())
    })
    .await?;
    // What somebody else makes in its name is not its pod.
    let mut forged = pod("forged", spec.clone());
    forged["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "probe",
        "uid": "00000000-0000-0000-0000-000000000000", "controller": true}]);
    let message = create(api, "excepted", "pods", &forged).await?.refused()?;
    ensure!(message.contains("spec.hostNetwork: must not be true"), "{message}");
    let message =
        create(api, "excepted", "deployments", &deployment("late", spec.clone())).await?.refused()?;
    ensure!(
        message.contains("its exception expired on 2020-12-31: ask somebody (hostNamespaces)"),
        "{message}"
    );
    let message = create(api, "excepted", "deployments", &deployment("other", spec)).await?.refused()?;
    ensure!(!message.contains("exception"), "{message}");
    Ok(())
}

async fn opt_in(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    namespace(api, "opting", json!({})).await?;
    let web = pod("web", restricted());
    until("it is known, and not judged", || async {
        Ok(create(api, "opting", "pods?dryRun=All", &web).await?.status == 201)
    })
    .await?;
    let labels = json!({"metadata": {"labels": {OPT_IN: "restricted"}}});
    api.patch("/api/v1/namespaces/opting", &labels).await?.well()?;
    until("it is judged", || async {
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
    until("it is isolated, and may ask DNS", || async {
        Ok(create(api, "opting", "pods?dryRun=All", &web).await?.status == 201)
    })
    .await
}

/// A resize is asked about, and passes: what it may change, no policy minds.
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
    // That it is asked about shows where it cannot be asked: in a namespace whose webhook is not there.
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
    until("it would be asked", || async {
        let answer =
            api.patch("/api/v1/namespaces/resized-deaf/pods/web/resize?dryRun=All", &resize("30m")).await?;
        Ok(answer.body["message"].as_str().unwrap_or_default().contains("deaf.pratique.dev"))
    })
    .await?;
    api.delete(&format!("{configurations}/deaf")).await?.well()?;
    Ok(())
}

/// What was let in goes, by itself, with its owner and with its namespace.
async fn deletion(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    known(api, "deleted", json!({})).await?;
    create(api, "deleted", "deployments", &deployment("web", restricted())).await?.well()?;
    create(api, "deleted", "pods", &pod("single", restricted())).await?.well()?;
    until("all pods are made", || async { Ok(!pods(api, "deleted", "web").await?.is_empty()) }).await?;
    let foreground = "propagationPolicy=Foreground";
    api.delete(&format!("/apis/apps/v1/namespaces/deleted/deployments/web?{foreground}")).await?.well()?;
    until("the deployment goes with its pods", || async {
        let gone = api.get("/apis/apps/v1/namespaces/deleted/deployments/web").await?.status == 404;
        Ok(gone && pods(api, "deleted", "web").await?.is_empty())
    })
    .await?;
    api.delete("/api/v1/namespaces/deleted").await?.well()?;
    until("the namespace goes", || async { Ok(api.get("/api/v1/namespaces/deleted").await?.status == 404) })
        .await
}

async fn exempt(given: TrialFixture) -> anyhow::Result<()> {
    let api = registered(&given).await?;
    let privileged = pod("x", json!({"hostNetwork": true}));
    for namespace in ["kube-node-lease", "kube-system"] {
        create(api, namespace, "pods?dryRun=All", &privileged).await?.well()?;
    }
    // A label that somebody gives to a namespace exempts it from nothing.
    let labels = json!({"kubernetes.io/metadata.name": "kube-system"});
    let lying =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lying", "labels": labels}});
    // The API server sets it right, or refuses.
    let made = api.post("/api/v1/namespaces", &lying).await?;
    match made.status {
        201 => drop(create(api, "lying", "pods?dryRun=All", &privileged).await?.refused()?),
        422 => {}
        other => bail!("{other}: {}", made.body),
    }
    Ok(())
}
