//! Nothing is dropped silently: every key of what a machine should be, with every shipped profile. A value
//! that differs from the default makes a difference in something that is sent, or is refused by name, or is
//! warned of because the profile says that it ignores it.

use std::collections::{BTreeMap, BTreeSet};

use farrier::model::{Diagnostic, Firmware, System};
use farrier::render::Rendered;

use super::{Ready, all, ground, keys};
use crate::contract::needs;
use crate::render::site::attempt;

/// `storage.second` is not here: which disk is the other one, a machine is told with its permit, and whoever
/// heeds `storage.raid` asks for that. Neither is `disk` where a permit is asked for.
///
/// A key, what must be said for it to mean anything, and values of it. Of several values one may be what
/// the profile does anyway.
struct Case {
    key: &'static str,
    before: &'static str,
    values: &'static [&'static str],
}

const fn case(key: &'static str, before: &'static str, values: &'static [&'static str]) -> Case {
    Case {
        key,
        before,
        values,
    }
}

/// Two interfaces; `@1` and `@2` is what their tables say besides.
const TWO: &str = "[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n@1\n\
                   [[system.web01.interface]]\nmac = \"52:54:00:00:00:02\"\nip = \"10.77.0.12\"\n@2\n";

const BOND: &str = "network.bond.b0 = { interfaces = [\"52:54:00:00:00:01\"] }";
const TANG: &str = "storage = { layout = \"lvm\", encrypt = \"tang\", tang = [{ url = \"http://tang.example\", thumbprint = \"abcdefghijklmnopqrstuvwxyz0\" }] }";
const HASH: &str = "$6$saltsaltsalt$abcdefghijklmnopqrstuvwxyz";

const CASES: &[Case] = &[
    case(
        "locale.language",
        "",
        &["locale.language = \"de_DE.UTF-8\""],
    ),
    case("locale.keyboard", "", &["locale.keyboard = \"uk\""]),
    case(
        "locale.keyboard",
        "",
        &["locale.keyboard = \"de-latin1-nodeadkeys\""],
    ),
    case(
        "locale.timezone",
        "",
        &["locale.timezone = \"Europe/Berlin\""],
    ),
    case("packages", "", &["packages = [\"nginx\"]"]),
    case(
        "storage.layout",
        "",
        &["storage.layout = \"plain\"", "storage.layout = \"lvm\""],
    ),
    case("storage.raid", "", &["storage.raid = \"raid1\""]),
    case(
        "storage.filesystem",
        "",
        &[
            "storage.filesystem = \"ext4\"",
            "storage.filesystem = \"xfs\"",
            "storage.filesystem = \"btrfs\"",
        ],
    ),
    case(
        "storage.swap",
        "",
        &["storage.swap = \"0\"", "storage.swap = \"3GiB\""],
    ),
    case("storage.encrypt", "", &["storage.encrypt = \"tpm2\""]),
    case(
        "storage.encrypt",
        "storage.layout = \"lvm\"",
        &["storage.layout = \"lvm\"\nstorage.encrypt = \"tpm2\""],
    ),
    case(
        "storage.encrypt",
        "storage.tang = []",
        &[
            "storage.encrypt = \"tang\"\nstorage.tang = [{ url = \"http://tang.example\", thumbprint = \"abcdefghijklmnopqrstuvwxyz0\" }]",
        ],
    ),
    case(
        "storage.tang",
        TANG,
        &[
            "storage = { layout = \"lvm\", encrypt = \"tang\", tang = [{ url = \"http://other.example\", thumbprint = \"abcdefghijklmnopqrstuvwxyz0\" }] }",
        ],
    ),
    case(
        "storage.volumes",
        "",
        &["storage.volumes = [{ mount = \"/var\", size = \"5GiB\" }]"],
    ),
    case(
        "storage.volumes",
        "",
        &[
            "storage.volumes = [{ mount = \"/\", size = \"9GiB\" }, { mount = \"/srv\", size = \"rest\" }]",
        ],
    ),
    case(
        "storage.volumes",
        "storage.volumes = [{ mount = \"/\", size = \"9GiB\" }, { mount = \"/srv\", size = \"rest\" }]",
        &[
            "storage.volumes = [{ mount = \"/\", size = \"8GiB\" }, { mount = \"/srv\", size = \"rest\" }]",
        ],
    ),
    case(
        "storage.volumes",
        "storage.volumes = [{ mount = \"/var\", size = \"5GiB\", filesystem = \"xfs\" }]",
        &["storage.volumes = [{ mount = \"/var\", size = \"5GiB\", filesystem = \"ext4\" }]"],
    ),
    case("network.ipv6", "", &["network.ipv6 = \"auto\""]),
    case("network.ipv6", "", &["network.ipv6 = \"dhcp\""]),
    case(
        "network.ipv6",
        "static_ip = true",
        &["static_ip = true\nnetwork.ipv6 = \"dhcp\""],
    ),
    case(
        "network.ipv6",
        "static_ip = true\nnetwork.ipv6 = \"dhcp\"",
        &["static_ip = true\nnetwork.ipv6 = \"auto\""],
    ),
    case("network.bond", "", &[BOND]),
    case(
        "network.bond",
        BOND,
        &["network.bond.b0 = { interfaces = [\"52:54:00:00:00:01\"], mode = \"802.3ad\" }"],
    ),
    case("network.vlan", "", &["network.vlan.v2 = { id = 2 }"]),
    case(
        "network.vlan",
        "network.vlan.v2 = { id = 2 }",
        &["network.vlan.v2 = { id = 3 }"],
    ),
    case(
        "network.vlan",
        "network.vlan.v2 = { id = 2 }",
        &["network.vlan.v2 = { id = 2, ip = \"10.2.0.5/24\" }"],
    ),
    case(
        "network.vlan",
        "network.vlan.v2 = { id = 2, ip = \"10.2.0.5/24\" }",
        &["network.vlan.v2 = { id = 2, ip = \"10.2.0.5/24\", router = \"10.2.0.1\" }"],
    ),
    case("users.alice", "", &["users.alice = {}"]),
    case(
        "users.alice.groups",
        "users.alice = {}",
        &["users.alice.groups = [\"ops\"]"],
    ),
    case(
        "users.alice.ssh_keys",
        "users.alice = {}",
        &["users.alice.ssh_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice\"]"],
    ),
    case(
        "users.alice.password",
        "users.alice = {}",
        &["users.alice.password = \"HASH\""],
    ),
    case(
        "users.alice.shell",
        "users.alice = {}",
        &["users.alice.shell = \"/usr/sbin/nologin\""],
    ),
    case(
        "users.alice.sudo",
        "users.alice = {}",
        &["users.alice.sudo = true"],
    ),
    case(
        "users.root.password",
        "",
        &["users.root.password = \"HASH\""],
    ),
    case(
        "users.root.ssh_keys",
        "",
        &["users.root.ssh_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 root\"]"],
    ),
    case(
        "repository",
        "",
        &["repository.r = { url = \"http://repo.example/\", suite = \"stable\" }"],
    ),
    case(
        "repository",
        "",
        &["repository.r = { url = \"http://repo.example/\" }"],
    ),
    case(
        "repository",
        "repository.r = { url = \"http://repo.example/\", suite = \"stable\" }",
        &["repository.r = { url = \"http://repo.example/\", suite = \"testing\" }"],
    ),
    case(
        "repository",
        "repository.r = { url = \"http://repo.example/\", suite = \"stable\" }",
        &[
            "repository.r = { url = \"http://repo.example/\", suite = \"stable\", components = [\"main\"] }",
        ],
    ),
    case(
        "repository",
        "repository.r = { url = \"http://repo.example/\" }",
        &[
            "repository.r = { url = \"http://repo.example/\", key = \"http://repo.example/key.asc\" }",
        ],
    ),
    case(
        "ssh_keys",
        "ssh_keys = []",
        &["ssh_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp9 me\"]"],
    ),
    case("static_ip", "", &["static_ip = true"]),
    case("static_ip", "[TWO]", &["[TWO]@1static_ip = true"]),
    case("interface.static_ip", "[TWO]", &["[TWO]@2static_ip = true"]),
    case("interface.name", "[TWO]", &["[TWO]@1name = \"lan0\""]),
    case("interface.name", "[TWO]", &["[TWO]@2name = \"lan1\""]),
    case(
        "interface.ip6",
        "[TWO]",
        &["[TWO]@1ip6 = \"2001:db8::1/64\""],
    ),
    case(
        "interface.ip6",
        "[TWO]",
        &["[TWO]@2ip6 = \"2001:db8::2/64\""],
    ),
];

/// For those who write the disk that their answer names: nobody else looks at the rule again.
const DISKS: &[Case] = &[
    case(
        "disk.serial",
        "disk = { serial = \"S1\" }",
        &["disk = { serial = \"S2\" }"],
    ),
    case(
        "disk.wwn",
        "disk = { wwn = \"0x5000c500\" }",
        &["disk = { wwn = \"0x5000c501\" }"],
    ),
    case(
        "disk.path",
        "disk = { path = \"/dev/sd0\" }",
        &["disk = { path = \"/dev/sd1\" }"],
    ),
    case(
        "disk.model",
        "disk = { serial = \"S1\" }",
        &["disk = { serial = \"S1\", model = \"INTEL\" }"],
    ),
    case(
        "disk.min_size",
        "disk = { serial = \"S1\" }",
        &["disk = { serial = \"S1\", min_size = \"10G\" }"],
    ),
    case(
        "disk.max_size",
        "disk = { serial = \"S1\" }",
        &["disk = { serial = \"S1\", max_size = \"10G\" }"],
    ),
    case(
        "disk.max_size",
        "disk = { serial = \"S1\", min_size = \"10G\" }",
        &["disk = { serial = \"S1\", min_size = \"10G\", max_size = \"20G\" }"],
    ),
    case(
        "disk.serial",
        "disk = { path = \"/dev/sd0\" }",
        &["disk = { path = \"/dev/sd0\", serial = \"S1\" }"],
    ),
    case(
        "disk.model",
        "disk = { path = \"/dev/sd0\" }",
        &["disk = { path = \"/dev/sd0\", model = \"INTEL\" }"],
    ),
];

/// The lines of a case: `[TWO]` stands for two interfaces, and what follows `@1` or `@2` is the first
/// one's or the second's.
fn lines(text: &str) -> String {
    let text = text.replace("HASH", HASH);
    let Some(said) = text.strip_prefix("[TWO]") else {
        return text;
    };
    let of = |mark: &str| said.strip_prefix(mark).unwrap_or("").to_string();
    TWO.replace("@1", &of("@1")).replace("@2", &of("@2"))
}

fn machine(profile: &str, said: &str) -> System {
    let said = lines(said);
    let first = |line: &str| {
        line.split(['=', '.'])
            .next()
            .unwrap_or("")
            .trim()
            .to_string()
    };
    let own: BTreeSet<String> = said.lines().map(first).collect();
    let needed = needs(profile);
    let talos = match profile {
        "talos" if said.contains("disk = ") => {
            "vars = { talos = { join = { cluster = \"c\", endpoint = \"https://c:6443\", machine_token = \"a\", machine_ca = \"b\", cluster_id = \"c\", cluster_secret = \"d\", cluster_token = \"e\", cluster_ca = \"f\" } } }\n"
        }
        _ => "",
    };
    let mut text = format!("[system.web01]\nprofile = \"fai\"\n{talos}");
    if !said.contains(".interface]]") {
        text.push_str("mac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n");
    }
    for line in needed.lines().chain(keys(profile).lines()) {
        // a password of root's is said beside other accounts
        let password = line.starts_with("users.root.password");
        let clash = match password {
            true => said.contains("users.root.password"),
            false => own.contains(&first(line)),
        };
        if !clash {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str(&said);
    text.push('\n');
    // what the load says of it does not depend on the profile
    let mut found = attempt(&text).unwrap_or_else(|| panic!("refused:\n{text}"));
    found.profile = profile.parse().expect("a name");
    found
}

fn sent(ready: &Ready, said: &str, ntp: bool) -> Result<Rendered, Vec<Diagnostic>> {
    let mut at = ground(Firmware::UEFI);
    if let Some(subnet) = &mut at.subnet {
        // not this server, which some installers are told where there is none
        let clock = "10.77.0.9".parse().expect("an address");
        subnet.ntp = if ntp { vec![clock] } else { Vec::new() };
        let second = "10.77.0.12".parse().expect("an address");
        at.networks.insert(second, subnet.network);
    }
    ready
        .compiled
        .render(&machine(&ready.name, said), &ready.distro, &at)
}

/// Whether a problem is about this key, or what it is within, or what is within it.
fn names(problem: &Diagnostic, key: &str) -> bool {
    let about = problem.about.as_deref().unwrap_or("");
    let within = |outer: &str, inner: &str| {
        !outer.is_empty() && (inner == outer || inner.starts_with(&format!("{outer}.")))
    };
    within(about, key) || within(key, about) || problem.message.contains(key)
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Rendered,
    Refused,
    Warned,
    /// What it stands upon is refused already.
    Unreached,
    Dropped,
}

fn judge(
    before: &Result<Rendered, Vec<Diagnostic>>,
    after: &Result<Rendered, Vec<Diagnostic>>,
    key: &str,
) -> Came {
    match (before, after) {
        (Err(_), Err(_)) => Came::Unreached,
        (_, Err(why)) if why.iter().any(|p| names(p, key)) => Came::Refused,
        (Ok(before), Ok(after)) => {
            let same = (&before.cmdline, &before.documents) == (&after.cmdline, &after.documents);
            match same {
                false => Came::Rendered,
                true if after.warnings.iter().any(|w| names(w, key)) => Came::Warned,
                true => Came::Dropped,
            }
        }
        // another value is taken where the first was refused
        (Err(_), Ok(_)) => Came::Rendered,
        (Ok(_), Err(_)) => Came::Dropped,
    }
}

#[test]
fn every_key_makes_a_difference_or_is_refused_by_name() {
    let mut dropped = Vec::new();
    let mut came: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for ready in all() {
        if !ready.profile.kind.installs() {
            continue;
        }
        let names_disk = ready.profile.kind.permitting_answer().is_some();
        let disks = DISKS.iter().filter(|_| names_disk);
        for case in CASES.iter().chain(disks) {
            let before = sent(&ready, case.before, true);
            let mut same = 0;
            let mut told = String::new();
            for value in case.values {
                let after = sent(&ready, value, true);
                let found = judge(&before, &after, case.key);
                came.entry(case.key)
                    .or_default()
                    .insert(format!("{found:?}"));
                if found == Came::Dropped {
                    same += 1;
                    let why = after.err().unwrap_or_default();
                    told = why.iter().map(|p| format!(" {p}")).collect();
                }
            }
            let may = usize::from(case.values.len() > 1);
            if same > may {
                dropped.push(format!("{}: {:?}{told}", ready.name, case.values));
            }
        }
        // the servers of the clock are said by the subnet
        let found = judge(&sent(&ready, "", false), &sent(&ready, "", true), "ntp");
        came.entry("ntp").or_default().insert(format!("{found:?}"));
        if found == Came::Dropped {
            dropped.push(format!("{}: ntp", ready.name));
        }
    }
    assert!(dropped.is_empty(), "{}", dropped.join("\n"));
    // not only refusals: each key is done by some profile
    for (key, found) in came {
        assert!(found.contains("Rendered"), "{key}: {found:?}");
    }
}

/// Where a machine has two interfaces or a VLAN beside the one that boots, the way out is by the latter.
#[test]
fn only_one_interface_has_the_default_route() {
    let second = "[TWO]";
    let vlan = "static_ip = true\nnetwork.vlan.v2 = { id = 2, ip = \"10.2.0.5/24\", router = \"10.2.0.1\" }";
    let leased = "network.vlan.v2 = { id = 2 }";
    for (name, said, document, token) in [
        ("debian-12", second, "interfaces", "metric 2000"),
        (
            "debian-12",
            vlan,
            "interfaces",
            "gateway 10.2.0.1\n    metric 1002",
        ),
        ("debian-12", leased, "interfaces", "metric 1002"),
        (
            "ubuntu-24.04",
            second,
            "network-config",
            "dhcp4-overrides: {use-routes: false}",
        ),
        ("ubuntu-24.04", vlan, "network-config", "metric: 1002"),
        (
            "ubuntu-24.04",
            leased,
            "network-config",
            "dhcp4-overrides: {use-routes: false}",
        ),
        ("fedora-coreos", second, "files.sh", "never-default=true"),
        ("fedora-coreos", leased, "files.sh", "never-default=true"),
        ("flatcar", second, "files.sh", "UseGateway=no"),
        ("flatcar", leased, "files.sh", "UseGateway=no"),
        ("flatcar", vlan, "files.sh", "Metric="),
        ("nixos", second, "configuration.nix", "UseGateway = false"),
        ("nixos", leased, "configuration.nix", "UseGateway = false"),
        ("nixos", vlan, "configuration.nix", "Metric=1002"),
        ("rocky-9", second, "network.ks", "--nodefroute"),
        ("rocky-9", leased, "network.ks", "--nodefroute"),
        ("leap-16", second, "system.sh", "no_way_out"),
        ("leap-16", leased, "system.sh", "no_way_out 'v2'"),
        ("leap-15", leased, "system.sh", "no_way_out 'v2'"),
        (
            "leap-15",
            vlan,
            "autoinst.xml",
            "<extrapara>metric 1002</extrapara>",
        ),
        ("fai", second, "config.tar.gz", "UseGateway=no"),
        ("fai", leased, "config.tar.gz", "UseGateway=no"),
        ("fai", vlan, "config.tar.gz", "Metric=1002"),
    ] {
        let ready = all().into_iter().find(|r| r.name == name).expect(name);
        let sent = sent(&ready, said, true).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        let found = &sent.documents[document];
        let text = match super::unpacked(found) {
            Some(files) => files.into_values().flatten().collect(),
            None => found.bytes.clone(),
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains(token), "{name} {said}: {token}\n{text}");
        // and of one interface alone nothing of it is said
        let one = &super::machine(name, "");
        let one = ready
            .compiled
            .render(one, &ready.distro, &ground(Firmware::UEFI))
            .expect("rendered");
        let one = match super::unpacked(&one.documents[document]) {
            Some(files) => files.into_values().flatten().collect(),
            None => one.documents[document].bytes.clone(),
        };
        assert!(
            !String::from_utf8_lossy(&one).contains(token),
            "{name}: {token}"
        );
    }
}
