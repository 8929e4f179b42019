//! The text log: for whoever runs the server. A machine's biography is in its events.

use tracing_subscriber::EnvFilter;

/// Sends the log to stderr, with colours if that is a terminal that has them; `FARRIER_LOG` filters it (`info`, `debug`, `farrier::serve=trace`).
pub(super) fn start(coloured: bool) {
    let filter = EnvFilter::try_from_env("FARRIER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(coloured)
        .with_target(false)
        .try_init();
    if let Err(error) = started {
        // Only a test that runs two servers in one process gets here.
        tracing::debug!(%error, "a log is there already");
    }
}
