//! The writer: everything that changes the database, in groups.

use sqlx::sqlite::SqliteConnection;

use super::StoreError;
use super::rows::{RevisionRow, SecretRow, micros, state_word, unreadable};
use crate::model::{Build, BuildKey, Lease, Pinned, Purpose, Record, SecretName};

/// One group of changes, committed whole or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// Builds as they are now.
    pub builds: Vec<Build>,
    /// What builds pinned when they were flagged.
    pub pins: Vec<(BuildKey, std::sync::Arc<Pinned>)>,
    /// What happened, numbered.
    pub records: Vec<Record>,
    /// Leases as they are now.
    pub leases: Vec<Lease>,
    /// Secrets as they are now; none for those that are gone.
    pub secrets: Vec<(SecretName, Option<std::sync::Arc<SecretRow>>)>,
    /// Revisions of the site that came into force, with the files that may not be stored yet
    /// (digest, bytes).
    pub revisions: Vec<(RevisionRow, RevisionFiles)>,
}

/// Files of a revision: digest and bytes.
pub type RevisionFiles = Vec<(String, std::sync::Arc<[u8]>)>;

impl Batch {
    /// Whether there is nothing but leases in it: a rack that powers on.
    fn is_leases(&self) -> bool {
        let Batch {
            builds,
            pins,
            records,
            leases,
            secrets,
            revisions,
        } = self;
        !leases.is_empty()
            && builds.is_empty()
            && pins.is_empty()
            && records.is_empty()
            && secrets.is_empty()
            && revisions.is_empty()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty()
            && self.pins.is_empty()
            && self.records.is_empty()
            && self.leases.is_empty()
            && self.secrets.is_empty()
            && self.revisions.is_empty()
    }
}

/// The one connection that writes.
#[derive(Debug)]
pub struct Writer {
    pub(super) connection: SqliteConnection,
}

fn refused(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Statement { what, source }
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Writer { connection }
    }

    /// Commits a group. When this returns, it survives power loss.
    ///
    /// # Errors
    /// Nothing of the group is stored.
    pub async fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_leases() {
            // One statement is a transaction of its own: one trip to SQLite's thread, not three.
            return leases(&mut self.connection, &batch.leases).await;
        }
        self.begin().await?;
        let done = self.changes(batch).await;
        self.end(done).await
    }

    /// Begins a transaction; whatever becomes of it, [`Writer::end`] comes next.
    ///
    /// Not by sqlx's own: it counts how deep it is, and SQLite gives a transaction up by itself when
    /// the disk is full or broken. The count would be wrong from then on, and nothing could be written
    /// until the server restarts.
    ///
    /// # Errors
    /// If the database refuses.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        let begun = self.said("BEGIN IMMEDIATE", "a transaction").await;
        if begun.is_err() {
            // If it is because an earlier one is open, the next begins.
            let _none_open = self.said("ROLLBACK", "a transaction").await;
        }
        begun
    }

    /// Commits what was done, or gives it up if that failed.
    ///
    /// # Errors
    /// What failed; nothing is stored then.
    pub(super) async fn end<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let done = match done {
            Ok(value) => self.said("COMMIT", "a commit").await.map(|()| value),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // It is given up already, if SQLite did so by itself.
            let _none_open = self.said("ROLLBACK", "a transaction").await;
        }
        done
    }

    async fn said(&mut self, words: &'static str, what: &'static str) -> Result<(), StoreError> {
        let said = sqlx::query(words).execute(&mut self.connection).await;
        said.map(|_| ()).map_err(refused(what))
    }

    async fn changes(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let tx = &mut self.connection;
        for (row, files) in &batch.revisions {
            revision(tx, row, files).await?;
        }
        for build in &batch.builds {
            self::build(tx, build).await?;
        }
        for (key, pinned) in &batch.pins {
            pin(tx, key, pinned).await?;
        }
        for record in &batch.records {
            self::record(tx, record).await?;
        }
        for (name, row) in &batch.secrets {
            secret(tx, name, row.as_deref()).await?;
        }
        leases(tx, &batch.leases).await
    }
}

async fn build(tx: &mut SqliteConnection, build: &Build) -> Result<(), StoreError> {
    let json = serde_json::to_string(build).map_err(|e| unreadable("a build", e))?;
    sqlx::query(
        "INSERT INTO builds (system, epoch, purpose, phase, build) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (system, epoch) DO UPDATE SET phase = excluded.phase, build = excluded.build",
    )
    .bind(build.key.system.as_str())
    .bind(i64::from(build.key.epoch))
    .bind(match build.purpose {
        Purpose::Install => "install",
        Purpose::Once => "once",
    })
    .bind(build.phase.word())
    .bind(json)
    .execute(tx)
    .await
    .map_err(refused("a build"))?;
    Ok(())
}

async fn pin(tx: &mut SqliteConnection, key: &BuildKey, pinned: &Pinned) -> Result<(), StoreError> {
    let json = serde_json::to_vec(pinned).map_err(|e| unreadable("a pinned build", e))?;
    let packed =
        zstd::encode_all(json.as_slice(), 3).map_err(|e| unreadable("a pinned build", e))?;
    sqlx::query("INSERT OR REPLACE INTO pins (system, epoch, pinned) VALUES (?, ?, ?)")
        .bind(key.system.as_str())
        .bind(i64::from(key.epoch))
        .bind(packed)
        .execute(tx)
        .await
        .map_err(refused("what a build pins"))?;
    Ok(())
}

async fn secret(
    tx: &mut SqliteConnection,
    name: &SecretName,
    row: Option<&SecretRow>,
) -> Result<(), StoreError> {
    let query = match row {
        Some(row) => sqlx::query(
            "INSERT INTO secrets (name, sealed, time, actor) VALUES (?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, time = excluded.time,
                                              actor = excluded.actor",
        )
        .bind(name.as_str())
        .bind(row.sealed.as_slice())
        .bind(micros(row.time))
        .bind(row.actor.as_str()),
        None => sqlx::query("DELETE FROM secrets WHERE name = ?").bind(name.as_str()),
    };
    query.execute(tx).await.map_err(refused("a secret"))?;
    Ok(())
}

async fn record(tx: &mut SqliteConnection, record: &Record) -> Result<(), StoreError> {
    let json = serde_json::to_string(&record.event).map_err(|e| unreadable("an event", e))?;
    let ended = record.ended.as_ref().map(serde_json::to_string);
    let ended = ended.transpose().map_err(|e| unreadable("a step", e))?;
    sqlx::query(
        "INSERT INTO events (number, time, system, epoch, phase, kind, event, ended)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(record.number)
    .bind(micros(record.time))
    .bind(record.system.as_str())
    .bind(record.epoch.map(i64::from))
    .bind(record.phase.word())
    .bind(record.event.word())
    .bind(json)
    .bind(ended)
    .execute(tx)
    .await
    .map_err(refused("an event"))?;
    Ok(())
}

/// All leases of a group in one statement: SQLite reads them as a JSON array, which costs one
/// round trip to its thread instead of one a lease.
async fn leases(tx: &mut SqliteConnection, leases: &[Lease]) -> Result<(), StoreError> {
    if leases.is_empty() {
        return Ok(());
    }
    let rows: Vec<serde_json::Value> = leases
        .iter()
        .map(|l| {
            serde_json::json!([
                u32::from(l.ip),
                l.mac.to_string(),
                state_word(l.state),
                micros(l.granted),
                micros(l.expires),
                l.hostname,
            ])
        })
        .collect();
    let json = serde_json::to_string(&rows).map_err(|e| unreadable("leases", e))?;
    sqlx::query(
        "INSERT OR REPLACE INTO leases (ip, mac, state, granted, expires, hostname)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
         FROM json_each(?)",
    )
    .bind(json)
    .execute(tx)
    .await
    .map_err(refused("leases"))?;
    Ok(())
}

async fn revision(
    tx: &mut SqliteConnection,
    row: &RevisionRow,
    files: &[(String, std::sync::Arc<[u8]>)],
) -> Result<(), StoreError> {
    for (digest, bytes) in files {
        let known: i64 = sqlx::query_scalar("SELECT count(*) FROM blobs WHERE digest = ?")
            .bind(digest)
            .fetch_one(&mut *tx)
            .await
            .map_err(refused("a look-up of a file"))?;
        if known > 0 {
            continue;
        }
        let packed = zstd::encode_all(&bytes[..], 1).map_err(|e| unreadable("a file", e))?;
        sqlx::query("INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?, ?)")
            .bind(digest)
            .bind(packed)
            .execute(&mut *tx)
            .await
            .map_err(refused("a file of the site"))?;
    }
    sqlx::query(
        "INSERT OR IGNORE INTO revisions (digest, time, author, summary, manifest)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&row.digest)
    .bind(micros(row.time))
    .bind(&row.author)
    .bind(&row.summary)
    .bind(&row.manifest)
    .execute(&mut *tx)
    .await
    .map_err(refused("a revision"))?;
    // A restart that finds the same files puts nothing new in force.
    sqlx::query(
        "INSERT INTO history (time, author, digest, summary) SELECT ?1, ?2, ?3, ?4
         WHERE NOT EXISTS (SELECT 1 FROM settings WHERE key = 'revision' AND value = ?3)",
    )
    .bind(micros(row.time))
    .bind(&row.author)
    .bind(&row.digest)
    .bind(&row.summary)
    .execute(&mut *tx)
    .await
    .map_err(refused("the history of revisions"))?;
    sqlx::query("INSERT OR REPLACE INTO settings (key, value) VALUES ('revision', ?)")
        .bind(&row.digest)
        .execute(tx)
        .await
        .map_err(refused("the revision in force"))?;
    Ok(())
}
