//! The boot decision, and every name a booting machine can ask for.

pub mod decide;
pub mod fit;
pub mod image;
pub mod pair;
pub mod paths;
pub mod signature;
pub mod token;

pub use decide::{Situation, decide};
pub use paths::{HttpPath, TftpName};
pub use token::{Scope, Token, TokenHash, TokenKey};
