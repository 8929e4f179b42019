//! The profiles of installers that cannot run here: what they render, read by the parsers that are.

use std::net::SocketAddrV4;
use std::sync::Arc;

use farrier::model::{Profile, System};
use farrier::render::{CompiledProfile, Rendered, render};

use super::site::{declared, distro_of, place, run, shipped};
use crate::contract::takes_keys;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp3 ops@example";
const HASH: &str = "$6$rounds=5000$saltsaltsalt$Q3f5Yb0Wq7hPzV1xJkLmN2oRtUvWyZaBcDeFgHiJ";

/// What a system must say of itself for each profile, and nothing that it cannot do.
const PROFILES: [(&str, &str); 8] = [
    (
        "proxmox-ve",
        "disk = { serial = \"S3EVNX0K\" }\nusers = { root = { password = \"HASH\" } }\n",
    ),
    ("talos", ""),
    ("freebsd", "packages = [\"nginx\"]\n"),
    (
        "alpine",
        "packages = [\"nginx\"]\nusers = { alice = { groups = [\"wheel\"], password = \"HASH\", sudo = true, shell = \"/bin/ash\" } }\n",
    ),
    ("windows", ""),
    ("esxi", "users = { root = { password = \"HASH\" } }\n"),
    (
        "smartos",
        "vars = { every_disk = true, root_password = \"first login\" }\n",
    ),
    ("openbsd", "disk = { path = \"/dev/sd0\" }\n"),
];

pub(super) fn machine(profile: &str, lines: &str) -> System {
    let text = format!(
        "[system.web01]\nprofile = \"{profile}\"\nmac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n\
         {}{}",
        keys(profile),
        lines.replace("HASH", HASH)
    );
    declared(&text).remove(0)
}

/// A key for ssh, if the profile takes any.
fn keys(profile: &str) -> String {
    match takes_keys(profile) {
        true => format!("ssh_keys = [\"{KEY}\"]\n"),
        false => String::new(),
    }
}

fn rendered(profile: &Profile, system: &System) -> Result<Rendered, String> {
    let compiled = CompiledProfile::new(profile).map_err(|all| format!("{all:?}"))?;
    let site = distro_of(profile);
    compiled.render(system, &site, &place()).map_err(|all| {
        let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

pub(super) fn sound(name: &str, lines: &str) -> Rendered {
    rendered(&shipped(name), &machine(name, lines)).unwrap_or_else(|told| panic!("{name}: {told}"))
}

pub(super) fn text(rendered: &Rendered, name: &str) -> String {
    let document = rendered
        .documents
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"));
    String::from_utf8(document.bytes.clone()).expect("text")
}

/// FreeBSD's script for a server at this address, with its certificate.
pub(crate) fn freebsd(server: SocketAddrV4, secure: SocketAddrV4, authority: &str) -> String {
    let profile = shipped("freebsd");
    let mut at = place();
    (at.server, at.secure, at.authority) = (server, secure, Some(Arc::from(authority)));
    let made = render(&machine("freebsd", ""), &profile, &distro_of(&profile), &at);
    text(&made.expect("rendered"), "install.sh")
}

#[test]
fn each_renders_for_a_system_that_says_what_it_needs() {
    for (name, lines) in PROFILES {
        let made = sound(name, lines);
        if name == "talos" {
            continue;
        }
        let fixed = sound(name, &format!("static_ip = true\n{lines}"));
        for (document, bytes) in &made.documents {
            let text = String::from_utf8_lossy(&bytes.bytes);
            assert!(
                !text.contains("{%") && !text.contains("<undefined"),
                "{name} {document}"
            );
        }
        assert_ne!(
            made.documents, fixed.documents,
            "{name}: a static address changes something"
        );
    }
}

#[test]
fn what_an_installer_cannot_do_is_refused_with_the_reason() {
    for (name, lines, told) in [
        (
            "proxmox-ve",
            "users = { root = { password = \"HASH\" } }\n",
            "name the disk by",
        ),
        (
            "proxmox-ve",
            "disk = { serial = \"S\" }\n",
            "hash of a root password",
        ),
        (
            "proxmox-ve",
            "storage = { encrypt = \"tpm2\" }\ndisk = { serial = \"S\" }\nusers = { root = { password = \"HASH\" } }\n",
            "does not encrypt",
        ),
        (
            "talos",
            "storage = { layout = \"lvm\" }\n",
            "lays its disk out itself",
        ),
        (
            "talos",
            "vars = { talos = { join = { cluster = \"c\", endpoint = \"https://c:6443\", machine_token = \"a\", machine_ca = \"b\", cluster_id = \"c\", cluster_secret = \"d\", cluster_token = \"e\", cluster_ca = \"f\" } } }\n",
            "name the disk by",
        ),
        (
            "talos",
            "static_ip = true\n",
            "part of the machine configuration",
        ),
        (
            "alpine",
            "storage = { encrypt = \"tpm2\" }\n",
            "asks for a passphrase",
        ),
        (
            "windows",
            "storage = { layout = \"lvm\" }\n",
            "one plain disk",
        ),
        ("esxi", "", "hash of a root password"),
        (
            "smartos",
            "vars = { root_password = \"x\" }\n",
            "every_disk",
        ),
        (
            "smartos",
            "vars = { every_disk = true }\n",
            "vars.root_password",
        ),
        ("openbsd", "", "knows disks by its own names"),
        // and what no template of theirs reads
        (
            "windows",
            "packages = [\"nginx\"]\n",
            "does not use `packages`",
        ),
        (
            "proxmox-ve",
            "disk = { serial = \"S\" }\nusers = { root = { password = \"HASH\" }, alice = { sudo = true } }\n",
            "does not use `users.alice`",
        ),
    ] {
        match rendered(&shipped(name), &machine(name, lines)) {
            Ok(_) => panic!("{name} rendered with {lines}"),
            Err(said) => assert!(said.contains(told), "{name}, {lines}: {said}"),
        }
    }
}

/// A script of Python that exits with what is wrong.
fn python(script: &str, input: &str, what: &str) {
    if let Some((ok, _, err)) = run("python3", &["-c", script], input) {
        assert!(ok, "{what}: {err}\n{input}");
    }
}

#[test]
fn answers_are_what_their_readers_parse() {
    let of = |name: &str| {
        let (_, lines) = PROFILES.iter().find(|(n, _)| *n == name).expect("listed");
        sound(name, &format!("static_ip = true\n{lines}"))
    };
    python(
        "import sys, tomllib
a = tomllib.loads(sys.stdin.read())
assert a['global']['fqdn'] == 'web01.lab.example', a
assert a['global']['keyboard'] == 'en-us', a
assert a['global']['root-ssh-keys'] == ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp3 ops@example'], a
assert a['network'] == {'source': 'from-answer', 'cidr': '10.77.0.11/24', 'gateway': '10.77.0.1', 'dns': '10.77.0.1', 'filter': {'ID_NET_NAME_MAC': 'enx525400000001'}}, a
assert a['disk-setup'] == {'filesystem': 'ext4', 'lvm': {'swapsize': 1}, 'filter-match': 'all', 'filter': {'ID_SERIAL_SHORT': 'S3EVNX0K'}}, a
assert a['post-installation-webhook']['url'].endswith('/end'), a
assert a['first-boot']['url'].endswith('/first-boot.sh'), a",
        &text(&of("proxmox-ve"), "answer.toml"),
        "answer.toml",
    );
    python(
        "import sys, json
a = json.loads(sys.stdin.read())
assert a['config_console'] and a['zpool_layout'] == 'default' and a['zpool_confirm_layout'] == 'yes', a
assert a['admin_ip'] == '10.77.0.11' and a['admin_netmask'] == '255.255.255.0', a
assert all(type(v) is str and v or v is True for v in a.values()), a",
        &text(&of("smartos"), "answers.json"),
        "answers.json",
    );
    python(
        "import sys, xml.etree.ElementTree as x
r = x.fromstring(sys.stdin.read())
n = '{urn:schemas-microsoft-com:unattend}'
passes = [s.get('pass') for s in r.iter(n + 'settings')]
assert passes == ['specialize', 'oobeSystem'], passes
assert r.find('.//' + n + 'ComputerName').text == 'web01'
assert r.find('.//' + n + 'UnicastIpAddresses/' + n + 'IpAddress').text == '10.77.0.11/24'
assert not list(r.iter(n + 'AdministratorPassword'))",
        &text(&of("windows"), "unattend.xml"),
        "unattend.xml",
    );
    let join = "disk = { serial = \"S1\" }\nvars = { talos = { join = { cluster = \"c\", endpoint = \"https://c:6443\", \
                machine_token = \"a\", machine_ca = \"b\", cluster_id = \"c\", cluster_secret = \"d\", cluster_token = \"e\", cluster_ca = \"f\" } } }\n";
    let fixed = format!("static_ip = true\n{join}");
    for (lines, kinds) in [
        ("", "['KmsgLogConfig']"),
        (join, "[None, 'KmsgLogConfig']"),
        (&fixed, "[None, 'KmsgLogConfig']"),
    ] {
        let script = format!(
            "import sys\ntry:\n import yaml\nexcept ImportError:\n sys.exit(0)\nd = list(yaml.safe_load_all(sys.stdin.read()))\n\
             assert [x.get('kind') for x in d] == {kinds}, d\n\
             m = d[0].get('machine')\nassert not m or m['install']['diskSelector'] == {{'serial': 'S1'}} and m['network']['interfaces'][0]['deviceSelector']['hardwareAddr'] == '52:54:00:00:00:01', m"
        );
        let config = text(&sound("talos", lines), "config.yaml");
        python(&script, &config, "config.yaml");
        if lines == fixed {
            assert!(
                config.contains("addresses: [\"10.77.0.11/24\"]"),
                "{config}"
            );
            assert!(config.contains("gateway: \"10.77.0.1\"\n"), "{config}");
        }
        talos_schema(&config);
    }
    python(
        "import sys
text, sections = sys.stdin.read(), {}
name = 'commands'
for line in text.split('\\n'):
    if line.startswith('%') and not line.startswith('%include'):
        name = line
    else:
        sections.setdefault(name, []).append(line)
assert [s.split()[0] for s in sections] == ['commands', '%pre', '%post', '%firstboot'], list(sections)
for section, lines in sections.items():
    if 'python' in section:
        compile('\\n'.join(lines), section, 'exec')
commands = sections['commands']
assert not any(l.startswith('install') for l in commands), commands
assert '%include /tmp/farrier-disk.cfg' in commands and 'vmaccepteula' in commands, commands
assert any(l.startswith('network --bootproto=static --device=52:54:00:00:00:01 --ip=10.77.0.11 --netmask=255.255.255.0 --gateway=10.77.0.1') for l in commands), commands",
        &text(&of("esxi"), "ks.cfg"),
        "ks.cfg",
    );
    let esxi = of("esxi");
    let boot = text(&esxi, "boot.cfg");
    let modules = boot
        .lines()
        .find_map(|l| l.strip_prefix("modules="))
        .expect("modules");
    assert_eq!(modules.split(" --- ").count(), 46, "{modules}");
    assert!(
        modules
            .split(" --- ")
            .all(|m| m.starts_with("http://10.77.0.1/a/")),
        "{modules}"
    );
    assert!(
        boot.contains("kernelopt=runweasel ks=http://10.77.0.1/b/"),
        "{boot}"
    );
    let openbsd = of("openbsd");
    let answers = text(&openbsd, "install.conf");
    for line in answers
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
    {
        assert!(
            line.split_once(" = ")
                .is_some_and(|(q, a)| !q.is_empty() && !a.trim().is_empty()),
            "{line}"
        );
    }
    assert_eq!(answers.matches("Location of sets = http").count(), 2);
    assert_eq!(text(&openbsd, "disklabel").trim(), "swap 1024M\n/ 4G-*");
}

/// Talos's own schema of its configuration (pkg/machinery/config/schemas), which is not Farrier's to ship.
fn talos_schema(config: &str) {
    let Ok(file) = std::env::var("FARRIER_TEST_TALOS_SCHEMA") else {
        crate::skipped!(
            "FARRIER_TEST_TALOS_SCHEMA names no schema, and Talos's answers were not judged by it"
        );
        return;
    };
    let script = "import sys, json, yaml, jsonschema\n\
        schema = json.load(open(sys.argv[1]))\n\
        check = lambda d: jsonschema.validate(d, schema)\n\
        [check(d) for d in yaml.safe_load_all(sys.stdin.read())]";
    if let Some((ok, _, err)) = run("python3", &["-c", script, &file], config) {
        assert!(ok, "{err}\n{config}");
    }
}

#[test]
fn scripts_are_what_their_shells_read() {
    let alpine = sound(
        "alpine",
        "static_ip = true\npackages = [\"nginx\", \"vim\"]\nusers = { alice = { password = \"HASH\", sudo = true } }\n",
    );
    for name in ["install.sh", "farrier.env"] {
        let script = text(&alpine, name);
        for shell in [["busybox", "sh"].as_slice(), &["dash"]] {
            let arguments: Vec<&str> = shell[1..].iter().copied().chain(["-n"]).collect();
            if let Some((ok, _, err)) = run(shell[0], &arguments, &script) {
                assert!(ok, "{name}: {err}\n{script}");
            }
        }
    }
    let script = text(&alpine, "install.sh");
    assert!(script.contains("apk add 'nginx' 'vim'\n"), "{script}");
    assert!(
        script.contains("setup-disk -q -m sys -s 1024 \"$disk\""),
        "{script}"
    );
    assert!(script.contains(&format!("'alice:{HASH}'")), "{script}");
    if let Some((ok, out, _)) = run(
        "shellcheck",
        &["-s", "sh", "-e", "SC1091,SC2154,SC2012,SC2016,SC2086", "-"],
        &script,
    ) {
        assert!(ok, "{out}");
    }
    let freebsd = text(
        &sound(
            "freebsd",
            "static_ip = true\npackages = [\"nginx\"]\nusers = { alice = { password = \"HASH\", groups = [\"sudo\"] } }\n",
        ),
        "install.sh",
    );
    if let Some((ok, _, err)) = run("dash", &["-n"], &freebsd) {
        assert!(ok, "{err}\n{freebsd}");
    }
    if let Some((ok, out, _)) = run(
        "shellcheck",
        &["-s", "sh", "-e", "SC2016,SC2015,SC2317", "-"],
        &freebsd,
    ) {
        assert!(ok, "{out}");
    }
    assert!(
        freebsd.contains("port=80\nreport=http://10.77.0.1/r/"),
        "{freebsd}"
    );
    // the overlay is one that mkinitfs unpacks: a gzipped tar, with the services a system in RAM needs
    let overlay = &alpine.documents["farrier.apkovl.tar.gz"];
    assert!(overlay.gzip);
    let listed = crate::artefacts::filled::tar(&overlay.bytes);
    for path in [
        "etc/.default_boot_services",
        "etc/apk/world",
        "etc/farrier/start.sh",
        "etc/inittab",
    ] {
        assert!(listed.lines().any(|l| l == path), "{path}: {listed}");
    }
    let openbsd = sound(
        "openbsd",
        "disk = { path = \"/dev/sd0\" }\nusers = { alice = { sudo = true } }\n",
    );
    let site = &openbsd.documents["site78.tgz"];
    let listed = crate::artefacts::filled::tar(&site.bytes);
    assert_eq!(listed.trim(), "install.site");
}
