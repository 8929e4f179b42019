//! HTTP as boot firmware and installers speak it: one request, one connection. HTTPS with a pinned
//! authority, as the first-boot unit speaks it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use farrier::cli::demo::rack::RackError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// As they came, one line each, the status line first.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The same if its status is this.
    pub(crate) fn must_be(self, status: u16, what: &str) -> Result<Reply, RackError> {
        if self.status == status {
            return Ok(self);
        }
        Err(RackError::Command {
            command: what.to_string(),
            detail: format!("{}\n{}", self.head, self.text()),
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(super) fn ask(
    url: &str,
    body: Option<&str>,
    authority: Option<&str>,
) -> Result<Reply, RackError> {
    exchange(url, body, authority).map_err(|e| RackError::Command {
        command: format!("GET {url}"),
        detail: e.to_string(),
    })
}

fn exchange(url: &str, body: Option<&str>, authority: Option<&str>) -> std::io::Result<Reply> {
    let bad = |what: &str| std::io::Error::other(what.to_string());
    let secure = url.starts_with("https://");
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = if host.contains(':') {
        host.to_string()
    } else {
        format!("{host}:{}", if secure { 443 } else { 80 })
    }
    .parse()
    .map_err(|_| bad("no address"))?;
    let socket = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream: Box<dyn Stream> = if secure {
        let authority = authority.ok_or_else(|| bad("nothing is pinned"))?;
        Box::new(tls(socket, address.ip(), authority)?)
    } else {
        Box::new(socket)
    };
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut request = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    if let Some(body) = body {
        request.push_str(&format!(
            "Content-Type: text/plain\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    request.push_str("\r\n");
    request.push_str(body.unwrap_or(""));
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .ok_or_else(|| bad("no answer"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).replace("\r\n", "\n");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| bad("no status"))?;
    Ok(Reply {
        status,
        head,
        body: bytes[end + 4..].to_vec(),
    })
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn tls(
    socket: TcpStream,
    server: IpAddr,
    authority: &str,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let wrong = |e: &dyn std::fmt::Display| std::io::Error::other(e.to_string());
    let mut roots = RootCertStore::empty();
    let pinned = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|e| wrong(&e))?;
    roots.add(pinned).map_err(|e| wrong(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::from(server));
    Ok(StreamOwned::new(connection.map_err(|e| wrong(&e))?, socket))
}
