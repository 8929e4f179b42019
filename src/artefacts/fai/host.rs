//! What this host brings along: the programs, its release, its mirror.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::super::error::ArtefactError;
use super::failed;

/// Programs and the packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("fai-make-nfsroot", "fai-server"),
    ("mmdebstrap", "mmdebstrap"),
    ("mksquashfs", "squashfs-tools"),
    ("zstd", "zstd"),
    ("unshare", "util-linux"),
    ("apt-get", "apt"),
];

/// Where programs of root are.
const PATH: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The key of Debian's archive, as its own sources name it.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What was found.
#[derive(Debug)]
pub(super) struct Host {
    /// The code name of this host's Debian, which is also what is installed.
    pub(super) release: String,
    /// Its sources of that release, one line each.
    pub(super) sources: String,
    /// The proxy that apt uses for http, if one is configured.
    pub(super) proxy: Option<String>,
}

impl Host {
    /// Looks whether this host can build, and from where.
    pub(super) async fn ask() -> Result<Host, ArtefactError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(failed("it must run as root, to make a root file system"));
        }
        let missing: Vec<&str> = PROGRAMS
            .iter()
            .filter(|(program, _)| !PATH.iter().any(|d| Path::new(d).join(program).exists()))
            .map(|(_, package)| *package)
            .collect();
        if !missing.is_empty() {
            return Err(failed(format!(
                "this host lacks what builds it; run `apt-get install --no-install-recommends {}`",
                missing.join(" ")
            )));
        }
        let os = fs::read_to_string("/etc/os-release")
            .map_err(ArtefactError::file("read", Path::new("/etc/os-release")))?;
        let Some(release) = release(&os) else {
            return Err(failed(
                "it needs a Debian host, whose release it installs; declare the artefacts by `url` or `file` instead",
            ));
        };
        if !Path::new("/etc/timezone").exists() {
            return Err(failed(
                "`fai-make-nfsroot` wants /etc/timezone; run `echo Etc/UTC >/etc/timezone`",
            ));
        }
        let format = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN) $(TRUSTED)";
        let targets = say(
            "apt-get",
            &["indextargets", "--format", format, "Created-By: Packages"],
        )
        .await?;
        let sources = sources(&targets, &release);
        if sources.is_empty() {
            return Err(failed(format!(
                "apt has no signed source of Debian's `{release}`; run `apt-get update`, or add one to /etc/apt/sources.list.d"
            )));
        }
        let proxy = say(
            "apt-config",
            &["dump", "--format", "%v", "Acquire::http::Proxy"],
        )
        .await?;
        let proxy = Some(proxy.trim().to_string()).filter(|p| p.starts_with("http"));
        Ok(Host {
            release,
            sources,
            proxy,
        })
    }
}

/// What a program prints.
async fn say(program: &str, args: &[&str]) -> Result<String, ArtefactError> {
    let output = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(ArtefactError::file("run", Path::new(program)))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The code name in os-release, if this is Debian.
fn release(os: &str) -> Option<String> {
    let value = |key: &str| {
        let line = os.lines().find_map(|l| l.strip_prefix(key))?;
        Some(line.strip_prefix('=')?.trim_matches('"').to_string())
    };
    (value("ID")? == "debian").then(|| value("VERSION_CODENAME"))?
}

/// Lines for a sources.list: what is Debian's own, signed, and of this release.
fn sources(targets: &str, release: &str) -> String {
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in targets.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let &[uri, suite, component, "Debian", "yes"] = words.as_slice() else {
            continue;
        };
        let ours = suite == release
            || suite
                .strip_prefix(release)
                .is_some_and(|rest| matches!(rest, "-updates" | "-security"));
        if !ours {
            continue;
        }
        let key = (suite.to_string(), uri.trim_end_matches('/').to_string());
        let components = found.entry(key).or_default();
        if !components.iter().any(|c| c == component) {
            components.push(component.to_string());
        }
    }
    // without the release itself the rest is of no use
    if !found.keys().any(|(suite, _)| suite == release) {
        return String::new();
    }
    found
        .into_iter()
        .map(|((suite, uri), components)| {
            format!(
                "deb [signed-by={KEYRING}] {uri} {suite} {}\n",
                components.join(" ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_own_signed_sources_of_the_release_are_taken() {
        let targets = "http://mirror.example/debian/ bookworm main Debian yes\n\
            http://mirror.example/debian/ bookworm contrib Debian yes\n\
            http://mirror.example/debian/ bookworm main Debian yes\n\
            http://mirror.example/debian/ bookworm-updates main Debian yes\n\
            http://mirror.example/security/ bookworm-security main Debian yes\n\
            http://mirror.example/debian/ bookworm-backports main Debian yes\n\
            http://mirror.example/debian/ trixie main Debian yes\n\
            http://other.example/ bookworm main Other yes\n\
            http://evil.example/ bookworm main Debian no\n";
        let key = format!("deb [signed-by={KEYRING}] http://mirror.example");
        assert_eq!(
            sources(targets, "bookworm"),
            format!(
                "{key}/debian bookworm main contrib\n\
                 {key}/security bookworm-security main\n\
                 {key}/debian bookworm-updates main\n"
            )
        );
        assert_eq!(sources(targets, "sid"), "");
        assert_eq!(
            sources("http://m/ bookworm-updates main Debian yes", "bookworm"),
            ""
        );
    }

    #[test]
    fn the_release_is_debians() {
        let debian = "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(release(debian), Some("bookworm".to_string()));
        assert_eq!(release("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(release(""), None);
    }
}
