//! A container's root file system: the machine's programs, its own `/etc`, and the mounted volumes.

use std::path::Path;
use std::process::Command;

/// Mounts the given paths below a new root and runs the program there. The mounts end with the process' mount namespace.
const SCRIPT: &str = r#"set -e
root=$1; shift
mount -t tmpfs -o size=512m container "$root"
for d in usr bin sbin lib lib64; do
  if [ -L "/$d" ]; then ln -s "$(readlink "/$d")" "$root/$d"
  elif [ -d "/$d" ]; then mkdir "$root/$d"; mount --rbind "/$d" "$root/$d"; fi
done
mkdir -p "$root/proc" "$root/dev" "$root/tmp" "$root/etc/nginx" "$root/run/mysqld" "$root/var/run" "$root/var/log"
mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"
for f in passwd group nsswitch.conf ld.so.cache nginx/mime.types; do
  [ ! -e "/etc/$f" ] || cp "/etc/$f" "$root/etc/$f"
done
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"
  else mkdir -p "$(dirname "$root$2")"; [ -e "$root$2" ] || : >"$root$2"; fi
  mount --bind "$1" "$root$2"; shift 2
done; shift
exec chroot "$root" "$@""#;

/// The command that runs a program in its own root, with these mounts (source and target).
pub fn command(root: &Path, mounts: &[(String, String)], program: &[String]) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "/usr/bin/unshare", "--mount", "/bin/sh", "-c", SCRIPT, "sh"]);
    command.arg(root);
    for (what, place) in mounts {
        command.args([what, place]);
    }
    command.arg("--").args(program).env_clear();
    command
}
