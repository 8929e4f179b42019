//! The profiles of SUSE's installers, Agama and AutoYaST: goldens, parsers, and their scripts run on a
//! machine made up for it. Neither installer runs here.

mod locked;
mod media;
mod parsed;
mod scripts;
mod watch;

use std::path::PathBuf;

use farrier::model::{Firmware, System};
use farrier::render::{CompiledProfile, Rendered};
use serde_json::{Value, json};

use super::anaconda::machine::Machine;
use super::debian::{lay_out, text};
use super::first_boot::lint;
use super::hostile::HOSTILE;
use super::site::{declared_as, distro_of, place, run, shipped, system};

const PROFILES: [(&str, &str); 4] = [
    ("leap-16", "profile.json"),
    ("sles-16", "profile.json"),
    ("leap-15", "autoinst.xml"),
    ("sles-15", "autoinst.xml"),
];

const RICH: &str = r#"
static_ip = true
packages  = ["nginx"]
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
static_ip = false
[system.rich.storage]
layout  = "lvm"
raid    = "raid1"
second  = { serial = "S-vdb" }
swap    = "2GiB"
volumes = [{ mount = "/var", size = "20GiB", filesystem = "ext4" }, { mount = "/srv/data", size = "rest" }, { mount = "/", size = "10GiB", filesystem = "btrfs" }]
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
[system.rich.users.root]
password = "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ"
[system.rich.repository.internal]
url = "http://repo.example/suse/"
key = "http://repo.example/key.asc"
"#;

const LOCKED: &str = "storage = { layout = \"lvm\", encrypt = \"tpm2\" }";

const LOCKED_MIRROR: &str = "storage = { layout = \"lvm\", encrypt = \"tpm2\", raid = \"raid1\", second = { serial = \"S-vdb\" } }";

fn machines() -> [(&'static str, System); 6] {
    [
        ("dhcp", system("web01")),
        ("static", declared_as("web02", "static_ip = true")),
        (
            "mirror",
            declared_as(
                "db01",
                "storage = { raid = \"raid1\" }\nvars = { console = \"\", kernel_options = [\"quiet\"] }",
            ),
        ),
        ("rich", declared_as("rich", RICH)),
        ("locked", declared_as("web03", LOCKED)),
        ("locked-mirror", declared_as("db02", LOCKED_MIRROR)),
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

/// A machine of a test on which `systemd-run` writes down what it is asked to run.
fn machine(made: &Rendered, uefi: bool) -> Option<Machine> {
    let machine = Machine::new(made, uefi)?;
    let units = machine.path("units").display().to_string();
    machine.program("systemd-run", &format!("printf '%s\\n' \"$*\" >>'{units}'"));
    Some(machine)
}

fn rendered(profile: &str, system: &System, firmware: Firmware) -> Rendered {
    let rendered = try_render(profile, system, firmware);
    let rendered = rendered.unwrap_or_else(|told| panic!("{profile}: {told}"));
    assert_eq!(rendered.warnings, vec![]);
    rendered
}

#[test]
fn goldens() {
    for (profile, answers) in PROFILES {
        for (case, system) in machines() {
            let made = rendered(profile, &system, Firmware::BIOS);
            // which firmware it is, the machine says itself
            assert_eq!(
                made,
                rendered(profile, &system, Firmware::UEFI),
                "{profile} {case}"
            );
            let mut all = format!("cmdline: {}\n", made.cmdline);
            for name in [answers, "farrier.env", "system.sh"] {
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
    for (profile, answers) in PROFILES {
        for (_, system) in machines() {
            let made = rendered(profile, &system, Firmware::BIOS);
            for document in made.documents.values().filter(|d| !d.secret) {
                let text = String::from_utf8_lossy(&document.bytes);
                assert!(!text.contains("FARRIER-SECRET"), "{}", document.name);
            }
            let fetching = if answers == "profile.json" {
                "start.sh"
            } else {
                answers
            };
            let fetching = text(&made, fetching);
            let listed = fetching
                .split("for f in ")
                .nth(1)
                .and_then(|t| t.split(';').next());
            for name in listed.expect("what it fetches").split(' ') {
                assert!(made.documents.contains_key(name), "{name}");
            }
        }
    }
}

#[test]
fn every_script_passes_shellcheck() {
    let folder = tempfile::tempdir().expect("a folder");
    for (profile, answers) in PROFILES {
        for (case, system) in machines() {
            let at = folder.path().join(format!("{profile}-{case}"));
            let made = rendered(profile, &system, Firmware::UEFI);
            lay_out(&made, &at);
            let source = format!("--source-path={}", at.display());
            let mut scripts: Vec<PathBuf> = made
                .documents
                .keys()
                .filter(|n| n.ends_with(".sh"))
                .map(|n| at.join(n))
                .collect();
            if answers.ends_with(".xml") {
                for (n, script) in scripts_of(text(&made, answers)).into_iter().enumerate() {
                    let file = at.join(format!("inside-{n}.sh"));
                    std::fs::write(&file, script).expect("a file");
                    scripts.push(file);
                }
            }
            for script in scripts {
                // these are read by others and checked with them
                if script.ends_with("report.sh") || script.ends_with("boot-order.sh") {
                    continue;
                }
                let script = script.display().to_string();
                let arguments = ["--shell=sh", "--external-sources", &source, &script];
                if let Some((ok, out, _)) = run("shellcheck", &arguments, "") {
                    assert!(ok, "{out}");
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

/// What is between `<source>` and its end, as an XML reader gives it.
fn scripts_of(xml: &str) -> Vec<String> {
    let script = "import sys, json, xml.etree.ElementTree as x\n\
                  r = x.fromstring(sys.stdin.read())\n\
                  print(json.dumps([s.text for s in r.iter('{http://www.suse.com/1.0/yast2ns}source')]))";
    let (ok, out, err) = run("python3", &["-c", script], xml).expect("python3");
    assert!(ok, "{err}");
    let scripts: Vec<String> = serde_json::from_str(&out).expect("JSON");
    assert_eq!(scripts.len(), 2);
    scripts
}

#[test]
fn what_they_cannot_do_is_refused_with_the_reason() {
    for (profile, lines, told) in [
        ("leap-16", "ssh_keys = []", "that nobody can enter"),
        (
            "leap-15",
            "repository = { x = { url = \"http://x.example/\", suite = \"stable\" } }",
            "does not use `repository.x.suite`",
        ),
        (
            "leap-16",
            "[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nname = \"lan0\"",
            "gives interfaces no names",
        ),
        (
            "sles-16",
            "network = { ipv6 = \"dhcp\" }",
            "knows no DHCPv6 by itself",
        ),
        (
            "sles-16",
            "vars = { install_url = \"\" }",
            "import its full medium",
        ),
    ] {
        match try_render(profile, &declared_as("web01", lines), Firmware::UEFI) {
            Ok(_) => panic!("{profile} rendered with {lines}"),
            Err(said) => assert!(said.contains(told), "{profile}, {lines}: {said}"),
        }
    }
}

/// Of the ways to encrypt, each with each layout of the disks: which profile does it, and why one does not.
#[test]
fn what_is_encrypted_and_what_is_refused() {
    const TANG: &str =
        "tang = [{ url = \"http://tang.example\", thumbprint = \"abcdefghijklmnopqrstuvwxyz0\" }]";
    for (profile, answers) in PROFILES {
        for layout in ["plain", "lvm"] {
            for raid in ["none", "raid1"] {
                for (encrypt, more) in [("tang", TANG), ("tpm2", "swap = \"1GiB\"")] {
                    let lines = format!(
                        "storage = {{ layout = \"{layout}\", raid = \"{raid}\", encrypt = \"{encrypt}\", {more} }}"
                    );
                    let told = match (encrypt, layout) {
                        ("tang", _) => "not known to have clevis, which asks Tang",
                        (_, "plain") => "set `storage.layout = \"lvm\"`",
                        _ => "",
                    };
                    let made = try_render(profile, &declared_as("web01", &lines), Firmware::UEFI);
                    match made {
                        Ok(made) => {
                            assert_eq!(told, "", "{profile} rendered with {lines}");
                            assert!(text(&made, answers).contains("luks2"), "{profile}");
                        }
                        Err(said) => assert!(
                            !told.is_empty() && said.contains(told),
                            "{profile}, {lines}: {said}"
                        ),
                    }
                }
            }
        }
    }
}

/// Every text that the answers hold, hostile: it is refused, or a parser reads the very value.
#[test]
fn hostile_values_arrive_as_they_are_or_not_at_all() {
    let xml = "import sys, json, xml.etree.ElementTree as x\n\
               r = x.fromstring(sys.stdin.read())\n\
               print(json.dumps([e.text for e in r.iter()]))";
    let mut arrived = 0;
    for hostile in HOSTILE {
        for said in [
            json!({"packages": [hostile]}),
            json!({"locale": {"keyboard": hostile}}),
            json!({"locale": {"timezone": hostile}}),
            json!({"storage": {"volumes": [{"mount": hostile, "size": 5}]}}),
            json!({"users": {"root": {"password": hostile}}}),
            json!({"network": {"vlan": {hostile: {"id": 2}}}}),
        ] {
            for (profile, answers) in [("leap-16", "profile.json"), ("leap-15", "autoinst.xml")] {
                let partial =
                    farrier::model::Partial::new(said.as_object().cloned().expect("a table"));
                let mut machine = system("web01");
                machine.intent = Some(std::sync::Arc::new(partial));
                let Ok(made) = try_render(profile, &machine, Firmware::UEFI) else {
                    continue;
                };
                let text = text(&made, answers);
                let texts: Vec<String> = match answers.ends_with(".xml") {
                    true => {
                        let (ok, out, err) = run("python3", &["-c", xml], text).expect("python3");
                        assert!(ok, "{hostile:?}: {err}");
                        let all: Vec<Option<String>> = serde_json::from_str(&out).expect("JSON");
                        all.into_iter().flatten().collect()
                    }
                    false => {
                        let mut all = Vec::new();
                        strings(&serde_json::from_str(text).expect("JSON"), &mut all);
                        all
                    }
                };
                assert!(
                    texts.iter().any(|t| t == hostile),
                    "{profile} {said}: {text}"
                );
                arrived += 1;
            }
        }
    }
    assert!(arrived > 100, "{arrived}");
}

fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|v| strings(v, into)),
        Value::Object(all) => all.values().for_each(|v| strings(v, into)),
        _ => {}
    }
}
