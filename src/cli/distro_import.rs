//! `farrier distro import`: a distro from an installation medium.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use serde::Serialize;

use super::{Exit, Session, distro, offline, progress, time, unified};
use crate::artefacts::{Inspected, compose, inspect, sha256};
use crate::image::disc::media::{LOOKED_FOR, Medium, Part};
use crate::inventory::{Change, EditLock};
use crate::model::command::{FetchProgress, ReloadReport};
use crate::model::view::DistroView;
use crate::model::{ArtefactSource, Code, Distro, Name, Refusal};

/// The artefact that is the medium.
const MEDIUM: &str = "media.iso";

/// Declare a distro from an installation medium, and keep the medium.
///
/// Recognises the media of RHEL and its family, Fedora (CoreOS too), Ubuntu Server, Debian, SUSE,
/// Proxmox, Alpine, VMware ESXi, Windows, SmartOS, FreeBSD and OpenBSD. Writes boot/NAME.toml and copies the
/// medium into the state directory; kernel, initrds and signed boot loaders are taken off it, and its
/// other files are served out of it. An interrupted import goes on where it stopped.
#[derive(Debug, Args)]
pub(super) struct DistroImport {
    /// The medium: an ISO 9660 or UDF image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to call the distro, instead of the medium's own name
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// The digest that the publisher names; another one is refused
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Boot this file of this host instead of a kernel of the medium (wimboot, for Windows)
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// A file of this host that the medium lacks (curl.exe for Windows, pxeboot for OpenBSD), under its own name in lower case
    #[arg(long = "with", value_name = "FILE")]
    more: Vec<PathBuf>,
    /// Replace a boot/NAME.toml that says something else
    #[arg(long)]
    replace: bool,
}

/// What was imported.
#[derive(Debug, Serialize)]
struct Imported {
    name: Name,
    title: String,
    file: String,
    size: u64,
    sha256: String,
    artefacts: BTreeMap<String, String>,
    files: usize,
    notes: Vec<String>,
    left_out: Vec<String>,
}

impl DistroImport {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let path = absolute(&self.file)?;
        let failed =
            |e: crate::artefacts::ArtefactError| Refusal::failed(crate::model::with_causes(&e));
        let at = path.clone();
        let found = blocking(move || inspect(&at)).await?.map_err(failed)?;
        let medium = found.medium.clone().ok_or_else(|| unknown(&path, &found))?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => medium.name.parse().map_err(|_| {
                Refusal::new(Code::Usage, "the medium does not say what it is called").help(
                    format!("farrier distro import {} --name NAME", path.display()),
                )
            })?,
        };
        let digest = measure(session, &path, found.size).await?;
        if let Some(wanted) = &self.sha256
            && !wanted.eq_ignore_ascii_case(&digest)
        {
            return Err(Refusal::failed(format!(
                "`{}` has the SHA-256 {digest}, not {wanted}",
                path.display()
            ))
            .help("download it again"));
        }
        let distro = self.distro(&name, &medium, &path, &digest).await?;
        let text = file(&distro, &medium, &path);
        let written = self.declare(session, &name, text).await?;
        let fetched = match fetch(session, &name, &written).await {
            Ok(view) => view,
            Err(refusal) => {
                written.undo(session).await;
                return Err(refusal);
            }
        };
        self.say(session, &found, &medium, &distro, &digest, &fetched);
        Ok(Exit::Done)
    }

    async fn distro(
        &self,
        name: &Name,
        medium: &Medium,
        path: &Path,
        digest: &str,
    ) -> Result<Distro, Refusal> {
        let mut artefacts = BTreeMap::new();
        artefacts.insert(MEDIUM.to_string(), own(path, digest.to_string()));
        for Part { name, path } in medium.parts() {
            let source = ArtefactSource::Iso {
                iso: MEDIUM.to_string(),
                path: path.clone(),
            };
            artefacts.insert(name.clone(), source);
        }
        for given in &self.more {
            let (name, source) = given_file(given).await?;
            artefacts.insert(name, source);
        }
        let mut way = medium.way.clone();
        let mut initrds: Vec<String> = medium.initrds.iter().map(|p| p.name.clone()).collect();
        if let Some(whole) = &medium.whole {
            artefacts.insert(whole.clone(), own(path, digest.to_string()));
            way.inside.insert(whole.clone(), whole.clone());
            initrds.push(whole.clone());
        }
        let mut kernel_uefi = medium.kernel_uefi.as_ref().map(|p| p.name.clone());
        let kernel = match (&self.kernel, &medium.kernel) {
            (Some(given), _) => {
                let (name, source) = given_file(given).await?;
                artefacts.insert(name.clone(), source);
                kernel_uefi = None;
                // another starter starts the same
                if let (None, Some(starter)) = (&medium.kernel, &medium.starter) {
                    if !artefacts.contains_key(&starter.initrd) {
                        return Err(lacking(medium, path, "--with", &starter.initrd));
                    }
                    initrds.push(starter.initrd.clone());
                }
                name
            }
            (None, Some(part)) => part.name.clone(),
            (None, None) => match &medium.starter {
                Some(starter) if artefacts.contains_key(&starter.initrd) => {
                    initrds.push(starter.initrd.clone());
                    let source = ArtefactSource::Deb {
                        package: starter.package.clone(),
                        path: starter.path.clone(),
                    };
                    // another one may be given
                    artefacts.entry(starter.kernel.clone()).or_insert(source);
                    starter.kernel.clone()
                }
                Some(starter) => return Err(lacking(medium, path, "--with", &starter.initrd)),
                None => return Err(lacking(medium, path, "--kernel", "wimboot")),
            },
        };
        way.modules.retain(|m| artefacts.contains_key(&m.content));
        if let Some(own) = &mut way.own {
            let there = |name: &String| artefacts.contains_key(name);
            own.bios = own.bios.take().filter(there);
            own.uefi = own.uefi.take().filter(there);
            if own.bios.is_none() && own.uefi.is_none() {
                return Err(lacking(medium, path, "--with", "pxeboot"));
            }
        }
        Ok(Distro {
            name: name.clone(),
            artefacts,
            kernel_uefi: kernel_uefi.filter(|other| *other != kernel),
            kernel,
            initrds,
            mirror: None,
            way,
        })
    }

    /// Writes boot/NAME.toml, unless it says the same already.
    async fn declare(
        &self,
        session: &Session,
        name: &Name,
        text: String,
    ) -> Result<Written, Refusal> {
        let path = format!("boot/{name}.toml");
        let failed =
            |e: crate::inventory::WriteError| Refusal::failed(crate::model::with_causes(&e));
        let lock = EditLock::take(&session.place.site).map_err(failed)?;
        let files = offline::read(&session.place)?;
        let before = files.files.get(&path);
        let live = session.has_server().await;
        let unchanged = before.is_some_and(|b| *b.bytes == *text.as_bytes());
        if unchanged {
            return Ok(Written {
                created: None,
                live,
            });
        }
        if let Some(before) = before
            && !self.replace
        {
            let before = String::from_utf8_lossy(&before.bytes);
            let diff = unified::patch(&before, &text, &path, "the medium");
            let message = format!("`{path}` is there already, and says something else:\n{diff}");
            return Err(Refusal::refused(message)
                .help("add --replace if the medium is right, or --name for a distro beside it"));
        }
        let before = before.map(|b| b.digest);
        offline::sound(files.with(&path, text.as_bytes()))?;
        let folder = session.place.site.join("boot");
        std::fs::create_dir_all(&folder)
            .map_err(|e| Refusal::failed(format!("`{}` cannot be made: {e}", folder.display())))?;
        let change = Change {
            path: path.clone(),
            before,
            bytes: text.into_bytes(),
            summary: format!("import distro {name}"),
        };
        lock.write(&change).map_err(failed)?;
        drop(lock);
        if live {
            reload(session).await?;
        }
        let created = before.is_none().then(|| session.place.site.join(&path));
        Ok(Written { created, live })
    }

    fn say(
        &self,
        session: &Session,
        found: &Inspected,
        medium: &Medium,
        distro: &Distro,
        digest: &str,
        fetched: &DistroView,
    ) {
        let name = &distro.name;
        let artefacts = medium.parts().into_iter();
        let artefacts = artefacts.map(|p| (p.name.clone(), p.path.clone()));
        let imported = Imported {
            name: name.clone(),
            title: medium.title.clone(),
            file: format!("boot/{name}.toml"),
            size: found.size,
            sha256: digest.to_string(),
            artefacts: artefacts.collect(),
            files: found.tree.count(),
            notes: medium.notes.clone(),
            left_out: found.tree.left_out(),
        };
        session
            .printer
            .object(&imported, name, || human(&imported, distro));
        for sentence in &imported.left_out {
            session.printer.talk(&format!("left out: {sentence}"));
        }
        for note in &imported.notes {
            session.printer.talk(&format!("note: {note}"));
        }
        session.printer.talk(&format!(
            "{} of {} artefacts are here; a profile uses them with: distro = \"{name}\"",
            fetched.present, fetched.declared
        ));
    }
}

/// What became of boot/NAME.toml.
struct Written {
    /// It was not there before.
    created: Option<PathBuf>,
    live: bool,
}

impl Written {
    /// A distro of which nothing came is not left behind.
    async fn undo(&self, session: &Session) {
        let Some(path) = &self.created else {
            return;
        };
        match std::fs::remove_file(path) {
            Ok(()) if self.live => {
                // The server says itself if it cannot.
                let _said = reload(session).await.is_ok();
            }
            Ok(()) => {}
            Err(error) => session
                .printer
                .talk(&format!("warning: `{}` stays: {error}", path.display())),
        }
    }
}

async fn reload(session: &Session) -> Result<(), Refusal> {
    let _: ReloadReport = session
        .client
        .post("/v1/reload", &serde_json::Value::Null)
        .await?;
    Ok(())
}

/// Copies the medium and takes off it what is declared. Interrupted, what was copied stays for the
/// next time.
async fn fetch(session: &Session, name: &Name, written: &Written) -> Result<DistroView, Refusal> {
    tokio::select! {
        view = distro::fetch(session, name, false) => view,
        _ = tokio::signal::ctrl_c() => {
            let message = match written.live {
                true => "interrupted; the server may go on",
                false => "interrupted; what was copied is used the next time",
            };
            Err(Refusal::failed(message))
        }
    }
}

/// The file's text: what the medium is, and how it is used, for whoever writes a profile.
fn file(distro: &Distro, medium: &Medium, path: &Path) -> String {
    let from = path.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!("# {}\n# Imported from {from}.\n", medium.title);
    for note in &medium.notes {
        text.push_str(&format!("# - {note}\n"));
    }
    text.push('\n');
    text.push_str(&compose(distro, &medium.vars));
    text
}

fn human(imported: &Imported, distro: &Distro) -> String {
    let mut out = format!("{}  {}\n", imported.name, imported.title);
    let mut line = |word: &str, text: String| out.push_str(&format!("  {word:<8} {text}\n"));
    line("file", imported.file.clone());
    line(
        "medium",
        format!("{}, sha256 {}", time::bytes(imported.size), imported.sha256),
    );
    for (name, path) in &imported.artefacts {
        let word = match name {
            n if *n == distro.kernel || Some(n) == distro.kernel_uefi.as_ref() => "kernel",
            n if distro.initrds.contains(n) => "initrd",
            _ => "also",
        };
        line(word, format!("{name}  ({path})"));
    }
    line(
        "tree",
        format!(
            "{} files and directories, {{{{ url.tree[\"{MEDIUM}\"] }}}}",
            imported.files
        ),
    );
    out
}

/// Nobody knows this medium: what was looked for, and what is there.
fn unknown(path: &Path, found: &Inspected) -> Refusal {
    let looked: Vec<String> = LOOKED_FOR
        .iter()
        .map(|(what, files)| format!("  {what}: {files}"))
        .collect();
    let label = match found.tree.label() {
        "" => String::new(),
        label => format!(" (it calls itself `{label}`)"),
    };
    Refusal::failed(format!(
        "`{}`{label} is of no installer that Farrier knows. Looked for:\n{}",
        path.display(),
        looked.join("\n")
    ))
    .help("farrier distro add NAME --kernel FILE --initrd FILE, with files taken off the medium")
}

/// What starts the medium is not on it.
fn lacking(medium: &Medium, path: &Path, option: &str, file: &str) -> Refusal {
    let message = format!("{}: {}", medium.title, medium.notes.join("; "));
    Refusal::failed(message).help(format!(
        "farrier distro import {} {option} /path/to/{file}",
        path.display()
    ))
}

fn own(path: &Path, digest: String) -> ArtefactSource {
    ArtefactSource::File {
        path: path.display().to_string(),
        sha256: Some(digest),
    }
}

/// A file of this host, by its name in lower case.
async fn given_file(given: &Path) -> Result<(String, ArtefactSource), Refusal> {
    let at = absolute(given)?;
    let from = at.clone();
    let digest = blocking(move || sha256(&from, &mut |_| true)).await?;
    let digest = digest.map_err(|e| Refusal::failed(crate::model::with_causes(&e)))?;
    let name = at.file_name().unwrap_or_default().to_string_lossy();
    Ok((name.to_lowercase(), own(&at, digest)))
}

fn absolute(path: &Path) -> Result<PathBuf, Refusal> {
    std::fs::canonicalize(path)
        .map_err(|e| Refusal::failed(format!("`{}` cannot be read: {e}", path.display())))
}

async fn measure(session: &Session, path: &Path, size: u64) -> Result<String, Refusal> {
    let bars = Arc::new(Mutex::new(progress::FetchBars::new(&session.printer)));
    let (at, shown) = (path.to_path_buf(), bars.clone());
    let measured = blocking(move || {
        sha256(&at, &mut |done| {
            let progress = FetchProgress {
                artefact: MEDIUM.to_string(),
                done,
                total: Some(size),
                detail: "measuring".to_string(),
            };
            shown
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .show(&progress);
            true
        })
    })
    .await?;
    bars.lock().unwrap_or_else(PoisonError::into_inner).done();
    measured.map_err(|e| Refusal::failed(crate::model::with_causes(&e)))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let task = tokio::task::spawn_blocking(work).await;
    task.map_err(|e| Refusal::failed(e.to_string()))
}
