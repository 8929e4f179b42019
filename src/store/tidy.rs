//! What is not kept for ever.

use std::collections::BTreeSet;

use sqlx::{Connection, Row};

use super::rows::micros;
use super::{StoreError, Writer};
use crate::model::{BuildKey, Keep, Timestamp};

/// What it tidies, how, and which figure it takes.
type Statement = (&'static str, &'static str, fn(&Keep) -> i64);

/// Builds that a system stands at now are always kept, and so is every revision that a kept build
/// pins, that the history names, or that is in force. The history is cut at one end only, so that a
/// time is never answered with an earlier revision than the one in force then.
const STATEMENTS: [Statement; 7] = [
    (
        "events",
        "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?1",
        |keep| i64::from(keep.events),
    ),
    (
        "builds",
        "DELETE FROM builds WHERE epoch <= (SELECT max(epoch) FROM builds c
                                            WHERE c.system = builds.system) - ?1
           AND epoch < (SELECT max(epoch) FROM builds c
                        WHERE c.system = builds.system AND c.purpose = builds.purpose)",
        |keep| i64::from(keep.builds),
    ),
    (
        "what builds pinned",
        "DELETE FROM pins WHERE NOT EXISTS (SELECT 1 FROM builds b
           WHERE b.system = pins.system AND b.epoch = pins.epoch) AND ?1 IS NOT NULL",
        |_| 0,
    ),
    (
        "logs",
        "DELETE FROM logs WHERE NOT EXISTS (SELECT 1 FROM builds b
           WHERE b.system = logs.system AND b.epoch = logs.epoch) AND ?1 IS NOT NULL",
        |_| 0,
    ),
    (
        "the history of revisions",
        "DELETE FROM history WHERE number <= (SELECT max(number) FROM history) - ?1",
        |keep| i64::from(keep.revisions),
    ),
    (
        "revisions",
        "DELETE FROM revisions WHERE ?1 IS NOT NULL
           AND digest NOT IN (SELECT digest FROM history)
           AND digest NOT IN (SELECT value FROM settings WHERE key = 'revision')
           AND digest NOT IN (SELECT json_extract(build, '$.revision') FROM builds)",
        |_| 0,
    ),
    (
        "files of revisions",
        "DELETE FROM blobs WHERE ?1 IS NOT NULL AND digest NOT IN
           (SELECT file.value ->> '$.digest' FROM revisions, json_each(manifest, '$.files') file)",
        |_| 0,
    ),
];

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
        let key = |row: &sqlx::sqlite::SqliteRow| {
            let (system, epoch) = (row.try_get::<String, _>(0), row.try_get::<i64, _>(1));
            Some(BuildKey {
                system: system.ok()?.parse().ok()?,
                epoch: u32::try_from(epoch.ok()?).ok()?,
            })
        };
        Ok(rows.iter().filter_map(key).collect())
    }

    /// Removes what is older than is to be kept: whole, or not at all.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn tidy(&mut self, keep: &Keep, now: Timestamp) -> Result<(), StoreError> {
        let refused = |source| StoreError::Statement {
            what: "tidying",
            source,
        };
        let ended = now.checked_sub(keep.leases).unwrap_or(Timestamp::MIN);
        let begun = self.connection.begin_with("BEGIN IMMEDIATE").await;
        let mut tx = begun.map_err(refused)?;
        sqlx::query("DELETE FROM leases WHERE expires < ?")
            .bind(micros(ended))
            .execute(&mut *tx)
            .await
            .map_err(refused)?;
        for (what, statement, figure) in STATEMENTS {
            let removed = sqlx::query(statement)
                .bind(figure(keep))
                .execute(&mut *tx)
                .await
                .map_err(|source| StoreError::Statement { what, source })?;
            if removed.rows_affected() > 0 {
                tracing::info!(rows = removed.rows_affected(), "tidied {what}");
            }
        }
        tx.commit().await.map_err(refused)
    }
}
