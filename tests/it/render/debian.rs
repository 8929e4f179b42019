//! The shipped Debian profile, judged by goldens and by the installer's own programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::model::{Firmware, System};
use farrier::render::{CompiledProfile, Place, Rendered};
use serde_json::json;

use super::first_boot::lint;
use super::site::{distro, place, run, shipped, system, with_vars};

pub(super) fn rendered(system: &System, place: &Place) -> Rendered {
    let profile = CompiledProfile::new(&shipped("debian-12")).expect("a sound profile");
    let rendered = profile.render(system, &distro(), place).expect("rendered");
    assert_eq!(rendered.warnings, vec![]);
    rendered
}

pub(super) fn text<'a>(rendered: &'a Rendered, name: &str) -> &'a str {
    std::str::from_utf8(&rendered.documents[name].bytes).expect("text")
}

/// Bare BIOS machine by DHCP; UEFI with a static address and LVM; a full name and its own values.
pub(super) fn machines() -> BTreeMap<&'static str, (System, Place)> {
    let bios = (system("web01"), place());
    let mut uefi = with_vars("db01", json!({"storage": "lvm", "console": ""}));
    uefi.interfaces[0].static_ip = true;
    let mut at = place();
    at.firmware = Some(Firmware::UEFI);
    if let Some(subnet) = &mut at.subnet {
        subnet.ntp = vec!["10.77.0.1".parse().expect("an address")];
    }
    let uefi = (uefi, at);
    let mut own = with_vars(
        "mail.dc2.example",
        json!({"packages": ["postfix", "curl"], "timezone": "Europe/Berlin",                "kernel_options": ["mitigations=auto", "quiet"],
               "security": "http://mirror.example/debian-security", "on_failure": "poweroff"}),
    );
    own.ssh_keys.clear();
    let mut at = place();
    at.subnet = None;
    at.server = "192.0.2.1:8080".parse().expect("an address");
    BTreeMap::from([
        ("bios-dhcp", bios),
        ("uefi-static-lvm", uefi),
        ("own-values", (own, at)),
    ])
}

#[test]
fn goldens() {
    for (case, (system, place)) in machines() {
        let rendered = rendered(&system, &place);
        let mut all = format!("cmdline: {}\n", rendered.cmdline);
        for name in [
            "preseed.cfg",
            "farrier.env",
            "authorized_keys",
            "interfaces",
        ] {
            all.push_str(&format!("\n==> {name} <==\n{}", text(&rendered, name)));
        }
        insta::with_settings!({
            snapshot_path => "../../golden/render",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(format!("debian-12-{case}"), all) });
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
        Err(_) => eprintln!("SKIPPED: `shellcheck` is not installed"),
    }
}
