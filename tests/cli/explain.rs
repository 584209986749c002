//! Tests of the descriptions of policies, and of completion scripts and manual pages.

use conformance::folder::Folder;
use libtest_mimic::Failed;
use policy_core::ControlMetadata;
use serde_json::Value;

use crate::{expect, run, text};

pub(crate) fn policies_are_described() -> Result<(), Failed> {
    let output = run(&["policies"]);
    expect(&output, 0)?;
    assert!(text(&output.stdout).contains("pod-security-standards"));
    let output = run(&["policies", "pod-security-standards"]);
    assert!(text(&output.stdout).contains("exemptControls (default [])"), "{}", text(&output.stdout));
    let output = run(&["policies", "--output", "json"]);
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let standards =
        list.as_array().into_iter().flatten().find(|policy| policy["name"] == "pod-security-standards");
    let standards = standards.ok_or("it is in the list")?;
    assert_eq!(standards["settings"]["properties"]["level"]["default"], "restricted");
    Ok(())
}

/// Every policy has a summary, a fix, references and examples, and every control a title, a fix and a denied example.
pub(crate) fn policies_and_controls_are_explained() -> Result<(), Failed> {
    for entry in policy_catalog::POLICIES {
        let name = entry.metadata.name;
        let output = run(&["explain", name]);
        expect(&output, 0)?;
        let output = text(&output.stdout);
        for wanted in [
            entry.metadata.summary,
            entry.metadata.remediation,
            entry.metadata.source,
            "\nWhy\n",
            "\nAdmitted: ",
        ] {
            assert!(output.contains(wanted), "{name}: {wanted}: not in {output}");
        }
        let example = if entry.metadata.mutates { "\nChanged: " } else { "\nDenied: " };
        assert!(output.contains(example), "{name}: {output}");
        for ControlMetadata { id, title, remediation, .. } in entry.metadata.controls {
            let output = run(&["explain", &format!("{name}/{id}")]);
            expect(&output, 0)?;
            let output = text(&output.stdout);
            assert!(output.contains(title) && output.contains(remediation), "{name}/{id}: {output}");
            assert!(output.contains("\nDenied: "), "{name}/{id}: {output}");
        }
    }
    let output = text(&run(&["explain", "pod-security-standards/hostNamespaces"]).stdout);
    for wanted in
        ["\nspec.hostNetwork: must not be true\n", "(deny-host-namespaces)\n", "        hostNetwork: true\n"]
    {
        assert!(output.contains(wanted), "{wanted}: not in {output}");
    }
    for (wrong, reason) in [
        ("nope", "nope"),
        ("pod-security-standards/nope", "has no control `nope`; it has appArmorProfile, "),
        ("prometheus-labels/x", "prometheus-labels has no controls"),
    ] {
        let output = run(&["explain", wrong]);
        expect(&output, 2)?;
        assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
    }
    Ok(())
}

/// Completion scripts contain every command, and every command has a manual page.
pub(crate) fn completions_and_man_pages_cover_every_command() -> Result<(), Failed> {
    const COMMANDS: [&str; 7] = ["check", "render", "connectivity", "test", "policies", "serve", "demo"];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        expect(&output, 0)?;
        let script = text(&output.stdout);
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}: {script}");
    }
    let folder = Folder::new("man");
    let script = folder.file("pratique.bash", run(&["completions", "bash"]).stdout);
    let read = std::process::Command::new("bash").arg("-n").arg(script).output()?;
    assert!(read.status.success(), "{}", text(&read.stderr));
    expect(&run(&["man", folder.0.to_str().ok_or("UTF-8")?]), 0)?;
    for command in COMMANDS {
        let page = std::fs::read_to_string(folder.0.join(format!("pratique-{command}.1")))?;
        assert!(page.starts_with(".ie") && page.contains(".SH OPTIONS"), "{command}: {page}");
    }
    expect(&run(&["man", "/dev/null/nowhere"]), 2)
}
