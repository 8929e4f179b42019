//! Accounts.

use serde::{Deserialize, Serialize};

/// The account that is always there.
pub const ROOT: &str = "root";

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct User {
    /// Groups besides its own.
    pub groups: Vec<String>,
    /// Public keys for its `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// A hash as crypt(3) reads it; none means no password opens it.
    pub password: Option<String>,
    /// The login shell, an absolute path.
    pub shell: String,
    /// It may become root without a password.
    pub sudo: bool,
}

impl Default for User {
    fn default() -> Self {
        User {
            groups: Vec::new(),
            ssh_keys: Vec::new(),
            password: None,
            shell: "/bin/bash".to_string(),
            sudo: false,
        }
    }
}
