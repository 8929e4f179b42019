//! The HTTP client behind downloads and the mirror cache.

use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a transfer may stand still.
const STALL: Duration = Duration::from_secs(60);
/// How many redirects are followed.
const REDIRECTS: usize = 8;

/// What sets one client apart from the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wiring {
    /// Connect here instead of to the URL's host.
    pub(super) socket: Option<String>,
    /// This proxy instead of the environment's; `Some("DIRECT")` is none at all (apt's word).
    pub(super) proxy: Option<String>,
    /// A redirect from https to http is followed: the bytes are vouched for by other means.
    pub(super) downgrade: bool,
    /// A redirect to a path that ends with a slash is not followed: it leads to a listing.
    pub(super) no_listing: bool,
}

/// Makes a client. The process's TLS provider is set to ring unless it is set already.
pub(super) fn client(wiring: &Wiring) -> reqwest::Result<reqwest::Client> {
    // Fails only if one is set already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match builder(wiring)?.build() {
        // A host that knows no certificate authority would have no client at all, not even for
        // plain HTTP (rustls-platform-verifier 0.7).
        Err(error) if error.is_builder() => {
            let client = builder(wiring)?.tls_certs_only([]).build()?;
            tracing::warn!(
                why = reason(&error),
                "nothing can be fetched by https; apt-get install ca-certificates, and begin again"
            );
            Ok(client)
        }
        built => built,
    }
}

fn builder(wiring: &Wiring) -> reqwest::Result<reqwest::ClientBuilder> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("farrier/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(STALL)
        .referer(false)
        .redirect(policy(wiring.downgrade, wiring.no_listing));
    if let Some(socket) = &wiring.socket {
        builder = builder.unix_socket(std::path::PathBuf::from(socket));
    }
    match wiring.proxy.as_deref() {
        Some("DIRECT") => builder = builder.no_proxy(),
        Some(proxy) => builder = builder.no_proxy().proxy(reqwest::Proxy::all(proxy)?),
        None => {}
    }
    Ok(builder)
}

fn policy(downgrade: bool, no_listing: bool) -> Policy {
    Policy::custom(move |attempt: Attempt<'_>| {
        let to = attempt.url();
        let from_tls = attempt
            .previous()
            .last()
            .is_some_and(|u| u.scheme() == "https");
        if !matches!(to.scheme(), "http" | "https") {
            attempt.stop()
        } else if from_tls && to.scheme() == "http" && !downgrade {
            attempt.error("it redirects from https to http, and no `sha256` is declared")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("it redirects too often")
        } else if no_listing && to.path().ends_with('/') {
            attempt.stop()
        } else {
            attempt.follow()
        }
    })
}

/// An error with its causes in one sentence: reqwest keeps the reason in the last of them.
pub(super) fn reason(error: &reqwest::Error) -> String {
    use std::error::Error;
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let last = last.to_string();
    if error.is_timeout() {
        "the server stopped answering".to_string()
    } else if last.contains("UnknownIssuer") {
        "its certificate is of no authority that this host knows (its package is ca-certificates)"
            .to_string()
    } else if error.is_connect() {
        format!("cannot connect: {last}")
    } else {
        last
    }
}
