//! The profiles of Anaconda, judged by goldens, by pykickstart, which is Anaconda's own parser, and by
//! running their scripts on a machine made up for it. Anaconda itself does not run here.

mod hostile;
pub(super) mod machine;
mod parsed;
mod pykickstart;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::debian::{lay_out, text};
use super::first_boot::lint;
use super::site::{
    declared_as, distro_of, must_have_what_is_fetched, must_keep_the_secret, must_refuse, own,
    rendered, rendered_for_either, rich, run, system, try_render,
};
use farrier::model::{ArtefactSource, Firmware, ProfileKind, System};

/// Each profile, with the version of the language that it writes.
pub(super) const PROFILES: [(&str, &str); 13] = [
    ("rhel-8", "RHEL8"),
    ("rhel-9", "RHEL9"),
    ("rhel-10", "RHEL10"),
    ("rocky-8", "RHEL8"),
    ("rocky-9", "RHEL9"),
    ("rocky-10", "RHEL10"),
    ("alma-8", "RHEL8"),
    ("alma-9", "RHEL9"),
    ("alma-10", "RHEL10"),
    ("centos-stream-8", "RHEL8"),
    ("centos-stream-9", "RHEL9"),
    ("centos-stream-10", "RHEL10"),
    ("fedora", "F44"),
];

/// What a system may ask for, and these profiles can give.
pub(super) const RICH: &str = rich!(
    r#"
packages = ["nginx", "@development", "internal-tool-1.2~3"]
network.vlan.vlan20.router = "10.20.0.1"
network.vlan.vlan30 = { link = "bond0", id = 30 }
users.alice.groups = ["adm", "ops"]
users.root.ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp5 root@example"]
repository.internal = { url = "http://repo.example/el/", key = "http://repo.example/key.asc" }
[system.rich.storage]
layout  = "lvm"
raid    = "raid1"
second  = { serial = "S-vdb" }
encrypt = "tang"
tang    = [{ url = "http://tang.example", thumbprint = "abcdefghijklmnopqrstuvwxyz0" }, { url = "http://tang2.example:81", thumbprint = "abcdefghijklmnopqrstuvwxyz1" }]
swap    = "2GiB"
volumes = [{ mount = "/var", size = "20GiB", filesystem = "ext4" }, { mount = "/srv/data", size = "rest" }, { mount = "/", size = "10GiB" }]
"#
);

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

#[test]
fn goldens() {
    for (profile, _) in PROFILES {
        for (case, system) in machines() {
            let made = rendered_for_either(profile, &system);
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
            must_keep_the_secret(&made);
            must_have_what_is_fetched(&made, text(&made, "ks.cfg"), "for f in ");
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
    let mut judged = BTreeSet::new();
    for (profile, _) in PROFILES {
        for (case, system) in machines() {
            let at = folder.path().join(format!("{profile}-{case}"));
            let made = rendered(profile, &system, Firmware::UEFI);
            // the kin of one release have the very same, with all that they read, but for their name
            let scripts = made.documents.values();
            let scripts = scripts.filter(|d| !d.name.ends_with(".ks") && d.name != "ks.cfg");
            let nameless = scripts.map(|d| String::from_utf8_lossy(&d.bytes).replace(profile, ""));
            let scripts: Vec<String> = nameless.collect();
            if !judged.insert(scripts) {
                continue;
            }
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
        must_refuse(profile, lines, told);
    }
    let btrfs = declared_as("web01", "storage = { filesystem = \"btrfs\" }");
    assert!(try_render("fedora", &btrfs, Firmware::UEFI).is_ok());
}

/// Whatever is keyed off the release must not be keyed off a name.
#[test]
fn hashes_that_release_8_does_not_know_are_refused_for_all_of_it() {
    let new = "users = { root = { password = \"$y$j9T$aaaaaaaaaaaaaaaaaaaaaa$bbbbbbbbbbbbbbb\" } }";
    let machine = declared_as("web01", new);
    for (profile, version) in PROFILES {
        match version {
            "RHEL8" => must_refuse(profile, new, "use `$6$`"),
            _ => assert!(try_render(profile, &machine, Firmware::UEFI).is_ok()),
        }
    }
}

/// Many are nearly the same file: each names its own distro, and boots the kernel of the tree it installs.
#[test]
fn every_profile_is_among_them_and_its_distro_is_of_its_tree() {
    let all = own().profiles.values();
    let all = all.filter(|profile| profile.kind == ProfileKind::Kickstart);
    let mut found = BTreeMap::new();
    for profile in all {
        let (name, distro) = (profile.name.as_str(), distro_of(profile));
        assert_eq!(distro.name.as_str(), name);
        let tree = profile.vars["tree"].as_str().expect("a text");
        for (file, source) in &distro.artefacts {
            let wanted = format!("{tree}/images/pxeboot/{file}");
            match source {
                ArtefactSource::Url { url, .. } => assert_eq!(*url, wanted, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        found.insert(name, profile.vars["target"].as_str().expect("a text"));
    }
    assert_eq!(found, BTreeMap::from(PROFILES));
}
