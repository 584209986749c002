//! The command `pratique connectivity`: output formats, explanations, differences, expected connections, invalid input.

use std::process::Output;

use conformance::folder::Folder;
use conformance::process::pratique;
use conformance::{ignored, root, trials};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use webhook_server::sources::can_build;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = trials![
        explains_why,
        explains_through_a_service,
        prints_the_difference_of_two_sets,
        compares_with_expected_connections,
        shows_where_traffic_enters,
        every_format_has_every_flow,
        nothing_is_skipped_silently,
        owners_are_followed,
    ];
    for set in ["production", "staging"] {
        let name = format!("manifests::{set}_connections_are_as_expected");
        trials.push(match can_build() {
            true => Trial::test(name, move || connections_are_as_expected(set)),
            false => ignored(&name, "neither kustomize nor kubectl is on the PATH: install one"),
        });
    }
    trials
}

/// A folder with the manifests of a test.
fn manifests_in(name: &str, manifests: &str) -> Folder {
    let folder = Folder::new(&format!("map-{name}"));
    folder.file("set.yaml", manifests);
    folder
}

fn map(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = pratique();
    command.arg("connectivity").arg(&folder.0).args(arguments);
    command.output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[track_caller]
fn refuses(output: &Output, reason: &str) {
    ends(output, 2);
    let output = text(&output.stderr);
    assert!(output.contains(reason), "{reason}: {output}");
}

const SET: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec: { template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: web, ports: [{ name: http, containerPort: 8080 }] }] } } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: api, namespace: shop }
spec: { template: { metadata: { labels: { app: api } }, spec: { containers: [{ name: api, ports: [{ name: http, containerPort: 9000 }] }] } } }
---
apiVersion: v1
kind: Service
metadata: { name: api, namespace: shop }
spec: { selector: { app: api }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: default-deny, namespace: shop }
spec: { podSelector: {}, policyTypes: [Ingress, Egress] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  policyTypes: [Egress]
  egress:
  - to:
    - podSelector: { matchLabels: { app: api } }
    ports: [{ port: http }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: api, namespace: shop }
spec:
  podSelector: { matchLabels: { app: api } }
  ingress:
  - from: [{ podSelector: { matchLabels: { app: web } } }]
    ports: [{ port: 9000 }]
";

fn explains_why() -> Result<(), Failed> {
    let folder = manifests_in("why", SET);
    let output = map(&folder, &["--explain", "shop/web", "shop/api[Deployment]", "9000"]);
    ends(&output, 0);
    let file = folder.0.join("set.yaml").display().to_string();
    let expected = format!(
        "allowed shop/web[Deployment] => shop/api[Deployment] : TCP 9000
  egress of shop/web[Deployment]: allowed
    isolated by NetworkPolicy shop/default-deny ({file}:17:1)
    isolated by NetworkPolicy shop/web ({file}:22:1)
    allowed by NetworkPolicy shop/web egress[0] ({file}:29:5), on TCP 9000
  ingress of shop/api[Deployment]: allowed
    isolated by NetworkPolicy shop/api ({file}:33:1)
    isolated by NetworkPolicy shop/default-deny ({file}:17:1)
    allowed by NetworkPolicy shop/api ingress[0] ({file}:39:5), on TCP 9000
"
    );
    assert_eq!(text(&output.stdout), expected);
    let output = map(&folder, &["--explain", "shop/web", "shop/api", "udp/53"]);
    ends(&output, 1);
    let output = text(&output.stdout);
    for line in [
        "denied shop/web[Deployment] => shop/api[Deployment] : UDP 53",
        "    none of their rules allows shop/api[Deployment] on UDP 53",
        "egress[0] (",
        "but on TCP 9000",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    let output = map(&folder, &["--explain", "10.0.0.1", "shop/web", "8080"]);
    ends(&output, 1);
    assert!(text(&output.stdout).contains("  ingress of shop/web[Deployment]: denied"));
    for (arguments, reason) in [
        (
            ["shop/nobody", "shop/api", "80"],
            "`shop/nobody` is neither a known workload nor an address; known workloads: shop/api[Deployment], shop/web[Deployment]",
        ),
        (["10.0.0.1", "8.8.8.8", "80"], "SRC or DST must be a workload"),
        (["shop/web", "shop/api", "http"], "must be a port from 1 to 65535"),
        (["shop/web", "shop/api", "0"], "must be a port from 1 to 65535"),
        (["shop/web", "shop/api", "icmp/1"], "must be a port from 1 to 65535"),
    ] {
        let output = map(&folder, &[&["--explain"][..], &arguments[..]].concat());
        refuses(&output, reason);
    }
    Ok(())
}

fn explains_through_a_service() -> Result<(), Failed> {
    let folder = manifests_in("service", SET);
    let output = map(&folder, &["--explain", "shop/web", "shop/api[Service]", "80"]);
    ends(&output, 0);
    assert!(
        text(&output.stdout).starts_with("allowed shop/web[Deployment] => shop/api[Deployment] : TCP 9000\n")
    );
    let output = map(&folder, &["--explain", "shop/web", "shop/api[Service]", "81"]);
    refuses(&output, "no pod is behind port TCP 81 of `shop/api[Service]`");
    Ok(())
}

fn prints_the_difference_of_two_sets() -> Result<(), Failed> {
    let old = manifests_in("old", SET);
    let new = manifests_in(
        "new",
        &SET.replace("[{ port: 9000 }]", "[{ port: 9001 }]").replace(
            "name: default-deny, namespace: shop }\nspec: { podSelector: {}",
            "name: default-deny, namespace: shop }\nspec: { podSelector: { matchLabels: { app: api } }",
        ),
    );
    let diff = |form: &str| {
        let mut command = pratique();
        command.args(["connectivity", "--output", form, "--diff"]).args([&old.0, &new.0]);
        command.output().expect("it runs")
    };
    let output = diff("text");
    ends(&output, 0);
    assert_eq!(
        text(&output.stdout),
        "+ 0.0.0.0-255.255.255.255[External] => shop/web[Deployment] : All Connections\n\
         - shop/web[Deployment] => shop/api[Deployment] : TCP 9000\n"
    );
    let json: Value = serde_json::from_slice(&diff("json").stdout)?;
    assert_eq!(json["removed"][0]["ports"][0]["first"], 9000);
    assert_eq!(json["added"].as_array().map(Vec::len), Some(1));
    assert!(
        text(&diff("csv").stdout).contains("\nremoved,shop/web[Deployment],shop/api[Deployment],TCP 9000\n")
    );
    ends(&diff("svg"), 2);
    // A Service that becomes exposed is a difference, although no policy changes.
    let open = SET.replace(
        "spec: { selector: { app: api }, ports",
        "spec: { type: NodePort, selector: { app: api }, ports",
    );
    let free = |set: &str| {
        set.replace(
            "podSelector: {}, policyTypes: [Ingress, Egress]",
            "podSelector: { matchLabels: { app: x } }",
        )
        .replace(
            "ingress:\n  - from: [{ podSelector: { matchLabels: { app: web } } }]\n    ports",
            "ingress:\n  - ports",
        )
    };
    let (shut, open) = (manifests_in("shut", &free(SET)), manifests_in("open", &free(&open)));
    let mut command = pratique();
    let output = command.args(["connectivity", "--diff"]).args([&shut.0, &open.0]).output()?;
    assert_eq!(text(&output.stdout), "+ shop/api[NodePort] => shop/api[Deployment] : TCP 9000\n");
    // A new block divides the external addresses into other ranges, which alone must not be a difference.
    let cut = manifests_in(
        "cut",
        &format!("{SET}  - from: [{{ ipBlock: {{ cidr: 10.0.0.0/8 }} }}]\n    ports: [{{ port: 1 }}]\n"),
    );
    let mut command = pratique();
    let output = command.args(["connectivity", "--diff"]).args([&old.0, &cut.0]).output()?;
    assert_eq!(text(&output.stdout), "+ 10.0.0.0-10.255.255.255[External] => shop/api[Deployment] : TCP 1\n");
    Ok(())
}

fn compares_with_expected_connections() -> Result<(), Failed> {
    let folder = manifests_in("expected", SET);
    let other = manifests_in("expected-list", "");
    let file = other.0.join("connectivity.yaml");
    let compare = |list: &str| {
        std::fs::write(&file, list).expect("a file can be written");
        map(&folder, &["--expected", file.to_str().expect("a path is UTF-8")])
    };
    let web = "\"shop/web[Deployment] => shop/api[Deployment] : TCP 9000\"";
    ends(&compare(&format!("flows: [{web}]")), 0);
    let output = compare("flows: [\"shop/api[Deployment] => shop/web[Deployment] : TCP 8080\"]");
    ends(&output, 1);
    assert_eq!(
        text(&output.stdout),
        "- shop/api[Deployment] => shop/web[Deployment] : TCP 8080\n+ shop/web[Deployment] => shop/api[Deployment] : TCP 9000\n"
    );
    for (list, reason) in [
        ("flow: []", "1:1: flow: must not be set: use one of addresses, pods, flows"),
        (&*format!("flows: [{web}, {web}]"), "must not be listed twice"),
        (
            "pods: [{ name: web }]\nflows: []",
            "1:10: pods[0].name: must have the form `shop/web[Deployment]`, is `web`",
        ),
        (
            "addresses: { world: [{ cidr: 1 }] }\nflows: []",
            "addresses.world[0].cidr: must be a string, is an integer",
        ),
        ("", "must be one YAML document, is 0"),
        (
            "flows: [nonsense]",
            "flows[0]: must have the form `shop/web[Deployment] => shop/api[Deployment] : TCP 8080`",
        ),
        (
            "flows: [\"{nobody} => shop/web[Deployment] : TCP 1\"]",
            "`nobody` is not defined under `addresses`",
        ),
        (
            "pods: [{ name: \"shop/web[Deployment]\" }]",
            "pods: shop/web[Deployment] is defined in the manifests",
        ),
        ("pods: [{ name: \"shop/web[]\" }]", "must have the form `shop/web[Deployment]`, is `shop/web[]`"),
    ] {
        let output = compare(list);
        refuses(&output, reason);
    }
    Ok(())
}

/// Gateways, Ingresses and exposed Services reach their backends only if NetworkPolicies allow it.
fn shows_where_traffic_enters() -> Result<(), Failed> {
    let more = "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: public, namespace: gateway }
spec: { infrastructure: { labels: { app: proxy } }, listeners: [{ name: https, protocol: HTTPS, port: 443 }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: api, namespace: shop }
spec:
  parentRefs: [{ name: public, namespace: gateway }]
  rules: [{ backendRefs: [{ name: api, port: 80 }, { name: gone, port: 80 }] }]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: api, namespace: shop }
spec: { rules: [{ http: { paths: [{ backend: { service: { name: api, port: { number: 80 } } } }] } }] }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { type: LoadBalancer, selector: { app: web }, ports: [{ port: 443, targetPort: http }] }
";
    let open = "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: open, namespace: shop }
spec:
  podSelector: {}
  ingress:
  - from:
    - namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: gateway } }
      podSelector: { matchLabels: { app: proxy } }
    - ipBlock: { cidr: 10.0.0.0/8 }
";
    let closed = manifests_in("closed", &format!("{SET}{more}"));
    let output = map(&closed, &[]);
    ends(&output, 0);
    let output = text(&output.stderr);
    for note in [
        "shop/api[HTTPRoute] forwards from gateway/public[Gateway] to shop/api[Deployment] on TCP 9000, but no NetworkPolicy allows it",
        "shop/api[Ingress] forwards from {ingress-controller} to shop/api[Deployment] on TCP 9000, but no NetworkPolicy allows it",
        "shop/api[HTTPRoute] refers to the Service shop/gone, which is not in the manifests",
    ] {
        assert!(output.contains(note), "{note}: {output}");
    }
    let opened = manifests_in("opened", &format!("{SET}{more}{open}"));
    let output = map(&opened, &[]);
    let lines = text(&output.stdout);
    assert!(lines.contains("gateway/public[Gateway] => shop/api[Deployment] : TCP 9000\n"), "{lines}");
    let drawn = text(&map(&opened, &["--output", "dot"]).stdout);
    for edge in [
        "\"0.0.0.0-255.255.255.255[External]\" -> \"gateway/public[Gateway]\" [label=\"TCP 443\"];",
        "\"shop/web[LoadBalancer]\" -> \"shop/web[Deployment]\" [label=\"TCP 8080\"];",
    ] {
        assert!(drawn.contains(edge), "{edge}: {drawn}");
    }
    assert!(!lines.contains("gateway/public[Gateway] => shop/web"), "no route leads there: {lines}");
    let note = "the LoadBalancer Service shop/web exposes shop/web[Deployment] to 10.0.0.0-10.255.255.255 on TCP 8080";
    assert!(text(&output.stderr).contains(note), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&map(&opened, &["--output", "json"]).stdout)?;
    assert_eq!(json["openings"][0]["conn"], "TCP 8080", "{json}");
    Ok(())
}

fn every_format_has_every_flow() -> Result<(), Failed> {
    let folder = manifests_in(
        "forms",
        &SET.replace(
            "name: web, namespace: shop }\nspec: { template",
            "name: \"web\", namespace: shop, annotations: { a: \"<b>&\" } }\nspec: { template",
        ),
    );
    for (form, flow) in [
        ("text", "shop/web[Deployment] => shop/api[Deployment] : TCP 9000\n"),
        ("csv", "src,dst,conn\nshop/web[Deployment],shop/api[Deployment],TCP 9000\n"),
        ("dot", "\"shop/web[Deployment]\" -> \"shop/api[Deployment]\" [label=\"TCP 9000\"];"),
        ("mermaid", "-->|\"TCP 9000\"|"),
        ("svg", "<title>shop/web[Deployment] =&gt; shop/api[Deployment] : TCP 9000</title>"),
        ("html", "<td>shop/web[Deployment]</td><td>shop/api[Deployment]</td><td>TCP 9000</td>"),
    ] {
        let output = map(&folder, &["--output", form]);
        ends(&output, 0);
        assert!(text(&output.stdout).contains(flow), "{form}: {}", text(&output.stdout));
    }
    let json: Value = serde_json::from_slice(&map(&folder, &["--output", "json"]).stdout)?;
    assert_eq!(json["flows"][0]["conn"], "TCP 9000");
    assert_eq!(json["workloads"][1]["isolated"]["ingress"], true);
    let page = text(&map(&folder, &["--output", "html"]).stdout);
    assert!(
        page.contains("<svg ") && !page.contains("<!--") && !page.contains("http://www.w3.org/1999"),
        "{page}"
    );
    assert!(!page.contains("src=") && !page.contains("href="), "it loads nothing");
    Ok(())
}

fn nothing_is_skipped_silently() -> Result<(), Failed> {
    for (old, new, reason) in [
        (
            "port: 9000 }",
            "port: 90000 }",
            "NetworkPolicy shop/api: spec.ingress[0].ports[0].port: must be a port from 1 to 65535",
        ),
        (
            "port: 9000 }",
            "port: 9, protocol: ICMP }",
            "spec.ingress[0].ports[0].protocol: must be TCP, UDP or SCTP, is `ICMP`",
        ),
        (
            "port: 9000 }",
            "port: 9, endPort: 8 }",
            "spec.ingress[0].ports[0].endPort: must be 9 or more, is 8",
        ),
        (
            "from: [{ pod",
            "from: [{ ipBlock: { cidr: 10.0.0.0/33 } }, { pod",
            "ipBlock.cidr: must be a CIDR such as 10.0.0.0/8, is `10.0.0.0/33`",
        ),
        (
            "{ app: api } }\n  ingress",
            "{ app: 7 } }\n  ingress",
            "spec.podSelector.matchLabels.app: must be a string, is an integer",
        ),
        (
            "containers: [{ name: api, ports",
            "containers: [{ name: api, Ports: 1 }, { name: b, ports: 7 }, { ports",
            "spec.template.spec.containers[1].ports: must be a list, is an integer",
        ),
        (
            "targetPort: http",
            "targetPort: -1",
            "Service shop/api: spec.ports[0].targetPort: must be a port from 1 to 65535",
        ),
    ] {
        assert!(SET.contains(old), "{old}");
        let folder = manifests_in("bad", &SET.replacen(old, new, 1));
        let output = map(&folder, &[]);
        ends(&output, 2);
        let output = text(&output.stderr);
        assert!(output.contains(reason) && output.contains("set.yaml:"), "{reason}: {output}");
    }
    // A misspelled field must be an error, because an empty rule allows everything.
    for (old, new, reason) in [
        ("from: [{ pod", "form: [{ pod", "spec.ingress[0].form: must not be set: use one of from, ports"),
        (
            "    ports: [{ port: 9000 }]",
            "    port: [{ port: 9000 }]",
            "spec.ingress[0].port: must not be set",
        ),
        (
            "from: [{ podSelector: { matchLabels: { app: web } } }]",
            "from: [{ podSelector: { app: web } }]",
            "podSelector.app: must not be set: use one of matchLabels, matchExpressions",
        ),
        (
            "podSelector: { matchLabels: { app: api } }\n  ingress",
            "podSelecter: { matchLabels: { app: api } }\n  ingress",
            "spec.podSelecter: must not be set",
        ),
        (
            "networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: api",
            "extensions/v1beta1\nkind: NetworkPolicy\nmetadata: { name: api",
            "apiVersion: must be networking.k8s.io/v1 for a NetworkPolicy",
        ),
    ] {
        assert!(SET.contains(old), "{old}");
        let output = map(&manifests_in("misspelt", &SET.replacen(old, new, 1)), &[]);
        refuses(&output, reason);
    }
    let list = "---\napiVersion: v1\nkind: List\nitems:\n- { apiVersion: v1, kind: Pod, metadata: { name: p }, spec: { containers: [{ name: c }] } }\n- 3\n";
    let output = map(&manifests_in("list", &format!("{SET}{list}")), &[]);
    refuses(&output, "items[1]: must be an object, is an integer");
    let twice = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: api, namespace: shop }\nspec: { podSelector: {} }\n";
    let output = map(&manifests_in("twice", &format!("{SET}{twice}")), &[]);
    refuses(&output, "must be unique: another NetworkPolicy of this name differs");
    let other = "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: { name: strict }\nspec: {}\n---\n[1, 2]\n";
    let output = map(&manifests_in("other", &format!("{SET}{other}")), &[]);
    ends(&output, 0);
    let output = text(&output.stderr);
    for note in [
        "ClusterNetworkPolicy.policy.networking.k8s.io strict is not supported",
        "not a Kubernetes object: must be an object, is a list",
    ] {
        assert!(output.contains(note), "{note}: {output}");
    }
    Ok(())
}

/// Pods belong to the Deployment that owns their ReplicaSet, if the ReplicaSet is in the manifests. Ended pods are ignored.
fn owners_are_followed() -> Result<(), Failed> {
    let folder = manifests_in("owners", "
apiVersion: apps/v1
kind: ReplicaSet
metadata: { name: web-7d, namespace: shop, ownerReferences: [{ kind: Deployment, name: web, controller: true }] }
spec: { template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: web }] } } }
---
apiVersion: v1
kind: Pod
metadata: { name: web-7d-x, namespace: shop, labels: { app: web, hash: 7d }, ownerReferences: [{ kind: ReplicaSet, name: web-7d, controller: true }] }
spec: { containers: [{ name: web }] }
---
apiVersion: v1
kind: Pod
metadata: { name: static, namespace: shop, ownerReferences: [{ kind: Node, name: n, controller: true }] }
spec: { hostNetwork: true, containers: [{ name: web }] }
---
apiVersion: v1
kind: Pod
metadata: { name: done, namespace: shop }
spec: { containers: [{ name: web }] }
status: { phase: Succeeded }
");
    let output = map(&folder, &[]);
    ends(&output, 0);
    let lines = text(&output.stdout);
    assert!(lines.contains("shop/static[Pod] => shop/web[Deployment] : All Connections\n"), "{lines}");
    assert!(
        !lines.contains("ReplicaSet") && !lines.contains("web-7d-x") && !lines.contains("done"),
        "{lines}"
    );
    let note = "shop/static[Pod] uses the host network: NetworkPolicies may not apply to it";
    assert!(text(&output.stderr).contains(note), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&map(&folder, &["--output", "json"]).stdout)?;
    assert!(json["flows"].as_array().into_iter().flatten().any(|flow| flow["unknown"] == true));
    Ok(())
}

/// The reviewed list contains exactly the connections that the manifests allow.
fn connections_are_as_expected(set: &str) -> Result<(), Failed> {
    let mut command = pratique();
    command.current_dir(root()).args(["connectivity", "--expected", "manifests/connectivity.yaml"]);
    let output = command.arg(format!("manifests/clusters/{set}")).output()?;
    ends(&output, 0);
    // If a flow is missing in the list, the command reports it as unexpected.
    let list = std::fs::read_to_string(root().join("manifests/connectivity.yaml"))?;
    let line = "- \"shop/api[Deployment] => mysql/mysql[StatefulSet] : TCP 3306\"\n";
    assert!(list.contains(line), "the flow is in the list");
    let folder = manifests_in(&format!("expected-{set}"), "");
    let file = folder.0.join("connectivity.yaml");
    std::fs::write(&file, list.replace(line, ""))?;
    let mut command = pratique();
    command.current_dir(root()).args(["connectivity", "--expected"]).arg(&file);
    let output = command.arg(format!("manifests/clusters/{set}")).output()?;
    ends(&output, 1);
    assert_eq!(text(&output.stdout), "+ shop/api[Deployment] => mysql/mysql[StatefulSet] : TCP 3306\n");
    let more = "- \"shop/web[Deployment] => mysql/mysql[StatefulSet] : TCP 3306\"\n";
    std::fs::write(&file, format!("{list}{more}"))?;
    let mut command = pratique();
    command.current_dir(root()).args(["connectivity", "--intended"]).arg(&file);
    let output = command.arg(format!("manifests/clusters/{set}")).output()?;
    ends(&output, 1);
    assert_eq!(text(&output.stdout), "- shop/web[Deployment] => mysql/mysql[StatefulSet] : TCP 3306\n");
    Ok(())
}
