//! data/mysql: the label for the role of a member.

use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use serde_json::{Value, json};

use super::{ScriptPod, ScriptRun, Test};

pub(super) const TESTS: [(&str, Test); 5] = [
    ("label_follows_the_replication_state", label_roles),
    ("label_follows_a_promotion", label_promotion),
    ("label_is_removed_when_the_state_is_unknown", label_unknown),
    ("label_is_retried_when_the_api_server_fails", label_retry),
    ("label_is_removed_on_shutdown", label_end),
];

const PRIMARY: &str = "0,0";
const REPLICA: &str = "1,1|Yes|Yes|2";

/// Sets the replication state that mysql reports in each round: `MODES|IO|SQL|LAG`, or `down`.
fn seen(pod: &ScriptPod, rounds: &[&str]) -> Result<(), Failed> {
    std::fs::write(pod.path("answers/rounds"), rounds.join("\n") + "\n")?;
    pod.answer(
        "mysql",
        r#"
case "$*" in *@@global*)
  round=$(($(cat "$ANSWERS/round" 2>/dev/null || echo 0) + 1)); echo "$round" >"$ANSWERS/round" ;;
esac
IFS='|' read -r modes io thread lag <<<"$(sed -n "$(cat "$ANSWERS/round")p" "$ANSWERS/rounds")"
[ "$modes" != down ] || exit 1
case "$*" in
  *--skip-column-names*@@global*) printf '%s\t%s\n' "${modes%,*}" "${modes#*,}" ;;
  *@@global*) printf '@@global.read_only\t@@global.super_read_only\n%s\t%s\n' "${modes%,*}" "${modes#*,}" ;;
  # As in mysql: with --skip-column-names, --vertical prints no names either.
  *"SHOW REPLICA STATUS"*)
    case "$*" in *--skip-column-names*) printf '*** 1. row ***\n%s\n%s\n%s\n' "$io" "$thread" "$lag"; exit ;; esac
    [ -z "$io" ] || printf '*** 1. row ***\n  Replica_IO_Running: %s\n  Replica_SQL_Running: %s\n  Seconds_Behind_Source: %s\n' "$io" "$thread" "$lag" ;;
esac"#,
    )
}

/// The values of the label in order; `null` removes it.
fn labels(ran: &ScriptRun) -> Vec<String> {
    let calls = ran.calls.lines().filter(|line| line.starts_with("curl "));
    calls
        .map(|line| {
            assert!(
                line.contains("--request PATCH --header Content-Type: application/merge-patch+json"),
                "{line}"
            );
            assert!(
                line.ends_with("https://kubernetes.default.svc/api/v1/namespaces/mysql/pods/mysql-1"),
                "{line}"
            );
            let (_, data) = line.split_once("--data ").expect("the call has a patch");
            let patch: Value = serde_json::from_str(data.split(' ').next().expect("the call has data"))
                .expect("the patch is JSON");
            let label = &patch["metadata"]["labels"]["mysql-role"];
            assert_eq!(
                patch,
                json!({"metadata": {"labels": {"mysql-role": label}}}),
                "the patch must change only the label"
            );
            label.to_string()
        })
        .collect()
}

fn watch(test: &str, rounds: &[&str]) -> Result<(Vec<String>, ScriptRun), Failed> {
    let mut pod = ScriptPod::new(test, "mysql-1")?;
    pod.set("ROUNDS", &rounds.len().to_string());
    seen(&pod, rounds)?;
    let ran = pod.run("mysql/scripts/label.sh")?;
    ran.ends(0);
    assert!(ran.calls.contains("> header = \"Authorization: Bearer the-token\""), "{}", ran.calls);
    assert!(ran.calls.contains("--cacert"), "{}", ran.calls);
    Ok((labels(&ran), ran))
}

fn label_roles() -> Result<(), Failed> {
    for (round, wanted) in [
        (PRIMARY, "\"primary\""),
        (REPLICA, "\"replica\""),
        ("1,1|Yes|Yes|30", "\"replica\""),
        ("1,1|Yes|Yes|31", "null"),
        ("1,1|Yes|Yes|NULL", "null"),
        ("1,1|Connecting|Yes|0", "null"),
        ("1,1|Yes|No|0", "null"),
        ("1,1", "null"),
        // A writable member that replicates is in the middle of a manual change.
        ("0,0|Yes|Yes|0", "null"),
        ("1,0|Yes|Yes|0", "null"),
        ("down", "null"),
    ] {
        let (labels, _) = watch("label-roles", &[round])?;
        assert_eq!(labels, [wanted], "{round}");
    }
    // The label is not written again while the state stays the same.
    let (labels, _) = watch("label-same", &[REPLICA; 5])?;
    assert_eq!(labels, ["\"replica\""]);
    // But it is refreshed from time to time, in case a user has removed it.
    let (labels, _) = watch("label-refresh", &[REPLICA; 15])?;
    assert_eq!(labels, ["\"replica\"", "\"replica\""]);
    Ok(())
}

fn label_promotion() -> Result<(), Failed> {
    let (labels, _) = watch("label-promotion", &[REPLICA, REPLICA, "1,1|No|No|NULL", "0,0", "0,0"])?;
    assert_eq!(labels, ["\"replica\"", "null", "\"primary\""]);
    Ok(())
}

fn label_unknown() -> Result<(), Failed> {
    let (labels, _) = watch("label-unknown", &[PRIMARY, "down", "down", PRIMARY])?;
    assert_eq!(labels, ["\"primary\"", "null", "\"primary\""]);
    Ok(())
}

fn label_retry() -> Result<(), Failed> {
    let mut pod = ScriptPod::new("label-retry", "mysql-1")?;
    pod.set("ROUNDS", "4");
    seen(&pod, &[REPLICA, REPLICA, REPLICA, REPLICA])?;
    pod.answer(
        "curl",
        r#"tries=$(($(cat "$ANSWERS/tries" 2>/dev/null || echo 0) + 1)); echo "$tries" >"$ANSWERS/tries"; [ "$tries" -ge 3 ] || exit 22"#,
    )?;
    let ran = pod.run("mysql/scripts/label.sh")?;
    assert_eq!(labels(ran.ends(0)), ["\"replica\""; 3], "two failures, one success, and no further call");
    assert!(ran.output().contains("could not write the label"), "{}", ran.output());
    Ok(())
}

fn label_end() -> Result<(), Failed> {
    let mut pod = ScriptPod::new("label-end", "mysql-1")?;
    pod.set("INTERVAL", "60");
    seen(&pod, &[REPLICA])?;
    let mut child = pod.command("mysql/scripts/label.sh").stderr(Stdio::piped()).spawn()?;
    // Wait until it has written the label and waits for the next round.
    let labelled = || std::fs::read_to_string(pod.path("calls")).unwrap_or_default().contains("curl ");
    for _ in 0..1000 {
        if labelled() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(labelled(), "the script labels the pod");
    let killed = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status()?;
    assert!(
        killed.success() && child.wait()?.success(),
        "the script must end successfully before its 60 seconds have passed"
    );
    let ran = ScriptRun {
        output: Command::new("true").output()?,
        calls: std::fs::read_to_string(pod.path("calls"))?,
    };
    assert_eq!(labels(&ran), ["\"replica\"", "null"]);
    Ok(())
}
