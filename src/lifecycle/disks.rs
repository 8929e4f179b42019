//! Which disk an installer may write: the machine lists what it has, and exactly one must match.

use crate::model::DiskRule;
use crate::model::event::printable;

/// A disk as a machine reports it before anything is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportedDisk {
    /// The device path the installer will use: `/dev/vda`.
    pub path: String,
    /// Other paths of the same device, such as those below `/dev/disk/by-path`.
    pub links: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// Serial number; empty if it has none.
    pub serial: String,
    /// Model name.
    pub model: String,
    /// World-wide name.
    pub wwn: String,
    /// How it is attached, as `lsblk -o TRAN` says it: `sata`, `nvme`, `virtio`, `usb`, `fc`...
    /// `untold` if nothing says whether it is on a storage network.
    pub bus: String,
    /// The medium can be taken out.
    pub removable: bool,
    /// What is on it, as blkid names it, or `unknown`; empty or `blank` if nothing is.
    pub contents: Vec<String>,
}

/// The smallest disk that is one: below this are BMC scratch disks and card readers.
pub const SMALLEST: u64 = 1 << 30;

/// Most disks read from one report.
const MOST: usize = 256;

impl ReportedDisk {
    /// What it holds, in words.
    pub fn holds(&self) -> String {
        if self.contents.is_empty() {
            "blank".to_string()
        } else {
            self.contents.join(", ")
        }
    }

    /// What it is known by again, wherever it is plugged in; none if it has neither number.
    pub fn identity(&self) -> Option<String> {
        let known = !(self.serial.is_empty() && self.wwn.is_empty());
        known.then(|| format!("{}|{}|{}", self.serial, self.wwn, self.size))
    }

    /// One line for people.
    fn line(&self) -> String {
        let mut out = format!("{} {}", self.path, size_words(self.size));
        for (label, value) in [
            ("model", &self.model),
            ("serial", &self.serial),
            ("wwn", &self.wwn),
            ("bus", &self.bus),
        ] {
            if !value.is_empty() {
                out.push_str(&format!(" {label} `{}`", printable(value, 60)));
            }
        }
        out.push_str(&format!(" holding {}", printable(&self.holds(), 80)));
        out
    }

    /// Why it is never written, whatever a rule says.
    fn excluded(&self) -> Option<&'static str> {
        let bus = self.bus.as_str();
        let name = self.path.rsplit('/').next().unwrap_or("");
        if self.removable || bus == "usb" {
            Some("removable")
        } else if matches!(
            bus,
            "fc" | "fcoe" | "iscsi" | "nvme-tcp" | "nvme-rdma" | "nvme-fc"
        ) {
            Some("on a storage network")
        } else if ["fd", "sr", "loop", "ram", "zram", "nbd"].iter().any(|p| {
            name.strip_prefix(p)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        }) {
            Some("not a disk")
        } else if self.size < SMALLEST {
            Some("smaller than 1 GiB")
        } else {
            None
        }
    }

    /// Why it is not written unless the rule names it.
    fn withheld(&self, rule: &DiskRule) -> Option<&'static str> {
        let named = rule.serial.is_some() || rule.wwn.is_some() || rule.path.is_some();
        (self.bus == "untold" && !named).then_some(
            "nothing tells whether it is on a storage network: name it by `disk = { serial = \"..\" }`",
        )
    }

    fn matches(&self, rule: &DiskRule) -> bool {
        let same = |want: &Option<String>, have: &str| {
            want.as_deref()
                .is_none_or(|w| !have.is_empty() && w.trim().eq_ignore_ascii_case(have.trim()))
        };
        let wwn = |text: &str| text.trim().trim_start_matches("0x").to_ascii_lowercase();
        same(&rule.serial, &self.serial)
            && rule
                .wwn
                .as_deref()
                .is_none_or(|w| !self.wwn.is_empty() && wwn(w) == wwn(&self.wwn))
            && rule
                .path
                .as_deref()
                .is_none_or(|p| p == self.path || self.links.iter().any(|l| l == p))
            && rule.model.as_deref().is_none_or(|m| {
                self.model
                    .to_ascii_lowercase()
                    .contains(&m.to_ascii_lowercase())
            })
            && rule.min_size.is_none_or(|least| self.size >= least)
            && rule.max_size.is_none_or(|most| self.size <= most)
    }
}

/// Reads a report: one disk to a line, `path=/dev/vda size=.. serial=.. model=.. wwn=.. bus=..
/// removable=0 contents=ext4,swap links=..`, values percent-encoded, unknown words ignored.
///
/// # Errors
/// A sentence, if a line has no path or no size.
pub fn parse(text: &str) -> Result<Vec<ReportedDisk>, String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.take(MOST).map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<ReportedDisk, String> {
    let mut disk = ReportedDisk::default();
    let mut size = None;
    for word in line.split_whitespace() {
        let Some((name, value)) = word.split_once('=') else {
            continue;
        };
        let value = decode(value);
        let list = |value: &str| -> Vec<String> {
            let words = value.split(',').map(str::trim);
            words
                .filter(|w| !w.is_empty() && *w != "blank")
                .map(str::to_string)
                .collect()
        };
        match name {
            "path" => disk.path = value,
            "size" => size = value.parse().ok(),
            "serial" => disk.serial = value,
            "model" => disk.model = value,
            "wwn" => disk.wwn = value,
            "bus" => disk.bus = value.to_ascii_lowercase(),
            "removable" => disk.removable = value == "1",
            "contents" => disk.contents = list(&value),
            "links" => disk.links = list(&value),
            _ => {}
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.:+@".contains(c);
    let device = ["/dev/", "/vmfs/devices/disks/"];
    let device = device.iter().any(|dir| disk.path.starts_with(dir));
    if !device || !disk.path.chars().all(plain) {
        return Err(format!(
            "the line `{}` of the disk report has no usable `path=`",
            printable(line, 120)
        ));
    }
    disk.size = size.ok_or_else(|| {
        format!(
            "the line `{}` of the disk report has no `size=` in bytes",
            printable(line, 120)
        )
    })?;
    Ok(disk)
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    printable(&String::from_utf8_lossy(&out), 400)
}

/// Contents that another machine may be using at this moment, or that hold more than this one disk:
/// never overwritten because of a general permission, only if `any` or their own name is given.
/// blkid's names in lower case; `vmfs` and `gpfs` are also what a partition of theirs is told by, and
/// `lustre` what its file system's label says.
const FOREIGN: [&str; 14] = [
    "vmfs",
    "vmfs_volume_member",
    "gfs",
    "gfs2",
    "gpfs",
    "ocfs",
    "ocfs2",
    "lustre",
    "drbd",
    "ceph_bluestore",
    "zfs_member",
    "bitlocker",
    "oracleasm",
    "vxfs",
];

/// What the word `linux` of `may_destroy` covers, as blkid names it in lower case: what an ordinary
/// Linux installation leaves on a disk.
const LINUX: [&str; 18] = [
    "ext2",
    "ext3",
    "ext4",
    "jbd",
    "xfs",
    "btrfs",
    "f2fs",
    "swap",
    "swsuspend",
    "lvm2_member",
    "linux_raid_member",
    "crypto_luks",
    "vfat",
    "squashfs",
    "iso9660",
    "gpt",
    "dos",
    "bcache",
];

/// What may be overwritten.
#[derive(Debug, Clone, Copy)]
pub struct Permission<'a> {
    /// What a profile allows: `blank`, `linux`, `any`, or blkid's names.
    pub may_destroy: &'a [String],
    /// The operator's word that this system's disk may be overwritten whatever the profile allows;
    /// what another machine may be using still has to be named.
    pub wipe: bool,
    /// Disks that this system was permitted to write and never reported done
    /// ([`ReportedDisk::identity`]): nobody can name what is on one, because Farrier's own
    /// installation broke off between partitions and file systems.
    pub unfinished: &'a [String],
}

/// The one disk that may be written.
///
/// # Errors
/// A sentence that lists what was found and what to write where.
pub fn choose<'a>(
    rule: &DiskRule,
    permission: Permission<'_>,
    found: &'a [ReportedDisk],
) -> Result<&'a ReportedDisk, String> {
    let matching = usable(rule, found)?;
    let disk = match matching.as_slice() {
        [disk] => *disk,
        several => {
            return Err(format!(
                "{} disks match {}; name one by `disk = {{ serial = \"..\" }}`: {}",
                several.len(),
                rule_words(rule),
                list(several.iter().copied())
            ));
        }
    };
    may_be_written(disk, permission)?;
    Ok(disk)
}

/// The two disks that may be written, of a machine whose disks mirror each other: the one pair of
/// which one matches the first rule and the other the second.
///
/// # Errors
/// As [`choose`], of either disk.
pub fn choose_two<'a>(
    rule: &DiskRule,
    second: &DiskRule,
    permission: Permission<'_>,
    found: &'a [ReportedDisk],
) -> Result<[&'a ReportedDisk; 2], String> {
    let (firsts, seconds) = (usable(rule, found)?, usable(second, found)?);
    let mut pairs: Vec<[&ReportedDisk; 2]> = Vec::new();
    for first in &firsts {
        for other in seconds.iter().filter(|d| d.path != first.path) {
            let same = |p: &&[&ReportedDisk; 2]| p[0].path == other.path && p[1].path == first.path;
            if !pairs.iter().any(|p| same(&p)) {
                pairs.push([first, other]);
            }
        }
    }
    let pair = match pairs.as_slice() {
        [pair] => *pair,
        [] => {
            return Err(format!(
                "two disks are to mirror each other, and only {} matches {} and {}; the machine has: {}",
                firsts.first().map_or("none", |d| d.path.as_str()),
                rule_words(rule),
                rule_words(second),
                list(found.iter())
            ));
        }
        several => {
            return Err(format!(
                "{} pairs of disks match {} and {}; name them by `disk = {{ serial = \"..\" }}` and \
                 `storage.second = {{ serial = \"..\" }}`: {}",
                several.len(),
                rule_words(rule),
                rule_words(second),
                list(found.iter())
            ));
        }
    };
    for disk in pair {
        may_be_written(disk, permission)?;
    }
    Ok(pair)
}

/// The disks that match a rule and are ever written, at least one.
fn usable<'a>(rule: &DiskRule, found: &'a [ReportedDisk]) -> Result<Vec<&'a ReportedDisk>, String> {
    if found.is_empty() {
        return Err("the machine reports no disk at all".to_string());
    }
    let usable = |disk: &&ReportedDisk| {
        disk.excluded().is_none() && disk.withheld(rule).is_none() && disk.matches(rule)
    };
    let matching: Vec<&ReportedDisk> = found.iter().filter(usable).collect();
    if matching.is_empty() {
        return Err(format!(
            "no disk matches {}; the machine has: {}",
            rule_words(rule),
            listed(found.iter().map(|disk| (disk, disk.withheld(rule))))
        ));
    }
    Ok(matching)
}

/// Whether what a disk holds may be destroyed.
fn may_be_written(disk: &ReportedDisk, permission: Permission<'_>) -> Result<(), String> {
    let allowed = |word: &str| {
        let mut words = permission.may_destroy.iter();
        words.any(|a| a.trim().eq_ignore_ascii_case(word))
    };
    let unfinished = || {
        disk.identity()
            .is_some_and(|known| permission.unfinished.contains(&known))
    };
    if allowed("any") {
        return Ok(());
    }
    for word in &disk.contents {
        let lower = word.to_ascii_lowercase();
        if allowed(&lower) {
            continue;
        }
        if FOREIGN.contains(&lower.as_str()) {
            return Err(format!(
                "{} holds `{word}`, which other machines may be using; to overwrite it, name `{word}` in the profile's `may_destroy`: {}",
                disk.path,
                disk.line()
            ));
        }
        if permission.wipe || (allowed("linux") && LINUX.contains(&lower.as_str())) {
            continue;
        }
        if lower == "unknown" && unfinished() {
            continue;
        }
        if lower == "unknown" {
            return Err(format!(
                "{} holds `unknown`: its installer cannot tell what is on it, be it something, nothing, or what an installation left that was broken off (which Farrier knows by itself only of its own, on a disk with a serial number); if it may be overwritten, write `wipe = true` for this system: {}",
                disk.path,
                disk.line()
            ));
        }
        return Err(format!(
            "{} holds `{word}`, which the profile may not destroy; write `wipe = true` for this system, or name `{word}` in the profile's `may_destroy`: {}",
            disk.path,
            disk.line()
        ));
    }
    Ok(())
}

fn list<'a>(disks: impl Iterator<Item = &'a ReportedDisk>) -> String {
    listed(disks.map(|disk| (disk, None)))
}

/// Each with why it is not taken, if that is not its own doing.
fn listed<'a>(disks: impl Iterator<Item = (&'a ReportedDisk, Option<&'static str>)>) -> String {
    let lines = disks
        .take(12)
        .map(|(disk, withheld)| match disk.excluded().or(withheld) {
            Some(why) => format!("{} ({why})", disk.line()),
            None => disk.line(),
        });
    lines.collect::<Vec<_>>().join("; ")
}

fn rule_words(rule: &DiskRule) -> String {
    let mut words = Vec::new();
    for (label, value) in [
        ("serial", &rule.serial),
        ("wwn", &rule.wwn),
        ("path", &rule.path),
        ("model", &rule.model),
    ] {
        if let Some(value) = value {
            words.push(format!("{label} `{value}`"));
        }
    }
    if let Some(least) = rule.min_size {
        words.push(format!("at least {}", size_words(least)));
    }
    if let Some(most) = rule.max_size {
        words.push(format!("at most {}", size_words(most)));
    }
    if words.is_empty() {
        "the rule (any one disk)".to_string()
    } else {
        format!("the rule ({})", words.join(", "))
    }
}

fn size_words(bytes: u64) -> String {
    let gib = bytes as f64 / (1u64 << 30) as f64;
    if gib >= 1.0 {
        format!("{gib:.1} GiB")
    } else {
        format!("{:.1} MiB", gib * 1024.0)
    }
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
