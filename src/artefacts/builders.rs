//! Artefacts that Farrier makes itself. One module per builder; this is where they are found by name.

use std::path::Path;

use super::error::ArtefactError;
use super::progress::Report;

/// The builders there are, for messages.
pub const KNOWN: [&str; 0] = [];

/// Runs a builder. It leaves each artefact as `dir/NAME`; `dir` exists, is private to this run and
/// empty.
///
/// # Errors
/// No builder has the name, or it failed.
pub async fn build(builder: &str, dir: &Path, report: &Report) -> Result<(), ArtefactError> {
    let (_, _) = (dir, report);
    Err(ArtefactError::UnknownBuilder {
        builder: builder.to_string(),
        known: if KNOWN.is_empty() {
            "nothing yet".to_string()
        } else {
            format!("`{}`", KNOWN.join("`, `"))
        },
    })
}
