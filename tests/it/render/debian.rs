//! The shipped Debian profile, judged by goldens and by the installer's own programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::model::{Firmware, System};
use farrier::render::{CompiledProfile, Place, Rendered};

use super::first_boot::lint;
use super::site::{RICH, declared_as, distro, place, run, shipped, system};

pub(super) fn rendered(system: &System, place: &Place) -> Rendered {
    of_release("debian-12", system, place)
}

fn of_release(profile: &str, system: &System, place: &Place) -> Rendered {
    let profile = CompiledProfile::new(&shipped(profile)).expect("a sound profile");
    let rendered = profile.render(system, &distro(), place).expect("rendered");
    assert_eq!(rendered.warnings, vec![]);
    rendered
}

pub(super) fn text<'a>(rendered: &'a Rendered, name: &str) -> &'a str {
    std::str::from_utf8(&rendered.documents[name].bytes).expect("text")
}

/// An encrypted disk that two key servers open, either of them.
const LOCKED: &str = "static_ip = true
[system.safe01.storage]
layout  = \"lvm\"
encrypt = \"tang\"
tang    = [{ url = \"http://tang1.example\", thumbprint = \"aaaaaaaaaaaaaaaaaaaaaaaaaaa\" }, { url = \"http://tang2.example\", thumbprint = \"bbbbbbbbbbbbbbbbbbbbbbbbbbb\" }]
volumes = [{ mount = \"/var\", size = \"20GiB\" }, { mount = \"/\", size = \"rest\" }]
";

/// Both firmwares, both ways to an address; a full name and its own values; and one that asks for
/// nearly everything there is.
pub(super) fn machines() -> BTreeMap<&'static str, (System, Place)> {
    let ntp = |place: &mut Place| {
        if let Some(subnet) = &mut place.subnet {
            subnet.ntp = vec!["10.77.0.1".parse().expect("an address")];
        }
    };
    let bios = (system("web01"), place());
    let bios_static = (declared_as("web02", "static_ip = true"), place());
    let mut at = place();
    at.firmware = Some(Firmware::UEFI);
    let uefi = (system("web03"), at.clone());
    ntp(&mut at);
    let lvm = "static_ip = true\nstorage.layout = \"lvm\"\nvars = { console = \"\" }";
    let uefi_static = (declared_as("db01", lvm), at.clone());
    let own = "ssh_keys = []\npackages = [\"postfix\", \"curl\"]\nlocale = { timezone = \"Europe/Berlin\" }\n\
               vars = { kernel_options = [\"mitigations=auto\", \"quiet\"], on_failure = \"poweroff\", \
               security = \"http://mirror.example/debian-security\" }";
    let own = declared_as("mail.dc2.example", own);
    let mut far = place();
    far.subnet = None;
    far.server = "192.0.2.1:8080".parse().expect("an address");
    BTreeMap::from([
        ("bios-dhcp", bios),
        ("bios-static", bios_static),
        ("uefi-dhcp", uefi),
        ("uefi-static-lvm", uefi_static),
        ("own-values", (own, far)),
        ("locked", (declared_as("safe01", LOCKED), at.clone())),
        ("rich", (declared_as("rich", RICH), at)),
    ])
}

#[test]
fn goldens() {
    let of = |release: &'static str| {
        let machines = machines().into_iter();
        machines.map(move |(case, machine)| (release, case, machine))
    };
    for (release, case, (system, place)) in of("debian-12").chain(of("debian-13")) {
        let rendered = of_release(release, &system, &place);
        let mut all = format!("cmdline: {}\n", rendered.cmdline);
        for name in [
            "preseed.cfg",
            "farrier.env",
            "authorized_keys",
            "interfaces",
            "users.sh",
            "repositories.sh",
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

#[test]
fn no_answer_carries_a_secret_and_every_name_it_fetches_is_there() {
    for (system, place) in machines().values() {
        let rendered = rendered(system, place);
        for document in rendered.documents.values().filter(|d| !d.secret) {
            let text = String::from_utf8_lossy(&document.bytes);
            assert!(!text.contains("FARRIER-SECRET"), "{}", document.name);
        }
        let preseed = text(&rendered, "preseed.cfg");
        assert_eq!(
            preseed.contains("unlock.sh"),
            preseed.contains("method string crypto")
        );
        assert!(!preseed.contains("partman-crypto/passphrase"));
        let listed = preseed
            .split("for f in ")
            .nth(1)
            .and_then(|t| t.split(';').next());
        for name in listed.expect("the scripts it fetches").split(' ') {
            assert!(rendered.documents.contains_key(name), "{name}");
        }
        assert!(rendered.cmdline.contains("/b/FARRIER-READ-TOKEN"));
    }
}

#[test]
fn debconf_has_nothing_to_say() {
    for (system, place) in machines().values() {
        let rendered = rendered(system, place);
        // with exit code 0 whatever is wrong: only silence is a pass
        if let Some((_, out, err)) = run(
            "debconf-set-selections",
            &["--checkonly"],
            text(&rendered, "preseed.cfg"),
        ) {
            assert_eq!((out.as_str(), err.as_str()), ("", ""));
        }
    }
}

/// Writes every document but the bundle into a folder, tokens as they are.
pub(super) fn lay_out(rendered: &Rendered, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, document) in &rendered.documents {
        std::fs::write(folder.join(name), &document.bytes).expect("a file");
    }
}

#[test]
fn every_script_passes_shellcheck() {
    let folder = tempfile::tempdir().expect("a folder");
    for (case, (system, place)) in machines() {
        let rendered = rendered(&system, &place);
        let at = folder.path().join(case);
        lay_out(&rendered, &at);
        let scripts: Vec<PathBuf> = rendered
            .documents
            .keys()
            .filter(|name| name.ends_with(".sh"))
            .map(|name| at.join(name))
            .collect();
        assert!(scripts.len() >= 7);
        for script in scripts {
            // sourced by others, which are checked with it
            if script.ends_with("report.sh") {
                continue;
            }
            lint_in(&at, &script);
        }
        // the steps inside the bundle
        let steps = at.join("unpacked");
        let bundle = at.join("bundle.sh");
        let arguments = [bundle.display().to_string(), steps.display().to_string()];
        if let Some((ok, _, err)) = run("dash", &[&arguments[0], &arguments[1]], "") {
            assert!(ok, "{err}");
            for step in std::fs::read_dir(&steps).expect("steps") {
                let step = step.expect("a step").path();
                if !step.ends_with(".hand-off") {
                    lint(&step);
                }
            }
        }
    }
}

fn lint_in(folder: &Path, script: &Path) {
    let mut command = Command::new("shellcheck");
    command.args([
        "--shell=sh",
        "--external-sources",
        "--source-path=SCRIPTDIR",
    ]);
    match command.arg(script).current_dir(folder).output() {
        Ok(out) => assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stdout)
        ),
        Err(_) => crate::skipped!("`shellcheck` is not installed"),
    }
}

#[test]
fn what_partman_cannot_encrypt_is_refused_with_the_reason() {
    for (lines, told) in [
        (
            "storage = { encrypt = \"tpm2\" }",
            "set `storage.layout = \"lvm\"`",
        ),
        (
            "storage = { encrypt = \"tpm2\", layout = \"lvm\", raid = \"raid1\", second = { serial = \"S2\" } }",
            "encrypts no mirror by itself",
        ),
    ] {
        let profile = CompiledProfile::new(&shipped("debian-12")).expect("a sound profile");
        let refused = profile.render(&declared_as("web01", lines), &distro(), &place());
        let said: String = refused
            .expect_err(lines)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn the_security_archive_is_this_servers_unless_said_otherwise() {
    for (var, mirror, wanted) in [
        ("", "debian", "http://10.77.0.1/mirror/debian-security"),
        // one that this server has no security archive for
        ("", "other", "''"),
        ("", "", "''"),
        ("security = \"\"", "debian", "''"),
        (
            "security = \"http://mirror.example/security\"",
            "debian",
            "http://mirror.example/security",
        ),
    ] {
        let profile = CompiledProfile::new(&shipped("debian-12")).expect("a sound profile");
        let mut distro = distro();
        distro.mirror = (!mirror.is_empty()).then(|| mirror.to_string());
        let machine = declared_as("web01", &format!("vars = {{ {var} }}"));
        let made = profile
            .render(&machine, &distro, &place())
            .expect("rendered");
        let env = text(&made, "farrier.env");
        let line = env
            .lines()
            .find_map(|l| l.strip_prefix("SECURITY="))
            .expect("a line");
        assert_eq!(line.trim_matches('\''), wanted.trim_matches('\''), "{env}");
    }
}
