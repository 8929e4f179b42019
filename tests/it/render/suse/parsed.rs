//! The answers as a parser reads them once the machine has filled them in.

use farrier::model::System;
use serde_json::{Value, json};

use super::{machine, machines};
use crate::render::anaconda::machine::{reports, serving};
use crate::render::site::{run, shipped};

/// The answers as the installer reads them on a machine with this firmware,
/// and the key that it made up, if it did.
fn filled(profile: &str, answers: &str, system: &System, uefi: bool) -> Option<(String, String)> {
    let two = system
        .intent
        .as_deref()
        .is_some_and(|i| i.leaves().contains("storage.raid"));
    let permit = if two {
        "disk=/dev/vda\nsecond=/dev/vdb\n"
    } else {
        "disk=/dev/vda\n"
    };
    let (server, made) = serving(&shipped(profile), system, move |path, _, _| {
        (
            200,
            if path.ends_with("/disks") { permit } else { "" }.to_string(),
        )
    });
    let machine = machine(&made, uefi)?;
    machine.write("dev/tpmrm0", "");
    machine.write(
        "farrier/given.sh",
        &format!("exec sh ./prepare.sh {answers}\n"),
    );
    let out = machine.run("given.sh");
    assert!(
        out.status.success() && !machine.left(),
        "{profile}: {out:?}"
    );
    assert_eq!(
        reports(&server),
        ["start", "disks", "progress/partition"],
        "{out:?}"
    );
    let text = machine.text("farrier/filled");
    assert!(
        !["@DISK", "NIC-", "@PASS", "@PRODUCT"]
            .iter()
            .any(|p| text.contains(p)),
        "{text}"
    );
    let key = machine.path("farrier/passphrase");
    let key = std::fs::read_to_string(key).unwrap_or_default();
    Some((text, key))
}

#[test]
fn agama_reads_what_was_meant() {
    let schemas = std::env::var("FARRIER_TEST_AGAMA_SCHEMAS");
    if schemas.is_err() {
        crate::skipped!(
            "FARRIER_TEST_AGAMA_SCHEMAS names no folders, with colons between them, with Agama's schemas (rust/share; of 16.0 rust/agama-lib/share); only what is known of them was checked"
        );
    }
    for profile in ["leap-16", "sles-16"] {
        for (case, system) in machines() {
            for uefi in [false, true] {
                let Some((text, key)) = filled(profile, "profile.json", &system, uefi) else {
                    return;
                };
                let read: Value = serde_json::from_str(&text).expect("JSON");
                agama(case, &read);
                agama_locked(case, &read, &key);
                for folder in schemas.iter().flat_map(|all| all.split(':')) {
                    against_schema(folder, &text);
                }
            }
        }
    }
}

fn agama(case: &str, read: &Value) {
    let drives = read["storage"]["drives"].as_array().expect("drives");
    let two = ["mirror", "rich", "locked-mirror"].contains(&case);
    let disks: Vec<&str> = drives.iter().filter_map(|d| d["search"].as_str()).collect();
    assert_eq!(
        disks,
        if two {
            vec!["/dev/vda", "/dev/vdb"]
        } else {
            vec!["/dev/vda"]
        },
        "{case}"
    );
    // every alias that is named is one of a device, each is used once
    let mut aliases: Vec<&str> = Vec::new();
    for drive in drives {
        assert_eq!(
            drive["partitions"][0],
            json!({"search": "*", "delete": true}),
            "{case}"
        );
        aliases.extend(
            drive["partitions"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|p| p["alias"].as_str()),
        );
    }
    let raids = read["storage"]["mdRaids"].as_array();
    let members: Vec<&str> = raids
        .into_iter()
        .flatten()
        .flat_map(|r| r["devices"].as_array().expect("a list"))
        .filter_map(Value::as_str)
        .collect();
    let mut sorted = (aliases.clone(), members.clone());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    if two {
        assert_eq!(sorted.0, sorted.1, "{case}");
    }
    assert_eq!(read["scripts"]["post"][0]["chroot"], false, "{case}");
    if case == "rich" {
        let volumes = read["storage"]["volumeGroups"][0]["logicalVolumes"]
            .as_array()
            .expect("a list");
        let volumes: Vec<(&Value, &Value)> = volumes
            .iter()
            .map(|v| (&v["filesystem"]["path"], &v["size"]))
            .collect();
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
        let ids: Vec<&str> = connections
            .iter()
            .filter_map(|c| c["id"].as_str())
            .collect();
        assert_eq!(ids, ["enp2s0", "bond0", "vlan20", "vlan30"]);
        assert_eq!(connections[1]["bond"]["ports"], json!(["enp0s0", "enp1s0"]));
        assert_eq!(
            connections[1]["addresses"],
            json!(["10.77.0.11/24", "2001:db8::11/64"])
        );
        assert_eq!(connections[2]["vlan"], json!({"id": 20, "parent": "bond0"}));
        assert_eq!(read["localization"]["keyboard"], "de");
        assert_eq!(read["root"]["hashedPassword"], true);
    }
}

/// One LUKS2 below the volume group, with the machine's own key, and `/boot` beside it.
fn agama_locked(case: &str, read: &Value, key: &str) {
    let storage = &read["storage"];
    let listed = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let partitions = listed(&storage["drives"])
        .iter()
        .flat_map(|d| listed(&d["partitions"]))
        .collect::<Vec<Value>>();
    let raids = listed(&storage["mdRaids"]);
    let locked: Vec<&Value> = partitions
        .iter()
        .chain(&raids)
        .filter(|d| d.get("encryption").is_some())
        .collect();
    if !case.starts_with("locked") {
        assert!(locked.is_empty() && key.is_empty(), "{case}");
        return;
    }
    assert!(key.starts_with("farrier-key-") && key.len() == 76, "{key}");
    assert_eq!(locked.len(), 1, "{case}");
    assert_eq!(
        locked[0]["encryption"],
        json!({"luks2": {"password": key}}),
        "{case}"
    );
    assert_eq!(
        storage["volumeGroups"][0]["physicalVolumes"],
        json!([locked[0]["alias"]])
    );
    let boot = partitions
        .iter()
        .chain(&raids)
        .find(|d| d["filesystem"]["path"] == "/boot")
        .unwrap_or_else(|| panic!("{case}: no /boot"));
    assert!(boot.get("encryption").is_none(), "{boot}");
    // nothing of it is a name of the machine's own making
    let mut all = Vec::new();
    super::strings(read, &mut all);
    assert_eq!(all.iter().filter(|t| t.contains(key)).count(), 1, "{case}");
    assert!(
        read["software"]["packages"]
            .as_array()
            .is_some_and(|p| p.contains(&json!("tpm2.0-tools")))
    );
}

fn against_schema(folder: &str, text: &str) {
    let script = "import sys, json, os, jsonschema\n\
        folder = sys.argv[1]\n\
        load = lambda n: json.load(open(os.path.join(folder, n)))\n\
        store = {s.get('$id', n): s for n, s in ((n, load(n)) for n in os.listdir(folder) if n.endswith('.schema.json'))}\n\
        schema = load('profile.schema.json')\n\
        from urllib.parse import urljoin\n\
        store.update({urljoin(schema['$id'], n): load(n) for n in os.listdir(folder) if n.endswith('.schema.json')})\n\
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
                let Some((text, key)) = filled(profile, "autoinst.xml", &system, uefi) else {
                    return;
                };
                if let Some((ok, _, err)) = run("xmllint", &["--noout", "-"], &text) {
                    assert!(ok, "{err}\n{text}");
                }
                let (ok, out, err) = run("python3", &["-c", script], &text).expect("python3");
                assert!(ok, "{err}\n{text}");
                let read: Value = serde_json::from_str(&out).expect("JSON");
                yast(case, uefi, &read);
                yast_locked(case, &read, &key);
                assert_eq!(key.is_empty(), !case.starts_with("locked"), "{case}");
                assert!(key.is_empty() || text.matches(&key).count() == 1, "{text}");
            }
        }
    }
}

/// One LUKS2 below the volume group, with the machine's own key, and `/boot` beside it.
fn yast_locked(case: &str, read: &Value, key: &str) {
    let drives = read["partitioning"].as_array().expect("drives");
    let partitions: Vec<&Value> = drives
        .iter()
        .flat_map(|d| d["partitions"].as_array().expect("a list"))
        .collect();
    let locked: Vec<&Value> = partitions
        .iter()
        .filter(|p| p.get("crypt_key").is_some() || p.get("crypt_method").is_some())
        .copied()
        .collect();
    if !case.starts_with("locked") {
        assert!(locked.is_empty(), "{case}");
        return;
    }
    assert_eq!(locked.len(), 1, "{case}");
    assert_eq!(
        (&locked[0]["crypt_method"], &locked[0]["crypt_key"]),
        (&json!("luks2"), &json!(key)),
        "{case}"
    );
    assert!(locked[0]["lvm_group"].is_string(), "{}", locked[0]);
    assert!(partitions.iter().any(|p| p["mount"] == "/boot"), "{case}");
    assert!(
        read["software"]["packages"]
            .as_array()
            .is_some_and(|p| p.contains(&json!("tpm2.0-tools")))
    );
}

fn yast(case: &str, uefi: bool, read: &Value) {
    for kind in ["messages", "warnings", "errors", "yesno_messages"] {
        let timeout = read["report"][kind]["timeout"].as_u64();
        assert!(timeout.is_some_and(|t| t > 0), "{kind} would wait for ever");
    }
    assert_eq!(read["general"]["mode"]["confirm"], false);
    assert_eq!(read["general"]["mode"]["second_stage"], false);
    let two = ["mirror", "rich", "locked-mirror"].contains(&case);
    let drives = read["partitioning"].as_array().expect("drives");
    let disks: Vec<&str> = drives
        .iter()
        .filter(|d| d["type"] == "CT_DISK")
        .filter_map(|d| d["device"].as_str())
        .collect();
    assert_eq!(
        disks,
        if two {
            vec!["/dev/vda", "/dev/vdb"]
        } else {
            vec!["/dev/vda"]
        },
        "{case}"
    );
    for disk in drives.iter().filter(|d| d["type"] == "CT_DISK") {
        let ids: Vec<u64> = disk["partitions"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|p| p["partition_id"].as_u64())
            .collect();
        assert_eq!(
            (ids.contains(&259), ids.contains(&263)),
            (uefi, !uefi),
            "{case}: {ids:?}"
        );
        let rest = disk["partitions"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|p| p["size"] == "max")
            .count();
        assert_eq!(rest, 1, "{case}");
    }
    // every member of an array belongs to one that is made, and every array has two
    for array in drives.iter().filter(|d| d["type"] == "CT_MD") {
        let members = drives
            .iter()
            .flat_map(|d| d["partitions"].as_array().expect("a list"));
        assert_eq!(
            members
                .filter(|p| p["raid_name"] == array["device"])
                .count(),
            2,
            "{case}: {array}"
        );
    }
    let mounts: Vec<&str> = drives
        .iter()
        .flat_map(|d| d["partitions"].as_array().expect("a list"))
        .filter_map(|p| p["mount"].as_str())
        .collect();
    assert!(mounts.contains(&"/"), "{case}: {mounts:?}");
    if case == "rich" {
        for mount in ["swap", "/var", "/srv/data", "/boot"] {
            assert!(mounts.contains(&mount), "{mounts:?}");
        }
        let interfaces = read["networking"]["interfaces"].as_array().expect("a list");
        let of = |device: &str| {
            interfaces
                .iter()
                .find(|i| i["device"] == device)
                .unwrap_or_else(|| panic!("no {device}: {interfaces:?}"))
        };
        assert_eq!(
            of("bond0")["bonding_module_opts"],
            "mode=802.3ad miimon=100"
        );
        assert_eq!(
            (
                &of("bond0")["bonding_slave0"],
                &of("bond0")["bonding_slave1"]
            ),
            (&json!("enp0s0"), &json!("enp1s0"))
        );
        assert_eq!(
            of("bond0")["aliases"]["alias0"],
            json!({"IPADDR": "2001:db8::11", "PREFIXLEN": "64"})
        );
        assert_eq!(of("vlan20")["etherdevice"], "bond0");
        assert_eq!(of("vlan20")["ipaddr"], "10.20.0.5");
        assert_eq!(read["keyboard"]["keymap"], "german-deadkey");
    }
}
