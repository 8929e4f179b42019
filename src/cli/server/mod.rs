//! The server's wiring: which doors are opened where, in which order, and how they are closed.

mod doors;
mod keeper;
mod log;
mod mirrors;
mod places;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Place;
use super::printer::Printer;
use crate::control::{Clock, Control, Options};
use crate::inventory::{Watch, WatchTimes};
use crate::model::{Refusal, Timestamp};
use crate::store;

use keeper::Keeper;
use places::{Chosen, choose};

/// How often this host's interfaces and addresses are looked at, and doors tried again that could
/// not be opened.
const LOOK: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
///
/// # Errors
/// If the state directory cannot be used or a door cannot be opened. Wrong files are no reason not
/// to serve: the last good revision is in force, or nobody is answered until they are mended.
pub(super) async fn run(place: &Place, printer: &Printer) -> Result<(), Refusal> {
    log::start(printer.colours_talk());
    // The one TLS provider; a second call could only happen in a test, and changes nothing.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    raise_file_limit();
    let clock: Clock = Arc::new(Timestamp::now);
    let options = Options {
        site: place.site.clone(),
        state: place.state.clone(),
        clock,
    };
    // Before the database is opened: a second server must not so much as bring its schema up to date.
    let _lock = only_server(place)?;
    let control = Control::open(options).await.map_err(|e| {
        let cause = std::error::Error::source(&e)
            .map(|c| format!(": {c}"))
            .unwrap_or_default();
        Refusal::failed(format!("{e}{cause}"))
    })?;
    // What is wrong was logged, and `status` shows it.
    let _refused = control.load().await;
    let rest = tokio::spawn(control.clone().render_rest());
    let errands = tokio::spawn(control.clone().errands());
    let mut keeper = Keeper::open(&control, place).await?;
    let watch = watch(&control, place)?;
    keeper.announce(printer, true);
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "no service manager was told");
    }
    until_told(&control, &mut keeper, printer).await?;
    tracing::info!("stopping");
    rest.abort();
    // What it runs is stopped with it, and begun again at the next start.
    errands.abort();
    drop(watch);
    keeper.close().await;
    Ok(())
}

/// Waits for SIGINT or SIGTERM; SIGHUP reads the files again. Meanwhile the doors follow the site and
/// the host's interfaces.
async fn until_told(
    control: &Arc<Control>,
    keeper: &mut Keeper,
    printer: &Printer,
) -> Result<(), Refusal> {
    let failed = |e: std::io::Error| Refusal::failed(format!("signals cannot be received: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut revised = control.revised();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Ok(()) = revised.changed() => {
                keeper.follow().await;
                keeper.announce(printer, false);
            }
            _ = look.tick() => keeper.follow().await,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => reload(control).await,
        }
    }
}

async fn reload(control: &Arc<Control>) {
    // What is wrong was logged, and `status` shows it.
    let _refused = control.reload("files").await;
}

/// A change is live the moment it is saved.
fn watch(control: &Arc<Control>, place: &Place) -> Result<Watch, Refusal> {
    let watched = control.clone();
    let runtime = tokio::runtime::Handle::current();
    Watch::start(
        &place.site,
        Some(control.site().revision),
        WatchTimes::default(),
        move || {
            runtime.block_on(reload(&watched));
        },
    )
    .map_err(|e| Refusal::failed(format!("the site's files cannot be watched: {e}")))
}

/// Two servers on one state directory would both write.
fn only_server(place: &Place) -> Result<std::fs::File, Refusal> {
    let path = place.state.join("server.lock");
    let failed = |e: std::io::Error| Refusal::failed(format!("`{}`: {e}", path.display()));
    store::home(&place.state).map_err(|e| {
        let problem = format!(
            "the state directory `{}` cannot be made: {e}",
            place.state.display()
        );
        Refusal::failed(problem).help("make it writable, or choose another with `--state`")
    })?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(Refusal::refused(format!(
            "another server uses the state directory `{}`",
            place.state.display()
        ))
        .help("stop it, or choose another directory with `--state`")),
    }
}

/// A rack that is powered on at once needs a file descriptor for each connection and transfer.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}
