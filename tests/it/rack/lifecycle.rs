//! The main job, on real firmware with nothing mocked: a blank disk becomes ready by FAI, boots
//! itself when it is power-cycled, is rebuilt once when it is flagged again, and boots itself again.
//! A UEFI machine keeps its variable store from its first start to its last, as metal does.

use std::time::Instant;

use farrier::cli::demo::rack::{Firmware, Machine, Rack, RackError, Server, tools};
use farrier::model::Phase;

use super::scenario::{DISK, in_order, tells, times, to_its_end};
use super::{can_run, site};

const NAME: &str = "metal01";
const NEEDS: &[&[tools::Need]] = &[tools::NETWORK, tools::MACHINES, tools::LOADERS, tools::FAI];

/// What one build records, in this order, whatever the firmware.
const BUILD_STORY: &[&str] = &[
    "flagged",
    "boot-began",
    "leased",
    "script-served",
    "fetched",
    "leased",
    "answer-fetched",
    "installer-started",
    "write-permitted",
    "progress",
    "installer-ended",
    "handoff-redeemed",
    "agent-reported",
];

#[test]
fn fai_on_bios() -> Result<(), RackError> {
    lives("FAI on BIOS", Firmware::Bios)
}

#[test]
fn fai_on_uefi() -> Result<(), RackError> {
    lives("FAI on UEFI", Firmware::UefiPxe)
}

fn lives(scenario: &str, firmware: Firmware) -> Result<(), RackError> {
    if !can_run(scenario, NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = served(&rack)?;
    let machine = rack.machine(NAME).firmware(firmware).disk(6, "METAL0001");
    let mac = machine.mac().to_string();
    server.must(&["add", NAME, &mac, "fai"])?;

    builds(scenario, &server, &machine, 1)?;
    boots_its_disk(scenario, &server, &machine, 1)?;
    builds(scenario, &server, &machine, 2)?;
    boots_its_disk(scenario, &server, &machine, 2)
}

/// The repository's own site, whose boot tree was built outside the rack.
fn served(rack: &Rack) -> Result<Server, RackError> {
    let settings = site::example(rack)?;
    site::fetched(&settings, &["fai-6"])?;
    Server::start(rack, settings)
}

/// Flags the machine and switches it on until it is ready: as many times as it restarts by itself.
fn builds(
    scenario: &str,
    server: &Server,
    machine: &Machine,
    number: u32,
) -> Result<(), RackError> {
    server.must(&["rebuild", NAME, "--yes"])?;
    assert_eq!(server.phase(NAME)?, Phase::Armed);
    let began = Instant::now();
    let (mut power, starts) = to_its_end(server, machine, |_| {})?;
    let view = server.show(NAME)?;
    let evidence = || server.evidence(NAME, Some(&power));
    assert_eq!(view.phase, Phase::Ready, "{}", evidence());
    let build = view.build.expect("a build");
    assert_eq!(
        (build.number, build.epoch),
        (number, number),
        "{}",
        evidence()
    );
    assert_eq!(build.attempts[0], 1, "one boot is one attempt");
    assert_eq!(starts, 2, "installed, then started from its disk");
    in_order(server, NAME, number, BUILD_STORY);
    for once in [
        "flagged",
        "script-served",
        "installer-started",
        "write-permitted",
        "installer-ended",
        "handoff-redeemed",
        "agent-reported",
    ] {
        times(server, NAME, number, once, 1);
    }
    tells(scenario, &format!("build {number}"), server, NAME, began);
    power.cut();
    Ok(())
}

/// A power cycle without a flag: the prompt of the disk's own system, and no step of an installation.
fn boots_its_disk(
    scenario: &str,
    server: &Server,
    machine: &Machine,
    build: u32,
) -> Result<(), RackError> {
    let before = server.events(NAME)?;
    let began = Instant::now();
    let mut power = machine.power_on()?;
    power.serial().wait_for(&format!("{NAME} login:"), DISK)?;
    let on = power.is_on()?;
    let evidence = || server.evidence(NAME, Some(&power));
    assert!(on, "{}", evidence());
    let serial = power.serial().text();
    for never in ["FAI_ACTION", "Fully Automatic Installation"] {
        assert!(!serial.contains(never), "`{never}` in\n{serial}");
    }
    assert_eq!(server.phase(NAME)?, Phase::Ready, "{}", evidence());
    let after = server.events(NAME)?;
    let new: Vec<&str> = after[before.len()..]
        .iter()
        .map(|e| e.kind.as_str())
        .collect();
    assert!(
        !new.iter().any(|k| [
            "flagged",
            "script-served",
            "answer-fetched",
            "installer-started",
            "write-permitted"
        ]
        .contains(k)),
        "{new:?}\n{}",
        evidence()
    );
    let view = server.show(NAME)?;
    assert_eq!(view.build.map(|b| b.epoch), Some(build));
    eprintln!(
        "{scenario}: power cycle after build {build}: its own disk in {} s; recorded {new:?}",
        began.elapsed().as_secs()
    );
    power.cut();
    Ok(())
}
