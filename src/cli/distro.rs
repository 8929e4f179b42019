//! `farrier distro`: kernels, initrds and loaders.

use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, Subcommand};

use super::client::{Pairs, segment};
use super::printer::Column;
use super::{Exit, Session, distro_add, distro_import, offline, progress, time};
use crate::artefacts::Shelf;
use crate::inventory;
use crate::model::command::{FetchLine, FetchProgress};
use crate::model::view::{DistroView, LoaderView};
use crate::model::{Code, Refusal};

/// `farrier distro VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum DistroCommand {
    Ls(DistroLs),
    Fetch(DistroFetch),
    Add(distro_add::DistroAdd),
    Import(distro_import::DistroImport),
}

/// List distros and what of them is on this server, and the network boot loaders.
///
/// Of each loader it says where it comes from: this host's packages, a fetched package, or what to do
/// if it is missing. In JSON and names, `loaders` is the last of the list.
#[derive(Debug, Args)]
pub(super) struct DistroLs {
    /// Distros; `loaders` for the network boot loaders
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Fetch what is missing, check its digests, keep it.
///
/// An interrupted fetch goes on where it stopped. `loaders` are the network boot loaders.
#[derive(Debug, Args)]
pub(super) struct DistroFetch {
    /// Distros
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All distros of which something is missing, and the loaders if one is
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Also look for newer versions, and build again what Farrier builds
    #[arg(long)]
    renew: bool,
}

pub(super) const COLUMNS: &[Column<DistroView>] = &[
    Column::new("NAME", |d| d.name.clone()),
    Column::new("PRESENT", |d| format!("{}/{}", d.present, d.declared)),
    Column::new("SIZE", |d| time::bytes(d.size)),
    Column::new("PROFILES", |d| d.profiles.join(",")),
    Column::new("MISSING", |d| d.missing.join(",")),
];

const LOADER_COLUMNS: &[Column<LoaderView>] = &[
    Column::new("LOADER", |l| l.name.clone()),
    Column::new("PROGRAM", |l| l.program.clone()),
    Column::new("FOR", |l| l.firmware.clone()),
    Column::new("STATE", |l| l.state.clone()),
    Column::wide("HTTP", |l| if l.http { "yes" } else { "" }.to_string()),
    Column::new("FROM", |l| l.origin.clone().unwrap_or_default()),
    Column::new("FIX", |l| l.fix.clone().unwrap_or_default()),
];

impl DistroCommand {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        match self {
            DistroCommand::Ls(verb) => verb.run(session).await,
            DistroCommand::Fetch(verb) => verb.run(session).await,
            DistroCommand::Add(verb) => verb.run(session).await,
            DistroCommand::Import(verb) => verb.run(session).await,
        }
    }
}

impl DistroLs {
    async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let mut distros = all(session).await?;
        if !self.names.is_empty() {
            distros = chosen(&self.names, distros)?;
        }
        let lacking = distros.iter().find(|d| !d.missing.is_empty());
        let fix = lacking.map(|d| format!("farrier distro fetch {}", d.name));
        let loaders: Vec<LoaderView> = distros.iter().flat_map(|d| d.loaders.clone()).collect();
        if !session.printer.is_json() && !session.printer.is_name() {
            // they have a table of their own
            distros.retain(|d| d.loaders.is_empty());
        }
        let printer = &session.printer;
        if !distros.is_empty() || loaders.is_empty() {
            let nothing = "no distro is declared; farrier distro add NAME";
            printer.list(&distros, COLUMNS, |d| d.name.clone(), nothing);
        }
        if !printer.is_json() && !printer.is_name() && !loaders.is_empty() {
            if !distros.is_empty() {
                printer.line("");
            }
            printer.list(&loaders, LOADER_COLUMNS, |l| l.name.clone(), "");
        }
        if let Some(fix) = fix {
            printer.talk(&fix);
        }
        Ok(Exit::Done)
    }
}

/// Those that are named.
fn chosen(names: &[String], all: Vec<DistroView>) -> Result<Vec<DistroView>, Refusal> {
    if let Some(unknown) = names.iter().find(|n| !all.iter().any(|d| d.name == **n)) {
        let near = inventory::suggest(unknown, all.iter().map(|d| d.name.as_str()));
        let near: Vec<String> = near.map(str::to_string).into_iter().collect();
        return Err(Refusal::not_found("distro", unknown, &near).help_if_none("farrier distro ls"));
    }
    let named = |d: &DistroView| names.contains(&d.name);
    Ok(all.into_iter().filter(named).collect())
}

impl DistroFetch {
    async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let names = if self.all {
            let distros = all(session).await?;
            let lacking = distros.into_iter().filter(|d| !d.missing.is_empty());
            lacking.map(|d| d.name).collect()
        } else if self.names.is_empty() {
            return Err(Refusal::new(Code::Usage, "no distro is named")
                .help("farrier distro fetch NAME, or --all"));
        } else {
            self.names
        };
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        for name in &names {
            match fetch(session, name, self.renew).await {
                Ok(view) => done.push(view),
                Err(refusal) => refused.push((name, refusal)),
            }
        }
        if refused.is_empty() || !done.is_empty() {
            session
                .printer
                .list(&done, COLUMNS, |d| d.name.clone(), "nothing is missing");
        }
        for view in &done {
            say_unpinned(session, view);
        }
        match refused.as_slice() {
            [] => Ok(Exit::Done),
            [(_, only)] if names.len() == 1 => Err(only.clone()),
            many => Err(some_failed(many, names.len())),
        }
    }
}

/// One refusal for several distros: each is named with its reason.
fn some_failed(refused: &[(&String, Refusal)], all: usize) -> Refusal {
    let each: Vec<String> = refused
        .iter()
        .map(|(name, refusal)| format!("`{name}`: {}", refusal.message))
        .collect();
    let message = format!(
        "{} of {all} distros could not be fetched: {}",
        refused.len(),
        each.join("; ")
    );
    let code = match refused.len() == all {
        true => Code::Failed,
        false => Code::PartlyFailed,
    };
    let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
    Refusal::new(code, message).help(format!("farrier distro fetch {}", names.join(" ")))
}

/// Names the digests of what was believed because it came first, ready to be declared.
pub(super) fn say_unpinned(session: &Session, view: &DistroView) {
    for (name, sha256) in &view.unpinned {
        session.printer.talk(&format!(
            "warning: `{name}` is not pinned; if it is right, add to [artefact.{name}] of \
             boot/{}.toml: sha256 = \"{sha256}\"",
            view.name
        ));
    }
}

/// All distros, and the loaders last: of the server, or as the files and the state directory say.
async fn all(session: &Session) -> Result<Vec<DistroView>, Refusal> {
    if session.has_server().await {
        return session.client.get("/v1/distros", &Pairs::new()).await;
    }
    let site = offline::load(&session.place)?.site;
    let mut views = offline::distros(&site, &session.place);
    views.push(Shelf::open(&session.place.state).loaders_view());
    Ok(views)
}

/// Fetches what one distro lacks, or `renew`s all of it.
pub(super) async fn fetch(
    session: &Session,
    name: &str,
    renew: bool,
) -> Result<DistroView, Refusal> {
    let bars = Arc::new(Mutex::new(progress::FetchBars::new(&session.printer)));
    let show = {
        let bars = bars.clone();
        move |p: FetchProgress| bars.lock().unwrap_or_else(PoisonError::into_inner).show(&p)
    };
    let ended = if session.has_server().await {
        through_server(session, name, renew, show).await
    } else {
        session
            .printer
            .talk("no server runs here; a later one finds what is fetched now");
        offline::fetch(&session.place, name, renew, show).await
    };
    bars.lock().unwrap_or_else(PoisonError::into_inner).done();
    ended
}

async fn through_server(
    session: &Session,
    name: &str,
    renew: bool,
    show: impl Fn(FetchProgress),
) -> Result<DistroView, Refusal> {
    let mut last = None;
    let mut pairs = Pairs::new();
    if renew {
        pairs.push(("renew", "true".to_string()));
    }
    let path = format!("/v1/distros/{}/fetch", segment(name));
    session
        .client
        .lines(&path, &pairs, |line: FetchLine| match line {
            FetchLine::Progress(progress) => show(progress),
            end => last = Some(end),
        })
        .await?;
    match last {
        Some(FetchLine::Done(view)) => Ok(view),
        Some(FetchLine::Failed(refusal)) => Err(refusal),
        _ => Err(Refusal::new(
            Code::Unreachable,
            format!("the server went away while `{name}` was being fetched"),
        )
        .help(format!("farrier distro fetch {name}"))),
    }
}
