//! `farrier plan`: what differs between the files and what is in force, and for which machines.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

use super::client::{Pairs, segment};
use super::offline::{self, Loaded};
use super::place::Place;
use super::{Exit, Session, check, time, unified};
use crate::control::revisions;
use crate::inventory::{FileSet, SourceFile};
use crate::model::command::{RenderView, RevisionView};
use crate::model::{Code, Diagnostic, Firmware, Name, Refusal, Site, System, Timestamp};
use crate::render::{self, Rendered};
use crate::store;

/// Compare the site's files with what the server has in force.
///
/// Lists changed files, and the systems that would be sent other bytes. Changes nothing. Exit 2 if
/// there is a difference. Without a server the last revision that was in force counts. A document that
/// says one thing on BIOS and another on UEFI is compared on both.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Compare with this one instead: digest, date, or build (web01#3)
    #[arg(long, value_name = "REV", default_value = "live")]
    against: String,
    /// Also print what differs in the documents; what is the same for several systems is printed once
    #[arg(long)]
    diff: bool,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PlanReport {
    /// First twelve digits of the revision compared with; none if nothing ever was in force.
    pub(super) live: Option<String>,
    /// First twelve digits of the revision that the files make.
    pub(super) files_revision: String,
    /// Files that differ.
    pub(super) files: Vec<FileChange>,
    /// Systems that differ.
    pub(super) systems: Vec<SystemChange>,
    /// What differs in their documents, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) patches: Vec<Patch>,
    /// What the files warn of, and which systems do not render.
    pub(super) warnings: Vec<Diagnostic>,
    /// A server runs, which `farrier apply` can tell.
    #[serde(skip)]
    pub(super) served: bool,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FileChange {
    /// Relative to the site.
    pub(super) path: String,
    /// `added`, `changed` or `removed`.
    pub(super) change: &'static str,
}

/// One system that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SystemChange {
    /// The system.
    pub(super) name: Name,
    /// `added`, `changed` or `removed`.
    pub(super) change: &'static str,
    /// Documents with other bytes; empty if only the entry differs.
    pub(super) documents: Vec<String>,
}

/// What differs in a document, for all systems of which it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Patch {
    /// The document.
    pub(super) document: String,
    /// The systems.
    pub(super) systems: Vec<Name>,
    /// A unified diff; archives are compared file by file.
    pub(super) diff: String,
}

impl Plan {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let report = compare(session, &self.against, self.diff).await?;
        session
            .printer
            .object(&report, &report.files_revision, || text(&report));
        warn(session, &report);
        if report.files.is_empty() {
            session
                .printer
                .talk("the files are what is in force; nothing differs");
            return Ok(Exit::Done);
        }
        session.printer.talk(if report.served {
            "farrier apply"
        } else {
            "no server runs here; farrier serve puts the files in force"
        });
        Ok(Exit::Differs)
    }
}

/// Says what the files warn of.
pub(super) fn warn(session: &Session, report: &PlanReport) {
    for warning in &report.warnings {
        session.printer.talk(&format!("warning: {warning}"));
    }
}

/// Works out what differs.
pub(super) async fn compare(
    session: &Session,
    against: &str,
    diff: bool,
) -> Result<PlanReport, Refusal> {
    let after = offline::load(&session.place)?;
    let against = time::revision(against, None, Timestamp::now())
        .map_err(|e| Refusal::new(Code::Usage, e).help("farrier revision ls"))?;
    let against = against.as_str();
    let served = session.has_server().await;
    let live = if served {
        let path = format!("/v1/revisions/{}", segment(against));
        let view: RevisionView = session.client.get(&path, &Pairs::new()).await?;
        Some(files_of(&view))
    } else {
        match stored(&session.place, against).await {
            Ok(files) => Some(files),
            Err(refusal) if refusal.code == Code::NotFound && against == "live" => None,
            Err(refusal) => return Err(refusal),
        }
    };
    let before = match &live {
        Some(files) => offline::sound(files.clone())?,
        None => Loaded {
            files: FileSet::default(),
            site: Site::default(),
            warnings: Vec::new(),
        },
    };
    let systems = system_changes(&before.site, &after.site);
    let patches = match diff {
        true => patches(&before.site, &after.site, &systems),
        false => Vec::new(),
    };
    Ok(PlanReport {
        live: live.map(|files| files.revision().short()),
        files_revision: after.site.revision.short(),
        files: file_changes(&before.files, &after.files),
        systems,
        patches,
        warnings: check::whole(&after).problems,
        served,
    })
}

/// The files of a revision that the server sent.
fn files_of(view: &RevisionView) -> FileSet {
    let files = view.files.iter().map(|f| {
        let file = SourceFile::new(f.document.bytes(), f.executable);
        (f.document.name.clone(), file)
    });
    FileSet {
        files: files.collect(),
    }
}

/// The files of a revision in the state directory, for when no server runs.
pub(super) async fn stored(place: &Place, which: &str) -> Result<FileSet, Refusal> {
    let nothing = || {
        Refusal::new(
            Code::NotFound,
            format!(
                "no revision `{which}` is kept in `{}`",
                place.state.display()
            ),
        )
        .help("start the server, or name its state with `--state DIR`")
    };
    let database = place.state.join("farrier.db");
    match database.metadata() {
        Ok(found) if found.is_file() => {}
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let told = format!("`{}` may not be read by this user", database.display());
            return Err(Refusal::failed(told).help("ask as root, or as the server's user"));
        }
        _ => return Err(nothing()),
    }
    let failed = |e: store::StoreError| Refusal::failed(crate::model::with_causes(&e));
    let (store, _writer) = store::open(&database).await.map_err(failed)?;
    let row = match which {
        "live" => store.last_revision().await.map_err(failed)?,
        which => Some(revisions::find(&store, which).await?),
    };
    revisions::files_of(&store, &row.ok_or_else(nothing)?).await
}

fn file_changes(before: &FileSet, after: &FileSet) -> Vec<FileChange> {
    let mut changes: BTreeMap<&str, &'static str> = BTreeMap::new();
    for (path, file) in &after.files {
        match before.files.get(path) {
            None => _ = changes.insert(path, "added"),
            Some(old) if old != file => _ = changes.insert(path, "changed"),
            Some(_) => {}
        }
    }
    for path in before.files.keys() {
        if !after.files.contains_key(path) {
            changes.insert(path, "removed");
        }
    }
    changes
        .into_iter()
        .map(|(path, change)| FileChange {
            path: path.to_string(),
            change,
        })
        .collect()
}

/// What a system would be sent, for any firmware. Not known firmware comes first: what differs there is
/// what `farrier render` shows.
fn sent(site: &Site, system: &System, own: &[Ipv4Addr]) -> Vec<Rendered> {
    let Ok((profile, distro)) = offline::recipe(site, &system.profile) else {
        return Vec::new();
    };
    let firmware = [None, Some(Firmware::BIOS), Some(Firmware::UEFI)];
    let each = firmware.into_iter().filter_map(|firmware| {
        let ground = offline::ground(site, system, own, firmware);
        render::render(system, profile, distro, &ground).ok()
    });
    each.collect()
}

/// What differs in the documents of systems that are in both.
fn patches(before: &Site, after: &Site, systems: &[SystemChange]) -> Vec<Patch> {
    let own = offline::own_addresses();
    let view = |site: &Site, system: &System, rendered: Option<&Rendered>| RenderView {
        system: system.name.clone(),
        profile: system.profile.clone(),
        revision: site.revision.short(),
        build: None,
        note: None,
        documents: rendered
            .map(offline::documents)
            .into_iter()
            .flatten()
            .collect(),
    };
    let found: Vec<(String, String, Name)> = systems
        .par_iter()
        .filter(|change| !change.documents.is_empty())
        .filter_map(|change| {
            let old = before.systems.get(&change.name)?;
            let new = after.systems.get(&change.name)?;
            let (was, now) = (sent(before, old, &own), sent(after, new, &own));
            let mut told: BTreeMap<String, String> = BTreeMap::new();
            for n in 0..was.len().max(now.len()) {
                let (was, now) = (view(before, old, was.get(n)), view(after, new, now.get(n)));
                for change in unified::changes(&was, &now) {
                    told.entry(change.document).or_insert(change.diff);
                }
            }
            let name = &change.name;
            Some(
                told.into_iter()
                    .map(|(d, diff)| (d, diff, name.clone()))
                    .collect::<Vec<_>>(),
            )
        })
        .flatten()
        .collect();
    let mut grouped: BTreeMap<(String, String), Vec<Name>> = BTreeMap::new();
    for (document, diff, name) in found {
        grouped.entry((document, diff)).or_default().push(name);
    }
    let all = grouped.into_iter().map(|((document, diff), mut systems)| {
        systems.sort();
        Patch {
            document,
            systems,
            diff,
        }
    });
    all.collect()
}

fn system_changes(before: &Site, after: &Site) -> Vec<SystemChange> {
    let own = offline::own_addresses();
    let ground_same = before.subnets == after.subnets && before.server == after.server;
    let all: Vec<_> = after.systems.iter().collect();
    let mut changes: Vec<SystemChange> = all
        .into_par_iter()
        .filter_map(|(name, new)| {
            let change = |change, documents| {
                Some(SystemChange {
                    name: name.clone(),
                    change,
                    documents,
                })
            };
            let Some(old) = before.systems.get(name) else {
                return change("added", Vec::new());
            };
            let recipe_same = before.profiles.get(&old.profile) == after.profiles.get(&new.profile)
                && distro(before, old) == distro(after, new);
            if old == new && recipe_same && ground_same {
                return None;
            }
            let documents = differing(&sent(before, old, &own), &sent(after, new, &own));
            if documents.is_empty() && old == new {
                return None;
            }
            change("changed", documents)
        })
        .collect();
    let gone = before
        .systems
        .keys()
        .filter(|n| !after.systems.contains_key(*n));
    changes.extend(gone.map(|name| SystemChange {
        name: name.clone(),
        change: "removed",
        documents: Vec::new(),
    }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

fn distro<'a>(site: &'a Site, system: &System) -> Option<&'a crate::model::Distro> {
    let profile = site.profiles.get(&system.profile)?;
    site.distros.get(profile.distro.as_ref()?).map(Arc::as_ref)
}

/// The names of the documents whose bytes differ on any firmware.
fn differing(before: &[Rendered], after: &[Rendered]) -> Vec<String> {
    let of = |rendered: Option<&Rendered>| -> BTreeMap<String, Vec<u8>> {
        let Some(rendered) = rendered else {
            return BTreeMap::new();
        };
        let cmdline = ("cmdline".to_string(), rendered.cmdline.clone().into_bytes());
        let rest = rendered.documents.iter();
        let rest = rest.map(|(n, d)| (n.clone(), d.bytes.clone()));
        rest.chain([cmdline]).collect()
    };
    let mut names: BTreeSet<String> = BTreeSet::new();
    for n in 0..before.len().max(after.len()) {
        let (before, after) = (of(before.get(n)), of(after.get(n)));
        let all = before.keys().chain(after.keys());
        names.extend(
            all.filter(|name| before.get(*name) != after.get(*name))
                .cloned(),
        );
    }
    names.into_iter().collect()
}

pub(super) fn text(report: &PlanReport) -> String {
    if report.files.is_empty() {
        return String::new();
    }
    let sign = |change: &str| match change {
        "added" => '+',
        "removed" => '-',
        _ => '~',
    };
    let mut out = format!(
        "revision {} -> {}\n",
        report.live.as_deref().unwrap_or("none"),
        report.files_revision
    );
    for file in &report.files {
        out.push_str(&format!("  {} {}\n", sign(file.change), file.path));
    }
    match report.systems.len() {
        0 => out.push_str("no system would be sent anything else\n"),
        1 => out.push_str("1 system differs\n"),
        n => out.push_str(&format!("{n} systems differ\n")),
    }
    for system in &report.systems {
        let what = match (system.change, system.documents.as_slice()) {
            ("changed", []) => "entry".to_string(),
            (_, documents) => documents.join(", "),
        };
        out.push_str(format!("  {} {:<16} {what}", sign(system.change), system.name).trim_end());
        out.push('\n');
    }
    for patch in &report.patches {
        let shown: Vec<&str> = patch.systems.iter().take(SHOWN).map(Name::as_str).collect();
        let more = match patch.systems.len().saturating_sub(SHOWN) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        out.push_str(&format!(
            "\n{}{more}: {}\n{}",
            shown.join(", "),
            patch.document,
            patch.diff
        ));
    }
    out
}

/// Systems that are named before what they have in common.
const SHOWN: usize = 8;
