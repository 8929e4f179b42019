//! The shipped profiles of Ubuntu: goldens, and the validators and parsers of what they render.

mod scripts;

use std::process::Command;
use std::sync::Arc;

use farrier::model::{Partial, System};
use farrier::render::Place;

use super::debian::{machines, text};
use super::hostile::HOSTILE;
use super::site::{declared_as, of, place, run, system};

const RELEASES: [&str; 2] = ["ubuntu-22.04", "ubuntu-24.04"];

/// What the Debian profile's tests have, without its own vars; and a mirror of plain partitions.
pub(super) fn cases() -> Vec<(&'static str, System, Place)> {
    let all = machines().into_iter();
    let mut all: Vec<_> = all
        .filter(|(case, _)| *case != "own-values")
        .map(|(case, (system, place))| (case, system, place))
        .collect();
    let raid = "storage = { raid = \"raid1\", second = { serial = \"S2\" }, filesystem = \"xfs\", swap = \"0\", \
                volumes = [{ mount = \"/srv\", size = \"2GiB\" }] }\n\
                network.ipv6 = \"dhcp\"";
    all.push(("raid", declared_as("raid", raid), place()));
    let vlan = "static_ip = true\nnetwork.vlan.v20 = { id = 20, ip = \"10.20.0.5/24\", router = \"10.20.0.1\" }";
    all.push(("vlan", declared_as("vlan", vlan), place()));
    all
}

#[test]
fn goldens() {
    for release in RELEASES {
        for (case, system, place) in cases() {
            let rendered = of(release, &system, &place).expect("rendered");
            assert_eq!(rendered.warnings, vec![]);
            let mut all = format!("cmdline: {}\n", rendered.cmdline);
            for name in [
                "user-data",
                "meta-data",
                "network-config",
                "early.sh",
                "farrier.env",
                "unlock.sh",
            ] {
                all.push_str(&format!("\n==> {name} <==\n{}", text(&rendered, name)));
            }
            insta::with_settings!({
                snapshot_path => "../../golden/render",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, { insta::assert_snapshot!(format!("{release}-{case}"), all) });
        }
    }
}

/// Runs a script of Debian's python, which has what cloud-init needs; it gets documents as a JSON list.
pub(super) fn python(script: &str, documents: &serde_json::Value) {
    let (ok, out, err) = run("/usr/bin/python3", &["-c", script], &documents.to_string())
        .expect("python3 is on every host that tests");
    assert!(ok, "{out}{err}");
}

/// user-data, network-config, meta-data of every case.
fn documents() -> serde_json::Value {
    let mut all = Vec::new();
    for release in RELEASES {
        for (case, system, place) in cases() {
            let rendered = of(release, &system, &place).expect("rendered");
            let one = |name| text(&rendered, name).to_string();
            all.push(serde_json::json!({
                "case": format!("{release} {case}"), "user": one("user-data"), "meta": one("meta-data"),
                "vendor": one("vendor-data"), "network": one("network-config"),
            }));
        }
    }
    all.into()
}

/// What subiquity and curtin take for granted, and its published schema only in part.
const STRUCTURE: &str = r##"
import sys, json, yaml
for d in json.load(sys.stdin):
    case = d["case"]
    assert d["user"].startswith("#cloud-config\n") and d["vendor"].startswith("\x23cloud-config\n")
    a = yaml.safe_load(d["user"])["autoinstall"]
    assert a["version"] == 1 and "interactive-sections" not in a, case
    assert a["network"] == yaml.safe_load(d["network"]), case
    meta = yaml.safe_load(d["meta"])
    assert meta["instance-id"] == meta["local-hostname"] + "-3", (case, meta)
    ids, used, sizes = {}, set(), {}
    for x in a["storage"]["config"]:
        assert x["id"] not in ids, (case, x)
        for key in ("device", "volume", "volgroup"):
            if key in x:
                assert x[key] in ids, (case, x)
        for member in x.get("devices", []):
            assert member in ids and member not in used, (case, x)
            used.add(member)
        if x["type"] in ("partition", "lvm_partition"):
            parent = x.get("device") or x["volgroup"]
            assert sizes.get(parent) != -1, (case, x, "nothing follows what takes the rest")
            sizes[parent] = x["size"]
            assert x["size"] == -1 or x["size"].endswith("M"), (case, x)
        if x["type"] == "dm_crypt":
            assert set(x) == {"type", "id", "dm_name", "volume", "keyfile", "preserve"}, (case, x)
            assert x["keyfile"] == "/run/farrier-key" and not x["preserve"], (case, x)
        if x["type"] == "disk":
            assert x["match"]["path"].startswith("/dev/no-permit"), case
        ids[x["id"]] = x
    assert all(s == -1 for s in sizes.values()), (case, sizes)
    locked = [x["id"] for x in ids.values() if x["type"] == "dm_crypt"]
    assert (locked == ["crypt"]) == case.endswith("locked"), (case, locked)
    groups = [x["devices"] for x in ids.values() if x["type"] == "lvm_volgroup"]
    assert not locked or groups == [locked], (case, groups)
    mounts = [x["path"] for x in ids.values() if x["type"] == "mount"]
    assert len(set(mounts)) == len(mounts) and "/" in mounts and "/boot/efi" in mounts, (case, mounts)
    for x in a["user-data"]["users"]:
        assert "passwd" not in x and "plain_text_passwd" not in x, case
        assert x["lock_passwd"] == ("hashed_passwd" not in x), case
    assert a["ssh"]["allow-pw"] is False and a["shutdown"] == "reboot", case
    assert a["refresh-installer"] == {"update": False}, case
    assert a["reporting"]["farrier"]["endpoint"].endswith("/status"), case
"##;

#[test]
fn the_answers_are_what_the_installer_takes_for_granted() {
    python(STRUCTURE, &documents());
}

#[test]
fn the_installers_own_schema_takes_the_answers() {
    let Some(file) = std::env::var_os("FARRIER_AUTOINSTALL_SCHEMA") else {
        crate::skipped!(
            "FARRIER_AUTOINSTALL_SCHEMA names no autoinstall-schema.json of subiquity's, and the \
             answers for Ubuntu were not judged by it"
        );
        return;
    };
    let script = "import sys, json, yaml, jsonschema
schema = json.load(open(sys.argv[1]))
bad = json.loads(json.dumps({'version': 1, 'updates': 'foo'}))
try:
    jsonschema.validate(bad, schema)
    sys.exit('the schema refuses nothing')
except jsonschema.ValidationError:
    pass
for d in json.load(sys.stdin):
    a = yaml.safe_load(d['user'])['autoinstall']
    jsonschema.validate(a, schema)
    unknown = set(a) - set(schema['properties'])
    assert not unknown, (d['case'], unknown)
";
    let file = file.to_string_lossy().into_owned();
    let input = documents().to_string();
    let (ok, out, err) = run("/usr/bin/python3", &["-c", script, &file], &input).expect("python3");
    assert!(ok, "{out}{err}");
}

#[test]
fn cloud_inits_own_schema_takes_what_it_will_make_of_the_system() {
    let package = crate::http::status::cloud_init();
    let folder = tempfile::tempdir().expect("a folder");
    let script = "import sys, json, yaml
for n, d in enumerate(json.load(sys.stdin)):
    inner = yaml.safe_load(d['user'])['autoinstall']['user-data']
    for what, text in (('user', yaml.safe_dump(inner)), ('vendor', d['vendor'].split('\\n', 1)[1])):
        with open(f'{sys.argv[1]}/{n}-{what}', 'w') as f:
            f.write('#cloud-config\\n' + text)
with open(f'{sys.argv[1]}/wrong', 'w') as f:
    f.write('#cloud-config\\nusers: [{name: x, lock_passwd: 5}]\\n')
";
    let at = folder.path().display().to_string();
    let input = documents().to_string();
    let (ok, _, err) = run("/usr/bin/python3", &["-c", script, &at], &input).expect("python3");
    assert!(ok, "{err}");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let path = entry.expect("a file").path();
        let judged = Command::new("/usr/bin/python3")
            .args(["-m", "cloudinit.cmd.main", "schema", "--config-file"])
            .arg(&path)
            .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"))
            .output()
            .expect("cloud-init");
        let said =
            String::from_utf8_lossy(&judged.stdout) + String::from_utf8_lossy(&judged.stderr);
        let wrong = path.ends_with("wrong");
        assert_eq!(
            judged.status.success(),
            !wrong,
            "{}: {said}",
            path.display()
        );
        assert!(
            wrong || !said.contains("Invalid") && !said.contains("deprecated"),
            "{said}"
        );
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn netplan_makes_a_network_of_it() {
    if run("netplan", &["info"], "").is_none() {
        return;
    }
    for (case, system, place) in cases() {
        let rendered = of("ubuntu-24.04", &system, &place).expect("rendered");
        let root = tempfile::tempdir().expect("a folder");
        let dir = root.path().join("etc/netplan");
        std::fs::create_dir_all(&dir).expect("a folder");
        let lines = text(&rendered, "network-config").lines();
        let body: String = lines.map(|l| format!("  {l}\n")).collect();
        std::fs::write(dir.join("50.yaml"), format!("network:\n{body}")).expect("a file");
        let at = root.path().display().to_string();
        let (ok, out, err) =
            run("netplan", &["generate", "--root-dir", &at], "").expect("asked above");
        assert!(ok, "{case}: {out}{err}");
        let networks = root.path().join("run/systemd/network");
        let mut all = String::new();
        let mut files: Vec<_> = std::fs::read_dir(&networks)
            .expect("networks")
            .map(|f| f.expect("a file").path())
            .collect();
        files.sort();
        for file in files {
            let name = file
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            all.push_str(&format!(
                "# {name}\n{}",
                std::fs::read_to_string(&file).expect("text")
            ));
        }
        let has = |what: &str| assert!(all.contains(what), "{case}: no `{what}`\n{all}");
        has("PermanentMACAddress=52:54:00:00:00:01");
        match case {
            "bios-dhcp" | "uefi-dhcp" => {
                has("DHCP=ipv4");
                has("IPv6AcceptRA=no");
            }
            "bios-static" | "uefi-static-lvm" | "locked" => {
                has("Address=10.77.0.11/24");
                has("Gateway=10.77.0.1");
                has("DNS=10.77.0.1");
                has("Domains=lab.example");
            }
            "raid" => has("DHCP=yes"),
            "vlan" => {
                has("VLAN=v20");
                has("Gateway=10.20.0.1\nMetric=1020");
            }
            "rich" => {
                has("Kind=bond");
                has("Mode=802.3ad");
                has("Address=10.77.0.11/24");
                has("Address=2001:db8::11/64");
                has("IPv6AcceptRA=yes");
                has("Id=20");
                has("Address=10.20.0.5/24");
                has("Id=30");
                has("Name=backup0");
            }
            other => panic!("{other}"),
        }
    }
}

/// Every text that somebody can write, hostile: what is parsed holds the very text, or rendering refuses.
#[test]
fn hostile_values_are_values() {
    let mut tried = Vec::new();
    let mut refused = 0;
    for hostile in HOSTILE {
        let text_of = serde_json::Value::from(hostile);
        let partials = [
            ("packages", serde_json::json!({"packages": [text_of]})),
            (
                "locale",
                serde_json::json!({"locale": {"language": text_of}}),
            ),
            (
                "keyboard",
                serde_json::json!({"locale": {"keyboard": text_of}}),
            ),
            (
                "timezone",
                serde_json::json!({"locale": {"timezone": text_of}}),
            ),
            (
                "mount",
                serde_json::json!({"storage": {"volumes": [{"mount": text_of, "size": 5}]}}),
            ),
            (
                "mode",
                serde_json::json!({"network": {"bond": {"b0": {"interfaces": ["52:54:00:00:00:01"], "mode": text_of}}}}),
            ),
            (
                "vlan",
                serde_json::json!({"network": {"vlan": {hostile: {"id": 2}}}}),
            ),
            (
                "user",
                serde_json::json!({"users": {hostile: {"groups": [text_of], "ssh_keys": [text_of], "password": text_of, "shell": text_of}}}),
            ),
            (
                "source",
                serde_json::json!({"repository": {hostile: {"url": text_of, "suite": text_of}}}),
            ),
        ];
        let mut try_it = |what: &str, machine: &System| match of("ubuntu-24.04", machine, &place())
        {
            Err(_) => refused += 1,
            Ok(rendered) => tried.push(serde_json::json!({
                "what": what, "value": hostile, "user": text(&rendered, "user-data"),
                "network": text(&rendered, "network-config"), "meta": text(&rendered, "meta-data"),
            })),
        };
        for (what, partial) in partials {
            let mut machine = system("web01");
            let partial = partial.as_object().cloned().expect("a table");
            machine.intent = Some(Arc::new(Partial::new(partial)));
            try_it(what, &machine);
        }
        for (what, var) in [
            ("vars-source", "source"),
            ("vars-updates", "updates"),
            ("vars-mirror", "mirror"),
        ] {
            let machine = super::site::with_vars("web01", serde_json::json!({ var: hostile }));
            try_it(what, &machine);
        }
    }
    assert!(
        tried.len() > 100,
        "{} tried, {refused} refused",
        tried.len()
    );
    python(
        r#"
import sys, json, yaml
for d in json.load(sys.stdin):
    what, v = d["what"], d["value"]
    a = yaml.safe_load(d["user"])["autoinstall"]
    n = yaml.safe_load(d["network"])
    got = {
        "packages": lambda: a["packages"][0], "locale": lambda: a["locale"],
        "keyboard": lambda: a["keyboard"]["layout"], "timezone": lambda: a["timezone"],
        "mount": lambda: [x for x in a["storage"]["config"] if x.get("path") == v][0]["path"],
        "mode": lambda: n["bonds"]["b0"]["parameters"]["mode"],
        "vlan": lambda: list(n["vlans"])[0],
        "user": lambda: [u for u in a["user-data"]["users"] if u["name"] == v and u["hashed_passwd"] == v
                         and u["shell"] == v and u["ssh_authorized_keys"] == [v] and u["groups"] == [v]][0]["name"],
        "source": lambda: list(a["apt"]["sources"])[0],
        "vars-source": lambda: a["source"]["id"], "vars-updates": lambda: a["updates"],
        "vars-mirror": lambda: a["apt"]["primary"][0]["uri"],
    }[what]()
    assert got == v, (what, v, got)
    assert set(a) <= {"version", "early-commands", "error-commands", "late-commands", "reporting", "refresh-installer",
        "shutdown", "locale", "keyboard", "timezone", "source", "updates", "ssh", "apt", "packages", "storage", "network", "user-data"}
"#,
        &tried.into(),
    );
}

#[test]
fn what_the_installer_cannot_do_is_refused_with_the_reason() {
    for (lines, told) in [
        (
            "storage = { encrypt = \"tpm2\" }",
            "set `storage.layout = \"lvm\"`",
        ),
        (
            "repository = { r = { url = \"http://repo.example/\" } }",
            "needs a `suite`",
        ),
    ] {
        let said = of("ubuntu-24.04", &declared_as("web01", lines), &place()).expect_err(lines);
        assert!(said.contains(told), "{lines}: {said}");
    }
}
