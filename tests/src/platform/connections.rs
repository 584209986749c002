//! Observes connections: the sockets of the namespace and the processes that own them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::MetadataExt as _;

/// Connections: the ID of the process that opened or accepted each one, and the address of the remote end.
pub type Seen = BTreeSet<(u32, SocketAddrV4)>;

/// The established connections of these processes, by remote address.
pub fn now(pids: &[u32]) -> Seen {
    let remotes = remotes();
    let mut seen = Seen::new();
    for pid in pids {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            // The inode of the file descriptor is the inode of the socket.
            if let Ok(file) = std::fs::metadata(entry.path())
                && let Some(remote) = remotes.get(&file.ino())
            {
                seen.insert((*pid, *remote));
            }
        }
    }
    seen
}

/// The remote address of each established TCP connection, by the inode of its socket.
fn remotes() -> BTreeMap<u64, SocketAddrV4> {
    let mut remotes = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [_, _, remote, "01", .., _, _, _, _, _, _, _, _] = fields.as_slice()
                && let (Some(remote), Some(inode)) =
                    (address(remote), fields.get(9).and_then(|inode| inode.parse().ok()))
            {
                remotes.insert(inode, remote);
            }
        }
    }
    remotes
}

/// Parses `0700F40A:1F90`, or the same at the end of an IPv6 address.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip.get(ip.len().checked_sub(8)?..)?, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(ip.swap_bytes()), u16::from_str_radix(port, 16).ok()?))
}
