//! A client of the webhook: one TLS connection that sends reviews as an API server does.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Applies the `patch` of a response (JSON Patch, in Base64) as an API server does, and returns the patch.
///
/// # Errors
/// The patch is not valid or cannot be applied.
pub fn apply_patch(object: &mut serde_json::Value, patch: &str) -> anyhow::Result<json_patch::Patch> {
    let patch: json_patch::Patch = serde_json::from_slice(&BASE64_STANDARD.decode(patch)?)?;
    json_patch::patch(object, &patch)?;
    Ok(patch)
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to a loopback address, and performs the TLS handshake for the name `localhost`.
    ///
    /// # Errors
    /// The connection or the handshake fails.
    pub async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| address.to_string())?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // The task ends with the connection. Errors are reported to the pending request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Client { sender })
    }

    /// Sends JSON in a POST request, and returns the status and body of the response.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<(StatusCode, Bytes)> {
        self.post_with(path, &[], body).await
    }

    /// Like [`Client::post`], with additional headers.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn post_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        self.request("POST", path, headers, body).await
    }

    /// Sends a GET request, such as for `/readyz`.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        self.request("GET", path, &[], Bytes::new()).await
    }

    async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in
            [("host", "localhost"), ("content-type", "application/json")].iter().chain(headers)
        {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}
