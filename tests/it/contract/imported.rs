//! Distros that `farrier distro import` writes are complete: what a profile on one is started with is
//! served, to the last module.

use std::collections::{BTreeSet, VecDeque};

use farrier::cli::demo::rack::{Rack, RackError};

use super::names::Name;
use super::{NEEDS, Walk, shipped};
use crate::media::Layout;
use crate::rack::can_run;
use crate::rack::phantom::Phantom;

const PLAIN: &[&str] = &["-iso-level", "1", "-V", "MEDIUM"];
const ROCK_RIDGE: &[&str] = &["-R", "-J", "-V", "MEDIUM"];

#[test]
fn what_an_imported_medium_is_started_with_is_served() -> Result<(), RackError> {
    if !can_run("imported media", &NEEDS, false) {
        return Ok(());
    }
    // as VMware makes them: short names in capitals, and a configuration in small letters
    let esxi = Layout::new(&[
        (
            "BOOT.CFG",
            "bootstate=0\ntitle=Loading ESXi installer\nbuild=8.0.3-0.0.24022510\nprefix=\nkernel=/b.b00\n\
             kernelopt=runweasel cdromBoot\nmodules=/jumpstrt.gz --- /useropts.gz --- /k.b00\n",
        ),
        ("B.B00", "b"),
        ("JUMPSTRT.GZ", "j"),
        ("USEROPTS.GZ", "u"),
        ("K.B00", "k"),
        ("EFI/BOOT/BOOTX64.EFI", "mboot"),
        ("EFI/BOOT/CRYPTO64.EFI", "crypto"),
    ]);
    let windows = Layout::new(&[
        ("bootmgr", "m"),
        ("boot/bcd", "c"),
        ("boot/boot.sdi", "s"),
        ("sources/boot.wim", "w"),
        ("sources/install.wim", "i"),
    ]);
    windows.put("../wimboot", b"wimboot");
    windows.put("../curl.exe", b"curl");
    let beside = |name: &str| windows.beside(name).display().to_string();
    let smartos = Layout::new(&[
        ("platform/i86pc/kernel/amd64/unix", "u"),
        ("platform/i86pc/amd64/boot_archive", "a"),
        ("platform/i86pc/amd64/boot_archive.hash", "h"),
        ("boot/loader.conf", "loader_logo=\"SmartOS\"\n"),
    ]);
    let image = |layout: &Layout, words| layout.image(words).display().to_string();
    let imported = [
        ("esxi", vec![image(&esxi, PLAIN)]),
        (
            "windows",
            vec![
                // as Microsoft makes them: all that matters is in UDF
                windows
                    .udf(&["-V", "MEDIUM", "-hide", "*"])
                    .display()
                    .to_string(),
                "--kernel".to_string(),
                beside("wimboot"),
                "--with".to_string(),
                beside("curl.exe"),
            ],
        ),
        ("smartos", vec![image(&smartos, ROCK_RIDGE)]),
    ];
    let rack = Rack::new()?;
    let walker = Phantom::new(&rack, "walker")?;
    let (server, all) = shipped::serve_imported(&rack, &imported)?;
    assert_eq!(all.len(), 8, "machines that something starts");
    for flagged in &all {
        let mut walk = Walk {
            machine: &walker,
            server: &server,
            flagged,
            seen: BTreeSet::new(),
            due: VecDeque::new(),
            report: None,
            handoff: None,
        };
        walk.power_on()?;
        let distro = &flagged.profile;
        let served: BTreeSet<&str> = walk
            .seen
            .iter()
            .filter_map(|name| match name {
                Name::Http(url) if url.contains(&format!("/{distro}/")) && url.contains("/a/") => {
                    url.rsplit('/').next()
                }
                _ => None,
            })
            .collect();
        let wanted: &[&str] = match distro.as_str() {
            "esxi" => &["b.b00", "jumpstrt.gz", "k.b00", "useropts.gz"],
            "windows" => &[
                "bcd",
                "boot.sdi",
                "boot.wim",
                "curl.exe",
                "install.wim",
                "wimboot",
            ],
            _ => &["boot_archive", "boot_archive.hash", "unix"],
        };
        for name in wanted {
            assert!(
                served.contains(name),
                "{}: {name} in {served:?}",
                flagged.name
            );
        }
    }
    Ok(())
}
