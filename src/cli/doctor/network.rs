//! Interfaces, addresses, and other DHCP servers.

use std::net::Ipv4Addr;

use super::finding::Finding;
use crate::model::{DhcpMode, Site};
use crate::net::{self, Interface, OtherServer};

/// This host's interfaces but the loopback.
pub(super) fn present() -> Vec<Interface> {
    let mut all = net::interfaces().unwrap_or_default();
    all.retain(|i| !i.loopback);
    all
}

/// Where Farrier would answer: the interfaces named, else those with an address of a subnet.
pub(super) fn answering<'a>(site: &Site, all: &'a [Interface]) -> Vec<&'a Interface> {
    all.iter()
        .filter(|i| match site.server.interfaces.as_slice() {
            [] => i
                .addresses
                .iter()
                .any(|a| site.subnet_of(a.addr()).is_some()),
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
    for interface in answering.iter().filter(|i| i.up) {
        let name = &interface.name;
        if carrier(name) == Some(false) {
            findings.push(Finding::warn(
                what,
                format!("`{name}` has no carrier"),
                "look at its cable and the switch",
            ));
        }
    }
    for subnet in &site.subnets {
        let here: Vec<String> = answering
            .iter()
            .flat_map(|i| i.addresses.iter().map(move |a| (a.addr(), &i.name)))
            .filter(|(ip, _)| subnet.network.contains(ip))
            .map(|(ip, name)| format!("{ip} on `{name}`"))
            .collect();
        findings.push(if !here.is_empty() {
            Finding::ok(what, format!("{}: {}", subnet.network, here.join(", ")))
        } else if subnet.server.is_some() {
            Finding::ok(what, format!("{}: through a relay", subnet.network))
        } else if answering.is_empty() && site.server.interfaces.is_empty() {
            Finding::fail(
                what,
                format!(
                    "{}: no interface has an address in it, so no machine is answered",
                    subnet.network
                ),
                "add an address, or list an interface under `[server] interfaces` in farrier.toml",
            )
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

/// Whether someone else hands out addresses where Farrier would: asks for one without wanting it, on
/// all interfaces at once.
pub(super) async fn other_servers(site: &Site) -> Vec<Finding> {
    let all = present();
    let asked: Vec<_> = answering(site, &all)
        .into_iter()
        .map(|interface| {
            let asked = interface.clone();
            let found = tokio::task::spawn_blocking(move || net::probe_dhcp(&asked));
            (interface, found)
        })
        .collect();
    let mut findings = Vec::new();
    for (interface, found) in asked {
        let found = match found.await {
            Ok(found) => found.map_err(|e| e.to_string()),
            Err(cut_off) => Err(cut_off.to_string()),
        };
        findings.push(other(site.dhcp, interface, found));
    }
    findings
}

fn other(
    mode: DhcpMode,
    interface: &Interface,
    found: Result<Vec<OtherServer>, String>,
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
    let own: Vec<Ipv4Addr> = interface.addresses.iter().map(|a| a.addr()).collect();
    let strangers = found.iter().filter(|s| !own.contains(&s.server));
    let (givers, helpers): (Vec<&OtherServer>, Vec<&OtherServer>) =
        strangers.partition(|s| s.offered.is_some());
    let names = |list: &[&OtherServer]| {
        let names: Vec<String> = list.iter().map(|s| s.server.to_string()).collect();
        names.join(", ")
    };
    match mode {
        DhcpMode::Off => Finding::ok(what, "off: Farrier opens no DHCP socket"),
        _ if !helpers.is_empty() => Finding::warn(
            what,
            format!("{} also gives boot data on `{name}`", names(&helpers)),
            "switch that off: a machine takes whichever answer comes first",
        ),
        DhcpMode::Full if !givers.is_empty() => Finding::fail(
            what,
            format!("{} also hands out addresses on `{name}`", names(&givers)),
            "switch that off, or set `mode = \"proxy\"` under `[dhcp]` in farrier.toml",
        ),
        DhcpMode::Full => Finding::ok(what, format!("no other server answers on `{name}`")),
        DhcpMode::Proxy if !givers.is_empty() => Finding::ok(
            what,
            format!(
                "{} hands out addresses on `{name}`, Farrier adds boot data",
                names(&givers)
            ),
        ),
        DhcpMode::Proxy => Finding::warn(
            what,
            format!("nobody hands out addresses on `{name}`, and proxy mode does not either"),
            "start the other DHCP server, or set `mode = \"full\"` under `[dhcp]`",
        ),
    }
}

/// Whether a cable is in; none if the kernel does not say.
fn carrier(name: &str) -> Option<bool> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/carrier")).ok()?;
    Some(text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            index: 1,
            mac: None,
            addresses: address.parse().into_iter().collect(),
            mtu: 1500,
            up,
            loopback: false,
        }
    }

    #[test]
    fn each_subnet_wants_an_address() {
        let check = |site: &Site, all: &[Interface], level: Level| {
            let worst = judge(site, all).iter().map(|f| f.level as u8).max();
            assert_eq!(worst, Some(level as u8), "{all:?}");
        };
        check(&site(&[]), &[host("eth1", "10.77.0.1/24", true)], Level::Ok);
        check(
            &site(&[]),
            &[host("eth1", "192.0.2.1/24", true)],
            Level::Fail,
        );
        let mut two = site(&[]);
        two.subnets.push(Subnet {
            network: "192.0.2.0/24".parse().expect("a network"),
            ..two.subnets[0].clone()
        });
        check(&two, &[host("eth1", "192.0.2.1/24", true)], Level::Warn);
        check(
            &site(&["eth9"]),
            &[host("eth1", "10.77.0.1/24", true)],
            Level::Fail,
        );
        check(
            &site(&["eth1"]),
            &[host("eth1", "10.77.0.1/24", false)],
            Level::Fail,
        );
        check(&site(&["eth1"]), &[host("eth1", "", true)], Level::Fail);
        check(&Site::default(), &[], Level::Fail);
    }

    #[test]
    fn a_second_server_is_a_fault_in_full_mode_only() {
        let eth1 = host("eth1", "10.77.0.1/24", true);
        let answer = |last, gives: bool| {
            let server = Ipv4Addr::new(10, 77, 0, last);
            let offered = gives.then_some(Ipv4Addr::new(10, 77, 0, 99));
            Ok(vec![OtherServer { server, offered }])
        };
        let level = |mode, found| other(mode, &eth1, found).level;
        assert_eq!(level(DhcpMode::Full, answer(254, true)), Level::Fail);
        assert_eq!(level(DhcpMode::Full, answer(254, false)), Level::Warn);
        assert_eq!(
            level(DhcpMode::Full, answer(1, true)),
            Level::Ok,
            "that is us"
        );
        assert_eq!(level(DhcpMode::Proxy, answer(254, true)), Level::Ok);
        assert_eq!(level(DhcpMode::Proxy, answer(1, false)), Level::Warn);
        assert_eq!(
            level(DhcpMode::Full, Err("no right".to_string())),
            Level::Warn
        );
    }
}
