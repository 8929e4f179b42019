//! Network boot loaders: those of this host's packages, else fetched ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk;
use super::error::ArtefactError;
use super::record::Record;
use crate::boot::{image, paths};
use crate::model::artefact::LOADERS;
use crate::model::view::LoaderView;
use crate::model::{Artefact, ArtefactRef, ArtefactSource, Digest, Distro, Nature};

/// A loader that Debian ships.
struct Shipped {
    /// The name it is served under.
    name: &'static str,
    /// Which program it is.
    program: &'static str,
    /// Which machines begin with it.
    firmware: &'static str,
    /// The Debian package, none if Debian has none.
    package: Option<&'static str>,
    /// Where the package puts it. The first is the path looked for in a fetched package.
    paths: &'static [&'static str],
}

/// Seen in Debian 12: `ipxe` 1.0.0+git-20190125 (its `/usr/lib/ipxe/ipxe.efi` is a link to
/// `/boot`), `shim-signed` 1.51 and `grub-efi-amd64-signed` 1+2.06. Of the two GRUBs the one that
/// boots from the network is wanted: `grubx64.efi.signed` looks for its configuration on a disk.
const SHIPPED: [Shipped; 6] = [
    Shipped {
        name: paths::IPXE_BIOS,
        program: "iPXE",
        firmware: "BIOS",
        package: Some("ipxe"),
        paths: &["/usr/lib/ipxe/undionly.kpxe"],
    },
    Shipped {
        name: paths::IPXE_UEFI,
        program: "iPXE",
        firmware: "UEFI",
        package: Some("ipxe"),
        paths: &["/usr/lib/ipxe/snponly.efi"],
    },
    Shipped {
        name: paths::IPXE_UEFI_FULL,
        program: "iPXE",
        firmware: "UEFI, with drivers of its own",
        package: Some("ipxe"),
        paths: &["/boot/ipxe.efi", "/usr/lib/ipxe/ipxe.efi"],
    },
    Shipped {
        name: paths::IPXE_ARM64,
        program: "iPXE",
        firmware: "64-bit ARM UEFI",
        package: None,
        paths: &[
            "/usr/lib/ipxe/snponly-arm64.efi",
            "/usr/lib/ipxe/arm64/snponly.efi",
            "/usr/share/ipxe/arm64-efi/snponly.efi",
        ],
    },
    Shipped {
        name: paths::SHIM,
        program: "shim",
        firmware: "UEFI with Secure Boot, first",
        package: Some("shim-signed"),
        paths: &["/usr/lib/shim/shimx64.efi.signed"],
    },
    Shipped {
        name: paths::GRUB,
        program: "GRUB",
        firmware: "UEFI with Secure Boot, second",
        package: Some("grub-efi-amd64-signed"),
        paths: &["/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"],
    },
];

/// No loader is larger; what is, is another thing under its name.
pub(super) const MAX_LOADER: u64 = 32 << 20;

/// Whether one loader can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderState {
    /// The name it is served under.
    pub name: &'static str,
    /// `iPXE`, `shim` or `GRUB`.
    pub program: &'static str,
    /// Which machines begin with it.
    pub firmware: &'static str,
    /// Where it comes from: a path of this host's packages, or the package it was fetched from.
    pub origin: Option<String>,
    /// It is one of this host's packages', not a fetched one.
    pub of_host: bool,
    /// Its digest, if it is there.
    pub digest: Option<Digest>,
    /// Bytes, if it is there.
    pub size: u64,
    /// What it can do, if it is there.
    pub nature: Nature,
    /// A Debian package has it, so that it can be fetched.
    pub packaged: bool,
    /// What to do if it is missing, in one sentence.
    pub fix: String,
}

/// The Debian package that has this loader.
pub fn loader_package(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|s| s.name == name)?.package
}

/// Where the loaders of installed packages are looked for: `/`, or a test's directory.
pub(super) fn installed(root: &Path) -> Vec<(Artefact, String)> {
    SHIPPED.iter().filter_map(|s| s.installed(root)).collect()
}

impl Shipped {
    fn installed(&self, root: &Path) -> Option<(Artefact, String)> {
        self.paths.iter().find_map(|path| {
            let real = root.join(path.trim_start_matches('/'));
            let artefact = in_memory(self.name, &real).ok()?;
            Some((artefact, format!("{path} of this host")))
        })
    }
}

/// A loader with its bytes, as TFTP serves it.
pub(super) fn in_memory(name: &str, path: &Path) -> Result<Artefact, ArtefactError> {
    let meta = std::fs::metadata(path).map_err(ArtefactError::file("read", path))?;
    if !meta.is_file() || meta.len() == 0 || meta.len() > MAX_LOADER {
        return Err(ArtefactError::file("take as a boot loader", path)(
            std::io::Error::other(format!("it has {} bytes", meta.len())),
        ));
    }
    let bytes: Arc<[u8]> = std::fs::read(path)
        .map_err(ArtefactError::file("read", path))?
        .into();
    Ok(Artefact {
        id: ArtefactRef {
            distro: LOADERS.to_string(),
            name: name.to_string(),
        },
        path: path.to_path_buf(),
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        nature: image::loader(&bytes),
        bytes: Some(bytes),
    })
}

/// Puts a copy on the shelf, so that an upgrade of the host's package never changes a file that is
/// being served. A shelf that cannot be written (a look by an ordinary user) leaves the host's path.
pub(super) fn keep(mut artefact: Artefact, at: PathBuf) -> Artefact {
    let Some(bytes) = artefact.bytes.clone() else {
        return artefact;
    };
    let there = std::fs::metadata(&at).is_ok_and(|m| m.len() == artefact.size);
    let part = at.with_added_extension("part");
    let copy = || {
        disk::directory(at.parent().unwrap_or(Path::new(".")))?;
        std::fs::write(&part, &bytes).map_err(ArtefactError::file("write", &part))?;
        disk::settle(&part, &at)
    };
    if there || copy().is_ok() {
        artefact.path = at;
    }
    artefact
}

/// What to fetch for the loaders this host's packages lack.
pub(super) fn to_fetch(root: &Path) -> Option<Distro> {
    let artefacts: BTreeMap<String, ArtefactSource> = SHIPPED
        .iter()
        .filter(|s| s.installed(root).is_none())
        .filter_map(|s| {
            let package = s.package?.to_string();
            let path = s.paths[0].to_string();
            Some((s.name.to_string(), ArtefactSource::Deb { package, path }))
        })
        .collect();
    let name = LOADERS.parse().ok()?;
    (!artefacts.is_empty()).then_some(Distro {
        name,
        artefacts,
        kernel: String::new(),
        kernel_uefi: None,
        initrds: Vec::new(),
        mirror: None,
        way: crate::model::DistroWay::default(),
    })
}

/// The state of every loader, given what is installed and what was fetched.
pub(super) fn states(
    root: &Path,
    fetched: &BTreeMap<String, (Artefact, Record)>,
) -> Vec<LoaderState> {
    let state = |shipped: &Shipped| {
        let installed = shipped.installed(root);
        let of_host = installed.is_some();
        let fetched = || {
            let (artefact, record) = fetched.get(shipped.name)?;
            Some((artefact.clone(), record.origin.clone()))
        };
        let (artefact, origin) = installed.or_else(fetched).unzip();
        let artefact = artefact.as_ref();
        LoaderState {
            name: shipped.name,
            program: shipped.program,
            firmware: shipped.firmware,
            packaged: shipped.package.is_some(),
            fix: match shipped.package {
                Some(package) => format!(
                    "`farrier distro fetch {LOADERS}` fetches it, or install package `{package}`"
                ),
                None => format!(
                    "no package of Debian 12 has it; put it at `{}`",
                    shipped.paths[0]
                ),
            },
            of_host,
            digest: artefact.map(|a| a.digest),
            size: artefact.map_or(0, |a| a.size),
            nature: artefact.map_or_else(Nature::default, |a| a.nature.clone()),
            origin,
        }
    };
    SHIPPED.iter().map(state).collect()
}

impl LoaderState {
    /// For people and JSON.
    pub(super) fn view(&self) -> LoaderView {
        let state = match (&self.origin, self.of_host) {
            (None, _) => "missing",
            (Some(_), true) => "host",
            (Some(_), false) => "fetched",
        };
        LoaderView {
            name: self.name.to_string(),
            program: self.program.to_string(),
            firmware: self.firmware.to_string(),
            state: state.to_string(),
            origin: self.origin.clone(),
            http: self.nature.http,
            fix: self.origin.is_none().then(|| self.fix.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loader_that_may_be_advertised_has_a_source() {
        let known: Vec<&str> = SHIPPED.iter().map(|s| s.name).collect();
        for name in paths::LOADERS {
            assert!(known.contains(&name), "{name}");
        }
        assert_eq!(known.len(), paths::LOADERS.len());
    }

    #[test]
    fn installed_loaders_keep_the_names_of_upstream() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(installed(root.path()).is_empty());
        for (path, content) in [
            ("usr/lib/shim/shimx64.efi.signed", "shim"),
            (
                "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
                "net",
            ),
            ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "disk"),
            ("usr/lib/ipxe/snponly.efi", ""),
        ] {
            let path = root.path().join(path);
            disk::directory(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, content).expect("written");
        }
        let found: Vec<(String, Vec<u8>)> = installed(root.path())
            .into_iter()
            .map(|(a, _)| (a.id.name, a.bytes.expect("in memory").to_vec()))
            .collect();
        let expected = [("shimx64.efi", "shim"), ("grubx64.efi", "net")];
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, c)| (n.to_string(), c.as_bytes().to_vec()))
            .collect();
        assert_eq!(found, expected, "an empty file is no loader");
        let missing = to_fetch(root.path()).expect("some are missing");
        let missing: Vec<&String> = missing.artefacts.keys().collect();
        assert_eq!(missing, ["ipxe.efi", "snponly.efi", "undionly.kpxe"]);
        for state in states(root.path(), &BTreeMap::new()) {
            assert_eq!(state.origin.is_some(), state.name.ends_with("x64.efi"));
            assert!(!state.fix.is_empty());
        }
    }

    #[test]
    fn a_loader_is_of_the_host_or_fetched_or_missing() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("usr/lib/ipxe/undionly.kpxe");
        disk::directory(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, "host").expect("written");
        let of = |fetched: &BTreeMap<String, (Artefact, Record)>| {
            let states = states(root.path(), fetched);
            let views = states.iter().map(LoaderState::view);
            views
                .map(|v| (v.name.clone(), v))
                .collect::<BTreeMap<_, _>>()
        };
        let none = of(&BTreeMap::new());
        assert_eq!(none["undionly.kpxe"].state, "host");
        assert_eq!(none["grubx64.efi"].state, "missing");
        let fix = none["grubx64.efi"].fix.as_deref().expect("a fix");
        assert!(fix.contains("farrier distro fetch loaders"), "{fix}");
        let at = root.path().join("grub");
        std::fs::write(&at, "GET / HTTP/1.1").expect("written");
        let artefact = in_memory(paths::GRUB, &at).expect("a loader");
        let record = Record {
            digest: artefact.digest,
            sha256: String::new(),
            size: artefact.size,
            source: "deb:grub-efi-amd64-signed".into(),
            origin: "grub-efi-amd64-signed 1".into(),
            pinned: true,
            fetched: crate::model::Timestamp::UNIX_EPOCH,
            version: None,
            inside: None,
        };
        let one = BTreeMap::from([(paths::GRUB.to_string(), (artefact, record))]);
        let grub = &of(&one)["grubx64.efi"];
        assert_eq!((grub.state.as_str(), grub.http), ("fetched", true));
        assert_eq!(grub.origin.as_deref(), Some("grub-efi-amd64-signed 1"));
        assert_eq!(grub.fix, None);
    }
}
