//! With Secure Boot, a machine is given its own distro's shim and GRUB, the very ones that its build
//! pinned; and where there are none, an operator hears at once what will not start.

use farrier::cli::demo::rack::{RackError, SERVER, Server, tools};

use super::obstacles::{firmware, lease};
use super::{Desk, Rack};
use crate::rack::can_run;
use crate::rack::phantom::{Phantom, Transfer};

const NEEDS: [&[tools::Need]; 2] = [tools::NETWORK, tools::LOADERS];

/// As much of a program for UEFI as says that nobody signed it.
fn unsigned() -> Vec<u8> {
    let mut kernel = vec![0; 0x1000];
    kernel[..2].copy_from_slice(b"MZ");
    kernel[0x3c] = 0x40;
    kernel[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
    kernel[0x58..0x5a].copy_from_slice(&[0x0b, 2]);
    kernel[0x58 + 108] = 16;
    kernel
}

const WARNING: &str =
    "this server's own shim and GRUB will not start `linux` of distro `rescue`: it is not signed";

fn put(server: &Server, name: &str, bytes: &[u8]) -> Result<(), RackError> {
    let path = server.site().join(name);
    std::fs::write(&path, bytes).map_err(RackError::file(&path))
}

/// Puts a pair into the site's files and fetches it.
fn pair(server: &Server, shim: &str, grub: &str) -> Result<(), RackError> {
    put(server, "files/shim", shim.as_bytes())?;
    // what tells that a GRUB has TFTP
    put(server, "files/grub", format!("{grub} octet\0").as_bytes())?;
    server.must(&["distro", "fetch", "rescue"])?;
    Ok(())
}

/// What the firmware is told, and what it and its shim fetch by that.
fn booted(desk: &Desk, machine: &Phantom) -> Result<(String, Vec<u8>, Vec<u8>), RackError> {
    let uefi = firmware("PXEClient:Arch:00007:UNDI:003016", 7);
    let told = lease(&machine.host, uefi)?;
    let path = told.text(67).expect("a boot file");
    assert_eq!(told.next, SERVER);
    machine.host.address("10.77.0.11/24")?;
    let fetched = |name: &str| match machine.tftp(SERVER, name)? {
        Transfer::File(bytes) => Ok::<_, RackError>(bytes),
        other => panic!("{name}: {other:?} {}", desk.server.tail()),
    };
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let both = (fetched(&path)?, fetched(&format!("{dir}//grubx64.efi"))?);
    Ok((path, both.0, both.1))
}

#[test]
fn a_distros_own_shim_and_grub_are_what_its_build_pinned() -> Result<(), RackError> {
    if !can_run("a distro's own shim and GRUB", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let machine = Phantom::new(&rack, "client")?;
    let web01 = ("web01", machine.mac().to_string(), Some("10.77.0.11"));
    let desk = Desk::with_kernel(rack, &[web01], "", &unsigned())?;
    let server = &desk.server;
    server.must(&["distro", "fetch", "rescue"])?;
    // nothing is checked that nothing checks
    let told = server.farrier(&["boot", "web01", "rescue", "--dry-run"])?;
    assert!(told.ok() && !told.stderr.contains(WARNING), "{told:?}");
    let checked = server.farrier(&["check"])?;
    assert!(
        checked.ok() && !checked.stdout.contains(WARNING),
        "{checked:?}"
    );
    server.must(&["set", "web01", "secure_boot=true"])?;
    let checked = server.farrier(&["check"])?;
    assert!(
        checked.ok() && checked.stdout.contains(WARNING),
        "{checked:?}"
    );
    let told = server.farrier(&["boot", "web01", "rescue", "--yes"])?;
    assert!(told.ok() && told.stderr.contains(WARNING), "{told:?}");
    // as ever, the server's own pair
    let (path, shim, _) = booted(&desk, &machine)?;
    assert_eq!(path, "shimx64.efi");
    let host = std::fs::read("/usr/lib/shim/shimx64.efi.signed").unwrap_or_default();
    assert!(shim == host, "the host's own");

    server.must(&["cancel", "web01", "--yes"])?;
    put(
        server,
        "boot/rescue.toml",
        b"kernel = \"linux\"\n[artefact.linux]\nfile = \"files/linux\"\n\
          [artefact.\"shimx64.efi\"]\nfile = \"files/shim\"\n\
          [artefact.\"grubx64.efi\"]\nfile = \"files/grub\"\n",
    )?;
    put(server, "files/shim", b"a shim")?;
    put(server, "files/grub", b"a GRUB")?;
    server.must(&["apply"])?;
    // a GRUB without a network is none for it
    server.must(&["distro", "fetch", "rescue"])?;
    let told = server.farrier(&["boot", "web01", "rescue", "--dry-run"])?;
    let why = "its own `grubx64.efi` cannot boot from a network";
    assert!(told.ok() && told.stderr.contains(why), "{told:?}");
    pair(server, "a shim", "a GRUB")?;
    let told = server.farrier(&["boot", "web01", "rescue", "--yes"])?;
    assert!(told.ok() && !told.stderr.contains("warning"), "{told:?}");
    let first = booted(&desk, &machine)?;
    assert!(first.0.starts_with("pair/x64/"), "{}", first.0);
    assert!(first.0.ends_with("/rescue/shimx64.efi"), "{}", first.0);
    assert_eq!(first.1, b"a shim");
    assert_eq!(first.2, b"a GRUB octet\0");
    let why = server.must(&["why", "web01"])?;
    assert!(
        why.contains(&format!("boot: {}, because", first.0)),
        "{why}"
    );

    // a newer pair is here, and this build has its own
    pair(server, "a newer shim", "a newer GRUB")?;
    assert_eq!(booted(&desk, &machine)?, first);
    server.must(&["cancel", "web01", "--yes"])?;
    server.must(&["boot", "web01", "rescue", "--yes"])?;
    let second = booted(&desk, &machine)?;
    assert_ne!(second.0, first.0);
    assert_eq!(second.1, b"a newer shim");
    assert_eq!(second.2, b"a newer GRUB octet\0");
    Ok(())
}
