//! What is read: everything at start, events and revisions on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{AccessFlags, access};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection};

use super::rows::{self, RevisionRow, SecretRow, column, unreadable};
use super::{Store, StoreError};
use crate::lifecycle::usual::Beginning;
use crate::model::event::StageEnd;
use crate::model::{
    Build, BuildKey, EventKind, Firmware, Lease, Machine, Name, Pinned, Purpose, Record,
    SecretName, Timestamp,
};

/// Secrets by name, sealed.
pub type Secrets = BTreeMap<SecretName, Arc<SecretRow>>;

/// Everything the server needs in memory when it starts.
#[derive(Debug, Default)]
pub struct Known {
    /// Systems that were ever flagged, with their latest build and one-shot.
    pub machines: Vec<Machine>,
    /// What the builds that are not over pinned.
    pub pins: Vec<(BuildKey, Arc<Pinned>)>,
    /// Systems whose latest build cannot be read: nothing may be concluded of them.
    pub unreadable: Vec<Name>,
    /// Leases from the pool.
    pub leases: Vec<Lease>,
    /// Secrets, sealed.
    pub secrets: Secrets,
    /// The number of the newest event.
    pub last_event: i64,
}

fn refused(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Statement { what, source }
}

/// The names of the secrets in a database that a server may be using or not. Nothing is changed.
/// None if there is no database, or none that this user may read, or one from before secrets.
///
/// # Errors
/// If the database refuses.
pub async fn secret_names(path: &Path) -> Result<Option<BTreeSet<SecretName>>, StoreError> {
    if access(path, AccessFlags::R_OK).is_err() {
        return Ok(None);
    }
    let what = "reading the names of secrets";
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .disable_statement_logging();
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .map_err(refused(what))?;
    let there: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name = 'secrets'")
            .fetch_one(&mut connection)
            .await
            .map_err(refused(what))?;
    if there == 0 {
        return Ok(None);
    }
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM secrets")
        .fetch_all(&mut connection)
        .await
        .map_err(refused(what))?;
    Ok(Some(names.iter().filter_map(|n| n.parse().ok()).collect()))
}

/// Asks for events `e` of a profile's latest successful builds, with this firmware if it is known. The
/// builds are found first, and few: a rack's are enough to say what is usual, however old a site is.
macro_rules! of_latest_builds {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " FROM (SELECT system, epoch FROM builds
                    WHERE purpose = 'install' AND phase = 'ready'
                      AND json_extract(build, '$.profile') = ?1
                      AND (?2 IS NULL OR json_extract(build, '$.firmware') = json(?2))
                    ORDER BY json_extract(build, '$.ended') DESC LIMIT 200) b
              CROSS JOIN events e ON e.system = b.system AND e.epoch = b.epoch ",
            $rest
        )
    };
}

impl Store {
    /// Reads what is known.
    ///
    /// A row that cannot be read is passed over, and its system is told of.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn known(&self) -> Result<Known, StoreError> {
        let mut known = Known::default();
        let rows = sqlx::query(
            "SELECT system, build FROM builds b WHERE epoch =
               (SELECT max(epoch) FROM builds c WHERE c.system = b.system AND c.purpose = b.purpose)
             ORDER BY system",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(refused("reading builds"))?;
        for row in &rows {
            let Some(build) = readable(rows::build(row)) else {
                let system = column::<String>(row, "system")?;
                known.unreadable.extend(system.parse::<Name>().ok());
                continue;
            };
            if known
                .machines
                .last()
                .is_none_or(|m| m.name != build.key.system)
            {
                known.machines.push(Machine::new(build.key.system.clone()));
            }
            if let Some(machine) = known.machines.last_mut() {
                match build.purpose {
                    Purpose::Install => machine.build = Some(build),
                    Purpose::Once => machine.once = Some(build),
                }
            }
        }
        let rows = sqlx::query(
            "SELECT p.system, p.epoch, p.pinned FROM pins p JOIN builds b USING (system, epoch)
             WHERE b.epoch = (SELECT max(epoch) FROM builds c
                              WHERE c.system = b.system AND c.purpose = b.purpose)",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(refused("reading what builds pinned"))?;
        for row in &rows {
            let system: String = column(row, "system")?;
            let epoch: i64 = column(row, "epoch")?;
            let (Ok(system), Ok(epoch)) = (system.parse::<Name>(), u32::try_from(epoch)) else {
                tracing::error!(%system, epoch, "what a build pinned is passed over");
                continue;
            };
            match readable(unpack(&column::<Vec<u8>>(row, "pinned")?)) {
                Some(pinned) => known
                    .pins
                    .push((BuildKey { system, epoch }, Arc::new(pinned))),
                None => known.unreadable.push(system),
            }
        }
        let rows = sqlx::query("SELECT * FROM leases")
            .fetch_all(&self.pool)
            .await
            .map_err(refused("reading leases"))?;
        known.leases = rows
            .iter()
            .filter_map(|row| readable(rows::lease(row)))
            .collect();
        let rows = sqlx::query("SELECT * FROM secrets")
            .fetch_all(&self.pool)
            .await
            .map_err(refused("reading secrets"))?;
        known.secrets = rows
            .iter()
            .filter_map(|row| readable(rows::secret(row)))
            .collect();
        known.last_event = self.last_event().await?;
        Ok(known)
    }

    /// Events after number `after`, oldest first, at most `limit`; of these systems if named, and not
    /// earlier than `since`.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn events(
        &self,
        after: i64,
        systems: Option<&[Name]>,
        since: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<Record>, StoreError> {
        let since = since.map_or(i64::MIN, rows::micros);
        let rows =
            match systems {
                Some(systems) => {
                    sqlx::query(
                        "SELECT * FROM events WHERE number > ?2 AND time >= ?3
                       AND system IN (SELECT value FROM json_each(?1)) ORDER BY number LIMIT ?4",
                    )
                    .bind(names(systems))
                    .bind(after)
                    .bind(since)
                    .bind(limit)
                    .fetch_all(&self.pool)
                    .await
                }
                None => sqlx::query(
                    "SELECT * FROM events WHERE number > ? AND time >= ? ORDER BY number LIMIT ?",
                )
                .bind(after)
                .bind(since)
                .bind(limit)
                .fetch_all(&self.pool)
                .await,
            };
        records(rows)
    }

    /// The newest `limit` events of these systems (or of all) that are not earlier than `since`,
    /// oldest first.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn latest_events(
        &self,
        systems: Option<&[Name]>,
        since: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<Record>, StoreError> {
        let since = since.map_or(i64::MIN, rows::micros);
        let rows = match systems {
            Some(systems) => {
                sqlx::query(
                    "SELECT * FROM events WHERE system IN (SELECT value FROM json_each(?))
                       AND time >= ? ORDER BY number DESC LIMIT ?",
                )
                .bind(names(systems))
                .bind(since)
                .bind(limit)
                .fetch_all(&self.pool)
                .await
            }
            None => {
                sqlx::query("SELECT * FROM events WHERE time >= ? ORDER BY number DESC LIMIT ?")
                    .bind(since)
                    .bind(limit)
                    .fetch_all(&self.pool)
                    .await
            }
        };
        let mut records = records(rows)?;
        records.reverse();
        Ok(records)
    }

    /// The number of the newest event.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn last_event(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM events")
            .fetch_one(&self.pool)
            .await
            .map_err(refused("reading events"))
    }

    /// The ssh host keys that a system's first boot last reported.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn host_keys(&self, system: &Name) -> Result<Vec<String>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM events WHERE system = ? AND kind = 'agent-reported'
               AND json_array_length(event, '$.host_keys') > 0
             ORDER BY number DESC LIMIT 1",
        )
        .bind(system.as_str().to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(refused("reading host keys"))?;
        match row.as_ref().map(rows::record).transpose()? {
            Some(Record {
                event: EventKind::AgentReported(report),
                ..
            }) => Ok(report.host_keys),
            _ => Ok(Vec::new()),
        }
    }

    /// When each phase of the latest successful builds of a profile began: of machines with this
    /// firmware, if it is known.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn beginnings(
        &self,
        profile: &Name,
        firmware: Option<Firmware>,
    ) -> Result<Vec<Beginning>, StoreError> {
        let firmware = firmware
            .map(|f| serde_json::to_string(&f))
            .transpose()
            .map_err(|e| unreadable("a firmware", e))?;
        let rows = sqlx::query(of_latest_builds!(
            "SELECT e.system, e.epoch, e.phase, min(e.time) AS began",
            "GROUP BY e.system, e.epoch, e.phase ORDER BY began DESC LIMIT 600"
        ))
        .bind(profile.as_str().to_string())
        .bind(firmware)
        .fetch_all(&self.pool)
        .await
        .map_err(refused("reading how long phases last"))?;
        rows.iter()
            .map(|row| {
                let system: String = column(row, "system")?;
                let epoch: i64 = column(row, "epoch")?;
                let phase: String = column(row, "phase")?;
                Ok(Beginning {
                    build: BuildKey {
                        system: system.parse().map_err(|e| unreadable("a name", e))?,
                        epoch: u32::try_from(epoch).map_err(|e| unreadable("an epoch", e))?,
                    },
                    phase: phase.parse().map_err(|e| unreadable("a phase", e))?,
                    at: rows::time("an event", column(row, "began")?)?,
                })
            })
            .collect()
    }

    /// Steps of the latest successful builds of a profile, and how long each took: of machines with
    /// this firmware, if it is known.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn stage_ends(
        &self,
        profile: &Name,
        firmware: Option<Firmware>,
    ) -> Result<Vec<StageEnd>, StoreError> {
        let firmware = firmware
            .map(|f| serde_json::to_string(&f))
            .transpose()
            .map_err(|e| unreadable("a firmware", e))?;
        let ends: Vec<String> = sqlx::query_scalar(of_latest_builds!(
            "SELECT e.ended",
            "WHERE e.ended IS NOT NULL ORDER BY e.number DESC LIMIT 2000"
        ))
        .bind(profile.as_str().to_string())
        .bind(firmware)
        .fetch_all(&self.pool)
        .await
        .map_err(refused("reading how long steps last"))?;
        ends.iter().map(|json| rows::stage_end(json)).collect()
    }

    /// The steps of one build that are over, with the time each ended at, oldest first.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn stages_of(
        &self,
        build: &BuildKey,
    ) -> Result<Vec<(Timestamp, StageEnd)>, StoreError> {
        let rows = sqlx::query(
            "SELECT time, ended FROM events
             WHERE system = ? AND epoch = ? AND ended IS NOT NULL ORDER BY number",
        )
        .bind(build.system.as_str().to_string())
        .bind(i64::from(build.epoch))
        .fetch_all(&self.pool)
        .await
        .map_err(refused("reading the steps of a build"))?;
        rows.iter()
            .map(|row| {
                let ended: String = column(row, "ended")?;
                let time = rows::time("an event", column(row, "time")?)?;
                Ok((time, rows::stage_end(&ended)?))
            })
            .collect()
    }

    /// The revision that was last in force, if any.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn last_revision(&self) -> Result<Option<RevisionRow>, StoreError> {
        let digest: Option<String> =
            sqlx::query_scalar("SELECT value FROM settings WHERE key = 'revision'")
                .fetch_optional(&self.pool)
                .await
                .map_err(refused("reading the revision in force"))?;
        match digest {
            Some(digest) => self.revision(&digest).await,
            None => Ok(None),
        }
    }

    /// A revision by its digest, or by the digest's first digits if they are enough.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn revision(&self, digest: &str) -> Result<Option<RevisionRow>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM revisions WHERE substr(digest, 1, length(?1)) = ?1 LIMIT 2")
                .bind(digest.to_string())
                .fetch_all(&self.pool)
                .await
                .map_err(refused("reading a revision"))?;
        match rows.as_slice() {
            [row] => Ok(Some(revision_row(row)?)),
            _ => Ok(None),
        }
    }

    /// What came into force, the latest first: one row each time, so a revision that came back has
    /// several.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn history(&self, limit: i64) -> Result<Vec<RevisionRow>, StoreError> {
        sqlx::query(
            "SELECT h.digest, h.time, h.author, h.summary, r.manifest
             FROM history h JOIN revisions r USING (digest) ORDER BY h.number DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(refused("reading the history of revisions"))?
        .iter()
        .map(revision_row)
        .collect()
    }

    /// The revision that was in force at this time; none before the first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn revision_at(&self, time: Timestamp) -> Result<Option<RevisionRow>, StoreError> {
        sqlx::query(
            "SELECT h.digest, h.time, h.author, h.summary, r.manifest
             FROM history h JOIN revisions r USING (digest)
             WHERE h.time <= ? ORDER BY h.number DESC LIMIT 1",
        )
        .bind(rows::micros(time))
        .fetch_optional(&self.pool)
        .await
        .map_err(refused("reading the history of revisions"))?
        .as_ref()
        .map(revision_row)
        .transpose()
    }

    /// One build, however old.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn build(&self, key: &BuildKey) -> Result<Option<Build>, StoreError> {
        sqlx::query("SELECT build FROM builds WHERE system = ? AND epoch = ?")
            .bind(key.system.as_str().to_string())
            .bind(i64::from(key.epoch))
            .fetch_optional(&self.pool)
            .await
            .map_err(refused("reading a build"))?
            .as_ref()
            .map(rows::build)
            .transpose()
    }

    /// A file of a revision by its digest.
    ///
    /// # Errors
    /// If the database refuses, or the file cannot be unpacked.
    pub async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let packed: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT bytes FROM blobs WHERE digest = ?")
                .bind(digest.to_string())
                .fetch_optional(&self.pool)
                .await
                .map_err(refused("reading a file of a revision"))?;
        packed
            .map(|p| zstd::decode_all(p.as_slice()).map_err(|e| unreadable("a file", e)))
            .transpose()
    }
}

fn revision_row(row: &SqliteRow) -> Result<RevisionRow, StoreError> {
    Ok(RevisionRow {
        digest: column(row, "digest")?,
        time: rows::time("a revision", column(row, "time")?)?,
        author: column(row, "author")?,
        summary: column(row, "summary")?,
        manifest: column(row, "manifest")?,
    })
}

fn names(systems: &[Name]) -> String {
    let names: Vec<&str> = systems.iter().map(Name::as_str).collect();
    serde_json::json!(names).to_string()
}

/// The events that can be read; one that cannot hides no other.
fn records(rows: Result<Vec<SqliteRow>, sqlx::Error>) -> Result<Vec<Record>, StoreError> {
    let rows = rows.map_err(refused("reading events"))?;
    Ok(rows
        .iter()
        .filter_map(|row| readable(rows::record(row)))
        .collect())
}

fn readable<T>(read: Result<T, StoreError>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(%error, "a row of the database is passed over"))
        .ok()
}

fn unpack(packed: &[u8]) -> Result<Pinned, StoreError> {
    let json = zstd::decode_all(packed).map_err(|e| unreadable("a pinned build", e))?;
    serde_json::from_slice(&json).map_err(|e| unreadable("a pinned build", e))
}
