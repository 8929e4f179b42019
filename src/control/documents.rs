//! Documents as they leave: tokens filled in, folders compressed.

use std::io::Write;

use crate::boot::{TokenKey, token};
use crate::model::{BuildKey, Document};

/// The bytes of a pinned document for its build. A secret document is filled with the secret token
/// too; whoever calls this for one has checked that the asker holds it.
pub fn served_document(document: &Document, key: &TokenKey, build: &BuildKey) -> Vec<u8> {
    let filled = token::fill(&document.bytes, key, build, document.secret);
    if !document.gzip {
        return filled;
    }
    let mut packed = flate2::GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), flate2::Compression::fast());
    // Writing into memory cannot fail; were it to, the bytes go out as they are and tar says so.
    match packed.write_all(&filled).and_then(|()| packed.finish()) {
        Ok(bytes) => bytes,
        Err(_) => filled,
    }
}
