//! A disk that is encrypted, from blank to ready and through a power cut, on real firmware with real
//! key servers: the machine is opened by what was declared, by nothing else, and not without it.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use farrier::cli::demo::rack::{Firmware, Machine, Patience, Rack, RackError, Server, tools};
use farrier::model::Phase;

use super::scenario::{DISK, to_its_end};
use super::tang::Tang;
use super::{can_run, outside, site};

const NAME: &str = "safe01";

/// Where names are answered for in the rack.
const TANG: &str = "tang.lab.example";

/// What a site adds to `fai`: the machine looks at itself, and is ready only if it likes what it sees.
const PROFILE: &str = r#"
inherit = "fai"
[handoff]
agent   = "steps"
steps   = "steps"
timeout = "10m"
[deadline]
install = "60m"
"#;

/// In the installer: the key is told to the test, and its digest to the installed system.
const CANARY: &str = r#"#!/bin/bash
echo "CANARY=$(cat /run/farrier-key)=" >/dev/console
sha256sum </run/farrier-key | cut -c 1-64 >"$target/root/canary"
"#;

/// In the installed system.
const LOOK: &str = r#"#!/bin/sh
set -eu
lsblk -nrso TYPE "$(findmnt -nro SOURCE /)" | grep -qx crypt
for swap in $(swapon --show=NAME --noheadings); do
    lsblk -nrso TYPE "$swap" | grep -qx crypt
done
lsblk -nrso TYPE "$(findmnt -nro SOURCE /boot)" | { ! grep -qx crypt; }
devices=$(blkid -t TYPE=crypto_LUKS -o device)
[ -n "$devices" ]
for device in $devices; do
    cryptsetup luksDump "$device"
    [ "$(cryptsetup luksDump "$device" | grep -cE '^ +[0-9]+: luks2$')" = 1 ]
    [ "$(cryptsetup luksDump "$device" | grep -cE '^ +[0-9]+: clevis$')" = 1 ]
    clevis luks list -d "$device"
done
awk '$3 != "none" { print "a key file: " $0; exit 1 }' /etc/crypttab
# the installer's key is nowhere: not in the logs, not in the initial RAM disk
mkdir /var/tmp/look
unmkinitramfs "$(ls /boot/initrd.img-* | head -n 1)" /var/tmp/look
[ -z "$(find /var/tmp/look -path '*cryptroot/keyfiles*')" ]
canary=$(cat /root/canary)
# the archive's own digests, which are many, are not looked at
grep -rahoE --exclude-dir=apt --exclude-dir=dpkg '[0-9a-f]{64}' /var /etc /root /home /tmp | sort -u >/run/words
while read -r word; do
    [ "$(printf %s "$word" | sha256sum | cut -c 1-64)" != "$canary" ]
done </run/words
echo "looked at $(wc -l </run/words) words"
rm -rf /var/tmp/look /root/canary
"#;

/// The layout, the firmware, how it is opened.
struct Case {
    scenario: &'static str,
    firmware: Firmware,
    storage: &'static str,
    disks: usize,
    tpm: bool,
    system: &'static str,
}

#[test]
fn by_tang_on_logical_volumes() -> Result<(), RackError> {
    lives(&Case {
        scenario: "FAI, LVM in LUKS, Tang, BIOS",
        firmware: Firmware::Bios,
        storage: "layout = \"lvm\"\nswap = \"256MiB\"",
        disks: 1,
        tpm: false,
        system: "",
    })
}

#[test]
fn by_tang_on_two_disks() -> Result<(), RackError> {
    lives(&Case {
        scenario: "FAI, LUKS on RAID 1, Tang, UEFI, a static address",
        firmware: Firmware::UefiPxe,
        storage: "raid = \"raid1\"\nsecond = { serial = \"SAFE2\" }\nswap = \"256MiB\"",
        disks: 2,
        tpm: false,
        system: "ip = \"10.77.0.31\"\nstatic_ip = true\ndisk = { serial = \"SAFE1\" }\n",
    })
}

#[test]
fn by_a_tpm_on_plain_partitions() -> Result<(), RackError> {
    lives(&Case {
        scenario: "FAI, LUKS on partitions, TPM 2, UEFI",
        firmware: Firmware::UefiPxe,
        storage: "swap = \"256MiB\"",
        disks: 1,
        tpm: true,
        system: "",
    })
}

fn lives(case: &Case) -> Result<(), RackError> {
    let needs = [
        tools::NETWORK,
        tools::MACHINES,
        tools::LOADERS,
        tools::FAI,
        tools::NEIGHBOUR,
        tools::KEYS,
    ];
    if !can_run(case.scenario, &needs, true) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let tang = Tang::new(&rack)?;
    let names = outside::names(&rack, &[TANG])?;
    let mut machine = rack.machine(NAME).firmware(case.firmware);
    for number in 1..=case.disks {
        machine = machine.disk(6, &format!("SAFE{number}"));
    }
    if case.tpm {
        machine = machine.tpm();
    }
    let server = served(&rack, case, &machine, &tang)?;

    let key = builds(case, &server, &machine)?;
    for disk in 0..case.disks {
        let found = headers(&machine.disk_image(disk));
        let plain = !case.storage.contains("lvm");
        assert_eq!(
            found.len(),
            1 + usize::from(plain),
            "root, and swap beside it"
        );
        for header in found {
            only_clevis(&header);
        }
        assert!(
            !holds(&machine.disk_image(disk), key.as_bytes()),
            "on a disk"
        );
    }
    assert!(!anywhere(server.state(), key.as_bytes()), "at the server");
    opens(case, &server, &machine, &tang)?;
    drop(names);
    Ok(())
}

fn served(rack: &Rack, case: &Case, machine: &Machine, tang: &Tang) -> Result<Server, RackError> {
    let settings = site::example(rack)?;
    let put = |name: &str, text: &str| site::put(&settings, name, text);
    outside::mirrored(rack, &settings)?;
    put("profiles/locked/profile.toml", PROFILE)?;
    put("profiles/locked/config/hooks/configure.LOOK", CANARY)?;
    executable(
        &settings
            .site
            .join("profiles/locked/config/hooks/configure.LOOK"),
    )?;
    put("profiles/locked/steps/10-look.sh", LOOK)?;
    let opened = if case.tpm {
        "encrypt = \"tpm2\"".to_string()
    } else {
        format!(
            "encrypt = \"tang\"\ntang = [{{ url = \"http://{TANG}:{}\", thumbprint = \"{}\" }}]",
            tang.port(),
            tang.thumbprint()?
        )
    };
    put(
        "systems.toml",
        &format!(
            "[system.{NAME}]\nmac = \"{}\"\nprofile = \"locked\"\n{}vars = {{ classes = [\"LOOK\"] }}\n\
             [system.{NAME}.storage]\n{}\n{opened}\n",
            machine.mac(),
            case.system,
            case.storage,
        ),
    )?;
    site::fetched(&settings, &["fai-6"])?;
    Server::start(rack, settings)
}

fn executable(path: &Path) -> Result<(), RackError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(RackError::file(path))
}

/// Flags the machine and switches it on until it is ready. Returns the key that the installer used.
fn builds(case: &Case, server: &Server, machine: &Machine) -> Result<String, RackError> {
    server.must(&["rebuild", NAME, "--yes"])?;
    let began = Instant::now();
    let mut key = String::new();
    let (mut power, _) = to_its_end(server, machine, |text| {
        if let Some((_, after)) = text.split_once("CANARY=") {
            key = after.split('=').next().unwrap_or("").to_string();
        }
    })?;
    let evidence = || server.evidence(NAME, Some(&power));
    assert_eq!(server.phase(NAME)?, Phase::Ready, "{}", evidence());
    assert_eq!(key.len(), 64, "the installer's key\n{}", evidence());
    eprintln!(
        "{}: ready {} s after power-on",
        case.scenario,
        began.elapsed().as_secs()
    );
    let logs = server.must(&["logs", NAME])?;
    assert!(!logs.contains(&key), "in the logs");
    power.cut();
    Ok(key)
}

/// A power cycle. What opens the disk is not there at first: nothing starts. Then it is.
fn opens(case: &Case, server: &Server, machine: &Machine, tang: &Tang) -> Result<(), RackError> {
    let login = format!("{NAME} login:");
    if case.tpm {
        let mut power = machine.power_on()?;
        power.serial().wait_for(&login, DISK)?;
        power.cut();
        // Another machine with the same disk, or this one without its TPM.
        machine.forget_tpm()?;
        let mut power = machine.power_on()?;
        power.serial().wait_for("Please unlock disk", DISK)?;
        let opened = power.serial().wait_for(&login, Patience::seconds(90));
        assert!(opened.is_err(), "{}", power.evidence());
        power.cut();
        return Ok(());
    }
    tang.answers(false);
    let began = Instant::now();
    let mut power = machine.power_on()?;
    power.serial().wait_for("Please unlock disk", DISK)?;
    tang.refused(Patience::seconds(300))?;
    assert!(!power.serial().has(&login), "{}", power.evidence());
    let before = tang.served();
    tang.answers(true);
    power.serial().wait_for(&login, DISK)?;
    assert!(tang.served() > before, "{}", power.evidence());
    assert_eq!(server.phase(NAME)?, Phase::Ready);
    eprintln!(
        "{}: power cycle: locked while Tang is silent, then its own disk, {} s",
        case.scenario,
        began.elapsed().as_secs()
    );
    power.cut();
    Ok(())
}

/// The metadata of every LUKS2 header on a disk (cryptsetup, `docs/on-disk-format-luks2.pdf`): a binary
/// header of 4 KiB, then JSON up to the size that the binary one says.
fn headers(disk: &Path) -> Vec<serde_json::Value> {
    let mut file = fs::File::open(disk).expect("a disk");
    let end = file.metadata().expect("its size").len();
    let mut found = Vec::new();
    for at in (0..end).step_by(1 << 20) {
        let mut head = [0; 4096];
        file.seek(SeekFrom::Start(at)).expect("sought");
        if file.read_exact(&mut head).is_err() || head[..8] != *b"LUKS\xba\xbe\x00\x02" {
            continue;
        }
        let size = u64::from_be_bytes(head[8..16].try_into().expect("8 bytes"));
        let mut text = vec![0; usize::try_from(size - 4096).expect("small")];
        file.read_exact(&mut text).expect("read");
        text.truncate(text.iter().position(|b| *b == 0).unwrap_or(text.len()));
        found.push(serde_json::from_slice(&text).expect("JSON"));
    }
    found
}

/// One key slot, and it is the one that clevis opens.
fn only_clevis(header: &serde_json::Value) {
    let slots: Vec<&String> = header["keyslots"]
        .as_object()
        .expect("slots")
        .keys()
        .collect();
    let tokens: Vec<_> = header["tokens"]
        .as_object()
        .expect("tokens")
        .values()
        .collect();
    assert_eq!((slots.len(), tokens.len()), (1, 1), "{header:#}");
    assert_eq!(tokens[0]["type"], "clevis");
    assert_eq!(tokens[0]["keyslots"], serde_json::json!(slots));
}

/// Whether a file holds this. Holes of a sparse file are not read.
fn holds(path: &Path, words: &[u8]) -> bool {
    let out = Command::new("grep")
        .args(["-c", "-a", "-F", "-e", &String::from_utf8_lossy(words)])
        .arg(path)
        .output()
        .expect("grep");
    String::from_utf8_lossy(&out.stdout).trim() != "0"
}

/// Whether a file below this directory holds it.
fn anywhere(dir: &Path, words: &[u8]) -> bool {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.flatten().any(|entry| {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        (kind.is_dir() && anywhere(&path, words)) || (kind.is_file() && holds(&path, words))
    })
}
