//! Declarations that ship with placeholders, because nobody may hand the files out but their makers.

use super::error::ArtefactError;
use crate::model::{ArtefactSource, Distro};

/// Refuses a distro that still names a host which can never exist (RFC 2606: `.example`).
///
/// # Errors
/// Which of its files are meant.
pub(super) fn refuse(distro: &Distro) -> Result<(), ArtefactError> {
    let open: Vec<&str> = distro
        .artefacts
        .values()
        .filter_map(|source| match source {
            ArtefactSource::Url { url, .. } if is_example(url) => Some(url.as_str()),
            _ => None,
        })
        .collect();
    let examples = match open.as_slice() {
        [] => return Ok(()),
        [one] => format!("{one}"),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    Err(ArtefactError::Placeholder {
        distro: distro.name.to_string(),
        examples,
    })
}

fn is_example(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':', '?', '#']).next().unwrap_or("");
    host == "example" || host.ends_with(".example")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_cannot_exist() {
        for (url, want) in [
            ("http://mirror.example/esxi/b.b00", true),
            ("https://files.mirror.example:8443/x", true),
            ("http://mirror.example", true),
            ("http://mirror.example.org/x", false),
            ("http://10.77.0.2/mirror.example/x", false),
        ] {
            assert_eq!(is_example(url), want, "{url}");
        }
    }
}
