//! A server that a test tells what to answer: HTTP, and on the same port HTTPS with a certificate of
//! an authority of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use farrier::boot::Scope;
use farrier::render::{Place, Rendered};
use farrier::vault::Authority;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::site::place;

/// What a request was answered with; 0 closes the connection without an answer.
pub(super) type Answer = (u16, String);

/// A server of one test. It remembers every request.
pub(super) struct Server {
    pub(super) address: SocketAddrV4,
    authority: Arc<str>,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    /// `answer` is given the path, the body, and how often this path was asked before. What belongs
    /// to a hand-off is answered over TLS only.
    pub(super) fn start(answer: impl Fn(&str, &str, usize) -> Answer + Send + 'static) -> Server {
        let state = tempfile::tempdir().expect("a folder");
        let authority = Authority::open(state.path()).expect("an authority");
        let now = farrier::model::Timestamp::now();
        let tls = authority
            .server(&[Ipv4Addr::LOCALHOST], now)
            .expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let std::net::SocketAddr::V4(address) = listener.local_addr().expect("an address") else {
            unreachable!("bound to IPv4")
        };
        let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let Some((mut stream, secure)) = wire(stream, &tls) else {
                    continue;
                };
                let Some((path, body)) = request(&mut stream) else {
                    continue;
                };
                let before = {
                    let mut log = log.lock().expect("unpoisoned");
                    let before = log.iter().filter(|(p, _)| *p == path).count();
                    log.push((path.clone(), body.clone()));
                    before
                };
                let handoff = path.starts_with("/h/") || path.ends_with("/handoff");
                let (status, text) = match handoff && !path.contains("progress") && !secure {
                    true => (403, String::new()),
                    false => answer(&path, &body, before),
                };
                if status != 0 {
                    let head = format!(
                        "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        text.len()
                    );
                    // a client that went away is its own business
                    let _ = stream.write_all((head + &text).as_bytes());
                    let _ = stream.flush();
                }
            }
        });
        Server {
            address,
            authority: authority.certificate().clone(),
            seen,
        }
    }

    /// The same with the documents of a machine, rendered for its address, and any artefact.
    pub(super) fn of(
        render: impl FnOnce(&Place) -> Rendered,
        answer: impl Fn(&str, &str, usize) -> Answer + Send + 'static,
    ) -> (Server, Rendered) {
        let documents: Arc<OnceLock<Rendered>> = Arc::default();
        let known = Arc::clone(&documents);
        let server = Server::start(move |path, body, before| {
            if let Some((_, name)) = path.strip_prefix("/b/").and_then(|p| p.split_once('/')) {
                let rendered = known.get().expect("set below");
                return match rendered.documents.get(name) {
                    Some(document) => (200, String::from_utf8_lossy(&document.bytes).into_owned()),
                    None => (404, String::new()),
                };
            }
            if path.starts_with("/a/") {
                return (200, "an artefact".into());
            }
            answer(path, body, before)
        });
        let mut at = place();
        at.server = server.address;
        at.secure = server.address;
        at.authority = Some(server.authority().clone());
        let rendered = render(&at);
        documents.set(rendered.clone()).expect("set once");
        (server, rendered)
    }

    /// The same for a first boot that runs no steps: a hand-off at this server, and an empty bundle.
    /// `answer` gives the status; it is given the last word of the path and how often that was asked before.
    pub(super) fn handing_off(
        render: impl FnOnce(&Place) -> Rendered,
        answer: impl Fn(&str, usize) -> u16 + Send + 'static,
    ) -> (Server, Rendered) {
        let port: Arc<OnceLock<u16>> = Arc::default();
        let known = Arc::clone(&port);
        Server::of(
            |place| {
                port.set(place.server.port()).expect("set once");
                render(place)
            },
            move |path, _, before| {
                let verb = path.rsplit('/').next().unwrap_or("");
                let body = match verb {
                    "handoff" => {
                        let port = known.get().expect("set before anything is asked");
                        format!("handoff=https://127.0.0.1:{port}/h/secret\n")
                    }
                    "bundle" => "#!/bin/sh\n".to_string(),
                    _ => String::new(),
                };
                (answer(verb, before), body)
            },
        )
    }

    /// The last word of each path asked, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        let verb = |path: String| path.rsplit('/').next().unwrap_or("").to_string();
        self.paths().into_iter().map(verb).collect()
    }

    /// The reports that came in, in order: what follows the token.
    pub(super) fn reports(&self) -> Vec<String> {
        let token = format!("/r/{}/", Scope::Report.placeholder());
        let verb = |path: &String| path.strip_prefix(&token).map(str::to_string);
        self.paths().iter().filter_map(verb).collect()
    }

    /// What was told by one verb.
    pub(super) fn told(&self, verb: &str) -> Vec<String> {
        self.bodies(&format!("/r/{}/{verb}", Scope::Report.placeholder()))
    }

    /// The certificate to pin.
    pub(super) fn authority(&self) -> &Arc<str> {
        &self.authority
    }

    pub(super) fn bodies(&self, path: &str) -> Vec<String> {
        let seen = self.seen.lock().expect("unpoisoned");
        seen.iter()
            .filter(|(p, _)| p == path)
            .map(|(_, body)| body.clone())
            .collect()
    }

    /// All that it was ever sent.
    pub(super) fn everything(&self) -> String {
        let seen = self.seen.lock().expect("unpoisoned");
        seen.iter()
            .map(|(path, body)| format!("{path}\n{body}\n"))
            .collect()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("unpoisoned");
        seen.iter().map(|(path, _)| path.clone()).collect()
    }
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A connection, and whether it is over TLS: its first byte says so.
fn wire(stream: TcpStream, tls: &Arc<ServerConfig>) -> Option<(Box<dyn Wire>, bool)> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut first = [0];
    stream.peek(&mut first).ok()?;
    if first[0] != 0x16 {
        return Some((Box::new(stream), false));
    }
    let connection = ServerConnection::new(Arc::clone(tls)).ok()?;
    Some((Box::new(StreamOwned::new(connection, stream)), true))
}

fn request(stream: &mut dyn Read) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let n = stream.read(&mut buffer).ok()?;
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if n == 0 {
                return None;
            }
            continue;
        };
        let length: usize = head
            .lines()
            .filter_map(|l| l.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, v)| v.trim().parse().ok())
            .unwrap_or(0);
        if body.len() >= length || n == 0 {
            let path = head.split(' ').nth(1)?.to_string();
            return Some((path, body.to_string()));
        }
    }
}
