//! Installation media on this host's disk: what they are, and files taken off them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::disk;
use super::errand::{Arrival, Errand};
use super::error::ArtefactError;
use super::fetch::blocking;
use super::progress::{Report, Step, tell};
use super::record::{Record, source_line};
use crate::image::disc::media::{Medium, recognise};
use crate::image::disc::{Disc, DiscError, Extent, Tree};
use crate::model::ArtefactSource;

/// What a medium is and holds.
#[derive(Debug)]
pub struct Inspected {
    /// Its files.
    pub tree: Tree,
    /// What it is, if anybody knows.
    pub medium: Option<Medium>,
    /// Bytes of it.
    pub size: u64,
}

/// Reads what a medium holds, and says what it is. Only its directories and a few small files are read.
///
/// # Errors
/// If it is no medium, or made to do harm; a sentence.
pub fn inspect(path: &Path) -> Result<Inspected, ArtefactError> {
    with_disc(path, |disc| {
        let tree = disc.tree()?;
        let medium = recognise(disc, &tree)?;
        Ok(Inspected {
            tree,
            medium,
            size: disc.size(),
        })
    })
}

/// The SHA-256 of a file, as publishers print it. `tick` hears the bytes done; it returns false to give
/// up.
///
/// # Errors
/// If it cannot be read, or was given up.
pub fn sha256(path: &Path, tick: &mut dyn FnMut(u64) -> bool) -> Result<String, ArtefactError> {
    Ok(disk::measure(path, tick)?.sha256)
}

fn with_disc<T>(
    path: &Path,
    work: impl FnOnce(&Disc<'_>) -> Result<T, DiscError>,
) -> Result<T, ArtefactError> {
    let file = File::open(path).map_err(ArtefactError::file("open", path))?;
    let meta = file.metadata().map_err(ArtefactError::file("read", path))?;
    let read =
        |offset: u64, into: &mut [u8]| file.read_exact_at(into, offset).map_err(|e| e.to_string());
    let refused = |reason: String| ArtefactError::Medium {
        name: path.display().to_string(),
        reason,
    };
    if !meta.is_file() {
        return Err(refused("it is no file".to_string()));
    }
    work(&Disc::new(meta.len(), &read)).map_err(|e| refused(e.to_string()))
}

/// A file that is wanted off a medium: its name here, its path there.
type Wanted = (String, String);

impl Errand<'_> {
    /// Takes what is declared to be on media off them, now that these are here. What came, and what was
    /// here already and is of the same medium (then the last is false).
    pub(super) async fn off_media(
        &self,
        fresh: &BTreeMap<String, Record>,
    ) -> Result<Vec<(String, Record, bool)>, ArtefactError> {
        let mut wanted: BTreeMap<&str, Vec<Wanted>> = BTreeMap::new();
        let mut found = Vec::new();
        for (name, source) in &self.distro.artefacts {
            let ArtefactSource::Iso { iso, path } = source else {
                continue;
            };
            let medium = self.medium(iso, fresh)?;
            let here = self.present(name).filter(|record| {
                record.source == source_line(source)
                    && record.version.as_deref() == Some(&medium.sha256)
            });
            match here {
                Some(record) => found.push((name.clone(), record, false)),
                None => wanted
                    .entry(iso)
                    .or_default()
                    .push((name.clone(), path.clone())),
            }
        }
        for (iso, wanted) in wanted {
            let medium = self.medium(iso, fresh)?;
            let at = self
                .shelf
                .file(&self.distro.name, iso, &medium.digest.short());
            let (work, report) = (self.work.clone(), self.report.clone());
            let list = wanted.clone();
            let origin = at.display().to_string();
            blocking(move |go_on| take(&at, &list, &work, &report, go_on)).await?;
            for (name, _) in wanted {
                let arrival = Arrival {
                    at: self.work.join(&name),
                    name: name.clone(),
                    origin: origin.clone(),
                    version: Some(medium.sha256.clone()),
                    vouched: true,
                };
                found.push((name, self.accept(arrival).await?, true));
            }
        }
        Ok(found)
    }

    fn medium(&self, iso: &str, fresh: &BTreeMap<String, Record>) -> Result<Record, ArtefactError> {
        let came = fresh.get(iso).cloned();
        came.or_else(|| self.present(iso))
            .ok_or_else(|| ArtefactError::Medium {
                name: iso.to_string(),
                reason: "it is not here".to_string(),
            })
    }
}

/// Copies files of a medium into the work directory.
fn take(
    medium: &Path,
    wanted: &[Wanted],
    work: &Path,
    report: &Report,
    go_on: &dyn Fn() -> bool,
) -> Result<(), ArtefactError> {
    let mut written = Ok(());
    with_disc(medium, |disc| {
        let tree = disc.tree()?;
        for (name, path) in wanted {
            let Some(extents) = tree.file(path) else {
                let sentence = format!("it holds no file `{path}`");
                return Err(DiscError::Read(sentence));
            };
            let mut tick = |done, total| {
                tell(report, name, Step::Unpacking, done, Some(total));
                go_on()
            };
            written = copy(disc, extents, name, &work.join(name), &mut tick);
            if written.is_err() {
                break;
            }
        }
        Ok(())
    })?;
    written
}

/// Copies one file of a medium.
fn copy(
    disc: &Disc<'_>,
    extents: &[Extent],
    name: &str,
    to: &Path,
    tick: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<(), ArtefactError> {
    const PIECE: u64 = 1 << 20;
    let total = extents.iter().map(|e| e.size).sum();
    disk::room(to, total)?;
    let mut file = File::create(to).map_err(ArtefactError::file("create", to))?;
    let mut done = 0;
    for extent in extents {
        for from in (0..extent.size).step_by(PIECE as usize) {
            let size = PIECE.min(extent.size - from) as usize;
            let piece = disc.bytes(extent.offset + from, size, name);
            let piece = piece.map_err(|e| ArtefactError::Medium {
                name: name.to_string(),
                reason: e.to_string(),
            })?;
            file.write_all(&piece)
                .map_err(ArtefactError::file("write", to))?;
            done += size as u64;
            if !tick(done, total) {
                let error = std::io::ErrorKind::Interrupted.into();
                return Err(ArtefactError::file("go on with", to)(error));
            }
        }
    }
    Ok(())
}
