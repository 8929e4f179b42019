//! The boot decision, and every name a booting machine can ask for.

pub mod decide;
pub mod paths;
pub mod token;

pub use decide::{Situation, decide};
pub use paths::{HttpPath, TftpName};
pub use token::{Scope, Token, TokenHash, TokenKey};
