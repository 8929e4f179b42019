//! Installation media: the files of an ISO 9660 or UDF image, without unpacking it.
//!
//! An image is not believed. Everything in it has a limit, nothing in it becomes a path of this host,
//! and what is odd is refused with a sentence. The file system is read as Linux reads it: Rock Ridge
//! if it is there, else Joliet, else plain names in lower case.
//!
//! It is read here and not by a crate: those there are either know no Rock Ridge and no file in several
//! extents, or change their interface from month to month (hadris-iso: three major versions within a
//! year), and none puts a limit to what a hostile image may ask of it. Programs of the host would do,
//! and would unpack tens of thousands of files under names that someone else chose.
//!
//! | file | what |
//! |---|---|
//! | `volume` | the descriptors at the beginning, and what else the image is |
//! | `record` | one directory record, and its system use entries (ECMA-119 9.1, SUSP, RRIP) |
//! | `walk` | directories, to the last |
//! | `tree` | what was found, and looking files up in it |
//! | `torito`, `fat` | the boot images inside, and the files of the EFI one |
//! | `udf` | the other file system, which Windows media have |
//! | `media` | which installer it is, and what of it boots |

mod fat;
pub mod media;
mod record;
mod torito;
mod tree;
mod udf;
mod volume;
mod walk;

pub use tree::{EFI_IMAGE, Extent, Tree};

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 2048;

/// Why an image is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscError {
    /// It has neither file system.
    #[error("it is no ISO 9660 or UDF image: {0}")]
    NotIso(String),
    /// Its UDF file system is of a kind that is not read.
    #[error(
        "its UDF file system is of a kind that Farrier does not read: {0}. Unpack it (7z x FILE, or \
         mount it), and make an ISO 9660 image with long names of the files: xorriso -as mkisofs \
         -iso-level 3 -J -joliet-long -R -o NEW.iso DIRECTORY"
    )]
    Udf(String),
    /// It ends too early.
    #[error("it is cut off: {what} ends at byte {end}, and the image has {size}")]
    CutOff {
        /// What does not fit.
        what: String,
        /// Where that ends.
        end: u64,
        /// Bytes of the image.
        size: u64,
    },
    /// It is not as it should be.
    #[error("it is damaged, or made to do harm: {0}")]
    Damaged(String),
    /// It has more of something than any installation medium.
    #[error("it is larger than any installation medium: {0}")]
    TooLarge(String),
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Read(String),
}

/// Reads so many bytes from there; a sentence if it cannot.
pub type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> Result<(), String> + 'a;

/// An image, wherever its bytes are.
pub struct Disc<'a> {
    read: &'a ReadAt<'a>,
    size: u64,
}

impl std::fmt::Debug for Disc<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disc").field("size", &self.size).finish()
    }
}

impl<'a> Disc<'a> {
    /// An image of `size` bytes.
    pub fn new(size: u64, read: &'a ReadAt<'a>) -> Self {
        Disc { read, size }
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// So many bytes from there. `what` is said if they are not there.
    ///
    /// # Errors
    /// If it ends before, or cannot be read.
    pub fn bytes(&self, offset: u64, length: usize, what: &str) -> Result<Vec<u8>, DiscError> {
        self.fits(offset, length as u64, what)?;
        let mut bytes = vec![0; length];
        (self.read)(offset, &mut bytes).map_err(DiscError::Read)?;
        Ok(bytes)
    }

    /// Whether these bytes are within it.
    fn fits(&self, offset: u64, length: u64, what: &str) -> Result<(), DiscError> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            end => Err(DiscError::CutOff {
                what: what.to_string(),
                end: end.unwrap_or(u64::MAX),
                size: self.size,
            }),
        }
    }

    /// The first bytes of a file, `most` at most.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn head(&self, extents: &[Extent], most: usize) -> Result<Vec<u8>, DiscError> {
        let mut out = Vec::new();
        for extent in extents {
            let wanted = (most - out.len()).min(usize::try_from(extent.size).unwrap_or(most));
            out.extend(self.bytes(extent.offset, wanted, "a file")?);
            if out.len() >= most {
                break;
            }
        }
        Ok(out)
    }

    /// Everything that it holds.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn tree(&self) -> Result<Tree, DiscError> {
        let volume = volume::read(self)?;
        let iso = match &volume.primary {
            Some(primary) => Some(walk::walk(self, &volume, primary)?),
            None => None,
        };
        let mut tree = match iso.filter(|iso| !volume.udf || iso.count() > FEW) {
            Some(iso) => iso,
            None => udf::tree(self)?,
        };
        let mut budget = fat::Budget::default();
        for image in torito::images(self, volume.boot_catalog)? {
            fat::add(self, image, &mut budget, &mut tree)?;
        }
        Ok(tree)
    }
}

/// An image with a UDF file system next to so few files is a UDF image with a note on it.
const FEW: usize = 5;

/// A number of two bytes, low byte first; zero if it is not there.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    let pair = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
    pair.map_or(0, u16::from_le_bytes)
}

/// A number of four bytes, low byte first; zero if it is not there.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}
