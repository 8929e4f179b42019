//! Profiles and systems for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use farrier::inventory::{FileSet, parse};
use farrier::model::{
    Answer, Deadlines, Delivery, DiskRule, Distro, DistroWay, Firmware, Handoff, Interface,
    Partial, Profile, ProfileKind, Site, Subnet, System,
};
use farrier::render::{CompiledProfile, Place, Rendered};
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
        intent: Partial::default(),
        asked: BTreeSet::new(),
        // the systems of these tests have keys, and what they render mostly does not
        ignores: BTreeSet::from(["ssh_keys".to_string()]),
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

/// The repository's own site, with other machines in it.
pub(super) fn repository(systems: &str) -> Site {
    loaded("systems.toml", systems).unwrap_or_else(|told| panic!("{told}"))
}

/// The only system of a systems.toml, of the profile `fai`; none if the load refuses it.
pub(super) fn attempt(systems: &str) -> Option<System> {
    static FILES: OnceLock<FileSet> = OnceLock::new();
    // what it needs and no more: this is asked for thousands of texts
    let files = FILES.get_or_init(|| {
        let mut files = files().clone();
        let needed = [
            "farrier.toml",
            "boot/fai-6.toml",
            "profiles/fai/",
            "profiles/base/",
        ];
        files
            .files
            .retain(|path, _| needed.iter().any(|n| path.starts_with(n)));
        files
    });
    let site = parse(&files.clone().with("systems.toml", systems.as_bytes())).site?;
    let system = site.systems.values().next().map(|s| (**s).clone());
    system.filter(|s| s.broken.is_none())
}

/// The repository's site with another farrier.toml; none if the load refuses it.
pub(super) fn settings(text: &str) -> Option<Site> {
    loaded("farrier.toml", text).ok()
}

/// The repository's files.
fn files() -> &'static FileSet {
    static FILES: OnceLock<FileSet> = OnceLock::new();
    FILES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        farrier::inventory::read(root).expect("the repository")
    })
}

/// The repository's site with this text in one of its files.
fn loaded(file: &str, text: &str) -> Result<Site, String> {
    let parsed = parse(&files().clone().with(file, text.as_bytes()));
    let told = farrier::inventory::report(&parsed.diagnostics, false);
    parsed.site.ok_or(told)
}

/// The repository's own site.
pub(super) fn own() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| repository(""))
}

/// A profile of this repository, with what it inherits.
pub(super) fn shipped(name: &str) -> Profile {
    (*own().profiles[name]).clone()
}

/// The distro of a profile of this repository.
pub(super) fn distro_of(profile: &Profile) -> Distro {
    let name = profile.distro.as_ref().expect("a distro");
    (*own().distros[name]).clone()
}

/// What a shipped profile makes of a system in this place, or why it refuses.
pub(super) fn of(profile: &str, system: &System, at: &Place) -> Result<Rendered, String> {
    let profile = shipped(profile);
    let compiled = CompiledProfile::new(&profile).expect("a sound profile");
    let rendered = compiled.render(system, &distro_of(&profile), at);
    rendered.map_err(|all| all.iter().map(|told| format!("{told}\n")).collect())
}

/// The same on the [`ground`].
pub(super) fn try_render(
    profile: &str,
    system: &System,
    firmware: Firmware,
) -> Result<Rendered, String> {
    of(profile, system, &ground(firmware))
}

/// What it makes of it without a warning.
pub(super) fn rendered(profile: &str, system: &System, firmware: Firmware) -> Rendered {
    let made = try_render(profile, system, firmware);
    let made = made.unwrap_or_else(|told| panic!("{profile}: {told}"));
    assert_eq!(made.warnings, vec![]);
    made
}

/// The same for firmware that only the machine itself will name.
pub(super) fn rendered_for_either(profile: &str, system: &System) -> Rendered {
    let made = rendered(profile, system, Firmware::BIOS);
    let same = rendered(profile, system, Firmware::UEFI);
    assert_eq!(made, same, "{profile} {}", system.name);
    made
}

/// A profile must refuse a system with these lines, and say this.
pub(super) fn must_refuse(profile: &str, lines: &str, told: &str) {
    match try_render(profile, &declared_as("web01", lines), Firmware::UEFI) {
        Ok(_) => panic!("{profile} rendered with {lines}"),
        Err(said) => assert!(said.contains(told), "{profile}, {lines}: {said}"),
    }
}

/// No document that is public may carry what redeems the hand-off.
pub(super) fn must_keep_the_secret(made: &Rendered) {
    for document in made.documents.values().filter(|d| !d.secret) {
        let text = String::from_utf8_lossy(&document.bytes);
        assert!(!text.contains("FARRIER-SECRET"), "{}", document.name);
    }
}

/// What a script fetches one by one, in a loop that begins like this, must be there.
pub(super) fn must_have_what_is_fetched(made: &Rendered, script: &str, begin: &str) {
    let listed = script.split(begin).nth(1).and_then(|t| t.split(';').next());
    for name in listed.expect("what it fetches").split_whitespace() {
        assert!(made.documents.contains_key(name), "{name}");
    }
}

/// The systems of a systems.toml, as the repository's site reads them. Addresses lie in 10.77.0.0/24.
pub(super) fn declared(systems: &str) -> Vec<System> {
    let site = repository(systems);
    site.systems.values().map(|s| (**s).clone()).collect()
}

/// What a system `rich` may ask for and all profiles of Linux can give, a bond with a VLAN on it and accounts,
/// and what only some can, in further lines. A macro, for `concat!` takes nothing but literals.
macro_rules! rich {
    ($own:literal) => {
        concat!(
            r#"
static_ip = true
locale = { language = "de_DE.UTF-8", keyboard = "de", timezone = "Europe/Berlin" }
interface = [
    { mac = "52:54:00:00:00:01", ip = "10.77.0.11", ip6 = "2001:db8::11/64" },
    { mac = "52:54:00:00:00:02" },
    { mac = "52:54:00:00:00:03", ip = "10.77.0.13", name = "backup0", static_ip = false },
]
network.bond.bond0 = { interfaces = ["52:54:00:00:00:01", "52:54:00:00:00:02"], mode = "802.3ad" }
network.vlan.vlan20.id = 20
network.vlan.vlan20.ip = "10.20.0.5/24"
users.alice.ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp4 alice@example"]
users.alice.password = "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ"
users.alice.sudo = true
users.app.shell = "/usr/sbin/nologin"
"#,
            $own
        )
    };
}
pub(super) use rich;

/// With two disks that mirror each other, logical volumes, another VLAN, a repository.
pub(super) const RICH: &str = rich!(
    r#"
packages = ["nginx", "internal-tool=1.2~3"]
network.ipv6 = "auto"
network.vlan.vlan30 = { link = "bond0", id = 30 }
users.alice.groups = ["adm", "ops"]
users.root.ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp5 root@example"]
[system.rich.storage]
layout  = "lvm"
raid    = "raid1"
second  = { serial = "S2" }
swap    = "2GiB"
volumes = [{ mount = "/var", size = "20GiB", filesystem = "xfs" }, { mount = "/srv/data", size = "rest" }, { mount = "/", size = "10GiB" }]
[system.rich.repository.internal]
url        = "http://repo.example/debian"
key        = "http://repo.example/key.asc"
suite      = "stable"
components = ["main", "extra"]
"#
);

/// One system with these lines in its entry, and the MAC address and address that [`system`] gives.
pub(super) fn declared_as(name: &str, lines: &str) -> System {
    let own = lines.contains(".interface]]") || lines.contains("\ninterface = [");
    let interface = match own {
        true => "",
        false => "mac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n",
    };
    let keys = match lines.contains("ssh_keys = []") {
        true => "",
        false => "ssh_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp3 ops@example\"]\n",
    };
    let text = format!(
        "[system.\"{name}\"]\nprofile = \"fai\"\ntags = [\"web\", \"rack-12\"]\n{keys}{interface}{lines}\n"
    );
    declared(&text).remove(0)
}

pub(super) fn system(name: &str) -> System {
    System {
        name: name.parse().expect("a name"),
        interfaces: vec![Interface {
            mac: "52:54:00:00:00:01".parse().expect("a mac"),
            ip: Some("10.77.0.11".parse().expect("an address")),
            static_ip: false,
            name: None,
            ip6: None,
        }],
        profile: "test".parse().expect("a name"),
        tags: vec!["web".into(), "rack-12".into()],
        vars: Map::new(),
        intent: None,
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
        networks: BTreeMap::new(),
    }
}

/// The place of machines with this firmware, whose site has a time server.
pub(super) fn ground(firmware: Firmware) -> Place {
    let mut at = place();
    at.firmware = Some(firmware);
    if let Some(subnet) = &mut at.subnet {
        subnet.ntp = vec!["10.77.0.1".parse().expect("an address")];
    }
    at
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
        crate::skipped!("`{program}` is not installed, and what it would check was not");
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
