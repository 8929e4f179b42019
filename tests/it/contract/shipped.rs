//! The shipped profiles and distros, with stand-ins for what only a network brings, and one flagged
//! machine for each profile and firmware.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use farrier::cli::demo::rack::{Rack, RackError, Server};
use farrier::model::MacAddr;
use toml_edit::{DocumentMut, Item, Table, value};

use super::kinds::{Boots, boots, needs, takes_keys};
use super::{FIRMWARE, Firmware, mac};
use crate::rack::site;

/// A machine that is to boot.
pub(super) struct Flagged {
    pub(super) name: String,
    pub(super) mac: MacAddr,
    pub(super) firmware: &'static Firmware,
    /// Its profile installs a system, which is handed off at its first boot.
    pub(super) installs: bool,
    pub(super) profile: String,
    pub(super) boots: Boots,
}

/// A machine's name: one word, for a dot would begin its domain, and of Windows a short one.
pub(super) fn named(profile: &str, firmware: &Firmware) -> String {
    let profile = profile.replace('.', "-").replace("windows", "win");
    format!("{profile}-{}", firmware.word)
}

/// A server of the repository's own example, and its machines, all flagged.
pub(super) fn serve(rack: &Rack) -> Result<(Server, Vec<Flagged>), RackError> {
    let settings = site::example(rack)?;
    let root = settings.site.clone();
    let distros = stand_ins(&root)?;
    let upstream = mirror(rack)?;
    let config = root.join("farrier.toml");
    // An address for every machine.
    let pool = "10.77.0.20-10.77.0.250";
    let text = read(&config)?.replace("10.77.0.100-10.77.0.199", pool);
    assert!(text.contains(pool), "{text}");
    let mut text = text;
    for name in ["debian", "debian-security"] {
        text += &format!("[mirror.{name}]\nupstream = \"{upstream}\"\n");
    }
    write(&config, &text)?;
    let profiles = profiles(&root)?;
    assert!(profiles.len() >= 4, "{profiles:?}");
    let mut all = Vec::new();
    let mut text = String::new();
    for (p, (profile, installs)) in profiles.iter().enumerate() {
        for (f, firmware) in FIRMWARE.iter().enumerate() {
            let (name, mac) = (named(profile, firmware), mac(p, f));
            text.push_str(&format!(
                "[system.{name}]\nmac = \"{mac}\"\nprofile = \"{profile}\"\nsecure_boot = {}\n\
                 {}{}",
                firmware.secure_boot,
                keys(profile),
                needs(profile)
            ));
            all.push(Flagged {
                name,
                mac,
                firmware,
                installs: *installs,
                profile: profile.clone(),
                boots: boots(profile, firmware.word),
            });
        }
    }
    write(&root.join("systems.toml"), &text)?;
    let server = Server::start(rack, settings)?;
    for distro in distros {
        server.must(&["distro", "fetch", &distro])?;
    }
    for (profile, installs) in &profiles {
        let refused = |f: &&Firmware| boots(profile, f.word) == Boots::Refused;
        let machines = FIRMWARE.iter().filter(|f| !refused(f));
        let machines: Vec<String> = machines.map(|f| named(profile, f)).collect();
        for firmware in FIRMWARE.iter().filter(refused) {
            let name = named(profile, firmware);
            let told = server.farrier(&["rebuild", &name, "--yes"])?;
            let why = format!("{}{}", told.stdout, told.stderr);
            assert!(!told.ok() && why.contains("secure_boot"), "{name}: {why}");
        }
        let count = machines.len().to_string();
        let list = machines.join(",");
        let words = if *installs {
            vec!["rebuild", &list, "--yes", "--expect", &count]
        } else {
            vec!["boot", &list, profile, "--yes", "--expect", &count]
        };
        server.must(&words)?;
    }
    all.retain(|flagged| flagged.boots != Boots::Refused);
    Ok((server, all))
}

const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIBdBWkqjK5v3nRr0ZtQJmGfQ3m0kYwqL0c6n3uT1hV2x";

/// A key for ssh, if the profile takes any.
fn keys(profile: &str) -> String {
    match takes_keys(profile) {
        true => format!("ssh_keys = [\"ssh-ed25519 {KEY} contract\"]\n"),
        false => String::new(),
    }
}

/// A server of the repository's own example whose distros `imported` are taken off media, each with these
/// words for `farrier distro import`, and a machine of each firmware, flagged.
pub(super) fn serve_imported(
    rack: &Rack,
    imported: &[(&str, Vec<String>)],
) -> Result<(Server, Vec<Flagged>), RackError> {
    let settings = site::example(rack)?;
    let root = settings.site.clone();
    stand_ins(&root)?;
    let mut all = Vec::new();
    let mut text = String::new();
    for (p, (profile, _)) in imported.iter().enumerate() {
        for (f, firmware) in FIRMWARE.iter().enumerate() {
            let (name, mac) = (named(profile, firmware), mac(p, f));
            let boots = boots(profile, firmware.word);
            // without a loader on this host there is nothing to see
            if matches!(boots, Boots::Refused | Boots::OwnDisk) || firmware.word == "arm64" {
                continue;
            }
            let lines = needs(profile);
            let secure = firmware.secure_boot;
            text.push_str(&format!(
                "[system.{name}]\nmac = \"{mac}\"\nprofile = \"{profile}\"\nsecure_boot = {secure}\n\
                 {}{lines}",
                keys(profile),
            ));
            all.push(Flagged {
                name,
                mac,
                firmware,
                installs: true,
                profile: profile.to_string(),
                boots,
            });
        }
    }
    write(&root.join("systems.toml"), &text)?;
    let server = Server::start(rack, settings)?;
    for (distro, words) in imported {
        let mut command = vec!["distro", "import", "--name", distro, "--replace"];
        command.extend(words.iter().map(String::as_str));
        server.must(&command)?;
    }
    for flagged in &all {
        server.must(&["rebuild", &flagged.name, "--yes"])?;
    }
    Ok((server, all))
}

/// The distro that has a shim and a GRUB of its own, as its medium would bring them.
pub(super) const WITH_PAIR: &str = "rocky-9";

/// What tells that such a GRUB has TFTP and HTTP.
const PAIR: [(&str, &str); 2] = [
    ("shimx64.efi", "in place of a shim\n"),
    ("grubx64.efi", "in place of a GRUB: octet\0 HTTP/1.1\n"),
];

/// Makes every artefact of `boot/` a small file of the site; returns the distros' names.
pub(super) fn stand_ins(root: &Path) -> Result<Vec<String>, RackError> {
    let mut distros = Vec::new();
    for path in files(&root.join("boot"))? {
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let distro = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let mut document: DocumentMut = read(&path)?.parse().expect("sound TOML");
        let mut all: Vec<String> = Vec::new();
        if let Some(files) = document.get_mut("files").and_then(Item::as_table_mut) {
            let names = files["names"].as_array().expect("names");
            all.extend(names.iter().filter_map(|n| Some(n.as_str()?.to_string())));
            files.remove("url");
            files["folder"] = value(format!("boot/files/{distro}"));
        }
        for name in all {
            let file = root.join(format!("boot/files/{distro}/{name}"));
            write(&file, &format!("in place of {distro}'s {name}\n"))?;
        }
        if distro == WITH_PAIR {
            for (name, text) in PAIR {
                let file = format!("boot/files/{distro}/{name}");
                write(&root.join(&file), text)?;
                document["artefact"][name]["file"] = value(file);
            }
        }
        let mut none = Table::new();
        let artefacts = document.get_mut("artefact").and_then(Item::as_table_mut);
        let artefacts = artefacts.unwrap_or(&mut none);
        for (name, source) in artefacts.iter_mut() {
            let name = name.get();
            let file = format!("boot/files/{distro}/{name}");
            if !root.join(&file).exists() {
                let text = format!("in place of {distro}'s {name}\n");
                write(&root.join(&file), &text)?;
            }
            let mut table = Table::new();
            table["file"] = value(file);
            *source = Item::Table(table);
        }
        write(&path, &document.to_string())?;
        distros.push(distro);
    }
    Ok(distros)
}

/// The shipped profiles that machines boot, and whether they install something.
fn profiles(root: &Path) -> Result<Vec<(String, bool)>, RackError> {
    let mut found = Vec::new();
    for path in files(&root.join("profiles"))? {
        let document: DocumentMut = read(&path.join("profile.toml"))?.parse().expect("TOML");
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        // a kind that is not said is a parent's, which installs
        match document.get("kind").and_then(|kind| kind.as_str()) {
            Some("base") => {}
            Some("live" | "kernel") => found.push((name, false)),
            _ => found.push((name, true)),
        }
    }
    Ok(found)
}

/// A distribution's mirror that has everything.
fn mirror(rack: &Rack) -> Result<String, RackError> {
    let listener = rack
        .namespace()
        .inside(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let listener = listener.map_err(RackError::file(rack.dir()))?;
    let address = listener.local_addr().map_err(RackError::file(rack.dir()))?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthere";
            let _ = stream.write_all(answer);
        }
    });
    Ok(format!("http://{address}/debian"))
}

fn files(dir: &Path) -> Result<Vec<std::path::PathBuf>, RackError> {
    let entries = fs::read_dir(dir).map_err(RackError::file(dir))?;
    let mut all: Vec<_> = entries.map_while(Result::ok).map(|e| e.path()).collect();
    all.sort();
    Ok(all)
}

fn read(path: &Path) -> Result<String, RackError> {
    fs::read_to_string(path).map_err(RackError::file(path))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), RackError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(RackError::file(dir))?;
    }
    fs::write(path, text).map_err(RackError::file(path))
}
