//! The profiles of Anaconda, judged by goldens, by pykickstart, which is Anaconda's own parser, and by
//! running their scripts on a machine made up for it. Anaconda itself does not run here.

mod hostile;
pub(super) mod machine;
mod parsed;
mod pykickstart;
mod scripts;

use std::path::Path;

use super::debian::{lay_out, text};
use super::first_boot::lint;
use super::site::{declared_as, distro_of, place, run, shipped, system};
use farrier::model::{Firmware, System};
use farrier::render::{CompiledProfile, Rendered};

/// Each profile, with the version of the language that it writes.
const PROFILES: [(&str, &str); 7] = [
    ("rocky-8", "RHEL8"),
    ("rocky-9", "RHEL9"),
    ("rocky-10", "RHEL10"),
    ("alma-9", "RHEL9"),
    ("centos-stream-9", "RHEL9"),
    ("centos-stream-10", "RHEL10"),
    ("fedora", "F44"),
];

/// What a system may ask for, and these profiles can give.
pub(super) const RICH: &str = r#"
static_ip = true
packages  = ["nginx", "@development", "internal-tool-1.2~3"]
locale    = { language = "de_DE.UTF-8", keyboard = "de", timezone = "Europe/Berlin" }
[[system.rich.interface]]
mac = "52:54:00:00:00:01"
ip  = "10.77.0.11"
ip6 = "2001:db8::11/64"
[[system.rich.interface]]
mac = "52:54:00:00:00:02"
[[system.rich.interface]]
mac  = "52:54:00:00:00:03"
ip   = "10.77.0.13"
name = "backup0"
static_ip = false
[system.rich.storage]
layout  = "lvm"
raid    = "raid1"
second  = { serial = "S-vdb" }
encrypt = "tang"
tang    = [{ url = "http://tang.example", thumbprint = "abcdefghijklmnopqrstuvwxyz0" }, { url = "http://tang2.example:81", thumbprint = "abcdefghijklmnopqrstuvwxyz1" }]
swap    = "2GiB"
volumes = [{ mount = "/var", size = "20GiB", filesystem = "ext4" }, { mount = "/srv/data", size = "rest" }, { mount = "/", size = "10GiB" }]
[system.rich.network.bond.bond0]
interfaces = ["52:54:00:00:00:01", "52:54:00:00:00:02"]
mode       = "802.3ad"
[system.rich.network.vlan.vlan20]
id     = 20
ip     = "10.20.0.5/24"
router = "10.20.0.1"
[system.rich.network.vlan.vlan30]
link = "bond0"
id   = 30
[system.rich.users.alice]
groups   = ["adm", "ops"]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example"]
password = "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ"
sudo     = true
[system.rich.users.app]
shell = "/usr/sbin/nologin"
[system.rich.users.root]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp5 root@example"]
[system.rich.repository.internal]
url = "http://repo.example/el/"
key = "http://repo.example/key.asc"
"#;

/// Mirrored partitions, addresses by router advertisements, a hash for root.
const MIRROR: &str = "storage = { raid = \"raid1\", swap = \"0\" }\nnetwork = { ipv6 = \"auto\" }\n\
                      vars = { console = \"\", on_failure = \"poweroff\", kernel_options = [\"quiet\"] }\n\
                      users = { root = { password = \"$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ\" } }\n\
                      repository = { plain = { url = \"http://repo.example/plain/\" } }";

fn machines() -> [(&'static str, System); 5] {
    [
        ("dhcp", system("web01")),
        ("static", declared_as("web02", "static_ip = true")),
        (
            "tpm",
            declared_as(
                "web03",
                "storage = { layout = \"lvm\", encrypt = \"tpm2\" }",
            ),
        ),
        ("mirror", declared_as("db01", MIRROR)),
        ("rich", declared_as("rich", RICH)),
    ]
}

fn try_render(profile: &str, system: &System, firmware: Firmware) -> Result<Rendered, String> {
    let profile = shipped(profile);
    let compiled = CompiledProfile::new(&profile).map_err(|all| format!("{all:?}"))?;
    let mut at = place();
    at.firmware = Some(firmware);
    if let Some(subnet) = &mut at.subnet {
        subnet.ntp = vec!["10.77.0.1".parse().expect("an address")];
    }
    let rendered = compiled.render(system, &distro_of(&profile), &at);
    rendered.map_err(|all| {
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

pub(super) fn rendered(profile: &str, system: &System, firmware: Firmware) -> Rendered {
    let rendered = try_render(profile, system, firmware);
    let rendered = rendered.unwrap_or_else(|told| panic!("{profile}: {told}"));
    assert_eq!(rendered.warnings, vec![]);
    rendered
}

#[test]
fn goldens() {
    for (profile, _) in PROFILES {
        for (case, system) in machines() {
            let made = rendered(profile, &system, Firmware::BIOS);
            // which firmware it is, the machine says itself
            let same = rendered(profile, &system, Firmware::UEFI);
            assert_eq!(made, same, "{profile} {case}");
            let mut all = format!("cmdline: {}\n", made.cmdline);
            for name in [
                "ks.cfg",
                "storage.ks",
                "network.ks",
                "farrier.env",
                "system.sh",
            ] {
                all.push_str(&format!("\n==> {name} <==\n{}", text(&made, name)));
            }
            insta::with_settings!({
                snapshot_path => "../../golden/render",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, { insta::assert_snapshot!(format!("{profile}-{case}"), all) });
        }
    }
}

#[test]
fn no_answer_carries_a_secret_and_every_name_it_fetches_is_there() {
    for (profile, _) in PROFILES {
        for (_, system) in machines() {
            let made = rendered(profile, &system, Firmware::BIOS);
            for document in made.documents.values().filter(|d| !d.secret) {
                let text = String::from_utf8_lossy(&document.bytes);
                assert!(!text.contains("FARRIER-SECRET"), "{}", document.name);
            }
            let ks = text(&made, "ks.cfg");
            let listed = ks
                .split("for f in ")
                .nth(1)
                .and_then(|t| t.split(';').next());
            for name in listed.expect("what it fetches").split(' ') {
                assert!(made.documents.contains_key(name), "{name}");
            }
            let words: Vec<&str> = made.cmdline.split(' ').collect();
            let ks = words.iter().find_map(|w| w.strip_prefix("inst.ks="));
            assert!(ks.is_some_and(|url| url.ends_with("/ks.cfg")), "{words:?}");
            // Scripts know no names: neither %pre nor %post has a resolver to count on.
            let host = ks.and_then(|url| url.split('/').nth(2)).expect("a host");
            assert!(host.parse::<std::net::Ipv4Addr>().is_ok(), "{host}");
        }
    }
}

#[test]
fn every_script_passes_shellcheck() {
    let folder = tempfile::tempdir().expect("a folder");
    for (profile, _) in PROFILES {
        for (case, system) in machines() {
            let at = folder.path().join(format!("{profile}-{case}"));
            let made = rendered(profile, &system, Firmware::UEFI);
            lay_out(&made, &at);
            for name in made.documents.keys().filter(|n| n.ends_with(".sh")) {
                // these are read by others and checked with them
                if !["report.sh", "boot-order.sh"].contains(&name.as_str()) {
                    lint_in(&at, &at.join(name));
                }
            }
            let steps = at.join("unpacked");
            let bundle = [
                at.join("bundle.sh").display().to_string(),
                steps.display().to_string(),
            ];
            if let Some((ok, _, err)) = run("dash", &[&bundle[0], &bundle[1]], "") {
                assert!(ok, "{err}");
                lint(&steps.join("10-identity.sh"));
            }
        }
    }
}

fn lint_in(folder: &Path, script: &Path) {
    let script = script.display().to_string();
    let source = format!("--source-path={}", folder.display());
    let arguments = ["--shell=sh", "--external-sources", &source, &script];
    if let Some((ok, out, _)) = run("shellcheck", &arguments, "") {
        assert!(ok, "{out}");
    }
}

#[test]
fn what_anaconda_cannot_do_is_refused_with_the_reason() {
    for (profile, lines, told) in [
        (
            "rocky-9",
            "storage = { filesystem = \"btrfs\" }",
            "have no Btrfs",
        ),
        (
            "fedora",
            "storage = { filesystem = \"btrfs\", layout = \"lvm\" }",
            "on partitions only",
        ),
        (
            "rocky-9",
            "storage = { encrypt = \"tpm2\" }",
            "set `storage.layout = \"lvm\"`",
        ),
        (
            "rocky-8",
            "users = { root = { password = \"$y$j9T$aaaaaaaaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbb\" } }",
            "use `$6$`",
        ),
        (
            "rocky-9",
            "repository = { x = { url = \"http://x.example/\", suite = \"stable\" } }",
            "does not use `repository.x.suite`",
        ),
        (
            "rocky-9",
            "network = { ipv6 = \"auto\" }\n[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip6 = \"2001:db8::1/64\"",
            "not both",
        ),
    ] {
        match try_render(profile, &declared_as("web01", lines), Firmware::UEFI) {
            Ok(_) => panic!("{profile} rendered with {lines}"),
            Err(said) => assert!(said.contains(told), "{profile}, {lines}: {said}"),
        }
    }
    let btrfs = declared_as("web01", "storage = { filesystem = \"btrfs\" }");
    assert!(try_render("fedora", &btrfs, Firmware::UEFI).is_ok());
    let new = declared_as(
        "web01",
        "users = { root = { password = \"$y$j9T$aaaaaaaaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbb\" } }",
    );
    assert!(try_render("rocky-9", &new, Firmware::UEFI).is_ok());
}
