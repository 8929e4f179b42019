//! One-shot boots on real firmware: the rescue system that answers ssh, the memory test, and after
//! either the machine's own disk, which nobody touched.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use farrier::cli::demo::rack::{
    Firmware, Machine, Patience, Power, Rack, RackError, Server, tools, until,
};

use super::scenario::kinds;
use super::{can_run, own_disk, site};

const NAME: &str = "web01";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 31);
const LISTS: &[&[tools::Need]] = &[
    tools::NETWORK,
    tools::MACHINES,
    tools::LOADERS,
    tools::DISKS,
];

/// From power-on to a system that runs from the network.
const UP: Patience = Patience::seconds(900);
/// From power-on past the network to the disk.
const DISK: Patience = Patience::seconds(300);

type Done = Result<(), RackError>;

#[test]
fn memtest_on_bios() -> Done {
    memtest("memtest on BIOS", Firmware::Bios)
}

#[test]
fn memtest_on_uefi() -> Done {
    memtest("memtest on UEFI", Firmware::UefiPxe)
}

#[test]
fn rescue_on_bios() -> Done {
    rescue("rescue on BIOS", Firmware::Bios)
}

#[test]
fn rescue_on_uefi() -> Done {
    rescue("rescue on UEFI", Firmware::UefiPxe)
}

fn memtest(scenario: &str, firmware: Firmware) -> Done {
    if !can_run(scenario, LISTS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let server = served(&rack, "memtest")?;
    let machine = racked(&rack, &server, firmware, &[])?;
    server.must(&["boot", NAME, "memtest", "--yes"])?;
    let began = Instant::now();
    let mut power = machine.power_on()?;
    // Its banner, then a test that runs.
    power.serial().wait_for("Memtest86+", UP)?;
    power.serial().wait_for("Pass", UP)?;
    tells(scenario, "it tests", began, &server)?;
    power.cut();
    boots_its_disk(scenario, &server, &machine)
}

fn rescue(scenario: &str, firmware: Firmware) -> Done {
    let ssh = [
        tools::Need {
            path: "/usr/bin/ssh",
            package: "openssh-client",
            why: "to log in",
        },
        tools::Need {
            path: "/usr/bin/ssh-keygen",
            package: "openssh-client",
            why: "a key to log in with",
        },
    ];
    let mut lists = LISTS.to_vec();
    lists.extend([tools::FAI, &ssh]);
    if !can_run(scenario, &lists, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let key = key(&rack)?;
    let public = fs::read_to_string(key.with_extension("pub")).map_err(RackError::file(&key))?;
    let server = served(&rack, "fai-6")?;
    let keys = format!("ssh_keys=[\"{}\"]", public.trim());
    let machine = racked(&rack, &server, firmware, &[&keys])?;
    let before = copy(&machine.disk_image(0))?;
    server.must(&["boot", NAME, "rescue", "--yes"])?;
    let began = Instant::now();
    let mut power = machine.power_on()?;
    until(
        "the rescue system's report",
        UP,
        || server.evidence(NAME, Some(&power)),
        || {
            let events = server.events(NAME)?;
            Ok(events
                .iter()
                .any(|e| e.kind == "installer-started")
                .then_some(()))
        },
    )?;
    tells(scenario, "it reports in", began, &server)?;
    let evidence = || server.evidence(NAME, Some(&power));
    let out = ssh_into(&rack, &key, "hostname; id -un; lsblk -dno SERIAL /dev/vda")?;
    let said = String::from_utf8_lossy(&out.stdout);
    let wrong = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{wrong}\n{}", evidence());
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, [NAME, "root", "OWN"], "{wrong}");
    // It ends as an operator would end it, whose session does not hang.
    ssh_into(&rack, &key, "poweroff")?;
    power.wait_off(Patience::seconds(180))?;
    assert!(same(&machine.disk_image(0), &before)?, "a disk was touched");
    boots_its_disk(scenario, &server, &machine)
}

/// The repository's own site, whose artefacts were fetched outside the rack.
fn served(rack: &Rack, distro: &str) -> Result<Server, RackError> {
    let settings = site::example(rack)?;
    site::fetched(&settings, &[distro])?;
    Server::start(rack, settings)
}

/// A machine with a disk that boots, whose own profile would install: nobody flags that.
fn racked(
    rack: &Rack,
    server: &Server,
    firmware: Firmware,
    more: &[&str],
) -> Result<Machine, RackError> {
    let machine = rack.machine(NAME).firmware(firmware).disk(1, "OWN");
    own_disk::write(&machine)?;
    let mac = machine.mac().to_string();
    let address = format!("ip={ADDRESS}");
    let mut words = vec!["add", NAME, &mac, "fai", &address];
    words.extend(more);
    server.must(&words)?;
    Ok(machine)
}

/// Switched on again without a flag: its own disk, and not one step of anything else.
fn boots_its_disk(scenario: &str, server: &Server, machine: &Machine) -> Done {
    let before = server.events(NAME)?.len();
    let began = Instant::now();
    let mut power: Power = machine.power_on()?;
    power.serial().wait_for(own_disk::SAYS, DISK)?;
    let events = server.events(NAME)?;
    let new: Vec<&str> = events[before..].iter().map(|e| e.kind.as_str()).collect();
    let never = ["script-served", "answer-fetched", "installer-started"];
    assert!(!new.iter().any(|k| never.contains(k)), "{new:?}");
    let view = server.show(NAME)?;
    assert!(view.build.is_none(), "{:?}", view.build);
    eprintln!(
        "{scenario}: power cycle: its own disk in {} s; recorded {new:?}",
        began.elapsed().as_secs()
    );
    power.cut();
    Ok(())
}

fn tells(scenario: &str, what: &str, began: Instant, server: &Server) -> Done {
    let events = server.events(NAME)?;
    eprintln!(
        "{scenario}: {what} {} s after power-on; recorded {:?}",
        began.elapsed().as_secs(),
        kinds(&events, 1)
    );
    Ok(())
}

fn key(rack: &Rack) -> Result<PathBuf, RackError> {
    let key = rack.dir().join("operator");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f"]);
    output(command.arg(&key))?;
    Ok(key)
}

fn ssh_into(rack: &Rack, key: &Path, words: &str) -> Result<Output, RackError> {
    let mut command = rack.namespace().command("ssh");
    command
        .args(["-F", "/dev/null", "-o", "BatchMode=yes"])
        .args(["-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "ConnectTimeout=60", "-i"])
        .arg(key)
        .arg(format!("root@{ADDRESS}"))
        .arg(words);
    output(&mut command)
}

fn output(command: &mut Command) -> Result<Output, RackError> {
    command.output().map_err(|e| RackError::Command {
        command: format!("{command:?}"),
        detail: e.to_string(),
    })
}

fn copy(image: &Path) -> Result<PathBuf, RackError> {
    let copy = image.with_extension("before");
    output(
        Command::new("cp")
            .arg("--sparse=always")
            .arg(image)
            .arg(&copy),
    )?;
    Ok(copy)
}

fn same(image: &Path, before: &Path) -> Result<bool, RackError> {
    let out = output(Command::new("cmp").arg(image).arg(before))?;
    Ok(out.status.success())
}
