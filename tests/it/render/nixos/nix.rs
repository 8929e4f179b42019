//! What Nix itself (Debian's nix-bin) makes of the files: it parses them, and evaluates the configuration
//! with a stand-in for nixpkgs. What NixOS's modules would say of it is not seen.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::super::hostile::HOSTILE;
use super::super::site::{declared_as, one_answer, place, value, with_vars};
use super::{RICH, rendered, text};
use farrier::model::ProfileKind;

/// Runs nix-instantiate on a file, with a store of the test's own; none, and said loudly, without it.
fn nix(arguments: &[&str], file: &Path) -> Option<Result<String, String>> {
    let place = file.parent().expect("a folder");
    let out = Command::new("nix-instantiate")
        .args(arguments)
        .arg(file)
        .env("NIX_STORE_DIR", place.join("store"))
        .env("NIX_STATE_DIR", place.join("state"))
        .env("NIX_LOG_DIR", place.join("log"))
        .env("NIX_CONF_DIR", place.join("conf"))
        .env("HOME", place)
        .output();
    let Ok(out) = out else {
        crate::skipped!("`nix-instantiate` is not installed, and Nix read nothing");
        return None;
    };
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match out.status.success() {
        true => Ok(told(&out.stdout)),
        false => Err(told(&out.stderr)),
    })
}

/// Fails if Nix does not parse this.
pub(super) fn parse(text: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("module.nix");
    std::fs::write(&file, text).expect("a file");
    if let Some(Err(told)) = nix(&["--parse"], &file) {
        panic!("{told}\n{text}");
    }
}

/// The script of the netboot image's service, as Nix reads it out of its module; none without Nix.
pub(super) fn service() -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole.nix");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(
        root.join("profiles/nixos/image/installer.nix"),
        folder.path().join("installer.nix"),
    )
    .expect("a copy");
    let text = r#"
(import ./installer.nix {
  config = { };
  lib.mkForce = x: x;
  modulesPath = "/modules";
  pkgs = { };
}).systemd.services.farrier-install.script
"#;
    std::fs::write(&whole, text).expect("a file");
    let out = nix(&["--eval", "--strict", "--json"], &whole)?;
    let out = out.unwrap_or_else(|told| panic!("{told}"));
    serde_json::from_str(&out).expect("JSON")
}

/// What modules are, evaluated with lists of words for packages.
fn all_evaluated(texts: &[&str]) -> Option<Vec<Value>> {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, text) in texts.iter().enumerate() {
        let module = folder.path().join(format!("{number}.nix"));
        std::fs::write(&module, text).expect("a file");
    }
    let whole = folder.path().join("whole.nix");
    let text = r#"
let
  pkgs = { bashInteractive = "BASH"; shadow = "SHADOW"; runtimeShell = "SHELL"; curl = "CURL"; nginx = "NGINX";
           python3Packages = { requests = "REQUESTS"; }; };
  lib = {
    splitString = by: text: assert by == "."; builtins.filter builtins.isString (builtins.split "[.]" text);
    getAttrFromPath = path: set: builtins.foldl' (s: name: s.${name}) set path;
  };
  read = number:
    let made = import (./. + "/${toString number}.nix") { inherit lib pkgs; };
    in made // { imports = map baseNameOf (made.imports or [ ]); };
in
builtins.genList read COUNT
"#;
    std::fs::write(&whole, text.replace("COUNT", &texts.len().to_string())).expect("a file");
    let out = nix(&["--eval", "--strict", "--json"], &whole)?;
    let out = out.unwrap_or_else(|told| panic!("{told}\n{texts:?}"));
    Some(serde_json::from_str(&out).expect("JSON"))
}

fn evaluated(text: &str) -> Option<Value> {
    Some(all_evaluated(&[text])?.remove(0))
}

#[test]
fn every_module_is_what_nix_parses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/nixos");
    let folder = tempfile::tempdir().expect("a folder");
    for (case, system) in super::machines() {
        let made = rendered(&system);
        for name in ["configuration.nix", "extra.nix", "first-boot.nix"] {
            let file = folder.path().join(format!("{case}-{name}"));
            std::fs::write(&file, text(&made, name)).expect("a file");
            if let Some(Err(told)) = nix(&["--parse"], &file) {
                panic!("{case} {name}: {told}");
            }
        }
    }
    let image = folder.path().join("installer.nix");
    std::fs::copy(root.join("image/installer.nix"), &image).expect("a copy");
    if let Some(Err(told)) = nix(&["--parse"], &image) {
        panic!("{told}");
    }
    // and that this would not go unnoticed
    std::fs::write(&image, "{ a = \"x; }\n").expect("a file");
    assert!(nix(&["--parse"], &image).is_none_or(|said| said.is_err()));
}

#[test]
fn the_configuration_says_what_was_declared() {
    let made = rendered(&declared_as("rich", RICH));
    let Some(seen) = evaluated(text(&made, "configuration.nix")) else {
        return;
    };
    let of = |path: &str| seen.pointer(path).unwrap_or(&Value::Null).clone();
    assert_eq!(
        of("/imports"),
        json!([
            "hardware-configuration.nix",
            "machine.nix",
            "first-boot.nix",
            "extra.nix"
        ])
    );
    assert_eq!(of("/time/timeZone"), "Europe/Berlin");
    assert_eq!(of("/i18n/defaultLocale"), "de_DE.UTF-8");
    assert_eq!(of("/networking/hostName"), "rich");
    assert_eq!(of("/networking/domain"), "lab.example");
    assert_eq!(of("/networking/timeServers"), json!(["10.77.0.1"]));
    assert_eq!(
        of("/boot/kernelParams"),
        json!(["console=tty0", "console=ttyS0,115200n8"])
    );
    assert_eq!(
        of("/environment/systemPackages"),
        json!(["NGINX", "REQUESTS"])
    );
    let network = of("/systemd/network");
    assert_eq!(
        network["links"]["10-backup0"],
        json!({ "matchConfig": { "PermanentMACAddress": "52:54:00:00:00:03" }, "linkConfig": { "Name": "backup0" } })
    );
    assert_eq!(
        network["netdevs"]["10-bond0"],
        json!({ "netdevConfig": { "Kind": "bond", "Name": "bond0", "MACAddress": "52:54:00:00:00:01" }, "bondConfig": { "Mode": "802.3ad", "MIIMonitorSec": "100ms" } })
    );
    assert_eq!(network["netdevs"]["10-vlan20"]["vlanConfig"]["Id"], 20);
    assert_eq!(
        network["networks"],
        json!({
            "10-nic-525400000001": { "matchConfig": { "PermanentMACAddress": "52:54:00:00:00:01" }, "networkConfig": { "Bond": "bond0" } },
            "10-nic-525400000002": { "matchConfig": { "PermanentMACAddress": "52:54:00:00:00:02" }, "networkConfig": { "Bond": "bond0" } },
            "10-nic-525400000003": { "matchConfig": { "PermanentMACAddress": "52:54:00:00:00:03" },
                "networkConfig": { "DHCP": "ipv4", "IPv6AcceptRA": false }, "dhcpV4Config": { "UseGateway": false }, "address": [] },
            "10-bond0": { "matchConfig": { "Name": "bond0" }, "networkConfig": { "DHCP": "no", "IPv6AcceptRA": true },
                "address": ["10.77.0.11/24", "2001:db8::11/64"], "gateway": ["10.77.0.1"], "dns": ["10.77.0.1"],
                "domains": ["lab.example"], "vlan": ["vlan20", "vlan30"] },
            "10-vlan20": { "matchConfig": { "Name": "vlan20" }, "networkConfig": { "DHCP": "no", "IPv6AcceptRA": false },
                "address": ["10.20.0.5/24"], "extraConfig": "[Route]\nGateway=10.20.0.1\nMetric=1020\n" },
            "10-vlan30": { "matchConfig": { "Name": "vlan30" }, "networkConfig": { "DHCP": "ipv4", "IPv6AcceptRA": false },
                "dhcpV4Config": { "UseGateway": false } },
        })
    );
    let users = of("/users/users");
    assert_eq!(
        users["alice"],
        json!({ "isNormalUser": true, "extraGroups": ["adm", "ops"], "shell": "BASH",
            "hashedPassword": "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ",
            "openssh": { "authorizedKeys": { "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example"] } } })
    );
    assert_eq!(users["app"]["shell"], "SHADOW/bin/nologin");
    assert_eq!(users["app"].get("hashedPassword"), None);
    assert_eq!(
        users["root"]["openssh"]["authorizedKeys"]["keys"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert_eq!(of("/users/groups"), json!({ "ops": {} }));
    assert_eq!(
        of("/security/sudo/extraRules/0/users"),
        json!(["alice", "app"])
    );
    // another place it comes from says all of it
    let flake = rendered(&declared_as(
        "web01",
        "ssh_keys = []\nvars = { flake = \"x#y\" }",
    ));
    let seen = evaluated(text(&flake, "configuration.nix"));
    assert_eq!(seen, Some(json!({ "imports": [] })));
}

#[test]
fn the_first_boot_is_a_unit_that_finds_what_the_installer_leaves() {
    let made = rendered(&super::system("web01"));
    let Some(seen) = evaluated(text(&made, "first-boot.nix")) else {
        return;
    };
    let unit = &seen["systemd"]["services"]["farrier-first-boot"];
    assert_eq!(
        unit["unitConfig"]["ConditionPathExists"],
        "/var/lib/farrier/pending"
    );
    assert_eq!(
        unit["serviceConfig"]["ExecStart"],
        "SHELL /var/lib/farrier/first-boot"
    );
    assert_eq!(
        unit["environment"]["FARRIER_TRUST"],
        "/var/lib/farrier/trust"
    );
    assert_eq!(seen["environment"]["systemPackages"], json!(["CURL"]));
}

/// Every hostile value is the very value again once Nix has read it.
#[test]
fn hostile_values_stay_values() {
    for template in [
        "{ ... }: { a = {{ vars.value }}; }\n",
        "{ ... }: { a = {{ vars.value | nix }}; }\n",
        "{ ... }: { a = builtins.head {{ [vars.value] | nix }}; }\n",
        "{ ... }: { a = builtins.head (builtins.attrNames {{ {vars.value: 1} | nix }}); }\n",
        "{ ... }: { a = \"${ {{ vars.value }} }\"; } # {{ vars.value }}\n",
    ] {
        let profile = one_answer(ProfileKind::Generic, "x.nix", &[("x.nix.j2", template)]);
        let distro = super::super::site::distro();
        let more = [
            "$${x}", "$", "''${x}", "''", "*/ x /*", "a\\${b}", "\"${\"", "$\\{x}",
        ];
        let all: Vec<&str> = HOSTILE.into_iter().chain(more).collect();
        let made: Vec<_> = all
            .iter()
            .map(|hostile| {
                let system = with_vars("web01", value(hostile));
                let made = farrier::render::render(&system, &profile, &distro, &place());
                made.unwrap_or_else(|told| panic!("{hostile:?}: {told:?}"))
            })
            .collect();
        let texts: Vec<&str> = made.iter().map(|m| text(m, "x.nix")).collect();
        let Some(seen) = all_evaluated(&texts) else {
            return;
        };
        for (hostile, seen) in all.iter().zip(seen) {
            assert_eq!(seen["a"], *hostile, "{template}");
        }
    }
    // what no string holds
    let profile = one_answer(
        ProfileKind::Generic,
        "x.nix",
        &[("x.nix.j2", "{{ vars.value }}\n")],
    );
    let system = with_vars("web01", value("a\0b"));
    let distro = super::super::site::distro();
    assert!(farrier::render::render(&system, &profile, &distro, &place()).is_err());
}

/// Texts of the inventory, in the shipped configuration.
#[test]
fn hostile_texts_of_a_system_are_literal() {
    for hostile in [
        "a ${builtins.currentSystem} b",
        "x\\\" ''${y} ",
        "$(id) `id`; ",
    ] {
        let quoted = serde_json::to_string(hostile).expect("JSON");
        let lines = format!(
            "vars = {{ substituters = [{quoted}], trusted_keys = [{quoted}], kernel_options = [{quoted}] }}"
        );
        let made = rendered(&declared_as("web01", &lines));
        let Some(seen) = evaluated(text(&made, "configuration.nix")) else {
            return;
        };
        for path in [
            "/nix/settings/substituters/0",
            "/nix/settings/trusted-public-keys/0",
            "/boot/kernelParams/2",
        ] {
            assert_eq!(seen.pointer(path), Some(&json!(hostile)), "{path}");
        }
    }
}
