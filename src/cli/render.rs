//! `farrier render`: what a system would be sent.

use clap::Args;

use super::client::{Pairs, segment};
use super::selection::expand;
use super::{Exit, Session, offline, show, time, unified, why};
use crate::inventory;
use crate::model::command::{DocumentView, RenderView};
use crate::model::{Code, Firmware, Name, Refusal, Selection, Timestamp};

/// The documents that boot loaders read.
const SCRIPTS: [&str; 3] = ["boot.ipxe", "grub.cfg", "pxelinux.cfg"];

/// Print what a system would be sent: its boot script, command line and documents.
///
/// While a build is under way this is what it pinned when it was flagged, else what the files say.
/// Tokens are placeholders. With one DOCUMENT its bytes alone are printed, ready for a pipe.
///
/// A REV is a revision's digest or the beginning of it, a date (the one in force then), or a build: #3,
/// web01#3.
#[derive(Debug, Args)]
pub(super) struct Render {
    /// A name, MAC, disk serial, node set (web[01-20]), glob, @TAG, or - (stdin)
    #[arg(value_name = "NAME")]
    name: String,
    /// Only this one
    #[arg(value_name = "DOCUMENT")]
    document: Option<String>,
    /// Print what changed since this revision instead; exit 2 if something did
    #[arg(long, value_name = "REV")]
    diff: Option<String>,
    /// As it was rendered from this revision
    #[arg(long, value_name = "REV")]
    as_of: Option<String>,
    /// What the next build would get, although one is under way
    #[arg(long, conflicts_with = "as_of")]
    next: bool,
    /// Suppose this DHCP architecture code (0 BIOS, 7 UEFI x86-64)
    #[arg(long, value_name = "CODE", value_parser = why::code)]
    arch: Option<u16>,
    /// Suppose this profile
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Name>,
}

impl Render {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let selection = Selection {
            selectors: expand(vec![self.name.clone()])?,
            ..Selection::default()
        };
        let alone = selection.names_one();
        let names = names(session, selection).await?;
        match names.as_slice() {
            [name] if alone || !session.printer.is_json() => self.one(session, name).await,
            many => self.many(session, many).await,
        }
    }

    async fn one(&self, session: &Session, system: &str) -> Result<Exit, Refusal> {
        let mut view = self.view(session, system, self.as_of.as_deref()).await?;
        self.narrow(&mut view)?;
        if let Some(revision) = &self.diff {
            let mut before = self.view(session, system, Some(revision)).await?;
            if let Some(name) = &self.document {
                before.documents.retain(|d| d.name == *name);
            }
            return Ok(self.print_diff(session, &before, &view));
        }
        self.say(session, &view);
        match (&self.document, view.documents.as_slice()) {
            (Some(_), [one]) if !session.printer.is_json() => session.printer.bytes(&one.bytes()),
            _ if session.printer.is_name() => {
                for document in &view.documents {
                    session.printer.line(&document.name);
                }
            }
            _ => session
                .printer
                .object(&view, view.system.as_str(), || text(&view)),
        }
        Ok(Exit::Done)
    }

    async fn many(&self, session: &Session, systems: &[String]) -> Result<Exit, Refusal> {
        if self.diff.is_some() {
            let message = format!(
                "`--diff` is about one system by its name; selected: {}",
                systems.len()
            );
            return Err(Refusal::new(Code::Usage, message).help("farrier render NAME --diff REV"));
        }
        let mut views = Vec::with_capacity(systems.len());
        for system in systems {
            let mut view = self.view(session, system, self.as_of.as_deref()).await?;
            self.narrow(&mut view)?;
            self.say(session, &view);
            views.push(view);
        }
        session.printer.list_with(
            &views,
            |v| v.system.to_string(),
            |_| {
                let each = views.iter().map(|v| format!("{}\n{}", v.system, text(v)));
                each.collect::<Vec<_>>().join("\n")
            },
        );
        Ok(Exit::Done)
    }

    /// Where it comes from, if that is not what the files say.
    fn say(&self, session: &Session, view: &RenderView) {
        if let Some(build) = view.build {
            session.printer.talk(&format!(
                "build {build} is under way and was flagged with this; --next for what the files say"
            ));
        }
        if let (Some(note), None) = (&view.note, &self.document) {
            session.printer.talk(note);
        }
    }

    async fn view(
        &self,
        session: &Session,
        system: &str,
        revision: Option<&str>,
    ) -> Result<RenderView, Refusal> {
        let name = system.to_ascii_lowercase();
        let revision = revision.map(|r| time::revision(r, Some(&name), Timestamp::now()));
        let revision = revision
            .transpose()
            .map_err(|e| Refusal::new(Code::Usage, e).help("farrier revision ls"))?;
        let revision = revision.as_deref();
        if session.has_server().await {
            let mut pairs: Pairs = Vec::new();
            if let Some(revision) = revision {
                pairs.push(("revision", revision.to_string()));
            }
            if let Some(arch) = self.arch {
                pairs.push(("arch", arch.to_string()));
            }
            if let Some(profile) = &self.profile {
                pairs.push(("profile", profile.to_string()));
            }
            if self.next {
                pairs.push(("next", "true".to_string()));
            }
            let path = format!("/v1/systems/{}/render", segment(system));
            return session.client.get(&path, &pairs).await;
        }
        let loaded = match revision {
            None => offline::load(&session.place)?,
            Some(revision) => offline::sound(super::plan::stored(&session.place, revision).await?)?,
        };
        let system = offline::find(&loaded.site, system)?;
        let firmware = self.arch.map(Firmware::from_code);
        let profile = self.profile.as_ref();
        let rendered = offline::render(&session.place, &loaded.site, system, profile, firmware);
        rendered.map_err(|mut refusal| {
            let (files, site) = (&loaded.files, &loaded.site);
            refusal.problems = inventory::placed(refusal.problems, files, site, system);
            refusal
        })
    }

    /// Keeps only the document that was asked for.
    fn narrow(&self, view: &mut RenderView) -> Result<(), Refusal> {
        let Some(name) = &self.document else {
            return Ok(());
        };
        let all: Vec<String> = view.documents.iter().map(|d| d.name.clone()).collect();
        view.documents.retain(|d| d.name == *name);
        if view.documents.is_empty() {
            let mut refusal = Refusal::new(
                Code::NotFound,
                format!("`{}` has no document `{name}`", view.system),
            );
            refusal.help = Some(format!("it has {}", all.join(", ")));
            if let (Some(note), true) = (&view.note, SCRIPTS.contains(&name.as_str())) {
                refusal.help = Some(note.clone());
            }
            return Err(refusal);
        }
        Ok(())
    }

    fn print_diff(&self, session: &Session, before: &RenderView, after: &RenderView) -> Exit {
        let changes = unified::changes(before, after);
        let differs = !changes.is_empty();
        if session.printer.is_json() {
            session
                .printer
                .list(&changes, &[], |c| c.document.clone(), "");
        } else if session.printer.is_name() {
            for change in &changes {
                session.printer.line(&change.document);
            }
        } else {
            for change in &changes {
                session.printer.bytes(change.diff.as_bytes());
            }
        }
        if differs {
            Exit::Differs
        } else {
            session.printer.talk(&format!(
                "`{}` would be sent the same in revision {} and {}",
                after.system, before.revision, after.revision
            ));
            Exit::Done
        }
    }
}

/// The names of the systems that are selected. One plain name or MAC stays as it is: in an earlier
/// revision it may mean a system that is declared no more.
async fn names(session: &Session, selection: Selection) -> Result<Vec<String>, Refusal> {
    if selection.names_one() || session.has_server().await {
        return show::names(session, selection).await;
    }
    let loaded = offline::load(&session.place)?;
    let systems = offline::resolve(&loaded.site, &selection)?;
    Ok(systems.iter().map(|s| s.name.to_string()).collect())
}

/// All documents, each under a line that names it.
fn text(view: &RenderView) -> String {
    let mut out = String::new();
    for document in &view.documents {
        out.push_str(&format!(
            "==> {} ({}, {} bytes)\n",
            document.name, document.content_type, document.size
        ));
        out.push_str(&readable(document));
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// Text as it is; an archive as the list of its files with their contents; other bytes as a count.
pub(super) fn readable(document: &DocumentView) -> String {
    if let Some(text) = &document.text
        && !text.contains('\0')
    {
        return text.clone();
    }
    let bytes = document.bytes();
    let mut out = String::new();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let Ok(entries) = archive.entries() else {
        return format!("({} bytes that are no text)\n", document.size);
    };
    for entry in entries {
        let Ok(mut entry) = entry else {
            return format!("({} bytes that are no text)\n", document.size);
        };
        let path = entry.path().map(|p| p.display().to_string());
        let mode = entry.header().mode().unwrap_or(0);
        let mut contents = Vec::new();
        let read = std::io::Read::read_to_end(&mut entry, &mut contents);
        let (Ok(path), Ok(_)) = (path, read) else {
            return format!("({} bytes that are no text)\n", document.size);
        };
        out.push_str(&format!(
            "--> {path} ({mode:o}, {} bytes)\n",
            contents.len()
        ));
        match String::from_utf8(contents) {
            Ok(text) => out.push_str(&text),
            Err(_) => out.push_str("(no text)"),
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}
