//! Who asks, and whether they may change things.

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nix::unistd::{Uid, User};

use super::answer::No;
use crate::model::{Code, Refusal};

/// The process at the other end of the socket, as the kernel says: an extension of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its user.
    pub uid: u32,
    /// It may change things: root, or the server's own user.
    pub may_change: bool,
    /// The user's name as events record it, or `uid 1000`.
    pub name: String,
}

impl Operator {
    /// A peer with this user id, of a server that runs as `server`.
    pub fn new(uid: u32, server: u32) -> Operator {
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Operator {
            uid,
            may_change: uid == 0 || uid == server,
            name: known.map_or_else(|| format!("uid {uid}"), |user| user.name),
        }
    }

    /// Refuses whoever may only read; `what` is what that is kept from.
    pub(super) fn must_operate(&self, what: &str) -> Result<(), Refusal> {
        if self.may_change {
            return Ok(());
        }
        let message = format!("`{}` may not {what}", self.name);
        let refusal = Refusal::new(Code::Forbidden, message);
        Err(refusal.help("run it as root, or as the server's own user"))
    }
}

/// Lets everyone read and operators change. A request without credentials did not come in by the
/// admin plane's own door: nothing is answered.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD)
        || request.uri().path() == super::AUTOSIGN;
    let refusal = match request.extensions().get::<Operator>() {
        None => Refusal::new(Code::Forbidden, "nobody knows who asks"),
        Some(operator) if reads || operator.may_change => return next.run(request).await,
        Some(operator) => Refusal::new(
            Code::Forbidden,
            format!("`{}` may read and not change", operator.name),
        )
        .help("run it as root, or as the server's own user"),
    };
    No(refusal).into_response()
}
