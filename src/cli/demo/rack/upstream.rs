//! The way out of a rack, for one purpose: a unix socket behind which a distribution's mirror is.

use std::path::{Path, PathBuf};

use super::RackError;
use crate::artefacts::relay;

/// A relay on a thread of its own, outside of every namespace. It ends with the process.
#[derive(Debug, Clone)]
pub struct Upstream {
    path: PathBuf,
}

impl Upstream {
    /// Answers on `path`; each connection is passed on to `target`, such as `mirror.example:80`.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(path: &Path, target: &str) -> Result<Upstream, RackError> {
        let failed = RackError::file(path);
        let (say, hear) = std::sync::mpsc::channel();
        let (at, target) = (path.to_path_buf(), target.to_string());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let started = runtime.and_then(|runtime| {
                let relay = runtime.block_on(async { relay::serve_unix(&at, target) })?;
                Ok((runtime, relay))
            });
            match started {
                Ok((runtime, relay)) => {
                    let _ = say.send(Ok(()));
                    runtime.block_on(std::future::pending::<()>());
                    drop(relay);
                }
                Err(error) => {
                    let _ = say.send(Err(error));
                }
            }
        });
        match hear.recv() {
            Ok(Ok(())) => Ok(Upstream {
                path: path.to_path_buf(),
            }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
