//! Between rows and words.

use std::net::Ipv4Addr;
use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::StoreError;
use crate::model::event::StageEnd;
use crate::model::{Build, EventKind, Lease, LeaseState, Record, SecretName, Timestamp};

/// A revision of the site as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRow {
    /// Content address.
    pub digest: String,
    /// When it came into force: first, or of a row of the history, that time.
    pub time: Timestamp,
    /// Who put it in force.
    pub author: String,
    /// What it changed, in a sentence.
    pub summary: String,
    /// Its files: path, digest and executable bit, as JSON.
    pub manifest: String,
}

/// A secret as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// An age file; who can open it is the vault's business.
    pub sealed: Vec<u8>,
    /// When it was last set.
    pub time: Timestamp,
    /// By whom.
    pub actor: String,
}

pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(super) fn time(what: &str, micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|e| unreadable(what, e))
}

pub(super) fn unreadable(what: &str, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Row {
        what: what.to_string(),
        problem: problem.to_string(),
    }
}

pub(super) fn column<'r, T>(row: &'r SqliteRow, name: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(name).map_err(|e| unreadable(name, e))
}

pub(super) fn build(row: &SqliteRow) -> Result<Build, StoreError> {
    let json: String = column(row, "build")?;
    serde_json::from_str(&json).map_err(|e| unreadable("a build", e))
}

pub(super) fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let json: String = column(row, "event")?;
    let event: EventKind = serde_json::from_str(&json).map_err(|e| unreadable("an event", e))?;
    let system: String = column(row, "system")?;
    let phase: String = column(row, "phase")?;
    let epoch: Option<i64> = column(row, "epoch")?;
    let ended: Option<String> = column(row, "ended")?;
    Ok(Record {
        number: column(row, "number")?,
        time: time("an event", column(row, "time")?)?,
        system: system
            .parse()
            .map_err(|e| unreadable("a system's name", e))?,
        epoch: epoch.and_then(|e| u32::try_from(e).ok()),
        phase: phase.parse().map_err(|e| unreadable("a phase", e))?,
        event,
        ended: ended.as_deref().map(stage_end).transpose()?,
    })
}

pub(super) fn stage_end(json: &str) -> Result<StageEnd, StoreError> {
    serde_json::from_str(json).map_err(|e| unreadable("a step", e))
}

pub(super) fn lease(row: &SqliteRow) -> Result<Lease, StoreError> {
    let ip: i64 = column(row, "ip")?;
    let mac: String = column(row, "mac")?;
    let state: String = column(row, "state")?;
    Ok(Lease {
        ip: Ipv4Addr::from(u32::try_from(ip).map_err(|e| unreadable("an address", e))?),
        mac: mac
            .parse()
            .map_err(|e| unreadable("a hardware address", e))?,
        state: match state.as_str() {
            "bound" => LeaseState::Bound,
            "released" => LeaseState::Released,
            "declined" => LeaseState::Declined,
            other => return Err(unreadable("a lease", other)),
        },
        granted: time("a lease", column(row, "granted")?)?,
        expires: time("a lease", column(row, "expires")?)?,
        hostname: column(row, "hostname")?,
    })
}

pub(super) fn secret(row: &SqliteRow) -> Result<(SecretName, Arc<SecretRow>), StoreError> {
    let name: String = column(row, "name")?;
    let name = name.parse().map_err(|e| unreadable("a secret's name", e))?;
    let secret = SecretRow {
        sealed: column(row, "sealed")?,
        time: time("a secret", column(row, "time")?)?,
        actor: column(row, "actor")?,
    };
    Ok((name, Arc::new(secret)))
}

pub(super) fn state_word(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Bound => "bound",
        LeaseState::Released => "released",
        LeaseState::Declined => "declined",
    }
}
