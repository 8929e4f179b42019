//! Address leases.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{MacAddr, Timestamp};

/// One address and who holds it. Reservations are not stored: they follow from the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// Who holds it (or held it: addresses are sticky).
    pub mac: MacAddr,
    /// Where it stands.
    pub state: LeaseState,
    /// When it was last granted.
    pub granted: Timestamp,
    /// Until when.
    pub expires: Timestamp,
    /// Host name the client gave, if it is one.
    pub hostname: Option<String>,
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// Acknowledged to its holder.
    Bound,
    /// Given back; kept for its last holder as long as no one else needs it.
    Released,
    /// A client found it in use by someone else (DECLINE, or our own probe): not given out until it expires.
    Declined,
}
