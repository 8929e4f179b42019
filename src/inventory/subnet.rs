//! `[[subnet]]`: the networks served, and which address may be reserved where.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::field::{Field, Section};
use super::value;
use crate::model::{AddressRange, Diagnostic, Name, Subnet};

/// How long a lease lasts if nothing is said.
pub(super) const LEASE: Duration = Duration::from_secs(3600);

/// Reads every `[[subnet]]`.
pub(super) fn subnets(field: &Field<'_>) -> Vec<Subnet> {
    let mut read: Vec<(Subnet, Range<usize>)> = Vec::new();
    for element in field.elements() {
        let Some(section) = element.section("[[subnet]]") else {
            continue;
        };
        let Some((subnet, place)) = subnet(&section) else {
            continue;
        };
        let network = subnet.network;
        let other = read.iter().find(|(s, _)| {
            s.network.contains(&network.network()) || network.contains(&s.network.network())
        });
        if let Some((other, first)) = other {
            let page = section.page;
            page.report(
                Diagnostic::error(format!(
                    "the subnets {} and {network} overlap",
                    other.network
                ))
                .at(page.span(place, "this one"))
                .at(page.span(first.clone(), "overlaps this one"))
                .help("every address must belong to one subnet; make one of them smaller or remove it"),
            );
            continue;
        }
        read.push((subnet, place));
    }
    read.into_iter().map(|(subnet, _)| subnet).collect()
}

fn subnet(section: &Section<'_>) -> Option<(Subnet, Range<usize>)> {
    section.only(&[
        "network", "router", "dns", "domain", "ntp", "pool", "lease", "server",
    ]);
    let Some(field) = section.get("network") else {
        section.error(
            "a [[subnet]] has no `network`",
            "which network?",
            "add `network = \"10.77.0.0/24\"`",
        );
        return None;
    };
    let network = network(&field)?;
    let inside = |key: &str| {
        let field = section.get(key)?;
        let ip: Ipv4Addr = field.parsed("an IPv4 address")?;
        belongs(&field, ip, network, key).then_some(ip)
    };
    let router = inside("router");
    let server = inside("server");
    let addresses = |key: &str| -> Vec<Ipv4Addr> {
        let fields = section.get(key).map(|f| f.elements()).unwrap_or_default();
        let parsed = fields.iter().filter_map(|f| f.parsed("an IPv4 address"));
        parsed.collect()
    };
    let domain: Option<Name> = section.parsed("domain", "a domain name");
    let mut pool: Vec<AddressRange> = Vec::new();
    for field in section
        .get("pool")
        .map(|f| f.elements())
        .unwrap_or_default()
    {
        if let Some(range) = field.by("a range of addresses", value::range)
            && fits(&field, range, network, [router, server], &pool)
        {
            pool.push(range);
        }
    }
    let subnet = Subnet {
        network,
        router,
        dns: addresses("dns"),
        domain: domain.map(|d| d.to_string()),
        ntp: addresses("ntp"),
        pool,
        lease: section.duration("lease").unwrap_or(LEASE),
        server,
    };
    Some((subnet, field.place))
}

fn network(field: &Field<'_>) -> Option<Ipv4Net> {
    let text = field.text()?;
    let Ok(network) = text.parse::<Ipv4Net>() else {
        let help = Some("write the network and its prefix length: `10.77.0.0/24`".to_string());
        field.error(format!("`{text}` is not a network"), "not a network", help);
        return None;
    };
    if network.trunc() != network {
        let help = Some(format!("write `{}`", network.trunc()));
        field.error(
            format!("`{text}` is an address within a network, not a network"),
            "has bits set beyond its prefix",
            help,
        );
        return None;
    }
    if !(8..=30).contains(&network.prefix_len()) {
        field.error(
            format!("`{text}` cannot be served"),
            "the prefix length must be 8 to 30",
            None,
        );
        return None;
    }
    Some(network)
}

/// An address of the network that a host may have.
fn belongs(field: &Field<'_>, ip: Ipv4Addr, network: Ipv4Net, key: &str) -> bool {
    let ok = network.contains(&ip) && ip != network.network() && ip != network.broadcast();
    if !ok {
        field.error(
            format!("the {key} {ip} is not a host of {network}"),
            format!("not a host of {network}"),
            None,
        );
    }
    ok
}

fn fits(
    field: &Field<'_>,
    range: AddressRange,
    network: Ipv4Net,
    fixed: [Option<Ipv4Addr>; 2],
    others: &[AddressRange],
) -> bool {
    let shown = format!("{}-{}", range.first, range.last);
    let low = Ipv4Addr::from(u32::from(network.network()) + 1);
    let high = Ipv4Addr::from(u32::from(network.broadcast()) - 1);
    let bounds = format!("the hosts of {network} are {low} to {high}");
    if !network.contains(&range.first) || !network.contains(&range.last) {
        let label = format!("outside {network}");
        field.error(
            format!("the pool {shown} is not within {network}"),
            label,
            Some(bounds),
        );
        return false;
    }
    if range.contains(network.network()) || range.contains(network.broadcast()) {
        field.error(
            format!("the pool {shown} holds the network or broadcast address of {network}"),
            "no machine can have these",
            Some(bounds),
        );
        return false;
    }
    if let Some(ip) = fixed.into_iter().flatten().find(|ip| range.contains(*ip)) {
        field.error(
            format!("the pool {shown} holds {ip}, the router's or server's own address"),
            format!("holds {ip}"),
            Some("split the range around it".to_string()),
        );
        return false;
    }
    if others
        .iter()
        .any(|o| o.contains(range.first) || range.contains(o.first))
    {
        field.error(
            format!("the range {shown} overlaps another of the same pool"),
            "these addresses are listed twice",
            None,
        );
        return false;
    }
    true
}

/// Whether a system may have this address reserved; notes why not.
pub(super) fn may_reserve(field: &Field<'_>, ip: Ipv4Addr, subnets: &[Subnet]) -> bool {
    let Some(subnet) = subnets.iter().find(|s| s.network.contains(&ip)) else {
        if subnets.is_empty() {
            return true;
        }
        let all: Vec<String> = subnets.iter().map(|s| s.network.to_string()).collect();
        field.error(
            format!("the address {ip} is outside every subnet"),
            "no [[subnet]] holds it",
            Some(format!("farrier.toml has {}", all.join(", "))),
        );
        return false;
    };
    let owner = if subnet.router == Some(ip) {
        "the router's"
    } else if subnet.server == Some(ip) {
        "this server's"
    } else if ip == subnet.network.network() || ip == subnet.network.broadcast() {
        "the network's or broadcast"
    } else {
        return true;
    };
    field.error(
        format!("{ip} is {owner} address in {}", subnet.network),
        "taken",
        Some("reserve another address".to_string()),
    );
    false
}
