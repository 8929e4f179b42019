//! The intent as values of templates. `docs/profiles.md` lists what each means.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use minijinja::Value;

use super::keyboard::Keyboard;
use super::links::{Address, Bonded, Nic, bonds, faults, nics, unknown_networks};
use super::watch::{Reads, Table};
use super::{Wanted, told};
use crate::model::intent::{Intent, ROOT, Repository, Storage, User};
use crate::model::{Diagnostic, DiskRule, Profile, System};

/// What the values are made from.
#[derive(Debug, Clone, Copy)]
pub(in crate::render) struct Ground<'a> {
    pub(in crate::render) system: &'a System,
    pub(in crate::render) profile: &'a Profile,
    pub(in crate::render) wanted: &'a Wanted,
    /// The booting interface's address, as far as it is known.
    pub(in crate::render) ip: Option<Ipv4Addr>,
    /// Networks of the site that hold addresses of the system, by address.
    pub(in crate::render) networks: &'a BTreeMap<Ipv4Addr, Ipv4Net>,
}

/// The intent by the names that templates have for it.
#[derive(Debug)]
pub(in crate::render) struct Values {
    disk: Value,
    locale: Value,
    storage: Value,
    network: Value,
    users: Value,
    packages: Value,
    repositories: Value,
}

impl Values {
    /// Adds all of them to a context.
    pub(in crate::render) fn add_to(&self, context: Table) -> Table {
        context
            .has("disk", self.disk.clone())
            .has("locale", self.locale.clone())
            .has("storage", self.storage.clone())
            .has("network", self.network.clone())
            .has("users", self.users.clone())
            .says("packages", self.packages.clone(), ["packages"])
            .has("repositories", self.repositories.clone())
    }
}

/// Makes them.
///
/// # Errors
/// What does not go together with the system's own interfaces.
pub(in crate::render) fn values(
    ground: &Ground<'_>,
    reads: &Reads,
) -> Result<Values, Vec<Diagnostic>> {
    let intent = &ground.wanted.intent;
    let mut wrong = faults(ground.system, intent);
    if ground.profile.kind.installs() {
        wrong.extend(unknown_networks(
            ground.system,
            intent,
            ground.ip,
            ground.networks,
        ));
    }
    if !wrong.is_empty() {
        return Err(wrong.into_iter().map(told).collect());
    }
    let packages: Value = intent
        .packages
        .iter()
        .map(|p| Value::from(p.as_str()))
        .collect();
    let repositories = intent.repositories.iter();
    let repositories = repositories.map(|(n, r)| repository(n, r, ground.profile, reads));
    let rule = ground.system.disk.as_ref().unwrap_or(&ground.profile.disk);
    Ok(Values {
        disk: disk(rule, intent.storage.second.as_ref(), reads),
        locale: locale(intent, reads),
        storage: storage(&intent.storage, reads),
        network: network(ground, reads),
        users: users(intent, ground.system, reads),
        packages,
        repositories: repositories.collect(),
    })
}

fn locale(intent: &Intent, reads: &Reads) -> Value {
    let locale = &intent.locale;
    Table::new(reads)
        .says("language", locale.language.as_str(), ["locale.language"])
        .says("keyboard", locale.keyboard.as_str(), ["locale.keyboard"])
        .has("keyboards", keyboards(&locale.keyboard, reads))
        .says("timezone", locale.timezone.as_str(), ["locale.timezone"])
        .done()
}

/// The same keyboard in the words of those that name keyboards otherwise; none where they have no word.
fn keyboards(keymap: &str, reads: &Reads) -> Value {
    let optional = |text: Option<&str>| text.map_or(Value::from(()), Value::from);
    let known = Keyboard::of(keymap);
    let key = ["locale.keyboard"];
    let xkb = known.map(|known| {
        Table::new(reads)
            .says("layout", known.layout, key)
            .says("variant", known.variant, key)
            .says("name", known.name(), key)
            .done()
    });
    Table::new(reads)
        .says("xkb", xkb.unwrap_or_else(|| Value::from(())), key)
        .says(
            "debian",
            known
                .and_then(|k| k.debian())
                .map_or(Value::from(()), Value::from),
            key,
        )
        .says("yast", optional(known.and_then(|k| k.yast)), key)
        .says("proxmox", optional(known.and_then(|k| k.proxmox)), key)
        .done()
}

fn storage(storage: &Storage, reads: &Reads) -> Value {
    let tang = storage.tang.iter().map(|server| {
        Table::new(reads)
            .says("url", server.url.as_str(), ["storage.tang.*.url"])
            .says(
                "thumbprint",
                server.thumbprint.as_str(),
                ["storage.tang.*.thumbprint"],
            )
            .done()
    });
    Table::new(reads)
        .says("layout", storage.layout.word(), ["storage.layout"])
        .says("raid", storage.raid.word(), ["storage.raid"])
        .says(
            "filesystem",
            storage.filesystem.word(),
            ["storage.filesystem"],
        )
        .says("swap_mib", storage.swap_mib, ["storage.swap"])
        .says("encrypt", storage.encrypt.word(), ["storage.encrypt"])
        .says("tang", tang.collect::<Value>(), ["storage.tang"])
        .says("volumes", volumes(storage, reads), ["storage.volumes"])
        .done()
}

fn volumes(storage: &Storage, reads: &Reads) -> Value {
    let mut names: Vec<String> = Vec::new();
    let volumes = storage.all();
    let table = volumes.iter().map(|volume| {
        // `/var/log` and `/var_log` differ by a number.
        let base = volume.name();
        let tried = (1..).map(|n| {
            if n == 1 {
                base.clone()
            } else {
                format!("{base}_{n}")
            }
        });
        let name = tried
            .into_iter()
            .find(|n| !names.contains(n))
            .unwrap_or_default();
        names.push(name.clone());
        let filesystem = volume.filesystem.unwrap_or(storage.filesystem);
        Table::new(reads)
            .says("mount", volume.mount.as_str(), ["storage.volumes.*.mount"])
            .says(
                "size_mib",
                volume.size_mib.map_or(Value::from(()), Value::from),
                ["storage.volumes.*.size"],
            )
            .says(
                "rest",
                volume.size_mib.is_none(),
                ["storage.volumes.*.size"],
            )
            .says(
                "filesystem",
                filesystem.word(),
                ["storage.volumes.*.filesystem", "storage.filesystem"],
            )
            .has("name", name)
            .done()
    });
    table.collect()
}

/// A disk rule, and within it that of the second disk.
fn disk(rule: &DiskRule, second: Option<&DiskRule>, reads: &Reads) -> Value {
    let none = DiskRule::default();
    let other = rule_values(second.unwrap_or(&none), |_| "storage.second", reads);
    rule_values(rule, |key| key, reads)
        .has("second", other.done())
        .done()
}

fn rule_values(
    rule: &DiskRule,
    key: impl Fn(&'static str) -> &'static str,
    reads: &Reads,
) -> Table {
    let text = |value: &Option<String>| value.as_deref().map_or(Value::from(()), Value::from);
    let size = |value: Option<u64>| value.map_or(Value::from(()), Value::from);
    Table::new(reads)
        .says("serial", text(&rule.serial), [key("disk.serial")])
        .says("wwn", text(&rule.wwn), [key("disk.wwn")])
        .says("path", text(&rule.path), [key("disk.path")])
        .says("model", text(&rule.model), [key("disk.model")])
        .says("min_size", size(rule.min_size), [key("disk.min_size")])
        .says("max_size", size(rule.max_size), [key("disk.max_size")])
}

fn network(ground: &Ground<'_>, reads: &Reads) -> Value {
    let intent = &ground.wanted.intent;
    let nics = nics(ground.system, intent, ground.ip);
    let bonds = bonds(intent, &nics);
    let nic = |nic: &Nic<'_>| {
        let table = Table::new(reads)
            .has("mac", nic.mac.to_string())
            .says(
                "name",
                nic.name.map_or(Value::from(()), Value::from),
                ["interface.name"],
            )
            .says(
                "bond",
                nic.bond.map_or(Value::from(()), Value::from),
                nic.bond
                    .map(|bond| format!("network.bond.{bond}.interfaces")),
            )
            .has("boots", nic.boots);
        addressed(table, nic.address, nic.boots, ground).done()
    };
    let booting = bonds.iter().find(|b| b.boots).map_or("", |b| b.name);
    let vlans = intent.network.vlan.iter().map(|(name, vlan)| {
        let key = |of: &str| format!("network.vlan.{name}.{of}");
        let none = || Value::from(());
        let link = match vlan.link.as_str() {
            "" => booting,
            link => link,
        };
        let ip = vlan.ip;
        Table::new(reads)
            .says("name", name.as_str(), [format!("network.vlan.{name}")])
            .says("link", link, [key("link")])
            .says("id", vlan.id, [key("id")])
            .says(
                "ip",
                ip.map_or_else(none, |n| Value::from(n.addr().to_string())),
                [key("ip")],
            )
            .says(
                "prefix",
                ip.map_or_else(none, |n| Value::from(n.prefix_len())),
                [key("ip")],
            )
            .says(
                "netmask",
                ip.map_or_else(none, |n| Value::from(n.netmask().to_string())),
                [key("ip")],
            )
            .says(
                "router",
                vlan.router
                    .map_or_else(none, |r| Value::from(r.to_string())),
                [key("router")],
            )
            .done()
    });
    Table::new(reads)
        .says("ipv6", intent.network.ipv6.word(), ["network.ipv6"])
        .has("interfaces", nics.iter().map(nic).collect::<Value>())
        .has(
            "bonds",
            bonds
                .iter()
                .map(|b| bond(b, ground, reads))
                .collect::<Value>(),
        )
        .has("vlans", vlans.collect::<Value>())
        .done()
}

fn bond(bonded: &Bonded<'_>, ground: &Ground<'_>, reads: &Reads) -> Value {
    let name = bonded.name;
    let said = ground.wanted.intent.network.bond.get(name);
    let members = said.map(|b| b.interfaces.as_slice()).unwrap_or_default();
    let members = members.iter().map(|m| Value::from(m.to_string()));
    let table = Table::new(reads)
        .says("name", name, [format!("network.bond.{name}")])
        .says(
            "interfaces",
            members.collect::<Value>(),
            [format!("network.bond.{name}.interfaces")],
        )
        .says(
            "mode",
            said.map_or("", |b| b.mode.as_str()),
            [format!("network.bond.{name}.mode")],
        )
        .has("boots", bonded.boots);
    addressed(table, bonded.address, bonded.boots, ground).done()
}

fn addressed(table: Table, address: Address, boots: bool, ground: &Ground<'_>) -> Table {
    // Whoever gives the first interface its address has not yet given the others theirs.
    let fixed = static_key(boots);
    let network = address.ip.and_then(|ip| ground.networks.get(&ip));
    let none = || Value::from(());
    let ip6 = |net: Ipv6Net| Value::from(net.to_string());
    table
        .has(
            "ip",
            address
                .ip
                .map_or_else(none, |ip| Value::from(ip.to_string())),
        )
        .has(
            "prefix",
            network.map_or_else(none, |n| Value::from(n.prefix_len())),
        )
        .has(
            "netmask",
            network.map_or_else(none, |n| Value::from(n.netmask().to_string())),
        )
        .says("static", address.fixed, [fixed])
        .says("dhcp", address.dhcp, [fixed])
        .says("ip6", address.ip6.map_or_else(none, ip6), ["interface.ip6"])
}

/// The key that says that an address is set without DHCP: of the interface that boots, or of another.
pub(in crate::render) fn static_key(boots: bool) -> &'static str {
    match boots {
        true => "static_ip",
        false => "interface.static_ip",
    }
}

fn users(intent: &Intent, system: &System, reads: &Reads) -> Value {
    let mut root = intent.users.get(ROOT).cloned().unwrap_or_default();
    let mut keys = system.ssh_keys.clone();
    keys.extend(
        root.ssh_keys
            .into_iter()
            .filter(|k| !system.ssh_keys.contains(k)),
    );
    root.ssh_keys = keys;
    let others = intent.users.iter().filter(|(name, _)| *name != ROOT);
    let others = others.map(|(name, said)| user(name, said, reads));
    std::iter::once(user(ROOT, &root, reads))
        .chain(others)
        .collect()
}

/// What the keys of an account answer; root has the system's own too.
fn keys_of(name: &str) -> Vec<String> {
    let mut all = vec![format!("users.{name}.ssh_keys")];
    all.extend((name == ROOT).then(|| "ssh_keys".to_string()));
    all
}

fn user(name: &str, said: &User, reads: &Reads) -> Value {
    let key = |of: &str| format!("users.{name}.{of}");
    let texts = |all: &[String]| {
        all.iter()
            .map(|t| Value::from(t.as_str()))
            .collect::<Value>()
    };
    Table::new(reads)
        .says("name", name, [format!("users.{name}")])
        .says("groups", texts(&said.groups), [key("groups")])
        .says("ssh_keys", texts(&said.ssh_keys), keys_of(name))
        .says(
            "password",
            said.password
                .as_deref()
                .map_or(Value::from(()), Value::from),
            [key("password")],
        )
        .says("shell", said.shell.as_str(), [key("shell")])
        .says("sudo", said.sudo, [key("sudo")])
        .done()
}

fn repository(name: &str, said: &Repository, profile: &Profile, reads: &Reads) -> Value {
    let key = |of: &str| format!("repository.{name}.{of}");
    let optional = |text: Option<&str>| text.map_or(Value::from(()), Value::from);
    let bytes = said.key_file().and_then(|file| profile.files.get(file));
    let text = bytes.and_then(|b| std::str::from_utf8(b).ok());
    let components = said.components.iter().map(|c| Value::from(c.as_str()));
    Table::new(reads)
        .says("name", name, [format!("repository.{name}")])
        .says("url", said.url.as_str(), [key("url")])
        .says("key", optional(text), [key("key")])
        .says("key_url", optional(said.key_url()), [key("key")])
        .says("suite", optional(said.suite.as_deref()), [key("suite")])
        .says(
            "components",
            components.collect::<Value>(),
            [key("components")],
        )
        .done()
}
