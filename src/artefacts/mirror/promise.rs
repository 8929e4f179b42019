//! Names that promise their content: `by-hash/SHA256/HEX`.

use sha2::{Digest as _, Sha256, Sha512};

use crate::artefacts::disk::hex;

/// A digest that a path promises for its content, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Promise {
    Sha256(String),
    Sha512(String),
}

/// Measures content as it comes in.
pub(super) enum Witness {
    Sha256(Box<Sha256>, String),
    Sha512(Box<Sha512>, String),
    /// Nothing was promised.
    None,
}

impl Witness {
    pub(super) fn of(promise: Option<Promise>) -> Witness {
        match promise {
            Some(Promise::Sha256(hex)) => Witness::Sha256(Box::default(), hex),
            Some(Promise::Sha512(hex)) => Witness::Sha512(Box::default(), hex),
            None => Witness::None,
        }
    }

    pub(super) fn see(&mut self, bytes: &[u8]) {
        match self {
            Witness::Sha256(hasher, _) => hasher.update(bytes),
            Witness::Sha512(hasher, _) => hasher.update(bytes),
            Witness::None => {}
        }
    }

    /// Whether what was seen is what was promised.
    pub(super) fn kept(self) -> bool {
        match self {
            Witness::Sha256(hasher, promised) => hex(&hasher.finalize()) == promised,
            Witness::Sha512(hasher, promised) => hex(&hasher.finalize()) == promised,
            Witness::None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_by_its_content_only() {
        // FIPS 180-4, the one-block examples
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        let check = |promise: Option<Promise>, content: &[u8], expected: bool| {
            let mut witness = Witness::of(promise.clone());
            content.chunks(2).for_each(|c| witness.see(c));
            assert_eq!(witness.kept(), expected, "{promise:?}");
        };
        check(Some(Promise::Sha256(sha256.into())), b"abc", true);
        check(Some(Promise::Sha256(sha256.into())), b"abd", false);
        check(Some(Promise::Sha512(sha512.into())), b"abc", true);
        check(Some(Promise::Sha512(sha512.into())), b"ab", false);
        check(None, b"anything", true);
    }
}
