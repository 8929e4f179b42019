//! Every shipped profile, on BIOS and UEFI, by DHCP and with a static address: goldens of all that is
//! sent, the judgement of each script, unit and boot script in it, and hostile values in every text.

mod goldens;
mod hostile;
mod judges;
mod matrix;
mod wim;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farrier::boot::paths::Urls;
use farrier::control::{Bootable, Next};
use farrier::model::{
    Artefact, ArtefactIndex, ArtefactRef, BuildKey, Digest, Distro, Document, Firmware, Nature,
    Profile, ProfileKind, System,
};
use farrier::render::{CompiledProfile, Place};

use super::site::{declared, ground, own, run};
use crate::contract::{needs, takes_keys};

/// A profile that machines boot, ready for any number of them.
struct Ready {
    name: String,
    profile: Arc<Profile>,
    distro: Arc<Distro>,
    compiled: CompiledProfile,
    index: ArtefactIndex,
}

/// What one machine would be sent.
struct Sent {
    cmdline: String,
    /// By loader: `boot.ipxe`, `grub.cfg`, `pxelinux.cfg`.
    scripts: BTreeMap<String, String>,
    documents: BTreeMap<String, Document>,
}

/// All profiles that are not only inherited from.
fn all() -> Vec<Ready> {
    let site = own();
    let profiles = site.profiles.iter();
    let found: Vec<Ready> = profiles
        .filter(|(_, profile)| profile.kind != ProfileKind::Base)
        .map(|(name, profile)| {
            let distro = &site.distros[profile.distro.as_ref().expect("a distro")];
            Ready {
                name: name.to_string(),
                profile: Arc::clone(profile),
                distro: Arc::clone(distro),
                compiled: CompiledProfile::new(profile).expect("a sound profile"),
                index: index(distro),
            }
        })
        .collect();
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let bases = site.profiles.values();
    let bases = bases.filter(|p| p.kind == ProfileKind::Base).count();
    let folders = std::fs::read_dir(folders).expect("profiles").count();
    assert_eq!(found.len() + bases, folders, "every folder is a profile");
    found
}

/// As if every artefact of the distro had been fetched.
fn index(distro: &Distro) -> ArtefactIndex {
    let mut index = ArtefactIndex::default();
    for name in distro.artefacts.keys() {
        index.insert(Artefact {
            id: ArtefactRef {
                distro: distro.name.to_string(),
                name: name.to_string(),
            },
            path: PathBuf::new(),
            digest: Digest::of(name.as_bytes()),
            size: 1,
            bytes: None,
            nature: Nature::default(),
        });
    }
    index
}

/// A system of this profile that says what it must, and these lines.
fn machine(profile: &str, lines: &str) -> System {
    let text = format!(
        "[system.web01]\nprofile = \"{profile}\"\nmac = \"52:54:00:00:00:01\"\nip = \"10.77.0.11\"\n\
         {}{}{lines}",
        keys(profile),
        needs(profile)
    );
    declared(&text).remove(0)
}

/// A key for ssh, if the profile takes any.
fn keys(profile: &str) -> &'static str {
    match takes_keys(profile) {
        true => "ssh_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOp3 ops@example\"]\n",
        false => "",
    }
}

impl Ready {
    fn send(&self, system: &System, at: &Place) -> Result<Sent, String> {
        let rendered = self.compiled.render(system, &self.distro, at);
        let rendered = rendered.map_err(|all| {
            let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })?;
        let next = Next {
            build: BuildKey {
                system: system.name.clone(),
                epoch: at.epoch,
            },
            profile: &self.profile,
            cmdline: &rendered.cmdline,
            secure_boot: system.secure_boot,
        };
        let bootable = Bootable::of_distro(&self.index, &self.distro, next);
        let urls = Urls { server: at.server };
        let mac = system.first().expect("an interface").mac;
        let scripts = bootable.expect("all of it is here");
        let scripts = scripts.scripts(&urls, mac, at.firmware).into_iter();
        Ok(Sent {
            scripts: scripts
                .map(|d| (d.name.clone(), d.text.expect("text")))
                .collect(),
            cmdline: rendered.cmdline,
            documents: rendered.documents,
        })
    }

    /// Whether a document is a file of the profile as it stands.
    fn own_file(&self, document: &Document) -> Option<&str> {
        let files = self.profile.files.iter();
        let mut same = files.filter(|(path, bytes)| {
            !path.ends_with(".j2") && ***bytes == *document.bytes && !document.gzip
        });
        same.next().map(|(path, _)| path.as_str())
    }
}

/// What makes a machine's address a static one. Of Talos it is part of a whole configuration only.
fn fixed(profile: &str) -> &'static str {
    match profile {
        "talos" => concat!(
            "static_ip = true\ndisk = { serial = \"S1\" }\nvars.talos.join = { cluster = \"lab\", ",
            "endpoint = \"https://10.77.0.5:6443\", machine_token = \"abcdef.0123456789abcdef\", ",
            "machine_ca = \"Q0E=\", cluster_id = \"SUQ=\", cluster_secret = \"U0VDUkVU\", ",
            "cluster_token = \"abcdef.fedcba9876543210\", cluster_ca = \"Q0Ey\" }\n"
        ),
        _ => "static_ip = true\n",
    }
}

/// The four machines of a profile.
fn four(profile: &str) -> [(&'static str, System, Place); 4] {
    let fixed = machine(profile, fixed(profile));
    let dhcp = machine(profile, "");
    [
        ("bios-dhcp", dhcp.clone(), ground(Firmware::BIOS)),
        ("bios-static", fixed.clone(), ground(Firmware::BIOS)),
        ("uefi-dhcp", dhcp, ground(Firmware::UEFI)),
        ("uefi-static", fixed, ground(Firmware::UEFI)),
    ]
}

/// The files of an archive by path; none for what is no archive.
fn unpacked(document: &Document) -> Option<BTreeMap<String, Vec<u8>>> {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display().to_string();
    let input = document.bytes.as_slice();
    let arguments: &[&str] = if document.gzip {
        &["tar", "-C", &at, "-xf", "-"]
    } else if input.starts_with(b"070701") {
        &["cpio", "--quiet", "-idm", "-D", &at]
    } else {
        return None;
    };
    let (ok, err) = fed(arguments, input);
    assert!(ok, "{}: {err}", document.name);
    let mut found = BTreeMap::new();
    walk(folder.path(), folder.path(), &mut found);
    Some(found)
}

/// Runs a program on bytes.
fn fed(words: &[&str], input: &[u8]) -> (bool, String) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{words:?}: {e}"));
    let mut pipe = child.stdin.take().expect("a pipe");
    std::thread::scope(|s| {
        s.spawn(move || pipe.write_all(input));
        let done = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        (done.status.success(), said.into_owned())
    })
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found);
            continue;
        }
        let name = path
            .strip_prefix(root)
            .expect("below")
            .display()
            .to_string();
        found.insert(name, std::fs::read(&path).expect("bytes"));
    }
}

/// The scripts that a bundle unpacks, by name.
fn steps(bundle: &Document) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("unpacked");
    let script = String::from_utf8_lossy(&bundle.bytes).into_owned();
    let (ok, _, err) =
        run("dash", &["-s", &at.display().to_string()], &script).expect("dash is on every host");
    assert!(ok, "{err}");
    let mut found = BTreeMap::new();
    walk(&at, &at, &mut found);
    found
}

#[test]
fn no_answer_carries_the_hand_offs_secret_and_no_value_is_empty() {
    let mut seen = BTreeSet::new();
    for ready in all() {
        for (case, system, at) in four(&ready.name) {
            let Ok(sent) = ready.send(&system, &at) else {
                continue;
            };
            for (name, document) in &sent.documents {
                let text = String::from_utf8_lossy(&document.bytes);
                let what = format!("{} {case} {name}", ready.name);
                assert!(
                    document.secret || !text.contains("FARRIER-SECRET"),
                    "{what}"
                );
                // what a template makes of nothing, or leaves
                for left in ["{{", "{%", "None", "undefined"] {
                    let ours = document.secret || ready.own_file(document).is_some();
                    assert!(ours || !text.contains(left), "{what}: {left}");
                }
            }
            for left in ["= ", "=none", "undefined", "None"] {
                let cmdline = format!("{} ", sent.cmdline);
                assert!(!cmdline.contains(left), "{}: {cmdline}", ready.name);
            }
            seen.insert(ready.name.clone());
        }
    }
    assert!(seen.len() > 25, "{seen:?}");
}

/// Which installers say where they stand, and which only begin and end: docs/installers.md has the same.
#[test]
fn which_say_their_stages() {
    let mut silent = Vec::new();
    for ready in all() {
        let at = ground(Firmware::UEFI);
        let sent = ready
            .send(&machine(&ready.name, ""), &at)
            .expect("rendered");
        let mut texts = sent
            .documents
            .values()
            .flat_map(|document| match unpacked(document) {
                Some(files) => files.into_values().collect(),
                None => vec![document.bytes.clone()],
            });
        let says = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            // not what only defines how it would be said
            let calls = text.lines().filter(|l| !l.contains("farrier_progress()"));
            let mut calls = calls.filter(|l| !l.trim_start().starts_with('#'));
            calls.any(|l| {
                l.contains("farrier_progress ")
                    || l.contains("progress/") && !l.contains("farrier_ask")
                    || l.contains("/status")
            })
        };
        if ready.profile.kind.installs() && !texts.any(says) {
            silent.push(ready.name.clone());
        }
    }
    assert_eq!(silent, ["openbsd", "proxmox-ve", "smartos", "talos"]);
}
