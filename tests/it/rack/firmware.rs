//! Real firmware, the real Debian installer: from power-on to the first report of its early command.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use farrier::cli::demo::rack::{Firmware, Patience, Rack, RackError, Server, tools};
use farrier::model::Phase;

use super::scenario::{in_order, times};
use super::{can_run, site};

/// Power-on to the installer's first report takes 60 to 90 s on an idle host.
const PATIENCE: Patience = Patience::seconds(900);

fn reports_in(scenario: &str, firmware: Firmware, wanted: &[&str]) -> Result<(), RackError> {
    reports_to(scenario, firmware, wanted, debian, |_| Ok(()))
}

/// The same to a server of its own, which is then looked at.
fn reports_to(
    scenario: &str,
    firmware: Firmware,
    wanted: &[&str],
    server: impl Fn(&Rack) -> Result<Server, RackError>,
    look: impl Fn(&Server) -> Result<(), RackError>,
) -> Result<(), RackError> {
    let needs = [tools::NETWORK, tools::MACHINES, tools::LOADERS];
    if !can_run(scenario, &needs, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = server(&rack)?;
    let machine = rack.machine("web01").firmware(firmware).disk(4, "WEB01");
    server.must(&["add", "web01", &machine.mac().to_string(), "debian-12"])?;
    if firmware == Firmware::UefiSecureBoot {
        server.must(&["set", "web01", "secure_boot=true"])?;
    }
    server.must(&["rebuild", "web01", "--yes"])?;
    let mut power = machine.power_on()?;
    server.wait_event(
        "web01",
        "the installer's first report",
        PATIENCE,
        Some(&power),
        |e| e.kind == "installer-started",
    )?;
    in_order(&server, "web01", 1, wanted);
    times(&server, "web01", 1, "flagged", 1);
    let view = server.show("web01")?;
    assert_eq!(view.phase, Phase::Installing);
    assert_eq!(
        view.build.map(|b| b.attempts[0]),
        Some(1),
        "one boot is one attempt"
    );
    if firmware == Firmware::UefiSecureBoot {
        assert!(
            power.serial().has("UEFI Secure Boot is enabled"),
            "{}",
            power.evidence()
        );
    }
    let events = server.events("web01")?;
    for event in &events {
        eprintln!(
            "{scenario}: {:.1} {} {}",
            event.time, event.kind, event.detail
        );
    }
    power.cut();
    look(&server)
}

/// The repository's example site, with what this rack needs.
fn debian(rack: &Rack) -> Result<Server, RackError> {
    let settings = site::example(rack)?;
    site::fetched(&settings, &["debian-12"])?;
    Server::start(rack, settings)
}

/// The same, where shim and GRUB are the distro's own, and the server has none.
fn with_own_pair(rack: &Rack) -> Result<Server, RackError> {
    let mut settings = site::example(rack)?;
    let declared = settings.site.join("boot/debian-12.toml");
    let mut text = fs::read_to_string(&declared).map_err(RackError::file(&declared))?;
    for (name, from) in PAIR {
        let (file, from) = (format!("boot/files/own/{name}"), Path::new(from));
        let to = settings.site.join(&file);
        let copied = fs::create_dir_all(to.parent().unwrap_or(&to));
        copied
            .and_then(|()| fs::copy(from, &to))
            .map_err(RackError::file(from))?;
        text.push_str(&format!("[artefact.\"{name}\"]\nfile = \"{file}\"\n"));
    }
    fs::write(&declared, text).map_err(RackError::file(&declared))?;
    site::fetched(&settings, &["debian-12"])?;
    // this host's packages are hidden from it, as if they were not installed
    let program = rack.dir().join("farrier");
    let script = format!(
        "#!/bin/sh\nexec unshare --mount --propagation private sh -c '\
         mount -t tmpfs none /usr/lib/shim && mount -t tmpfs none /usr/lib/grub && exec \"$0\" \"$@\"' {} \"$@\"\n",
        settings.program.display()
    );
    fs::write(&program, script).map_err(RackError::file(&program))?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&program, mode).map_err(RackError::file(&program))?;
    settings.program = program;
    Server::start(rack, settings)
}

const PAIR: [(&str, &str); 2] = [
    ("shimx64.efi", "/usr/lib/shim/shimx64.efi.signed"),
    (
        "grubx64.efi",
        "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
    ),
];

#[test]
fn bios() -> Result<(), RackError> {
    reports_in(
        "the Debian installer on BIOS",
        Firmware::Bios,
        &[
            "flagged",
            "boot-began",
            "leased",
            "script-served",
            "fetched",
            "fetched",
            "leased",
            "answer-fetched",
            "installer-started",
        ],
    )
}

#[test]
fn uefi_pxe() -> Result<(), RackError> {
    reports_in(
        "the Debian installer on UEFI PXE",
        Firmware::UefiPxe,
        &[
            "flagged",
            "boot-began",
            "leased",
            "fetched",
            "leased",
            "script-served",
            "fetched",
            "fetched",
            "leased",
            "answer-fetched",
            "installer-started",
        ],
    )
}

#[test]
fn uefi_http() -> Result<(), RackError> {
    reports_in(
        "the Debian installer on UEFI HTTP boot",
        Firmware::UefiHttp,
        &[
            "flagged",
            "boot-began",
            "leased",
            "fetched",
            "leased",
            "script-served",
            "fetched",
            "fetched",
            "leased",
            "answer-fetched",
            "installer-started",
        ],
    )
}

/// What is recorded of a boot by shim and GRUB.
const SECURE: &[&str] = &[
    "flagged",
    "boot-began",
    "leased",
    "fetched",
    "fetched",
    "script-served",
    "fetched",
    "fetched",
    "leased",
    "answer-fetched",
    "installer-started",
];

#[test]
fn secure_boot() -> Result<(), RackError> {
    reports_in(
        "the Debian installer under Secure Boot",
        Firmware::UefiSecureBoot,
        SECURE,
    )
}

/// shim and GRUB as the firmware checks them, from the directory of the distro's own pair: the server has
/// no others.
#[test]
fn secure_boot_by_the_distros_own_pair() -> Result<(), RackError> {
    reports_to(
        "Secure Boot by the distro's own shim and GRUB",
        Firmware::UefiSecureBoot,
        SECURE,
        with_own_pair,
        |server| {
            let loaders = server.must(&["distro", "ls", "-o", "json"])?;
            let all: serde_json::Value = serde_json::from_str(&loaders).expect("JSON");
            let all = all.as_array().expect("a list").iter();
            let all = all.filter_map(|d| d["loaders"].as_array()).flatten();
            let missing: Vec<&str> = all
                .filter(|l| l["state"] == "missing")
                .filter_map(|l| l["name"].as_str())
                .collect();
            for (name, _) in PAIR {
                assert!(missing.contains(&name), "{name} is the server's: {loaders}");
            }
            let log = server.log();
            assert!(log.contains("; boot: pair/x64/"), "{log}");
            assert!(log.contains("/debian-12/grubx64.efi: "), "{log}");
            Ok(())
        },
    )
}
