//! HTTP as boot firmware and installers speak it: one request, one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use farrier::cli::demo::rack::RackError;

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

pub(super) fn ask(url: &str, body: Option<&str>) -> Result<Reply, RackError> {
    exchange(url, body).map_err(|e| RackError::Command {
        command: format!("GET {url}"),
        detail: e.to_string(),
    })
}

fn exchange(url: &str, body: Option<&str>) -> std::io::Result<Reply> {
    let bad = |what: &str| std::io::Error::other(what.to_string());
    let rest = url.strip_prefix("http://").ok_or_else(|| bad("not http"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = if host.contains(':') {
        host.to_string()
    } else {
        format!("{host}:80")
    }
    .parse()
    .map_err(|_| bad("no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
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
