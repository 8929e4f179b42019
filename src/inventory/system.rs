//! `[defaults]` and `[system.NAME]`: what is declared of a machine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::disk::disk;
use super::field::{Field, Section};
use super::intent::{self, partial};
use super::subnet::may_reserve;
use super::suggest::instead;
use crate::model::{
    Diagnostic, DiskRule, Interface, MacAddr, Name, Partial, ProfileKind, Subnet, System,
};

/// The keys of a system.
pub(super) const KEYS: [&str; 20] = [
    "mac",
    "macs",
    "interface",
    "ip",
    "static_ip",
    "profile",
    "tags",
    "vars",
    "disk",
    "wipe",
    "bmc",
    "protected",
    "secure_boot",
    "ssh_keys",
    "packages",
    "locale",
    "storage",
    "network",
    "users",
    "repository",
];
/// The keys of `[defaults]`.
const DEFAULT_KEYS: [&str; 14] = [
    "profile",
    "tags",
    "vars",
    "ssh_keys",
    "disk",
    "protected",
    "secure_boot",
    "static_ip",
    "packages",
    "locale",
    "storage",
    "network",
    "users",
    "repository",
];
const BMC_KEYS: [&str; 6] = ["redfish", "ipmi", "wol", "hook", "user", "password"];

/// The longest tag in bytes.
const MAX_TAG: usize = 64;

/// `[defaults]`: what systems have that do not say otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Defaults {
    pub(super) profile: Option<Name>,
    /// A profile is named and refused, or `[defaults]` cannot be read: systems that rely on it are
    /// not blamed.
    pub(super) profile_refused: bool,
    pub(super) tags: Vec<String>,
    /// Weaker than any profile's, so they are merged there.
    pub(super) vars: Map<String, Json>,
    /// Likewise weaker than any profile's.
    pub(super) intent: Partial,
    pub(super) ssh_keys: Vec<String>,
    pub(super) disk: Option<DiskRule>,
    pub(super) protected: bool,
    pub(super) secure_boot: bool,
    pub(super) static_ip: bool,
}

/// What an entry is checked against.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) defaults: &'a Defaults,
    /// Every folder of `profiles/`, with its kind if it is sound.
    pub(super) profiles: &'a BTreeMap<Name, Option<ProfileKind>>,
    pub(super) subnets: &'a [Subnet],
}

/// Reads `[defaults]`.
pub(super) fn defaults(
    section: &Section<'_>,
    profiles: &BTreeMap<Name, Option<ProfileKind>>,
) -> Defaults {
    section.only(&DEFAULT_KEYS);
    let named = section.get("profile");
    let profile = named.as_ref().and_then(|f| profile(f, profiles));
    Defaults {
        profile_refused: named.is_some() && profile.is_none(),
        profile,
        tags: section.get("tags").map(|f| tags(&f)).unwrap_or_default(),
        vars: section
            .get("vars")
            .and_then(|f| vars(&f))
            .unwrap_or_default(),
        ssh_keys: section
            .get("ssh_keys")
            .map(|f| ssh_keys(&f))
            .unwrap_or_default(),
        disk: section
            .get("disk")
            .and_then(|f| disk(&f, "`disk` of [defaults]")),
        intent: partial(section),
        protected: section.boolean("protected").unwrap_or(false),
        secure_boot: section.boolean("secure_boot").unwrap_or(false),
        static_ip: section.boolean("static_ip").unwrap_or(false),
    }
}

/// Reads one system, and notes everything that is wrong with it. A faulty one is returned all the
/// same, so that its addresses take part in the search for duplicates; no site is made of it.
pub(super) fn system(field: &Field<'_>, ground: &Ground<'_>) -> Option<System> {
    let defaults = ground.defaults;
    let written = field.key;
    let section = field.section(format!("[system.{written}]"))?;
    let name: Option<Name> = match written.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let error: crate::model::name::NameError = error;
            field.error(error.to_string(), "not a name", None);
            None
        }
    };
    known_keys(&section, written);
    let interfaces = interfaces(&section, written, ground);
    let profile = match section.get("profile") {
        Some(field) => profile(&field, ground.profiles),
        None => {
            if defaults.profile.is_none() && !defaults.profile_refused {
                section.error(
                    format!("the system `{written}` has no profile"),
                    "no `profile` here",
                    "add `profile = \"NAME\"` here or under [defaults]",
                );
            }
            defaults.profile.clone()
        }
    };
    let said = partial(&section);
    let name = name?;
    Some(System {
        // Without a profile it is faulty, and nobody will look for this one.
        profile: profile.unwrap_or_else(|| name.clone()),
        name,
        interfaces,
        tags: match section.get("tags") {
            Some(field) => tags(&field),
            None => defaults.tags.clone(),
        },
        vars: section
            .get("vars")
            .and_then(|f| vars(&f))
            .unwrap_or_default(),
        intent: (!said.is_empty()).then(|| Arc::new(said)),
        disk: match section.get("disk") {
            Some(field) => disk(&field, &format!("`disk` of [system.{written}]")),
            None => defaults.disk.clone(),
        },
        wipe: section.boolean("wipe").unwrap_or(false),
        protected: section.boolean("protected").unwrap_or(defaults.protected),
        secure_boot: section
            .boolean("secure_boot")
            .unwrap_or(defaults.secure_boot),
        ssh_keys: match section.get("ssh_keys") {
            Some(field) => ssh_keys(&field),
            None => defaults.ssh_keys.clone(),
        },
        broken: None,
        bmc: section.get("bmc").and_then(|f| bmc(&f, written)),
    })
}

/// As [`Section::only`], with a hint for names that have dots.
fn known_keys(section: &Section<'_>, written: &str) {
    for field in section.fields() {
        if KEYS.contains(&field.key) {
            continue;
        }
        let key = field.key;
        let help = if field.is_table() && super::suggest::suggest(key, KEYS).is_none() {
            Some(format!(
                "if the system is called `{written}.{key}`, write `[system.\"{written}.{key}\"]`"
            ))
        } else {
            instead(key, KEYS)
        };
        let span = section
            .page
            .span(section.key_place(key), "not a key of a system");
        let problem =
            Diagnostic::error(format!("unknown key `{key}` in [system.{written}]")).at(span);
        section.page.report(super::field::with_help(problem, help));
    }
}

fn interfaces(section: &Section<'_>, written: &str, ground: &Ground<'_>) -> Vec<Interface> {
    let given: Vec<Field<'_>> = ["mac", "macs", "interface"]
        .into_iter()
        .filter_map(|key| section.get(key))
        .collect();
    let [source] = given.as_slice() else {
        if let [_, second, ..] = given.as_slice() {
            second.error(
                format!("the system `{written}` names its interfaces twice"),
                "a second list of interfaces",
                Some("keep one of `mac`, `macs` and `interface`".to_string()),
            );
        } else {
            section.error(
                format!("the system `{written}` has no MAC address"),
                "no `mac` here",
                "add `mac = \"52:54:00:12:34:56\"`",
            );
        }
        return Vec::new();
    };
    let of_tables = source.key == "interface";
    let ip = section.get("ip");
    if let (true, Some(field)) = (of_tables, &ip) {
        field.error(
            "an address beside `interface` tables belongs to none of them",
            "to which interface?",
            Some("move it into one of the tables".to_string()),
        );
    }
    let own_static = section.get("static_ip");
    let is_static = own_static.as_ref().and_then(Field::boolean);
    let mut interfaces: Vec<Interface> = Vec::new();
    for (number, element) in source.elements().iter().enumerate() {
        let interface = if of_tables {
            let Some(table) = element.section(format!("an interface of [system.{written}]")) else {
                continue;
            };
            interface(&table, is_static, ground)
        } else {
            let address = ip.as_ref().filter(|_| number == 0);
            element.parsed::<MacAddr>("a MAC address").map(|mac| {
                let ip = address.and_then(|f| reserved(f, ground));
                let wanted = is_static.unwrap_or(ground.defaults.static_ip);
                Interface {
                    mac,
                    ip,
                    static_ip: wanted && ip.is_some(),
                    name: None,
                    ip6: None,
                }
            })
        };
        let Some(interface) = interface else { continue };
        if interfaces.iter().any(|i| i.mac == interface.mac) {
            let table = element.is_table().then(|| element.section("")).flatten();
            let second = table.and_then(|t| t.get("mac")).unwrap_or(element.clone());
            second.error(
                format!("`{written}` has the MAC address {} twice", interface.mac),
                "listed before",
                Some("remove one of them".to_string()),
            );
            continue;
        }
        interfaces.push(interface);
    }
    if let Some(field) = own_static
        && is_static == Some(true)
        && !of_tables
        && ip.is_none()
    {
        field.error(
            "`static_ip` needs an address",
            "no `ip` to make static",
            Some("add `ip = \"...\"`".to_string()),
        );
    }
    if interfaces.is_empty() && source.elements().is_empty() {
        source.error(
            format!("the system `{written}` has no MAC address"),
            "an empty list",
            Some("write at least one".to_string()),
        );
    }
    // A vector begins with room for four, and nearly every system has one.
    interfaces.shrink_to_fit();
    interfaces
}

fn interface(
    table: &Section<'_>,
    is_static: Option<bool>,
    ground: &Ground<'_>,
) -> Option<Interface> {
    table.only(&["mac", "ip", "static_ip", "name", "ip6"]);
    let ip = table.get("ip").and_then(|f| reserved(&f, ground));
    let own = table.boolean("static_ip");
    if own == Some(true) && !table.table.contains_key("ip") {
        table.error(
            "`static_ip` needs an address",
            "no `ip` here",
            "add `ip = \"...\"`",
        );
    }
    let Some(mac) = table.get("mac") else {
        table.error(
            "an interface has no MAC address",
            "no `mac` here",
            "add `mac = \"52:54:00:12:34:56\"`",
        );
        return None;
    };
    let wanted = own.or(is_static).unwrap_or(ground.defaults.static_ip);
    Some(Interface {
        mac: mac.parsed("a MAC address")?,
        ip,
        static_ip: wanted && ip.is_some(),
        name: table.get("name").and_then(|f| intent::interface_name(&f)),
        ip6: table.get("ip6").and_then(|f| intent::prefix6(&f)),
    })
}

fn reserved(field: &Field<'_>, ground: &Ground<'_>) -> Option<Ipv4Addr> {
    let ip: Ipv4Addr = field.parsed("an IPv4 address")?;
    may_reserve(field, ip, ground.subnets).then_some(ip)
}

fn profile(field: &Field<'_>, profiles: &BTreeMap<Name, Option<ProfileKind>>) -> Option<Name> {
    let text = field.text()?;
    // Looked up in lower case, as names are kept; and shared, because 100,000 systems name few profiles.
    let found = profiles.get_key_value(text.to_ascii_lowercase().as_str());
    match found {
        Some((name, Some(ProfileKind::Base))) => {
            field.error(
                format!("the profile `{name}` is a base for others and is never built itself"),
                "has `kind = \"base\"`",
                Some("name a profile that inherits from it".to_string()),
            );
            None
        }
        Some((name, _)) => Some(name.clone()),
        None => {
            field.error(
                format!("there is no profile `{text}`"),
                "no such folder under `profiles/`",
                instead(text, profiles.keys().map(Name::as_str)),
            );
            None
        }
    }
}

fn tags(field: &Field<'_>) -> Vec<String> {
    let tag = |field: &Field<'_>| -> Option<String> {
        let tag = field.word()?;
        let ok = (1..=MAX_TAG).contains(&tag.len())
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.:/=+".contains(&b));
        if !ok {
            let help = "use letters, digits and `-_.:/=+`".to_string();
            field.error(format!("`{tag}` is not a tag"), "not one word", Some(help));
            return None;
        }
        Some(tag.to_string())
    };
    let mut tags: Vec<String> = Vec::new();
    for found in field.elements().iter().filter_map(tag) {
        if !tags.contains(&found) {
            tags.push(found);
        }
    }
    tags
}

fn vars(field: &Field<'_>) -> Option<Map<String, Json>> {
    field.section("`vars`")?;
    match field.json()? {
        Json::Object(vars) => Some(vars),
        _ => None,
    }
}

pub(super) fn ssh_keys(field: &Field<'_>) -> Vec<String> {
    let key = |field: &Field<'_>| -> Option<String> {
        let key = field.word()?.trim();
        let mut parts = key.split_whitespace();
        let kind = parts.next().unwrap_or("");
        let known = ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|p| kind.starts_with(p));
        if !known || parts.next().is_none() {
            let help = "write one line as in `id_ed25519.pub`: type, key, comment".to_string();
            field.error(
                "this is not a public key",
                "not `ssh-ed25519 AAAA...`",
                Some(help),
            );
            return None;
        }
        Some(key.to_string())
    };
    field.elements().iter().filter_map(key).collect()
}

fn bmc(field: &Field<'_>, written: &str) -> Option<Json> {
    let section = field.section(format!("`bmc` of [system.{written}]"))?;
    section.only(&BMC_KEYS);
    if let Some(password) = section.get("password") {
        let reference =
            "write `password = { secret = \"NAME\" }` and keep the value out of the site";
        if !password.is_table() {
            password.error(
                format!("the password of `{written}`'s management controller stands in the file"),
                "a secret in plain text",
                Some(reference.to_string()),
            );
            return None;
        }
        let inner = password.section("`password`")?;
        inner.only(&["secret"]);
        match inner.get("secret") {
            Some(secret) => _ = secret.word()?,
            None => inner.error(
                "`password` names no secret",
                "`secret` is missing",
                reference,
            ),
        }
    }
    field.json()
}
