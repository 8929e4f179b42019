//! A request of the machine plane: who asks, for what, and which file answers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;

use super::accept::Peer;
use super::mirror::Mirrors;
use super::{artefact, boot_script, document, handoff, mirror, own, puppet, reply, report, tree};
use crate::boot::paths::{HttpPath, Urls, install_conf, own_path, parse_http};
use crate::lifecycle::log::clean;
use crate::model::event::printable;
use crate::model::{Door, MacAddr, ProfileKind};
use crate::serve::{Hot, Waist};

/// What the machine plane's handlers share.
pub struct MachinePlane {
    /// Whom they ask and tell.
    pub waist: Arc<dyn Waist>,
    /// Boot artefacts in memory.
    pub hot: Arc<Hot>,
    /// Caches of distribution mirrors.
    pub mirrors: Arc<dyn Mirrors>,
}

impl fmt::Debug for MachinePlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachinePlane").finish_non_exhaustive()
    }
}

/// The machine plane's routes but those of the hand-off. There is one: `boot::paths` is the table of
/// paths.
pub fn router(plane: Arc<MachinePlane>) -> Router {
    Router::new()
        .fallback(serve)
        .with_state((plane, Speech::Plain))
}

/// What is spoken over TLS: the hand-off, and the question where it is.
pub fn handoff_router(plane: Arc<MachinePlane>) -> Router {
    Router::new()
        .fallback(serve)
        .with_state((plane, Speech::Secure))
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// Anyone on the network may have read it.
    Plain,
    /// Over TLS.
    Secure,
}

/// Who asks, and how.
#[derive(Debug)]
pub(super) struct Asked {
    /// The client's address. Headers that claim another are not read.
    pub(super) from: Ipv4Addr,
    /// The holder of that address.
    pub(super) mac: Option<MacAddr>,
    /// URLs as it reaches this server.
    pub(super) urls: Urls,
    pub(super) method: Method,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) speech: Speech,
}

impl Asked {
    /// GET or HEAD.
    pub(super) fn reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// HEAD: nothing may happen because of it.
    pub(super) fn looks_only(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The length that the body is announced to have.
    pub(super) fn announces(&self) -> Option<u64> {
        let length = self.headers.get(axum::http::header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }

    /// A value of the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|p| p.split_once('='));
        pairs.into_iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

/// An answer and the line that tells of it.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Which machine it concerned, if it is not simply the holder of the address.
    pub(super) mac: Option<MacAddr>,
    /// More for `farrier why` than path and status.
    pub(super) remark: Option<String>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Answer {
            response,
            mac: None,
            remark: None,
        }
    }
}

impl Answer {
    pub(super) fn remark(response: Response, remark: impl Into<String>) -> Self {
        Answer {
            response,
            mac: None,
            remark: Some(remark.into()),
        }
    }
}

async fn serve(
    State((plane, speech)): State<(Arc<MachinePlane>, Speech)>,
    request: Request,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let Some((from, local)) =
        peer.and_then(|p| Some((v4(p.remote.ip())?, (v4(p.local.ip())?, p.local.port()))))
    else {
        return reply::not_found();
    };
    let (parts, body) = request.into_parts();
    let asked = Asked {
        from,
        mac: plane.waist.holder(from),
        urls: plane.waist.urls(from, local.0, local.1),
        method: parts.method,
        query: parts.uri.query().unwrap_or("").to_string(),
        headers: parts.headers,
        speech,
    };
    let path = parse_http(&collapse(parts.uri.path()));
    let shown = path
        .as_ref()
        .map_or_else(|| unknown(parts.uri.path()), shown);
    // An installer fetches hundreds of packages: of what it gets, what is noted with its build tells,
    // and its other steps stay in sight.
    let many = matches!(path, Some(HttpPath::Mirror { .. } | HttpPath::Tree { .. }));
    let answer = match path {
        Some(path) => dispatch(&plane, &asked, path, body).await,
        None => reply::not_found().into(),
    };
    let status = answer.response.status();
    let failed = status.is_client_error() || status.is_server_error();
    log(&plane, &asked, &shown, &answer, failed || !many);
    answer.response
}

async fn dispatch(plane: &MachinePlane, asked: &Asked, path: HttpPath, body: Body) -> Answer {
    let handoff = match &path {
        HttpPath::Handoff { .. } => true,
        // The installer's question where it is comes by either, and is answered over TLS.
        HttpPath::Report { verb, .. } => verb == "handoff" && asked.speech == Speech::Secure,
        // From this host it may come by either.
        HttpPath::PuppetReport { .. } => asked.speech == Speech::Secure,
        _ => false,
    };
    if handoff != (asked.speech == Speech::Secure) {
        return reply::not_found().into();
    }
    let posts = matches!(
        path,
        HttpPath::Report { .. }
            | HttpPath::Handoff { .. }
            | HttpPath::PuppetReport { .. }
            | HttpPath::Mine(_)
    );
    if !posts && !asked.reads() {
        return reply::wrong_method("GET, HEAD").into();
    }
    match path {
        HttpPath::Ipxe(mac) => boot_script::ipxe(plane, asked, mac).await,
        HttpPath::Autoexec => boot_script::autoexec(asked),
        HttpPath::GrubGeneric => boot_script::grub_generic(asked),
        HttpPath::Grub(mac) => boot_script::grub(plane, asked, mac).await,
        HttpPath::Loader(name) => artefact::loader(plane, asked, &name).await,
        HttpPath::Artefact { id, digest } => artefact::artefact(plane, asked, &id, &digest).await,
        HttpPath::Zeros(count) => artefact::zeros(asked, count),
        HttpPath::Tree { id, digest, path } => tree::tree(plane, asked, &id, &digest, &path).await,
        HttpPath::Document { token, name } => document::document(plane, asked, &token, &name).await,
        HttpPath::Report { token, verb, stage } => {
            report::report(plane, asked, &token, &verb, stage.as_deref(), body).await
        }
        HttpPath::Handoff { token, verb } => {
            handoff::handoff(plane, asked, &token, &verb, body).await
        }
        HttpPath::Mine(name) => match claimed(asked, body).await {
            Ok(claimed) => document::mine(plane, asked, &name, &claimed).await,
            Err(response) => response.into(),
        },
        HttpPath::InstallConf(mac) => {
            let name = ProfileKind::Openbsd.permitting_answer().unwrap_or_default();
            document::mine(plane, asked, name, &[mac]).await
        }
        HttpPath::Own(path) => own::own(plane, asked, &path).await,
        HttpPath::PuppetReport { token } => puppet::report(plane, asked, &token, body).await,
        HttpPath::Mirror { name, path } => mirror::mirror(plane, asked, &name, &path).await,
    }
}

/// The hardware addresses in what an installer posts of itself. Proxmox's sends JSON with all of its
/// interfaces (`network_interfaces[].mac`); whoever posts must give at least one.
async fn claimed(asked: &Asked, body: Body) -> Result<Vec<MacAddr>, Response> {
    if asked.reads() {
        return Ok(Vec::new());
    }
    if asked.method != Method::POST {
        return Err(reply::wrong_method("GET, HEAD, POST"));
    }
    let said = report::read(asked, body).await?;
    let macs = serde_json::from_str(&said).map(|said| macs_in(&said, 0));
    match macs {
        Ok(macs) if !macs.is_empty() => Ok(macs),
        _ => Err(reply::text(
            StatusCode::BAD_REQUEST,
            "post JSON with the hardware addresses of the machine\n",
        )),
    }
}

/// Every `mac` in a JSON value, to a depth that no installer exceeds.
fn macs_in(value: &serde_json::Value, depth: usize) -> Vec<MacAddr> {
    use serde_json::Value;
    if depth > 8 {
        return Vec::new();
    }
    match value {
        Value::Array(all) => all.iter().flat_map(|v| macs_in(v, depth + 1)).collect(),
        Value::Object(all) => all
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("mac", Value::String(text)) => text.parse().into_iter().collect(),
                (_, value) => macs_in(value, depth + 1),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address.to_canonical() {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

/// `//` becomes `/`: firmware joins URLs carelessly, and a redirect would stop it.
fn collapse(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if !(c == '/' && out.ends_with('/')) {
            out.push(c);
        }
    }
    out
}

/// A path without its token.
fn shown(path: &HttpPath) -> String {
    match path {
        HttpPath::Ipxe(mac) => format!("/ipxe/{}", mac.dashed()),
        HttpPath::Autoexec => "/autoexec.ipxe".to_string(),
        HttpPath::GrubGeneric => "/grub/grub.cfg".to_string(),
        HttpPath::Grub(mac) => format!("/grub/grub.cfg-01-{}", mac.dashed()),
        HttpPath::Loader(name) => format!("/loader/{name}"),
        HttpPath::Artefact { id, digest } => format!("/a/{digest}/{}/{}", id.distro, id.name),
        HttpPath::Zeros(count) => format!("/zeros/{count}"),
        HttpPath::Tree { id, digest, path } => {
            let path = printable(path, 160);
            format!("/t/{digest}/{}/{}/{path}", id.distro, id.name)
        }
        HttpPath::Document { name, .. } => format!("/b/../{name}"),
        HttpPath::Report { verb, stage, .. } => match stage {
            Some(stage) => format!("/r/../{verb}/{stage}"),
            None => format!("/r/../{verb}"),
        },
        HttpPath::Handoff { verb, .. } => format!("/h/../{verb}"),
        HttpPath::Mine(name) => format!("/mine/{name}"),
        HttpPath::InstallConf(mac) => install_conf(*mac),
        HttpPath::Own(path) => format!("/{}", own_path(path)),
        HttpPath::PuppetReport { .. } => "/puppet/../report".to_string(),
        HttpPath::Mirror { name, path } => format!("/mirror/{name}/{}", printable(path, 160)),
    }
}

/// A path that is none: it may hold a token all the same.
fn unknown(path: &str) -> String {
    let head = path.trim_start_matches('/').split('/').next().unwrap_or("");
    match head {
        "b" | "r" | "h" | "puppet" => format!("/{head}/.."),
        _ => printable(path, 80),
    }
}

/// Writes a request to the log, and what is a step of the conversation to the machine's ring.
fn log(plane: &MachinePlane, asked: &Asked, shown: &str, answer: &Answer, is_step: bool) {
    let status = answer.response.status();
    let remark = answer.remark.as_deref().unwrap_or("");
    let colon = if remark.is_empty() { "" } else { ": " };
    let line = clean(&format!(
        "{} {shown}: {}{colon}{remark}",
        asked.method,
        status.as_u16()
    ));
    if status.is_client_error() || status.is_server_error() {
        tracing::info!(client.address = %asked.from, "{line}");
    } else {
        tracing::debug!(client.address = %asked.from, "{line}");
    }
    // A wrong method or an unknown path of an unknown machine is not worth a ring of its own.
    let known = status != StatusCode::NOT_FOUND || asked.mac.is_some();
    if let (Some(mac), true) = (answer.mac.or(asked.mac), known && is_step) {
        plane.waist.observe(mac, Door::Http, line);
    }
}
