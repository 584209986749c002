//! Every sealed secret can be unsealed with the test key, and shared values are the same.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use conformance::{ignored, root};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::set::{self, EnvironmentSet, keys, name, namespace_of, text};
use crate::tool;
use conformance::tools::HOW;

pub(crate) fn trials() -> Vec<Trial> {
    match tool("kubeseal", HOW) {
        Err(reason) => vec![ignored("secrets", &reason)],
        Ok(_) => vec![
            Trial::test("secrets::each_unseals_to_its_keys", each_unseals),
            Trial::test("secrets::shared_passwords_are_the_same", shared),
            Trial::test("secrets::no_secret_unseals_in_another_namespace", strict),
            Trial::test("secrets::seal_sh_creates_all_secrets", seal_sh),
        ],
    }
}

/// Unseals a SealedSecret with the test key.
fn unseal(sealed: &Value) -> Result<Value, Failed> {
    let key = root().join("tests/sealed-secrets/worthless.key");
    let mut command = tool("kubeseal", HOW)?;
    command.args(["--recovery-unseal", "--recovery-private-key"]).arg(key);
    let output = run(&mut command, &sealed.to_string())?;
    serde_json::from_slice(&output).map_err(|error| format!("{}: {error}", name(sealed)).into())
}

fn run(command: &mut Command, input: &str) -> Result<Vec<u8>, Failed> {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("standard input is piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// The values of all secrets of a set, by namespace, name and key.
type Values = BTreeMap<(String, String, String), Vec<u8>>;

fn values(set: &EnvironmentSet) -> Result<Values, Failed> {
    use base64::Engine as _;
    let mut values = BTreeMap::new();
    for sealed in set.of("SealedSecret") {
        let secret = unseal(sealed)?;
        for key in keys(&secret["data"]) {
            let value = base64::engine::general_purpose::STANDARD
                .decode(text(&secret["data"], &format!("/{key}")))?;
            let id =
                (namespace_of(sealed).to_owned(), text(sealed, "/metadata/name").to_owned(), key.to_owned());
            values.insert(id, value);
        }
    }
    Ok(values)
}

fn each_unseals() -> Result<(), Failed> {
    for set in set::environments() {
        let values = values(set)?;
        let mut sealed = 0;
        for object in set.of("SealedSecret") {
            let (namespace, secret) = (namespace_of(object), text(object, "/metadata/name"));
            for key in keys(&object["spec"]["encryptedData"]) {
                sealed += 1;
                let value = values.get(&(namespace.to_owned(), secret.to_owned(), key.to_owned()));
                if value.is_none_or(Vec::is_empty) {
                    return Err(format!(
                        "{}: {}: no key {key} found in the unsealed Secret",
                        set.name,
                        name(object)
                    )
                    .into());
                }
            }
        }
        assert!(sealed >= 16 && sealed == values.len(), "{}: {sealed} keys", set.name);
    }
    Ok(())
}

/// Databases and their clients have the same passwords, and the key of the replica set is valid.
fn shared() -> Result<(), Failed> {
    for set in set::environments() {
        let values = values(set)?;
        let value = |namespace: &str, name: &str, key: &str| {
            let bytes = values.get(&(namespace.to_owned(), name.to_owned(), key.to_owned()));
            bytes
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .ok_or(format!("{namespace}/{name}: {key}"))
        };
        assert_eq!(value("mysql", "mysql", "shop-password")?, value("shop", "databases", "mysql-password")?);
        let shop = value("mongodb", "mongodb", "shop-password")?;
        assert!(
            value("shop", "databases", "mongodb-uri")?
                .starts_with(&format!("mongodb://shop:{shop}@mongodb-0."))
        );
        let exporter = value("mongodb", "mongodb", "exporter-password")?;
        assert!(
            value("mongodb", "mongodb", "exporter-uri")?
                .starts_with(&format!("mongodb://exporter:{exporter}@"))
        );
        let keyfile = value("mongodb", "mongodb", "keyfile")?;
        assert!((6..=1024).contains(&keyfile.len()), "mongod requires a key of 6 to 1024 characters");
        let all: Vec<&Vec<u8>> = values.values().collect();
        assert!(all.iter().filter(|value| value.len() == 32).count() >= 10, "passwords are 32 characters");
    }
    let [one, other] = [0, 1].map(|i| values(&set::all()[i]));
    let (one, other) = (one?, other?);
    let id = ("mysql".to_owned(), "mysql".to_owned(), "root-password".to_owned());
    assert_ne!(one[&id], other[&id], "environments must have different passwords");
    Ok(())
}

/// Strict scope: a secret that a user copies to another namespace cannot be unsealed.
fn strict() -> Result<(), Failed> {
    for sealed in set::all()[0].of("SealedSecret") {
        let mut moved = sealed.clone();
        moved["metadata"]["namespace"] = "elsewhere".into();
        moved["spec"]["template"]["metadata"]["namespace"] = "elsewhere".into();
        if unseal(&moved).is_ok() {
            return Err(format!("{}: can be unsealed in another namespace", name(sealed)).into());
        }
    }
    Ok(())
}

/// Runs the script of `just seal` on a copy.
fn seal_sh() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("pratique-seal-{}", std::process::id()));
    let sealing = folder.join("platform/security/sealed-secrets");
    let target = folder.join("clusters/production/secrets");
    std::fs::create_dir_all(&sealing)?;
    std::fs::create_dir_all(&target)?;
    let from = root().join("manifests/platform/security/sealed-secrets");
    for file in ["seal.sh", "secrets.txt", "throwaway.crt"] {
        std::fs::copy(from.join(file), sealing.join(file))?;
    }
    let kubeseal = tool("kubeseal", HOW)?;
    let mut path =
        std::ffi::OsString::from(std::path::Path::new(kubeseal.get_program()).parent().ok_or("a folder")?);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let seal = |arguments: &[&str]| {
        let mut command = Command::new("bash");
        command.current_dir(&sealing).arg("seal.sh").args(arguments).env("PATH", &path);
        command.env("SLACK_WEBHOOK_URL", "a 'quoted' $value").env("TSIG_SECRET", "x").stdin(Stdio::null());
        command.output()
    };
    let output = seal(&["production", "throwaway.crt"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = conformance::yaml(&std::fs::read_to_string(target.join("kustomization.yaml"))?)?.remove(0);
    let committed = root().join("manifests/clusters/production/secrets/kustomization.yaml");
    let committed = conformance::yaml(&std::fs::read_to_string(committed)?)?.remove(0);
    assert_eq!(listed["resources"], committed["resources"], "the committed secrets must match secrets.txt");
    let falco =
        conformance::yaml(&std::fs::read_to_string(target.join("falco-falcosidekick.yaml"))?)?.remove(0);
    assert_eq!(unseal(&falco)?["data"]["slack-webhook-url"], "YSAncXVvdGVkJyAkdmFsdWU=");
    for wrong in [&["production"][..], &["nowhere", "throwaway.crt"], &["production", "no.crt"]] {
        assert_eq!(seal(wrong)?.status.code(), Some(64), "{wrong:?}");
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
