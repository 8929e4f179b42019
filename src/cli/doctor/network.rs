//! Interfaces, addresses, and other DHCP servers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::finding::Finding;
use crate::model::{DhcpMode, Site};

/// One of this host's interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its name.
    pub(super) name: String,
    /// Its IPv4 addresses.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// It is switched on and has a carrier.
    pub(super) up: bool,
}

/// This host's interfaces but the loopback.
pub(super) fn present() -> Vec<Interface> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs().into_iter().flatten() {
        if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let running = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
        let interface = found
            .entry(entry.interface_name.clone())
            .or_insert_with(|| Interface {
                name: entry.interface_name.clone(),
                addresses: Vec::new(),
                up: entry.flags.contains(running),
            });
        if let Some(address) = entry.address.as_ref().and_then(|a| a.as_sockaddr_in()) {
            interface.addresses.push(address.ip());
        }
    }
    found.into_values().collect()
}

/// Where Farrier would answer: the interfaces named, else those with an address of a subnet.
pub(super) fn answering<'a>(site: &Site, all: &'a [Interface]) -> Vec<&'a Interface> {
    all.iter()
        .filter(|i| match site.server.interfaces.as_slice() {
            [] => i.addresses.iter().any(|ip| site.subnet_of(*ip).is_some()),
            named => named.contains(&i.name),
        })
        .collect()
}

/// Whether there is an interface for each subnet and name.
pub(super) fn interfaces(site: &Site) -> Vec<Finding> {
    judge(site, &present())
}

fn judge(site: &Site, all: &[Interface]) -> Vec<Finding> {
    let what = "interface";
    let mut findings = Vec::new();
    if site.subnets.is_empty() {
        findings.push(Finding::fail(
            what,
            "no subnet is declared, so nobody is answered",
            "add a `[[subnet]]` with `network = \"10.77.0.0/24\"` to farrier.toml",
        ));
    }
    for name in &site.server.interfaces {
        match all.iter().find(|i| i.name == *name) {
            None => {
                let names: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
                findings.push(Finding::fail(
                    what,
                    format!("`{name}` is not on this host"),
                    format!("name one of {} in farrier.toml", names.join(", ")),
                ));
            }
            Some(i) if !i.up => findings.push(Finding::fail(
                what,
                format!("`{name}` is down"),
                format!("ip link set {name} up, and look at the cable"),
            )),
            Some(i) if i.addresses.is_empty() => findings.push(Finding::fail(
                what,
                format!("`{name}` has no address"),
                format!("ip addr add ADDRESS/PREFIX dev {name}"),
            )),
            Some(_) => {}
        }
    }
    let answering = answering(site, all);
    for subnet in &site.subnets {
        let here: Vec<String> = answering
            .iter()
            .flat_map(|i| i.addresses.iter().map(move |ip| (ip, &i.name)))
            .filter(|(ip, _)| subnet.network.contains(*ip))
            .map(|(ip, name)| format!("{ip} on `{name}`"))
            .collect();
        findings.push(if !here.is_empty() {
            Finding::ok(what, format!("{}: {}", subnet.network, here.join(", ")))
        } else if subnet.server.is_some() {
            Finding::ok(what, format!("{}: through a relay", subnet.network))
        } else {
            Finding::warn(
                what,
                format!("{}: no interface has an address in it", subnet.network),
                "add an address, or set `server` in its `[[subnet]]` if a relay leads there",
            )
        });
    }
    findings
}

/// Whether someone else hands out addresses where Farrier would.
pub(super) async fn other_servers(site: &Site, listen: Duration, served: bool) -> Vec<Finding> {
    let all = present();
    let mut findings = Vec::new();
    for interface in answering(site, &all) {
        let found = super::probe::servers(&interface.name, listen).await;
        findings.push(other(site.dhcp, interface, served, found));
    }
    findings
}

fn other(
    mode: DhcpMode,
    interface: &Interface,
    served: bool,
    found: Result<Vec<Ipv4Addr>, String>,
) -> Finding {
    let what = "dhcp";
    let name = &interface.name;
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            return Finding::warn(
                what,
                format!("other servers on `{name}` could not be looked for: {why}"),
                "run `farrier doctor` as root",
            );
        }
    };
    let others: Vec<String> = found
        .iter()
        .filter(|ip| !interface.addresses.contains(ip))
        .map(ToString::to_string)
        .collect();
    match (mode, others.is_empty()) {
        (DhcpMode::Full, false) => Finding::fail(
            what,
            format!("{} also hands out addresses on `{name}`", others.join(", ")),
            "switch that off, or set `mode = \"proxy\"` under `[dhcp]` in farrier.toml",
        ),
        (DhcpMode::Full, true) => Finding::ok(what, format!("no other server answers on `{name}`")),
        (DhcpMode::Proxy, false) => Finding::ok(
            what,
            format!(
                "{} hands out addresses on `{name}`, Farrier adds boot data",
                others.join(", ")
            ),
        ),
        (DhcpMode::Proxy, true) if served => Finding::warn(
            what,
            format!("nobody hands out addresses on `{name}`"),
            "start the other DHCP server, or set `mode = \"full\"`",
        ),
        (DhcpMode::Proxy, true) => Finding::warn(
            what,
            format!("nobody hands out addresses on `{name}`, and proxy mode does not either"),
            "start the other DHCP server, or set `mode = \"full\"`",
        ),
        (DhcpMode::Off, _) => Finding::ok(what, "off: Farrier opens no DHCP socket"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::model::Subnet;

    fn site(interfaces: &[&str]) -> Site {
        let mut site = Site::default();
        site.server.interfaces = interfaces.iter().map(ToString::to_string).collect();
        site.subnets.push(Subnet {
            network: "10.77.0.0/24".parse().expect("a network"),
            router: None,
            dns: Vec::new(),
            domain: None,
            ntp: Vec::new(),
            pool: Vec::new(),
            lease: Duration::from_secs(3600),
            server: None,
        });
        site
    }

    fn host(name: &str, address: &str, up: bool) -> Interface {
        Interface {
            name: name.to_string(),
            addresses: address.parse().into_iter().collect(),
            up,
        }
    }

    #[test]
    fn each_subnet_wants_an_address() {
        let check = |site: &Site, all: &[Interface], level: Level| {
            let worst = judge(site, all).iter().map(|f| f.level as u8).max();
            assert_eq!(worst, Some(level as u8), "{all:?}");
        };
        check(&site(&[]), &[host("eth1", "10.77.0.1", true)], Level::Ok);
        check(&site(&[]), &[host("eth1", "192.0.2.1", true)], Level::Warn);
        check(
            &site(&["eth9"]),
            &[host("eth1", "10.77.0.1", true)],
            Level::Fail,
        );
        check(
            &site(&["eth1"]),
            &[host("eth1", "10.77.0.1", false)],
            Level::Fail,
        );
        check(&site(&["eth1"]), &[host("eth1", "", true)], Level::Fail);
        check(&Site::default(), &[], Level::Fail);
    }

    #[test]
    fn a_second_server_is_a_fault_in_full_mode_only() {
        let eth1 = host("eth1", "10.77.0.1", true);
        let stranger = || Ok(vec![Ipv4Addr::new(10, 77, 0, 254)]);
        let ourselves = || Ok(vec![Ipv4Addr::new(10, 77, 0, 1)]);
        let level = |mode, found| other(mode, &eth1, true, found).level;
        assert_eq!(level(DhcpMode::Full, stranger()), Level::Fail);
        assert_eq!(level(DhcpMode::Full, ourselves()), Level::Ok);
        assert_eq!(level(DhcpMode::Proxy, stranger()), Level::Ok);
        assert_eq!(level(DhcpMode::Proxy, ourselves()), Level::Warn);
        assert_eq!(
            level(DhcpMode::Full, Err("no right".to_string())),
            Level::Warn
        );
    }
}
