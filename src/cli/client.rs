//! HTTP/1 over the control socket.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::model::{Code, Refusal, Selection};

/// Asks the server of this site. Each request is its own connection: they are cheap on a unix socket,
/// and a server that restarted in between is met again.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Parts of a query, encoded by [`Client`].
pub(super) type Pairs = Vec<(&'static str, String)>;

/// A selection as the admin plane's list and event routes read it.
pub(super) fn pairs(selection: &Selection) -> Pairs {
    let selectors = selection.selectors.iter().map(|s| ("select", s.clone()));
    let tags = selection.tags.iter().map(|t| ("tag", t.clone()));
    let phases = selection.phases.iter().map(|p| ("phase", p.to_string()));
    selectors.chain(tags).chain(phases).collect()
}

impl Client {
    /// A client of the server whose control socket this is.
    pub fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    /// Whether something accepts on the socket (or would, if this user might open it).
    pub(super) async fn is_up(&self) -> bool {
        match UnixStream::connect(&self.socket).await {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }

    /// Reads one thing.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        pairs: &Pairs,
    ) -> Result<T, Refusal> {
        let response = self.send(Method::GET, path, pairs, Bytes::new()).await?;
        self.value(response).await
    }

    /// Reads bytes, and what their file is called.
    pub(super) async fn bytes(
        &self,
        path: &str,
        pairs: &Pairs,
    ) -> Result<(String, Bytes), Refusal> {
        let response = self.send(Method::GET, path, pairs, Bytes::new()).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let name = response.headers().get("Farrier-File");
        let name = name.and_then(|n| n.to_str().ok()).unwrap_or("").to_string();
        let body = response.into_body().collect().await;
        Ok((name, body.map_err(|_| self.gone())?.to_bytes()))
    }

    /// Asks for a change.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Refusal> {
        let body = serde_json::to_vec(body)
            .map_err(|e| Refusal::failed(format!("the request cannot be written: {e}")))?;
        let response = self
            .send(Method::POST, path, &Pairs::new(), body.into())
            .await?;
        self.value(response).await
    }

    /// Removes one thing.
    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let none = Pairs::new();
        let response = self.send(Method::DELETE, path, &none, Bytes::new()).await?;
        self.value(response).await
    }

    /// Asks for something that answers in lines, one JSON value each; `each` is called as they come.
    pub(super) async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        pairs: &Pairs,
        mut each: impl FnMut(T),
    ) -> Result<(), Refusal> {
        let mut response = self.send(Method::POST, path, pairs, Bytes::new()).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let mut pending = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|_| self.gone())?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            pending.extend_from_slice(data);
            while let Some(end) = pending.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                each(serde_json::from_slice(&line).map_err(|e| strange(&e))?);
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        pairs: &Pairs,
        body: Bytes,
    ) -> Result<Response<Incoming>, Refusal> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| self.gone())?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target(path, pairs)?)
            .header("Host", "farrier")
            .header("Content-Type", "application/json")
            .body(Full::new(body))
            .map_err(|e| Refusal::failed(format!("the request cannot be written: {e}")))?;
        sender.send_request(request).await.map_err(|_| self.gone())
    }

    async fn value<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, Refusal> {
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let body = response.into_body().collect().await;
        let body = body.map_err(|_| self.gone())?.to_bytes();
        serde_json::from_slice(&body).map_err(|e| strange(&e))
    }

    async fn refusal(&self, response: Response<Incoming>) -> Refusal {
        let status = response.status();
        let body = match response.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return self.gone(),
        };
        serde_json::from_slice(&body)
            .unwrap_or_else(|_| Refusal::failed(format!("the server answers {status}")))
    }

    fn unreachable(&self, error: &std::io::Error) -> Refusal {
        let socket = self.socket.display();
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Refusal::new(
                Code::Forbidden,
                format!("this user may not open the control socket `{socket}`"),
            )
            .help("run it as root, or as a member of the socket's group"),
            _ => Refusal::new(
                Code::Unreachable,
                format!("no server answers on `{socket}`"),
            )
            .help("start one with `farrier serve`, or name its site with `--site DIR`"),
        }
    }

    fn gone(&self) -> Refusal {
        Refusal::new(
            Code::Unreachable,
            format!("the server on `{}` went away", self.socket.display()),
        )
        .help("farrier status")
    }
}

fn strange(error: &serde_json::Error) -> Refusal {
    Refusal::failed(format!(
        "the server's answer cannot be read: {error}; is it of another version?"
    ))
    .help("farrier status")
}

/// Path and query, percent-encoded.
fn target(path: &str, pairs: &Pairs) -> Result<String, Refusal> {
    let wrong = |e: String| Refusal::new(Code::Usage, format!("`{path}` is no path: {e}"));
    let base = format!("http://farrier{path}");
    let url = if pairs.is_empty() {
        reqwest::Url::parse(&base)
    } else {
        reqwest::Url::parse_with_params(&base, pairs)
    }
    .map_err(|e| wrong(e.to_string()))?;
    Ok(match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_string(),
    })
}

/// One segment of a path: what could end it or be folded away is encoded.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b':' => {
                out.push(char::from(byte));
            }
            b'.' if !matches!(text, "." | "..") => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stays_one_segment() {
        for (text, want) in [
            ("web01", "web01"),
            ("db-1.lab", "db-1.lab"),
            ("../x", "..%2Fx"),
            ("..", "%2E%2E"),
            ("a b?c#d", "a%20b%3Fc%23d"),
        ] {
            assert_eq!(segment(text), want);
        }
    }

    #[test]
    fn a_selection_becomes_a_query() {
        let selection = Selection {
            selectors: vec!["web[01-20]".to_string(), "db*".to_string()],
            tags: vec!["a&b".to_string()],
            phases: vec![crate::model::Phase::Failed],
        };
        let target = target("/v1/systems", &pairs(&selection)).expect("a target");
        assert_eq!(
            target,
            "/v1/systems?select=web%5B01-20%5D&select=db*&tag=a%26b&phase=failed"
        );
    }

    #[tokio::test]
    async fn no_server_is_said_with_the_fix() {
        let client = Client::new(PathBuf::from("/nonexistent/control.sock"));
        let refusal = client
            .get::<serde_json::Value>("/v1/status", &Pairs::new())
            .await
            .expect_err("nothing listens there");
        assert_eq!(refusal.code, Code::Unreachable);
        assert!(refusal.help.is_some());
    }
}
