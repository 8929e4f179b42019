//! Who gets which address: reservations follow from the site, everything else from this table.
//!
//! The table is in memory and pure: the present time is passed in, and what must survive a power
//! cut is handed out as a [`crate::model::Lease`] for someone else to commit before the client hears of it.

mod ask;
mod pool;
mod reserved;
mod table;
#[cfg(test)]
mod tests;

pub use ask::{Ask, Granted, Offer, Refusal};
pub use reserved::Reserved;
pub use table::LeaseTable;
pub(crate) use table::later;
