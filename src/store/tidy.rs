//! What is not kept for ever.
//!
//! It goes in portions, for a rack that powers on waits while the writer is busy, and a year's logs are
//! not deleted at once.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::rows::micros;
use super::{StoreError, Writer};
use crate::model::{BuildKey, Keep, Timestamp};

/// Rows of events or logs that one portion deletes at most.
const PORTION: i64 = 2000;

/// Builds beyond those that are kept. The one that a system stands at now always is.
const OLD_BUILDS: &str = "SELECT system, epoch FROM builds
    WHERE epoch <= (SELECT max(epoch) FROM builds c WHERE c.system = builds.system) - ?
      AND epoch < (SELECT max(epoch) FROM builds c
                   WHERE c.system = builds.system AND c.purpose = builds.purpose)";

const OLD_LOGS: &str = "DELETE FROM logs WHERE system = ?1 AND epoch = ?2 AND number IN
    (SELECT number FROM logs WHERE system = ?1 AND epoch = ?2 LIMIT ?3)";

const OLD_EVENTS: &str = "DELETE FROM events WHERE number IN
    (SELECT number FROM events WHERE number <= (SELECT max(number) FROM events) - ?1
     ORDER BY number LIMIT ?2)";

/// Cut at one end only, so that a time is never answered with an earlier revision than the one in force
/// then.
const OLD_HISTORY: &str =
    "DELETE FROM history WHERE number <= (SELECT max(number) FROM history) - ?";

/// Every revision is kept that a kept build pins, that the history names, or that is in force.
const OLD_REVISIONS: &str = "DELETE FROM revisions
    WHERE digest NOT IN (SELECT digest FROM history)
      AND digest NOT IN (SELECT value FROM settings WHERE key = 'revision')
      AND digest NOT IN (SELECT json_extract(build, '$.revision') FROM builds)";

const OLD_FILES: &str = "DELETE FROM blobs WHERE digest NOT IN
    (SELECT file.value ->> '$.digest' FROM revisions, json_each(manifest, '$.files') file)";

/// A tidying under way.
#[derive(Debug)]
pub struct Tidying {
    keep: Keep,
    builds: Vec<BuildKey>,
    events: bool,
    revisions: bool,
    rows: u64,
}

impl Tidying {
    /// Rows removed so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

fn refused(source: sqlx::Error) -> StoreError {
    StoreError::Statement {
        what: "tidying",
        source,
    }
}

fn key(row: &SqliteRow) -> Option<BuildKey> {
    let (system, epoch) = (row.try_get::<String, _>(0), row.try_get::<i64, _>(1));
    Some(BuildKey {
        system: system.ok()?.parse().ok()?,
        epoch: u32::try_from(epoch.ok()?).ok()?,
    })
}

impl Writer {
    /// Every build there is.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn builds(&mut self) -> Result<BTreeSet<BuildKey>, StoreError> {
        let rows = sqlx::query("SELECT system, epoch FROM builds")
            .fetch_all(&mut self.connection)
            .await
            .map_err(|source| StoreError::Statement {
                what: "reading builds",
                source,
            })?;
        Ok(rows.iter().filter_map(key).collect())
    }

    /// Finds out what is older than is to be kept. Leases go at once.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn begin_tidying(
        &mut self,
        keep: &Keep,
        now: Timestamp,
    ) -> Result<Tidying, StoreError> {
        let ended = now.checked_sub(keep.leases).unwrap_or(Timestamp::MIN);
        let leases = sqlx::query("DELETE FROM leases WHERE expires < ?")
            .bind(micros(ended))
            .execute(&mut self.connection)
            .await
            .map_err(refused)?;
        let old = sqlx::query(OLD_BUILDS)
            .bind(i64::from(keep.builds))
            .fetch_all(&mut self.connection)
            .await
            .map_err(refused)?;
        Ok(Tidying {
            keep: *keep,
            builds: old.iter().filter_map(key).collect(),
            events: true,
            revisions: true,
            rows: leases.rows_affected(),
        })
    }

    /// Removes a portion, whole or not at all. Says whether there may be more.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn tidy(&mut self, tidying: &mut Tidying) -> Result<bool, StoreError> {
        self.begin().await?;
        let done = self.portion(tidying).await;
        self.end(done).await
    }

    async fn portion(&mut self, tidying: &mut Tidying) -> Result<bool, StoreError> {
        if let Some(build) = tidying.builds.last() {
            // Its row goes last: what is broken off here is found again the next time.
            let logs = self.delete_of(OLD_LOGS, build, Some(PORTION)).await?;
            tidying.rows += logs;
            if logs == 0 {
                for statement in [
                    "DELETE FROM pins WHERE system = ? AND epoch = ?",
                    "DELETE FROM builds WHERE system = ? AND epoch = ?",
                ] {
                    tidying.rows += self.delete_of(statement, build, None).await?;
                }
                tidying.builds.pop();
            }
            return Ok(true);
        }
        if tidying.events {
            let events = sqlx::query(OLD_EVENTS)
                .bind(i64::from(tidying.keep.events))
                .bind(PORTION)
                .execute(&mut self.connection)
                .await
                .map_err(refused)?;
            tidying.rows += events.rows_affected();
            tidying.events = events.rows_affected() > 0;
            return Ok(true);
        }
        if tidying.revisions {
            tidying.revisions = false;
            sqlx::query(OLD_HISTORY)
                .bind(i64::from(tidying.keep.revisions))
                .execute(&mut self.connection)
                .await
                .map_err(refused)?;
            // Files are left over only where a revision went.
            for statement in [OLD_REVISIONS, OLD_FILES] {
                let gone = sqlx::query(statement)
                    .execute(&mut self.connection)
                    .await
                    .map_err(refused)?;
                tidying.rows += gone.rows_affected();
                if gone.rows_affected() == 0 {
                    break;
                }
            }
        }
        Ok(false)
    }

    async fn delete_of(
        &mut self,
        statement: &'static str,
        build: &BuildKey,
        limit: Option<i64>,
    ) -> Result<u64, StoreError> {
        let mut query = sqlx::query(statement)
            .bind(build.system.as_str().to_string())
            .bind(i64::from(build.epoch));
        if let Some(limit) = limit {
            query = query.bind(limit);
        }
        let deleted = query.execute(&mut self.connection).await.map_err(refused)?;
        Ok(deleted.rows_affected())
    }
}
