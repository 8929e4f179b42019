//! The answers as Anaconda's own parser reads them after %pre has run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use farrier::model::System;
use serde_json::{Value, json};

use super::machine::{Machine, reports, serving};
use super::{PROFILES, machines, pykickstart};
use crate::render::site::{run, shipped};

/// Everything as after %pre on a machine with this firmware; none if that cannot be done here.
fn after_pre(profile: &str, system: &System, uefi: bool) -> Option<Machine> {
    let two = system
        .intent
        .as_deref()
        .is_some_and(|i| i.leaves().contains("storage.raid"));
    let permit = match two {
        true => "disk=/dev/vda\nsecond=/dev/vdb\n",
        false => "disk=/dev/vda\n",
    };
    let (server, made) = serving(&shipped(profile), system, move |path, _, _| {
        let permit = if path.ends_with("/disks") { permit } else { "" };
        (200, permit.to_string())
    });
    let machine = Machine::new(&made, uefi)?;
    let out = machine.run("pre.sh");
    assert!(
        out.status.success() && !machine.left(),
        "{profile}: {out:?}"
    );
    assert_eq!(
        reports(&server),
        ["start", "disks", "progress/partition"],
        "{out:?}"
    );
    Some(machine)
}

#[test]
fn anacondas_own_parser_takes_the_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut judged = BTreeSet::new();
    for version in ["RHEL8", "RHEL9", "RHEL10", "F44"] {
        let mut files: Vec<PathBuf> = Vec::new();
        for (profile, _) in PROFILES.iter().filter(|(_, v)| *v == version) {
            for (case, system) in machines() {
                for firmware in ["bios", "uefi"] {
                    let Some(machine) = after_pre(profile, &system, firmware == "uefi") else {
                        return;
                    };
                    let file = folder
                        .path()
                        .join(format!("{profile}-{case}-{firmware}.ks"));
                    std::fs::write(&file, machine.answers()).expect("a file");
                    files.push(file);
                }
            }
        }
        // The validator stops at a warning. Those of a mirror's two biosboot partitions and of VLANs on one
        // link are known, and are looked for below.
        let quiet = |f: &&PathBuf| {
            let name = f.display().to_string();
            !name.contains("-rich-") && !name.ends_with("-mirror-bios.ks")
        };
        let strict: Vec<PathBuf> = files.iter().filter(quiet).cloned().collect();
        pykickstart::validate(version, &strict);
        for (file, read) in files
            .iter()
            .zip(pykickstart::read(version, &files).unwrap_or_default())
        {
            let name = file
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            check(&name, &read, &mut judged);
        }
    }
}

/// What a parsed answer file must say, whatever the profile. `judged` are the scripts that shellcheck has seen.
fn check(name: &str, read: &Value, judged: &mut BTreeSet<String>) {
    let uefi = name.ends_with("-uefi");
    let two = name.contains("-mirror-") || name.contains("-rich-");
    assert_eq!(read.get("error"), None, "{name}");
    for warning in read["warnings"].as_array().expect("warnings") {
        let said = warning.as_str().unwrap_or("");
        let known = [
            "A partition with the mountpoint biosboot has already been defined.",
            "A network device with the name bond0 has already been defined.",
        ];
        assert!(two && known.contains(&said), "{name}: {said}");
    }
    let disks = if two {
        json!(["vda", "vdb"])
    } else {
        json!(["vda"])
    };
    assert_eq!(read["only"], disks, "{name}");
    assert_eq!(read["clear"], disks, "{name}");
    let partitions = read["partitions"].as_array().expect("partitions");
    for partition in partitions {
        assert!(
            disks
                .as_array()
                .expect("a list")
                .contains(&partition["disk"]),
            "{name}: {partition}"
        );
    }
    let mounts: Vec<&str> = ["partitions", "raids", "volumes"]
        .iter()
        .flat_map(|kind| read[kind].as_array().expect("a list"))
        .filter_map(|p| p["mountpoint"].as_str())
        .collect();
    assert_eq!(mounts.contains(&"/boot/efi"), uefi, "{name}: {mounts:?}");
    let biosboot = mounts.iter().filter(|m| **m == "biosboot").count();
    assert_eq!(
        biosboot,
        match (uefi, two) {
            (true, _) => 0,
            (_, true) => 2,
            _ => 1,
        },
        "{name}"
    );
    assert!(
        mounts.contains(&"/") && mounts.contains(&"/boot"),
        "{name}: {mounts:?}"
    );
    let scripts = read["scripts"].as_array().expect("scripts");
    let kinds: Vec<&Value> = scripts.iter().map(|s| &s[1]).collect();
    assert_eq!(
        kinds,
        [&json!(false), &json!(false), &json!(false)],
        "{name}: none in the installed system"
    );
    for script in scripts {
        let text = script[3].as_str().expect("a script");
        if !judged.insert(text.to_string()) {
            continue;
        }
        if let Some((ok, out, _)) = run("shellcheck", &["--shell=bash", "-"], text) {
            assert!(ok, "{name}: {out}\n{text}");
        }
    }
    let locked = mounts.contains(&"pv.1");
    let encrypted = partitions
        .iter()
        .chain(read["raids"].as_array().expect("a list"));
    let encrypted: Vec<&Value> = encrypted.filter(|p| p["encrypted"] == true).collect();
    assert_eq!(
        encrypted.len(),
        usize::from(locked),
        "{name}: {encrypted:?}"
    );
    if name.contains("-rich-") {
        rich(name, read);
    } else {
        assert_eq!(read["lang"], "en_US.UTF-8", "{name}");
        let network = &read["network"][1];
        assert_eq!(network["device"], "enp0s0", "{name}");
        let fixed = name.contains("-static-");
        assert_eq!(
            network["bootProto"],
            if fixed { "static" } else { "dhcp" },
            "{name}"
        );
    }
    let lock = !name.contains("-mirror-");
    assert_eq!(read["rootpw"]["lock"], lock, "{name}");
}

fn rich(name: &str, read: &Value) {
    assert_eq!(read["lang"], "de_DE.UTF-8", "{name}");
    assert_eq!(read["keyboard"], "de", "{name}");
    assert_eq!(read["timezone"], "Europe/Berlin", "{name}");
    assert_eq!(
        read["packages"]
            .as_array()
            .map(|p| p.contains(&json!("nginx")) && p.contains(&json!("internal-tool-1.2~3"))),
        Some(true),
        "{name}: {}",
        read["packages"]
    );
    assert_eq!(read["groups"], json!(["development"]), "{name}");
    assert_eq!(
        read["repositories"],
        json!([["internal", "http://repo.example/el/"]]),
        "{name}"
    );
    let alice = &read["users"][0];
    assert_eq!(alice["name"], "alice", "{name}");
    assert_eq!(alice["groups"], json!(["adm", "ops"]), "{name}");
    assert!(
        alice["password"]
            .as_str()
            .is_some_and(|p| p.starts_with("$6$rounds=5000$")),
        "{name}"
    );
    assert_eq!(alice["isCrypted"], true, "{name}");
    assert_eq!(read["users"][1]["lock"], true, "{name}");
    assert_eq!(read["users"][1]["shell"], "/usr/sbin/nologin", "{name}");
    let raids = read["raids"].as_array().expect("raids");
    for raid in raids {
        assert_eq!(raid["level"], "RAID1", "{name}: {raid}");
        assert_eq!(
            raid["members"].as_array().map(Vec::len),
            Some(2),
            "{name}: {raid}"
        );
    }
    let volumes: Vec<(&str, &Value, &Value)> = read["volumes"]
        .as_array()
        .expect("volumes")
        .iter()
        .map(|v| {
            (
                v["mountpoint"].as_str().unwrap_or(""),
                &v["size"],
                &v["grow"],
            )
        })
        .collect();
    let (size, yes, no) = (json!(2048), json!(true), json!(false));
    assert_eq!(
        volumes,
        [
            ("swap", &size, &no),
            ("/var", &json!(20480), &no),
            ("/", &json!(10240), &no),
            ("/srv/data", &json!(1024), &yes)
        ],
        "{name}"
    );
    let network = read["network"].as_array().expect("network");
    assert_eq!(network[0]["hostname"], "rich.lab.example", "{name}");
    let of = |device: &str, vlan: &str| {
        network
            .iter()
            .find(|n| n["device"] == device && n["vlanid"].as_str().unwrap_or("") == vlan)
            .unwrap_or_else(|| panic!("{name}: no {device} {vlan} in {network:?}"))
    };
    let bond = of("bond0", "");
    assert_eq!(bond["bondslaves"], "enp0s0,enp1s0", "{name}");
    assert_eq!(bond["bondopts"], "mode=802.3ad,miimon=100", "{name}");
    assert_eq!(bond["ip"], "10.77.0.11", "{name}");
    assert_eq!(bond["ipv6"], "2001:db8::11/64", "{name}");
    assert_eq!(of("backup0", "")["bootProto"], "dhcp", "{name}");
    assert_eq!(of("bond0", "20")["ip"], "10.20.0.5", "{name}");
    assert_eq!(of("bond0", "20")["gateway"], "10.20.0.1", "{name}");
    assert_eq!(of("bond0", "30")["interfacename"], "vlan30", "{name}");
}
