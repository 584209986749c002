//! A client for the API server, and a kubeconfig for it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};

/// A client for the API, with administrator rights.
#[derive(Clone)]
pub struct Api {
    client: Option<Client>,
    /// A kubeconfig for this API server.
    pub kubeconfig: PathBuf,
}

/// A response of the API server.
#[derive(Debug)]
pub struct ApiResponse {
    pub status: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl ApiResponse {
    /// Returns the body if the request succeeded.
    pub fn well(self) -> anyhow::Result<Value> {
        ensure!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        Ok(self.body)
    }

    /// Returns the message of a webhook's denial.
    pub fn refused(self) -> anyhow::Result<String> {
        let message = self.body["message"].as_str().unwrap_or_default().to_owned();
        let is_ours = message.contains("admission webhook") && message.contains("denied the request: ");
        ensure!(self.status == 403 && is_ours, "{}: {}", self.status, self.body);
        Ok(message)
    }
}

impl Api {
    pub(super) fn nowhere() -> Self {
        Api { client: None, kubeconfig: PathBuf::new() }
    }

    /// A client for the API server at an address. `certificate` is the CA certificate and `token` the bearer token; a
    /// kubeconfig is written to the folder.
    ///
    /// # Errors
    /// The certificate is not valid, or the folder cannot be written.
    pub fn at(address: &str, certificate: &[u8], token: &str, folder: &Path) -> anyhow::Result<Self> {
        let base64 = base64::engine::general_purpose::STANDARD.encode(certificate);
        let cluster = json!({"server": format!("https://{address}"), "certificate-authority-data": base64});
        let kubeconfig = folder.join("kubeconfig");
        write_kubeconfig(&kubeconfig, &cluster, token)?;
        let mut config = Config::new(format!("https://{address}").parse()?);
        let pems = x509(certificate)?;
        config.root_cert = Some(pems);
        config.auth_info.token = Some(token.to_owned().into());
        Ok(Api { client: Some(Client::try_from(config)?), kubeconfig })
    }

    /// Writes a kubeconfig with another token next to the administrator's.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn kubeconfig_of(&self, token: &str, name: &str) -> anyhow::Result<PathBuf> {
        let admin: Value = serde_json::from_slice(&std::fs::read(&self.kubeconfig)?)?;
        let path = self.kubeconfig.with_file_name(name);
        write_kubeconfig(&path, &admin["clusters"][0]["cluster"], token)?;
        Ok(path)
    }

    /// A client for typed objects.
    ///
    /// # Errors
    /// The API server has not been started.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.client.clone().context("the API server has not been started")
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        kind: &str,
    ) -> anyhow::Result<ApiResponse> {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.body(Body::from(body))?;
        let response = self.client()?.send(request).await?;
        let status = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok(ApiResponse { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), warnings })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<ApiResponse> {
        self.call(Method::GET, path, Vec::new(), "application/json").await
    }

    pub async fn post(&self, path: &str, object: &Value) -> anyhow::Result<ApiResponse> {
        self.call(Method::POST, path, object.to_string().into_bytes(), "application/json").await
    }

    pub async fn patch(&self, path: &str, patch: &Value) -> anyhow::Result<ApiResponse> {
        let kind = "application/strategic-merge-patch+json";
        self.call(Method::PATCH, path, patch.to_string().into_bytes(), kind).await
    }

    /// Sends a merge patch for an object or a subresource.
    pub async fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<ApiResponse> {
        let kind = "application/merge-patch+json";
        self.call(Method::PATCH, path, patch.to_string().into_bytes(), kind).await
    }

    /// Server-side apply, with strict field validation.
    pub async fn apply(&self, path: &str, object: &Value, dry_run: bool) -> anyhow::Result<ApiResponse> {
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let path = format!("{path}?fieldManager=test&fieldValidation=Strict&force=true{dry_run}");
        self.call(Method::PATCH, &path, object.to_string().into_bytes(), "application/apply-patch+yaml").await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<ApiResponse> {
        self.call(Method::DELETE, path, Vec::new(), "application/json").await
    }
}

fn write_kubeconfig(path: &Path, cluster: &Value, token: &str) -> anyhow::Result<()> {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": token}}]});
    Ok(std::fs::write(path, config.to_string())?)
}

/// Parses the certificates of a PEM file to DER.
fn x509(pem: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect())
}
