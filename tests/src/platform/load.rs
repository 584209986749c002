//! Load: real requests, as many as asked for, over connections that are kept.

use anyhow::ensure;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How many connections there are to each address.
const CONNECTIONS: usize = 8;

/// Sends so many GET requests to each address (`10.244.0.7:8080`), and waits for the answers.
///
/// # Errors
/// One is not answered with 200.
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
    // A server ends a connection after so many requests.
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
