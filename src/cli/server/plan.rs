//! Which doors ought to be open, as data: from a site and the interfaces that were chosen.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::Chosen;
use crate::model::{DhcpMode, ProfileKind, Site};
use crate::serve::{fai, syslog};

/// One door. Two that differ in anything are two doors: the old one is shut, the new one opened.
/// The order is that of opening: what is advertised is served before it is advertised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// The machine plane.
    Http(Ipv4Addr, u16),
    /// The hand-off.
    Https(Ipv4Addr, u16),
    /// TFTP, with the MTU that its blocks fit.
    Tftp(Ipv4Addr, u16, u32),
    /// FAI's monitor.
    Fai(Ipv4Addr),
    /// Installers' logs, by UDP and TCP.
    Syslog(Ipv4Addr),
    /// DHCP and proxyDHCP on one interface, by name and number: an interface that is made anew has
    /// another number, and a socket of the old one would hear nothing.
    Dhcp(String, u32, Sharing),
}

/// How DHCP holds its port: see [`crate::net::Sharing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sharing {
    /// Full mode.
    Full,
    /// Proxy mode.
    Proxy,
}

impl Wanted {
    /// The address, for doors that have one.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Wanted::Http(ip, _)
            | Wanted::Https(ip, _)
            | Wanted::Tftp(ip, ..)
            | Wanted::Fai(ip)
            | Wanted::Syslog(ip) => Some(*ip),
            Wanted::Dhcp(..) => None,
        }
    }

    /// Whether a server without it is of no use. Logs are a help: where this host's own syslog has the
    /// port, machines go without.
    pub(super) fn needed(&self) -> bool {
        !matches!(self, Wanted::Syslog(_))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Http(ip, port) => write!(f, "HTTP on {}", SocketAddrV4::new(*ip, *port)),
            Wanted::Https(ip, port) => write!(f, "HTTPS on {}", SocketAddrV4::new(*ip, *port)),
            Wanted::Tftp(ip, port, _) => write!(f, "TFTP on {}", SocketAddrV4::new(*ip, *port)),
            Wanted::Fai(ip) => write!(f, "FAI's monitor on {}", SocketAddrV4::new(*ip, fai::PORT)),
            Wanted::Syslog(ip) => {
                write!(
                    f,
                    "installers' logs on {}",
                    SocketAddrV4::new(*ip, syslog::PORT)
                )
            }
            Wanted::Dhcp(name, ..) => write!(f, "DHCP on `{name}`"),
        }
    }
}

/// All doors for machines that this site wants on these interfaces.
pub(super) fn wanted(site: &Site, chosen: &Chosen) -> BTreeSet<Wanted> {
    let mut all = BTreeSet::new();
    let fai = site.profiles.values().any(|p| p.kind == ProfileKind::Fai);
    let sharing = match site.dhcp {
        DhcpMode::Full => Some(Sharing::Full),
        DhcpMode::Proxy => Some(Sharing::Proxy),
        DhcpMode::Off => None,
    };
    for interface in &chosen.interfaces {
        for ip in interface.addresses.iter().map(|a| a.addr()) {
            all.insert(Wanted::Http(ip, site.server.http_port));
            all.insert(Wanted::Https(ip, site.server.https_port));
            all.insert(Wanted::Tftp(ip, site.server.tftp_port, interface.mtu));
            if fai {
                all.insert(Wanted::Fai(ip));
            }
            all.insert(Wanted::Syslog(ip));
        }
        if let Some(sharing) = sharing {
            let (name, index) = (interface.name.clone(), interface.index);
            all.insert(Wanted::Dhcp(name, index, sharing));
        }
    }
    all
}
