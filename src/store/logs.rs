//! What machines logged, by build.

use std::collections::BTreeMap;

use super::rows::{self, column, micros, unreadable};
use super::{Store, StoreError, Writer};
use crate::model::{BuildKey, LogEntry, LogLine};

fn refused(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Statement { what, source }
}

impl Writer {
    /// Adds lines to the logs of their builds, and drops each build's oldest beyond `keep`.
    ///
    /// # Errors
    /// None of them is stored.
    pub async fn log(&mut self, entries: &[LogEntry], keep: u32) -> Result<(), StoreError> {
        let mut builds: BTreeMap<(&str, u32), Vec<serde_json::Value>> = BTreeMap::new();
        for entry in entries {
            let key = (entry.build.system.as_str(), entry.build.epoch);
            let row = serde_json::json!([micros(entry.time), entry.source, entry.text]);
            builds.entry(key).or_default().push(row);
        }
        self.begin().await?;
        let done = self.lines(builds, keep).await;
        self.end(done).await
    }

    async fn lines(
        &mut self,
        builds: BTreeMap<(&str, u32), Vec<serde_json::Value>>,
        keep: u32,
    ) -> Result<(), StoreError> {
        for ((system, epoch), rows) in builds {
            let json = serde_json::to_string(&rows).map_err(|e| unreadable("a log", e))?;
            sqlx::query(
                "INSERT INTO logs (system, epoch, number, time, source, line)
                 SELECT ?1, ?2, 1 + key + (SELECT coalesce(max(number), 0) FROM logs
                                           WHERE system = ?1 AND epoch = ?2),
                        value ->> 0, value ->> 1, value ->> 2
                 FROM json_each(?3)",
            )
            .bind(system.to_string())
            .bind(i64::from(epoch))
            .bind(json)
            .execute(&mut self.connection)
            .await
            .map_err(refused("a log"))?;
            sqlx::query(
                "DELETE FROM logs WHERE system = ?1 AND epoch = ?2 AND number <=
                   (SELECT max(number) FROM logs WHERE system = ?1 AND epoch = ?2) - ?3",
            )
            .bind(system.to_string())
            .bind(i64::from(epoch))
            .bind(i64::from(keep))
            .execute(&mut self.connection)
            .await
            .map_err(refused("tidying a log"))?;
        }
        Ok(())
    }
}

impl Store {
    /// Lines of a build's log, oldest first, and the number to ask on from: those after `after`, or
    /// the latest; only those that hold `words`, in any case of ASCII letters.
    ///
    /// # Errors
    /// If the database refuses, or holds something unreadable.
    pub async fn log(
        &self,
        build: &BuildKey,
        after: Option<i64>,
        words: Option<&str>,
        limit: i64,
    ) -> Result<(Vec<LogLine>, i64), StoreError> {
        let last: i64 = sqlx::query_scalar(
            "SELECT coalesce(max(number), 0) FROM logs WHERE system = ? AND epoch = ?",
        )
        .bind(build.system.as_str().to_string())
        .bind(i64::from(build.epoch))
        .fetch_one(&self.pool)
        .await
        .map_err(refused("reading a log"))?;
        let order = if after.is_some() {
            "SELECT number, time, source, line FROM logs
             WHERE system = ?1 AND epoch = ?2 AND number > ?3 AND number <= ?4
               AND instr(lower(line), lower(?5)) > 0 ORDER BY number LIMIT ?6"
        } else {
            "SELECT number, time, source, line FROM logs
             WHERE system = ?1 AND epoch = ?2 AND number > ?3 AND number <= ?4
               AND instr(lower(line), lower(?5)) > 0 ORDER BY number DESC LIMIT ?6"
        };
        let rows = sqlx::query(order)
            .bind(build.system.as_str().to_string())
            .bind(i64::from(build.epoch))
            .bind(after.unwrap_or(0))
            .bind(last)
            .bind(words.unwrap_or("").to_string())
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(refused("reading a log"))?;
        let mut lines: Vec<LogLine> = rows
            .iter()
            .map(|row| {
                Ok(LogLine {
                    number: column(row, "number")?,
                    time: rows::time("a log", column(row, "time")?)?,
                    source: column(row, "source")?,
                    text: column(row, "line")?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        let cut = after.is_some() && i64::try_from(lines.len()) == Ok(limit);
        if after.is_none() {
            lines.reverse();
        }
        let cursor = match lines.last() {
            Some(line) if cut => line.number,
            _ => last.max(after.unwrap_or(0)),
        };
        Ok((lines, cursor))
    }
}
