//! Which interfaces are answered on, and the sockets for them.

use crate::model::{DhcpMode, Site};
use crate::net::{BindError, DhcpSocket, Interface, Sharing};

/// Why the door stays shut.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An interface is listed that is not there.
    #[error(
        "`[server] interfaces` lists `{name}`, and there is no such interface here; there are {present}"
    )]
    Missing {
        /// The name that was written.
        name: String,
        /// Those that exist.
        present: String,
    },
    /// An interface without an IPv4 address cannot be answered on.
    #[error(
        "`{name}` has no IPv4 address; give it one of a declared subnet: `ip address add ADDRESS/PREFIX dev {name}`"
    )]
    NoAddress {
        /// Its name.
        name: String,
    },
    /// There is nowhere to answer.
    #[error(
        "no interface has an address of a declared subnet; list one under `[server] interfaces`, or give one an address"
    )]
    Nowhere,
    /// A socket.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// The interfaces that doors for machines are opened on: those listed, else those that have an
/// address in a declared subnet.
///
/// # Errors
/// If there is none, or a listed one cannot be used.
pub fn chosen(site: &Site, interfaces: &[Interface]) -> Result<Vec<Interface>, OpenError> {
    let listed = &site.server.interfaces;
    let mut found = Vec::new();
    for name in listed {
        let interface = interfaces.iter().find(|i| &i.name == name);
        let interface = interface.ok_or_else(|| OpenError::Missing {
            name: name.clone(),
            present: names(interfaces),
        })?;
        if interface.addresses.is_empty() {
            return Err(OpenError::NoAddress { name: name.clone() });
        }
        found.push(interface.clone());
    }
    if listed.is_empty() {
        let inside = |i: &&Interface| {
            i.addresses
                .iter()
                .any(|a| site.subnet_of(a.addr()).is_some())
        };
        found.extend(interfaces.iter().filter(inside).cloned());
    }
    if found.is_empty() {
        return Err(OpenError::Nowhere);
    }
    Ok(found)
}

/// Opens ports 67 and 4011 on each of these interfaces. None if DHCP is off.
///
/// # Errors
/// If another server has a port, or this user may not open it.
pub fn open(site: &Site, interfaces: &[Interface]) -> Result<Vec<DhcpSocket>, OpenError> {
    let sharing = match site.dhcp {
        DhcpMode::Off => return Ok(Vec::new()),
        DhcpMode::Full => Sharing::Alone,
        DhcpMode::Proxy => Sharing::Shared,
    };
    let mut sockets = Vec::new();
    for interface in interfaces {
        for port in [67, 4011] {
            sockets.push(DhcpSocket::bind(interface, port, sharing)?);
        }
    }
    Ok(sockets)
}

fn names(interfaces: &[Interface]) -> String {
    let names: Vec<String> = interfaces.iter().map(|i| format!("`{}`", i.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: Option<&str>) -> Interface {
        Interface {
            name: name.to_string(),
            index: 1,
            mac: None,
            addresses: address
                .map(|a| a.parse().expect("an address"))
                .into_iter()
                .collect(),
            mtu: 1500,
            up: true,
            loopback: false,
        }
    }

    fn site(listed: &[&str]) -> Site {
        let mut site = Site::default();
        site.server.interfaces = listed.iter().map(ToString::to_string).collect();
        site.subnets = vec![crate::model::Subnet {
            network: "10.77.0.0/24".parse().expect("a network"),
            router: None,
            dns: Vec::new(),
            domain: None,
            ntp: Vec::new(),
            pool: Vec::new(),
            lease: std::time::Duration::from_secs(3600),
            server: None,
        }];
        site
    }

    #[test]
    fn only_listed_interfaces_else_those_of_a_subnet() {
        let here = [
            interface("eth0", Some("192.168.1.5/24")),
            interface("eth1", Some("10.77.0.1/24")),
            interface("eth2", None),
        ];
        let check = |listed: &[&str], expected: &str| {
            let got = match chosen(&site(listed), &here) {
                Ok(found) => found
                    .into_iter()
                    .map(|i| i.name)
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(error) => error.to_string().chars().take(23).collect(),
            };
            assert_eq!(got, expected, "{listed:?}");
        };
        check(&[], "eth1");
        check(&["eth0"], "eth0");
        check(&["eth0", "eth1"], "eth0 eth1");
        check(&["eth2"], "`eth2` has no IPv4 addr");
        check(&["eth9"], "`[server] interfaces` l");
        assert!(matches!(
            chosen(&site(&[]), &here[..1]),
            Err(OpenError::Nowhere)
        ));
    }
}
