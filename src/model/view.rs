//! JSON shapes that the API and the CLI share. They are a contract: documented and golden-tested.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{MacAddr, Phase, Timestamp};

/// A system as `ls` and `show` print it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystemView {
    /// Its name.
    pub name: String,
    /// Its interfaces' hardware addresses.
    pub macs: Vec<MacAddr>,
    /// Its reserved address, else the one it holds from the pool.
    pub ip: Option<Ipv4Addr>,
    /// Its profile.
    pub profile: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Where it stands.
    pub phase: Phase,
    /// Refuses `rebuild`.
    pub protected: bool,
    /// Why its entry cannot be used, if so.
    pub broken: Option<String>,
    /// Its latest build.
    pub build: Option<BuildView>,
    /// Its latest one-shot boot (`farrier boot`), pending or over.
    #[serde(default)]
    pub once: Option<BuildView>,
}

impl SystemView {
    /// The one-shot boot that is pending or running.
    pub fn pending_once(&self) -> Option<&BuildView> {
        self.once.as_ref().filter(|b| b.phase.is_active())
    }
}

/// A system's latest build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildView {
    /// Which build of this system this is, counting from 1. The same figure as `epoch`.
    pub number: u32,
    /// The epoch that tokens and reports carry.
    pub epoch: u32,
    /// `install` or `once`.
    pub purpose: super::Purpose,
    /// The profile it uses.
    pub profile: String,
    /// When it was flagged.
    pub flagged: Timestamp,
    /// When its first boot script was served.
    pub started: Option<Timestamp>,
    /// When the present phase began.
    pub since: Timestamp,
    /// The phase it is in; of a system's latest build, the system's own.
    pub phase: Phase,
    /// The step it is at, or where it failed.
    pub stage: Option<String>,
    /// The step it was last seen at, if that is newer than what it last said itself. Inferred, and
    /// not authenticated.
    pub observed: Option<String>,
    /// Why it failed, stalled or is held.
    pub reason: Option<String>,
    /// When the present phase must have ended.
    pub expected_by: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Boots so far and allowed.
    pub attempts: [u32; 2],
    /// The disk that was permitted to be written.
    pub disk: Option<String>,
    /// Something happened that a person must look at; it stays until the next flag.
    #[serde(default)]
    pub alarm: Option<String>,
    /// The first twelve digits of the revision it pins.
    pub revision: String,
}

impl BuildView {
    /// The step it is at, in a word: what it said itself, or in brackets what was seen of it since.
    pub fn step(&self) -> Option<String> {
        let seen = self.observed.as_ref().map(|stage| format!("[{stage}]"));
        seen.or_else(|| self.stage.clone())
    }
}

/// A system as `show` prints it: what `ls` has, and more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShowView {
    /// What `ls` has.
    pub system: SystemView,
    /// Its interfaces as declared.
    pub interfaces: Vec<super::Interface>,
    /// Values a template sees, profile's and defaults merged in.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Which disk may be written: the system's rule, else the profile's.
    pub disk: super::DiskRule,
    /// Which other disk, if the two are to mirror each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<super::DiskRule>,
    /// Boots through shim and signed GRUB.
    pub secure_boot: bool,
    /// What it would be told if it asked now.
    pub why: String,
    /// What to type next.
    pub hint: Option<String>,
    /// What is expected next, and by when.
    pub expected: Option<String>,
    /// Its ssh host public keys, as the latest build that reported any did.
    pub host_keys: Vec<String>,
    /// The latest events, oldest first.
    pub events: Vec<EventView>,
}

/// Where one value of a system comes from, as `show --origin` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OriginView {
    /// Dotted key: `vars.role`.
    pub key: String,
    /// The value in force.
    pub value: serde_json::Value,
    /// `system`, `profile`, `distro`, `defaults` or `built-in`.
    pub layer: String,
    /// File relative to the site; none for what is built in.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<usize>,
}

/// An event as `events` and `watch` print it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// Counts up over the site; the cursor for asking on.
    pub number: i64,
    /// When.
    pub time: Timestamp,
    /// Which system.
    pub system: String,
    /// Which build, if any.
    pub build: Option<u32>,
    /// What happened: a word of the event list.
    pub kind: String,
    /// One sentence.
    pub detail: String,
    /// The phase after it.
    pub phase: Phase,
    /// The step that was over with it, and how long it took.
    #[serde(default)]
    pub ended: Option<super::event::StageEnd>,
}

/// A step of a build as `why` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageView {
    /// Its word: `partition`, `extract`...
    pub stage: String,
    /// When it began.
    pub began: Timestamp,
    /// How long it took; none while it is under way.
    pub milliseconds: Option<u64>,
    /// How long it usually takes: the median of earlier builds of the same profile, and firmware if
    /// there were any.
    pub usual_milliseconds: Option<u64>,
}

/// What `why` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyView {
    /// The interface that was asked about: as typed, else the one last seen, else the first.
    pub mac: Option<MacAddr>,
    /// The firmware that is supposed: as typed, else as last seen (`bios`, `uefi`...).
    pub firmware: Option<String>,
    /// The system, if the machine is declared.
    pub system: Option<SystemView>,
    /// What it would be told if it asked now, and why.
    pub decision: super::Decision,
    /// The reason as a sentence.
    pub why: String,
    /// What to type next.
    pub hint: Option<String>,
    /// The steps of its latest conversation with this server, oldest first.
    pub conversation: Vec<StepView>,
    /// The latest recorded events, oldest first.
    pub seen: Vec<EventView>,
    /// The steps of its latest build, oldest first.
    #[serde(default)]
    pub stages: Vec<StageView>,
    /// The logs that the installer of its latest build sent.
    #[serde(default)]
    pub bundle: Option<super::Bundle>,
    /// What is expected next, and by when.
    pub expected: Option<String>,
}

/// One step of a machine's conversation: a packet or request, and what it was answered. Kept in
/// memory only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// When.
    pub time: Timestamp,
    /// The door it came to.
    pub door: super::Door,
    /// One sentence.
    pub text: String,
}

/// A lease as `lease ls` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its holder.
    pub mac: MacAddr,
    /// The system, if declared.
    pub system: Option<String>,
    /// `reserved`, `bound`, `released`, `declined` or `expired`.
    pub state: String,
    /// Until when; a reservation that was never asked for has none.
    pub expires: Option<Timestamp>,
    /// Host name the client gave.
    pub hostname: Option<String>,
}

/// A machine that was seen and not declared, as `discovered ls` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveredView {
    /// Its interface.
    pub mac: MacAddr,
    /// Its firmware (`bios`, `uefi`...), if it booted by network.
    pub firmware: Option<String>,
    /// The machine's own identifier, if its firmware gave one (option 97).
    pub uuid: Option<String>,
    /// Host name it gave.
    pub hostname: Option<String>,
    /// The relay it was seen behind.
    pub relay: Option<Ipv4Addr>,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// How often, requests counted.
    pub times: u64,
}

/// A distro as `distro ls` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistroView {
    /// Its name.
    pub name: String,
    /// Artefacts present, of declared.
    pub present: usize,
    /// Artefacts declared.
    pub declared: usize,
    /// Bytes on disk.
    pub size: u64,
    /// Profiles that use it.
    pub profiles: Vec<String>,
    /// What is missing.
    pub missing: Vec<String>,
    /// The SHA-256 of what came from a URL that declares none, by artefact.
    #[serde(default)]
    pub unpinned: std::collections::BTreeMap<String, String>,
    /// Of `loaders`, each of them; of a distro none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loaders: Vec<LoaderView>,
}

/// A network boot loader as `distro ls` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderView {
    /// The name it is served under.
    pub name: String,
    /// `iPXE`, `shim` or `GRUB`.
    pub program: String,
    /// Which machines begin with it.
    pub firmware: String,
    /// `host` (of this host's packages), `fetched` or `missing`.
    pub state: String,
    /// The file of this host, or the package it was fetched from.
    pub origin: Option<String>,
    /// It can fetch by HTTP.
    pub http: bool,
    /// What brings it here, if it is missing.
    pub fix: Option<String>,
}

/// A secret as `secret ls` prints it. Its value is never printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretView {
    /// Its name.
    pub name: super::SecretName,
    /// When it was last set.
    pub set: Timestamp,
    /// By whom.
    pub actor: String,
    /// Systems that refer to it, their profiles' references included.
    pub systems: Vec<String>,
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Program version.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Since when.
    pub started: Timestamp,
    /// The revision in force, first twelve digits.
    pub revision: String,
    /// Set if newer files on disk were refused: since when, and why.
    pub stale: Option<Stale>,
    /// Open doors: `dhcp 10.77.0.1:67 (full)`...
    pub doors: Vec<String>,
    /// Systems by phase word.
    pub phases: std::collections::BTreeMap<String, usize>,
    /// Systems declared.
    pub systems: usize,
    /// Of them, those that were not rendered yet: a large site is in force before all are.
    #[serde(default)]
    pub unrendered: usize,
    /// Things that need a person.
    pub attention: Vec<String>,
    /// Alarms of builds: someone asked for a hand-off that was already redeemed.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// Counters by dotted name.
    pub counters: std::collections::BTreeMap<String, u64>,
}

/// Newer files are on disk and were refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stale {
    /// Since when.
    pub since: Timestamp,
    /// What is wrong with them.
    pub problems: Vec<super::Diagnostic>,
}
