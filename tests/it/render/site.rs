//! Profiles and systems for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use farrier::model::{
    Answer, Deadlines, Delivery, DiskRule, Distro, DistroWay, Firmware, Handoff, Interface,
    Profile, ProfileKind, Subnet, System,
};
use farrier::render::Place;
use serde_json::{Map, Value, json};

/// A profile made of files given as text.
pub(super) fn profile(kind: ProfileKind, files: &[(&str, &str)]) -> Profile {
    Profile {
        name: "test".parse().expect("a name"),
        kind,
        distro: Some("debian-12".parse().expect("a name")),
        cmdline: String::new(),
        answers: BTreeMap::new(),
        files: files
            .iter()
            .map(|(name, text)| (name.to_string(), Arc::from(text.as_bytes())))
            .collect(),
        executable: BTreeSet::new(),
        disk: DiskRule::default(),
        may_destroy: Vec::new(),
        vars: Map::new(),
        handoff: Handoff::None,
        deadlines: Deadlines::default(),
        attempts: 2,
        retry_after_write: false,
        delivery: Delivery::default(),
    }
}

/// The same with one answer, made from the first file.
pub(super) fn one_answer(kind: ProfileKind, name: &str, files: &[(&str, &str)]) -> Profile {
    let mut made = profile(kind, files);
    let file = files[0].0.to_string();
    made.answers
        .insert(name.to_string(), Answer::Template { file });
    made
}

/// A profile of this repository, with what it inherits.
pub(super) fn shipped(name: &str) -> Profile {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let read = |name: &str| -> Value {
        let path = root.join(name).join("profile.toml");
        let text = std::fs::read_to_string(&path).expect("a profile.toml");
        toml_edit::de::from_str(&text).expect("TOML")
    };
    let own = read(name);
    let parent = own["inherit"].as_str().map(str::to_string);
    let mut made = profile(ProfileKind::Preseed, &[]);
    made.name = name.parse().expect("a name");
    made.kind = serde_json::from_value(own["kind"].clone()).expect("a kind");
    made.cmdline = own["cmdline"].as_str().unwrap_or("").to_string();
    for layer in parent.iter().map(String::as_str).chain([name]) {
        let folder = root.join(layer);
        for path in walk(&folder) {
            let key = path.strip_prefix(&folder).expect("below").display();
            let bytes = std::fs::read(&path).expect("a file");
            let mode = std::fs::metadata(&path)
                .expect("a file")
                .permissions()
                .mode();
            if mode & 0o111 != 0 {
                made.executable.insert(key.to_string());
            }
            made.files.insert(key.to_string(), Arc::from(bytes));
        }
        if let Value::Object(vars) = &read(layer)["vars"] {
            made.vars.extend(vars.clone());
        }
    }
    if let Value::Object(answers) = &own["answers"] {
        for (answer, file) in answers {
            let answer_of = match file["dir"].as_str() {
                Some(dir) => Answer::Folder { dir: dir.into() },
                None => Answer::Template {
                    file: file.as_str().expect("a path").into(),
                },
            };
            made.answers.insert(answer.clone(), answer_of);
        }
    }
    if let Some(dir) = own["handoff"]["steps"].as_str() {
        made.handoff = Handoff::Steps {
            dir: dir.to_string(),
            timeout: Duration::from_secs(600),
        };
    }
    made
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(super) fn system(name: &str) -> System {
    System {
        name: name.parse().expect("a name"),
        interfaces: vec![Interface {
            mac: "52:54:00:00:00:01".parse().expect("a mac"),
            ip: Some("10.77.0.11".parse().expect("an address")),
            static_ip: false,
        }],
        profile: "test".parse().expect("a name"),
        tags: vec!["web".into(), "rack-12".into()],
        vars: Map::new(),
        disk: None,
        wipe: false,
        protected: false,
        secure_boot: false,
        ssh_keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp3 ops@example".into()],
        broken: None,
        bmc: None,
    }
}

pub(super) fn with_vars(name: &str, vars: Value) -> System {
    let mut made = system(name);
    if let Value::Object(vars) = vars {
        made.vars = vars;
    }
    made
}

pub(super) fn distro() -> Distro {
    Distro {
        name: "debian-12".parse().expect("a name"),
        artefacts: BTreeMap::new(),
        kernel: "linux".into(),
        kernel_uefi: None,
        initrds: vec!["initrd.gz".into()],
        mirror: Some("debian".into()),
        way: DistroWay::default(),
    }
}

/// Looks like a certificate, for what only renders it.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

pub(super) fn place() -> Place {
    Place {
        server: "10.77.0.1:80".parse().expect("an address"),
        secure: "10.77.0.1:443".parse().expect("an address"),
        authority: Some(Arc::from(AUTHORITY)),
        subnet: Some(Subnet {
            network: "10.77.0.0/24".parse().expect("a network"),
            router: Some("10.77.0.1".parse().expect("an address")),
            dns: vec!["10.77.0.1".parse().expect("an address")],
            domain: Some("lab.example".into()),
            ntp: Vec::new(),
            pool: Vec::new(),
            lease: Duration::from_secs(3600),
            server: None,
        }),
        ip: None,
        firmware: Some(Firmware::BIOS),
        epoch: 3,
        artefacts: BTreeMap::new(),
    }
}

/// One `vars` table with the value in it.
pub(super) fn value(text: &str) -> Value {
    json!({ "value": text })
}

/// Runs a program on an input; none if it is not installed, which is said loudly.
pub(super) fn run(
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Option<(bool, String, String)> {
    use std::io::Write;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: `{program}` is not installed, and what it would check was not");
        return None;
    };
    // a program that does not read its input closes it
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes());
    let done = child.wait_with_output().expect("an end");
    Some((
        done.status.success(),
        String::from_utf8_lossy(&done.stdout).into_owned(),
        String::from_utf8_lossy(&done.stderr).into_owned(),
    ))
}
