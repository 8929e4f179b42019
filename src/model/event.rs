//! Everything that can happen to a machine.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{
    BundleKind, Digest, Firmware, Identity, MacAddr, MachineId, Name, Purpose, Stage, Timestamp,
};

/// Something that happened. `control.tell` takes nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Whom it concerns.
    pub system: Name,
    /// The build it speaks of; none means the present one. An older epoch is refused.
    pub epoch: Option<u32>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum EventKind {
    // ---- said by an operator ----
    /// Flagged for a build.
    Flagged {
        /// Install or boot once.
        purpose: Purpose,
        /// The profile to use.
        profile: Name,
        /// The revision it pins.
        revision: Digest,
        /// The flag is dead after this.
        expires: Timestamp,
        /// Boots allowed.
        attempts: u32,
        /// Install again after a power cut although writing had begun.
        retry_after_write: bool,
        /// What agents' servers know the machine by and must know no more.
        #[serde(default)]
        revoke: Vec<Identity>,
        /// Who.
        actor: String,
    },
    /// The flag, or a build under way, was called off.
    Cancelled {
        /// Who.
        actor: String,
    },
    // ---- done by Farrier, at an agent's server ----
    /// An identity was taken back, or was not there.
    IdentityRevoked {
        /// Which.
        identity: Identity,
    },
    /// An identity could not be taken back; it is tried again.
    RevocationFailed {
        /// Which.
        identity: Identity,
        /// Why.
        reason: String,
    },
    /// The machine's agent was enrolled: its server is told to accept this key.
    Enrolled {
        /// As what.
        identity: Identity,
        /// The digest of its key or request.
        key: String,
    },
    /// An enrolment was refused.
    EnrolmentRefused {
        /// As what.
        identity: Identity,
        /// Why.
        reason: String,
        /// The challenge was good, and was used before with another key.
        reused: bool,
    },
    /// The agent's server tells of a run.
    RunReported {
        /// Of whom.
        identity: Identity,
        /// Its own word: `changed`, `failed`...
        status: String,
        /// What went wrong first, in a sentence.
        finding: Option<String>,
    },
    // ---- seen by Farrier ----
    /// Firmware (not an installed system) began a boot conversation.
    BootBegan {
        /// Which interface.
        mac: MacAddr,
        /// What it is.
        firmware: Firmware,
        /// The machine's own identifier, if it gave one (option 97).
        #[serde(default)]
        uuid: Option<MachineId>,
    },
    /// Where another server hands out the addresses: the one that the boot script is about to go to,
    /// or the installed system now has.
    AddressBound {
        /// The address.
        ip: Ipv4Addr,
        /// What it was before, as the door saw it: of two that come at once, one is refused.
        instead_of: Option<Ipv4Addr>,
    },
    /// Something that tells where the machine stands, though it says nothing itself: what it fetched
    /// from a mirror, a line of its log. Anybody may have sent it, so it moves nothing.
    Seen {
        /// The step it is at.
        stage: Stage,
        /// More.
        detail: String,
        /// What it was seen by: `mirror`, `fai-monitor`, `syslog`.
        by: String,
    },
    /// An address was acknowledged.
    Leased {
        /// Which interface.
        mac: MacAddr,
        /// The address.
        ip: Ipv4Addr,
        /// Who asked: `firmware`, `ipxe`, `installer`, `system`...
        client: String,
    },
    /// A network boot loader, kernel or initrd was sent in full.
    Fetched {
        /// The name asked for.
        name: String,
        /// Bytes.
        size: u64,
        /// `tftp` or `http`.
        via: String,
    },
    /// The boot script that starts the installer is about to be served.
    ScriptServed,
    /// The boot script of a machine that boots its own disk was served.
    LocalServed,
    /// The installer fetched one of its documents.
    AnswerFetched {
        /// Which.
        name: String,
    },
    // ---- reported by the machine, with a token ----
    /// The installer is alive.
    InstallerStarted {
        /// What it says of itself.
        detail: String,
    },
    /// The machine listed its disks and was permitted to write one, or two that mirror each other.
    WritePermitted {
        /// The device path; of two, both with a comma between.
        disk: String,
        /// What was on it.
        contents: String,
        /// What each is known by again, if it has a serial number or a world-wide name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        known: Vec<String>,
    },
    /// The machine listed its disks and none may be written.
    WriteRefused {
        /// The sentence it was told.
        reason: String,
    },
    /// The installer says what it is doing.
    Progress {
        /// The step.
        stage: Stage,
        /// More.
        detail: String,
    },
    /// The installer says that something went wrong, and goes on.
    Warned {
        /// The step.
        stage: Stage,
        /// What.
        detail: String,
    },
    /// The installer sent a bundle of its logs.
    BundleKept {
        /// What it is.
        format: BundleKind,
        /// Bytes.
        size: u64,
    },
    /// The installer asked where its hand-off is.
    HandoffAsked,
    /// The installer succeeded.
    InstallerEnded,
    /// The installer's end was not heard, and the hand-off it placed is being taken: it ended.
    EndImplied,
    /// The installer, or a step of it, failed.
    InstallerFailed {
        /// Where.
        stage: Stage,
        /// The tail of its log.
        detail: String,
    },
    /// The first-boot unit redeemed its hand-off.
    HandoffRedeemed {
        /// The digest of the unit's own random key.
        key: String,
    },
    /// Someone tried to redeem a hand-off that was already redeemed.
    HandoffReused {
        /// From where.
        from: Ipv4Addr,
    },
    /// A good token of the build was used from an address that its machine does not hold. Refused.
    TokenMisused {
        /// From where.
        from: Ipv4Addr,
    },
    /// The first boot is done, and this server is to run its playbook now.
    PushDue(AgentReport),
    /// The agent's result.
    AgentReported(AgentReport),
    // ---- the clock ----
    /// The present phase overstayed its deadline.
    DeadlinePassed,
}

/// How the alarm of [`EventKind::TokenMisused`] begins: what helps is another thing than after a hand-off
/// that was asked for twice.
pub const TOKEN_MISUSED: &str = "its token was used from";

/// What the first-boot unit reports of the agent's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReport {
    /// `steps`, later `puppet`...
    pub agent: String,
    /// Return code.
    pub code: i32,
    /// `ok`, `changed`, `failed` or `reboot`.
    pub class: String,
    /// Seconds it ran.
    pub seconds: u64,
    /// What went wrong first, in a sentence, if it knows.
    #[serde(default)]
    pub reason: Option<String>,
    /// The tail of its log.
    pub log: String,
    /// The machine's ssh host public keys.
    pub host_keys: Vec<String>,
}

#[cfg(test)]
impl AgentReport {
    /// That an agent ended well at once.
    pub(crate) fn well(agent: &str) -> Self {
        AgentReport {
            agent: agent.to_string(),
            code: 0,
            class: "ok".to_string(),
            seconds: 1,
            reason: None,
            log: String::new(),
            host_keys: Vec::new(),
        }
    }
}

impl EventKind {
    /// The word in the `kind` column and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            EventKind::Flagged { .. } => "flagged",
            EventKind::Cancelled { .. } => "cancelled",
            EventKind::BootBegan { .. } => "boot-began",
            EventKind::Leased { .. } => "leased",
            EventKind::Fetched { .. } => "fetched",
            EventKind::ScriptServed => "script-served",
            EventKind::LocalServed => "local-served",
            EventKind::AnswerFetched { .. } => "answer-fetched",
            EventKind::InstallerStarted { .. } => "installer-started",
            EventKind::WritePermitted { .. } => "write-permitted",
            EventKind::WriteRefused { .. } => "write-refused",
            EventKind::Progress { .. } => "progress",
            EventKind::Warned { .. } => "warned",
            EventKind::BundleKept { .. } => "bundle-kept",
            EventKind::AddressBound { .. } => "address-bound",
            EventKind::Seen { .. } => "seen",
            EventKind::HandoffAsked => "handoff-asked",
            EventKind::EndImplied => "end-implied",
            EventKind::InstallerEnded => "installer-ended",
            EventKind::InstallerFailed { .. } => "installer-failed",
            EventKind::HandoffRedeemed { .. } => "handoff-redeemed",
            EventKind::HandoffReused { .. } => "handoff-reused",
            EventKind::TokenMisused { .. } => "token-misused",
            EventKind::PushDue(_) => "push-due",
            EventKind::AgentReported(_) => "agent-reported",
            EventKind::IdentityRevoked { .. } => "identity-revoked",
            EventKind::RevocationFailed { .. } => "revocation-failed",
            EventKind::Enrolled { .. } => "enrolled",
            EventKind::EnrolmentRefused { .. } => "enrolment-refused",
            EventKind::RunReported { .. } => "run-reported",
            EventKind::DeadlinePassed => "deadline-passed",
        }
    }

    /// One sentence for people; everything a machine sent is cut and freed of control characters.
    pub fn detail(&self) -> String {
        match self {
            EventKind::Flagged {
                purpose,
                profile,
                actor,
                expires,
                ..
            } => match purpose {
                Purpose::Install => {
                    format!(
                        "to be rebuilt as `{profile}` by {actor}; the flag expires {expires:.0}"
                    )
                }
                Purpose::Once => format!("to boot `{profile}` once, by {actor}"),
            },
            EventKind::Cancelled { actor } => format!("by {actor}"),
            EventKind::BootBegan { mac, firmware, .. } => {
                let http = if firmware.http { ", HTTP boot" } else { "" };
                format!("{} firmware{http}, {mac}", firmware.word())
            }
            EventKind::Leased { mac, ip, client } => format!("{ip} to {mac} ({client})"),
            EventKind::Fetched { name, size, via } => {
                format!("{} by {via}, {size} bytes", printable(name, 120))
            }
            EventKind::ScriptServed => "the boot script of the installer".to_string(),
            EventKind::LocalServed => "told to boot its own disk".to_string(),
            EventKind::AnswerFetched { name } => name.clone(),
            EventKind::InstallerStarted { detail } => printable(detail, 200),
            EventKind::WritePermitted { disk, contents, .. } => {
                format!(
                    "{} (held: {})",
                    printable(disk, 120),
                    printable(contents, 120)
                )
            }
            EventKind::WriteRefused { reason } => printable(reason, 500),
            EventKind::Progress { stage, detail } if detail.is_empty() => stage.to_string(),
            EventKind::Progress { stage, detail } => format!("{stage}: {}", printable(detail, 200)),
            EventKind::Warned { stage, detail } => format!("{stage}: {}", printable(detail, 300)),
            EventKind::BundleKept { format, size } => {
                format!("logs of the installer, {}, {size} bytes", format.suffix())
            }
            EventKind::AddressBound { ip, .. } => format!("its tokens work from {ip} only"),
            EventKind::Seen { stage, detail, by } => {
                format!("{stage} ({by}: {})", printable(detail, 200))
            }
            EventKind::HandoffAsked => "the installer places the hand-off".to_string(),
            EventKind::InstallerEnded => "the installer reports success".to_string(),
            EventKind::EndImplied => {
                "its end was not heard; the installed system takes its hand-off".to_string()
            }
            EventKind::InstallerFailed { stage, detail } => {
                format!("{stage}: {}", last_line(detail))
            }
            EventKind::HandoffRedeemed { .. } => {
                "the first-boot unit took its hand-off".to_string()
            }
            EventKind::HandoffReused { from } => {
                format!("refused to {from}: the hand-off was already redeemed")
            }
            EventKind::TokenMisused { from } => {
                format!("refused to {from}: its token, from an address that it does not hold")
            }
            EventKind::PushDue(r) => {
                format!(
                    "the first boot is done in {} s; a playbook is next",
                    r.seconds
                )
            }
            EventKind::AgentReported(r) => {
                let reason = r.reason.as_deref().map(|why| printable(why, 300));
                format!(
                    "{} {} (code {}) in {} s{}",
                    printable(&r.agent, 20),
                    printable(&r.class, 20),
                    r.code,
                    r.seconds,
                    reason.map_or_else(String::new, |why| format!(": {why}"))
                )
            }
            EventKind::IdentityRevoked { identity } => format!("{identity} is known no more"),
            EventKind::RevocationFailed { identity, reason } => {
                format!("{identity}: {}", printable(reason, 300))
            }
            EventKind::Enrolled { identity, .. } => format!("as {identity}"),
            EventKind::EnrolmentRefused {
                identity, reason, ..
            } => format!("{identity}: {}", printable(reason, 300)),
            EventKind::RunReported {
                identity,
                status,
                finding,
            } => {
                let finding = finding.as_deref().map(|f| printable(f, 300));
                let finding = finding.map_or_else(String::new, |f| format!(": {f}"));
                format!("{identity} {}{finding}", printable(status, 20))
            }
            EventKind::DeadlinePassed => "nothing was heard in time".to_string(),
        }
    }
}

/// Text from a machine made safe for a terminal: control characters become spaces, at most `most`
/// characters.
pub fn printable(text: &str, most: usize) -> String {
    let mut out: String = text
        .trim()
        .chars()
        .take(most)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.trim().chars().count() > most {
        out.push('…');
    }
    out
}

fn last_line(text: &str) -> String {
    printable(text.trim().lines().last().unwrap_or(""), 200)
}

/// An event as it was recorded: with its time and number. What `farrier events` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts up over the whole site.
    pub number: i64,
    /// When.
    pub time: Timestamp,
    /// Whom it concerns.
    pub system: Name,
    /// Which build, if one was there.
    pub epoch: Option<u32>,
    /// The phase after it.
    pub phase: super::Phase,
    /// What.
    pub event: EventKind,
    /// The step that was over with it, and how long it took.
    #[serde(default)]
    pub ended: Option<StageEnd>,
}

/// A step of a build that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEnd {
    /// Which.
    pub stage: Stage,
    /// How long it took.
    pub milliseconds: u64,
}
