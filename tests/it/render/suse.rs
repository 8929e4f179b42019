//! The profiles of SUSE's installers, Agama and AutoYaST: goldens, parsers, and their scripts run on a
//! machine made up for it. Neither installer runs here.

use std::path::PathBuf;

use farrier::model::{Firmware, System};
use farrier::render::{CompiledProfile, Rendered};
use serde_json::{Value, json};

use super::anaconda::machine::{Machine, reports, serving};
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

fn machines() -> [(&'static str, System); 4] {
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
            assert_eq!(made, rendered(profile, &system, Firmware::UEFI), "{profile} {case}");
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
            let fetching = if answers == "profile.json" { "start.sh" } else { answers };
            let fetching = text(&made, fetching);
            let listed = fetching.split("for f in ").nth(1).and_then(|t| t.split(';').next());
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
            let mut scripts: Vec<PathBuf> = made.documents.keys().filter(|n| n.ends_with(".sh")).map(|n| at.join(n)).collect();
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
            let bundle = [at.join("bundle.sh").display().to_string(), steps.display().to_string()];
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

/// The answers as the installer reads them on a machine with this firmware.
fn filled(profile: &str, answers: &str, system: &System, uefi: bool) -> Option<String> {
    let two = system.intent.as_deref().is_some_and(|i| i.leaves().contains("storage.raid"));
    let permit = if two { "disk=/dev/vda\nsecond=/dev/vdb\n" } else { "disk=/dev/vda\n" };
    let (server, made) = serving(&shipped(profile), system, move |path, _, _| {
        (200, if path.ends_with("/disks") { permit } else { "" }.to_string())
    });
    let machine = Machine::new(&made, uefi)?;
    machine.write("farrier/given.sh", &format!("exec sh ./prepare.sh {answers}\n"));
    let out = machine.run("given.sh");
    assert!(out.status.success() && !machine.left(), "{profile}: {out:?}");
    assert_eq!(reports(&server), ["start", "disks", "progress/partition"], "{out:?}");
    let text = machine.text("farrier/filled");
    assert!(!text.contains("@DISK") && !text.contains("NIC-"), "{text}");
    Some(text)
}

#[test]
fn agama_reads_what_was_meant() {
    let schemas = std::env::var("FARRIER_TEST_AGAMA_SCHEMAS");
    if schemas.is_err() {
        eprintln!("SKIPPED: FARRIER_TEST_AGAMA_SCHEMAS names no folder with Agama's schemas (rust/share); only what is known of them was checked");
    }
    for profile in ["leap-16", "sles-16"] {
        for (case, system) in machines() {
            for uefi in [false, true] {
                let Some(text) = filled(profile, "profile.json", &system, uefi) else {
                    return;
                };
                let read: Value = serde_json::from_str(&text).expect("JSON");
                agama(case, &read);
                if let Ok(folder) = &schemas {
                    against_schema(folder, &text);
                }
            }
        }
    }
}

fn agama(case: &str, read: &Value) {
    let drives = read["storage"]["drives"].as_array().expect("drives");
    let two = ["mirror", "rich"].contains(&case);
    let disks: Vec<&str> = drives.iter().filter_map(|d| d["search"].as_str()).collect();
    assert_eq!(disks, if two { vec!["/dev/vda", "/dev/vdb"] } else { vec!["/dev/vda"] }, "{case}");
    // every alias that is named is one of a device, each is used once
    let mut aliases: Vec<&str> = Vec::new();
    for drive in drives {
        assert_eq!(drive["partitions"][0], json!({"search": "*", "delete": true}), "{case}");
        aliases.extend(drive["partitions"].as_array().expect("a list").iter().filter_map(|p| p["alias"].as_str()));
    }
    let raids = read["storage"]["mdRaids"].as_array();
    let members: Vec<&str> = raids.into_iter().flatten().flat_map(|r| r["devices"].as_array().expect("a list")).filter_map(Value::as_str).collect();
    let mut sorted = (aliases.clone(), members.clone());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    if two {
        assert_eq!(sorted.0, sorted.1, "{case}");
    }
    assert_eq!(read["scripts"]["post"][0]["chroot"], false, "{case}");
    if case == "rich" {
        let volumes = read["storage"]["volumeGroups"][0]["logicalVolumes"].as_array().expect("a list");
        let volumes: Vec<(&Value, &Value)> = volumes.iter().map(|v| (&v["filesystem"]["path"], &v["size"])).collect();
        assert_eq!(
            volumes,
            [
                (&json!("swap"), &json!("2048 MiB")),
                (&json!("/var"), &json!("20480 MiB")),
                (&json!("/"), &json!("10240 MiB")),
                (&json!("/srv/data"), &json!({"min": "1 GiB"}))
            ]
        );
        let connections = read["network"]["connections"].as_array().expect("a list");
        let ids: Vec<&str> = connections.iter().filter_map(|c| c["id"].as_str()).collect();
        assert_eq!(ids, ["enp2s0", "bond0", "vlan20", "vlan30"]);
        assert_eq!(connections[1]["bond"]["ports"], json!(["enp0s0", "enp1s0"]));
        assert_eq!(connections[1]["addresses"], json!(["10.77.0.11/24", "2001:db8::11/64"]));
        assert_eq!(connections[2]["vlan"], json!({"id": 20, "parent": "bond0"}));
        assert_eq!(read["localization"]["keyboard"], "de");
        assert_eq!(read["root"]["hashedPassword"], true);
    }
}

fn against_schema(folder: &str, text: &str) {
    let script = "import sys, json, os, jsonschema\n\
        folder = sys.argv[1]\n\
        load = lambda n: json.load(open(os.path.join(folder, n)))\n\
        store = {s.get('$id', n): s for n, s in ((n, load(n)) for n in os.listdir(folder) if n.endswith('.schema.json'))}\n\
        schema = load('profile.schema.json')\n\
        resolver = jsonschema.RefResolver(schema['$id'], schema, store=store)\n\
        jsonschema.Draft201909Validator(schema, resolver=resolver).validate(json.load(sys.stdin))";
    if let Some((ok, _, err)) = run("/usr/bin/python3", &["-c", script, folder], text) {
        assert!(ok, "{err}\n{text}");
    }
}

#[test]
fn yast_reads_what_was_meant() {
    let script = "import sys, json, xml.etree.ElementTree as x\n\
        n = '{http://www.suse.com/1.0/yast2ns}'\n\
        r = x.fromstring(sys.stdin.read())\n\
        def value(e):\n\
        \x20   t = e.get('t')\n\
        \x20   if t == 'list': return [value(c) for c in e]\n\
        \x20   if t == 'boolean': return {'true': True, 'false': False}[e.text]\n\
        \x20   if t == 'integer': return int(e.text)\n\
        \x20   if len(e) or t == 'map': return {c.tag.replace(n, ''): value(c) for c in e}\n\
        \x20   return e.text or ''\n\
        print(json.dumps(value(r)))";
    for profile in ["leap-15", "sles-15"] {
        for (case, system) in machines() {
            for uefi in [false, true] {
                let Some(text) = filled(profile, "autoinst.xml", &system, uefi) else {
                    return;
                };
                if let Some((ok, _, err)) = run("xmllint", &["--noout", "-"], &text) {
                    assert!(ok, "{err}\n{text}");
                }
                let (ok, out, err) = run("python3", &["-c", script], &text).expect("python3");
                assert!(ok, "{err}\n{text}");
                yast(case, uefi, &serde_json::from_str(&out).expect("JSON"));
            }
        }
    }
}

fn yast(case: &str, uefi: bool, read: &Value) {
    for kind in ["messages", "warnings", "errors", "yesno_messages"] {
        let timeout = read["report"][kind]["timeout"].as_u64();
        assert!(timeout.is_some_and(|t| t > 0), "{kind} would wait for ever");
    }
    assert_eq!(read["general"]["mode"]["confirm"], false);
    assert_eq!(read["general"]["mode"]["second_stage"], false);
    let two = ["mirror", "rich"].contains(&case);
    let drives = read["partitioning"].as_array().expect("drives");
    let disks: Vec<&str> = drives.iter().filter(|d| d["type"] == "CT_DISK").filter_map(|d| d["device"].as_str()).collect();
    assert_eq!(disks, if two { vec!["/dev/vda", "/dev/vdb"] } else { vec!["/dev/vda"] }, "{case}");
    for disk in drives.iter().filter(|d| d["type"] == "CT_DISK") {
        let ids: Vec<u64> = disk["partitions"].as_array().expect("a list").iter().filter_map(|p| p["partition_id"].as_u64()).collect();
        assert_eq!((ids.contains(&259), ids.contains(&263)), (uefi, !uefi), "{case}: {ids:?}");
        let rest = disk["partitions"].as_array().expect("a list").iter().filter(|p| p["size"] == "max").count();
        assert_eq!(rest, 1, "{case}");
    }
    // every member of an array belongs to one that is made, and every array has two
    for array in drives.iter().filter(|d| d["type"] == "CT_MD") {
        let members = drives.iter().flat_map(|d| d["partitions"].as_array().expect("a list"));
        assert_eq!(members.filter(|p| p["raid_name"] == array["device"]).count(), 2, "{case}: {array}");
    }
    let mounts: Vec<&str> = drives.iter().flat_map(|d| d["partitions"].as_array().expect("a list")).filter_map(|p| p["mount"].as_str()).collect();
    assert!(mounts.contains(&"/"), "{case}: {mounts:?}");
    if case == "rich" {
        for mount in ["swap", "/var", "/srv/data", "/boot"] {
            assert!(mounts.contains(&mount), "{mounts:?}");
        }
        let interfaces = read["networking"]["interfaces"].as_array().expect("a list");
        let of = |device: &str| interfaces.iter().find(|i| i["device"] == device).unwrap_or_else(|| panic!("no {device}: {interfaces:?}"));
        assert_eq!(of("bond0")["bonding_module_opts"], "mode=802.3ad miimon=100");
        assert_eq!((&of("bond0")["bonding_slave0"], &of("bond0")["bonding_slave1"]), (&json!("enp0s0"), &json!("enp1s0")));
        assert_eq!(of("bond0")["aliases"]["alias0"], json!({"IPADDR": "2001:db8::11", "PREFIXLEN": "64"}));
        assert_eq!(of("vlan20")["etherdevice"], "bond0");
        assert_eq!(of("vlan20")["ipaddr"], "10.20.0.5");
        assert_eq!(read["keyboard"]["keymap"], "de");
    }
}

#[test]
fn without_a_permit_there_are_no_answers() {
    for (profile, answers) in [("leap-16", "profile.json"), ("leap-15", "autoinst.xml")] {
        let (server, made) = serving(&shipped(profile), &system("web01"), |path, _, _| {
            match path.ends_with("/disks") {
                true => (409, "the disk /dev/vda holds zfs".to_string()),
                false => (204, String::new()),
            }
        });
        let Some(machine) = Machine::new(&made, true) else {
            return;
        };
        machine.write("farrier/given.sh", &format!("exec sh ./prepare.sh {answers}\n"));
        let out = machine.run("given.sh");
        assert!(machine.left(), "{out:?}");
        assert!(!machine.path("farrier/filled").exists());
        assert_eq!(reports(&server), ["start", "disks", "fail/partition"]);
    }
}

#[test]
fn the_watch_notices_what_failed_and_what_is_silent() {
    for (profile, programs, said, stage) in [
        ("leap-16", [("journalctl", "echo Installing software"), ("systemctl", "exit 0")], "Agama's installation failed", "packages"),
        ("leap-15", [("pidof", "exit 1"), ("tail", "echo Installing the bootloader")], "YaST is gone", "bootloader"),
        ("leap-15", [("pidof", "exit 0"), ("tail", "echo Partitioning")], "has logged nothing for 2 minutes", "partition"),
    ] {
        let mut asked = system("web01");
        asked.vars.insert("silence".into(), json!(2));
        let (server, made) = serving(&shipped(profile), &asked, |_, _, _| (204, String::new()));
        let Some(machine) = Machine::new(&made, true) else {
            return;
        };
        machine.program("sleep", "exit 0");
        for (name, text) in programs {
            machine.program(name, text);
        }
        let out = machine.run("watch.sh");
        assert!(machine.left(), "{out:?}");
        let last = reports(&server).pop().expect("a report");
        assert_eq!(last, format!("fail/{stage}"));
        let told = server.bodies(&format!("/r/{}/{last}", farrier::boot::Scope::Report.placeholder()));
        assert!(told[0].contains(said), "{told:?}");
    }
}

#[test]
fn the_last_script_finishes_the_system() {
    for profile in ["leap-16", "leap-15"] {
        let answer = |path: &str, _: &str, _: usize| match path {
            p if p.ends_with("/handoff") => (200, "handoff=https://192.0.2.1/h/TOKEN\n".to_string()),
            _ => (204, String::new()),
        };
        let (server, made) = serving(&shipped(profile), &declared_as("rich", RICH), answer);
        let Some(machine) = Machine::new(&made, true) else {
            return;
        };
        for file in ["target/usr/bin/curl", "target/etc/systemd/system/x"] {
            machine.write(file, "");
        }
        let said = machine.path("said").display().to_string();
        machine.program("systemctl", &format!("echo \"systemctl $*\" >>'{said}'"));
        machine.program("chroot", &format!("echo \"$*\" >>'{said}'; case \"$*\" in *passwd*root) echo root:x:0:0::/root:/bin/sh ;; *passwd*alice) echo alice:x:1:1::/home/alice:/bin/sh ;; *chpasswd*) cat >>'{said}' ;; *efibootmgr*) echo 'BootOrder: 0001' ;; esac"));
        let out = machine.run("post.sh");
        assert!(out.status.success() && !machine.left(), "{out:?}");
        assert_eq!(reports(&server), ["progress/configure", "progress/handoff", "handoff", "end"], "{out:?}");
        assert!(machine.text("target/var/lib/farrier/pending").starts_with("handoff=https://192.0.2.1/h/TOKEN\nkey="));
        assert_eq!(machine.text("target/home/alice/.ssh/authorized_keys"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example\n");
        let said = machine.text("said");
        for part in ["zypper --non-interactive addrepo --gpgcheck --refresh http://repo.example/suse/ internal", "install --no-recommends nginx", "rpm --import http://repo.example/key.asc", "alice:$6$rounds", "usermod --shell /bin/bash --append --groups adm,ops alice"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        std::fs::remove_file(machine.path("target/usr/bin/curl")).expect("a file");
        let out = machine.run("post.sh");
        assert!(machine.left(), "{out:?}");
        assert_eq!(reports(&server).pop().expect("a report"), "fail/configure");
    }
}

#[test]
fn what_they_cannot_do_is_refused_with_the_reason() {
    for (profile, lines, told) in [
        ("leap-16", "storage = { encrypt = \"tpm2\" }", "leave storage.encrypt out"),
        ("leap-15", "storage = { encrypt = \"tpm2\" }", "leave storage.encrypt out"),
        ("leap-16", "ssh_keys = []", "that nobody can enter"),
        ("leap-15", "repository = { x = { url = \"http://x.example/\", suite = \"stable\" } }", "does not use `repository.x.suite`"),
        ("leap-16", "[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nname = \"lan0\"", "gives interfaces no names"),
    ] {
        match try_render(profile, &declared_as("web01", lines), Firmware::UEFI) {
            Ok(_) => panic!("{profile} rendered with {lines}"),
            Err(said) => assert!(said.contains(told), "{profile}, {lines}: {said}"),
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
                let partial = farrier::model::Partial::new(said.as_object().cloned().expect("a table"));
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
                assert!(texts.iter().any(|t| t == hostile), "{profile} {said}: {text}");
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
