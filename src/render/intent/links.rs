//! Who has which address once a machine is installed: interfaces, and the bonds that take over from
//! them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::static_key;
use crate::model::intent::{Fault, Intent};
use crate::model::{MacAddr, System};

/// One of the machine's interfaces.
#[derive(Debug)]
pub(super) struct Nic<'a> {
    pub(super) mac: MacAddr,
    pub(super) name: Option<&'a str>,
    /// The bond it belongs to; then the bond has its address.
    pub(super) bond: Option<&'a str>,
    /// The machine is installed through it.
    pub(super) boots: bool,
    pub(super) address: Address,
}

/// What an interface or a bond has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Address {
    /// The address declared or known.
    pub(super) ip: Option<Ipv4Addr>,
    /// It is set without DHCP.
    pub(super) fixed: bool,
    /// It is asked of DHCP.
    pub(super) dhcp: bool,
    pub(super) ip6: Option<Ipv6Net>,
}

/// One bond.
#[derive(Debug)]
pub(super) struct Bonded<'a> {
    pub(super) name: &'a str,
    pub(super) boots: bool,
    pub(super) address: Address,
}

/// The machine's interfaces. `ip` is the booting one's address, as far as it is known.
pub(super) fn nics<'a>(
    system: &'a System,
    intent: &'a Intent,
    ip: Option<Ipv4Addr>,
) -> Vec<Nic<'a>> {
    let bond_of = |mac: MacAddr| {
        let mut bonds = intent.network.bond.iter();
        bonds
            .find(|(_, b)| b.interfaces.contains(&mac))
            .map(|(n, _)| n.as_str())
    };
    let all = system.interfaces.iter().enumerate();
    all.map(|(at, interface)| {
        let boots = at == 0;
        let ip = if boots { ip } else { interface.ip };
        let fixed = interface.static_ip && ip.is_some();
        Nic {
            mac: interface.mac,
            name: interface.name.as_deref(),
            bond: bond_of(interface.mac),
            boots,
            address: Address {
                ip,
                fixed,
                // An address that is reserved for it is one that it asks for.
                dhcp: !fixed && (boots || ip.is_some()),
                ip6: interface.ip6.as_deref().copied(),
            },
        }
    })
    .collect()
}

/// The bonds, each with what it takes over: the booting member's address, else the first that has one.
pub(super) fn bonds<'a>(intent: &'a Intent, nics: &[Nic<'a>]) -> Vec<Bonded<'a>> {
    let of = |name: &'a String| {
        let members = || nics.iter().filter(move |n| n.bond == Some(name.as_str()));
        let boots = members().any(|n| n.boots);
        let holder = members()
            .find(|n| n.boots)
            .or_else(|| members().find(|n| n.address.fixed || n.address.dhcp));
        let mut address = holder.map(|n| n.address).unwrap_or_default();
        if address.ip6.is_none() {
            address.ip6 = members().find_map(|n| n.address.ip6);
        }
        Bonded {
            name,
            boots,
            address,
        }
    };
    intent.network.bond.keys().map(of).collect()
}

/// Static addresses of which nobody knows the length of the prefix. `networks` are those of the site that
/// hold addresses of the system, by address.
pub(super) fn unknown_networks(
    system: &System,
    intent: &Intent,
    ip: Option<Ipv4Addr>,
    networks: &BTreeMap<Ipv4Addr, Ipv4Net>,
) -> Vec<Fault> {
    let nics = nics(system, intent, ip);
    let fixed = nics.iter().filter(|nic| nic.address.fixed);
    let unknown = fixed.filter_map(|nic| {
        let ip = nic.address.ip?;
        let outside = !networks.get(&ip).is_some_and(|n| n.contains(&ip));
        outside.then(|| Fault {
            key: static_key(nic.boots).to_string(),
            message: format!("no subnet of the site holds {ip}, so that the length of its prefix is not known"),
            help: format!(
                "declare the network in farrier.toml, also with `dhcp.mode = \"off\"`: `[[subnet]]`, `network = \"{}\"`",
                Ipv4Net::new_assert(ip, 24).trunc()
            ),
        })
    });
    unknown.collect()
}

/// Addresses that a bond does not take over: it has one, its booting member's or else its first one's.
fn lost(system: &System, intent: &Intent) -> Vec<Fault> {
    let nics = nics(system, intent, system.ip());
    let mut faults = Vec::new();
    for bond in bonds(intent, &nics) {
        let name = bond.name;
        for nic in nics.iter().filter(|n| n.bond == Some(name)) {
            let six = nic.address.ip6.filter(|ip6| bond.address.ip6 != Some(*ip6));
            let own = nic.address.ip.filter(|ip| {
                nic.address.fixed && (bond.address.ip != Some(*ip) || !bond.address.fixed)
            });
            let lost = [
                (static_key(nic.boots), own.map(|ip| ip.to_string())),
                ("interface.ip6", six.map(|net| net.to_string())),
            ];
            for (key, address) in lost {
                let Some(address) = address else { continue };
                faults.push(Fault {
                    key: key.to_string(),
                    message: format!(
                        "{} is in the bond `{name}`, which has another address than its {address}",
                        nic.mac
                    ),
                    help: "a bond has the address of the member that boots, else of the first that has one: leave the others without"
                        .to_string(),
                });
            }
        }
    }
    faults
}

/// What of the network does not go together with the system's own interfaces.
pub(super) fn faults(system: &System, intent: &Intent) -> Vec<Fault> {
    let mut faults = lost(system, intent);
    let mut fault = |key: String, message: String, help: &str| {
        let help = help.to_string();
        faults.push(Fault { key, message, help });
    };
    let mut member_of: BTreeMap<MacAddr, &str> = BTreeMap::new();
    for (name, bond) in &intent.network.bond {
        for mac in &bond.interfaces {
            let key = format!("network.bond.{name}.interfaces");
            if system.interface(*mac).is_none() {
                fault(
                    key,
                    format!(
                        "the bond `{name}` has {mac}, which is no interface of `{}`",
                        system.name
                    ),
                    "name interfaces that the system declares",
                );
            } else if let Some(other) = member_of.insert(*mac, name) {
                fault(
                    key,
                    format!("{mac} is in the bonds `{other}` and `{name}`"),
                    "remove it from one of them",
                );
            }
        }
    }
    let network = &intent.network;
    let mut names: Vec<&str> = Vec::new();
    for interface in &system.interfaces {
        let Some(name) = interface.name.as_deref() else {
            continue;
        };
        let taken = network.bond.contains_key(name) || network.vlan.contains_key(name);
        if taken || names.contains(&name) {
            fault(
                "interface.name".to_string(),
                format!("two interfaces of `{}` are called `{name}`", system.name),
                "give one of them another name",
            );
        }
        names.push(name);
    }
    faults
}
