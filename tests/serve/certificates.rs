//! Tests of the server certificate and of client certificates.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conformance::process::pratique;
use conformance::serving::{Serving, certificate, until};
use libtest_mimic::Failed;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use webhook_server::server::client::Client;
use webhook_server::server::tls;

use crate::{review, runtime};

pub(crate) fn certificates_are_read_from_files() -> Result<(), Failed> {
    let webhook = Serving::start("files", &[])?;
    runtime()?.block_on(async {
        assert_eq!(webhook.client().await?.get("/healthz").await?.0, 200);
        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let trusted = tls::trusting(&[stranger.cert.der().clone()])?;
        assert!(
            Client::connect(webhook.address, trusted).await.is_err(),
            "it serves the configured certificate, and no other"
        );
        anyhow::Ok(())
    })?;
    Ok(())
}

pub(crate) fn a_wrong_key_prevents_startup() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("pratique-{}-wrong", std::process::id()));
    let (cert, _) = certificate(&folder.join("a"))?;
    let (_, key) = certificate(&folder.join("b"))?;
    let empty = folder.join("empty.pem");
    std::fs::write(&empty, "")?;
    for (cert, key, reason) in [
        (&cert, &key, "does not match the certificate"),
        (&empty, &key, "no PEM certificate in it"),
        (&cert, &empty, "certificate: "),
    ] {
        let output = pratique()
            .args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"])
            .arg(cert)
            .arg("--tls-key")
            .arg(key)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(reason), "{text}");
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Creates a self-signed certificate and its key, as PEM.
fn made() -> Result<(String, String), Failed> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// Whether the webhook serves this certificate.
async fn shows(webhook: &Serving, pem: &str) -> Result<bool, Failed> {
    let trusted = tls::trusting(&[CertificateDer::from_pem_slice(pem.as_bytes())?])?;
    Ok(Client::connect(webhook.address, trusted).await.is_ok())
}

/// Waits until the webhook serves this certificate.
async fn shown(webhook: &Serving, pem: &str) -> Result<(), Failed> {
    let since = Instant::now();
    while !shows(webhook, pem).await? {
        if since.elapsed() > Duration::from_secs(120) {
            return Err("the new certificate is never served".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The files are replaced as the kubelet does it: they are links into a directory that is swapped as a whole. Meanwhile clients
/// connect and send requests, and no handshake fails.
pub(crate) fn certificates_are_replaced_under_load() -> Result<(), Failed> {
    let webhook = Serving::start("rotation", &["--drain", "0"])?;
    let certificates = (0..6).map(|_| made()).collect::<Result<Vec<_>, _>>()?;
    let first = CertificateDer::from_pem_file(webhook.folder.join("tls.crt"))?;
    let mut all = vec![first];
    for (pem, _) in &certificates {
        all.push(CertificateDer::from_pem_slice(pem.as_bytes())?);
    }
    let trusted = tls::trusting(&all)?;
    let (stop, succeeded, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let address = webhook.address;
    let load = async {
        while !stop.load(Ordering::SeqCst) {
            let answered = async {
                let mut client = Client::connect(address, trusted.clone()).await?;
                client.post("/validate", review().into_bytes()).await
            };
            match answered.await {
                Ok((status, _)) if status == 200 => succeeded.fetch_add(1, Ordering::SeqCst),
                _ => failed.fetch_add(1, Ordering::SeqCst),
            };
        }
        Ok::<(), Failed>(())
    };
    let rotate = async {
        for (number, (pem, key)) in certificates.iter().enumerate() {
            let version = webhook.folder.join(format!("..version-{number}"));
            std::fs::create_dir(&version)?;
            std::fs::write(version.join("tls.crt"), pem)?;
            std::fs::write(version.join("tls.key"), key)?;
            let link = webhook.folder.join("..next");
            std::os::unix::fs::symlink(&version, &link)?;
            std::fs::rename(&link, webhook.folder.join("..data"))?;
            for file in ["tls.crt", "tls.key"] {
                let link = webhook.folder.join(format!("..{file}"));
                std::os::unix::fs::symlink(Path::new("..data").join(file), &link)?;
                std::fs::rename(&link, webhook.folder.join(file))?;
            }
            shown(&webhook, pem).await?;
        }
        stop.store(true, Ordering::SeqCst);
        Ok::<(), Failed>(())
    };
    runtime()?.block_on(async { tokio::try_join!(load, rotate).map(drop) })?;
    assert_eq!(failed.load(Ordering::SeqCst), 0, "of {}", succeeded.load(Ordering::SeqCst));
    assert!(succeeded.load(Ordering::SeqCst) > 100, "there were enough requests");
    Ok(())
}

pub(crate) fn half_a_certificate_is_not_served() -> Result<(), Failed> {
    let webhook = Serving::start("half", &["--drain", "0"])?;
    let old = std::fs::read_to_string(webhook.folder.join("tls.crt"))?;
    let (pem, key) = made()?;
    runtime()?.block_on(async {
        for (file, contents) in [("tls.crt", "-----BEGIN CERT"), ("tls.crt", &pem), ("tls.key", "no key")] {
            std::fs::write(webhook.folder.join(file), contents)?;
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert!(shows(&webhook, &old).await?, "{file}: the old certificate is still served");
        }
        std::fs::write(webhook.folder.join("tls.key"), &key)?;
        shown(&webhook, &pem).await
    })
}

/// The webhook is not ready if its certificate has expired, because no client trusts it.
pub(crate) fn an_expired_certificate_is_not_ready() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("pratique-{}-expired", std::process::id()));
    certificate(&folder)?;
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()])?;
    parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate()?;
    let (good, good_key) = made()?;
    std::fs::write(folder.join("tls.crt"), parameters.self_signed(&key)?.pem())?;
    std::fs::write(folder.join("tls.key"), key.serialize_pem())?;
    let webhook =
        Serving::start_in(folder, "127.0.0.1:0", &["--drain", "0", "--metrics-listen", "127.0.0.1:0"])?;
    // This client ignores the validity of the certificate, as a probe of the kubelet does.
    let ready = || async {
        let pem = std::fs::read(webhook.folder.join("tls.crt"))?;
        let any = SingleCertificateVerifier(CertificateDer::from_pem_slice(&pem)?);
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(std::sync::Arc::new(any))
            .with_no_client_auth();
        let mut client = Client::connect(webhook.address, std::sync::Arc::new(config)).await?;
        let (status, body) = client.get("/readyz").await?;
        let live = client.get("/healthz").await?.0;
        anyhow::Ok((status.as_u16(), String::from_utf8_lossy(&body).into_owned(), live.as_u16()))
    };
    runtime()?.block_on(async {
        let text = "the server certificate has expired\n".to_owned();
        assert_eq!(ready().await?, (503, text, 200), "it is live, because the certificate can be replaced");
        std::fs::write(webhook.folder.join("tls.crt"), &good)?;
        std::fs::write(webhook.folder.join("tls.key"), &good_key)?;
        shown(&webhook, &good).await?;
        assert_eq!(ready().await?.0, 200);
        // An expired certificate does not replace a valid one.
        std::fs::write(webhook.folder.join("tls.crt"), parameters.self_signed(&key)?.pem())?;
        std::fs::write(webhook.folder.join("tls.key"), key.serialize_pem())?;
        until("the expired certificate is rejected", || async {
            Ok(webhook.output()?.contains("the new certificate has already expired"))
        })
        .await?;
        assert!(shows(&webhook, &good).await?, "the valid certificate is still served");
        Ok(())
    })
}

/// A verifier that accepts one certificate, even if it has expired.
#[derive(Debug)]
struct SingleCertificateVerifier(CertificateDer<'static>);

impl ServerCertVerifier for SingleCertificateVerifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *shown == self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General("unexpected certificate".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A CA that signs client certificates.
struct TestAuthority {
    pem: String,
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl TestAuthority {
    fn new(name: &str) -> Result<Self, Failed> {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate()?)?;
        Ok(TestAuthority { pem: issuer.pem(), issuer })
    }

    /// The TLS configuration of a client with a certificate for this common name.
    fn client(&self, name: &str, server: &Serving) -> Result<std::sync::Arc<rustls::ClientConfig>, Failed> {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.folder.join("tls.crt"))?)?;
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())?,
            )?;
        Ok(std::sync::Arc::new(config))
    }
}

/// Reviews require a trusted client certificate; probes do not.
pub(crate) fn callers_show_a_certificate() -> Result<(), Failed> {
    let (ours, others) = (TestAuthority::new("ours")?, TestAuthority::new("others")?);
    let ca = std::env::temp_dir().join(format!("pratique-{}-client-ca", std::process::id()));
    std::fs::write(&ca, &ours.pem)?;
    let ca = ca.to_str().ok_or("a path is UTF-8")?;
    let arguments =
        ["--drain", "0", "--client-ca", ca, "--client-name", "kube-apiserver", "--client-name", "other"];
    let webhook = Serving::start("clients", &arguments)?;
    runtime()?.block_on(async {
        let ask = |config: std::sync::Arc<rustls::ClientConfig>| async {
            let mut client = Client::connect(webhook.address, config).await?;
            let reviewed = client.post("/validate", review().into_bytes()).await?.0.as_u16();
            anyhow::Ok((reviewed, client.get("/readyz").await?.0.as_u16()))
        };
        assert_eq!(ask(ours.client("kube-apiserver", &webhook)?).await?, (200, 200));
        assert_eq!(ask(ours.client("other", &webhook)?).await?, (200, 200));
        assert_eq!(ask(ours.client("kubelet", &webhook)?).await?, (401, 200), "another name");
        assert_eq!(ask(webhook.trusted.clone()).await?, (401, 200), "no certificate");
        assert!(ask(others.client("kube-apiserver", &webhook)?).await.is_err(), "another CA");
        // The client CA is reloaded too, and the old one is then no longer trusted.
        std::fs::write(ca, &others.pem)?;
        let theirs = others.client("kube-apiserver", &webhook)?;
        until("the new CA is trusted", || async {
            Ok(ask(theirs.clone()).await.is_ok_and(|statuses| statuses == (200, 200)))
        })
        .await?;
        assert!(ask(ours.client("kube-apiserver", &webhook)?).await.is_err());
        Ok::<_, Failed>(())
    })?;
    std::fs::remove_file(ca)?;
    Ok(())
}
