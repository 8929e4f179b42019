//! Hands: the servers of configuration agents, as far as they are on this host: their requests for
//! certificates, their key folders, their tools.
//!
//! Tools are run as lists of words, each value a word of its own, with a time limit, and never while
//! a machine waits for a packet. docs/agents.md says what an operator sets up.

mod command;
mod csr;
mod keys;
mod report;
mod revoke;

pub use command::{Ended, run, which};
pub use csr::{CertificateRequest, CsrError};
pub use keys::{accept_cfengine, accept_salt, cfengine_name, cfengine_trusts};
pub use report::{RunReport, read_report};
pub use revoke::{revoke, unusable};
