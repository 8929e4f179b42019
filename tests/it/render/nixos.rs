//! The NixOS profile: goldens, what Nix itself reads in the configuration, and the scripts run on disks
//! made for them. NixOS itself does not run here.

mod nix;
mod scripts;

use farrier::model::{Firmware, System};
use farrier::render::Rendered;

use super::debian::text;
use super::site::{
    declared_as, must_have_what_is_fetched, must_keep_the_secret, must_refuse, rich, system,
    try_render,
};

/// What a system may ask for, and this profile can give.
pub(super) const RICH: &str = rich!(
    r#"
packages = ["nginx", "python3Packages.requests"]
network.ipv6 = "auto"
network.vlan.vlan20.router = "10.20.0.1"
network.vlan.vlan30 = { link = "bond0", id = 30 }
users.alice.groups = ["adm", "ops"]
users.app.groups = ["ops"]
users.app.sudo = true
users.root.ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp5 root@example"]
[system.rich.storage]
layout  = "lvm"
swap    = "64MiB"
volumes = [{ mount = "/var", size = "400MiB", filesystem = "xfs" }, { mount = "/srv/data", size = "rest" }, { mount = "/", size = "200MiB", filesystem = "btrfs" }]
"#
);

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

fn rendered(system: &System) -> Rendered {
    let made = try_render("nixos", system, Firmware::BIOS).unwrap_or_else(|told| panic!("{told}"));
    // which firmware it is, the machine says itself
    assert_eq!(
        try_render("nixos", system, Firmware::UEFI),
        Ok(made.clone())
    );
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
        must_keep_the_secret(&made);
        let fetched = |text: &str| must_have_what_is_fetched(&made, text, "for file in ");
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
        must_refuse("nixos", lines, told);
    }
}
