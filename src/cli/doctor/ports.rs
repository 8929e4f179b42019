//! Ports: free, ours, or whose.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use super::finding::Finding;
use super::network::{answering, present};
use crate::model::view::StatusView;
use crate::model::{DhcpMode, ProfileKind, Site};
use crate::serve::{fai, syslog};

/// The one door that machines boot without: this host's own syslog may have its port.
const SYSLOG: &str = "syslog";

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Udp => "udp",
        }
    }
}

/// Every port that the doors want (`cli::server::plan` opens them), and for which.
fn wanted(site: &Site) -> Vec<(u16, Kind, &'static str)> {
    let mut wanted: Vec<(u16, Kind, &str)> = Vec::new();
    match site.dhcp {
        DhcpMode::Full | DhcpMode::Proxy => {
            wanted.push((67, Kind::Udp, "dhcp"));
            wanted.push((4011, Kind::Udp, "dhcp"));
        }
        DhcpMode::Off => {}
    }
    wanted.push((site.server.tftp_port, Kind::Udp, "tftp"));
    wanted.push((site.server.http_port, Kind::Tcp, "http"));
    wanted.push((site.server.https_port, Kind::Tcp, "https"));
    if site.profiles.values().any(|p| p.kind == ProfileKind::Fai) {
        wanted.push((fai::PORT, Kind::Tcp, "fai-monitor"));
    }
    wanted.push((syslog::PORT, Kind::Udp, SYSLOG));
    wanted.push((syslog::PORT, Kind::Tcp, SYSLOG));
    wanted
}

/// Every port that the doors want, on every address they would listen on.
pub(super) fn all(site: &Site, status: Option<&StatusView>) -> Vec<Finding> {
    let all = present();
    let mut addresses: Vec<Ipv4Addr> = answering(site, &all)
        .iter()
        .flat_map(|i| i.addresses.iter().map(|a| a.addr()))
        .collect();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::UNSPECIFIED);
    }
    wanted(site)
        .into_iter()
        .map(|(port, kind, door)| {
            let taken = addresses
                .iter()
                .map(|ip| SocketAddrV4::new(*ip, port))
                .find_map(|address| Some((address, bind(kind, address).err()?)));
            judge(port, kind, door, status, taken)
        })
        .collect()
}

fn bind(kind: Kind, address: SocketAddrV4) -> std::io::Result<()> {
    match kind {
        Kind::Tcp => TcpListener::bind(address).map(drop),
        Kind::Udp => UdpSocket::bind(address).map(drop),
    }
}

fn judge(
    port: u16,
    kind: Kind,
    door: &str,
    status: Option<&StatusView>,
    taken: Option<(SocketAddrV4, std::io::Error)>,
) -> Finding {
    let what = "port";
    let name = format!("{port}/{} for {door}", kind.word());
    let Some((address, error)) = taken else {
        return if status.is_some_and(|s| !s.doors.iter().any(|d| d.starts_with(door))) {
            Finding::warn(
                what,
                format!("{name} is free although a server runs: its {door} door is not open"),
                "farrier status",
            )
        } else {
            Finding::ok(what, format!("{name} is free"))
        };
    };
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let owner = owner(kind, port);
            match (&owner, status) {
                (Some((pid, _)), Some(s)) if *pid == s.pid => {
                    Finding::ok(what, format!("{name} is ours"))
                }
                (None, Some(s)) if s.doors.iter().any(|d| d.starts_with(door)) => {
                    Finding::ok(what, format!("{name} is ours"))
                }
                _ if door == SYSLOG => Finding::warn(
                    what,
                    format!(
                        "{name} is taken{}: what installers log there is not received",
                        owner.map_or_else(String::new, |(pid, command)| format!(
                            " by `{command}` (process {pid})"
                        ))
                    ),
                    "let this host's syslog not listen on the network, or go without machines' logs",
                ),
                (Some((pid, command)), _) => Finding::fail(
                    what,
                    format!("{name} is taken by `{command}` (process {pid})"),
                    format!("stop it: systemctl disable --now {command}, or kill {pid}"),
                ),
                (None, _) => Finding::fail(
                    what,
                    format!("{name} is taken"),
                    format!("see who has it: ss -lnp 'sport = :{port}'"),
                ),
            }
        }
        std::io::ErrorKind::PermissionDenied => Finding::warn(
            what,
            format!("{name} cannot be tried by this user"),
            "run `farrier doctor` as root",
        ),
        _ => Finding::fail(
            what,
            format!("{name} cannot be opened on {address}: {error}"),
            "ip addr",
        ),
    }
}

/// Which process has a port, as far as this user may see.
fn owner(kind: Kind, port: u16) -> Option<(u32, String)> {
    let table = match kind {
        Kind::Tcp => "/proc/net/tcp",
        Kind::Udp => "/proc/net/udp",
    };
    let text = std::fs::read_to_string(table).ok()?;
    let inodes = inodes(&text, kind, port);
    let socket = |link: &std::path::Path| {
        let target = link.to_string_lossy().into_owned();
        inodes
            .iter()
            .any(|inode| target == format!("socket:[{inode}]"))
    };
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has = open
            .flatten()
            .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| socket(&link)));
        if has {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_string()));
        }
    }
    None
}

/// The sockets of a table of `/proc/net` that are bound to this port (and listen, if TCP).
fn inodes(table: &str, kind: Kind, port: u16) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, local) = fields.get(1)?.split_once(':')?;
            let listening = kind == Kind::Udp || *fields.get(3)? == "0A";
            let here = u16::from_str_radix(local, 16).ok()? == port && listening;
            here.then(|| fields.get(9)?.parse().ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n 1234: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 98765 2 0000000000000000 0\n";

    #[test]
    fn the_kernel_table_is_read() {
        assert_eq!(inodes(UDP, Kind::Udp, 67), [98765]);
        assert!(inodes(UDP, Kind::Udp, 69).is_empty());
        assert!(inodes(UDP, Kind::Tcp, 67).is_empty(), "not listening");
    }

    /// What is said of a port that this process has.
    fn of_taken(door: &str) -> Finding {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = socket.local_addr().expect("bound").port();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let error = bind(Kind::Udp, address).expect_err("it is taken");
        judge(port, Kind::Udp, door, None, Some((address, error)))
    }

    #[test]
    fn a_taken_port_names_its_owner() {
        let finding = of_taken("tftp");
        assert_eq!(finding.level, Level::Fail);
        let own = std::process::id().to_string();
        assert!(finding.message.contains(&own), "{}", finding.message);
    }

    #[test]
    fn machines_boot_without_a_port_for_their_logs() {
        let finding = of_taken(SYSLOG);
        assert_eq!(finding.level, Level::Warn, "{}", finding.message);
    }

    #[test]
    fn every_door_is_looked_at() {
        let dhcp = [(67, Kind::Udp, "dhcp"), (4011, Kind::Udp, "dhcp")];
        let logs = [(514, Kind::Udp, SYSLOG), (514, Kind::Tcp, SYSLOG)];
        for mode in [DhcpMode::Full, DhcpMode::Proxy, DhcpMode::Off] {
            let site = Site {
                dhcp: mode,
                ..Site::default()
            };
            let wanted = wanted(&site);
            assert!(logs.iter().all(|p| wanted.contains(p)), "{wanted:?}");
            for port in dhcp {
                assert_eq!(wanted.contains(&port), mode != DhcpMode::Off, "{port:?}");
            }
        }
    }
}
