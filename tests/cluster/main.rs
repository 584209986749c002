//! A real API server calls the webhook, and applies its responses.

mod faults;
mod registration;
mod trials;

use std::any::Any;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};

use conformance::control_plane::{self, ControlPlane};
use conformance::{ignored, process};
use libtest_mimic::Trial;
use tokio::runtime::Runtime;

use trials::WebhookCluster;

/// Values that live until all trials have run.
static KEPT: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

fn main() -> ExitCode {
    let code = process::main(list);
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).clear();
    code
}

/// Keeps a value alive until all trials have run.
fn keep(kept: impl Any + Send) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(kept));
}

/// The shared state of the trials.
#[derive(Clone)]
struct TrialFixture {
    /// The binaries of the control plane.
    assets: PathBuf,
    /// An API server that calls the webhook. A namespace's label selects the policy.
    stage: WebhookCluster,
}

type Run = fn(TrialFixture) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

fn list() -> Vec<Trial> {
    let assets = match control_plane::assets() {
        Ok(assets) => assets,
        Err(reason) => return vec![ignored("cluster", &reason)],
    };
    // Start nothing if only the list is requested.
    if std::env::args().any(|argument| argument == "--list") {
        return all(None);
    }
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("the runtime can be created")
    });
    let started = runtime.block_on(async {
        let plane = ControlPlane::start(&assets).await?;
        let stage = WebhookCluster::set(&plane.api).await?;
        anyhow::Ok((plane, stage))
    });
    match started {
        Ok((plane, stage)) => {
            keep(plane);
            all(Some((runtime, TrialFixture { assets, stage })))
        }
        Err(error) => {
            let reason = format!("{error:#}");
            vec![Trial::test("the_control_plane_starts", move || Err(reason.into()))]
        }
    }
}

/// All trials; without a fixture, only their names.
fn all(given: Option<(&'static Runtime, TrialFixture)>) -> Vec<Trial> {
    let trial = |(name, run): (&str, Run)| {
        let given = given.clone();
        Trial::test(name, move || {
            let (runtime, given) = given.ok_or("the trials are only listed")?;
            runtime.block_on(run(given)).map_err(|error| format!("{error:#}").into())
        })
    };
    trials::TRIALS.iter().chain(registration::TRIALS).chain(faults::TRIALS).copied().map(trial).collect()
}
