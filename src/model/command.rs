//! What operators ask of a server, and what it answers: the bodies of the admin plane.
//!
//! Requests name machines by [`Selection`], which only the server resolves, against one snapshot.
//! Who asks is never part of a request: the door knows it from the peer's credentials and passes it
//! on as `actor`.
//!
//! | `control::Control`'s method | takes | answers |
//! |---|---|---|
//! | `status()` | | `StatusView` |
//! | `list(&Selection)` | empty: all | `Result<Vec<SystemView>, Refusal>`, by name |
//! | `show(&str)` | name or MAC | `Result<ShowView, Refusal>` |
//! | `origins(&str)` | name or MAC | `Result<Vec<OriginView>, Refusal>` |
//! | `flag(&FlagRequest, actor)` async | | `Result<FlagReport, Refusal>` |
//! | `cancel(&CancelRequest, actor)` async | | `Result<CancelReport, Refusal>` |
//! | `edit(&EditRequest, actor)` async | | `Result<EditReport, Refusal>` |
//! | `reload(actor)` async | | `Result<ReloadReport, Refusal>` |
//! | `why(&WhyRequest)` async | | `Result<WhyView, Refusal>` |
//! | `events(&EventQuery)` async | | `Result<EventPage, Refusal>` |
//! | `subscribe()` | | `broadcast::Receiver<Record>` |
//! | `render(&RenderRequest)` async | | `Result<RenderView, Refusal>` |
//! | `revisions()` async | | `Result<Vec<RevisionView>, Refusal>`, what was in force, the latest first, without files |
//! | `revision(&str)` async | digest, its beginning, `live`, a time or `NAME#BUILD` | `Result<RevisionView, Refusal>` |
//! | `lease_views(&Selection)` | empty: all | `Result<Vec<LeaseView>, Refusal>` |
//! | `distros()` | | `Vec<DistroView>` |
//! | `fetch(&Name, &(dyn Fn(FetchProgress) + Send + Sync))` async | | `Result<DistroView, Refusal>` |

use serde::{Deserialize, Serialize};

use super::{
    ClientStage, Diagnostic, DiskRule, MacAddr, Name, Phase, ProfileKind, Purpose, Refusal,
    Timestamp,
};

/// Which systems are meant. Selectors are joined by "or", tags and phases narrow them by "and".
/// Without selectors, all systems are narrowed; if nothing at all is given, [`Selection::is_empty`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Names, node sets (`web[01-20]`), quoted globs or MACs in any spelling.
    pub selectors: Vec<String>,
    /// Words that a system's tags must all include.
    pub tags: Vec<String>,
    /// Phases of which it must be in one.
    pub phases: Vec<Phase>,
}

impl Selection {
    /// One system by name, MAC or whatever else selects it.
    pub fn one(selector: impl Into<String>) -> Self {
        Selection {
            selectors: vec![selector.into()],
            ..Selection::default()
        }
    }

    /// These systems, by their names.
    pub fn named(names: &[String]) -> Self {
        Selection {
            selectors: names.to_vec(),
            ..Selection::default()
        }
    }

    /// Whether this is one plain name or MAC and nothing else: one system is meant, and a request says so
    /// with `expect`. For a disk's serial number looks like a name, and several systems may declare it.
    pub fn names_one(&self) -> bool {
        let [one] = self.selectors.as_slice() else {
            return false;
        };
        let plain = one.parse::<Name>().is_ok() || one.parse::<MacAddr>().is_ok();
        plain && self.tags.is_empty() && self.phases.is_empty()
    }

    /// Nothing was given: everything for a list, refused for anything that changes machines.
    pub fn is_empty(&self) -> bool {
        self.selectors.is_empty() && self.tags.is_empty() && self.phases.is_empty()
    }
}

/// Flags systems: for a rebuild with their own profile, or to boot another profile once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagRequest {
    /// Which.
    pub selection: Selection,
    /// Install, or boot once.
    pub purpose: Purpose,
    /// The profile to boot once; must be none for [`Purpose::Install`].
    #[serde(default)]
    pub profile: Option<Name>,
    /// How many machines the operator believes are selected; another count is refused.
    #[serde(default)]
    pub expect: Option<usize>,
    /// Seconds until the flag is dead; none means 24 hours.
    #[serde(default)]
    pub expires: Option<u64>,
    /// Boots of the installer allowed; none means what the profile says.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// Install again after a power cut although writing had begun; none means what the profile says.
    #[serde(default)]
    pub retry_after_write: Option<bool>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// [`FlagReport::fingerprint`] of the plan that the operator agreed to; if it would be another
    /// by now, nothing is flagged.
    #[serde(default)]
    pub agreed: Option<String>,
}

/// What flagging did, or would do. Guards are all or nothing: if one machine is refused, none is
/// flagged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagReport {
    /// Nothing was changed, as asked.
    pub dry_run: bool,
    /// One for each selected system, in the order of their names.
    pub machines: Vec<FlagOutcome>,
}

/// One machine of a [`FlagReport`]: what it is, what is at stake, what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagOutcome {
    /// The system.
    pub name: Name,
    /// Install, or boot once.
    pub purpose: Purpose,
    /// The profile it would boot.
    pub profile: Name,
    /// What that profile drives; `live` and `kernel` write no disk.
    pub kind: ProfileKind,
    /// Where it stands, before.
    pub phase: Phase,
    /// Its latest build so far.
    pub last_build: Option<u32>,
    /// When that ended.
    pub last_ended: Option<Timestamp>,
    /// The disk that build was permitted to write.
    pub last_disk: Option<String>,
    /// Which disk would be written.
    pub disk: DiskRule,
    /// Which other disk, if the two are to mirror each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<DiskRule>,
    /// What may be on it (`blank`, `linux`, `any`...).
    pub may_destroy: Vec<String>,
    /// The system says `wipe = true`: whatever else is on it too, save what other machines may be
    /// using.
    pub wipe: bool,
    /// Refuses to be rebuilt.
    pub protected: bool,
    /// Why it was not, or would not be, flagged.
    pub refusal: Option<Refusal>,
    /// The number of the new build.
    pub build: Option<u32>,
    /// When the flag is dead.
    pub expires: Option<Timestamp>,
    /// What may come of it that its operator would not expect, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// What the flag waits for before it is in force, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

impl FlagReport {
    /// Stands for everything an operator agrees to when he says yes: which machines, which profile,
    /// which disk, and the builds that stand there now.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for m in &self.machines {
            let disk = serde_json::to_string(&(&m.disk, &m.second)).unwrap_or_default();
            text.push_str(&format!(
                "{} {:?} {} {} {:?} {} {:?} {} {}\n",
                m.name,
                m.purpose,
                m.profile,
                m.phase,
                m.last_build,
                disk,
                m.may_destroy,
                m.wipe,
                m.refusal.is_some()
            ));
        }
        super::Digest::of(text.as_bytes()).short()
    }

    /// The one refusal that speaks for all refused machines; none if none was.
    pub fn refusal(&self) -> Option<Refusal> {
        refusal_of(
            self.machines.len(),
            self.machines.iter().filter_map(|m| m.refusal.as_ref()),
            self.machines.iter().any(|m| m.build.is_some()),
        )
    }
}

/// Calls off flags and builds under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Which.
    pub selection: Selection,
    /// How many machines the operator believes are selected; another count is refused.
    #[serde(default)]
    pub expect: Option<usize>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// [`CancelReport::fingerprint`] of the plan that the operator agreed to; if it would be another
    /// by now, nothing is called off.
    #[serde(default)]
    pub agreed: Option<String>,
}

/// What cancelling did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CancelReport {
    /// Nothing was changed, as asked.
    pub dry_run: bool,
    /// One for each selected system, in the order of their names.
    pub machines: Vec<CancelOutcome>,
}

/// One machine of a [`CancelReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CancelOutcome {
    /// The system.
    pub name: Name,
    /// Where it stood.
    pub phase: Phase,
    /// The build that was called off; none if none was under way.
    pub build: Option<u32>,
    /// The one-shot boot that was called off, by its number; none if none was pending.
    #[serde(default)]
    pub once: Option<u32>,
    /// The disk that build may already have written.
    pub disk: Option<String>,
    /// Why it could not be called off.
    pub refusal: Option<Refusal>,
}

impl CancelReport {
    /// Stands for what an operator agrees to when he says yes: which machines, where their builds stand,
    /// and which disks may be half written. The order is no part of it.
    pub fn fingerprint(&self) -> String {
        let line = |m: &CancelOutcome| {
            let (phase, refused) = (m.phase, m.refusal.is_some());
            format!(
                "{} {phase} {:?} {:?} {:?} {refused}",
                m.name, m.build, m.once, m.disk
            )
        };
        let mut lines: Vec<String> = self.machines.iter().map(line).collect();
        lines.sort_unstable();
        super::Digest::of(lines.join("\n").as_bytes()).short()
    }

    /// The one refusal that speaks for all refused machines; none if none was.
    pub fn refusal(&self) -> Option<Refusal> {
        refusal_of(
            self.machines.len(),
            self.machines.iter().filter_map(|m| m.refusal.as_ref()),
            self.machines
                .iter()
                .any(|m| (m.build.is_some() || m.once.is_some()) && m.refusal.is_none()),
        )
    }
}

fn refusal_of<'a>(
    all: usize,
    refused: impl Iterator<Item = &'a Refusal>,
    some_done: bool,
) -> Option<Refusal> {
    let refused: Vec<&Refusal> = refused.collect();
    let first = *refused.first()?;
    if refused.len() == 1 && all == 1 {
        return Some(first.clone());
    }
    let more = match refused.len() - 1 {
        0 => String::new(),
        n => format!(", and {n} more"),
    };
    let message = format!(
        "{} of {all} machines refused: {}{more}",
        refused.len(),
        first.message
    );
    let code = if some_done {
        super::Code::PartlyFailed
    } else {
        first.code
    };
    let mut refusal = Refusal::new(code, message);
    refusal.help.clone_from(&first.help);
    Some(refusal)
}

/// Edits `systems.toml` (or the file of `systems.d/` that declares the system) in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "edit")]
pub enum EditRequest {
    /// Declares a new system.
    Add {
        /// Its name.
        name: Name,
        /// Its interfaces' hardware addresses, at least one.
        macs: Vec<MacAddr>,
        /// Its profile; none means the one under `[defaults]`.
        profile: Option<Name>,
        /// Further values.
        changes: Vec<Change>,
    },
    /// Changes values of systems.
    Set {
        /// Which systems.
        selection: Selection,
        /// How many the operator believes are selected.
        expect: Option<usize>,
        /// What to change, in order.
        changes: Vec<Change>,
        /// Only say what would happen; the whole edit is worked out and checked.
        dry_run: bool,
    },
    /// Removes systems from the files.
    Remove {
        /// Which systems.
        selection: Selection,
        /// How many the operator believes are selected.
        expect: Option<usize>,
        /// Only say what would happen.
        dry_run: bool,
    },
}

/// One change to a system's entry: `ip=10.77.0.12`, `vars.role=db`, `tags+=web`, `tags-=web`, `ip=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where in the entry: `["vars", "role"]`.
    pub key: Vec<String>,
    /// What to do there.
    pub verb: ChangeVerb,
    /// The value as typed; none removes the key. The inventory knows which keys are text, lists or
    /// TOML values.
    pub value: Option<String>,
}

/// What a [`Change`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeVerb {
    /// `key=value`: replaces, or with no value removes.
    Set,
    /// `key+=value`: adds to a list, once.
    Push,
    /// `key-=value`: takes from a list.
    Pull,
}

/// What an edit did. The new revision is in force when this is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EditReport {
    /// Nothing was changed, as asked.
    pub dry_run: bool,
    /// One for each system concerned, in the order of their names.
    pub systems: Vec<EditOutcome>,
    /// First twelve digits of the revision now in force.
    pub revision: String,
    /// What the files warn of.
    pub warnings: Vec<Diagnostic>,
}

/// One system of an [`EditReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EditOutcome {
    /// The system.
    pub name: Name,
    /// `added`, `changed`, `unchanged` or `removed`.
    pub outcome: String,
    /// The file that declares it, relative to the site.
    pub file: String,
    /// Its interfaces' hardware addresses (as they were, if removed).
    pub macs: Vec<MacAddr>,
    /// Its profile.
    pub profile: Name,
    /// Its phase; none if no server was asked.
    pub phase: Option<Phase>,
    /// Why the entry cannot be used, if so.
    pub broken: Option<String>,
}

/// Asks what a machine would be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyRequest {
    /// A system's name or any MAC, declared or not.
    pub subject: String,
    /// The DHCP option 93 code to suppose; none means what was last seen of it.
    #[serde(default)]
    pub arch: Option<u16>,
    /// The program to suppose; none means the firmware's own.
    #[serde(default)]
    pub stage: Option<ClientStage>,
}

/// Asks for recorded events, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventQuery {
    /// Only later than this number.
    pub after: Option<i64>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
    /// Only of these systems; empty means all.
    pub selection: Selection,
    /// At most so many: with `after`, the first ones; without, the last ones. None means 1000.
    pub limit: Option<usize>,
}

/// Events, and where to ask on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// Oldest first.
    pub events: Vec<super::view::EventView>,
    /// Ask on `after` this number. Set even if there are no events.
    pub cursor: i64,
}

/// Asks what a system would get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenderRequest {
    /// A system's name, or a MAC.
    pub system: String,
    /// A revision's digest or the beginning of it, a time, or a build (`web01#3`); none means the one
    /// in force.
    #[serde(default)]
    pub revision: Option<String>,
    /// The DHCP option 93 code to suppose; none means what was last seen of it.
    #[serde(default)]
    pub arch: Option<u16>,
    /// Another profile (rescue, memtest); none means the system's.
    #[serde(default)]
    pub profile: Option<Name>,
    /// What the next build would get, although one is under way.
    #[serde(default)]
    pub next: bool,
}

/// Everything a system would be sent, with placeholders instead of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderView {
    /// The system.
    pub system: Name,
    /// The profile.
    pub profile: Name,
    /// First twelve digits of the revision it is rendered from.
    pub revision: String,
    /// The build under way that pinned this; none if it was rendered for the next one.
    #[serde(default)]
    pub build: Option<u32>,
    /// What is not among the documents, and why.
    #[serde(default)]
    pub note: Option<String>,
    /// `boot.ipxe`, `grub.cfg`, `pxelinux.cfg` and `cmdline` come first, then the rest by name.
    pub documents: Vec<DocumentView>,
}

/// One thing that a system would be sent. Either `text` or `hex` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentView {
    /// The name in its URL.
    pub name: String,
    /// HTTP content type.
    pub content_type: String,
    /// Bytes.
    pub size: usize,
    /// The contents, if they are text.
    #[serde(default)]
    pub text: Option<String>,
    /// The contents in hexadecimal, if they are not.
    #[serde(default)]
    pub hex: Option<String>,
}

impl DocumentView {
    /// Wraps bytes.
    pub fn new(name: impl Into<String>, content_type: impl Into<String>, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok().map(str::to_string);
        let hex = text
            .is_none()
            .then(|| bytes.iter().map(|b| format!("{b:02x}")).collect());
        DocumentView {
            name: name.into(),
            content_type: content_type.into(),
            size: bytes.len(),
            text,
            hex,
        }
    }

    /// The contents.
    pub fn bytes(&self) -> Vec<u8> {
        match (&self.text, &self.hex) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(hex)) => hex
                .as_bytes()
                .chunks(2)
                .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect(),
            (None, None) => Vec::new(),
        }
    }
}

/// A published revision. `files` is empty in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionView {
    /// Its whole digest.
    pub revision: String,
    /// When it was published.
    pub time: Timestamp,
    /// Who or what did.
    pub author: String,
    /// What it changed, in a few words; empty if it was stored by a version that kept none.
    #[serde(default)]
    pub summary: String,
    /// It is the one in force.
    #[serde(default)]
    pub live: bool,
    /// Its files by path relative to the site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileView>,
}

/// One file of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Contents, named by path relative to the site.
    pub document: DocumentView,
    /// Carries an executable bit.
    pub executable: bool,
}

/// What reading the files again did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// First twelve digits of the revision now in force.
    pub revision: String,
    /// It is another one than before.
    pub changed: bool,
    /// What the files warn of.
    pub warnings: Vec<Diagnostic>,
}

/// One line of the answer to a fetch: many `progress`, then one of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FetchLine {
    /// How far it is.
    Progress(FetchProgress),
    /// Everything is there.
    Done(super::view::DistroView),
    /// It is not.
    Failed(Refusal),
}

/// How far one artefact is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchProgress {
    /// The artefact, or what the builder is doing.
    pub artefact: String,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all, if known.
    pub total: Option<u64>,
    /// One sentence, if there is something to say.
    pub detail: String,
}
