//! The shipped profiles of Ignition's systems: goldens, and Ignition's own validator, which is in Debian's
//! package.

mod scripts;

use std::sync::Arc;

use farrier::model::{Firmware, Partial, System};
use farrier::render::Place;

use super::debian::text;
use super::first_boot::lint;
use super::hostile::HOSTILE;
use super::site::{declared_as, must_refuse, of, place, rich, run, system};

const PROFILES: [&str; 2] = ["fedora-coreos", "flatcar"];

/// What both can do.
const RICH: &str = rich!(
    r#"
network.ipv6 = "auto"
network.vlan.vlan20.router = "10.20.0.1"
users.alice.groups = ["wheel", "ops"]
"#
);

/// What only Fedora CoreOS can do.
const DISK: &str = "storage = { swap = \"2GiB\", filesystem = \"ext4\", volumes = [{ mount = \"/\", size = \"20GiB\" }, \
    { mount = \"/var\", size = \"50GiB\", filesystem = \"xfs\" }, { mount = \"/srv/my-data\", size = \"rest\" }] }";
const TANG: &str = "storage = { encrypt = \"tang\", tang = [{ url = \"http://tang.example\", thumbprint = \"aaaaaaaaaaaaaaaaaaaaaaaaaaa\" }] }";
const TPM: &str = "storage = { encrypt = \"tpm2\" }";

fn cases(profile: &str) -> Vec<(&'static str, System, Place)> {
    let mut uefi = place();
    uefi.firmware = Some(Firmware::UEFI);
    let mut all = vec![
        ("bios-dhcp", system("web01"), place()),
        (
            "bios-static",
            declared_as("web02", "static_ip = true"),
            place(),
        ),
        ("uefi-dhcp", system("web03"), uefi.clone()),
        (
            "uefi-static",
            declared_as("web04", "static_ip = true\nvars = { console = \"\" }"),
            uefi,
        ),
        ("rich", declared_as("rich", RICH), place()),
    ];
    if profile == "fedora-coreos" {
        all.push(("disk", declared_as("disk", DISK), place()));
        all.push(("tang", declared_as("tang", TANG), place()));
        all.push(("tpm2", declared_as("tpm2", TPM), place()));
    }
    all
}

#[test]
fn goldens() {
    for profile in PROFILES {
        for (case, system, place) in cases(profile) {
            let rendered = of(profile, &system, &place).expect("rendered");
            assert_eq!(rendered.warnings, vec![]);
            let mut all = format!("cmdline: {}\n", rendered.cmdline);
            for name in ["live.ign", "config.ign", "install.sh", "files.sh"] {
                all.push_str(&format!("\n==> {name} <==\n{}", text(&rendered, name)));
            }
            insta::with_settings!({
                snapshot_path => "../../golden/render",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, { insta::assert_snapshot!(format!("{profile}-{case}"), all) });
        }
    }
}

/// Ignition's own validator: no error and no warning.
fn validate(what: &str, config: &str) {
    let Some((ok, out, err)) = run("ignition-validate", &["-"], config) else {
        return;
    };
    assert!(
        ok && out.is_empty() && err.is_empty(),
        "{what}: {out}{err}\n{config}"
    );
}

#[test]
fn ignitions_own_validator_takes_them() {
    if let Some((ok, _, err)) = run(
        "ignition-validate",
        &["-"],
        "{\"ignition\":{\"version\":\"9.0.0\"}}",
    ) {
        assert!(!ok && !err.is_empty(), "it refuses nothing");
    }
    for profile in PROFILES {
        for (case, system, place) in cases(profile) {
            let rendered = of(profile, &system, &place).expect("rendered");
            for name in ["live.ign", "config.ign"] {
                validate(&format!("{profile} {case} {name}"), text(&rendered, name));
            }
        }
    }
}

#[test]
fn what_they_cannot_do_is_refused_with_the_reason() {
    let volumes = "storage = { volumes = [{ mount = \"/var\", size = \"9GiB\" }] }";
    for (profile, lines, told) in [
        (
            "fedora-coreos",
            "packages = [\"vim\"]",
            "installs no packages",
        ),
        (
            "fedora-coreos",
            "storage = { layout = \"lvm\" }",
            "no logical volumes",
        ),
        (
            "fedora-coreos",
            "storage = { raid = \"raid1\", second = \"/dev/vdb\" }",
            "writes one disk",
        ),
        ("fedora-coreos", volumes, "cannot take the rest of it"),
        (
            "fedora-coreos",
            "storage = { swap = \"1GiB\" }",
            "cannot take the rest of it",
        ),
        (
            "fedora-coreos",
            "repository = { r = { url = \"http://repo.example/\" } }",
            "installs no packages",
        ),
        ("flatcar", "packages = [\"vim\"]", "installs no packages"),
        (
            "flatcar",
            "storage = { encrypt = \"tpm2\" }",
            "encrypts no disk",
        ),
        ("flatcar", "storage = { filesystem = \"xfs\" }", "is ext4"),
        ("flatcar", volumes, "one root file system"),
        ("flatcar", "storage = { swap = \"1GiB\" }", "no swap"),
    ] {
        must_refuse(profile, lines, told);
    }
}

/// Every text that somebody can write, hostile: what is parsed holds the very text, or rendering refuses.
#[test]
fn hostile_values_are_values() {
    let mut tried = 0;
    for hostile in HOSTILE {
        let text_of = serde_json::Value::from(hostile);
        for partial in [
            serde_json::json!({"users": {hostile: {"groups": [text_of], "ssh_keys": [text_of], "password": text_of, "shell": text_of, "sudo": true}}}),
            serde_json::json!({"locale": {"timezone": text_of, "keyboard": text_of, "language": text_of}}),
            serde_json::json!({"network": {"bond": {"b0": {"interfaces": ["52:54:00:00:00:01"], "mode": text_of}}, "vlan": {hostile: {"id": 2}}}}),
        ] {
            let mut machine = system("web01");
            machine.intent = Some(Arc::new(Partial::new(
                partial.as_object().cloned().expect("a table"),
            )));
            for profile in PROFILES {
                let Ok(rendered) = of(profile, &machine, &place()) else {
                    continue;
                };
                tried += 1;
                let config: serde_json::Value =
                    serde_json::from_str(text(&rendered, "config.ign")).expect("JSON");
                if partial.get("users").is_some() {
                    let user = &config["passwd"]["users"][1];
                    for key in ["name", "passwordHash", "shell"] {
                        assert_eq!(user[key], text_of);
                    }
                    assert_eq!(user["sshAuthorizedKeys"], serde_json::json!([hostile]));
                    assert_eq!(user["groups"], serde_json::json!([hostile]));
                }
                if partial.get("locale").is_some() {
                    let target = config["storage"]["links"][0]["target"]
                        .as_str()
                        .expect("text");
                    assert_eq!(target, format!("../usr/share/zoneinfo/{hostile}"));
                }
                let root = tempfile::tempdir().expect("a folder");
                let script = text(&rendered, "files.sh");
                let at = root.path().display().to_string();
                if hostile.contains('/') || hostile.contains("..") {
                    continue;
                }
                let (ok, _, err) = run("dash", &["-s", &at], script).expect("dash");
                assert!(ok && err.is_empty(), "{hostile:?}: {err}\n{script}");
                if partial.get("locale").is_some() {
                    let file = std::fs::read_to_string(root.path().join("etc/vconsole.conf"))
                        .expect("a file");
                    assert_eq!(file, format!("KEYMAP={hostile}\n"));
                }
            }
        }
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn the_scripts_are_sound() {
    for profile in PROFILES {
        for (_, system, place) in cases(profile) {
            let rendered = of(profile, &system, &place).expect("rendered");
            let dir = tempfile::tempdir().expect("a folder");
            let here = dir.path().display();
            for (name, document) in &rendered.documents {
                std::fs::write(dir.path().join(name), &document.bytes).expect("a file");
            }
            let script = text(&rendered, "install.sh");
            let script = script.replace(". ./", &format!(". {here}/"));
            std::fs::write(dir.path().join("install.sh"), script).expect("a file");
            for name in ["install.sh", "files.sh", "compose.sh"] {
                lint(&dir.path().join(name));
            }
        }
    }
}
