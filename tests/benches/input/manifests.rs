//! A file of 10 MB.

/// 5,000 Deployments in 10 MB of YAML, every tenth of them with a privileged container.
pub fn manifests() -> String {
    let deployment = include_str!("deployment.yaml");
    (0..5000)
        .map(|i| {
            let privileged = if i % 10 == 0 { "true" } else { "false" };
            deployment.replace("NUMBER", &i.to_string()).replace("PRIVILEGED", privileged)
        })
        .collect()
}
