//! Values that want to be something else.

use farrier::model::Firmware;
use serde_json::{Value, json};

use super::{pykickstart, try_render};
use crate::render::debian::text;
use crate::render::hostile::HOSTILE;
use crate::render::site::{run, system};

/// Where the parser finds a value, by the key that it was said with.
fn found<'a>(read: &'a Value, table: &str) -> Vec<&'a Value> {
    let of = |list: &str, field: &str| -> Vec<&'a Value> {
        let all = read[list].as_array().into_iter().flatten();
        all.filter_map(|item| item.get(field)).collect()
    };
    match table {
        "packages" => read["packages"]
            .as_array()
            .into_iter()
            .chain(read["groups"].as_array())
            .flatten()
            .collect(),
        "locale.language" => vec![&read["lang"]],
        "locale.keyboard" => vec![&read["keyboard"]],
        "locale.timezone" => vec![&read["timezone"]],
        "storage" => of("partitions", "mountpoint"),
        "users" => of("users", "name"),
        "shell" => of("users", "shell"),
        "password" => of("users", "password"),
        "repository" => read["repositories"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|r| &r[1])
            .collect(),
        _ => of("network", "interfacename"),
    }
}

/// Every text that the answers hold, hostile: it is refused, or Anaconda's parser reads the very value,
/// and no command or script more than were written.
#[test]
fn hostile_values_arrive_as_they_are_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    let mut wanted = Vec::new();
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let named = |inner: Value| json!({ *hostile: inner });
        for (table, said) in [
            ("packages", json!({"packages": [hostile]})),
            ("locale.language", json!({"locale": {"language": hostile}})),
            ("locale.keyboard", json!({"locale": {"keyboard": hostile}})),
            ("locale.timezone", json!({"locale": {"timezone": hostile}})),
            (
                "storage",
                // A mount point that is no absolute path is refused when the site is loaded.
                json!({"storage": {"volumes": [{"mount": format!("/{hostile}"), "size": 5}]}}),
            ),
            ("users", json!({"users": named(json!({}))})),
            (
                "shell",
                json!({"users": {"u": {"shell": hostile, "groups": [hostile], "sudo": true, "ssh_keys": [hostile]}}}),
            ),
            ("password", json!({"users": {"u": {"password": hostile}}})),
            (
                "repository",
                json!({"repository": {"r": {"url": hostile, "key": format!("http://{hostile}")}}}),
            ),
            (
                "vlan",
                json!({"network": {"vlan": named(json!({"id": 2}))}}),
            ),
        ] {
            let partial = farrier::model::Partial::new(said.as_object().cloned().expect("a table"));
            let mut machine = system("web01");
            machine.intent = Some(std::sync::Arc::new(partial));
            let Ok(made) = try_render("rocky-9", &machine, Firmware::UEFI) else {
                continue;
            };
            let storage = text(&made, "storage.ks")
                .replace("UEFI ", "")
                .replace("@DISK1@", "vda");
            let storage: String = storage
                .lines()
                .filter(|l| !l.starts_with("BIOS "))
                .map(|l| format!("{l}\n"))
                .collect();
            let all = text(&made, "ks.cfg")
                .replace("%include /tmp/farrier/storage.ks", &storage)
                .replace(
                    "%include /tmp/farrier/network.ks",
                    text(&made, "network.ks"),
                );
            let file = folder.path().join(format!("{table}-{n}.ks"));
            std::fs::write(&file, all).expect("a file");
            files.push(file);
            wanted.push((table, *hostile));
            let script = text(&made, "system.sh");
            if let Some((ok, _, err)) = run("dash", &["-n"], script) {
                assert!(ok && err.is_empty(), "{table} {hostile:?}: {err}\n{script}");
            }
        }
    }
    assert!(wanted.len() > 60, "{wanted:?}");
    let Some(all) = pykickstart::read("RHEL9", &files) else {
        return;
    };
    for ((table, hostile), read) in wanted.into_iter().zip(all) {
        assert_eq!(read.get("error"), None, "{table} {hostile:?}: {read}");
        let seen = found(&read, table);
        assert!(
            seen.iter()
                .filter_map(|v| v.as_str())
                .any(|v| v == hostile || table == "storage" && v.strip_prefix('/') == Some(hostile)),
            "{table} {hostile:?}: {seen:?}"
        );
        assert_eq!(
            read["scripts"].as_array().map(Vec::len),
            Some(3),
            "{table} {hostile:?}"
        );
        assert_eq!(read["excluded"], json!([]), "{table} {hostile:?}");
        assert_eq!(read["only"], json!(["vda"]), "{table} {hostile:?}");
    }
}
