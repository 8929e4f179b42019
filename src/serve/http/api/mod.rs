//! The admin plane: JSON over a unix socket, for the command line and whatever else runs on this host.
//!
//! Who may do what follows from the peer's credentials, never from a request: root and the server's
//! own user change things, everyone else who may open the socket reads, save what is for operators only.
//! Handlers are thin: they read a request, call one method of [`Control`], and answer its value or its
//! [`Refusal`](crate::model::Refusal).
//! `docs/json.md` lists every shape.
//!
//! | path | method |
//! |---|---|
//! | `/v1/status` | GET |
//! | `/v1/systems` | GET `?select=&tag=&phase=`, POST a new one |
//! | `/v1/systems/NAME` | GET, PATCH changes, DELETE |
//! | `/v1/systems/NAME/origins` | GET |
//! | `/v1/systems/NAME/render` | GET, operators only |
//! | `/v1/systems/NAME/logs` | GET `?build=&after=&grep=&limit=` |
//! | `/v1/systems/NAME/bundles` | GET |
//! | `/v1/systems/NAME/bundle` | GET `?build=`, bytes, for operators |
//! | `/v1/why/NAME-OR-MAC` | GET `?arch=&stage=` |
//! | `/v1/events` | GET `?after=&since=&limit=&wait=` and a selection |
//! | `/v1/flag`, `/v1/cancel`, `/v1/edit`, `/v1/reload` | POST |
//! | `/v1/rebuild`, `/v1/boot` | POST: `/v1/flag` with its purpose filled in |
//! | `/v1/leases`, `/v1/discovered`, `/v1/distros`, `/v1/revisions` | GET |
//! | `/v1/revisions/REV` | GET, operators only |
//! | `/v1/distros/NAME/fetch` | POST, answers in lines |
//! | `/v1/secrets` | GET, names only |
//! | `/v1/secrets/NAME` | POST a value, DELETE |
//! | `/v1/nodes`, `/v1/nodes/NAME` | GET |
//! | `/v1/puppet/autosign` | POST a request for a certificate; anyone who may open the socket |
//! | `/v1/puppet/report-url` | GET, operators only |
//! | `/v1/metrics` | GET, Prometheus text |

mod agents;
mod answer;
mod bundles;
mod change;
mod credentials;
mod door;
mod events;
mod fetch;
mod metrics;
mod query;
mod read;
mod secrets;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};

pub use credentials::Operator;
pub use door::{Door, listen, start};

use crate::control::Control;

/// A question of Puppet's server that is asked with POST, because it carries a request. What it
/// changes is allowed by the challenge in it and not by who asks.
const AUTOSIGN: &str = "/v1/puppet/autosign";

/// The largest request body: a node set of ten thousand names is a tenth of it.
const MAX_BODY: usize = 1024 * 1024;

/// Every route of the admin plane. Requests must carry an [`Operator`], which [`start`] puts there.
pub fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/v1/status", get(read::status))
        .route("/v1/systems", get(read::systems).post(change::add))
        .route(
            "/v1/systems/{name}",
            get(read::show).patch(change::set).delete(change::remove),
        )
        .route("/v1/systems/{name}/origins", get(read::origins))
        .route("/v1/systems/{name}/render", get(read::render))
        .route("/v1/systems/{name}/logs", get(read::logs))
        .route("/v1/systems/{name}/bundles", get(bundles::list))
        .route("/v1/systems/{name}/bundle", get(bundles::one))
        .route("/v1/why/{subject}", get(read::why))
        .route("/v1/events", get(events::events))
        .route("/v1/flag", post(change::flag))
        .route("/v1/rebuild", post(change::rebuild))
        .route("/v1/boot", post(change::boot))
        .route("/v1/cancel", post(change::cancel))
        .route("/v1/edit", post(change::edit))
        .route("/v1/reload", post(change::reload))
        .route("/v1/leases", get(read::leases))
        .route("/v1/discovered", get(read::discovered))
        .route("/v1/distros", get(read::distros))
        .route("/v1/distros/{name}/fetch", post(fetch::fetch))
        .route("/v1/secrets", get(secrets::list))
        .route(
            "/v1/secrets/{name}",
            post(secrets::set).delete(secrets::remove),
        )
        .route("/v1/revisions", get(read::revisions))
        .route("/v1/revisions/{revision}", get(read::revision))
        .route("/v1/nodes", get(agents::nodes))
        .route("/v1/nodes/{name}", get(agents::node))
        .route(AUTOSIGN, post(agents::autosign))
        .route("/v1/puppet/report-url", get(agents::report_urls))
        .route("/v1/metrics", get(metrics::metrics))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(credentials::guard))
        .with_state(control)
}
