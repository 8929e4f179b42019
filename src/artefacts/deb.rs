//! Debian packages, downloaded by this host's own apt: its sources, proxies and keys, its checks.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::disk;
use super::error::ArtefactError;
use super::progress::{Report, Step, tell};

/// How often the growing file is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A version of a package that apt would download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The file name: package, version and architecture.
    pub(super) file: String,
    /// Bytes.
    pub(super) size: u64,
    /// SHA-256 as signed by the archive; absent if the archive states another kind of digest.
    pub(super) sha256: Option<String>,
}

/// Asks apt which file it would download for `package`. Needs no network.
///
/// # Errors
/// A wrong name, no apt, an unknown package.
pub(super) async fn candidate(package: &str, dir: &Path) -> Result<Candidate, ArtefactError> {
    if !is_package(package) {
        return Err(ArtefactError::PackageName(package.to_string()));
    }
    let output = apt(dir)
        .args(["--print-uris", package])
        .stdout(Stdio::piped())
        .output()
        .await
        .map_err(not_run)?;
    if !output.status.success() {
        return Err(failure(package, &String::from_utf8_lossy(&output.stderr)));
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines()
        .find_map(uri_line)
        .ok_or_else(|| ArtefactError::Apt {
            package: package.to_string(),
            said: format!("it printed no address ({})", said.trim()),
        })
}

/// Downloads the candidate into `dir`. What an earlier, interrupted call left there is used.
///
/// # Errors
/// apt failed, or the file is not the one it announced.
pub(super) async fn download(
    package: &str,
    candidate: &Candidate,
    dir: &Path,
    report: &Report,
) -> Result<PathBuf, ArtefactError> {
    let path = dir.join(&candidate.file);
    let mut child = apt(dir)
        .arg(package)
        .stdout(Stdio::null())
        .spawn()
        .map_err(not_run)?;
    let mut stderr = child.stderr.take();
    let said = async {
        let mut text = String::new();
        if let Some(stderr) = stderr.as_mut() {
            // what cannot be read is only missing from the error message
            let _ = tokio::io::AsyncReadExt::read_to_string(stderr, &mut text).await;
        }
        text
    };
    let watch = async {
        loop {
            if let Ok(meta) = tokio::fs::metadata(&path).await {
                let done = meta.len().min(candidate.size);
                tell(
                    report,
                    package,
                    Step::Downloading,
                    done,
                    Some(candidate.size),
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let (said, status) = tokio::select! {
        both = async { tokio::join!(said, child.wait()) } => both,
        never = watch => never,
    };
    let status = status.map_err(not_run)?;
    if !status.success() {
        return Err(failure(package, &said));
    }
    tell(
        report,
        package,
        Step::Downloading,
        candidate.size,
        Some(candidate.size),
    );
    Ok(path)
}

/// apt checked the file against its signed lists. This looks once more, because the same file may
/// have been in the directory before.
pub(super) fn check(
    path: &Path,
    candidate: &Candidate,
    tick: &mut dyn FnMut(u64) -> bool,
) -> Result<(), ArtefactError> {
    let found = disk::measure(path, tick)?;
    match &candidate.sha256 {
        Some(expected) if *expected != found.sha256 => Err(ArtefactError::Digest {
            name: candidate.file.clone(),
            origin: "apt".to_string(),
            expected: expected.clone(),
            found: found.sha256,
        }),
        _ if found.size != candidate.size => Err(ArtefactError::Unpack {
            path: path.to_path_buf(),
            reason: format!("it has {} bytes instead of {}", found.size, candidate.size),
        }),
        _ => Ok(()),
    }
}

fn apt(dir: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command
        // the directory is private, so apt's own user could not write there
        .args(["-q", "download", "-o", "APT::Sandbox::User=root"])
        .current_dir(dir)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn not_run(error: std::io::Error) -> ArtefactError {
    if error.kind() == std::io::ErrorKind::NotFound {
        ArtefactError::NoApt
    } else {
        ArtefactError::file("run", Path::new("apt-get"))(error)
    }
}

fn failure(package: &str, stderr: &str) -> ArtefactError {
    let said: Vec<&str> = stderr
        .lines()
        .filter_map(|l| l.strip_prefix("E: "))
        .collect();
    let unknown = [
        "Unable to locate package",
        "has no installation candidate",
        "Can't find a source to download",
        "Can't select candidate version",
    ];
    if said.iter().any(|l| unknown.iter().any(|u| l.contains(u))) {
        return ArtefactError::UnknownPackage {
            package: package.to_string(),
        };
    }
    ArtefactError::Apt {
        package: package.to_string(),
        said: if said.is_empty() {
            "it said nothing".to_string()
        } else {
            said.join("; ")
        },
    }
}

/// `'URI' FILE SIZE SHA256:HEX`
fn uri_line(line: &str) -> Option<Candidate> {
    let (_, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut words = rest.split_whitespace();
    let file = words.next()?.to_string();
    let size = words.next()?.parse().ok()?;
    let sha256 = words
        .next()
        .and_then(|w| w.strip_prefix("SHA256:"))
        .map(str::to_ascii_lowercase);
    (!file.contains('/') && !file.starts_with('.')).then_some(Candidate { file, size, sha256 })
}

/// A package name as apt takes it, with `=version`, `:arch` or `/suite`; never an option.
fn is_package(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.len() <= 256
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.:=~/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_apt_prints_it() {
        let line = "'http://mirror.example/debian/pool/main/m/memtest86%2b/memtest86%2b_6.10-4_amd64.deb' memtest86+_6.10-4_amd64.deb 122832 SHA256:76A2";
        let expected = Candidate {
            file: "memtest86+_6.10-4_amd64.deb".into(),
            size: 122_832,
            sha256: Some("76a2".into()),
        };
        assert_eq!(uri_line(line), Some(expected));
        for bad in [
            "",
            "Reading...",
            "'u' ../x 1 SHA256:0",
            "'u' x.deb",
            "'u' x.deb y",
        ] {
            assert_eq!(uri_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_package_is_never_an_option_or_a_shell_word() {
        for good in [
            "ipxe",
            "memtest86+",
            "linux=6.1-1~x",
            "shim-signed:arm64",
            "a/b",
        ] {
            assert!(is_package(good), "{good}");
        }
        for bad in [
            "", "-oDir=x", "--help", "a b", "a;b", "$(id)", "./x.deb", "A",
        ] {
            assert!(!is_package(bad), "{bad}");
        }
    }

    #[test]
    fn an_unknown_package_says_what_to_do() {
        let error = failure("nosuch", "W: x\nE: Unable to locate package nosuch\n").to_string();
        assert!(error.contains("`apt-get update`"), "{error}");
        let error = failure("p", "E: Failed to fetch http://x/p.deb  404  Not Found\n").to_string();
        assert!(
            error.contains("404") && error.contains("apt-get update"),
            "{error}"
        );
    }
}
