//! data/mysql: configuration, cloning, replication and backups.

use std::os::unix::fs::PermissionsExt as _;

use libtest_mimic::Failed;

use super::{ScriptPod, Test};

pub(super) const TESTS: [(&str, Test); 8] = [
    ("configure_writes_the_role_of_the_ordinal", configure),
    ("clone_skips_the_first_member_and_existing_data", clone_nothing),
    ("clone_streams_prepares_and_moves_into_place", clone),
    ("clone_rejects_an_incomplete_backup", clone_half),
    ("create_users_grants_no_more_than_needed", create_users),
    ("replicate_sets_up_a_fresh_clone_once", replicate),
    ("replicate_does_not_change_a_running_replica_or_the_primary", replicate_restart),
    ("backup_streams_and_cleans_up", backup),
];

fn configure() -> Result<(), Failed> {
    for (hostname, role, other, id) in
        [("mysql-0", "20-primary", "20-replica", "100"), ("mysql-12", "20-replica", "20-primary", "112")]
    {
        let pod = ScriptPod::new("configure", hostname)?;
        std::fs::write(pod.path("conf").join(format!("{other}.cnf")), "of another role")?;
        pod.run("mysql/scripts/configure.sh")?.ends(0);
        let read = |name: &str| std::fs::read_to_string(pod.path("conf").join(format!("{name}.cnf")));
        assert!(read("10-common")?.contains("gtid_mode = ON"));
        assert!(read(role)?.contains("read_only"));
        assert!(read(other).is_err(), "the configuration of the other role must be removed");
        assert_eq!(
            read("30-server-id")?,
            format!("[mysqld]\nserver_id = {id}\nreport_host = {hostname}.mysql\n")
        );
    }
    for hostname in ["mysql", "mysql-", "mysql-x", "mysql-0x1"] {
        let pod = ScriptPod::new("configure-wrong", hostname)?;
        let ran = pod.run("mysql/scripts/configure.sh")?;
        assert!(ran.ends(64).output().contains("must end in the pod's ordinal"), "{}", ran.output());
    }
    Ok(())
}

fn clone_nothing() -> Result<(), Failed> {
    let first = ScriptPod::new("clone-first", "mysql-0")?;
    first.answer("socat", "exit 1")?;
    let ran = first.run("mysql/scripts/clone.sh")?;
    assert!(ran.ends(0).output().contains("starts empty"), "{}", ran.output());
    assert_eq!(
        ran.calls, "socat -u OPEN:/dev/null TCP:mysql-1.mysql:3306,connect-timeout=5\n",
        "only the check for other members"
    );
    // Another member responds, so this is not the first start.
    first.answer("socat", "exit 0")?;
    let ran = first.run("mysql/scripts/clone.sh")?;
    assert!(ran.ends(1).output().contains("this member has lost its data"), "{}", ran.output());
    let restarted = ScriptPod::new("clone-restarted", "mysql-2")?;
    std::fs::create_dir(restarted.path("data/mysql"))?;
    std::fs::write(restarted.path("data/ibdata1"), "the data")?;
    let ran = restarted.run("mysql/scripts/clone.sh")?;
    assert_eq!((ran.ends(0).calls.as_str(), ran.output().contains("there is data")), ("", true));
    assert_eq!(std::fs::read_to_string(restarted.path("data/ibdata1"))?, "the data");
    Ok(())
}

/// The effect of xbstream for a complete stream.
const WHOLE: &str = r#"
into="${2#--directory=}"
mkdir -p "$into/mysql" "$into/shop"
for file in ibdata1 auto.cnf .hidden mysql/user.ibd xtrabackup_binlog_info xtrabackup_checkpoints xtrabackup_info; do
  echo "$file" >"$into/$file"
done
"#;

fn clone() -> Result<(), Failed> {
    let pod = ScriptPod::new("clone", "mysql-2")?;
    std::fs::create_dir(pod.path("data/leftover"))?;
    pod.answer("xbstream", WHOLE)?;
    // The data must not be in place before it is prepared.
    pod.answer(
        "xtrabackup",
        r#"[ ! -e "$DATA/mysql" ] && [ -e "$DATA/.incoming/mysql/user.ibd" ] || exit 9"#,
    )?;
    let ran = pod.run("mysql/scripts/clone.sh")?;
    ran.ends(0);
    // Both ends of the pipe start at the same time, so their order is not fixed.
    assert!(ran.calls.contains("socat -u TCP:mysql-1.mysql:3307,connect-timeout=10 STDOUT"), "{}", ran.calls);
    ran.in_order(&["xbstream --extract --directory=", "xtrabackup --prepare --target-dir="]);
    let mut there: Vec<String> = std::fs::read_dir(pod.path("data"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    there.sort();
    let wanted = [
        ".hidden",
        "ibdata1",
        "mysql",
        "shop",
        "xtrabackup_binlog_info",
        "xtrabackup_checkpoints",
        "xtrabackup_info",
    ];
    assert_eq!(there, wanted, "all received files except the sender's identity");
    let again = pod.run("mysql/scripts/clone.sh")?;
    assert_eq!(again.ends(0).calls, "", "a restart must not clone again");
    Ok(())
}

fn clone_half() -> Result<(), Failed> {
    // The stream breaks off twice: within a file, and after a complete file.
    let pod = ScriptPod::new("clone-half", "mysql-1")?;
    pod.answer(
        "xbstream",
        &format!(
            r#"
tries=$(($(cat "$ANSWERS/tries" 2>/dev/null || echo 0) + 1)); echo "$tries" >"$ANSWERS/tries"
case $tries in
  1) mkdir -p "${{2#--directory=}}/mysql"; exit 1 ;;
  2) mkdir -p "${{2#--directory=}}/mysql"; echo x >"${{2#--directory=}}/xtrabackup_checkpoints"; exit 0 ;;
esac
{WHOLE}"#
        ),
    )?;
    let ran = pod.run("mysql/scripts/clone.sh")?;
    let streams = ran.ends(0).programs().iter().filter(|program| **program == "socat").count();
    assert_eq!(streams, 3, "{}\n{}", ran.calls, ran.output());
    assert!(ran.output().contains("ended before xtrabackup_binlog_info"), "{}", ran.output());
    assert_eq!(ran.programs().last(), Some(&"xtrabackup"), "the backup must be prepared once, at the end");

    let mut hopeless = ScriptPod::new("clone-hopeless", "mysql-1")?;
    hopeless.set("ATTEMPTS", "3");
    hopeless.answer("socat", "exit 1")?;
    let ran = hopeless.run("mysql/scripts/clone.sh")?;
    assert!(ran.ends(1).output().contains("no complete backup from mysql-0.mysql:3307"), "{}", ran.output());
    assert!(!ran.programs().contains(&"xtrabackup") && !hopeless.path("data/mysql").exists());

    // After a failed preparation there must be no data folder, so that the next start tries again.
    let broken = ScriptPod::new("clone-broken", "mysql-1")?;
    broken.answer("xbstream", WHOLE)?;
    broken.answer("xtrabackup", "exit 1")?;
    broken.run("mysql/scripts/clone.sh")?.ends(1);
    assert!(!broken.path("data/mysql").exists());
    Ok(())
}

fn create_users() -> Result<(), Failed> {
    let mut pod = ScriptPod::new("users", "mysql-0")?;
    pod.set("MYSQL_ROOT_PASSWORD", "root-secret");
    pod.set("EXPORTER_PASSWORD", "exporter-secret");
    pod.set("SHOP_PASSWORD", r"it's a \ secret");
    let ran = pod.run("mysql/scripts/create-users.sh")?;
    ran.ends(0).in_order(&[
        "mysql --user=root --protocol=socket",
        "CREATE USER IF NOT EXISTS 'replication'@'%' IDENTIFIED BY 'replication-secret'",
        "GRANT REPLICATION SLAVE ON *.* TO 'replication'@'%'",
        "'backup'@'127.0.0.1' IDENTIFIED BY 'backup-secret'",
        "GRANT BACKUP_ADMIN, PROCESS, RELOAD, LOCK TABLES, REPLICATION CLIENT",
        "GRANT SELECT ON performance_schema.log_status TO 'backup'",
        "'monitor'@'127.0.0.1' IDENTIFIED BY 'monitor-secret' WITH MAX_USER_CONNECTIONS 3",
        "'exporter'@'127.0.0.1' IDENTIFIED BY 'exporter-secret' WITH MAX_USER_CONNECTIONS 3",
        "GRANT PROCESS, REPLICATION CLIENT, SELECT ON *.* TO 'exporter'",
        r"IDENTIFIED BY 'it''s a \\ secret'",
    ]);
    assert!(
        !ran.calls.contains("ALL PRIVILEGES") && !ran.calls.contains("mysql_native_password"),
        "{}",
        ran.calls
    );
    pod.set("SHOP_PASSWORD", "");
    let ran = pod.run("mysql/scripts/create-users.sh")?;
    assert!(!ran.output.status.success() && ran.calls.is_empty(), "an empty password must be rejected");
    Ok(())
}

fn replicate() -> Result<(), Failed> {
    let pod = ScriptPod::new("replicate", "mysql-2")?;
    let gtids = "aaaaaaaa-0000-0000-0000-000000000000:1-7,\nbbbbbbbb-0000-0000-0000-000000000000:1-3";
    std::fs::write(pod.path("data/xtrabackup_binlog_info"), format!("mysql-bin.000002\t197\t{gtids}\n"))?;
    // mysqld responds at the third attempt.
    pod.answer(
        "mysql",
        r#"
case "$*" in *"SELECT 1"*)
  tries=$(($(cat "$ANSWERS/tries" 2>/dev/null || echo 0) + 1)); echo "$tries" >"$ANSWERS/tries"; [ "$tries" -ge 3 ]; exit ;;
esac"#,
    )?;
    let ran = pod.run("mysql/scripts/replicate.sh")?;
    ran.ends(0).in_order(&[
        "SELECT 1",
        "SELECT 1",
        "SELECT 1",
        "SHOW REPLICA STATUS",
        "> SET GLOBAL super_read_only = OFF;",
        "> RESET BINARY LOGS AND GTIDS;",
        "> SET GLOBAL gtid_purged = 'aaaaaaaa-0000-0000-0000-000000000000:1-7,bbbbbbbb-0000-0000-0000-000000000000:1-3';",
        "> CHANGE REPLICATION SOURCE TO",
        "SOURCE_HOST = 'mysql-0.mysql'",
        "SOURCE_PASSWORD = 'replication-secret'",
        "SOURCE_AUTO_POSITION = 1",
        "GET_SOURCE_PUBLIC_KEY = 1",
        "mysql --defaults-extra-file=",
        "> START REPLICA;",
        "> SET GLOBAL super_read_only = ON;",
        "socat TCP-LISTEN:3307,reuseaddr,fork,max-children=1 EXEC:",
    ]);
    for gone in ["MASTER", "SLAVE"] {
        assert!(!ran.calls.contains(gone), "{gone} does not exist in MySQL 8.4: {}", ran.calls);
    }
    let credentials = pod.path("run/client.cnf");
    assert!(std::fs::read_to_string(&credentials)?.contains("user=\"backup\"\npassword=\"backup-secret\""));
    assert_eq!(credentials.metadata()?.permissions().mode() & 0o777, 0o600);
    assert!(
        !pod.path("data/xtrabackup_binlog_info").exists(),
        "the binlog position of a clone must be used only once"
    );
    Ok(())
}

fn replicate_restart() -> Result<(), Failed> {
    let primary = ScriptPod::new("replicate-primary", "mysql-0")?;
    let ran = primary.run("mysql/scripts/replicate.sh")?;
    assert_eq!(ran.ends(0).programs(), ["mysql", "socat"], "only the check that mysqld is running");

    let restarted = ScriptPod::new("replicate-restarted", "mysql-1")?;
    restarted.answer("mysql", r#"case "$*" in *"SHOW REPLICA STATUS"*) echo running ;; esac"#)?;
    let ran = restarted.run("mysql/scripts/replicate.sh")?;
    assert_eq!(ran.ends(0).programs(), ["mysql", "mysql", "socat"]);
    assert!(!ran.calls.contains("CHANGE REPLICATION SOURCE"), "{}", ran.calls);

    // The last run ended between setup and start. The script must do only the remaining steps.
    let phase = ScriptPod::new("replicate-half", "mysql-1")?;
    std::fs::write(phase.path("data/xtrabackup_binlog_info"), "mysql-bin.000002\t197\ta:1\n")?;
    phase.answer("mysql", r#"case "$*" in *"SHOW REPLICA STATUS"*) echo stopped ;; esac"#)?;
    let ran = phase.run("mysql/scripts/replicate.sh")?;
    ran.ends(0).in_order(&[
        "> START REPLICA;",
        "> SET GLOBAL super_read_only = ON;",
        "socat TCP-LISTEN:3307",
    ]);
    assert!(!ran.calls.contains("RESET BINARY") && !phase.path("data/xtrabackup_binlog_info").exists());

    // The data is not from a clone, so the position is unknown. The script must not serve backups of it.
    let foreign = ScriptPod::new("replicate-foreign", "mysql-1")?;
    let ran = foreign.run("mysql/scripts/replicate.sh")?;
    assert!(ran.ends(1).output().contains("delete this pod's PersistentVolumeClaim"), "{}", ran.output());
    assert!(!ran.programs().contains(&"socat"));

    let without = ScriptPod::new("replicate-without", "mysql-1")?;
    std::fs::write(without.path("data/xtrabackup_binlog_info"), "mysql-bin.000002\t197\n")?;
    let ran = without.run("mysql/scripts/replicate.sh")?;
    assert!(ran.ends(1).output().contains("no GTID set"), "{}", ran.output());

    // The server rejects the commands. The script must fail and keep the clone's position for the next start.
    let refused = ScriptPod::new("replicate-refused", "mysql-1")?;
    std::fs::write(refused.path("data/xtrabackup_binlog_info"), "mysql-bin.000002\t197\ta:1\n")?;
    refused.answer("mysql", r#"case "$*" in *--execute=*) ;; *) exit 1 ;; esac"#)?;
    let ran = refused.run("mysql/scripts/replicate.sh")?;
    assert!(!ran.output.status.success() && !ran.programs().contains(&"socat"), "{}", ran.calls);
    assert!(refused.path("data/xtrabackup_binlog_info").exists());
    Ok(())
}

fn backup() -> Result<(), Failed> {
    let pod = ScriptPod::new("backup", "mysql-1")?;
    pod.answer("xtrabackup", "echo the-stream")?;
    let ran = pod.run("mysql/scripts/backup.sh")?;
    let client = format!("xtrabackup --defaults-extra-file={}", pod.path("run/client.cnf").display());
    ran.ends(0).in_order(&[&client, "--backup --slave-info --stream=xbstream --datadir="]);
    assert_eq!(ran.output.stdout, b"the-stream\n", "the output must contain only the stream");
    assert_eq!(std::fs::read_dir(pod.path("run"))?.count(), 0, "all temporary files must be removed");
    pod.answer("xtrabackup", "exit 1")?;
    pod.run("mysql/scripts/backup.sh")?.ends(1);
    assert_eq!(std::fs::read_dir(pod.path("run"))?.count(), 0);
    Ok(())
}
