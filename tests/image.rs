//! Checks the content of the container image, and runs it as a cluster does: as a numeric user with a read-only root file
//! system.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};
use conformance::process::run;
use conformance::serving::Serving;
use conformance::{ignored, process, root, tools};
use libtest_mimic::Trial;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use webhook_server::server::tls;

/// The maximum size of the image, packed and unpacked.
const LIMIT: u64 = 20_000_000;
/// The user `nonroot` of distroless images.
const USER: u32 = 65532;

fn main() -> ExitCode {
    let code = process::main(list);
    if let Some(Ok(image)) = IMAGE.get() {
        drop(std::fs::remove_dir_all(&image.folder));
    }
    code
}

fn list() -> Vec<Trial> {
    let missing = ["buildah", "musl-gcc", "unshare"]
        .into_iter()
        .find_map(|program| tools::find(program, "install buildah, musl-tools and util-linux").err());
    let is_root =
        || std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let missing = missing.or_else(|| (!is_root()).then(|| "only root may use chroot".to_owned()));
    if let Some(reason) = missing {
        return vec![ignored("image", &reason)];
    }
    let trial = |name: &str, run: fn(&Image) -> anyhow::Result<()>| {
        Trial::test(name, move || {
            let image = IMAGE.get_or_init(|| Image::build().map_err(|error| format!("{error:#}")));
            run(image.as_ref().map_err(Clone::clone)?).map_err(|error| format!("{error:#}").into())
        })
    };
    vec![
        trial("contains_one_small_binary_and_its_configuration", holds),
        trial("serves_as_nonroot_with_a_read_only_root", serves),
        trial("builds_are_reproducible", same),
    ]
}

static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();

/// The image as an archive, with its manifest and configuration decoded.
struct Image {
    folder: PathBuf,
    archive: PathBuf,
    /// The `config` of the image.
    config: Value,
    /// The digest and the size of each layer.
    layers: Vec<(String, u64)>,
}

impl Image {
    fn build() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("pratique-{}-image", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let archive = folder.join("pratique.tar");
        build(&archive)?;
        let blobs = folder.join("blobs");
        std::fs::create_dir_all(&blobs)?;
        run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&blobs))?;
        let index = json(&blobs.join("index.json"))?;
        let blob = |digest: &Value| -> anyhow::Result<Value> {
            json(&blobs.join("blobs").join(digest.as_str().context("a digest")?.replace(':', "/")))
        };
        let manifest = blob(&index["manifests"][0]["digest"])?;
        let config = blob(&manifest["config"]["digest"])?;
        let layers = manifest["layers"].as_array().context("the image has layers")?.iter();
        let layers = layers
            .map(|layer| {
                let digest = layer["digest"].as_str().context("a digest")?.replace(':', "/");
                Ok((digest, layer["size"].as_u64().context("a size")?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Image { folder, archive, config, layers })
    }

    /// Unpacks the layers to the root folder of a container.
    fn unpack(&self, name: &str) -> anyhow::Result<PathBuf> {
        let into = self.folder.join(name);
        std::fs::create_dir_all(&into)?;
        for (digest, _) in &self.layers {
            let layer = self.folder.join("blobs/blobs").join(digest);
            run(Command::new("tar").arg("-xpf").arg(layer).arg("-C").arg(&into))?;
        }
        Ok(into)
    }
}

fn build(archive: &Path) -> anyhow::Result<()> {
    let destination = format!("oci-archive:{}", archive.display());
    run(Command::new(root().join("webhook-server/image.sh")).arg(destination)).map(drop)
}

fn json(file: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(file).with_context(|| file.display().to_string())?)?)
}

fn holds(image: &Image) -> anyhow::Result<()> {
    let packed = std::fs::metadata(&image.archive)?.len();
    let unpacked = image.unpack("holds")?;
    let names: Vec<_> =
        std::fs::read_dir(&unpacked)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
    ensure!(names == ["pratique"], "{names:?}");
    let size = std::fs::metadata(unpacked.join("pratique"))?.len();
    ensure!(packed < LIMIT && size < LIMIT, "{packed} bytes packed, {size} unpacked");
    let config = &image.config["config"];
    ensure!(config["User"] == format!("{USER}:{USER}"), "{config}");
    ensure!(config["Entrypoint"] == serde_json::json!(["/pratique"]), "{config}");
    ensure!(config["Cmd"] == serde_json::json!(["serve"]), "{config}");
    // No environment variables of the build machine are in the image.
    ensure!(config["Env"].is_null(), "{config}");
    ensure!(image.layers.len() == 1, "{:?}", image.layers);
    Ok(())
}

fn same(image: &Image) -> anyhow::Result<()> {
    let again = image.folder.join("again.tar");
    build(&again)?;
    let layers = |archive: &Path| -> anyhow::Result<Vec<u8>> {
        let index = Command::new("tar").arg("-xOf").arg(archive).arg("index.json").output()?;
        Ok(index.stdout)
    };
    let (one, two) = (layers(&image.archive)?, layers(&again)?);
    ensure!(one == two, "{} and {}", String::from_utf8_lossy(&one), String::from_utf8_lossy(&two));
    Ok(())
}

fn serves(image: &Image) -> anyhow::Result<()> {
    let root = image.unpack("serves")?;
    let secret = root.join("tls");
    let (cert, _) = conformance::serving::certificate(&secret)?;
    for file in ["tls", "tls/tls.crt", "tls/tls.key"] {
        std::os::unix::fs::chown(root.join(file), Some(USER), Some(USER))?;
    }
    // The root folder contains only the binary and the certificate, and is read-only: no loader, no library, no temporary
    // folder.
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && \
                  exec setpriv --no-new-privs --pdeathsig KILL chroot --userspec=65532:65532 \"$0\" \
                  /pratique serve --listen 127.0.0.1:0 --tls-cert /tls/tls.crt --tls-key /tls/tls.key --drain 0";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(&root);
    let trusted = tls::trusting(&[CertificateDer::from_pem_file(cert)?])?;
    let folder = image.folder.join("said");
    std::fs::create_dir_all(&folder)?;
    ask(&Serving::run(command, folder, trusted)?)
}

/// The webhook is ready, denies a pod, and runs as the expected user.
fn ask(webhook: &Serving) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = webhook.client().await?;
        ensure!(client.get("/readyz").await?.0 == 200, "the webhook is not ready");
        let review = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1",
            "operation": "CREATE", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "shop", "userInfo": {},
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
                "spec": {"hostNetwork": true, "containers": [{"name": "web", "image": "web"}]}}}}"#;
        let (_, body) = client.post("/validate", review).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        let message = answer["response"]["status"]["message"].as_str().unwrap_or_default();
        ensure!(message.contains("spec.hostNetwork: must not be true"), "{answer}");
        Ok(())
    })?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", webhook.pid()))?;
    let user = format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}");
    ensure!(status.contains(&user), "the webhook does not run as user {USER}: {status}");
    Ok(())
}
