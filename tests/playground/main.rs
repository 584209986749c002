//! Does the page say in a browser what the policies say elsewhere, to everybody, whatever is put into it, and tell nobody?
//!
//! Chromium runs in a network namespace that has only loopback, driven by `drive.mjs`, which prints what it saw.

mod parity;

use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};
use conformance::folder::Folder;
use conformance::{browser, cases, ignored, namespace, process, tools};
use libtest_mimic::Trial;
use policy_core::{Arena, Case};
use serde_json::{Map, Value, json};

/// What `drive.mjs` looks at beside the cases.
const QUESTIONS: &[&str] = &[
    "a_fix_clears_the_denial",
    "a_squiggle_is_under_the_very_value",
    "a_link_restores_the_state",
    "a_link_of_somebody_else_does_no_harm",
    "what_is_typed_is_not_lost",
    "a_link_asks_for_what_there_is_not_and_is_told",
    "settings_are_taken_and_refused_where_they_stand",
    "everything_is_there_by_keyboard",
    "a_screen_reader_is_told_once_it_is_quiet",
    "axe_finds_no_fault",
    "hostile_text_holds_nothing_up_and_is_never_html",
    "the_map_is_drawn",
    "a_static_host_serves_it_below_a_path",
    "what_cannot_be_loaded_is_said",
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
        const SAME: &str = "the_page_says_what_check_says";
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
                Some(problem) => Err(problem.as_str().unwrap_or("it went wrong").into()),
                None => Err("it was not looked at".into()),
            })
        })
        .collect();
    trials.push(Trial::test("the_page_is_small", || small().map_err(|error| format!("{error:#}").into())));
    trials
}

/// What was seen inside, by name: `null`, or what is wrong.
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
    seen.as_object().ok_or_else(|| "nothing was seen".to_owned())
}

/// The verdict that each case states.
fn expected() -> anyhow::Result<Value> {
    let mut all = Map::new();
    for file in cases::all() {
        let arena = Arena::new();
        let case = Case::decode(&file.text, &arena)?;
        let recorded = conformance::yaml(case.recorded.context("it states a verdict")?)?;
        let verdict = recorded.first().map(|recorded| recorded["verdict"].clone());
        all.insert(format!("{}/{}", file.entry.metadata.name, file.name), verdict.unwrap_or_default());
    }
    Ok(Value::Object(all))
}

/// The Wasm at most 330 KB and all of it at most 700 KB, as a server sends it compressed by brotli.
fn small() -> anyhow::Result<()> {
    const SIZES: &str = "const zlib = require('zlib'), fs = require('fs'), path = require('path'); \
        const size = (name) => zlib.brotliCompressSync(fs.readFileSync(path.join(process.argv[1], name))).length; \
        console.log(JSON.stringify(Object.fromEntries(fs.readdirSync(process.argv[1]).map((name) => [name, size(name)]))))";
    let output = Command::new("node").args(["-e", SIZES]).arg(browser::site()?).output()?;
    let sizes: Value = serde_json::from_slice(&output.stdout).context("the sizes")?;
    let size = |name: &str| sizes[name].as_u64().unwrap_or(u64::MAX);
    let all: u64 = sizes.as_object().context("they are by name")?.values().filter_map(Value::as_u64).sum();
    ensure!(size("playground.wasm") <= 330_000, "the Wasm has {}", size("playground.wasm"));
    ensure!(all <= 700_000, "all of it has {all}: {}", json!(sizes));
    Ok(())
}
