//! The other end of the webhook: one TLS connection that sends reviews as an API server does.

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

/// Makes the changes of an answer's `patch` (JSON Patch, in Base64), as an API server does, and gives the patch.
///
/// # Errors
/// It is no patch, or does not apply.
pub fn apply_patch(object: &mut serde_json::Value, patch: &str) -> anyhow::Result<json_patch::Patch> {
    let patch: json_patch::Patch = serde_json::from_slice(&BASE64_STANDARD.decode(patch)?)?;
    json_patch::patch(object, &patch)?;
    Ok(patch)
}

/// A connection, kept alive.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to a loopback address and shakes hands as a client of `localhost`.
    ///
    /// # Errors
    /// The connection or the handshake fails.
    pub async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| address.to_string())?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the connection, and what goes wrong on it is seen by the request that waits.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Client { sender })
    }

    /// Posts JSON, and gives the status and body of the answer.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<(StatusCode, Bytes)> {
        self.post_with(path, &[], body).await
    }

    /// The same with more headers.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn post_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        self.request("POST", path, headers, body).await
    }

    /// Gets a page, such as `/readyz`.
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
