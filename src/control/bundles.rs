//! Bundles of logs: kept, listed, read.

use bytes::Bytes;

use super::{Control, TellError};
use crate::model::{BuildKey, Bundle, BundleKind, Code, Refusal};

impl Control {
    /// Keeps the bundle of logs that a build's installer sends. When this returns, it is durable.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn keep_bundle(&self, build: &BuildKey, bytes: Bytes) -> Result<(), TellError> {
        let (bundles, build) = (self.bundles.clone(), build.clone());
        let kept = tokio::task::spawn_blocking(move || {
            bundles.keep(&build, BundleKind::of(&bytes), &bytes)
        });
        let kept = kept.await.map_err(std::io::Error::other).and_then(|k| k);
        kept.map_err(|error| {
            tracing::error!(%error, "a bundle of logs was not kept");
            TellError::Store(error.to_string())
        })
    }

    /// The bundles of a system, the oldest build first.
    ///
    /// # Errors
    /// If there is no such system.
    pub async fn bundles(&self, subject: &str) -> Result<Vec<Bundle>, Refusal> {
        let system = self.one(&self.snapshot(), subject)?.name.clone();
        let bundles = self.bundles.clone();
        let found = tokio::task::spawn_blocking(move || bundles.of(&system)).await;
        found.map_err(|e| Refusal::failed(e.to_string()))
    }

    /// One bundle with its bytes: of this build, else the latest.
    ///
    /// # Errors
    /// If there is no such system or bundle, or it cannot be read.
    pub async fn bundle(
        &self,
        subject: &str,
        build: Option<u32>,
    ) -> Result<(Bundle, Vec<u8>), Refusal> {
        let all = self.bundles(subject).await?;
        let wanted = |b: &&Bundle| build.is_none_or(|epoch| b.build == epoch);
        let Some(found) = all.iter().rfind(wanted).cloned() else {
            let of = build.map_or_else(String::new, |epoch| format!(" from build {epoch}"));
            let message = format!("there is no bundle of logs of `{subject}`{of}");
            return Err(
                Refusal::new(Code::NotFound, message).help(format!("farrier logs {subject}"))
            );
        };
        let (bundles, bundle) = (self.bundles.clone(), found.clone());
        let read = tokio::task::spawn_blocking(move || bundles.read(&bundle)).await;
        let bytes = read.map_err(std::io::Error::other).and_then(|r| r);
        Ok((found, bytes.map_err(|e| Refusal::failed(e.to_string()))?))
    }
}
