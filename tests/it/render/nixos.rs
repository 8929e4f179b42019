//! The NixOS profile: goldens, what Nix itself reads in the configuration, and the scripts run on disks
//! made for them. NixOS itself does not run here.

mod nix;
mod scripts;

use farrier::model::{Firmware, System};
use farrier::render::{CompiledProfile, Place, Rendered};

use super::debian::text;
use super::site::{declared_as, distro_of, place, shipped, system};

/// What a system may ask for, and this profile can give.
pub(super) const RICH: &str = r#"
static_ip = true
packages  = ["nginx", "python3Packages.requests"]
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
swap    = "64MiB"
volumes = [{ mount = "/var", size = "400MiB", filesystem = "xfs" }, { mount = "/srv/data", size = "rest" }, { mount = "/", size = "200MiB", filesystem = "btrfs" }]
[system.rich.network]
ipv6 = "auto"
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
shell  = "/usr/sbin/nologin"
groups = ["ops"]
sudo   = true
[system.rich.users.root]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp5 root@example"]
"#;

fn machines() -> [(&'static str, System); 5] {
    [
        ("dhcp", system("web01")),
        (
            "static",
            declared_as(
                "web02",
                "static_ip = true\nvars = { console = \"\", substituters = [\"http://cache.example\"], trusted_keys = [\"k:AAA=\"] }",
            ),
        ),
        ("rich", declared_as("rich", RICH)),
        (
            "flake",
            declared_as(
                "web03",
                "ssh_keys = []\nvars = { flake = \"git+https://git.example/systems#web03\", boot_order = \"disk\" }",
            ),
        ),
        (
            "system",
            declared_as(
                "web04",
                "ssh_keys = []\nstorage = { filesystem = \"xfs\", swap = \"0\" }\nvars = { system = \"/nix/store/abc-nixos-system-web04\" }",
            ),
        ),
    ]
}

fn at(system: &System, at: &Place) -> Result<Rendered, String> {
    let profile = shipped("nixos");
    let compiled = CompiledProfile::new(&profile).map_err(|all| format!("{all:?}"))?;
    let rendered = compiled.render(system, &distro_of(&profile), at);
    rendered.map_err(|all| {
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

fn try_render(system: &System, firmware: Firmware) -> Result<Rendered, String> {
    let mut place = place();
    place.firmware = Some(firmware);
    if let Some(subnet) = &mut place.subnet {
        subnet.ntp = vec!["10.77.0.1".parse().expect("an address")];
    }
    at(system, &place)
}

fn rendered(system: &System) -> Rendered {
    let made = try_render(system, Firmware::BIOS).unwrap_or_else(|told| panic!("{told}"));
    // which firmware it is, the machine says itself
    assert_eq!(try_render(system, Firmware::UEFI), Ok(made.clone()));
    // what a flake says of the clock is not seen here
    let of_clock = |w: &farrier::model::Diagnostic| w.about.as_deref() == Some("ntp");
    assert!(made.warnings.iter().all(of_clock), "{:?}", made.warnings);
    made
}

#[test]
fn goldens() {
    for (case, system) in machines() {
        let made = rendered(&system);
        let mut all = format!("cmdline: {}\n", made.cmdline);
        for name in [
            "configuration.nix",
            "storage.sh",
            "install.sh",
            "farrier.env",
        ] {
            all.push_str(&format!("\n==> {name} <==\n{}", text(&made, name)));
        }
        insta::with_settings!({
            snapshot_path => "../../golden/render",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(format!("nixos-{case}"), all) });
    }
}

#[test]
fn no_answer_carries_a_secret_and_every_name_it_fetches_is_there() {
    for (_, system) in machines() {
        let made = rendered(&system);
        for document in made.documents.values().filter(|d| !d.secret) {
            let text = String::from_utf8_lossy(&document.bytes);
            assert!(!text.contains("FARRIER-SECRET"), "{}", document.name);
        }
        let fetched = |text: &str| {
            let list = text.split("for file in ").nth(1).expect("a list");
            let list = list.split(';').next().expect("its end");
            for name in list.split_whitespace() {
                assert!(made.documents.contains_key(name), "{name}");
            }
        };
        fetched(text(&made, "install.sh"));
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let image = root.join("profiles/nixos/image/installer.nix");
        fetched(&std::fs::read_to_string(image).expect("the image's module"));
    }
}

#[test]
fn what_it_cannot_do_is_refused_with_the_reason() {
    for (lines, told) in [
        ("storage = { raid = \"raid1\" }", "writes one disk"),
        ("storage = { encrypt = \"tpm2\" }", "encrypts no disk"),
        (
            "storage = { volumes = [{ mount = \"/etc\", size = \"1GiB\" }] }",
            "from its store",
        ),
        (
            "users = { app = { shell = \"/bin/zsh\" } }",
            "below /run/current-system/sw/bin",
        ),
        (
            "repository = { x = { url = \"http://x.example/\" } }",
            "no package repositories",
        ),
        (
            "vars = { flake = \"x#y\", system = \"/nix/store/z\" }",
            "not both",
        ),
        // what a flake says is not said here too, and is not left out unheard
        (
            "packages = [\"nginx\"]\nvars = { flake = \"x#y\" }",
            "does not use `packages`",
        ),
        (
            "static_ip = true\nvars = { system = \"/nix/store/z\" }",
            "does not use `static_ip`",
        ),
    ] {
        match try_render(&declared_as("web01", lines), Firmware::UEFI) {
            Ok(_) => panic!("rendered with {lines}"),
            Err(said) => assert!(said.contains(told), "{lines}: {said}"),
        }
    }
}
