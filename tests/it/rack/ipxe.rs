//! Real iPXE, as it is in a BIOS machine's network card, on the wire of a real server. What it boots
//! is a program of fifty bytes, so that a boot is a matter of seconds.

use farrier::cli::demo::rack::{Machine, Patience, Rack, RackError, Server, tools, until};
use farrier::model::Phase;

use super::scenario::{add_and_flag, in_order, times};
use super::site::{PATIENT, phantom};
use super::{can_run, own_disk};
use crate::clients::dnsmasq;

/// What the program from the network says.
const SAYS: &str = "BOOTED FROM THE NETWORK";
/// From power-on to the first word of what was booted takes ten seconds on an idle host.
const PATIENCE: Patience = Patience::seconds(180);
const NEEDS: [&[tools::Need]; 4] = [
    tools::NETWORK,
    tools::MACHINES,
    tools::LOADERS,
    tools::DISKS,
];

/// A server of a site whose one profile boots that program, in this mode of DHCP.
fn serve(rack: &Rack, mode: &str) -> Result<Server, RackError> {
    let settings = phantom(rack, PATIENT, "")?;
    let kernel = settings.site.join("boot/phantom/linux");
    std::fs::write(&kernel, own_disk::program(SAYS)).map_err(RackError::file(&kernel))?;
    let config = settings.site.join("farrier.toml");
    let text = std::fs::read_to_string(&config).map_err(RackError::file(&config))?;
    let text = text.replace("mode = \"full\"", &format!("mode = \"{mode}\""));
    std::fs::write(&config, text).map_err(RackError::file(&config))?;
    let server = Server::start(rack, settings)?;
    server.must(&["distro", "fetch", "phantom"])?;
    Ok(server)
}

/// A machine with a disk that boots.
fn machine(rack: &Rack) -> Result<Machine, RackError> {
    let machine = rack.machine("web01").memory(256).disk(1, "OWN");
    own_disk::write(&machine)?;
    Ok(machine)
}

/// Switches it on, waits until it says what it booted, and returns everything it said. The plug is
/// pulled then: after iPXE there is no APM to switch off with.
fn boot(machine: &Machine) -> Result<String, RackError> {
    let mut power = machine.power_on()?;
    let serial = power.serial().clone();
    let said = until(
        "what the machine booted",
        PATIENCE,
        || serial.tail(),
        || {
            let text = serial.text();
            let booted = [SAYS, own_disk::SAYS].iter().any(|s| text.contains(s));
            Ok(booted.then_some(text))
        },
    )?;
    power.cut();
    Ok(said)
}

/// Not flagged, it boots its own disk; flagged, it boots from the network once; and then, as the
/// build did not go on, again within its attempts.
#[test]
fn boots_its_own_disk_until_it_is_flagged() -> Result<(), RackError> {
    if !can_run("iPXE on the wire", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = serve(&rack, "full")?;
    let machine = machine(&rack)?;
    server.must(&["add", "web01", &machine.mac().to_string(), "phantom"])?;
    let said = boot(&machine)?;
    let evidence = server.evidence("web01", None);
    assert!(said.contains(own_disk::SAYS), "{said}{evidence}");
    assert!(!said.contains(SAYS), "{said}");
    assert_eq!(server.phase("web01")?, Phase::Idle);
    let why = server.must(&["why", "web01"])?;
    assert!(why.contains("acknowledged 10.77.0.100; no boot"), "{why}");

    server.must(&["rebuild", "web01", "--yes"])?;
    let said = boot(&machine)?;
    let evidence = server.evidence("web01", None);
    assert!(said.contains(SAYS), "{said}{evidence}");
    assert!(!said.contains(own_disk::SAYS), "{said}");
    assert_eq!(server.phase("web01")?, Phase::Booting);
    in_order(
        &server,
        "web01",
        1,
        &[
            "flagged",
            "boot-began",
            "leased",
            "script-served",
            "fetched",
        ],
    );
    times(&server, "web01", 1, "script-served", 1);
    Ok(())
}

/// Another server hands out the addresses: the machine has its address from that one, and its boot
/// script, kernel and initrd from Farrier. Not flagged, it boots its own disk.
#[test]
fn boots_through_farrier_beside_dnsmasq() -> Result<(), RackError> {
    if !can_run(
        "iPXE beside dnsmasq",
        &[&NEEDS[..], &[tools::NEIGHBOUR]].concat(),
        false,
    ) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let other = rack.host("dnsmasq")?;
    other.address("10.77.0.9/24")?;
    let dnsmasq = dnsmasq(&rack, other.namespace(), "--bind-interfaces")?;
    let server = serve(&rack, "proxy")?;
    let machine = machine(&rack)?;
    add_and_flag(&server, "web01", machine.mac(), "phantom")?;
    let said = boot(&machine)?;
    let evidence = server.evidence("web01", None);
    assert!(said.contains(SAYS), "{said}{evidence}{}", dnsmasq.said());
    let acknowledged = "DHCPACK(eth0) 10.77.0.2";
    assert!(dnsmasq.said().contains(acknowledged), "{}", dnsmasq.said());
    assert_eq!(server.phase("web01")?, Phase::Booting);
    in_order(
        &server,
        "web01",
        1,
        &["flagged", "boot-began", "script-served", "fetched"],
    );
    times(&server, "web01", 1, "script-served", 1);
    times(&server, "web01", 1, "leased", 0);

    server.must(&["cancel", "web01", "--yes"])?;
    let said = boot(&machine)?;
    assert!(
        said.contains(own_disk::SAYS),
        "{said}{}",
        server.evidence("web01", None)
    );
    Ok(())
}
