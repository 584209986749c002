//! `just site DIR`: writes the playground to a folder for a static host. `pratique playground` serves the same files.
//!
//! Builds the policies as Wasm, generates JavaScript bindings and the catalog, and builds the page with npm and esbuild.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use conformance::{browser, root, target, targets};
use wasm_bindgen_cli_support::Bindgen;

const CRATE: &str = "policy-playground";
/// The placeholder in index.html for the hash of the sources.
const SOURCES: &str = "SOURCES";
const TARGET: &str = "wasm32-unknown-unknown";
/// The files of the page; `webhook-server/build.rs` embeds the same ones.
const FILES: [&str; 5] = ["index.html", "main.js", "catalog.json", "playground.wasm", "style.css"];

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: just site DIR");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn write(folder: &Path) -> anyhow::Result<()> {
    targets::add(TARGET).map_err(anyhow::Error::msg)?;
    let scratch = target().join("playground");
    std::fs::create_dir_all(&scratch)?;
    let bound = scratch.join("bound");
    bind(&wasm()?, &bound).context("wasm-bindgen")?;
    std::fs::write(scratch.join("catalog.json"), serde_json::to_vec(&policy_playground::Catalog::new())?)?;
    let web = root().join("policies/_playground/web");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&web))?;
    let sample = web.join("src/sample.ts");
    std::fs::write(&sample, in_typescript())?;
    let checked = run(Command::new("npm").args(["run", "--silent", "check"]).current_dir(&web));
    std::fs::remove_file(&sample)?;
    checked?;
    run(Command::new("node").arg("build.mjs").arg(&scratch).current_dir(&web))?;
    let page = std::fs::read_to_string(scratch.join("index.html"))?;
    ensure!(page.contains(SOURCES), "index.html has no place for {SOURCES}");
    std::fs::write(scratch.join("index.html"), page.replace(SOURCES, &browser::sources()?))?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for name in FILES {
        let made = std::fs::read(scratch.join(name)).with_context(|| name.to_owned())?;
        let file = folder.join(name);
        // Unchanged files are not written, so that cargo does not rebuild because of them.
        if std::fs::read(&file).ok().as_ref() != Some(&made) {
            std::fs::write(&file, made).with_context(|| file.display().to_string())?;
        }
        println!("{}", file.display());
    }
    Ok(())
}

/// The output of the policies and the catalog as literals of the page's TypeScript types. A missing, renamed or
/// differently typed member is a compile error.
fn in_typescript() -> String {
    let text = include_str!("../../policies/_playground/web/src/example.yaml");
    let policies = policy_catalog::POLICIES.iter().map(|entry| format!("\"{}\":{{}}", entry.metadata.name));
    let policies = policies.collect::<Vec<_>>().join(",");
    let options = |policies: &str| format!("{{\"namespace\":\"default\",\"policies\":{{{policies}}}}}");
    let text = [
        policy_playground::evaluate(text, &options(&policies)),
        policy_playground::evaluate("a: [", &options(&policies)),
        policy_playground::evaluate(text, &options("\"prometheus-labels\":{\"marc\":1}")),
    ];
    let menu = serde_json::to_string(&policy_playground::Catalog::new()).unwrap_or_default();
    format!(
        "import type {{ Policy, PlaygroundReport }} from \"./shapes\";\nexport const reports: PlaygroundReport[] = [{}];\nexport const menu: Policy[] = {menu};\n",
        text.join(",")
    )
}

/// Builds the policies for the browser.
fn wasm() -> anyhow::Result<PathBuf> {
    let arguments = ["rustc", "--quiet", "--package", CRATE, "--lib", "--crate-type", "cdylib"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // wasm-bindgen needs a custom section that stripping would remove.
    let profile = ["--profile", "guest", "--config", "profile.guest.strip=\"none\""];
    run(command.args(arguments).args(["--target", TARGET]).args(profile).current_dir(root()))?;
    Ok(target().join(TARGET).join("guest").join(CRATE.replace('-', "_")).with_extension("wasm"))
}

/// Writes `playground.js` and `playground_bg.wasm`. Cargo.lock guarantees that the binder and the macro have the same version.
fn bind(wasm: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).web(true)?.typescript(false).out_name("playground");
    bindgen.remove_name_section(true).remove_producers_section(true).generate(folder)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = format!("{} {:?}", command.get_program().display(), command.get_args().collect::<Vec<_>>());
    let output = command.output().with_context(|| name.clone())?;
    let text = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&text));
    Ok(())
}
