//! The webhook creates its own certificates and renews them under load.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use conformance::control_plane::Api;
use conformance::registration::WEBHOOK_LABEL;
use conformance::serving::until;
use policy_catalog::POLICIES;
use policy_core::{ConfiguredPolicy, PolicyDefinition};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use webhook_server::server::Server;
use webhook_server::server::managed_certificate::{Lifetimes, ManagedCertificate};
use webhook_server::server::tls::trusting;
use webhook_server::server::webhook::Webhook;

use super::{Load, POLICIES as WHICH, PodRequest, all_are, folder, register, runs};
use crate::TrialFixture;
use crate::trials::namespace;

/// Months shortened to seconds: a certificate is renewed after six, a CA after sixteen.
const LIVES: Lifetimes = Lifetimes {
    ca: Duration::from_secs(24),
    leaf: Duration::from_secs(9),
    skew: Duration::ZERO,
    spread: Duration::from_secs(3),
    round: Duration::from_millis(200),
};

/// A replica that manages the certificate of the fault's Service.
async fn replica(api: &Api, fault: &str, listener: TcpListener) -> anyhow::Result<Server> {
    let configured = |entry: &PolicyDefinition| -> anyhow::Result<ConfiguredPolicy> {
        Ok(ConfiguredPolicy { metadata: entry.metadata, policy: (entry.configure)("")? })
    };
    let selected = POLICIES.iter().filter(|entry| WHICH.contains(entry.metadata.name));
    let webhook = Webhook::new(selected.map(configured).collect::<anyhow::Result<Vec<_>>>()?);
    let managed = ManagedCertificate::new(api.client()?, fault, "webhook", fault, LIVES);
    let managed = managed.with_names(&["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let identity = managed.start().await?;
    let chain = identity.chain.clone();
    let server = Server::start(listener, identity.clone().server()?, webhook.router())?;
    tokio::spawn(managed.keep(server.served(None, webhook, identity), chain));
    Ok(server)
}

/// The CA bundle of the registration. The first certificate is the CA that signs.
async fn bundle(api: &Api, fault: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let path = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{fault}");
    let configuration = api.get(&path).await?.well()?;
    let base64 = configuration["webhooks"][0]["clientConfig"]["caBundle"]
        .as_str()
        .context("the webhook has a caBundle")?;
    let pem = base64::engine::general_purpose::STANDARD.decode(base64)?;
    Ok(CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?)
}

/// The server certificate for a client that trusts these CAs and uses the Service's DNS name.
async fn shown(
    address: SocketAddr,
    fault: &str,
    trusted: &[CertificateDer<'static>],
) -> anyhow::Result<Vec<u8>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(format!("webhook.{fault}.svc"))?;
    let stream = TlsConnector::from(trusting(trusted)?).connect(name, stream).await?;
    let (_, connection) = stream.get_ref();
    let leaf =
        connection.peer_certificates().and_then(<[_]>::first).context("the server has a certificate")?;
    Ok(leaf.to_vec())
}

/// Connects to both servers repeatedly, until they use certificates of a CA that is not in `before`, and at least
/// `least` different certificates were used. Returns the number of handshakes.
async fn renewed_since(
    api: &Api,
    fault: &str,
    before: &[CertificateDer<'static>],
    servers: [&Server; 2],
    leaves: &mut BTreeSet<Vec<u8>>,
    least: usize,
) -> anyhow::Result<usize> {
    let (since, mut handshakes) = (Instant::now(), 0);
    loop {
        let trusted = bundle(api, fault).await?;
        for server in servers {
            leaves.insert(shown(server.address, fault, &trusted).await.context("a handshake")?);
            handshakes += 1;
        }
        let signs = trusted.first().context("the bundle has a CA")?;
        let mut shows_it = !before.contains(signs);
        for server in servers {
            shows_it &= shown(server.address, fault, std::slice::from_ref(signs)).await.is_ok();
        }
        if shows_it && leaves.len() >= least {
            return Ok(handshakes);
        }
        ensure!(since.elapsed() < Duration::from_secs(90), "only {} certificates", leaves.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// During the renewal of three certificates and a CA, no request through the API server and no handshake fails.
pub(super) async fn renewed(given: TrialFixture) -> anyhow::Result<()> {
    let (api, fault) = (&given.stage.api, "renewed");
    namespace(api, fault, serde_json::json!({WEBHOOK_LABEL: fault})).await?;
    let [first, second] = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let (first, second) = (first?, second?);
    let url = format!("https://{}", first.local_addr()?);
    let (folder, config) = folder(fault)?;
    register(api, (fault, "Validating"), &config, &url, &["--self-managed"]).await?;
    std::fs::remove_dir_all(folder)?;
    // Start both at the same time, as replicas do.
    let (one, two) = tokio::try_join!(replica(api, fault, first), replica(api, fault, second))?;
    runs(api, fault).await?;
    let load = Load::start(api, fault, 2);
    let first = bundle(api, fault).await?;
    let mut leaves = BTreeSet::new();
    let handshakes = renewed_since(api, fault, &first, [&one, &two], &mut leaves, 4).await?;
    ensure!(handshakes > 100, "only {handshakes} handshakes");
    // The old CA is removed when no certificate that it signed is in use.
    until("the old CA is gone", || async {
        let trusted = bundle(api, fault).await?;
        Ok(first.iter().all(|old| !trusted.contains(old)))
    })
    .await?;
    // Without the Secret, everything is created again. The old certificates stay trusted until the API server has the new CA.
    let before = bundle(api, fault).await?;
    api.delete(&format!("/api/v1/namespaces/{fault}/secrets/webhook-tls")).await?.well()?;
    renewed_since(api, fault, &before, [&one, &two], &mut BTreeSet::new(), 2).await?;
    let requests = load.stop().await?;
    all_are((&requests, |_| true), 100, "at all times", PodRequest::is_well)?;
    one.stop().await?;
    two.stop().await
}
