//! What a template may know: the typed side of the context.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipnet::Ipv4Net;
use minijinja::Value;

use super::handoff;
use super::intent::{self, Reads, Table, Wanted};
use super::secret;

use crate::boot::Scope;
use crate::boot::paths::{SecureUrls, Urls};
use crate::model::{
    ArtefactRef, Diagnostic, Digest, Distro, Firmware, PlannedFile, Profile, Site, Subnet, System,
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
    /// The networks of the machine's other addresses, by address.
    pub networks: BTreeMap<Ipv4Addr, Ipv4Net>,
}

impl Place {
    /// The networks of a system's other addresses than its first interface's.
    pub fn networks(site: &Site, system: &System) -> BTreeMap<Ipv4Addr, Ipv4Net> {
        let others = system.interfaces.iter().skip(1).filter_map(|i| i.ip);
        others
            .filter_map(|ip| Some((ip, site.subnet_of(ip)?.network)))
            .collect()
    }
}

/// What a system is rendered from besides its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) system: &'a System,
    pub(super) profile: &'a Profile,
    pub(super) distro: &'a Distro,
    pub(super) vars: &'a serde_json::Map<String, serde_json::Value>,
    pub(super) wanted: &'a Wanted,
}

/// Every name a template can use. `docs/profiles.md` lists what each means. `released` says whether
/// the document may hold secrets; `intent` is what [`intent_of`] gives.
pub(super) fn context(
    inputs: &Inputs<'_>,
    place: &Place,
    released: bool,
    reads: &Reads,
    intent: &intent::Values,
) -> Value {
    let Inputs {
        system,
        profile,
        distro,
        vars,
        ..
    } = *inputs;
    let urls = Urls {
        server: place.server,
    };
    let secure = SecureUrls {
        server: place.secure,
    };
    let authority = place.authority.as_deref().unwrap_or(handoff::NO_AUTHORITY);
    let context = Table::new(reads)
        .has("system", of_system(system, place, reads))
        .has("vars", secret::vars(vars, released))
        .has(
            "profile",
            map([
                ("name", text(&profile.name)),
                ("kind", Value::from(profile.kind.word())),
            ]),
        )
        .has("build", map([("epoch", Value::from(place.epoch))]))
        .has(
            "server",
            map([
                ("address", text(&place.server.ip().to_string())),
                ("url", text(&urls.base())),
                ("secure_url", text(&secure.base())),
                ("secure_port", Value::from(place.secure.port())),
                ("authority", text(authority.trim_end())),
            ]),
        )
        .has(
            "url",
            map([
                (
                    "answer_base",
                    text(&urls.documents(Scope::Read.placeholder())),
                ),
                ("report", text(&urls.report(Scope::Report.placeholder()))),
                (
                    "secure_report",
                    text(&secure.report(Scope::Report.placeholder())),
                ),
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
        );
    intent.add_to(context).done()
}

/// The intent as every document of a system sees it; `reads` learns what of it templates read.
///
/// # Errors
/// What it says that does not go together with the system.
pub(super) fn intent_of(
    inputs: &Inputs<'_>,
    place: &Place,
    reads: &Reads,
) -> Result<intent::Values, Vec<Diagnostic>> {
    let system = inputs.system;
    let mut networks = place.networks.clone();
    if let (Some(ip), Some(subnet)) = (booting_ip(system, place), &place.subnet) {
        networks.insert(ip, subnet.network);
    }
    let ground = intent::Ground {
        system,
        profile: inputs.profile,
        wanted: inputs.wanted,
        ip: booting_ip(system, place),
        networks: &networks,
    };
    intent::values(&ground, reads)
}

/// The address of the interface that the machine is installed through, as far as it is known.
fn booting_ip(system: &System, place: &Place) -> Option<Ipv4Addr> {
    place.ip.or_else(|| system.ip())
}

/// A system's full name: as declared if that has dots, else with its subnet's domain.
pub fn fqdn(system: &System, subnet: Option<&Subnet>) -> String {
    match host_and_domain(system, subnet) {
        (hostname, "") => hostname.to_string(),
        (hostname, domain) => format!("{hostname}.{domain}"),
    }
}

fn host_and_domain<'a>(system: &'a System, subnet: Option<&'a Subnet>) -> (&'a str, &'a str) {
    match system.name.split_once('.') {
        Some((hostname, domain)) => (hostname, domain),
        None => {
            let domain = subnet.and_then(|s| s.domain.as_deref());
            (system.name.as_str(), domain.unwrap_or(""))
        }
    }
}

fn of_system(system: &System, place: &Place, reads: &Reads) -> Value {
    let subnet = place.subnet.as_ref();
    let name = system.name.as_str();
    let (hostname, domain) = host_and_domain(system, subnet);
    let fqdn = fqdn(system, subnet);
    let ip = booting_ip(system, place);
    let network = subnet.map(|s| s.network);
    // as DHCP: without a name server an installer stops at a question
    let dns: Vec<Ipv4Addr> = match subnet {
        Some(s) if !s.dns.is_empty() => s.dns.clone(),
        _ => vec![*place.server.ip()],
    };
    let addresses = |all: &[Ipv4Addr]| all.iter().map(|a| text(&a.to_string())).collect::<Value>();
    let macs = system.interfaces.iter().map(|i| text(&i.mac.to_string()));
    let interfaces = system.interfaces.iter().enumerate().map(|(at, i)| {
        Table::new(reads)
            .has("mac", text(&i.mac.to_string()))
            .has("ip", optional(i.ip))
            .says("static", i.static_ip, [intent::static_key(at == 0)])
            .done()
    });
    let fixed = ip.is_some() && system.first().is_some_and(|i| i.static_ip);
    let prefix = network.map_or(Value::from(()), |n| Value::from(n.prefix_len()));
    let keys: Value = system.ssh_keys.iter().map(|k| text(k)).collect();
    let tags: Value = system.tags.iter().map(|t| text(t)).collect();
    Table::new(reads)
        .has("name", text(name))
        .has("hostname", text(hostname))
        .has("fqdn", text(&fqdn))
        .has("domain", text(domain))
        .has("mac", optional(system.first().map(|i| i.mac)))
        .has("macs", macs.collect::<Value>())
        .has("ip", optional(ip))
        .has("prefix", prefix)
        .has("netmask", optional(network.map(|n| n.netmask())))
        .has("router", optional(subnet.and_then(|s| s.router)))
        .has("dns", addresses(&dns))
        .says(
            "ntp",
            addresses(subnet.map_or(&[], |s| s.ntp.as_slice())),
            ["ntp"],
        )
        .says("static", fixed, ["static_ip"])
        .says("ssh_keys", keys, ["ssh_keys"])
        .has("tags", tags)
        .has("firmware", firmware(place.firmware))
        .has("interfaces", interfaces.collect::<Value>())
        .done()
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

fn map<const N: usize>(pairs: [(&'static str, Value); N]) -> Value {
    Value::from_pairs(pairs)
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn optional<T: ToString>(value: Option<T>) -> Value {
    value.map_or(Value::from(()), |v| text(&v.to_string()))
}
