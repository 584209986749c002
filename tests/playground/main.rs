//! Tests the playground in a browser: verdicts, accessibility, hostile input, and that nothing leaves the page.
//!
//! Chromium runs in a network namespace that has only loopback. `drive.mjs` drives it and prints the results.

mod parity;

use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};
use conformance::folder::Folder;
use conformance::{browser, cases, ignored, namespace, process, tools};
use libtest_mimic::Trial;
use policy_core::{Arena, Case};
use serde_json::{Map, Value, json};

/// The tests in `drive.mjs` besides the cases.
const QUESTIONS: &[&str] = &[
    "a_fix_clears_the_denial",
    "findings_underline_the_value",
    "a_link_restores_the_state",
    "a_hostile_link_is_harmless",
    "typed_text_is_not_lost",
    "unknown_policies_in_a_link_are_reported",
    "setting_errors_appear_at_the_setting",
    "everything_is_reachable_by_keyboard",
    "screen_readers_are_notified_after_typing_stops",
    "axe_finds_no_violations",
    "hostile_text_blocks_nothing_and_is_escaped",
    "the_map_is_drawn",
    "a_static_host_serves_it_below_a_path",
    "load_errors_are_shown",
    "no_request_leaves_the_page",
];

fn main() -> ExitCode {
    let play = |folder: &[String]| {
        let folder = folder.first().context("a folder")?;
        browser::drive("drive.mjs", &[folder.as_ref(), browser::site()?.as_os_str()])
    };
    if let Some(code) = namespace::inside(play) {
        return code;
    }
    process::main(|| {
        let mut trials = match browser::available() {
            Err(reason) => vec![ignored("playground", &reason)],
            Ok(()) => trials(),
        };
        const SAME: &str = "the_page_agrees_with_check";
        trials.push(match tools::find("kubectl", "install kubectl") {
            Ok(_) => trial(SAME, parity::as_check_says),
            Err(reason) => ignored(SAME, &reason),
        });
        trials
    })
}

fn trial(name: &str, run: fn() -> anyhow::Result<()>) -> Trial {
    Trial::test(name, move || run().map_err(|error| format!("{error:#}").into()))
}

fn trials() -> Vec<Trial> {
    let of_cases = cases::all().into_iter().map(|case| format!("{}/{}", case.entry.metadata.name, case.name));
    let names = of_cases.chain(QUESTIONS.iter().map(|name| (*name).to_owned()));
    let mut trials: Vec<Trial> = names
        .map(|name| {
            Trial::test(name.clone(), move || match seen()?.get(&name) {
                Some(Value::Null) => Ok(()),
                Some(problem) => Err(problem.as_str().unwrap_or("it failed").into()),
                None => Err("drive.mjs did not run this test".into()),
            })
        })
        .collect();
    trials.push(Trial::test("the_page_is_small", || small().map_err(|error| format!("{error:#}").into())));
    trials
}

/// The results of `drive.mjs` by test: `null`, or an error message.
fn seen() -> Result<&'static Map<String, Value>, String> {
    static SEEN: OnceLock<Result<Value, String>> = OnceLock::new();
    let look = || {
        let folder = Folder::new("playground");
        browser::install()?;
        folder.file("expected.json", serde_json::to_string(&expected()?)?);
        namespace::run(&[&folder.0.display().to_string()])
    };
    let seen = SEEN.get_or_init(|| look().map_err(|error: anyhow::Error| format!("{error:#}")));
    let seen = seen.as_ref().map_err(Clone::clone)?;
    seen.as_object().ok_or_else(|| "drive.mjs printed no results".to_owned())
}

/// The expected verdict of each case.
fn expected() -> anyhow::Result<Value> {
    let mut all = Map::new();
    for file in cases::all() {
        let arena = Arena::new();
        let case = Case::decode(&file.text, &arena)?;
        let recorded = conformance::yaml(case.recorded.context("the case has no verdict")?)?;
        let verdict = recorded.first().map(|recorded| recorded["verdict"].clone());
        all.insert(format!("{}/{}", file.entry.metadata.name, file.name), verdict.unwrap_or_default());
    }
    Ok(Value::Object(all))
}

/// Compressed with brotli, the Wasm module must have at most 330 KB, and the whole page at most 700 KB.
fn small() -> anyhow::Result<()> {
    const SIZES: &str = "const zlib = require('zlib'), fs = require('fs'), path = require('path'); \
        const size = (name) => zlib.brotliCompressSync(fs.readFileSync(path.join(process.argv[1], name))).length; \
        console.log(JSON.stringify(Object.fromEntries(fs.readdirSync(process.argv[1]).map((name) => [name, size(name)]))))";
    let output = Command::new("node").args(["-e", SIZES]).arg(browser::site()?).output()?;
    let sizes: Value = serde_json::from_slice(&output.stdout).context("the sizes")?;
    let size = |name: &str| sizes[name].as_u64().unwrap_or(u64::MAX);
    let all: u64 = sizes.as_object().context("they are by name")?.values().filter_map(Value::as_u64).sum();
    ensure!(size("playground.wasm") <= 330_000, "the Wasm module has {} bytes", size("playground.wasm"));
    ensure!(all <= 700_000, "the page has {all} bytes: {}", json!(sizes));
    Ok(())
}
