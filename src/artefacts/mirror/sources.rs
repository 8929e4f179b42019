//! The mirrors this host's own apt uses.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What apt on this host is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AptHost {
    sources: Vec<Source>,
    /// `Acquire::http::Proxy`; `DIRECT` is none.
    pub(super) proxy: Option<String>,
}

/// One `deb` source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
}

impl AptHost {
    /// Reads this host's `/etc/apt` and asks `apt-config` for a proxy. A host without apt has none.
    pub(super) fn read() -> AptHost {
        AptHost {
            sources: read_sources(Path::new("/etc/apt")),
            proxy: proxy(),
        }
    }

    /// The base URL for a mirror of this name, without a trailing slash: the source whose path ends
    /// with the name; for Debian's own two also the source of its suites.
    pub(super) fn mirror(&self, name: &str) -> Option<String> {
        let named = |s: &&Source| s.uri.rsplit('/').next() == Some(name);
        let suite = |s: &&Source| match name {
            "debian" => is_debian(&s.suite),
            "debian-security" => {
                let base = s.suite.strip_suffix("-security");
                base.or(s.suite.strip_suffix("/updates"))
                    .is_some_and(is_debian)
            }
            _ => false,
        };
        let mut all = self.sources.iter();
        all.clone()
            .find(named)
            .or_else(|| all.find(suite))
            .map(|s| s.uri.clone())
    }
}

fn is_debian(suite: &str) -> bool {
    let suite = suite
        .trim_end_matches("-updates")
        .trim_end_matches("-backports");
    [
        "buster",
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "duke",
        "sid",
        "oldoldstable",
        "oldstable",
        "stable",
        "testing",
        "unstable",
    ]
    .contains(&suite)
}

fn read_sources(etc: &Path) -> Vec<Source> {
    let mut files = vec![etc.join("sources.list")];
    let parts = fs::read_dir(etc.join("sources.list.d"))
        .into_iter()
        .flatten();
    let mut parts: Vec<_> = parts.flatten().map(|e| e.path()).collect();
    parts.sort();
    files.extend(parts);
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(deb822(&text)),
            _ => {}
        }
    }
    sources
}

/// `deb [options] URI SUITE COMPONENT...` (sources.list(5)).
fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    source(words.next()?, words.next()?)
}

/// Stanzas of `Types:`, `URIs:`, `Suites:` (sources.list(5)).
fn deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in lines.chain([""]) {
        if line.trim().is_empty() {
            sources.extend(stanza_sources(&stanza));
            stanza.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.push((name.trim().to_ascii_lowercase(), value.trim().to_string()));
        }
    }
    sources
}

fn stanza_sources(stanza: &[(String, String)]) -> Vec<Source> {
    let field = |name: &str| {
        let found = stanza.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_str()).unwrap_or_default()
    };
    let off = ["no", "false", "without", "off", "disable"].contains(&field("enabled"));
    if off || !field("types").split_whitespace().any(|t| t == "deb") {
        return Vec::new();
    }
    let mut sources = Vec::new();
    for uri in field("uris").split_whitespace() {
        for suite in field("suites").split_whitespace() {
            sources.extend(source(uri, suite));
        }
    }
    sources
}

/// Only what Farrier can fetch: no cdrom, file or mirror lists, and no password.
fn source(uri: &str, suite: &str) -> Option<Source> {
    let parsed = reqwest::Url::parse(uri).ok()?;
    let fetchable = matches!(parsed.scheme(), "http" | "https") && parsed.username().is_empty();
    fetchable.then(|| Source {
        uri: uri.trim_end_matches('/').to_string(),
        suite: suite.trim_end_matches('/').to_string(),
    })
}

fn proxy() -> Option<String> {
    let output = Command::new("apt-config")
        .args(["shell", "PROXY", "Acquire::http::Proxy"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    proxy_line(&String::from_utf8_lossy(&output.stdout))
}

/// `PROXY='http://proxy:3142'`
fn proxy_line(text: &str) -> Option<String> {
    let value = text.trim().strip_prefix("PROXY='")?.strip_suffix('\'')?;
    (!value.is_empty() && value != "false").then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(list: &str, deb822: &str) -> AptHost {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("sources.list"), list).expect("written");
        let parts = dir.path().join("sources.list.d");
        fs::create_dir(&parts).expect("made");
        fs::write(parts.join("x.sources"), deb822).expect("written");
        fs::write(parts.join("y.sources.disabled"), "garbage").expect("written");
        AptHost {
            sources: read_sources(dir.path()),
            proxy: None,
        }
    }

    #[test]
    fn mirrors_are_found_in_both_formats() {
        let check = |host: &AptHost, name: &str, expected: Option<&str>| {
            assert_eq!(host.mirror(name).as_deref(), expected, "{name}");
        };
        let list = "# deb http://no/debian x y\n\
            deb-src http://src/debian bookworm main\n\
            deb cdrom:[Debian 12]/ bookworm main\n\
            deb mirror+file:/etc/apt/mirrors.list bookworm main\n\
            deb [arch=amd64 signed-by=/k.gpg] https://one.example/debian/ bookworm main # here\n\
            deb http://one.example/debian-security bookworm-security main\n";
        let old = host(list, "");
        check(&old, "debian", Some("https://one.example/debian"));
        let security = Some("http://one.example/debian-security");
        check(&old, "debian-security", security);
        check(&old, "ubuntu", None);
        check(&old, "rocky", None);
        let deb822 = "Types: deb deb-src\nURIs: http://two.example/mirror/deb12\n\
            Suites: bookworm bookworm-updates\n# a comment\nComponents: main\n\
            Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n\n\
            Types: deb\nURIs:\n http://two.example/sec\nSuites: bookworm-security\n\n\
            Enabled: no\nTypes: deb\nURIs: http://off/debian\nSuites: bookworm\n\n\
            Types: deb\nURIs: http://u:p@three.example/debian\nSuites: bookworm\n";
        let new = host("", deb822);
        check(&new, "debian", Some("http://two.example/mirror/deb12"));
        check(&new, "debian-security", Some("http://two.example/sec"));
        let none = host("deb http://packages.example/tool stable-x main", "");
        check(&none, "debian", None);
    }

    #[test]
    fn a_proxy_is_read_as_apt_config_prints_it() {
        let line = |text| proxy_line(text);
        assert_eq!(
            line("PROXY='http://p:3142/'\n").as_deref(),
            Some("http://p:3142/")
        );
        assert_eq!(line("PROXY='DIRECT'\n").as_deref(), Some("DIRECT"));
        for none in ["", "PROXY=''\n", "PROXY='false'", "nonsense"] {
            assert_eq!(line(none), None, "{none}");
        }
    }
}
