//! The way out of a rack, for one purpose: a unix socket behind which a distribution's mirror is.
//!
//! A namespace has no route to anywhere, which is the point of it. File systems are shared, so a
//! server inside reaches a mirror through a socket file that this thread, outside, answers.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::RackError;

/// Passes connections on until the process ends; the socket file goes with the rack's directory.
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
        let listener = UnixListener::bind(path).map_err(RackError::file(path))?;
        let target = target.to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let target = target.clone();
                // A mirror that cannot be reached is a closed connection, as it would be in the open.
                std::thread::spawn(move || {
                    let _ = pass(stream, &target);
                });
            }
        });
        Ok(Upstream {
            path: path.to_path_buf(),
        })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn pass(near: UnixStream, target: &str) -> io::Result<()> {
    let far = TcpStream::connect(target)?;
    far.set_nodelay(true)?;
    let (mut near_in, mut far_out) = (near.try_clone()?, far.try_clone()?);
    let up = std::thread::spawn(move || {
        let _ = io::copy(&mut near_in, &mut far_out);
        let _ = far_out.shutdown(Shutdown::Write);
    });
    let (mut far_in, mut near_out) = (far, near);
    let _ = io::copy(&mut far_in, &mut near_out);
    let _ = near_out.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}
