//! What makes a file that arrived an artefact: its digest, compared with all that is known of it.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::disk::{self, Measure};
use super::errand::{Arrival, Errand};
use super::error::ArtefactError;
use super::fetch::blocking;
use super::progress::{Step, tell};
use super::record::{Record, source_line};
use crate::model::{ArtefactSource, Timestamp};
use crate::render::cpio;

impl Errand<'_> {
    /// Measures a file, compares it with what is declared or was seen before, and moves it to its
    /// place. It is not current yet.
    pub(super) async fn accept(&self, arrival: Arrival) -> Result<Record, ArtefactError> {
        let Arrival {
            name,
            at,
            origin,
            version,
            vouched,
        } = arrival;
        let (report, label, path) = (self.report.clone(), name.clone(), at.clone());
        let total = fs::metadata(&at).ok().map(|m| m.len());
        let measure = blocking(move |go_on| {
            disk::measure(&path, &mut |done| {
                tell(&report, &label, Step::Checking, done, total);
                go_on()
            })
        })
        .await?;
        let source = self.distro.artefacts.get(&name);
        let line = source.map(source_line).unwrap_or_default();
        let declared = match source {
            Some(ArtefactSource::Url { sha256, .. } | ArtefactSource::File { sha256, .. }) => {
                sha256.as_deref()
            }
            _ => None,
        };
        let verdict = self.believe(&name, &origin, &line, declared, &measure);
        if let Err(error) = verdict {
            // going on from these bytes would give them again
            let _ = fs::remove_file(&at);
            return Err(error);
        }
        let inside = self.distro.way.inside.get(&name).cloned();
        let sha256 = measure.sha256.clone();
        let (at, measure) = match &inside {
            Some(path) => self.wrap(&name, at, path, measure.size).await?,
            None => (at, measure),
        };
        let to = self
            .shelf
            .file(&self.distro.name, &name, &measure.digest.short());
        disk::settle(&at, &to)?;
        Ok(Record {
            digest: measure.digest,
            sha256,
            size: measure.size,
            inside,
            source: line,
            origin,
            pinned: vouched || declared.is_some(),
            fetched: Timestamp::now(),
            version,
        })
    }

    /// Makes a file an archive that a kernel unpacks on top of its RAM disk. What it is made of was
    /// checked before.
    async fn wrap(
        &self,
        name: &str,
        from: PathBuf,
        path: &str,
        size: u64,
    ) -> Result<(PathBuf, Measure), ArtefactError> {
        let to = self.work.join(format!("{name}.cpio"));
        if size > cpio::LARGEST {
            let error =
                io::Error::other("an archive for a RAM disk holds files of less than 4 GiB");
            return Err(ArtefactError::file("pack", &from)(error));
        }
        let (head, tail) = (cpio::head(path, size), cpio::tail(size));
        disk::room(&to, size + (head.len() + tail.len()) as u64)?;
        let (report, label, target) = (self.report.clone(), name.to_string(), to.clone());
        let measure = blocking(move |go_on| {
            let packed = || -> io::Result<()> {
                let mut out = fs::File::create(&target)?;
                out.write_all(&head)?;
                io::copy(&mut fs::File::open(&from)?, &mut out)?;
                out.write_all(&tail)?;
                out.sync_all()
            };
            packed().map_err(ArtefactError::file("pack", &from))?;
            let total = fs::metadata(&target).ok().map(|m| m.len());
            let measure = disk::measure(&target, &mut |done| {
                tell(&report, &label, Step::Checking, done, total);
                go_on()
            })?;
            fs::remove_file(&from).map_err(ArtefactError::file("remove", &from))?;
            Ok(measure)
        })
        .await?;
        Ok((to, measure))
    }

    fn believe(
        &self,
        name: &str,
        origin: &str,
        line: &str,
        declared: Option<&str>,
        measure: &Measure,
    ) -> Result<(), ArtefactError> {
        if let Some(expected) = declared {
            if expected.eq_ignore_ascii_case(&measure.sha256) {
                return Ok(());
            }
            return Err(ArtefactError::Digest {
                name: name.to_string(),
                origin: origin.to_string(),
                expected: expected.to_string(),
                found: measure.sha256.clone(),
            });
        }
        // Trust on first use, for what comes over a network and nobody vouched for.
        match self.set.artefacts.get(name) {
            Some(before)
                if line.starts_with("url:")
                    && before.source == line
                    && before.sha256 != measure.sha256 =>
            {
                Err(ArtefactError::Changed {
                    name: name.to_string(),
                    origin: origin.to_string(),
                    before: before.sha256.clone(),
                    found: measure.sha256.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}
