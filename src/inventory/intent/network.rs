//! `[network]`, and what an interface's own table says of the installed system.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use serde_json::{Map, Value as Json};

use super::{named, said, title, words};
use crate::inventory::field::{Field, Section};
use crate::model::MacAddr;
use crate::model::intent::BOND_MODES;

const NAMES: &str = "use at most 15 letters, digits and `-_.`, and begin with a letter";

pub(super) fn network(section: &Section<'_>) -> Map<String, Json> {
    section.only(&["ipv6", "bond", "vlan"]);
    let ipv6 = section
        .get("ipv6")
        .and_then(|f| words::one_of(&f, &["off", "auto", "dhcp"]));
    let tables = |key: &str, what: &str, read: fn(&str, &Section<'_>) -> Map<String, Json>| {
        let inner = section.section(key, title(section, key))?;
        Some(Json::Object(named(
            &inner,
            what,
            words::is_interface,
            NAMES,
            read,
        )))
    };
    said([
        ("ipv6", ipv6),
        ("bond", tables("bond", "the name of a bond", |_, s| bond(s))),
        ("vlan", tables("vlan", "the name of a VLAN", |_, s| vlan(s))),
    ])
}

fn bond(section: &Section<'_>) -> Map<String, Json> {
    section.only(&["interfaces", "mode"]);
    said([
        ("interfaces", section.get("interfaces").map(|f| members(&f))),
        (
            "mode",
            section
                .get("mode")
                .and_then(|f| words::one_of(&f, &BOND_MODES)),
        ),
    ])
}

fn members(field: &Field<'_>) -> Json {
    let mut macs: Vec<MacAddr> = Vec::new();
    for element in field.elements() {
        let Some(mac) = element.parsed::<MacAddr>("a MAC address") else {
            continue;
        };
        match macs.contains(&mac) {
            true => element.error(
                format!("{mac} is in this bond twice"),
                "listed before",
                Some("remove one of them".to_string()),
            ),
            false => macs.push(mac),
        }
    }
    macs.iter().map(MacAddr::to_string).collect()
}

fn vlan(section: &Section<'_>) -> Map<String, Json> {
    section.only(&["link", "id", "ip", "router"]);
    let link = section.get("link").and_then(|f| {
        let text = f.text()?;
        if text.is_empty() {
            return Some(Json::from(""));
        }
        words::word(&f, "the name of a bond", words::is_interface, NAMES).map(Json::from)
    });
    let ip = section
        .get("ip")
        .and_then(|f| prefix4(&f))
        .map(|net| Json::from(net.to_string()));
    let router = section
        .get("router")
        .and_then(|f| f.parsed::<Ipv4Addr>("an IPv4 address"))
        .map(|ip| Json::from(ip.to_string()));
    let id = section.get("id").and_then(|f| f.integer(1..=4094));
    said([
        ("link", link),
        ("id", id.map(Json::from)),
        ("ip", ip),
        ("router", router),
    ])
}

/// An IPv4 address with the length of its prefix.
fn prefix4(field: &Field<'_>) -> Option<Ipv4Net> {
    let text = field.text()?;
    let net: Option<Ipv4Net> = text.parse().ok();
    let host = |net: &Ipv4Net| {
        net.prefix_len() > 30 || (net.addr() != net.network() && net.addr() != net.broadcast())
    };
    let usable = |net: &Ipv4Net| !net.addr().is_unspecified() && !net.addr().is_multicast();
    match net {
        Some(net) if text.contains('/') && host(&net) && usable(&net) => Some(net),
        _ => {
            field.error(
                format!("`{text}` is not the address of a host in its network"),
                "not an address with a prefix",
                Some("write it as `10.20.0.5/24`".to_string()),
            );
            None
        }
    }
}

/// An IPv6 address with the length of its prefix.
pub(in crate::inventory) fn prefix6(field: &Field<'_>) -> Option<Box<Ipv6Net>> {
    let text = field.text()?;
    let net: Option<Ipv6Net> = text.parse().ok();
    let usable = |net: &Ipv6Net| {
        !net.addr().is_unspecified() && !net.addr().is_multicast() && !net.addr().is_loopback()
    };
    match net {
        Some(net) if text.contains('/') && usable(&net) => Some(Box::new(net)),
        _ => {
            field.error(
                format!("`{text}` is not an IPv6 address with the length of its prefix"),
                "not an address with a prefix",
                Some("write it as `2001:db8::5/64`".to_string()),
            );
            None
        }
    }
}

/// The name of an interface in the installed system.
pub(in crate::inventory) fn interface_name(field: &Field<'_>) -> Option<Box<str>> {
    words::word(
        field,
        "the name of an interface",
        words::is_interface,
        NAMES,
    )
    .map(Into::into)
}
