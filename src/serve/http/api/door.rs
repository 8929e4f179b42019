//! The unix socket and its accept loop.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;

use super::credentials::Operator;

/// Connections at once: four hundred people watching, and room to act.
const CONNECTIONS: usize = 512;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long requests under way may go on when the server stops. A held request for events is cut off;
/// whoever holds it asks again.
const DRAIN: Duration = Duration::from_secs(2);
/// Owner and group.
const MODE: u32 = 0o660;

/// Binds the control socket. A socket that nobody listens on any more is replaced; one that answers
/// is a server already running.
///
/// # Errors
/// `AddrInUse` if a server runs there, else what the operating system says.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("a server answers on `{}` already", path.display()),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)?;
        }
        Err(_) => {}
    }
    // Bound under another name and moved into place, so that nobody meets it with a wider mode.
    let hidden = hidden(path);
    if hidden.exists() {
        std::fs::remove_file(&hidden)?;
    }
    let listener = UnixListener::bind(&hidden)?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(MODE))?;
    std::fs::rename(&hidden, path)?;
    Ok(listener)
}

fn hidden(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// The admin plane, open.
#[derive(Debug)]
pub struct Door {
    stop: watch::Sender<bool>,
    accepting: JoinSet<()>,
}

impl Door {
    /// Takes no more connections, lets requests under way finish for a moment, closes.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.accepting.join_next().await.is_some() {}
    }
}

/// Opens the admin plane on a socket that is bound already. The caller's own user may change things,
/// and so may root.
pub fn start(listener: UnixListener, app: Router) -> Door {
    let (stop, stopped) = watch::channel(false);
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(listener, app, stopped));
    Door { stop, accepting }
}

async fn accept(listener: UnixListener, app: Router, stopped: watch::Receiver<bool>) {
    let server = nix::unistd::geteuid().as_raw();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match room.clone().try_acquire_owned() {
                    Ok(place) => {
                        connections.spawn(converse(stream, app.clone(), server, place));
                    }
                    Err(_) => tracing::warn!("a control connection was closed at once: too many are open"),
                },
                Err(error) => {
                    // Out of descriptors, mostly; a short wait keeps the loop from spinning.
                    tracing::warn!(%error, "a control connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
            () = over(stopped.clone()) => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        connections.abort_all();
    }
}

/// Until the door closes (or whoever could close it is gone).
async fn over(mut stopped: watch::Receiver<bool>) {
    let _closed_either_way = stopped.wait_for(|stop| *stop).await.is_ok();
}

async fn converse(stream: UnixStream, app: Router, server: u32, place: OwnedSemaphorePermit) {
    let operator = match stream.peer_cred() {
        Ok(peer) => Operator::new(peer.uid(), server),
        Err(error) => {
            tracing::warn!(%error, "a control connection without credentials was closed");
            return;
        }
    };
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(operator.clone());
        app.clone().call(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a control connection ended early");
    }
    drop(place);
}
