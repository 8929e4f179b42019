//! What a site has outside of Farrier: somebody who answers for names, and a mirror of packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use farrier::cli::demo::rack::{Process, Rack, RackError, SERVER, ServerSettings, Upstream};

/// Somebody who answers for these names: all are the rack's server.
pub(crate) fn names(rack: &Rack, names: &[&str]) -> Result<Process, RackError> {
    let mut command = rack.namespace().command("dnsmasq");
    command
        .args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ])
        .args([
            "--bind-interfaces",
            "--interface=br0",
            "--except-interface=lo",
        ]);
    for name in names {
        command.arg(format!("--host-record={name},{SERVER}"));
    }
    let log = rack.dir().join("names.log");
    Process::start("dnsmasq", &mut command, &log, false)
}

/// Packages come from this host's mirror, through Farrier's cache.
pub(crate) fn mirrored(rack: &Rack, settings: &ServerSettings) -> Result<(), RackError> {
    let upstream = Upstream::start(&rack.dir().join("mirror"), &mirror().host)?;
    behind(settings, upstream.path())
}

/// Farrier's cache of Debian asks at this socket.
pub(crate) fn behind(settings: &ServerSettings, socket: &Path) -> Result<(), RackError> {
    let file = settings.site.join("farrier.toml");
    let text = fs::read_to_string(&file).map_err(RackError::file(&file))?;
    let mut text = format!("{text}[mirror.debian]\nsocket = {socket:?}\n");
    // a boot tree that is built here knows the security archive that this host knows
    if mirror().security {
        text += &format!("[mirror.debian-security]\nsocket = {socket:?}\n");
    }
    fs::write(&file, text).map_err(RackError::file(&file))
}

/// Where this host's own apt gets Debian from.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    /// Without a slash at its end.
    pub(crate) url: String,
    /// Host and port.
    pub(crate) host: String,
    /// The path of `url`.
    pub(crate) path: String,
    /// The security archive is on the same host.
    pub(crate) security: bool,
}

/// As apt says it.
pub(crate) fn mirror() -> Mirror {
    let said = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(ORIGIN)",
            "Created-By: Packages",
        ])
        .output()
        .expect("apt");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let all = || {
        let debian = text.lines().filter_map(|l| l.strip_suffix(" Debian"));
        debian.filter_map(|l| l.split_once(' '))
    };
    let (url, _) = all().next().expect("a mirror of Debian");
    let url = url.trim_end_matches('/');
    let (host, path) = host_of(url);
    Mirror {
        url: url.to_string(),
        path: format!("/{path}"),
        security: all().any(|(url, suite)| suite.ends_with("-security") && host_of(url).0 == host),
        host,
    }
}

/// Host and port of a URL, and what follows the slash.
fn host_of(url: &str) -> (String, &str) {
    let (port, rest) = match url.strip_prefix("http://") {
        Some(rest) => (80, rest),
        None => (443, url.trim_start_matches("https://")),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    match host.contains(':') {
        true => (host.to_string(), path),
        false => (format!("{host}:{port}"), path),
    }
}
