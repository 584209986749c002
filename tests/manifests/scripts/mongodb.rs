//! data/mongodb: the key file, the sidecar, and the sidecar's actions in every state of the replica set.

use std::os::unix::fs::PermissionsExt as _;

use conformance::root;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use super::{ScriptPod, Test};
use crate::tool;

pub(super) const TESTS: [(&str, Test); 2] =
    [("keyfile_is_readable_only_for_its_user", keyfile), ("sidecar_continues_after_errors", sidecar)];

fn keyfile() -> Result<(), Failed> {
    let mut pod = ScriptPod::new("keyfile", "mongodb-0")?;
    let (source, target) = (pod.path("conf/keyfile"), pod.path("run/keyfile"));
    pod.set("SOURCE", &source.display().to_string());
    pod.set("TARGET", &target.display().to_string());
    for start in ["first", "second"] {
        std::fs::write(&source, format!("{start}-key"))?;
        pod.run("mongodb/scripts/keyfile.sh")?.ends(0);
        assert_eq!(std::fs::read_to_string(&target)?, format!("{start}-key"));
        assert_eq!(target.metadata()?.permissions().mode() & 0o777, 0o400, "mongod requires this mode");
    }
    for wrong in ["short".to_owned(), "x".repeat(1025)] {
        std::fs::write(&source, wrong)?;
        let ran = pod.run("mongodb/scripts/keyfile.sh")?;
        assert!(ran.ends(1).output().contains("must be 6 to 1024"), "{}", ran.output());
    }
    Ok(())
}

fn sidecar() -> Result<(), Failed> {
    let mut pod = ScriptPod::new("sidecar", "mongodb-0")?;
    pod.set("ROUNDS", "3");
    pod.set("SCRIPTS", "/scripts");
    pod.answer("mongosh", "exit 1")?;
    let ran = pod.run("mongodb/scripts/sidecar.sh")?;
    let call = "mongosh --norc --quiet --host 127.0.0.1 --port 27017 --file /scripts/replica-set.js\n";
    assert_eq!(ran.ends(0).calls, call.repeat(3));
    assert_eq!(ran.output().matches("trying again in 0 s").count(), 3, "{}", ran.output());
    Ok(())
}

/// A member of the replica set in some state, and the expected actions of replica-set.js.
struct Scenario {
    name: &'static str,
    hostname: &'static str,
    members: usize,
    state: Value,
    /// The expected commands that change something, in order.
    changes: Value,
    /// A part of the expected output.
    says: &'static str,
}

/// The error when a user must act.
const FAILS: &str = "root cannot log in: has its password in the Secret changed since the user was created?";

fn host(number: usize) -> String {
    format!("mongodb-{number}.mongodb.mongodb.svc.cluster.local:27017")
}

/// The answers of a primary with these members and their states.
fn primary(states: &[(usize, u8)]) -> Value {
    let name = |state: &u8| {
        ["STARTUP", "PRIMARY", "SECONDARY", "RECOVERING", "", "STARTUP2", "", "", "DOWN"][usize::from(*state)]
    };
    let status: Vec<Value> = states
        .iter()
        .map(|(number, state)| json!({"name": host(*number), "state": state, "stateStr": name(state)}))
        .collect();
    let config: Vec<Value> =
        states.iter().map(|(number, _)| json!({"_id": number + 10, "host": host(*number)})).collect();
    json!({
        "replSetGetStatus": {"ok": 1, "myState": 1, "members": status},
        "replSetGetConfig": {"ok": 1, "config": {"_id": "shop", "version": 7, "term": 3, "members": config}},
        "usersInfo": {"ok": 1, "users": [{"user": "root"}, {"user": "exporter"}, {"user": "shop"}]},
    })
}

fn reconfigured(members: &[(usize, usize)]) -> Value {
    let members: Vec<Value> =
        members.iter().map(|(id, number)| json!({"_id": id, "host": host(*number)})).collect();
    json!([{"replSetReconfig": {"_id": "shop", "version": 8, "term": 3, "members": members}}])
}

/// A trial for each state: Node.js runs replica-set.js against simulated members.
pub(super) fn replica_set() -> Vec<Trial> {
    let new =
        json!({"replSetGetStatus": {"ok": 0, "code": 94, "errmsg": "no replset config has been received"}});
    let unset = json!({"ok": 1, "isreplicaset": true});
    let in_set = json!({"ok": 1, "setName": "shop", "secondary": true});
    let others = |answers: &[(usize, &Value)]| -> Value {
        answers
            .iter()
            .map(|(number, answer)| (host(*number), (*answer).clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let root = json!({"root": "root-password"});
    let state = |own: &Value, others: Value, passwords: &Value| json!({"own": own, "others": others, "passwords": passwords});
    let nobody = json!({});
    let initiated = json!([{"replSetInitiate": {"_id": "shop", "members": [{"_id": 0, "host": host(0)}]}}]);
    let alone = {
        let mut alone = primary(&[(0, 1)]);
        alone["usersInfo"] = json!({"ok": 1, "users": [{"user": "root"}]});
        alone
    };
    let scenarios = [
        Scenario {
            name: "the_first_member_initiates_when_the_others_have_no_set",
            hostname: "mongodb-0",
            members: 3,
            state: state(&new, others(&[(1, &unset), (2, &unset)]), &nobody),
            changes: initiated.clone(),
            says: "initiated shop",
        },
        Scenario {
            name: "a_single_member_initiates_a_set",
            hostname: "mongodb-0",
            members: 1,
            state: state(&new, others(&[]), &nobody),
            changes: initiated,
            says: "initiated shop",
        },
        Scenario {
            name: "only_the_first_member_initiates",
            hostname: "mongodb-1",
            members: 3,
            state: state(&new, others(&[(0, &unset), (2, &unset)]), &nobody),
            changes: json!([]),
            says: "the first member will do it",
        },
        Scenario {
            name: "no_member_initiates_while_another_does_not_respond",
            hostname: "mongodb-0",
            members: 3,
            state: state(&new, others(&[(1, &unset)]), &nobody),
            changes: json!([]),
            says: "waiting for mongodb-2",
        },
        Scenario {
            name: "a_first_member_that_lost_its_disk_starts_no_second_set",
            hostname: "mongodb-0",
            members: 3,
            state: state(&new, others(&[(1, &in_set), (2, &in_set)]), &nobody),
            changes: json!([]),
            says: "is in the set shop already",
        },
        Scenario {
            name: "the_new_primary_creates_the_users_and_then_adds_a_member",
            hostname: "mongodb-0",
            members: 3,
            state: state(&alone, others(&[(1, &unset), (2, &unset)]), &nobody),
            changes: json!([
                {"createUser": "root", "pwd": "root-password", "roles": [{"role": "root", "db": "admin"}]},
                {"createUser": "exporter", "pwd": "exporter-password",
                 "roles": [{"role": "clusterMonitor", "db": "admin"}, {"role": "read", "db": "local"}]},
                {"createUser": "shop", "pwd": "shop-password", "roles": [{"role": "readWrite", "db": "shop"}]},
                reconfigured(&[(10, 0), (11, 1)])[0],
            ]),
            says: "created the user root",
        },
        Scenario {
            name: "members_are_added_one_by_one",
            hostname: "mongodb-0",
            members: 3,
            state: state(&primary(&[(0, 1)]), others(&[(1, &unset), (2, &unset)]), &root),
            changes: reconfigured(&[(10, 0), (11, 1)]),
            says: "added mongodb-1",
        },
        Scenario {
            name: "no_member_is_added_while_another_catches_up",
            hostname: "mongodb-0",
            members: 3,
            state: state(&primary(&[(0, 1), (1, 5)]), others(&[(1, &in_set), (2, &unset)]), &root),
            changes: json!([]),
            says: "mongodb-1.mongodb.mongodb.svc.cluster.local:27017 is STARTUP2",
        },
        Scenario {
            name: "a_member_that_does_not_respond_is_skipped",
            hostname: "mongodb-0",
            members: 3,
            state: state(&primary(&[(0, 1)]), others(&[(2, &unset)]), &root),
            changes: reconfigured(&[(10, 0), (11, 2)]),
            says: "mongodb-1.mongodb.mongodb.svc.cluster.local:27017 does not answer",
        },
        Scenario {
            name: "the_primary_reconfigures",
            hostname: "mongodb-1",
            members: 3,
            state: state(&primary(&[(0, 2), (1, 1)]), others(&[(0, &in_set), (2, &unset)]), &root),
            changes: reconfigured(&[(10, 0), (11, 1), (12, 2)]),
            says: "added mongodb-2",
        },
        Scenario {
            name: "a_secondary_changes_nothing",
            hostname: "mongodb-2",
            members: 5,
            state: state(
                &json!({"replSetGetStatus": {"ok": 1, "myState": 2, "members": []}}),
                others(&[(3, &unset)]),
                &root,
            ),
            changes: json!([]),
            says: "",
        },
        Scenario {
            name: "a_complete_set_is_not_changed",
            hostname: "mongodb-0",
            members: 3,
            state: state(&primary(&[(0, 1), (1, 2), (2, 2)]), others(&[]), &root),
            changes: json!([]),
            says: "",
        },
        Scenario {
            name: "the_highest_surplus_member_is_removed_even_if_it_is_down",
            hostname: "mongodb-0",
            members: 3,
            state: state(&primary(&[(0, 1), (1, 2), (2, 2), (3, 2), (4, 8)]), others(&[]), &root),
            changes: reconfigured(&[(10, 0), (11, 1), (12, 2), (13, 3)]),
            says: "removed mongodb-4",
        },
        Scenario {
            name: "no_member_is_removed_while_another_is_down",
            hostname: "mongodb-0",
            members: 3,
            state: state(&primary(&[(0, 1), (1, 8), (2, 2), (3, 2)]), others(&[]), &root),
            changes: json!([]),
            says: "is DOWN",
        },
        Scenario {
            name: "a_surplus_primary_steps_down_first",
            hostname: "mongodb-3",
            members: 3,
            state: state(&primary(&[(0, 2), (1, 2), (2, 2), (3, 1)]), others(&[]), &root),
            changes: json!([{"replSetStepDown": 60}]),
            says: "stepped down",
        },
        Scenario {
            name: "a_single_member_that_lost_its_disk_starts_no_second_set",
            hostname: "mongodb-0",
            members: 1,
            state: state(&new, others(&[(1, &in_set)]), &nobody),
            changes: json!([]),
            says: "is in the set shop already",
        },
        Scenario {
            name: "a_member_of_another_set_is_not_added",
            hostname: "mongodb-0",
            members: 3,
            state: state(
                &primary(&[(0, 1)]),
                others(&[(1, &json!({"ok": 1, "setName": "shop", "isWritablePrimary": true})), (2, &unset)]),
                &root,
            ),
            changes: reconfigured(&[(10, 0), (11, 2)]),
            says: "is in a set of its own",
        },
        Scenario {
            name: "a_changed_root_password_is_reported",
            hostname: "mongodb-0",
            members: 3,
            state: {
                let refused = json!({"ok": 0, "code": 13, "errmsg": "Command replSetGetStatus requires authentication"});
                state(&json!({"replSetGetStatus": refused}), others(&[]), &json!({"root": "another"}))
            },
            changes: json!([]),
            says: FAILS,
        },
    ];
    scenarios
        .into_iter()
        .map(|scenario| {
            Trial::test(format!("scripts::replica_set::{}", scenario.name), move || play(&scenario))
        })
        .collect()
}

fn play(scenario: &Scenario) -> Result<(), Failed> {
    let pod = ScriptPod::new(scenario.name, scenario.hostname)?;
    let file = pod.path("scenario.json");
    std::fs::write(&file, scenario.state.to_string())?;
    let mut command = tool("node", "")?;
    command.arg(root().join("tests/manifests/stand-ins/mongosh.mjs"));
    command.arg(root().join("manifests/data/mongodb/scripts/replica-set.js")).arg(&file);
    command.env("HOSTNAME", scenario.hostname).env("MEMBERS", scenario.members.to_string());
    command.env("SERVICE", "mongodb.mongodb.svc.cluster.local").env("REPLICA_SET", "shop");
    for user in ["root", "exporter", "shop"] {
        command.env(format!("{}_PASSWORD", user.to_uppercase()), format!("{user}-password"));
    }
    let output = command.output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let played: Value = serde_json::from_slice(&output.stdout)?;
    let done = played["done"].as_array().ok_or("the output must have `done`")?;
    let reads = ["replSetGetStatus", "replSetGetConfig", "usersInfo"];
    let changes: Vec<&Value> = done
        .iter()
        .filter_map(|step| step.get("command"))
        .filter(|command| !reads.iter().any(|read| command.get(read).is_some()))
        .collect();
    assert_eq!(json!(changes), scenario.changes, "{played:#}");
    match scenario.says {
        FAILS => assert_eq!(played["failed"], FAILS),
        _ => assert_eq!(played.get("failed"), None, "the script must not fail"),
    }
    let says = played.to_string();
    assert!(says.contains(scenario.says), "{}: not in {says}", scenario.says);
    assert!(!says.contains("\"force\""), "the script must never use `force`");
    Ok(())
}
