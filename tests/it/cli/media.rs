//! `farrier distro import`, with and without a server, to the last byte over the machine plane's door.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use farrier::serve::Hot;
use farrier::serve::http::{Limits, MachinePlane, NoMirrors, accept, router};
use sha2::Digest as _;

use super::*;
use crate::media::Layout;

const TREEINFO: &str = "[general]\nfamily = Rocky Linux\nversion = 9.4\narch = x86_64\n\
    [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";

fn rocky(kernel: &str) -> Layout {
    Layout::new(&[
        (".treeinfo", TREEINFO),
        ("images/pxeboot/vmlinuz", kernel),
        ("images/pxeboot/initrd.img", "an initrd"),
        ("images/install.img", "stage two"),
        ("BaseOS/repodata/repomd.xml", "<repomd/>"),
        ("EFI/BOOT/BOOTX64.EFI", "shim"),
        ("EFI/BOOT/grubx64.efi", "grub"),
    ])
}

fn image(layout: &Layout) -> PathBuf {
    layout.image(&["-R", "-J", "-V", "ROCKY"])
}

/// A path of the machine plane, asked for on a socket.
fn fetched(place: &Workplace, path: &str) -> (u16, Vec<u8>) {
    let server = place.server.as_ref().expect("a server");
    let plane = Arc::new(MachinePlane {
        waist: server.control.clone(),
        hot: Arc::new(Hot::new(1 << 20)),
        mirrors: Arc::new(NoMirrors),
    });
    let running = server.runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        accept::start(
            vec![listener.expect("bound")],
            router(plane),
            Limits::default(),
        )
    });
    let running = running.expect("a door");
    let mut stream = TcpStream::connect(running.addresses()[0]).expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("an answer");
    server.runtime.block_on(running.stop());
    let head = got
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    let status = String::from_utf8_lossy(&got[9..12])
        .parse()
        .expect("a status");
    (status, got[head + 4..].to_vec())
}

fn media_of(place: &Workplace, name: &str) -> farrier::model::Artefact {
    let server = place.server.as_ref().expect("a server");
    let index = server.control.artefacts();
    (**index.get(name, "media.iso").expect("the medium")).clone()
}

#[test]
fn a_medium_is_imported_served_and_used_with_a_server() {
    let mut place = Workplace::served();
    let layout = rocky("a kernel");
    let iso = image(&layout);
    let run = place.run(&format!("distro import {}", iso.display()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in [
        "rocky-9.4  Rocky Linux 9.4, x86_64\n",
        "  file     boot/rocky-9.4.toml\n",
        "  kernel   vmlinuz  (images/pxeboot/vmlinuz)\n",
        "  initrd   initrd.img  (images/pxeboot/initrd.img)\n",
        "  also     shimx64.efi  (EFI/BOOT/BOOTX64.EFI)\n",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert!(
        run.stderr.contains(
            "5 of 5 artefacts are here; a profile uses them with: distro = \"rocky-9.4\""
        ),
        "{}",
        run.stderr
    );

    // Through the door: out of the medium, and what was taken off it.
    let medium = media_of(&place, "rocky-9.4");
    let digest = medium.digest.short();
    let base = format!("/t/{digest}/rocky-9.4/media.iso");
    let got = fetched(&place, &format!("{base}/BaseOS/repodata/repomd.xml"));
    assert_eq!(got, (200, b"<repomd/>".to_vec()));
    assert_eq!(
        fetched(&place, &format!("{base}/.treeinfo")).1,
        TREEINFO.as_bytes()
    );
    assert_eq!(fetched(&place, &format!("{base}/images/none")).0, 404);
    let whole = fetched(&place, &format!("/a/{digest}/rocky-9.4/media.iso")).1;
    let published = std::fs::read(&iso).expect("the image");
    assert!(whole == published);
    let server = place.server.as_ref().expect("a server");
    let kernel = server.control.artefacts();
    let kernel = kernel
        .get("rocky-9.4", "vmlinuz")
        .expect("a kernel")
        .digest
        .short();
    let got = fetched(&place, &format!("/a/{kernel}/rocky-9.4/vmlinuz"));
    assert_eq!(got, (200, b"a kernel".to_vec()));

    // A profile sees where the tree is.
    let profile = place.site().join("profiles/debian-12/profile.toml");
    let text = std::fs::read_to_string(&profile).expect("a profile");
    let text = text
        .replace("distro = \"debian-12\"", "distro = \"rocky-9.4\"")
        .replace(
            "cmdline = \"",
            "cmdline = \"inst.repo={{ url.tree['media.iso'] }} ",
        );
    std::fs::write(&profile, text).expect("written");
    place.serve();
    let run = place.run("render web01 cmdline");
    assert!(
        run.stdout
            .contains(&format!("inst.repo=http://10.77.0.1{base} ")),
        "{} {}",
        run.stdout,
        run.stderr
    );

    // The same again changes nothing, even with the image gone from where it was.
    let file = std::fs::read_to_string(place.site().join("boot/rocky-9.4.toml")).expect("a file");
    assert!(
        file.starts_with("# Rocky Linux 9.4, x86_64\n# Imported from made.iso.\n# - "),
        "{file}"
    );
    let run = place.run(&format!("distro import {}", iso.display()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    std::fs::remove_file(&iso).expect("removed");
    let run = place.run("distro fetch rocky-9.4");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(media_of(&place, "rocky-9.4").digest, medium.digest);
}

#[test]
fn what_starts_a_medium_must_be_given_where_it_is_not_on_it() {
    let place = Workplace::new();
    let freebsd = Layout::new(&[
        ("boot/kernel/kernel", "k"),
        ("usr/freebsd-dist/base.txz", "b"),
        ("usr/freebsd-dist/kernel.txz", "k"),
    ]);
    let openbsd = Layout::new(&[("7.8/amd64/bsd.rd", "b"), ("7.8/amd64/base78.tgz", "s")]);
    for (layout, given) in [(&freebsd, "mfsbsd.iso"), (&openbsd, "pxeboot")] {
        let iso = image(layout);
        let run = place.run(&format!("distro import {} --name x", iso.display()));
        assert_eq!(run.code, 1, "{}", run.stderr);
        let help = format!("--with /path/to/{given}");
        assert!(run.stderr.contains(&help), "{}", run.stderr);
        assert!(!place.site().join("boot/x.toml").exists());
    }
    openbsd.put("../pxeboot", b"by BIOS");
    let program = openbsd.beside("pxeboot").display().to_string();
    let iso = image(&openbsd);
    let run = place.run(&format!(
        "distro import {} --name x --with {program}",
        iso.display()
    ));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let file = std::fs::read_to_string(place.site().join("boot/x.toml")).expect("a file");
    for part in [
        "start = \"own\"\n",
        "[own]\nbios = \"pxeboot\"\nconfig = \"boot.conf\"\nconfig_names = [\"etc/boot.conf\"]\n",
        "[vars]\nsets_path = \"7.8/amd64\"\n",
    ] {
        assert!(file.contains(part), "{part}: {file}");
    }
    // by UEFI it cannot be started, and is not said to be
    assert!(!file.contains("uefi = "), "{file}");
}

#[test]
fn without_a_server_it_goes_on_where_it_stopped_and_a_wrong_half_is_found_out() {
    let place = Workplace::new();
    let layout = rocky("a kernel");
    let iso = image(&layout);
    let bytes = std::fs::read(&iso).expect("the image");
    let work = place.site().join(".farrier/artefacts/rocky-9.4/work");
    std::fs::create_dir_all(&work).expect("a directory");
    let half = work.join("media.iso");

    // What was copied is of another image.
    std::fs::write(&half, vec![7; bytes.len() / 2]).expect("half");
    let run = place.run(&format!("distro import {}", iso.display()));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        !half.exists() && !place.site().join("boot/rocky-9.4.toml").exists(),
        "{}",
        run.stderr
    );
    let run = place.run("distro ls -o name");
    assert_eq!(
        run.stdout, "debian-12\nrescue\nloaders\n",
        "nothing is half there"
    );

    std::fs::write(&half, &bytes[..bytes.len() / 2]).expect("half");
    let run = place.run(&format!("distro import {} -o json", iso.display()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let said: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let digest = sha2::Sha256::digest(&bytes);
    let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(said["sha256"], digest.as_str());
    assert_eq!(said["artefacts"]["vmlinuz"], "images/pxeboot/vmlinuz");
    assert!(!half.exists());

    // Another medium of the same name is not put in its place unasked.
    let other = rocky("another kernel");
    let other = image(&other);
    let run = place.run(&format!("distro import {}", other.display()));
    assert_eq!(run.code, 4, "{}", run.stderr);
    let removed = format!("-sha256 = \"{digest}\"");
    assert!(
        run.stderr.contains(&removed) && run.stderr.contains("--replace"),
        "{}",
        run.stderr
    );
    let run = place.run(&format!("distro import {} --replace", other.display()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = place.run(&format!(
        "distro import {} --name rocky-test",
        iso.display()
    ));
    assert_eq!(run.code, 0, "beside it: {}", run.stderr);
    assert_eq!(
        place.run("distro ls -o name").stdout,
        "debian-12\nrescue\nrocky-9.4\nrocky-test\nloaders\n"
    );
    let shelf = place.site().join(".farrier/artefacts/rocky-9.4");
    let mut kernels = Vec::new();
    for entry in std::fs::read_dir(shelf).expect("a shelf").flatten() {
        kernels.extend(std::fs::read_to_string(entry.path().join("vmlinuz")));
    }
    kernels.sort();
    assert_eq!(
        kernels,
        ["a kernel", "another kernel"],
        "the earlier stays for builds"
    );
}

#[test]
fn what_is_no_medium_or_not_the_one_is_refused_and_leaves_nothing() {
    let place = Workplace::new();
    let odd = Layout::new(&[("README.TXT", "hello")]);
    let odd = odd.image(&["-R", "-V", "ODD"]);
    let text = place.site().join("files/linux");
    let layout = rocky("a kernel");
    let iso = image(&layout);
    let windows = Layout::new(&[
        ("bootmgr", "b"),
        ("boot/bcd", "c"),
        ("boot/boot.sdi", "s"),
        ("sources/boot.wim", "w"),
        ("setup.exe", "x"),
    ]);
    let windows = windows.image(&["-R", "-V", "WIN11"]);
    for (line, code, sentences) in [
        (
            odd.display().to_string(),
            1,
            &[
                "(it calls itself `ODD`)",
                "Ubuntu Server: .disk/info, casper/vmlinuz",
            ][..],
        ),
        (
            text.display().to_string(),
            1,
            &["it is no ISO 9660 or UDF image"],
        ),
        (place.site().display().to_string(), 1, &["it is no file"]),
        ("/nonexistent.iso".to_string(), 1, &["cannot be read"]),
        (
            format!("{} --sha256 00", iso.display()),
            1,
            &["has the SHA-256", "not 00"],
        ),
        (windows.display().to_string(), 1, &["wimboot", "--kernel"]),
    ] {
        let run = place.run(&format!("distro import {line}"));
        assert_eq!(run.code, code, "{line}: {}", run.stderr);
        for sentence in sentences {
            assert!(run.stderr.contains(sentence), "{line}: {}", run.stderr);
        }
    }
    assert_eq!(
        place.run("distro ls -o name").stdout,
        "debian-12\nrescue\nloaders\n"
    );
    let wimboot = format!(
        "distro import {} --kernel {}",
        windows.display(),
        text.display()
    );
    let run = place.run(&wimboot);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let file = std::fs::read_to_string(place.site().join("boot/windows-win11.toml"));
    assert!(file.expect("a file").contains("kernel = \"linux\""));
}
