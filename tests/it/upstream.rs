//! A web server that misbehaves on command: each request is answered by a script of raw bytes,
//! pauses and cuts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What came in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_str())
    }

    /// The first byte of `Range: bytes=N-`.
    pub(crate) fn from(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split('-').next()?.parse().ok()
    }
}

/// One step of an answer.
#[derive(Clone)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Goes on when the test says so.
    Wait(Arc<Notify>),
}

pub(crate) type Script = Vec<Act>;

/// A whole, well-formed answer.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Script {
    answer_claiming(status, headers, body.len(), body)
}

/// So many MiB, of which nobody is told how many they are.
pub(crate) fn chunked(mib: usize) -> Script {
    const MIB: usize = 1 << 20;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let mut script = vec![Act::Send(head.as_bytes().to_vec())];
    for _ in 0..mib {
        let mut chunk = format!("{MIB:x}\r\n").into_bytes();
        chunk.resize(chunk.len() + MIB, 7);
        chunk.extend(b"\r\n");
        script.push(Act::Send(chunk));
    }
    script.push(Act::Send(b"0\r\n\r\n".to_vec()));
    script
}

/// An answer that claims another length than it has; the connection is closed after it.
pub(crate) fn answer_claiming(
    status: &str,
    headers: &[(&str, &str)],
    length: usize,
    body: &[u8],
) -> Script {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    bytes.extend(b"Connection: close\r\n\r\n");
    bytes.extend(body);
    vec![Act::Send(bytes)]
}

/// The server; it ends with the test.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub(crate) async fn start(
        handler: impl Fn(&Asked) -> Script + Send + Sync + 'static,
    ) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let handler = Arc::new(handler);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, log) = (handler.clone(), log.clone());
                tokio::spawn(serve(stream, handler, log));
            }
        });
        Upstream {
            address,
            asked,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// How often this path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|a| a.path == path).count()
    }
}

async fn serve<H: Fn(&Asked) -> Script + Send + Sync + 'static>(
    mut stream: TcpStream,
    handler: Arc<H>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0u8];
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let asked = Asked {
        method: words.next().unwrap_or_default().into(),
        path: words.next().unwrap_or_default().into(),
        headers: lines
            .filter_map(|l| l.split_once(": "))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.to_string()))
            .collect(),
    };
    let script = handler(&asked);
    log.lock().expect("no panic").push(asked);
    for act in script {
        match act {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::Wait(notify) => notify.notified().await,
        }
    }
    let _ = stream.shutdown().await;
}
