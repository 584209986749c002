//! Who is seen to be connected to whom: the sockets of the namespace, and the processes that hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::MetadataExt as _;

/// A connection: the number of the process that opened it or took it, and the other end's address.
pub type Seen = BTreeSet<(u32, SocketAddrV4)>;

/// The established connections of these processes, by the address at the other end.
pub fn now(pids: &[u32]) -> Seen {
    let remotes = remotes();
    let mut seen = Seen::new();
    for pid in pids {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            // The number behind a socket is that of the file it leads to.
            if let Ok(file) = std::fs::metadata(entry.path())
                && let Some(remote) = remotes.get(&file.ino())
            {
                seen.insert((*pid, *remote));
            }
        }
    }
    seen
}

/// The other end of each established TCP connection, by the number of its socket.
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

/// `0700F40A:1F90`, or the same at the end of an IPv6 address.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip.get(ip.len().checked_sub(8)?..)?, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(ip.swap_bytes()), u16::from_str_radix(port, 16).ok()?))
}
