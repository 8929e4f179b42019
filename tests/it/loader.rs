//! Golden boot scripts. `UPDATE_GOLDEN=1` writes them anew; GRUB's own parser reads each of its.

use std::path::{Path, PathBuf};

use farrier::boot::paths::Urls;
use farrier::loader::grub::Via;
use farrier::loader::{Script, grub, ipxe, pxelinux};
use farrier::model::{
    Action, ArtefactRef, BootPlan, BuildKey, Content, Decision, Digest, Firmware, LoaderKind,
    MacAddr, Module, Phase, PlannedFile, ProfileKind, Start, Way, Why,
};

fn urls() -> Urls {
    Urls {
        server: "10.77.0.1:80".parse().expect("an address"),
    }
}

fn mac() -> MacAddr {
    "52:54:00:00:00:01".parse().expect("a mac")
}

fn file(distro: &str, name: &str) -> PlannedFile {
    PlannedFile {
        id: ArtefactRef {
            distro: distro.into(),
            name: name.into(),
        },
        digest: Digest::of(name.as_bytes()),
        size: 1,
    }
}

fn boots(profile: &str, kernel: &str, initrds: &[&str], cmdline: &str) -> Decision {
    let system: farrier::model::Name = "web01".parse().expect("a name");
    Decision {
        system: Some(system.clone()),
        action: Action::Boot(Box::new(BootPlan {
            build: BuildKey { system, epoch: 3 },
            profile: profile.parse().expect("a name"),
            loader: LoaderKind::Ipxe,
            kernel: file(profile, kernel),
            initrds: initrds.iter().map(|n| file(profile, n)).collect(),
            cmdline: cmdline.into(),
            kind: ProfileKind::Preseed,
            way: Way::default(),
            resident: false,
        })),
        why: Why::Flagged {
            epoch: 3,
            attempt: 1,
            allowed: 2,
        },
    }
}

fn own_disk(system: Option<&str>, why: Why) -> Decision {
    Decision {
        system: system.map(|s| s.parse().expect("a name")),
        action: Action::LocalDisk,
        why,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/loader")
}

fn check(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(golden, text, "{name}; UPDATE_GOLDEN=1 writes it anew");
}

fn module(file: &str, arguments: &str, path: Option<&str>) -> Module<Content> {
    Module {
        content: Content::File(self::file("d", file)),
        name: file.into(),
        arguments: arguments.into(),
        path: path.map(str::to_string),
    }
}

fn document(name: &str, arguments: &str) -> Module<Content> {
    Module {
        content: Content::Document {
            token: "FARRIER-READ-TOKEN----------------------".into(),
            name: name.into(),
        },
        name: name.into(),
        arguments: arguments.into(),
        path: None,
    }
}

/// A plan that is started otherwise than Linux is.
fn by(kernel: &str, initrds: &[&str], cmdline: &str, way: Way) -> Decision {
    let mut decision = boots("d", kernel, initrds, cmdline);
    if let Action::Boot(plan) = &mut decision.action {
        plan.way = way;
    }
    decision
}

fn ways() -> [(&'static str, Decision); 4] {
    let starts = |start, kernel_path: Option<&str>, modules| Way {
        start,
        kernel_path: kernel_path.map(str::to_string),
        modules,
        ..Way::default()
    };
    let unix = "platform/i86pc/kernel/amd64/unix";
    let archive = "platform/i86pc/amd64/boot_archive";
    let multiboot = vec![
        module("boot_archive", "type=rootfs name=ramdisk", Some(archive)),
        document("answers.json", "type=file name=answers.json"),
    ];
    let windows = vec![module("boot.wim", "", None), document("winpeshl.ini", "")];
    [
        (
            "overlay",
            by(
                "linux",
                &["initrd.gz"],
                "quiet",
                starts(Start::Linux, None, vec![document("overlay.cpio", "")]),
            ),
        ),
        (
            "multiboot",
            by(
                "unix",
                &[],
                "-B console=ttya,smartos=true",
                starts(Start::Multiboot, Some(unix), multiboot),
            ),
        ),
        (
            "wimboot",
            by("wimboot", &[], "", starts(Start::Wimboot, None, windows)),
        ),
        (
            "efi",
            by(
                "mboot.efi",
                &[],
                "-c http://10.77.0.1/b/T/boot.cfg",
                starts(Start::Efi, None, Vec::new()),
            ),
        ),
    ]
}

#[test]
fn what_grub_and_pxelinux_cannot_start_they_say() {
    for (name, decision) in ways() {
        let grub = grub::config(&decision, &urls(), mac(), Firmware::UEFI, grub::Via::Tftp);
        let pxelinux = pxelinux::config(&decision, mac());
        let linux = name == "overlay";
        assert_eq!((grub.boots, pxelinux.boots), (linux, linux), "{name}");
        let document = "b/FARRIER-READ-TOKEN----------------------/overlay.cpio";
        for text in [grub.text, pxelinux.text] {
            if linux {
                assert!(text.contains(document), "{text}");
            } else {
                assert!(text.contains("starts Linux only, and this is"), "{text}");
                assert!(!text.contains("/a/"), "{text}");
            }
        }
    }
}

fn scripts() -> Vec<(String, Script)> {
    let installs = boots(
        "debian-12",
        "linux",
        &["initrd.gz"],
        "auto=true priority=critical url=http://10.77.0.1/b/FARRIER-READ-TOKEN----------------------/preseed.cfg console=ttyS0,115200n8 note=\"two words\"",
    );
    let two = boots("fai", "vmlinuz", &["initrd.img", "modules.img"], "ip=dhcp");
    let memtest = boots("memtest", "memtest86+x64.bin", &[], "");
    let ready = own_disk(
        Some("web01"),
        Why::InPhase {
            phase: Phase::Ready,
        },
    );
    let held = own_disk(Some("web01"), Why::AttemptsSpent { allowed: 2 });
    let missing = own_disk(
        Some("web01"),
        Why::MissingArtefact {
            name: "linux".into(),
            distro: "debian-12".into(),
        },
    );
    let arm64 = own_disk(
        Some("web01"),
        Why::UnsupportedFirmware {
            firmware: "arm64-uefi".into(),
            lack: "`linux` of distro `debian-12` is for x86".into(),
        },
    );
    let unknown = own_disk(None, Why::Unknown);
    let mut out = Vec::new();
    for (name, decision) in [
        ("installs", installs),
        ("two-initrds", two),
        ("memtest", memtest),
        ("ready", ready),
        ("held", held),
        ("missing", missing),
        ("arm64", arm64),
        ("unknown", unknown),
    ] {
        let mut add = |file: String, script| out.push((file, script));
        add(
            format!("{name}.ipxe"),
            ipxe::script(&decision, &urls(), mac()),
        );
        for (via, suffix) in [(Via::Tftp, "tftp"), (Via::Http, "http")] {
            let config = grub::config(&decision, &urls(), mac(), Firmware::UEFI, via);
            add(format!("{name}.{suffix}.grub"), config);
        }
        add(
            format!("{name}.pxelinux"),
            pxelinux::config(&decision, mac()),
        );
    }
    for (name, decision) in ways() {
        out.push((
            format!("{name}.ipxe"),
            ipxe::script(&decision, &urls(), mac()),
        ));
    }
    let generic = |text| Script { text, boots: false };
    out.push(("autoexec.ipxe".into(), generic(ipxe::autoexec(&urls()))));
    out.push((
        "ask-platform.ipxe".into(),
        generic(ipxe::ask_platform(&urls(), mac())),
    ));
    for (name, via) in [
        ("generic.grub", Via::Tftp),
        ("generic-http.grub", Via::Http),
    ] {
        out.push((name.into(), generic(grub::generic(&urls(), via))));
    }
    out
}

#[test]
fn goldens() {
    for (name, script) in scripts() {
        check(&name, &script.text);
    }
}

#[test]
fn grub_itself_reads_every_configuration() {
    let mut checked = 0;
    for (name, script) in scripts() {
        if !name.ends_with(".grub") {
            continue;
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &script.text).expect("written");
        let run = std::process::Command::new("grub-script-check")
            .arg(file.path())
            .output();
        let Ok(run) = run else {
            crate::skipped!("grub-script-check (package grub-common) is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "{name}: {said}\n{}", script.text);
        checked += 1;
    }
    assert!(checked > 10);
}

#[test]
fn every_ipxe_line_is_one_that_ipxe_can_read() {
    for (name, script) in scripts() {
        if !name.ends_with(".ipxe") {
            continue;
        }
        let text = script.text;
        assert!(
            text.starts_with("#!ipxe\n") && text.ends_with('\n'),
            "{name}"
        );
        for line in text.lines() {
            assert!(line.is_ascii() && !line.ends_with('\\'), "{name}: {line}");
            for (_, label) in line
                .match_indices("goto ")
                .map(|(at, w)| (at, &line[at + w.len()..]))
            {
                let label = label.split(' ').next().unwrap_or("");
                let target = format!(":{label}");
                assert!(text.lines().any(|l| l == target), "{name}: no {target}");
            }
        }
    }
}
