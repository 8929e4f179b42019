//! Who gets which address: reservations follow from the site, everything else from this table.
//!
//! The table is in memory and pure: the present time is passed in, and what must survive a power
//! cut is handed out as a [`crate::model::Lease`] for someone else to commit before the client hears of it.

mod pool;
mod table;

pub(crate) use table::later;
pub use table::{Ask, Granted, LeaseTable, Offer, Refusal, Reserved};
