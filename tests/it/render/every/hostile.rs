//! Values that want to be something else, in every text of the inventory, in every document of every
//! shipped profile: the load refuses it, the rendering refuses it, or whoever reads the document reads
//! the very value and nothing else changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use farrier::model::{Firmware, System};
use serde_json::{Value, json};

use super::{Ready, Sent, all, fed, ground, keys, needs, run, steps, unpacked};
use crate::render::site::{attempt, settings};

/// Stands where a value will; good for everything that may be a word.
const PLAIN: &str = "qqplainqq";

/// Texts that some reader makes something of.
const HOSTILE: [&str; 22] = [
    "a\"; rm -rf / #",
    "it's",
    "$(id)",
    "`id`",
    "${HOME}",
    "a\nb",
    "%end",
    "%include /etc/passwd",
    "]]>",
    "{{7*7}}",
    "!!python/object/apply:os.system ['id']",
    "- a: b",
    "key: value # no comment",
    "back\\slash",
    "trailing\\",
    "a && b | c > d",
    "a & del b %PATH%",
    " blanks around ",
    "<b attr='x'>&amp;</b>",
    "-->",
    "é 日本",
    "\u{1b}[2J\u{7f}\u{2028}",
];

/// What a system says: `@` is the value. Each text alone, so that one that is refused hides no other.
fn said() -> Vec<(&'static str, String, &'static str)> {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 @";
    let hash = "$6$saltsalt$@@@";
    let one = |what: &'static str, lines: String, value: &'static str| (what, lines, value);
    vec![
        one("system.ssh_keys", "ssh_keys = [VALUE]".into(), key),
        one("system.tags", "tags = [VALUE]".into(), "@"),
        one("disk.serial", "disk = { serial = VALUE }".into(), "@"),
        one("disk.wwn", "disk = { wwn = VALUE }".into(), "0x@"),
        one("disk.model", "disk = { model = VALUE, serial = \"S1\" }".into(), "@"),
        one("disk.path", "disk = { path = VALUE }".into(), "/dev/@"),
        one("packages", "packages = [VALUE]".into(), "@"),
        one("locale.language", "locale.language = VALUE".into(), "@"),
        one("locale.keyboard", "locale.keyboard = VALUE".into(), "@"),
        one("locale.timezone", "locale.timezone = VALUE".into(), "Etc/@"),
        one("storage.volumes.mount", "storage.volumes = [{ mount = VALUE, size = \"2GiB\" }]".into(), "/@"),
        one("storage.second.serial", "storage = { raid = \"raid1\", second = { serial = VALUE } }".into(), "@"),
        one("storage.second.wwn", "storage = { raid = \"raid1\", second = { wwn = VALUE } }".into(), "0x@"),
        one("storage.second.model", "storage = { raid = \"raid1\", second = { model = VALUE, serial = \"S2\" } }".into(), "@"),
        one("storage.second.path", "storage = { raid = \"raid1\", second = { path = VALUE } }".into(), "/dev/@"),
        one("storage.tang.url", "storage = { layout = \"lvm\", encrypt = \"tang\", tang = [{ url = VALUE, thumbprint = \"abcdefghijklmnopqrstuvwxyz0\" }] }".into(), "http://tang.example/@"),
        one("storage.tang.thumbprint", "storage = { layout = \"lvm\", encrypt = \"tang\", tang = [{ url = \"http://tang.example\", thumbprint = VALUE }] }".into(), "abcdefghijklmnopqrstuvwxyz@"),
        one("network.bond.NAME", "network.bond.VALUE = { interfaces = [\"52:54:00:00:00:01\"] }".into(), "qq@"),
        one("network.bond.mode", "network.bond.b0 = { interfaces = [\"52:54:00:00:00:01\"], mode = VALUE }".into(), "@"),
        one("network.vlan.NAME", "network.vlan.VALUE = { id = 2 }".into(), "@"),
        one("network.vlan.link", "network.bond.b0 = { interfaces = [\"52:54:00:00:00:01\"] }\nnetwork.vlan.v2 = { id = 2, link = VALUE }".into(), "@"),
        one("interface.name", "[[system.web01.interface]]\nmac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\nname = VALUE".into(), "@"),
        one("users.NAME", "users.VALUE = {}".into(), "@"),
        one("users.groups", "users.bob.groups = [VALUE]".into(), "@"),
        one("users.ssh_keys", "users.bob.ssh_keys = [VALUE]".into(), key),
        one("users.password", "users.bob.password = VALUE".into(), hash),
        one("users.root.password", "users.root.password = VALUE".into(), hash),
        one("users.shell", "users.bob.shell = VALUE".into(), "/bin/@"),
        one("repository.NAME", "repository.VALUE = { url = \"http://repo.example/\", suite = \"stable\" }".into(), "@"),
        one("repository.url", "repository.r = { url = VALUE, suite = \"stable\" }".into(), "http://repo.example/@/x"),
        one("repository.url without suite", "repository.r = { url = VALUE }".into(), "http://repo.example/@/x"),
        one("repository.key", "repository.r = { url = \"http://repo.example/\", key = VALUE, suite = \"stable\" }".into(), "http://repo.example/@.asc"),
        one("repository.key without suite", "repository.r = { url = \"http://repo.example/\", key = VALUE }".into(), "http://repo.example/@.asc"),
        one("repository.suite", "repository.r = { url = \"http://repo.example/\", suite = VALUE }".into(), "@"),
        one("repository.components", "repository.r = { url = \"http://repo.example/\", suite = \"stable\", components = [VALUE] }".into(), "@"),
    ]
}

/// A system with a value in these lines; none if the load refuses it.
fn loaded(profile: &str, lines: &str, value: &str) -> Option<System> {
    let quoted = toml_edit::Value::from(value).to_string();
    let lines = lines.replace("VALUE", quoted.trim());
    let mut needed: String = needs(profile)
        .lines()
        .filter(|line| {
            let key = line.split(['=', '.']).next().unwrap_or("").trim();
            !lines
                .lines()
                .any(|l| l.split(['=', '.']).next().unwrap_or("").trim() == key)
        })
        .map(|l| format!("{l}\n"))
        .collect();
    if !lines.starts_with("ssh_keys") {
        needed.push_str(keys(profile));
    }
    let interface = match lines.contains(".interface]]") {
        true => "",
        false => "mac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n",
    };
    let text = format!("[system.web01]\nprofile = \"fai\"\n{interface}{needed}{lines}\n");
    // what the load says of it does not depend on the profile
    static KNOWN: Mutex<BTreeMap<String, Option<System>>> = Mutex::new(BTreeMap::new());
    let known = KNOWN.lock().expect("sound").get(&text).cloned();
    let mut found = known.unwrap_or_else(|| {
        let found = attempt(&text);
        KNOWN.lock().expect("sound").insert(text, found.clone());
        found
    })?;
    found.profile = profile.parse().expect("a name");
    Some(found)
}

/// Every text that a document, an archive or a boot script holds.
fn texts(ready: &Ready, sent: &Sent) -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([("cmdline".to_string(), sent.cmdline.clone())]);
    found.extend(sent.scripts.clone());
    let mut add = |name: String, bytes: &[u8]| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            found.insert(name, text.to_string());
        }
    };
    for (name, document) in &sent.documents {
        if let Some(files) = unpacked(document) {
            for (path, bytes) in files {
                add(format!("{name}: {path}"), &bytes);
            }
        } else if name == "bundle.sh" {
            for (path, bytes) in steps(document) {
                add(format!("{name}: {path}"), &bytes);
            }
        } else if ready.own_file(document).is_none() {
            add(name.clone(), &document.bytes);
        }
    }
    found
}

/// What each profile is tried with: its intent, and each of its own vars that is a text.
fn tries(ready: &Ready) -> Vec<(String, String, &'static str)> {
    let mut all: Vec<(String, String, &'static str)> = said()
        .into_iter()
        .map(|(what, lines, value)| (what.to_string(), lines, value))
        .collect();
    let mut vars = Vec::new();
    leaves(
        &Value::Object(ready.profile.vars.clone()),
        "vars".into(),
        &mut vars,
    );
    for (path, list) in vars {
        let value = if list { "[VALUE]" } else { "VALUE" };
        let mut inner = value.to_string();
        for part in path
            .split('.')
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            inner = format!("{{ {part} = {inner} }}");
        }
        all.push((path, format!("vars = {inner}"), "@"));
    }
    if ready.name == "talos" {
        for key in [
            "cluster",
            "endpoint",
            "machine_token",
            "machine_ca",
            "cluster_id",
            "cluster_secret",
            "cluster_token",
            "cluster_ca",
        ] {
            let mut join = json!({"cluster": "c", "endpoint": "https://c:6443", "machine_token": "a", "machine_ca": "b",
                                  "cluster_id": "c", "cluster_secret": "d", "cluster_token": "e", "cluster_ca": "f"});
            join[key] = json!("VALUE");
            let pairs = join.as_object().expect("a table").iter();
            let pairs: Vec<String> = pairs
                .map(|(k, v)| format!("{k} = {v}").replace("\"VALUE\"", "VALUE"))
                .collect();
            let lines = format!(
                "disk = {{ serial = \"S1\" }}\nvars = {{ talos = {{ join = {{ {} }} }} }}",
                pairs.join(", ")
            );
            all.push((format!("vars.talos.join.{key}"), lines, "@"));
        }
    }
    all
}

/// The paths of texts, and whether they are a list of them.
fn leaves(value: &Value, path: String, into: &mut Vec<(String, bool)>) {
    match value {
        // where a number or a yes is expected, a text can be said all the same
        Value::String(_) | Value::Number(_) | Value::Bool(_) => into.push((path, false)),
        Value::Array(all) if all.iter().all(Value::is_string) => into.push((path, true)),
        Value::Object(all) => {
            for (key, value) in all {
                leaves(value, format!("{path}.{key}"), into);
            }
        }
        _ => {}
    }
}

/// One profile of each set of templates: the others differ in values only.
fn different() -> Vec<Ready> {
    let mut seen = BTreeSet::new();
    let mut all = all();
    all.retain(|ready| {
        let files: Vec<_> = ready
            .profile
            .files
            .iter()
            .filter(|(p, _)| !p.ends_with("profile.toml"))
            .collect();
        let target = ready.profile.vars.get("target").map(ToString::to_string);
        seen.insert(format!("{:?}{target:?}{}", files, ready.profile.cmdline))
    });
    all
}

#[test]
fn hostile_values_arrive_as_they_are_or_not_at_all() {
    if run("shfmt", &["--version"], "").is_none() {
        return;
    }
    let mut report = Vec::new();
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for ready in different() {
        let at = ground(Firmware::UEFI);
        let mut cases = String::new();
        for (what, lines, pattern) in tries(&ready) {
            let of = |text: &str| {
                let value = pattern.replacen('@', text, 1);
                value.replace('@', "x")
            };
            let Some(plain) = loaded(&ready.name, &lines, &of(PLAIN)) else {
                continue;
            };
            let Ok(before) = ready.send(&plain, &at) else {
                continue;
            };
            let before = texts(&ready, &before);
            for hostile in HOSTILE {
                let Some(system) = loaded(&ready.name, &lines, &of(hostile)) else {
                    continue;
                };
                let Ok(after) = ready.send(&system, &at) else {
                    continue;
                };
                let after = texts(&ready, &after);
                assert_eq!(
                    before.keys().collect::<Vec<_>>(),
                    after.keys().collect::<Vec<_>>(),
                    "{} {what} {hostile:?}",
                    ready.name
                );
                if what == "vars.disk_config" && hostile.contains('\n') {
                    // it is a text of several lines
                    continue;
                }
                for (name, text) in after.iter().filter(|(n, t)| before[*n] != **t) {
                    *arrived.entry(what.clone()).or_default() += 1;
                    let case = json!({"profile": ready.name, "what": what, "document": name, "plain": PLAIN,
                                      "hostile": hostile, "before": before[name], "after": text});
                    cases.push_str(&case.to_string());
                    cases.push('\n');
                }
            }
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/render/every/same.py");
        let (ok, said) = fed(&["/usr/bin/python3", script], cases.as_bytes());
        if !ok {
            report.push(format!("{}: {said}", ready.name));
        }
        eprintln!(
            "{}: {}",
            ready.name,
            said.lines().last().unwrap_or("nothing")
        );
    }
    assert!(report.is_empty(), "{}", report.join("\n"));
    eprintln!("{arrived:?}");
    // what a site may say freely did arrive somewhere: the test is not one of refusals only
    for what in [
        "system.ssh_keys",
        "users.ssh_keys",
        "disk.serial",
        "repository.url",
        "vars.console",
    ] {
        assert!(arrived.contains_key(what), "{what}: {arrived:?}");
    }
}

/// The domain of a subnet, a server's own texts: refused when the site is loaded.
#[test]
fn the_sites_own_texts_are_refused() {
    for hostile in HOSTILE {
        let quoted = toml_edit::Value::from(hostile).to_string();
        for lines in [
            format!("[[subnet]]\nnetwork = \"10.78.0.0/24\"\ndomain = {quoted}\n"),
            format!("[[subnet]]\nnetwork = {quoted}\n"),
        ] {
            assert!(settings(&lines).is_none(), "{lines}");
        }
        let name = format!("[system.{quoted}]\nprofile = \"fai\"\nmac = \"52:54:00:00:00:01\"\n");
        assert!(attempt(&name).is_none(), "{name}");
    }
}
