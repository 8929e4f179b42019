//! Which interfaces and addresses the doors are opened on.

use ipnet::Ipv4Net;

use crate::control::ServerAddress;
use crate::model::{Refusal, Site};
use crate::net::{Interface, interfaces};

/// The interfaces to answer on, with the addresses to answer from.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// Each with at least one address.
    pub(crate) interfaces: Vec<Interface>,
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

/// The interfaces that `[server] interfaces` lists; without it, those that carry an address of a
/// declared subnet. Nothing else is ever answered on.
///
/// # Errors
/// A listed interface that does not exist, is down or has no address.
pub(crate) fn choose(site: &Site) -> Result<Chosen, Refusal> {
    let all = interfaces()
        .map_err(|e| Refusal::failed(format!("the network interfaces cannot be listed: {e}")))?;
    let listed = &site.server.interfaces;
    if listed.is_empty() {
        let near = |a: &Ipv4Net| site.subnets.iter().any(|s| s.network.contains(&a.addr()));
        let chosen: Vec<Interface> = all
            .into_iter()
            .filter(|i| i.up && i.addresses.iter().any(near))
            .collect();
        if chosen.is_empty() {
            tracing::warn!(
                "no interface has an address in a subnet of the site, so no machine is answered; declare `[[subnet]]` or `[server] interfaces` in farrier.toml"
            );
        }
        return Ok(Chosen { interfaces: chosen });
    }
    let mut chosen = Vec::new();
    for name in listed {
        let found = all.iter().find(|i| i.name == *name);
        let refused = |what: &str, fix: String| {
            Err(Refusal::failed(format!("interface `{name}` {what}")).help(fix))
        };
        match found {
            None => {
                let names: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
                return refused(
                    "does not exist",
                    format!(
                        "`[server] interfaces` in farrier.toml; here are {}",
                        names.join(", ")
                    ),
                );
            }
            Some(i) if !i.up => return refused("is down", format!("ip link set {name} up")),
            Some(i) if i.addresses.is_empty() => {
                return refused(
                    "has no IPv4 address",
                    format!("ip addr add ADDRESS/24 dev {name}"),
                );
            }
            Some(i) => chosen.push(i.clone()),
        }
    }
    Ok(Chosen { interfaces: chosen })
}
