//! Which interfaces and addresses the doors are opened on.

use ipnet::Ipv4Net;

use crate::control::ServerAddress;
use crate::model::{Refusal, Site};
use crate::net::{Interface, interfaces};

/// The interfaces to answer on, with the addresses to answer from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chosen {
    /// Each with at least one address.
    pub(crate) interfaces: Vec<Interface>,
    /// Listed interfaces that cannot be answered on now, and why.
    pub(crate) troubles: Vec<Refusal>,
}

impl Chosen {
    /// The addresses, in the order of the interfaces.
    pub(crate) fn addresses(&self) -> Vec<ServerAddress> {
        self.interfaces
            .iter()
            .flat_map(|i| {
                i.addresses.iter().map(|a| ServerAddress {
                    interface: i.name.clone(),
                    ip: a.addr(),
                    network: a.trunc(),
                })
            })
            .collect()
    }
}

/// The interfaces of this host that are answered on: see [`among`].
///
/// # Errors
/// The interfaces cannot be listed.
pub(crate) fn choose(site: &Site) -> Result<Chosen, Refusal> {
    let all = interfaces()
        .map_err(|e| Refusal::failed(format!("the network interfaces cannot be listed: {e}")))?;
    Ok(among(site, all))
}

/// The interfaces that `[server] interfaces` lists; without it, those that carry an address of a
/// declared subnet. Nothing else is ever answered on.
fn among(site: &Site, all: Vec<Interface>) -> Chosen {
    let listed = &site.server.interfaces;
    let mut chosen = Chosen::default();
    if listed.is_empty() {
        let near = |a: &Ipv4Net| site.subnets.iter().any(|s| s.network.contains(&a.addr()));
        chosen.interfaces = all
            .into_iter()
            .filter(|i| i.up && i.addresses.iter().any(near))
            .collect();
        return chosen;
    }
    for name in listed {
        let found = all.iter().find(|i| i.name == *name);
        let (what, fix) = match found {
            Some(i) if i.up && !i.addresses.is_empty() => {
                chosen.interfaces.push(i.clone());
                continue;
            }
            None => {
                let names: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
                let here = names.join(", ");
                let fix = format!("`[server] interfaces` in farrier.toml; here are {here}");
                ("does not exist", fix)
            }
            Some(i) if !i.up => ("is down", format!("ip link set {name} up")),
            Some(_) => (
                "has no IPv4 address",
                format!("ip addr add ADDRESS/24 dev {name}"),
            ),
        };
        let trouble = Refusal::failed(format!("interface `{name}` {what}"));
        chosen.troubles.push(trouble.help(fix));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: Option<&str>, up: bool) -> Interface {
        Interface {
            name: name.to_string(),
            index: 1,
            mac: None,
            addresses: address
                .map(|a| a.parse().expect("an address"))
                .into_iter()
                .collect(),
            mtu: 1500,
            up,
            loopback: false,
        }
    }

    #[test]
    fn a_listed_interface_that_cannot_be_used_is_named_and_the_others_are_used() {
        let all = vec![
            interface("eth0", Some("192.168.1.5/24"), true),
            interface("eth1", Some("10.77.0.1/24"), true),
            interface("eth2", None, true),
            interface("eth3", Some("10.78.0.1/24"), false),
        ];
        let mut site = Site::default();
        site.server.interfaces = ["eth1", "eth2", "eth3", "eth9"]
            .map(str::to_string)
            .to_vec();
        let chosen = among(&site, all.clone());
        assert_eq!(chosen.interfaces, [all[1].clone()]);
        let troubles: Vec<String> = chosen.troubles.iter().map(|t| t.message.clone()).collect();
        assert_eq!(
            troubles,
            [
                "interface `eth2` has no IPv4 address",
                "interface `eth3` is down",
                "interface `eth9` does not exist",
            ]
        );
        assert!(chosen.troubles.iter().all(|t| t.help.is_some()));
        site.server.interfaces.clear();
        assert!(
            among(&site, all).interfaces.is_empty(),
            "no subnet, no door"
        );
    }
}
