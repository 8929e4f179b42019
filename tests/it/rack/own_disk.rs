//! A disk that boots on BIOS and UEFI, Secure Boot included, says so on the serial port, and switches
//! off: what a machine that is left alone must come to.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use farrier::cli::demo::rack::{Machine, RackError};

/// What it writes.
pub(crate) const SAYS: &str = "OWN DISK";

/// Sector 0: writes the text to COM1 and switches off through APM.
/// `xor ax,ax; mov ds,ax; mov sp,0x7c00; mov si,msg; each: wait for 0x3fd bit 5, out 0x3f8`.
const MBR: [u8; 0x2f] = [
    0x31, 0xc0, 0x8e, 0xd8, 0xbc, 0x00, 0x7c, 0xbe, 0x2f, 0x7c, 0xac, 0x08, 0xc0, 0x74, 0x12, 0x88,
    0xc3, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xf8, 0xba, 0xf8, 0x03, 0x88, 0xd8, 0xee, 0xeb,
    0xe9, 0xb8, 0x07, 0x53, 0xbb, 0x01, 0x00, 0xb9, 0x03, 0x00, 0xcd, 0x15, 0xf4, 0xeb, 0xf2,
];

/// A program for the 16-bit world that a BIOS starts: it writes a text to the serial port and switches
/// the machine off. As a boot sector and as a file from the network alike it is loaded to 0x7c00.
pub(crate) fn program(says: &str) -> Vec<u8> {
    let mut code = MBR.to_vec();
    code.extend(format!("\r\n{says}\r\n\0").as_bytes());
    code
}

/// Writes it onto a machine's first disk, which must be off.
pub(crate) fn write(machine: &Machine) -> Result<(), RackError> {
    machine.rack_up()?;
    let disk = machine.disk_image(0);
    let system = disk.with_extension("esp");
    partition(&disk)?;
    file_system(&system)?;
    let bytes = fs::read(&system).map_err(RackError::file(&system))?;
    let file = fs::OpenOptions::new().write(true).open(&disk);
    let file = file.map_err(RackError::file(&disk))?;
    let put = |bytes: &[u8], at| file.write_all_at(bytes, at).map_err(RackError::file(&disk));
    // The first 440 bytes of the protective MBR are code.
    put(&program(SAYS), 0)?;
    put(&bytes, 1 << 20)
}

fn partition(disk: &Path) -> Result<(), RackError> {
    let words = "mklabel gpt mkpart ESP fat16 1MiB 33MiB set 1 esp on disk_set pmbr_boot on";
    must(
        Command::new("parted")
            .arg("-s")
            .arg(disk)
            .args(words.split(' ')),
    )
}

fn file_system(image: &Path) -> Result<(), RackError> {
    let file = fs::File::create(image).map_err(RackError::file(image))?;
    file.set_len(32 << 20).map_err(RackError::file(image))?;
    must(Command::new("mkfs.vfat").args(["-F", "16"]).arg(image))?;
    let config = image.with_extension("grub.cfg");
    fs::write(&config, format!("echo \"{SAYS}\"\nhalt\n")).map_err(RackError::file(&config))?;
    let mtool = |words: &[&str]| {
        must(
            Command::new(words[0])
                .arg("-i")
                .arg(image)
                .args(&words[1..]),
        )
    };
    mtool(&["mmd", "::/EFI", "::/EFI/BOOT", "::/EFI/debian"])?;
    let config = config.to_string_lossy().into_owned();
    for (from, to) in [
        (
            "/usr/lib/shim/shimx64.efi.signed",
            "::/EFI/BOOT/BOOTX64.EFI",
        ),
        (
            "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
            "::/EFI/BOOT/grubx64.efi",
        ),
        (&config, "::/EFI/debian/grub.cfg"),
    ] {
        mtool(&["mcopy", from, to])?;
    }
    Ok(())
}

fn must(command: &mut Command) -> Result<(), RackError> {
    let out = command.output().map_err(|e| RackError::Command {
        command: format!("{command:?}"),
        detail: e.to_string(),
    })?;
    if out.status.success() {
        return Ok(());
    }
    Err(RackError::Command {
        command: format!("{command:?}"),
        detail: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}
