//! Generates load: a given number of real requests over persistent connections.

use anyhow::ensure;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The number of connections to each address.
const CONNECTIONS: usize = 8;

/// Sends `each` GET requests to each address (`10.244.0.7:8080`), and waits for the responses.
///
/// # Errors
/// A response has a status other than 200.
pub async fn requests(addresses: &[String], each: usize, path: &str) -> anyhow::Result<()> {
    let mut tasks = Vec::new();
    for address in addresses {
        for _ in 0..CONNECTIONS.min(each) {
            let (address, path) = (address.clone(), path.to_owned());
            let number = each.div_ceil(CONNECTIONS.min(each));
            tasks.push(tokio::spawn(async move { connection(&address, number, &path).await }));
        }
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn connection(address: &str, mut number: usize, path: &str) -> anyhow::Result<()> {
    // Connect again in a loop because a server closes a connection after a number of requests.
    while number > 0 {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        while number > 0 && sender.ready().await.is_ok() {
            let request = http::Request::get(path).header("host", address);
            let Ok(answer) = sender.send_request(request.body(Empty::<bytes::Bytes>::new())?).await else {
                break;
            };
            ensure!(answer.status().as_u16() == 200, "{address}{path}: {}", answer.status());
            answer.into_body().collect().await?;
            number -= 1;
        }
    }
    Ok(())
}
