//! All SQL. SQLite with one writer connection and a pool of readers.
//!
//! The writer commits in groups: one transaction, one fsync, for everything that waits
//! (WAL, `synchronous = FULL`, `BEGIN IMMEDIATE`). What it reports as done survives power loss.

mod bundles;
mod discovered;
mod home;
mod logs;
mod read;
mod rows;
mod tidy;
mod witness;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

pub use bundles::Bundles;
pub use home::home;
pub use read::{Known, Secrets, secret_names};
pub use rows::{RevisionRow, SecretRow};
pub use tidy::Tidying;
pub use witness::Witness;
pub use writer::{Batch, RevisionFiles, Writer};

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be opened or brought to the present schema.
    #[error("the database `{path}` cannot be opened")]
    Open {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement failed.
    #[error("the database refused {what}")]
    Statement {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds something this program cannot read.
    #[error("the database holds {what} that cannot be read: {problem}")]
    Row {
        /// What.
        what: String,
        /// Why.
        problem: String,
    },
}

/// Readers' half of the store.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: SqlitePool,
}

/// Opens (and if need be creates) the database file and returns both halves. Nobody but its owner may
/// read it from then on.
///
/// # Errors
/// If it cannot be opened or closed to others, or its schema is newer than this program.
pub async fn open(path: &Path) -> Result<(Store, Writer), StoreError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open {
        path: path.to_path_buf(),
        source,
    };
    home::private(path).map_err(|e| failed(Box::new(e)))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let mut writer = SqliteConnection::connect_with(&options)
        .await
        .map_err(|e| failed(Box::new(e)))?;
    sqlx::migrate!("./migrations")
        .run(&mut writer)
        .await
        .map_err(|e| failed(Box::new(e)))?;
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options.read_only(true).create_if_missing(false))
        .await
        .map_err(|e| failed(Box::new(e)))?;
    Ok((Store { pool }, Writer::new(writer)))
}

#[cfg(test)]
pub(crate) mod tests;
