//! `pratique playground`: serves a page on loopback that evaluates manifests as you type.

use std::io::Write as _;
use std::net::TcpListener;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::args::{ExitStatus, PlaygroundArgs};

mod site {
    include!(concat!(env!("OUT_DIR"), "/site.rs"));
}

const INDEX: &str = "index.html";

/// Restricts the page's requests, and forbids frames. The page repeats the former, for servers that do not send this header.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; \
     connect-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The page itself, as HTML; `None` if the binary was built without it.
pub fn page() -> Option<&'static str> {
    let (_, page) = site::FILES.iter().find(|(name, _)| *name == INDEX)?;
    std::str::from_utf8(page).ok()
}

/// Runs the command until the process ends.
///
/// # Errors
/// The binary was built without the page, or the address is already in use.
pub fn run(args: &PlaygroundArgs) -> anyhow::Result<ExitStatus> {
    if page().is_none() {
        bail!(
            "this binary was built without the page; in the repository, run `just playground`, or `just site target/site` \
             and `PRATIQUE_SITE=target/site cargo install --path webhook-server` (both need npm)"
        );
    }
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("--listen {}: use another port, or 0 for any free port", args.listen))?;
    let mut out = anstream::stdout();
    writeln!(
        out,
        "http://{} (your input never leaves the page; press Ctrl-C to stop)",
        listener.local_addr()?
    )?;
    out.flush()?;
    listener.set_nonblocking(true)?;
    let router = Router::new()
        .route("/", get(|| async { file(INDEX) }))
        .route("/{name}", get(|Path(name): Path<String>| async move { file(&name) }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { axum_server::from_tcp(listener)?.serve(router.into_make_service()).await })?;
    Ok(ExitStatus::Success)
}

/// A file of the page.
fn file(name: &str) -> impl IntoResponse + use<> {
    let found = site::FILES.iter().find(|(known, _)| *known == name);
    let (name, body) = found.ok_or((StatusCode::NOT_FOUND, "file not found"))?;
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok::<_, (StatusCode, &str)>((headers, *body))
}
