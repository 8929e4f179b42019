//! The accept loop under axum's Router.
//!
//! `axum::serve` offers no switch for any of this. GRUB compares `Content-Length` by case, so header
//! names go out in title case. Without a timer hyper's header timeout never fires, so a client that
//! dribbles would hold its connection for ever. And nothing there bounds connections. The same loop
//! speaks TLS for the hand-off.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::body::LANE;
use super::patience::Patient;
use crate::net::Outlet;

/// What one door bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more are closed at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub per_address: usize,
    /// The same while more than half of all are open: so that machines which fetch much by many
    /// connections leave some for those that only want a boot script.
    pub crowded: usize,
    /// From when a connection could send a request until its head is complete. It covers a
    /// connection kept alive without a request too.
    pub header: Duration,
    /// While there is something to send, at least one byte must leave in this time.
    pub stall: Duration,
    /// How long requests under way may go on when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 4096,
            per_address: 64,
            crowded: 4,
            header: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// Both ends of the connection a request came in on: an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client. Never taken from a header.
    pub remote: SocketAddr,
    /// The address it spoke to.
    pub local: SocketAddr,
}

/// A door that is open.
pub struct Running {
    addresses: Vec<SocketAddr>,
    door: Arc<Door>,
    loops: Vec<Loop>,
}

/// The loop of one listener.
struct Loop {
    stop: watch::Sender<bool>,
    /// Resolves when the listener is closed.
    closed: oneshot::Receiver<()>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Where it listens, in the order the listeners were given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Listens here too, within the same limits. Call it within a tokio runtime.
    ///
    /// # Errors
    /// If the listener does not know its own address.
    pub fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        self.addresses.push(listener.local_addr()?);
        let (stop, stopped) = watch::channel(false);
        let (gone, closed) = oneshot::channel();
        let task = tokio::spawn(self.door.clone().run(listener, stopped, gone));
        self.loops.push(Loop { stop, closed, task });
        Ok(())
    }

    /// Listens here no more; when it returns, the port is free for another door. Connections of this
    /// address go on for as long as [`Limits::drain`], behind the caller's back.
    pub async fn leave(&mut self, address: SocketAddr) {
        while let Some(at) = self.addresses.iter().position(|a| *a == address) {
            self.addresses.remove(at);
            let left = self.loops.remove(at);
            left.stop.send_replace(true);
            // An error is a loop that ended otherwise: its listener is closed as well.
            let _closed_either_way = left.closed.await.is_ok();
        }
    }

    /// Takes no more connections, lets requests under way finish (for as long as
    /// [`Limits::drain`]), closes.
    pub async fn stop(self) {
        for open in &self.loops {
            open.stop.send_replace(true);
        }
        for open in self.loops {
            if open.task.await.is_err() {
                tracing::error!("an HTTP accept loop ended in a panic");
            }
        }
    }
}

/// How a connection speaks TLS: asked for each, so that a renewed certificate needs no restart. None
/// if no certificate can be had; then the connection is closed.
pub type Tls = Arc<dyn Fn() -> Option<Arc<rustls::ServerConfig>> + Send + Sync>;

/// Opens the door on sockets that are bound already. All share the same limits.
///
/// # Errors
/// If a listener does not know its own address.
pub fn start(listeners: Vec<TcpListener>, app: Router, limits: Limits) -> io::Result<Running> {
    begin(listeners, app, limits, None)
}

/// The same over TLS.
///
/// # Errors
/// If a listener does not know its own address.
pub fn start_tls(
    listeners: Vec<TcpListener>,
    app: Router,
    limits: Limits,
    tls: Tls,
) -> io::Result<Running> {
    begin(listeners, app, limits, Some(tls))
}

fn begin(
    listeners: Vec<TcpListener>,
    app: Router,
    limits: Limits,
    tls: Option<Tls>,
) -> io::Result<Running> {
    let mut running = Running {
        addresses: Vec::new(),
        door: Arc::new(Door {
            app,
            limits,
            tls,
            inside: Mutex::default(),
        }),
        loops: Vec::new(),
    };
    for listener in listeners {
        running.listen(listener)?;
    }
    Ok(running)
}

/// Until the door closes (or whoever could close it is gone).
async fn over(mut stopped: watch::Receiver<bool>) {
    let _closed_either_way = stopped.wait_for(|stop| *stop).await.is_ok();
}

struct Door {
    app: Router,
    limits: Limits,
    tls: Option<Tls>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Door {
    async fn run(
        self: Arc<Self>,
        listener: TcpListener,
        stopped: watch::Receiver<bool>,
        gone: oneshot::Sender<()>,
    ) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote)) => {
                        if let Some(place) = self.admit(remote.ip()) {
                            let door = self.clone();
                            let stopped = stopped.clone();
                            connections.spawn(async move {
                                door.connection(stream, remote, stopped).await;
                                drop(place);
                            });
                        } else {
                            tracing::warn!(client.address = %remote, "a connection was closed at once: too many are open");
                        }
                    }
                    Err(error) => {
                        // Out of descriptors, mostly: others end meanwhile. A short wait keeps the
                        // loop from spinning.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                },
                Some(_ended) = connections.join_next() => {}
                () = over(stopped.clone()) => break,
            }
        }
        drop(listener);
        // Nobody waits for it when the whole door stops.
        let _heard = gone.send(()).is_ok();
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.drain, drained)
            .await
            .is_err()
        {
            tracing::warn!("requests under way were cut off: the door closes");
        }
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let here = inside.by_address.get(&address).copied().unwrap_or(0);
        let most = match inside.all >= self.limits.connections.div_ceil(2) {
            true => self.limits.crowded.min(self.limits.per_address),
            false => self.limits.per_address,
        };
        if inside.all >= self.limits.connections || here >= most {
            return None;
        }
        inside.all += 1;
        inside.by_address.insert(address, here + 1);
        Some(Place {
            door: self.clone(),
            address,
        })
    }

    async fn connection(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        stopped: watch::Receiver<bool>,
    ) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // Without it a small answer waits for the ACK of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let peer = Peer { remote, local };
        let Some(tls) = &self.tls else {
            let stream = Outlet::new(stream);
            let lane = stream.lane();
            let stream = Patient::new(stream, self.limits.stall);
            return LANE.scope(lane, self.converse(stream, peer, stopped)).await;
        };
        let stream = Patient::new(stream, self.limits.stall);
        let Some(config) = tls() else {
            return;
        };
        let handshake = TlsAcceptor::from(config).accept(stream);
        match tokio::time::timeout(self.limits.header, handshake).await {
            Ok(Ok(stream)) => self.converse(stream, peer, stopped).await,
            // A client that does not trust the certificate says so here.
            Ok(Err(error)) => {
                tracing::info!(client.address = %remote, %error, "a TLS handshake failed");
            }
            Err(_) => tracing::debug!(client.address = %remote, "a TLS handshake took too long"),
        }
    }

    async fn converse<S>(&self, stream: S, peer: Peer, stopped: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let app = self.app.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            app.clone().call(request)
        });
        let io = TokioIo::new(stream);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header)
            .title_case_headers(true)
            // Clients that shut their side once they have asked (`nc -N`) wait for the answer all the
            // same. One that is gone for good is noticed when there is something to send to it.
            .half_close(true)
            .max_buf_size(64 * 1024)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = over(stopped) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(client.address = %peer.remote, %error, "a connection ended early");
        }
    }
}

/// A connection's place within the limits.
struct Place {
    door: Arc<Door>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self
            .door
            .inside
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        inside.all = inside.all.saturating_sub(1);
        if let Some(here) = inside.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}
