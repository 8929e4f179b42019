//! Artefacts that Farrier makes itself. One module per builder; this is where they are found by name.

use std::path::Path;

use super::error::ArtefactError;
use super::fai;
use super::progress::Report;

/// The builders there are, for messages.
pub const KNOWN: [&str; 1] = [fai::NAME];

/// Runs a builder. It leaves each artefact as `dir/NAME`; `dir` exists, is private to this run and
/// empty. Directories next to it named `stage-BUILDER` are the builder's own, over many runs.
///
/// # Errors
/// No builder has the name, or it failed.
pub async fn build(builder: &str, dir: &Path, report: &Report) -> Result<(), ArtefactError> {
    match builder {
        fai::NAME => fai::build(dir, report).await,
        _ => Err(ArtefactError::UnknownBuilder {
            builder: builder.to_string(),
            known: format!("`{}`", KNOWN.join("`, `")),
        }),
    }
}
