//! Declarations that ship with placeholders, because nobody may hand the files out but their makers.

use super::error::ArtefactError;
use crate::model::distro::is_placeholder;
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
            ArtefactSource::Url { url, .. } if is_placeholder(url) => Some(url.as_str()),
            _ => None,
        })
        .collect();
    let examples = match open.as_slice() {
        [] => return Ok(()),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    Err(ArtefactError::Placeholder {
        distro: distro.name.to_string(),
        examples,
    })
}
