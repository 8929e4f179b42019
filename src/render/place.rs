//! What a template may know: the typed side of the context.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use minijinja::Value;

use super::secret;

use crate::boot::Scope;
use crate::boot::paths::Urls;
use crate::model::{
    ArtefactRef, Digest, Distro, Firmware, PlannedFile, Profile, ProfileKind, Subnet, System,
};

/// Where a machine reaches this server, and what is known of it besides its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// This server's address and HTTP port as the machine reaches them.
    pub server: SocketAddrV4,
    /// The same with the HTTPS port, for the hand-off.
    pub secure: SocketAddrV4,
    /// The certificate of the authority that signs this server's, in PEM; none if no server was ever
    /// started here, so that it is not made yet.
    pub authority: Option<Arc<str>>,
    /// The subnet the machine boots in.
    pub subnet: Option<Subnet>,
    /// The address it has or will have.
    pub ip: Option<Ipv4Addr>,
    /// Its firmware, as far as it was ever seen.
    pub firmware: Option<Firmware>,
    /// The number of the build this is rendered for.
    pub epoch: u32,
    /// Digests of the distro's artefacts that are on this server.
    pub artefacts: BTreeMap<String, Digest>,
}

/// Every name a template can use. `docs/profiles.md` lists what each means. `released` says whether
/// the document may hold secrets.
pub(super) fn context(
    system: &System,
    profile: &Profile,
    distro: &Distro,
    place: &Place,
    vars: &serde_json::Map<String, serde_json::Value>,
    released: bool,
) -> Value {
    let urls = Urls {
        server: place.server,
    };
    map([
        ("system", of_system(system, place)),
        ("vars", secret::vars(vars, released)),
        (
            "profile",
            map([
                ("name", text(&profile.name)),
                ("kind", Value::from(kind(profile.kind))),
            ]),
        ),
        ("build", map([("epoch", Value::from(place.epoch))])),
        (
            "server",
            map([
                ("address", text(&place.server.ip().to_string())),
                ("url", text(&urls.base())),
            ]),
        ),
        (
            "url",
            map([
                (
                    "answer_base",
                    text(&urls.documents(Scope::Read.placeholder())),
                ),
                ("report", text(&urls.report(Scope::Report.placeholder()))),
                ("artefact", artefacts(distro, place, |f| urls.artefact(f))),
                (
                    "tree",
                    artefacts(distro, place, |f| urls.tree(&f.id, &f.digest)),
                ),
                (
                    "mirror",
                    distro
                        .mirror
                        .as_ref()
                        .map_or_else(|| Value::from(()), |name| text(&urls.mirror(name))),
                ),
            ]),
        ),
    ])
}

fn of_system(system: &System, place: &Place) -> Value {
    let subnet = place.subnet.as_ref();
    let name = system.name.as_str();
    let (hostname, own_domain) = name.split_once('.').unwrap_or((name, ""));
    let domain = if own_domain.is_empty() {
        subnet.and_then(|s| s.domain.as_deref()).unwrap_or("")
    } else {
        own_domain
    };
    let fqdn = if domain.is_empty() {
        hostname.to_string()
    } else {
        format!("{hostname}.{domain}")
    };
    let ip = place.ip.or_else(|| system.ip());
    let network = subnet.map(|s| s.network);
    // as DHCP: without a name server an installer stops at a question
    let dns: Vec<Ipv4Addr> = match subnet {
        Some(s) if !s.dns.is_empty() => s.dns.clone(),
        _ => vec![*place.server.ip()],
    };
    let addresses = |all: &[Ipv4Addr]| all.iter().map(|a| text(&a.to_string())).collect::<Value>();
    let macs = system.interfaces.iter().map(|i| text(&i.mac.to_string()));
    let interfaces = system.interfaces.iter().map(|i| {
        map([
            ("mac", text(&i.mac.to_string())),
            ("ip", optional(i.ip)),
            ("static", Value::from(i.static_ip)),
        ])
    });
    map([
        ("name", text(name)),
        ("hostname", text(hostname)),
        ("fqdn", text(&fqdn)),
        ("domain", text(domain)),
        ("mac", optional(system.first().map(|i| i.mac))),
        ("macs", macs.collect()),
        ("ip", optional(ip)),
        (
            "prefix",
            network.map_or(Value::from(()), |n| Value::from(n.prefix_len())),
        ),
        ("netmask", optional(network.map(|n| n.netmask()))),
        ("router", optional(subnet.and_then(|s| s.router))),
        ("dns", addresses(&dns)),
        ("ntp", addresses(subnet.map_or(&[], |s| s.ntp.as_slice()))),
        (
            "static",
            Value::from(ip.is_some() && system.first().is_some_and(|i| i.static_ip)),
        ),
        (
            "ssh_keys",
            system.ssh_keys.iter().map(|k| text(k)).collect(),
        ),
        ("tags", system.tags.iter().map(|t| text(t)).collect()),
        ("firmware", Value::from(firmware(place.firmware))),
        ("interfaces", interfaces.collect()),
    ])
}

/// Every artefact's URL by its name. One that is not fetched yet has a URL that nothing answers, so
/// that a profile can be checked before; no build is pinned with it.
fn artefacts(distro: &Distro, place: &Place, mint: impl Fn(&PlannedFile) -> String) -> Value {
    let url = |name: &String| {
        let file = PlannedFile {
            id: ArtefactRef {
                distro: distro.name.to_string(),
                name: name.clone(),
            },
            digest: place
                .artefacts
                .get(name)
                .copied()
                .unwrap_or(Digest([0; 32])),
            size: 0,
        };
        (name.clone(), text(&mint(&file)))
    };
    Value::from_pairs(distro.artefacts.keys().map(url))
}

fn firmware(firmware: Option<Firmware>) -> &'static str {
    match firmware {
        Some(f) if f.is_uefi() => "uefi",
        Some(f) if f.word() == "bios" => "bios",
        _ => "unknown",
    }
}

fn kind(kind: ProfileKind) -> &'static str {
    match kind {
        ProfileKind::Preseed => "preseed",
        ProfileKind::Fai => "fai",
        ProfileKind::Live => "live",
        ProfileKind::Kernel => "kernel",
        ProfileKind::Base => "base",
    }
}

fn map<const N: usize>(pairs: [(&'static str, Value); N]) -> Value {
    Value::from_pairs(pairs)
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn optional<T: ToString>(value: Option<T>) -> Value {
    value.map_or(Value::from(()), |v| text(&v.to_string()))
}
