//! `just new-policy NAME`: creates a policy folder that compiles, and adds it to the catalog. The catalog test fails until you
//! fill it in.

use std::path::Path;
use std::process::ExitCode;

use conformance::root;

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("usage: just new-policy NAME, for example disallow-something");
        return ExitCode::from(2);
    };
    match create(&name) {
        Ok(()) => {
            println!(
                "created policies/{name}. Next: write src/lib.rs and the cases, then `just bless`, then `just check`."
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn create(name: &str) -> Result<(), String> {
    let plain =
        |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !name.starts_with('-');
    if name.is_empty() || !plain(name) || name.ends_with('-') {
        return Err(format!("`{name}` is not a valid name: use only lower case letters and dashes"));
    }
    let folder = root().join("policies").join(name);
    if folder.exists() {
        return Err(format!("{} already exists", folder.display()));
    }
    let (module, title) = (name.replace('-', "_"), title(name));
    let fill = |template: &str| {
        template
            .replace("POLICY-NAME", name)
            .replace("POLICY_TYPE", &title.replace(' ', ""))
            .replace("POLICY TITLE", &title)
    };
    write(&folder.join("Cargo.toml"), &fill(include_str!("Cargo.toml.template")))?;
    write(&folder.join("src/lib.rs"), &fill(include_str!("lib.rs.template")))?;
    for case in ["allow-something", "deny-something"] {
        write(&folder.join("cases").join(case).with_extension("yaml"), include_str!("case.yaml.template"))?;
    }
    let dependency = format!("{name}.workspace = true\n");
    insert(&root().join("policies/_catalog/Cargo.toml"), "[dependencies]\n", &dependency)?;
    let member = format!("{name} = {{ path = \"policies/{name}\" }}\n");
    insert(&root().join("Cargo.toml"), "[workspace.dependencies]\n", &member)?;
    let entry = format!("    PolicyDefinition::of::<{module}::{}>(),\n", title.replace(' ', ""));
    insert_entry(&root().join("policies/_catalog/src/lib.rs"), &entry)
}

/// The title of a policy: `disallow-host-ports` becomes `Disallow Host Ports`.
fn title(name: &str) -> String {
    let word = |word: &str| {
        word.split_at_checked(1).map(|(first, rest)| first.to_uppercase() + rest).unwrap_or_default()
    };
    name.split('-').map(word).collect::<Vec<_>>().join(" ")
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let with_path = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(with_path)?;
    std::fs::write(path, text).map_err(with_path)
}

/// Inserts a line in alphabetical order among those that follow `head`.
fn insert(path: &Path, head: &str, line: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (before, rest) =
        text.split_once(head).ok_or_else(|| format!("{}: no `{head}` found", path.display()))?;
    let end = rest
        .split_inclusive('\n')
        .take_while(|next| !next.trim().is_empty() && *next < line)
        .map(str::len)
        .sum();
    let (smaller, larger) = rest.split_at(end);
    write(path, &format!("{before}{head}{smaller}{line}{larger}"))
}

/// Inserts an entry in alphabetical order in the catalog's list, one per line.
fn insert_entry(path: &Path, entry: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parts = text.split_once("&[PolicyDefinition] = &[").and_then(|(before, rest)| {
        let (list, after) = rest.split_once("];")?;
        Some((before, list, after))
    });
    let (before, list, after) =
        parts.ok_or_else(|| format!("{}: no list of policies found", path.display()))?;
    let mut entries: Vec<String> = list
        .split("PolicyDefinition::of")
        .filter(|part| part.contains('<'))
        .map(|part| format!("    PolicyDefinition::of{},\n", part.trim().trim_end_matches(',')))
        .collect();
    entries.push(entry.to_owned());
    entries.sort();
    write(path, &format!("{before}&[PolicyDefinition] = &[\n{}];{after}", entries.concat()))
}
