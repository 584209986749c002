//! Measures how long a user of the playground waits for the verdict while typing.
//!
//! Reports the milliseconds from the key press until the page shows the result: for a manifest set of 300 lines, and
//! for comparison for 300 lines of comments, which have no findings. Both are measured in the same Chromium.

use std::process::ExitCode;

use conformance::{browser, namespace, process};

fn main() -> ExitCode {
    let inside = || namespace::inside(|_| browser::drive("measure.mjs", &[]));
    if let Some(code) = process::as_pratique().or_else(inside) {
        return code;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> anyhow::Result<()> {
    if let Err(reason) = browser::available() {
        println!("playground: not measured: {reason}");
        return Ok(());
    }
    browser::install()?;
    let seen = namespace::run(&[])?;
    println!("playground, from the key press, in ms:");
    for (name, value) in seen.as_object().into_iter().flatten() {
        println!("  {name:20} {value}");
    }
    let of = |name: &str| seen[name].as_f64().unwrap_or(f64::NAN);
    println!("  {:20} {:.1}", "set to comments", of("set, median") / of("comments, median"));
    Ok(())
}
