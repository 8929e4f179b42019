//! Real firmware, the real Debian installer: from power-on to the first report of its early command.

use farrier::cli::demo::rack::{Firmware, Patience, Rack, RackError, Server, tools};
use farrier::model::Phase;

use super::scenario::{in_order, times};
use super::{can_run, site};

/// Power-on to the installer's first report takes 60 to 90 s on an idle host.
const PATIENCE: Patience = Patience::seconds(900);

fn reports_in(scenario: &str, firmware: Firmware, wanted: &[&str]) -> Result<(), RackError> {
    let needs = [tools::NETWORK, tools::MACHINES, tools::LOADERS];
    if !can_run(scenario, &needs, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = debian(&rack)?;
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
    Ok(())
}

/// The repository's example site, with what this rack needs.
fn debian(rack: &Rack) -> Result<Server, RackError> {
    let settings = site::example(rack)?;
    site::fetched(&settings, &["debian-12"])?;
    Server::start(rack, settings)
}

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

#[test]
fn secure_boot() -> Result<(), RackError> {
    reports_in(
        "the Debian installer under Secure Boot",
        Firmware::UefiSecureBoot,
        &[
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
        ],
    )
}
