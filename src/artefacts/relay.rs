//! Lends a way out: a unix socket in front of a TCP address.
//!
//! A server in a network namespace without a route reaches its upstream mirror through such a
//! socket (`[mirror.NAME] socket = "..."`): file systems are shared where networks are not.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 128;
/// How long the upstream may take to accept.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a connection may last.
const LAST: Duration = Duration::from_secs(3600);

/// A relay at work. It ends, and its socket goes, when this is dropped.
#[derive(Debug)]
pub struct Relay {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Relay {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens on the unix socket `path` (mode 0600; a socket left there is replaced) and copies every
/// connection to `upstream`, a `host:port`, until the relay is dropped. It listens when this returns.
///
/// # Errors
/// The socket cannot be made, or something else than a socket is in its place.
pub fn serve_unix(path: &Path, upstream: impl Into<String>) -> io::Result<Relay> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Relay {
        path: path.to_path_buf(),
        task: tokio::spawn(accept(listener, upstream.into())),
    })
}

async fn accept(listener: UnixListener, upstream: String) {
    let upstream: Arc<str> = upstream.into();
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // dropped with this task: no connection outlives the relay
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // never closed
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let upstream = upstream.clone();
                connections.spawn(async move {
                    let _slot = slot;
                    if let Err(error) = relay(stream, &upstream).await {
                        tracing::debug!(%upstream, %error, "a relayed connection ended");
                    }
                });
            }
            Err(error) => {
                // out of descriptors, most likely: let some be freed
                tracing::warn!(%error, "the relay cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn relay(mut near: UnixStream, upstream: &str) -> io::Result<()> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let connected = tokio::time::timeout(CONNECT, TcpStream::connect(upstream)).await;
    let mut far = connected.map_err(late)??;
    far.set_nodelay(true)?;
    let copied = tokio::io::copy_bidirectional(&mut near, &mut far);
    tokio::time::timeout(LAST, copied).await.map_err(late)??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn bytes_go_both_ways_and_both_ends_are_heard() {
        let echo = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = echo.local_addr().expect("its address").to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
        });
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let first = serve_unix(&path, address.clone()).expect("listens");
        let mut stream = UnixStream::connect(first.path()).await.expect("connected");
        stream.write_all(b"hello").await.expect("sent");
        stream.shutdown().await.expect("closed");
        let mut back = String::new();
        stream.read_to_string(&mut back).await.expect("read");
        assert_eq!(back, "hello");
        drop(first);
        assert!(!path.exists());
        std::fs::write(&path, "not a socket").expect("written");
        assert!(
            serve_unix(&path, address).is_err(),
            "a file is never replaced"
        );
    }

    #[tokio::test]
    async fn an_upstream_that_is_not_there_ends_the_connection() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let _relay = serve_unix(&path, "127.0.0.1:1").expect("listens");
        let mut stream = UnixStream::connect(&path).await.expect("connected");
        let mut back = Vec::new();
        let read = stream.read_to_end(&mut back).await;
        assert_eq!(read.expect("closed"), 0);
    }
}
