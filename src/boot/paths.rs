//! Every path and URL of the machine plane is minted and parsed here, and nowhere else.
//!
//! One test mints each and fetches it from the real server, so that what DHCP or a script
//! advertises is served.

mod signed;

use std::net::SocketAddrV4;

pub use signed::pair_path;
use signed::{GrubFile, grub_file, in_pair};

use crate::model::{ArtefactRef, Digest, MacAddr, Pair, PlannedFile};

/// What an HTTP path of the machine plane asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpPath {
    /// `/ipxe/52-54-00-12-34-56`: the iPXE script of the machine with this interface.
    Ipxe(MacAddr),
    /// `/autoexec.ipxe`, `/loader/autoexec.ipxe`: the script iPXE looks for next to itself; it
    /// chains to [`HttpPath::Ipxe`] with the machine's own address.
    Autoexec,
    /// `/grub/grub.cfg`, `/loader/grub.cfg`, and in the other places where GRUBs look (`signed`): the
    /// configuration that a GRUB which came by HTTP looks for; it goes on to the machine's own.
    GrubGeneric,
    /// `/grub/grub.cfg-01-52-54-..`, and in the other places: the GRUB configuration of one machine.
    Grub(MacAddr),
    /// `/loader/snponly.efi`: a network boot loader.
    Loader(String),
    /// `/a/DIGEST/DISTRO/NAME`: a kernel, initrd or other boot artefact. The digest's first twelve
    /// digits make the URL immutable. So is `/pair/x64/DIGEST-DIGEST/DISTRO/shimx64.efi`, and the GRUB
    /// beside it ([`pair_path`]). What follows the name is for kernels that read their own place
    /// out of their URL, and means nothing here.
    Artefact {
        /// Which.
        id: ArtefactRef,
        /// First twelve digits of its digest.
        digest: String,
    },
    /// `/zeros/3`: as many zero bytes, one to three, to lay between two initrds.
    Zeros(u8),
    /// `/t/DIGEST/DISTRO/NAME/PATH`: a file on an installation medium, which is an artefact. The path
    /// is compared with those on the medium and with nothing else.
    Tree {
        /// The medium.
        id: ArtefactRef,
        /// First twelve digits of its digest.
        digest: String,
        /// The path on it, percent-decoded.
        path: String,
    },
    /// `/b/TOKEN/NAME`: a document of a build.
    Document {
        /// The read token.
        token: String,
        /// Which document.
        name: String,
    },
    /// `/r/TOKEN/VERB` or `/r/TOKEN/VERB/STAGE`: a report from the installer.
    Report {
        /// The report token.
        token: String,
        /// `start`, `disks`, `progress`, `end`, `fail`, `log`, `handoff`, `status`,
        /// `bundle`.
        verb: String,
        /// The step, for `progress` and `fail`.
        stage: Option<String>,
    },
    /// `/h/TOKEN/VERB`: the first-boot unit's requests.
    Handoff {
        /// The secret token.
        token: String,
        /// `bundle`, `enrol` or `result`.
        verb: String,
    },
    /// `/mine/NAME`: a document of the build of the machine that asks, for installers that can be
    /// told no address with a token in it.
    Mine(String),
    /// `/52:54:00:12:34:56-install.conf`: what OpenBSD's installer asks for, with its own address.
    InstallConf(MacAddr),
    /// `/own/PATH`: what a distro's own boot program asks for, of the machine that asks.
    Own(String),
    /// `/puppet/TOKEN/report`: what a Puppet server reports of a run. The token is the site's.
    PuppetReport {
        /// The token.
        token: String,
    },
    /// `/mirror/NAME/PATH`: the pull-through cache of a distribution mirror.
    Mirror {
        /// Which mirror.
        name: String,
        /// The path below it, without a leading slash.
        path: String,
    },
}

/// What a TFTP name asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TftpName {
    /// A network boot loader by its upstream name.
    Loader(String),
    /// `autoexec.ipxe`.
    Autoexec,
    /// `grub/grub.cfg`, and in the other places where GRUBs look (`signed`): a script that goes on to
    /// the machine's own. Also `grub.cfg-0A4D000B`, by the address of the machine that asks.
    GrubGeneric,
    /// `grub.cfg-01-52-54-..` or `grub.cfg-52:54:..`, in the same places.
    Grub(MacAddr),
    /// `pxelinux.cfg/01-52-54-..`.
    Pxelinux(MacAddr),
    /// `a/DIGEST/DISTRO/NAME`: a kernel or initrd for GRUB without http. Also
    /// `pair/x64/DIGEST-DIGEST/DISTRO/shimx64.efi`, and the GRUB beside it ([`pair_path`]).
    Artefact {
        /// Which.
        id: ArtefactRef,
        /// First twelve digits of its digest.
        digest: String,
    },
    /// `b/TOKEN/NAME`: a document that GRUB without http hands to the kernel.
    Document {
        /// The read token.
        token: String,
        /// Which document.
        name: String,
    },
    /// Any other name, with or without `own/`: what a distro's own boot program asks for, of the
    /// machine that asks.
    Own(String),
}

/// iPXE for BIOS, loaded by the ROM's PXE.
pub const IPXE_BIOS: &str = "undionly.kpxe";
/// iPXE for UEFI, using the firmware's own network driver.
pub const IPXE_UEFI: &str = "snponly.efi";
/// iPXE for UEFI with its own drivers.
pub const IPXE_UEFI_FULL: &str = "ipxe.efi";
/// iPXE for 64-bit ARM.
pub const IPXE_ARM64: &str = "snponly-arm64.efi";
/// shim, for Secure Boot.
pub const SHIM: &str = "shimx64.efi";
/// What shim loads next.
pub const GRUB: &str = "grubx64.efi";

/// shim for 64-bit ARM: of distros, the server has none.
pub const SHIM_ARM64: &str = "shimaa64.efi";
/// What it loads next.
pub const GRUB_ARM64: &str = "grubaa64.efi";

/// Every loader name that may be advertised.
pub const LOADERS: [&str; 6] = [IPXE_BIOS, IPXE_UEFI, IPXE_UEFI_FULL, IPXE_ARM64, SHIM, GRUB];

/// What OpenBSD's installer appends to its address.
const INSTALL_CONF: &str = "-install.conf";

/// Parts that a path may have.
const DEEPEST: usize = 16;

/// Mints URLs for one server address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Urls {
    /// The address and HTTP port as the machine reaches them.
    pub server: SocketAddrV4,
}

impl Urls {
    /// `http://10.77.0.1`, without the port if it is 80.
    pub fn base(&self) -> String {
        if self.server.port() == 80 {
            format!("http://{}", self.server.ip())
        } else {
            format!("http://{}", self.server)
        }
    }

    /// The iPXE script of one machine.
    pub fn ipxe(&self, mac: MacAddr) -> String {
        format!("{}/ipxe/{}", self.base(), mac.dashed())
    }

    /// The same with iPXE's own variable for the address: for a script that serves everyone.
    pub fn ipxe_self(&self) -> String {
        format!("{}/ipxe/${{net0/mac:hexhyp}}", self.base())
    }

    /// A network boot loader.
    pub fn loader(&self, name: &str) -> String {
        format!("{}/loader/{name}", self.base())
    }

    /// A distro's own shim.
    pub fn pair(&self, pair: &Pair) -> String {
        format!("{}/{}", self.base(), pair_path(pair))
    }

    /// A kernel or initrd.
    pub fn artefact(&self, file: &PlannedFile) -> String {
        format!("{}/{}", self.base(), artefact_path(&file.id, &file.digest))
    }

    /// What is laid between two initrds: one to three zero bytes.
    pub fn zeros(&self, count: u8) -> String {
        format!("{}/zeros/{count}", self.base())
    }

    /// The same, ending in a path that its reader looks at.
    pub fn artefact_at(&self, file: &PlannedFile, path: Option<&str>) -> String {
        match path {
            Some(path) => format!("{}/{path}", self.artefact(file)),
            None => self.artefact(file),
        }
    }

    /// One document of a build.
    pub fn document(&self, token: &str, name: &str) -> String {
        format!("{}/{}", self.base(), document_path(token, name))
    }

    /// A document of whichever machine asks.
    pub fn mine(&self, name: &str) -> String {
        format!("{}/mine/{name}", self.base())
    }

    /// A file of the boot program of whichever machine asks.
    pub fn own(&self, path: &str) -> String {
        format!("{}/{}", self.base(), own_path(path))
    }

    /// Where the files of an installation medium are: append `/PATH`.
    pub fn tree(&self, medium: &ArtefactRef, digest: &Digest) -> String {
        let (base, digest) = (self.base(), digest.short());
        format!("{base}/t/{digest}/{}/{}", medium.distro, medium.name)
    }

    /// Where a build's documents are: append `/NAME`.
    pub fn documents(&self, token: &str) -> String {
        format!("{}/b/{token}", self.base())
    }

    /// Where an installer reports: append `/VERB`.
    pub fn report(&self, token: &str) -> String {
        format!("{}/r/{token}", self.base())
    }

    /// Where a Puppet server on this host reports.
    pub fn puppet_report(&self, token: &str) -> String {
        format!("{}/puppet/{token}/report", self.base())
    }

    /// The cache of a mirror.
    pub fn mirror(&self, name: &str) -> String {
        format!("{}/mirror/{name}", self.base())
    }
}

/// Mints the URLs of what is spoken over TLS: the hand-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureUrls {
    /// The address and HTTPS port as the machine reaches them.
    pub server: SocketAddrV4,
}

impl SecureUrls {
    /// `https://10.77.0.1`, without the port if it is 443.
    pub fn base(&self) -> String {
        if self.server.port() == 443 {
            format!("https://{}", self.server.ip())
        } else {
            format!("https://{}", self.server)
        }
    }

    /// Where an installer asks for its hand-off: append `/handoff`.
    pub fn report(&self, token: &str) -> String {
        format!("{}/r/{token}", self.base())
    }

    /// Where a Puppet server elsewhere reports.
    pub fn puppet_report(&self, token: &str) -> String {
        format!("{}/puppet/{token}/report", self.base())
    }

    /// Where a first-boot unit asks: append `/VERB`.
    pub fn handoff(&self, token: &str) -> String {
        format!("{}/h/{token}", self.base())
    }
}

/// `a/DIGEST/DISTRO/NAME`: the path of an artefact on HTTP (after a slash) and on TFTP.
pub fn artefact_path(id: &ArtefactRef, digest: &Digest) -> String {
    format!("a/{}/{}/{}", digest.short(), id.distro, id.name)
}

/// `b/TOKEN/NAME`: the path of a document on HTTP (after a slash) and on TFTP.
pub fn document_path(token: &str, name: &str) -> String {
    format!("b/{token}/{name}")
}

/// `own/PATH`: the path of a file of a distro's own boot program on HTTP (after a slash) and on TFTP.
pub fn own_path(path: &str) -> String {
    format!("own/{path}")
}

/// `/52:54:00:12:34:56-install.conf`, as OpenBSD's installer makes it.
pub fn install_conf(mac: MacAddr) -> String {
    format!("/{mac}{INSTALL_CONF}")
}

/// The TFTP name of a machine's GRUB configuration.
pub fn tftp_grub(mac: MacAddr) -> String {
    format!("grub/grub.cfg-01-{}", mac.dashed())
}

/// Reads an HTTP path (percent-decoding already done by nobody: any `%` is refused except below
/// `/mirror/`, where it is passed on).
pub fn parse_http(path: &str) -> Option<HttpPath> {
    let rest = path.strip_prefix('/')?.trim_start_matches('/');
    let (head, tail) = rest.split_once('/').unwrap_or((rest, ""));
    if head == "mirror" {
        let (name, path) = tail.split_once('/')?;
        return plain(name).then(|| HttpPath::Mirror {
            name: name.into(),
            path: path.into(),
        });
    }
    if head == "t" {
        return tree(tail);
    }
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.len() > DEEPEST || !parts.iter().all(|p| plain(p)) {
        return None;
    }
    match grub_file(&parts) {
        Some(GrubFile::Generic) => return Some(HttpPath::GrubGeneric),
        Some(GrubFile::Of(mac)) => return Some(HttpPath::Grub(mac)),
        None => {}
    }
    match parts.as_slice() {
        ["mine", name] => Some(HttpPath::Mine((*name).into())),
        ["own", path @ ..] if !path.is_empty() => Some(HttpPath::Own(path.join("/"))),
        [name] if name.ends_with(INSTALL_CONF) => {
            let mac = name.strip_suffix(INSTALL_CONF)?;
            mac.parse().ok().map(HttpPath::InstallConf)
        }
        ["autoexec.ipxe"] | ["loader", "autoexec.ipxe"] => Some(HttpPath::Autoexec),
        ["ipxe", mac] => mac.parse().ok().map(HttpPath::Ipxe),
        ["pair", arch, digests, distro, file] => {
            let (id, digest) = in_pair(arch, digests, distro, file)?;
            Some(HttpPath::Artefact { id, digest })
        }
        ["loader", name] => Some(HttpPath::Loader((*name).into())),
        ["zeros", "1"] => Some(HttpPath::Zeros(1)),
        ["zeros", "2"] => Some(HttpPath::Zeros(2)),
        ["zeros", "3"] => Some(HttpPath::Zeros(3)),
        ["a", digest, distro, name, ..] => Some(HttpPath::Artefact {
            id: ArtefactRef {
                distro: (*distro).into(),
                name: (*name).into(),
            },
            digest: (*digest).into(),
        }),
        ["b", token, name] => Some(HttpPath::Document {
            token: (*token).into(),
            name: (*name).into(),
        }),
        ["r", token, verb] => Some(HttpPath::Report {
            token: (*token).into(),
            verb: (*verb).into(),
            stage: None,
        }),
        ["r", token, verb, stage] => Some(HttpPath::Report {
            token: (*token).into(),
            verb: (*verb).into(),
            stage: Some((*stage).into()),
        }),
        ["puppet", token, "report"] => Some(HttpPath::PuppetReport {
            token: (*token).into(),
        }),
        ["h", token, verb] => Some(HttpPath::Handoff {
            token: (*token).into(),
            verb: (*verb).into(),
        }),
        _ => None,
    }
}

/// Longest path on a medium.
const TREE_PATH: usize = 2048;

/// What follows `/t/`.
fn tree(rest: &str) -> Option<HttpPath> {
    let mut parts = rest.splitn(4, '/');
    let (digest, distro, name) = (parts.next()?, parts.next()?, parts.next()?);
    let path = decoded(parts.next()?)?;
    let named = [digest, distro, name].into_iter().all(plain);
    (named && !path.is_empty()).then(|| HttpPath::Tree {
        id: ArtefactRef {
            distro: distro.into(),
            name: name.into(),
        },
        digest: digest.into(),
        path,
    })
}

/// A path without percent signs: packages are named `libstdc++` and worse. None for what cannot be on
/// a medium.
fn decoded(path: &str) -> Option<String> {
    if path.len() > TREE_PATH {
        return None;
    }
    let path = percent_decoded(path)?;
    let fine = |part: &str| part != ".." && !part.chars().any(char::is_control);
    path.split('/').all(fine).then_some(path)
}

/// A part of a URL without percent signs (RFC 3986 section 2.1). A `+` stays one. None if what comes
/// after a percent sign is no byte, or the whole no UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| plain)?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Reads a TFTP name. Leading slashes and `./` are ignored; anything else unusual is no name.
pub fn parse_tftp(name: &str) -> Option<TftpName> {
    let name = name.trim_start_matches(['/']).trim_start_matches("./");
    let parts: Vec<&str> = name.split('/').filter(|p| !p.is_empty()).collect();
    if parts.len() > DEEPEST || !parts.iter().all(|p| plain(p)) {
        return None;
    }
    match grub_file(&parts) {
        Some(GrubFile::Generic) => return Some(TftpName::GrubGeneric),
        Some(GrubFile::Of(mac)) => return Some(TftpName::Grub(mac)),
        None => {}
    }
    match parts.as_slice() {
        ["autoexec.ipxe"] => Some(TftpName::Autoexec),
        ["pair", arch, digests, distro, file] => {
            let (id, digest) = in_pair(arch, digests, distro, file)?;
            Some(TftpName::Artefact { id, digest })
        }
        ["pxelinux.cfg", file] => file
            .strip_prefix("01-")
            .and_then(|m| m.parse().ok())
            .map(TftpName::Pxelinux),
        ["a", digest, distro, file] => Some(TftpName::Artefact {
            id: ArtefactRef {
                distro: (*distro).into(),
                name: (*file).into(),
            },
            digest: (*digest).into(),
        }),
        [file] if file.starts_with("grub.cfg-") => None,
        [file] if LOADERS.contains(file) => Some(TftpName::Loader((*file).into())),
        ["b", token, name] => Some(TftpName::Document {
            token: (*token).into(),
            name: (*name).into(),
        }),
        ["own", path @ ..] if !path.is_empty() => Some(TftpName::Own(path.join("/"))),
        ["a" | "b" | "own" | "pxelinux.cfg" | "grub" | "pair", ..] | [] => None,
        path => Some(TftpName::Own(path.join("/"))),
    }
}

/// One path segment of plain characters that no file system or URL treats specially, and no longer
/// than the longest name of a distro.
fn plain(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= 253
        && !segment.starts_with('.')
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:+~".contains(&b))
}

#[cfg(test)]
#[path = "paths_tests.rs"]
mod tests;
