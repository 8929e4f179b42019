//! Per-build tokens.
//!
//! A token is derived, not drawn: `BLAKE3-keyed(server key, system, epoch, scope)`. So nothing but
//! the server's key (a file of mode 0600 in the state directory) needs keeping, a restart in
//! mid-install serves the same URLs again, and a copy of the database opens nothing. What may be
//! done with a token depends on its scope and on the phase of its build (`lifecycle::scope_open`).

use std::fmt;

use crate::model::BuildKey;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Fetch the build's documents.
    Read,
    /// Report what the installer does.
    Report,
    /// Redeem the hand-off and report the agent's result. Never part of an answer file.
    Secret,
    /// Enrol at the agent's server, once. Never part of an answer file either.
    Enrol,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Report, Scope::Secret, Scope::Enrol];

    fn label(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Report => "report",
            Scope::Secret => "secret",
            Scope::Enrol => "enrol",
        }
    }

    /// What stands in a rendered document for this token: exactly as long as a token, and made of
    /// letters and hyphens, so that no output format escapes it and filling it in moves nothing.
    pub fn placeholder(self) -> &'static str {
        match self {
            Scope::Read => "FARRIER-READ-TOKEN----------------------",
            Scope::Report => "FARRIER-REPORT-TOKEN--------------------",
            Scope::Secret => "FARRIER-SECRET-TOKEN--------------------",
            Scope::Enrol => "FARRIER-ENROL-TOKEN---------------------",
        }
    }

    /// Whether it may leave with the hand-off only.
    pub fn is_secret(self) -> bool {
        matches!(self, Scope::Secret | Scope::Enrol)
    }
}

/// Characters of a token: 160 bits in hexadecimal.
pub const TOKEN_LENGTH: usize = 40;

/// The server's key.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// A key of 32 random bytes that the caller read or drew.
    pub fn new(bytes: [u8; 32]) -> Self {
        TokenKey(bytes)
    }

    /// The token of one build and scope.
    pub fn token(&self, build: &BuildKey, scope: Scope) -> Token {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(build.system.as_bytes());
        hasher.update(b"\0");
        hasher.update(&build.epoch.to_be_bytes());
        hasher.update(scope.label().as_bytes());
        Token(hasher.finalize().to_hex()[..TOKEN_LENGTH].to_string())
    }

    /// A token of the whole site, for what another server of its owner is to be believed for. It
    /// begins with what no system's name can begin with.
    pub fn site_token(&self, purpose: &str) -> Token {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"\0site\0");
        hasher.update(purpose.as_bytes());
        Token(hasher.finalize().to_hex()[..TOKEN_LENGTH].to_string())
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// A bearer token. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The digest of a token: what is kept in tables and looked up, so that comparing takes the same
/// time whatever was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl Token {
    /// The text for a URL. Do not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its digest.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl TokenHash {
    /// The digest of what a client sent.
    pub fn of(text: &str) -> Self {
        TokenHash(*blake3::hash(text.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Fills the read and report placeholders of a pinned text or tar. Those of the secret and of the
/// enrolment are filled only where `secret` says so.
pub fn fill(bytes: &[u8], key: &TokenKey, build: &BuildKey, secret: bool) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for scope in Scope::ALL {
        if scope.is_secret() && !secret {
            continue;
        }
        let from = scope.placeholder().as_bytes();
        let token = key.token(build, scope);
        let mut at = 0;
        while let Some(found) = find(&out[at..], from) {
            let start = at + found;
            out[start..start + TOKEN_LENGTH].copy_from_slice(token.reveal().as_bytes());
            at = start + TOKEN_LENGTH;
        }
    }
    out
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(epoch: u32) -> BuildKey {
        BuildKey {
            system: "web01".parse().expect("a name"),
            epoch,
        }
    }

    #[test]
    fn placeholders_are_as_long_as_tokens() {
        let key = TokenKey::new([7; 32]);
        for scope in Scope::ALL {
            assert_eq!(scope.placeholder().len(), TOKEN_LENGTH);
            assert_eq!(key.token(&build(1), scope).reveal().len(), TOKEN_LENGTH);
        }
    }

    #[test]
    fn every_build_and_scope_has_its_own() {
        let key = TokenKey::new([7; 32]);
        let mut seen = std::collections::HashSet::new();
        for epoch in 1..5 {
            for scope in Scope::ALL {
                assert!(seen.insert(key.token(&build(epoch), scope).reveal().to_string()));
            }
        }
        assert!(
            !format!("{:?}", key.token(&build(1), Scope::Read))
                .contains(|c: char| c.is_ascii_digit())
        );
    }

    #[test]
    fn the_secret_stays_out_of_what_it_is_not_meant_for() {
        let key = TokenKey::new([7; 32]);
        let text = format!(
            "a {} b {}",
            Scope::Read.placeholder(),
            Scope::Secret.placeholder()
        );
        let open = fill(text.as_bytes(), &key, &build(1), false);
        let open = String::from_utf8(open).expect("text");
        assert!(open.contains(key.token(&build(1), Scope::Read).reveal()));
        assert!(open.contains(Scope::Secret.placeholder()));
        assert_eq!(open.len(), text.len());
    }
}
