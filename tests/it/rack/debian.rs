//! Debian 13 by its own installer, the whole way: blank disk to ready, and its own disk at a power
//! cycle. What the mirror at hand lacks of the installer is made of the packages it has (`archive`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use farrier::cli::demo::rack::tools::Need;
use farrier::cli::demo::rack::{Firmware, Machine, Rack, RackError, SERVER, Server, tools};
use farrier::model::Phase;

use super::archive::Archive;
use super::scenario::{DISK, in_order, tells, times, to_its_end};
use super::tang::Tang;
use super::{can_run, outside, site};

const NAME: &str = "deb01";
const NEEDS: &[Need] = &[
    Need {
        path: "/usr/bin/gpg",
        package: "gnupg",
        why: "the index of Debian's components is signed",
    },
    Need {
        path: "/usr/bin/cpio",
        package: "cpio",
        why: "a key for the installer",
    },
];

const STORY: &[&str] = &[
    "flagged",
    "boot-began",
    "script-served",
    "answer-fetched",
    "installer-started",
    "write-permitted",
    "progress",
    "installer-ended",
    "handoff-redeemed",
    "agent-reported",
];

/// What a case leaves out that only has to show its disks: packages here, and drivers in `lean`.
const BARE: &str = "vars = { tasks = [], updates = \"none\" }\n";

/// What is added to the profile: the machine looks at itself, and is ready only if it likes what it sees.
const PROFILE: &str = r#"
inherit = "debian-13"
[handoff]
agent   = "steps"
steps   = "steps"
timeout = "10m"
[deadline]
install = "110m"
[vars]
security = ""
"#;

struct Case<'a> {
    scenario: &'static str,
    firmware: Firmware,
    /// What the system's table adds.
    system: &'a str,
    /// More tables of the system's.
    tables: &'static str,
    /// What the installed system is to find in itself.
    looks: &'static str,
    tang: bool,
    /// An initial RAM disk with this machine's drivers only; each of the three times that one is made
    /// takes minutes in an emulator.
    lean: bool,
}

#[test]
fn plain_on_bios() -> Result<(), RackError> {
    lives(&Case {
        scenario: "Debian 13, plain, DHCP, BIOS",
        firmware: Firmware::Bios,
        system: "packages = [\"tree\"]\n",
        tables: "[system.deb01.locale]\ntimezone = \"Europe/Paris\"\n[system.deb01.storage]\nswap = \"256MiB\"\n",
        looks: r#"
[ "$(lsblk -nro TYPE "$(findmnt -nro SOURCE /)")" = part ]
[ "$(readlink -f /etc/localtime)" = /usr/share/zoneinfo/Europe/Paris ]
dpkg -s tree >/dev/null
swapon --show=NAME --noheadings | grep -q .
"#,
        tang: false,
        lean: false,
    })
}

#[test]
fn logical_volumes_on_uefi() -> Result<(), RackError> {
    lives(&Case {
        scenario: "Debian 13, LVM, a static address, users, UEFI",
        firmware: Firmware::UefiPxe,
        system: &format!("{BARE}ip = \"10.77.0.41\"\nstatic_ip = true\n"),
        tables: r#"
[system.deb01.storage]
layout  = "lvm"
swap    = "256MiB"
volumes = [{ mount = "/var", size = "2GiB" }, { mount = "/", size = "rest" }]
[system.deb01.users.alice]
groups   = ["adm"]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJkqkVZ0h1Zc9Q1m2b6zqk0y5yqz3o2o0w0Xo6g1s0aB alice"]
sudo     = true
"#,
        looks: r#"
[ -d /sys/firmware/efi ]
[ "$(lsblk -nro TYPE "$(findmnt -nro SOURCE /)")" = lvm ]
[ "$(lsblk -nro TYPE "$(findmnt -nro SOURCE /var)")" = lvm ]
ip -4 -o address show scope global | grep -q ' 10.77.0.41/24 '
id -nG alice | grep -qw adm
grep -q '^ssh-ed25519 .* alice$' /home/alice/.ssh/authorized_keys
su alice -c 'sudo -n true'
! command -v dhclient || ! pgrep dhclient
"#,
        tang: false,
        lean: true,
    })
}

#[test]
fn encrypted_on_bios() -> Result<(), RackError> {
    lives(&Case {
        scenario: "Debian 13, LVM in LUKS, Tang, BIOS",
        firmware: Firmware::Bios,
        system: BARE,
        tables: "[system.deb01.storage]\nlayout = \"lvm\"\nswap = \"256MiB\"\nencrypt = \"tang\"\n",
        looks: r#"
lsblk -nrso TYPE "$(findmnt -nro SOURCE /)" | grep -qx crypt
device=$(blkid -t TYPE=crypto_LUKS -o device)
[ "$(cryptsetup luksDump "$device" | grep -cE '^ +[0-9]+: luks2$')" = 1 ]
clevis luks list -d "$device" | grep -q tang
"#,
        tang: true,
        // and yet with the drivers of the network, by which Tang is asked
        lean: true,
    })
}

fn lives(case: &Case<'_>) -> Result<(), RackError> {
    let needs = [
        tools::NETWORK,
        tools::MACHINES,
        tools::LOADERS,
        tools::KEYS,
        NEEDS,
    ];
    if !can_run(case.scenario, &needs, true) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let archive = Archive::make(rack.dir(), "trixie", "debian-installer-13-netboot-amd64")?;
    let tang = case.tang.then(|| Tang::new(&rack)).transpose()?;
    let machine = rack.machine(NAME).firmware(case.firmware).disk(8, "DEB1");
    let server = served(&rack, case, &machine, &archive, tang.as_ref())?;
    builds(case, &server, &machine)?;

    let began = Instant::now();
    let mut power = machine.power_on()?;
    power.serial().wait_for(&format!("{NAME} login:"), DISK)?;
    assert!(!power.serial().has("debian-installer"));
    assert_eq!(server.phase(NAME)?, Phase::Ready);
    times(&server, NAME, 1, "installer-started", 1);
    eprintln!(
        "{}: power cycle: its own disk in {} s",
        case.scenario,
        began.elapsed().as_secs()
    );
    power.cut();
    Ok(())
}

fn served(
    rack: &Rack,
    case: &Case<'_>,
    machine: &Machine,
    archive: &Archive,
    tang: Option<&Tang>,
) -> Result<Server, RackError> {
    let settings = site::example(rack)?;
    let put = |name: &str, text: &str| site::put(&settings, name, text);
    outside::behind(&settings, archive.socket())?;
    let mut initrds = vec!["initrd.gz", "key.cpio"];
    if case.lean {
        lean(&archive.file("lean.cpio"));
        initrds.push("lean.cpio");
    }
    let mut distro = format!("kernel = \"linux\"\ninitrds = {initrds:?}\nmirror = \"debian\"\n");
    for name in ["linux"].iter().chain(&initrds) {
        let path = archive.file(name);
        distro += &format!("[artefact.\"{name}\"]\nfile = {path:?}\n");
    }
    put("boot/debian-13.toml", &distro)?;
    put("profiles/looked/profile.toml", PROFILE)?;
    put(
        "profiles/looked/steps/20-look.sh",
        &format!("#!/bin/sh\nset -eux\n{}", case.looks),
    )?;
    let key = match tang {
        Some(tang) => format!(
            "tang = [{{ url = \"http://{SERVER}:{}\", thumbprint = \"{}\" }}]\n",
            tang.port(),
            tang.thumbprint()?
        ),
        None => String::new(),
    };
    put(
        "systems.toml",
        &format!(
            "[system.{NAME}]\nmac = \"{}\"\nprofile = \"looked\"\n{}{}{key}",
            machine.mac(),
            case.system,
            case.tables,
        ),
    )?;
    let server = Server::start(rack, settings)?;
    server.must(&["distro", "fetch", "debian-13"])?;
    Ok(server)
}

/// Writes an initial RAM disk with an answer to what the profile leaves to the installer: which drivers
/// the installed system's own one has.
fn lean(file: &Path) {
    let folder = file.with_extension("d");
    fs::create_dir(&folder).expect("a new folder");
    fs::write(
        folder.join("preseed.cfg"),
        "d-i base-installer/initramfs-tools/driver-policy select dep\n",
    )
    .expect("the answer");
    let made = Command::new("sh")
        .args(["-ec", "echo preseed.cfg | cpio --quiet -o -H newc"])
        .current_dir(&folder)
        .stdout(fs::File::create(file).expect("the initial RAM disk"))
        .status()
        .expect("cpio");
    assert!(made.success());
}

/// Flags the machine and switches it on until it is ready.
fn builds(case: &Case<'_>, server: &Server, machine: &Machine) -> Result<(), RackError> {
    server.must(&["rebuild", NAME, "--yes"])?;
    let began = Instant::now();
    let (mut power, starts) = to_its_end(server, machine, |_| ())?;
    let evidence = || {
        let logs = server.must(&["logs", NAME]).unwrap_or_default();
        let from = logs.lines().count().saturating_sub(60);
        let last: Vec<&str> = logs.lines().skip(from).collect();
        format!(
            "{}\n{}",
            server.evidence(NAME, Some(&power)),
            last.join("\n")
        )
    };
    assert_eq!(server.phase(NAME)?, Phase::Ready, "{}", evidence());
    assert_eq!(starts, 2, "installed, then started from its disk");
    in_order(server, NAME, 1, STORY);
    tells(case.scenario, "build 1", server, NAME, began);
    power.cut();
    Ok(())
}
