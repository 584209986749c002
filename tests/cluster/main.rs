//! A real API server: does it ask the webhook, and does what the webhook says come to pass?

mod plane;
mod trials;

use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};

use conformance::{ignored, process};
use libtest_mimic::Trial;
use tokio::runtime::Runtime;

use plane::Plane;
use trials::Stage;

/// What runs while the trials do, and ends with the process.
static PLANE: Mutex<Option<Plane>> = Mutex::new(None);
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

fn main() -> ExitCode {
    let code = process::main(list);
    drop(PLANE.lock().unwrap_or_else(PoisonError::into_inner).take());
    code
}

fn list() -> Vec<Trial> {
    let assets = match plane::assets() {
        Ok(assets) => assets,
        Err(reason) => return vec![ignored("cluster", &reason)],
    };
    // Whoever only asks for the list starts nothing.
    if std::env::args().any(|argument| argument == "--list") {
        return trials::all(None);
    }
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("a runtime can be made")
    });
    let started = runtime.block_on(async {
        let plane = Plane::start(&assets).await?;
        let stage = Stage::set(&plane.api).await?;
        anyhow::Ok((plane, stage))
    });
    match started {
        Ok((plane, stage)) => {
            *PLANE.lock().unwrap_or_else(PoisonError::into_inner) = Some(plane);
            trials::all(Some((runtime, stage)))
        }
        Err(error) => {
            let reason = format!("{error:#}");
            vec![Trial::test("the_control_plane_starts", move || Err(reason.into()))]
        }
    }
}
