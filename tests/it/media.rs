//! Installation media: made-up ones of each layout, made by xorriso, and images made to do harm.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use farrier::artefacts::{Inspected, inspect};
use farrier::image::disc::{Disc, DiscError, Tree};

mod hostile;
mod layouts;
mod udf;

/// A directory to be made an image of.
pub(crate) struct Layout {
    dir: tempfile::TempDir,
}

impl Layout {
    pub(crate) fn new(files: &[(&str, &str)]) -> Layout {
        let layout = Layout {
            dir: tempfile::tempdir().expect("a directory"),
        };
        for (path, text) in files {
            layout.put(path, text.as_bytes());
        }
        layout
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let at = self.root().join(path);
        std::fs::create_dir_all(at.parent().expect("a parent")).expect("directories");
        std::fs::write(at, bytes).expect("a file");
    }

    /// A file that is not part of the image, put as `../NAME`.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn link(&self, path: &str, target: &str) {
        let at = self.root().join(path);
        std::fs::create_dir_all(at.parent().expect("a parent")).expect("directories");
        std::os::unix::fs::symlink(target, at).expect("a link");
    }

    /// The image, made with these words for mkisofs.
    pub(crate) fn image(&self, words: &[&str]) -> PathBuf {
        let to = self.dir.path().join("made.iso");
        run(Command::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-o"])
            .arg(&to)
            .args(words)
            .arg(self.root()));
        to
    }

    /// The image with a UDF file system too, made with these words for genisoimage.
    pub(crate) fn udf(&self, words: &[&str]) -> PathBuf {
        let to = self.dir.path().join("made.iso");
        run(Command::new("genisoimage")
            .args(["-quiet", "-udf", "-input-charset", "utf-8", "-o"])
            .arg(&to)
            .args(words)
            .arg(self.root()));
        to
    }
}

fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let got = command.output().expect(&shown);
    let said = String::from_utf8_lossy(&got.stderr);
    assert!(got.status.success(), "{shown}: {said}");
}

fn found(path: &Path) -> Inspected {
    inspect(path).expect("a medium")
}

/// The text of a file of an image, by the extents that its tree names.
fn read(image: &Path, tree: &Tree, path: &str) -> String {
    let bytes = std::fs::read(image).expect("an image");
    let mut out = Vec::new();
    for extent in tree.file(path).expect(path) {
        let from = usize::try_from(extent.offset).expect("small");
        out.extend(&bytes[from..from + usize::try_from(extent.size).expect("small")]);
    }
    String::from_utf8(out).expect("text")
}

/// What is made of bytes in memory.
fn tree(bytes: &[u8]) -> Result<Tree, DiscError> {
    let read = |offset: u64, mut into: &mut [u8]| {
        let from = usize::try_from(offset).map_err(|e| e.to_string())?;
        let part = bytes.get(from..from + into.len()).ok_or("outside")?;
        into.write_all(part).map_err(|e| e.to_string())
    };
    Disc::new(bytes.len() as u64, &read).tree()
}
