//! Where packages come from.

use serde::{Deserialize, Serialize};

/// A package repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Repository {
    /// Its base URL; empty if none is said, which is a fault.
    pub url: String,
    /// The key that signs it: a file in the profile's folder, or a URL.
    pub key: Option<String>,
    /// The suite, of a Debian repository.
    pub suite: Option<String>,
    /// Its components, of a Debian repository.
    pub components: Vec<String>,
}

impl Repository {
    /// The URL of its key, if it is one.
    pub fn key_url(&self) -> Option<&str> {
        let key = self.key.as_deref()?;
        key.contains("://").then_some(key)
    }

    /// The file of its key, relative to the profile's folder, if it is one.
    pub fn key_file(&self) -> Option<&str> {
        let key = self.key.as_deref()?;
        (!key.contains("://")).then_some(key)
    }
}
