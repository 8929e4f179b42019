//! `farrier render`: what a system would be sent.

use clap::Args;

use super::client::{Pairs, segment};
use super::{Exit, Session, offline, unified, why};
use crate::model::command::{DocumentView, RenderView};
use crate::model::{Code, Firmware, Name, Refusal};

/// Print what a system would be sent: its boot script, command line and documents.
///
/// Tokens are placeholders. With one DOCUMENT its bytes alone are printed, ready for a pipe.
#[derive(Debug, Args)]
pub(super) struct Render {
    /// Its name, or a MAC
    #[arg(value_name = "NAME")]
    name: String,
    /// Only this one
    #[arg(value_name = "DOCUMENT")]
    document: Option<String>,
    /// Print what changed since this revision instead; exit 2 if something did
    #[arg(long, value_name = "REV")]
    diff: Option<String>,
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
        let mut view = self.view(session, None).await?;
        self.narrow(&mut view)?;
        if let Some(revision) = &self.diff {
            let mut before = self.view(session, Some(revision)).await?;
            if let Some(name) = &self.document {
                before.documents.retain(|d| d.name == *name);
            }
            return Ok(self.print_diff(session, &before, &view));
        }
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

    async fn view(&self, session: &Session, revision: Option<&str>) -> Result<RenderView, Refusal> {
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
            let path = format!("/v1/systems/{}/render", segment(&self.name));
            return session.client.get(&path, &pairs).await;
        }
        let loaded = match revision {
            None => offline::load(&session.place)?,
            Some(revision) => offline::sound(super::plan::stored(&session.place, revision).await?)?,
        };
        let system = offline::find(&loaded.site, &self.name)?;
        let firmware = self.arch.map(Firmware::from_code);
        offline::render(
            &session.place,
            &loaded.site,
            system,
            self.profile.as_ref(),
            firmware,
        )
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
