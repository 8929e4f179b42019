//! Where artefacts come from: one way for each kind of source.

use std::fs;
use std::path::PathBuf;

use super::builders;
use super::client::{Wiring, client};
use super::deb;
use super::disk;
use super::download::{Download, Order, download};
use super::errand::{Arrival, Errand};
use super::error::ArtefactError;
use super::fetch::{Renew, blocking};
use super::progress::{Step, tell};
use super::record::{Record, source_line};
use super::unpack::unpack;
use crate::model::ArtefactSource;

impl Errand<'_> {
    /// From a URL: an arrival, or the record of what turned out to be current.
    pub(super) async fn by_url(
        &self,
        name: &str,
        url: &str,
        pinned: bool,
    ) -> Result<Result<Arrival, Record>, ArtefactError> {
        let wiring = Wiring {
            downgrade: pinned,
            ..Wiring::default()
        };
        let client = client(&wiring).map_err(|e| ArtefactError::Url {
            url: url.to_string(),
            reason: e.to_string(),
        })?;
        let current = self
            .present(name)
            .filter(|r| r.source == format!("url:{url}"))
            .filter(|r| r.inside.as_ref() == self.distro.way.inside.get(name));
        let part = self.work.join(format!("{name}.part"));
        let order = Order {
            name,
            url,
            pinned,
            known: current.as_ref().and_then(|r| r.version.as_deref()),
            part: &part,
            report: self.report,
        };
        match (download(&client, &order).await?, current) {
            (Download::Whole { url, version }, _) => Ok(Ok(Arrival {
                name: name.to_string(),
                at: part,
                origin: url,
                version,
                vouched: false,
            })),
            (Download::Unchanged, Some(record)) => Ok(Err(record)),
            (Download::Unchanged, None) => Err(ArtefactError::Url {
                url: url.to_string(),
                reason: "the server answers `unchanged` to a first request".to_string(),
            }),
        }
    }

    /// From a file of this host. If its digest is declared, an interrupted copy goes on: a wrong one
    /// is found out.
    pub(super) async fn by_file(
        &self,
        name: &str,
        path: &str,
        pinned: bool,
    ) -> Result<Arrival, ArtefactError> {
        let (from, at) = (self.site.join(path), self.work.join(name));
        let origin = from.display().to_string();
        let (report, label, copy) = (self.report.clone(), name.to_string(), at.clone());
        blocking(move |go_on| {
            disk::copy(&from, &copy, pinned, &mut |done, total| {
                tell(&report, &label, Step::Copying, done, Some(total));
                go_on()
            })
        })
        .await?;
        Ok(Arrival {
            name: name.to_string(),
            at,
            origin,
            version: None,
            vouched: false,
        })
    }

    /// From a package: what was unpacked, or the records of what apt says is current.
    pub(super) async fn by_package(
        &self,
        package: &str,
        wanted: &[(&str, &str)],
    ) -> Result<Result<Vec<Arrival>, Vec<(String, Record)>>, ArtefactError> {
        let dir = self.work.join("apt");
        disk::directory(&dir)?;
        let candidate = deb::candidate(package, &dir).await?;
        let current: Vec<(String, Record)> = wanted
            .iter()
            .filter_map(|(name, path)| {
                let (package, path) = (package.to_string(), path.to_string());
                let line = source_line(&ArtefactSource::Deb { package, path });
                let record = self.present(name).filter(|r| r.source == line)?;
                let same = record.version.is_some() && record.version == candidate.sha256;
                same.then(|| (name.to_string(), record))
            })
            .collect();
        if current.len() == wanted.len() {
            return Ok(Err(current));
        }
        let path = deb::download(package, &candidate, &dir, self.report).await?;
        let targets: Vec<(String, PathBuf)> = wanted
            .iter()
            .map(|(name, path)| (path.to_string(), self.work.join(name)))
            .collect();
        let arrivals = targets
            .iter()
            .zip(wanted)
            .map(|((_, at), (name, _))| Arrival {
                name: name.to_string(),
                at: at.clone(),
                origin: candidate.file.clone(),
                version: candidate.sha256.clone(),
                vouched: true,
            });
        let arrivals: Vec<Arrival> = arrivals.collect();
        let (report, package) = (self.report.clone(), package.to_string());
        blocking(move |go_on| {
            let total = Some(candidate.size);
            deb::check(&path, &candidate, &mut |done| {
                tell(&report, &package, Step::Checking, done, total);
                go_on()
            })?;
            unpack(&path, &package, &targets, &mut |done| {
                tell(&report, &package, Step::Unpacking, done, total);
                go_on()
            })
        })
        .await?;
        Ok(Ok(arrivals))
    }

    pub(super) async fn by_builder(
        &self,
        builder: &str,
        names: &[&str],
    ) -> Result<Vec<Arrival>, ArtefactError> {
        let dir = self.work.join(format!("built-{builder}"));
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(ArtefactError::file("empty", &dir))?;
        }
        disk::directory(&dir)?;
        let stage = self.work.join(format!("stage-{builder}"));
        if self.renew == Renew::All && stage.exists() {
            fs::remove_dir_all(&stage).map_err(ArtefactError::file("empty", &stage))?;
        }
        builders::build(builder, &dir, self.report).await?;
        let arrival = |name: &&str| {
            let at = dir.join(name);
            if !at.is_file() {
                return Err(ArtefactError::Builder {
                    builder: builder.to_string(),
                    reason: format!("it made no `{name}`"),
                });
            }
            Ok(Arrival {
                name: name.to_string(),
                at,
                origin: format!("builder {builder}"),
                version: None,
                vouched: true,
            })
        };
        names.iter().map(arrival).collect()
    }
}
